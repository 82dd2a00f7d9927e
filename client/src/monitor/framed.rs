//! The form of the files that only this machine writes and reads: a first line with a name, a version and a checksum,
//! then JSON. What is not exactly what was written is damage on *this* machine.

use core::fmt;

use cairn_tree::hash::Hash;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::state::StateError;

/// The file's bytes; `magic` ends in a space.
pub(super) fn encode(magic: &str, content: &impl Serialize) -> Result<Vec<u8>, StateError> {
    let json = serde_json::to_string_pretty(content).map_err(damaged)?;
    Ok(format!("{magic}{}\n{json}\n", checksum(json.as_bytes())).into_bytes())
}

/// Reads a file back.
pub(super) fn decode<T: DeserializeOwned>(magic: &str, bytes: &[u8]) -> Result<T, StateError> {
    let text = core::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let (first, rest) = text.split_once('\n').ok_or_else(|| damaged("its first line is not whole"))?;
    let sum = first.strip_prefix(magic).ok_or_else(|| damaged("it does not begin as a state file"))?;
    let json = rest.strip_suffix('\n').ok_or_else(|| damaged("its end is missing"))?;
    if sum != checksum(json.as_bytes()) {
        return Err(damaged("its checksum does not fit"));
    }
    serde_json::from_str(json).map_err(damaged)
}

pub(super) fn damaged(why: impl fmt::Display) -> StateError {
    StateError::Damaged(why.to_string())
}

fn checksum(bytes: &[u8]) -> String {
    Hash::new(Sha256::digest(bytes).into()).to_string()
}
