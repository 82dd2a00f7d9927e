//! What is said of a quarantined message: the first line of its file, which has nothing of it but its topic. It has a digest of
//! itself (`crate::summed`), and one of the message behind it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::unmapped::{Reason, Unmapped};
use super::id::Id;
use crate::auth::{Tenants, TokenId};
use crate::summed;

/// The version of the files.
pub(super) const FORMAT: u32 = 1;
/// Longer than any line.
const LINE_BYTES: u64 = 65_536;

/// What is said of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub(super) format: u32,
    /// What it is known by.
    pub id: Id,
    /// Its topic, if it has one that can be read.
    pub topic: Option<String>,
    /// The name of the [`Reason`].
    pub reason: String,
    /// What could not be followed.
    pub place: String,
    /// When it came first, in milliseconds since 1970.
    pub received_ms: u64,
    /// Which token brought it.
    pub token: TokenId,
    /// The tenants that the token was good for.
    pub tenants: Tenants,
    /// The key that it came with.
    pub key: Option<String>,
    /// SHA-256 of the message as it is kept, in hexadecimal digits.
    pub digest: String,
}

/// A message that is to be kept.
pub struct Coming {
    /// What it is known by.
    pub id: Id,
    /// Its topic, if it has one that can be read.
    pub topic: Option<String>,
    /// Why.
    pub why: Unmapped,
    /// When it came, in milliseconds since 1970.
    pub received_ms: u64,
    /// Which token brought it.
    pub token: TokenId,
    /// The tenants that the token is good for.
    pub tenants: Tenants,
    /// The key that it came with.
    pub key: Option<String>,
    /// The message.
    pub body: Vec<u8>,
}

/// What is listed of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What it is known by.
    pub id: Id,
    /// What is said of it; nothing if its file is damaged.
    pub line: Option<Line>,
    /// The bytes of its file.
    pub bytes: u64,
}

impl Line {
    /// Why it is here.
    #[must_use]
    pub fn why(&self) -> Unmapped {
        let reason = Reason::from_name(&self.reason).unwrap_or(Reason::Refused);
        Unmapped { reason, place: self.place.clone() }
    }
}

pub(super) fn read_line(path: &Path) -> io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LINE_BYTES).read_to_end(&mut bytes)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(summed::read::<Line>(line).ok().map(|read| read.content).filter(|line| line.format == FORMAT))
}
