//! The signer's list of logs and keys: one JSON file, bounded, replaced as a whole, with a digest (`crate::summed`).
//!
//! A key that the last head was not signed with, and that has signed heads before, counts as retired: servers sign every
//! head with exactly the log's active keys. Retired keys are kept for as long as there is room; live ones are never
//! forgotten. Not here: the private keys, and what was signed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cairn_tree::note::VerifierKey;
use serde::{Deserialize, Serialize};

use super::VaultError;
use crate::regular::{open_regular, read_bounded};
use crate::summed;

/// The file.
pub(super) const INDEX: &str = "signer.json";
const FORMAT: u8 = 1;

/// The most keys of one log that sign or may come to sign: no more can stand in a statement.
pub(super) const LIVE_KEYS: usize = 16;
/// Retired keys of one log that stay when it gets a new one; older ones give way.
pub(super) const RETIRED_KEYS: usize = 16;
/// Keys of all logs.
pub(super) const KEYS: usize = 65_536;
/// Bytes of the index.
const INDEX_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    format: u8,
    /// As hexadecimal digits; the state file carries the same.
    pub(super) id: String,
    pub(super) logs: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) number: u32,
    pub(super) origin: String,
    /// Oldest first.
    pub(super) keys: Vec<KeyLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine {
    pub(super) vkey: String,
    /// It has signed no head yet.
    pub(super) fresh: bool,
    /// It signed heads once, and not the last one.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(super) retired: bool,
}

impl Index {
    pub(super) fn new(id: String) -> Self {
        Self { format: FORMAT, id, logs: Vec::new() }
    }

    /// Reads it; `None` if there is no file.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, VaultError> {
        let path = folder.join(INDEX);
        let damaged = |problem: String| VaultError::Damaged { path: path.clone(), problem };
        let file = match open_regular(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VaultError::Io { path: path.clone(), error }),
        };
        let text = read_bounded(file, INDEX_BYTES).map_err(|error| damaged(error.to_string()))?;
        let index: Self = summed::read(&text).map_err(|error| damaged(error.to_string()))?.content;
        if index.format != FORMAT {
            return Err(damaged(format!("format {}, not {FORMAT}", index.format)));
        }
        Ok(Some(index))
    }

    /// Puts it in its place, whole and durable.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] if it would pass its bounds: then nothing has changed.
    pub(super) fn write(&self, folder: &Path) -> Result<(), VaultError> {
        let (path, beside) = (folder.join(INDEX), folder.join("signer.json.new"));
        let text = self.check()?;
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| VaultError::Io { path: path.clone(), error })
    }

    /// Its text, if it is within its bounds.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] otherwise.
    pub(super) fn check(&self) -> Result<Vec<u8>, VaultError> {
        let text = summed::to_pretty(self).map_err(|error| VaultError::Conflict(error.to_string()))?;
        let keys: usize = self.logs.iter().map(|entry| entry.keys.len()).sum();
        if keys <= KEYS && text.len() as u64 <= INDEX_BYTES {
            return Ok(text);
        }
        Err(VaultError::Conflict(format!(
            "this signer has room for {KEYS} keys in a list of {INDEX_BYTES} bytes, and no more; make another signer for \
             further logs"
        )))
    }

    pub(super) fn entry(&self, origin: &str) -> Option<&Entry> {
        self.logs.iter().find(|entry| entry.origin == origin)
    }

    pub(super) fn entry_mut(&mut self, origin: &str) -> Option<&mut Entry> {
        self.logs.iter_mut().find(|entry| entry.origin == origin)
    }
}

impl Entry {
    /// How many keys sign or may come to sign.
    pub(super) fn live(&self) -> usize {
        self.keys.iter().filter(|line| !line.retired).count()
    }

    pub(super) fn has(&self, key: &VerifierKey) -> bool {
        let vkey = key.to_string();
        self.keys.iter().any(|line| line.vkey == vkey)
    }

    /// Takes the oldest retired keys out until no more than so many are left; gives their vkeys.
    pub(super) fn forget_retired(&mut self, most: usize) -> Vec<String> {
        let mut excess = self.keys.iter().filter(|line| line.retired).count().saturating_sub(most);
        let mut forgotten = Vec::new();
        self.keys.retain(|line| {
            let goes = line.retired && excess > 0;
            if goes {
                excess -= 1;
                forgotten.push(line.vkey.clone());
            }
            !goes
        });
        forgotten
    }

    /// Whether signing a head with exactly these keys is news.
    pub(super) fn is_news(&self, vkeys: &[String]) -> bool {
        self.keys.iter().any(|line| line.after(vkeys) != (line.fresh, line.retired))
    }

    /// Notes that a head is signed with exactly these keys.
    pub(super) fn used(&mut self, vkeys: &[String]) {
        for line in &mut self.keys {
            (line.fresh, line.retired) = line.after(vkeys);
        }
    }
}

impl KeyLine {
    /// Whether it is fresh, and whether it is retired, once a head is signed with exactly these keys.
    fn after(&self, vkeys: &[String]) -> (bool, bool) {
        let uses = vkeys.contains(&self.vkey);
        (self.fresh && !uses, !self.fresh && !uses)
    }
}
