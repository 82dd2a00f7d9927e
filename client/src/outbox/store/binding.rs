//! The file that says how far the row of segments goes, with a checksum.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cairn_tree::hash::Hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::bounds;
use super::super::entry::FORMAT;
use super::error::StoreError;
use crate::files::{Durability, read_bounded, write_atomic};
use crate::sector::StoreId;

pub(super) const BINDING: &str = "outbox.json";
/// What the names of its versions begin with that did not take its place.
pub(super) const TEMPORARY: &str = "outbox.json.tmp-";

/// What an outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Binding {
    pub(super) format: u32,
    pub(super) id: StoreId,
    /// The newest segment; 0 while the outbox is being made, when nothing can be in it.
    pub(super) newest: u64,
}

impl Binding {
    /// Reads the one of a folder, if there is one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(BINDING);
        let bytes = match read_bounded(&path, bounds::BINDING_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if sealed(line) != bytes {
            return Err(StoreError::damaged(&path, "it does not fit its checksum"));
        }
        let binding: Self = serde_json::from_slice(line).map_err(|error| StoreError::damaged(&path, error))?;
        if binding.format != FORMAT {
            let why = format!("it is of version {}, and this program reads {FORMAT}", binding.format);
            return Err(StoreError::damaged(&path, why));
        }
        Ok(Some(binding))
    }

    /// Writes it durably, in the place of the one before.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(BINDING);
        let line = serde_json::to_vec(self).map_err(|error| StoreError::damaged(&path, error))?;
        write_atomic(&path, &sealed(&line), Durability::PowerLoss)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(StoreError::io(&path))
    }
}

/// A line, and its checksum on the next one.
fn sealed(line: &[u8]) -> Vec<u8> {
    let sum = Hash::new(Sha256::digest(line).into());
    [line, b"\n", sum.to_string().as_bytes(), b"\n"].concat()
}
