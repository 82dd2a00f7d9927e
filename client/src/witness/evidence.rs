//! Keeps what a log signed against itself: two heads of which neither extends the other, in the file format of monitors.
//!
//! The number of files is bounded, and one contradiction is written once; whoever shows the same again, or thousands of
//! them, takes no more room. Not here: judging such a file (`cairn evidence`).

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys, LogKeysError, OriginHash};
use cairn_tree::note::VerifierKey;

use super::bounds;
use super::fork::Fork;
use crate::files::{FileError, write_new};
use crate::monitor::{Evidence, Observation};

/// The folder of evidence.
#[derive(Debug)]
pub(super) struct Cabinet {
    folder: PathBuf,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    total: usize,
    of_log: HashMap<OriginHash, usize>,
}

/// Why a contradiction was not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    /// There is enough of it.
    #[error("there are as many evidence files as are kept")]
    Enough,
    /// More keys have signed than one log has.
    #[error(transparent)]
    Keys(#[from] LogKeysError),
    /// It can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It can't be put in words.
    #[error(transparent)]
    Form(#[from] crate::monitor::EvidenceError),
}

impl Cabinet {
    /// Opens the folder, and counts what is in it.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut files = Files::default();
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let hash = name.to_str().and_then(|name| name.get(..2 * OriginHash::LEN)).and_then(OriginHash::parse);
            if let Some(hash) = hash {
                files.total += 1;
                *files.of_log.entry(hash).or_default() += 1;
            }
        }
        Ok(Self { folder, files: Mutex::new(files) })
    }

    /// Writes down what the log signed against itself, and who showed it. `None` if that is written already.
    pub(super) fn keep(&self, fork: &Fork, shown_by: &str) -> Result<Option<PathBuf>, KeepError> {
        let (cosigned, other) = (fork.one(), fork.other());
        let seconds = i64::try_from(fork.seconds()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string();
        let hash = OriginHash::of(fork.origin());
        let path = self.folder.join(file_name(hash, other));
        // One at a time, so that nothing is written twice. A panic while the lock is held leaves the counts whole.
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if path.exists() {
            return Ok(None);
        }
        let of_log = files.of_log.get(&hash).copied().unwrap_or(0);
        if files.total >= bounds::EVIDENCE_FILES || of_log >= bounds::EVIDENCE_PER_LOG {
            return Err(KeepError::Enough);
        }
        let observation = Observation {
            keys: &LogKeys::new(known_keys(cosigned, other))?,
            url: shown_by.to_owned(),
            at,
            transcript: Vec::new(),
        };
        let path = write_new(&path, &Evidence::new(fork.case(), observation).encode()?)?;
        files.total += 1;
        *files.of_log.entry(hash).or_default() += 1;
        Ok(Some(path))
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// All log keys that signed either head.
fn known_keys(cosigned: &AvowedCheckpoint, other: &AvowedCheckpoint) -> Vec<VerifierKey> {
    let mut keys = cosigned.keys().to_vec();
    keys.extend(other.keys().iter().filter(|key| !cosigned.keys().contains(key)).cloned());
    keys
}

/// The name says which log, which size and which other root, so that one contradiction has one file.
fn file_name(hash: OriginHash, other: &AvowedCheckpoint) -> String {
    let root: String = other.root().to_string().chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    format!("{hash}-{}-{root}.fork.json", other.size())
}
