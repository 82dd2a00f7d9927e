//! What a signer process keeps in its own folder: the keys of any number of logs, and for each the last head that it
//! signed.
//!
//! | file | |
//! |---|---|
//! | `signer.json` | the folder's identity, the logs with their origins, and their vkeys |
//! | `keys/<number>+<key id>.skey` | the private keys, mode 0600 |
//! | `high-water` | the last signed size, root and time of each log: the format of the server's own high-water file |
//! | `lock` | held by the one process that uses the folder |
//!
//! A head is signed only if it is one of the last two again, or larger than the last and shown to extend it; and it is made durable before
//! its signature leaves the process. The state of all keys of a log is one: a new key can't start a second history. A log
//! without its state is refused at the start: a key whose past nobody knows must not sign.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{ConsistencyProof, Extension, Root};
use cairn_tree::note::{NoteSignature, SignerKey, VerifierKey};
use cairn_tree::size::TreeSize;
use cairn_tree::statement::Statement;
use cairn_tree::store::{DatabaseId, LogId};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::files::{head_lines, statement_lines};
use super::{HeadToSign, SignerError};
use crate::engine::{KeyFileError, KeyFiles};
use crate::high_water::{HighWater, HighWaterError, Mark};

const INDEX: &str = "signer.json";
const FORMAT: u8 = 1;
/// Longest index that is read.
const INDEX_BYTES: u64 = 64 << 20;
/// The most keys that one log can have: no more can stand in a statement.
const KEYS_PER_LOG: usize = 16;
/// Logs have numbers below this.
const BEFORE_LAST: u32 = 1 << 31;
/// How far ahead of the signer's own clock a server may set a head's time.
const AHEAD_MS: u64 = 5_000;

/// Why a signer's folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file system failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// There is one already.
    #[error("{} holds a signer already", .0.display())]
    Exists(PathBuf),
    /// There is none.
    #[error("{} holds no signer; make one with: cairnd signer init --dir {}", .0.display(), .0.display())]
    Missing(PathBuf),
    /// Another process has it.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The index is not what was written.
    #[error("{} is damaged: {problem}; restore the newest copy of the folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A key is missing, damaged or open to others.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The state is missing or damaged.
    #[error(transparent)]
    State(#[from] HighWaterError),
    /// There are keys of a log, but not its state.
    #[error(
        "the keys of {0} are here, but not the last head that they signed: signing without it could fork the log. Restore \
         the newest copy of the folder"
    )]
    Stateless(String),
    /// What was to be brought in is there in another form.
    #[error("{0}")]
    Conflict(String),
}

/// A log, as the signer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultLog {
    /// Its origin.
    pub origin: String,
    /// Its keys, oldest first.
    pub vkeys: Vec<String>,
    /// The last head that was signed.
    pub last: Root,
}

/// The open folder.
pub struct Vault {
    folder: PathBuf,
    index: Index,
    keys: KeyFiles,
    held: BTreeMap<String, Held>,
    high_water: HighWater,
    commit: u64,
    /// Its lock goes with it.
    _lock: File,
}

/// A log's keys at hand.
struct Held {
    number: LogId,
    keys: Vec<SignerKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    format: u8,
    /// As hexadecimal digits; the state file carries the same.
    id: String,
    logs: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    number: u32,
    origin: String,
    keys: Vec<KeyLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    vkey: String,
    /// It has signed no head yet.
    fresh: bool,
}

/// What became of a head that was to be signed.
#[derive(Debug)]
pub(super) enum Judged {
    Signed(Vec<NoteSignature>),
    /// The proof must start from this head.
    From(Root),
}

impl Vault {
    /// Makes an empty folder for a signer.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn create(folder: &Path, id: DatabaseId) -> Result<(), VaultError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| VaultError::Io { path: folder.into(), error })?;
        if folder.join(INDEX).exists() {
            return Err(VaultError::Exists(folder.into()));
        }
        let _lock = lock(folder)?;
        HighWater::create(&folder.join("high-water"), id)?;
        // Last: a folder without it was never finished.
        write_index(folder, &Index { format: FORMAT, id: id.to_string(), logs: Vec::new() })
    }

    /// Opens the folder, and checks that every log has its keys and its state.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn open(folder: &Path) -> Result<Self, VaultError> {
        let path = folder.join(INDEX);
        if !path.exists() {
            return Err(VaultError::Missing(folder.into()));
        }
        let _lock = lock(folder)?;
        let damaged = |problem: String| VaultError::Damaged { path: path.clone(), problem };
        let file = File::open(&path).map_err(|error| VaultError::Io { path: path.clone(), error })?;
        let text = io::read_to_string(io::Read::take(file, INDEX_BYTES)).map_err(|error| damaged(error.to_string()))?;
        let index: Index = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if index.format != FORMAT {
            return Err(damaged(format!("format {}, not {FORMAT}", index.format)));
        }
        let id = u128::from_str_radix(&index.id, 16).map_err(|error| damaged(error.to_string()))?;
        let (high_water, marks) = HighWater::open(&folder.join("high-water"), DatabaseId::new(id.to_be_bytes()))?;
        let keys = KeyFiles::new(folder.join("keys"));
        let mut held = BTreeMap::new();
        for entry in &index.logs {
            let one = hold(&keys, entry, &damaged)?;
            if marks.get(one.number).is_none() {
                return Err(VaultError::Stateless(entry.origin.clone()));
            }
            if held.insert(entry.origin.clone(), one).is_some() {
                return Err(damaged(format!("{} stands in it twice", entry.origin)));
            }
        }
        let commit = marks.commit();
        Ok(Self { folder: folder.into(), index, keys, held, high_water, commit, _lock })
    }

    /// All logs.
    #[must_use]
    pub fn logs(&self) -> Vec<VaultLog> {
        let line = |entry: &Entry| {
            let vkeys = entry.keys.iter().map(|key| key.vkey.clone()).collect();
            let last = self.high_water.marks().get(LogId::new(entry.number))?;
            Some(VaultLog { origin: entry.origin.clone(), vkeys, last: Root { size: last.size, hash: last.root } })
        };
        self.index.logs.iter().filter_map(line).collect()
    }

    /// The public keys of a log, if it is known.
    #[must_use]
    pub fn keys_of(&self, origin: &str) -> Option<Vec<VerifierKey>> {
        let held = self.held.get(origin)?;
        Some(held.keys.iter().map(|key| key.verifier_key().clone()).collect())
    }

    /// Takes over a log's keys, with the last head that they signed. Once more the same is no mistake.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] if the log is there with other keys.
    pub fn import(&mut self, origin: &Origin, keys: Vec<SignerKey>, last: Mark) -> Result<(), VaultError> {
        if let Some(known) = self.keys_of(origin.as_str()) {
            let same = keys.iter().all(|key| known.contains(key.verifier_key()));
            let other = || VaultError::Conflict(format!("{origin} is here already, with other keys"));
            return if same { Ok(()) } else { Err(other()) };
        }
        self.add(origin, keys, last, false)
    }

    /// Makes a key from a seed; a key of the type that has signed nothing yet is given again instead.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn new_key(&mut self, key: SignerKey, time_ms: u64) -> Result<VerifierKey, VaultError> {
        let origin = Origin::from(key.name());
        let public = key.verifier_key().clone();
        let Some(entry) = self.index.logs.iter().find(|entry| entry.origin == origin.as_str()) else {
            let last = Mark { size: TreeSize::ZERO, root: Hash::EMPTY_TREE, time_ms };
            self.add(&origin, vec![key], last, true)?;
            return Ok(public);
        };
        for line in entry.keys.iter().filter(|line| line.fresh) {
            if let Some(fresh) = line.vkey.parse::<VerifierKey>().ok().filter(|fresh| fresh.kind() == public.kind()) {
                return Ok(fresh);
            }
        }
        if entry.keys.len() >= KEYS_PER_LOG {
            return Err(VaultError::Conflict(format!(
                "{origin} has {KEYS_PER_LOG} keys already, the most that it can"
            )));
        }
        self.keys.write(&file_name(LogId::new(entry.number), &public), &key)?;
        let mut index = self.index.clone();
        if let Some(entry) = index.logs.iter_mut().find(|entry| entry.origin == origin.as_str()) {
            entry.keys.push(KeyLine { vkey: public.to_string(), fresh: true });
        }
        write_index(&self.folder, &index)?;
        self.index = index;
        if let Some(held) = self.held.get_mut(origin.as_str()) {
            held.keys.push(key);
        }
        Ok(public)
    }

    fn add(&mut self, origin: &Origin, keys: Vec<SignerKey>, last: Mark, fresh: bool) -> Result<(), VaultError> {
        // Never a number that a mark has: a log that a crash left half-made may have left one.
        let numbers = self.high_water.marks().iter().map(|(log, _)| log.get()).filter(|number| *number < BEFORE_LAST);
        let used = numbers.max().unwrap_or(0);
        let number = LogId::new(used.saturating_add(1).min(BEFORE_LAST - 1));
        for key in &keys {
            self.keys.write(&file_name(number, key.verifier_key()), key)?;
        }
        // The state before the index: what the index names has a state.
        self.mark(number, last)?;
        let lines = keys.iter().map(|key| KeyLine { vkey: key.verifier_key().to_string(), fresh }).collect();
        let mut index = self.index.clone();
        index.logs.push(Entry { number: number.get(), origin: origin.to_string(), keys: lines });
        write_index(&self.folder, &index)?;
        self.index = index;
        self.held.insert(origin.to_string(), Held { number, keys });
        Ok(())
    }

    /// Records a log's last head, and the one before it, which may be asked for again: a server that ended before it knew
    /// of the last one's signature starts from there.
    fn mark(&mut self, number: LogId, mark: Mark) -> Result<(), HighWaterError> {
        let before = self.high_water.marks().get(number).filter(|last| last.size < mark.size);
        let marks: Vec<_> =
            before.map(|last| (before_last(number), last)).into_iter().chain([(number, mark)]).collect();
        self.high_water.append(self.commit + 1, &marks)?;
        self.commit += 1;
        Ok(())
    }

    /// Signs a head with these keys, if it is the last one or is shown to extend it; `proof` starts at size `from`.
    /// The head is durable before this returns. `now_ms` is the signer's own time.
    pub(super) fn sign_head(
        &mut self,
        head: &HeadToSign<'_>,
        (from, proof): (u64, &ConsistencyProof),
        keys: &[String],
        now_ms: u64,
    ) -> Result<Judged, SignerError> {
        let origin = head.origin.as_str();
        let (number, last) = self.last(origin)?;
        let new = head.new;
        let known = |mark: &Mark| (mark.size, mark.root) == (new.size, new.hash);
        if let Some(before) = self.high_water.marks().get(before_last(number)).filter(known) {
            // With its own time: a newer one would make an older tree look like the newest.
            let head = HeadToSign { time_ms: before.time_ms, ..*head };
            return Ok(Judged::Signed(head_lines(&self.select(origin, keys)?, &head)?));
        }
        if let Some(refusal) = contradiction(last, new) {
            return Err(SignerError::Refused(refusal));
        }
        if new.size > last.size && last.size > TreeSize::ZERO {
            let old = Root { size: last.size, hash: last.root };
            if from != last.size.get() {
                return Ok(Judged::From(old));
            }
            let extends = proof.verify(&Extension { old, new });
            extends.map_err(|error| {
                SignerError::Refused(format!(
                    "the tree of {} entries is not shown to extend the last one that was signed, of {}: {error}",
                    new.size, last.size
                ))
            })?;
        }
        // A server whose clock is wrong, or that lies, must not push the time far ahead.
        let time_ms = last.time_ms.max(head.time_ms.min(now_ms.saturating_add(AHEAD_MS)));
        self.use_keys(origin, keys)?;
        let next = Mark { size: new.size, root: new.hash, time_ms };
        if next != last {
            // Durable first: an answer that nobody remembers could be followed by another.
            self.mark(number, next).map_err(|error| SignerError::Failed(error.to_string()))?;
        }
        let head = HeadToSign { time_ms, ..*head };
        Ok(Judged::Signed(head_lines(&self.select(origin, keys)?, &head)?))
    }

    /// Signs what a log says about itself, so far as that gives nothing away: every key in it is this signer's own, and
    /// a head in it the last that was signed.
    pub(super) fn sign_statement(&self, text: &str, keys: &[String]) -> Result<Vec<NoteSignature>, SignerError> {
        let refused = |reason: String| SignerError::Refused(reason);
        let statement = Statement::parse_text(text).map_err(|error| refused(error.to_string()))?;
        let own = |origin: &Origin, keys: &[VerifierKey]| {
            let known = self.keys_of(origin.as_str()).unwrap_or_default();
            let stranger = keys.iter().find(|key| !known.contains(key));
            stranger.map_or(Ok(()), |key| Err(refused(format!("the key {}+{} is not here", key.name(), key.id()))))
        };
        match &statement {
            Statement::Key(statement) => {
                own(statement.origin(), statement.before())?;
                own(statement.origin(), core::slice::from_ref(statement.key()))?;
            }
            Statement::Seal(statement) => own(statement.successor(), statement.successor_keys())?,
            Statement::Link(statement) => {
                own(statement.predecessor(), statement.predecessor_keys())?;
                let (_, last) = self.last(statement.predecessor().as_str())?;
                let head = statement.head().unverified();
                if (head.size(), head.root()) != (last.size, last.root) {
                    return Err(refused("the predecessor's head is not the last one that was signed".to_owned()));
                }
            }
        }
        statement_lines(&self.select(statement.origin().as_str(), keys)?, &statement)
    }

    fn last(&self, origin: &str) -> Result<(LogId, Mark), SignerError> {
        let unknown = || SignerError::Refused(format!("no keys of {origin:?} are here"));
        let held = self.held.get(origin).ok_or_else(unknown)?;
        Ok((held.number, self.high_water.marks().get(held.number).ok_or_else(unknown)?))
    }

    /// The keys with these vkeys.
    fn select(&self, origin: &str, vkeys: &[String]) -> Result<Vec<&SignerKey>, SignerError> {
        let held = self.held.get(origin).map(|held| held.keys.as_slice()).unwrap_or_default();
        let missing = |vkey: &String| SignerError::Refused(format!("the key {vkey} of {origin:?} is not here"));
        let find = |vkey: &String| {
            let found = held.iter().find(|key| key.verifier_key().to_string() == *vkey);
            found.ok_or_else(|| missing(vkey))
        };
        vkeys.iter().map(find).collect()
    }

    /// Remembers that these keys sign heads, before they do.
    fn use_keys(&mut self, origin: &str, vkeys: &[String]) -> Result<(), SignerError> {
        self.select(origin, vkeys)?;
        let Some(position) = self.index.logs.iter().position(|entry| entry.origin == origin) else { return Ok(()) };
        let begins = |line: &KeyLine| line.fresh && vkeys.contains(&line.vkey);
        if !self.index.logs.get(position).is_some_and(|entry| entry.keys.iter().any(begins)) {
            return Ok(());
        }
        let mut index = self.index.clone();
        let lines = index.logs.get_mut(position).into_iter().flat_map(|entry| &mut entry.keys);
        lines.filter(|line| begins(line)).for_each(|line| line.fresh = false);
        write_index(&self.folder, &index).map_err(|error| SignerError::Failed(error.to_string()))?;
        self.index = index;
        Ok(())
    }
}

/// Why a head contradicts the last one that was signed, whatever is proven.
fn contradiction(last: Mark, new: Root) -> Option<String> {
    if new.size < last.size {
        return Some(format!(
            "a head of {} entries was signed, this one has {}: the log went back",
            last.size, new.size
        ));
    }
    let forks = new.size == last.size && new.hash != last.root;
    let empty = new.size == TreeSize::ZERO && new.hash != Hash::EMPTY_TREE;
    (forks || empty).then(|| format!("another root was signed for {} entries: this one is of a fork", new.size))
}

/// The number under which the head before a log's last one is recorded.
fn before_last(number: LogId) -> LogId {
    LogId::new(number.get() | BEFORE_LAST)
}

fn file_name(number: LogId, key: &VerifierKey) -> String {
    format!("{number}+{}", key.id())
}

fn hold(keys: &KeyFiles, entry: &Entry, damaged: &dyn Fn(String) -> VaultError) -> Result<Held, VaultError> {
    let origin = Origin::new(entry.origin.clone()).map_err(|error| damaged(error.to_string()))?;
    let number = LogId::new(entry.number);
    let read = |line: &KeyLine| {
        let public: VerifierKey = line.vkey.parse().map_err(|error| damaged(format!("a vkey: {error}")))?;
        let key = keys.read(&file_name(number, &public))?;
        if *key.verifier_key() == public && origin.is_named(key.name()) {
            Ok(key)
        } else {
            Err(damaged(format!("the key file of {} holds another key", line.vkey)))
        }
    };
    let keys = entry.keys.iter().map(read).collect::<Result<_, VaultError>>()?;
    Ok(Held { number, keys })
}

fn lock(folder: &Path) -> Result<File, VaultError> {
    let path = folder.join("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = opened.map_err(|error| VaultError::Io { path: path.clone(), error })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(VaultError::Locked(folder.into())),
        Err(error) => Err(VaultError::Io { path, error: error.into() }),
    }
}

/// Puts the index in its place, whole and durable.
fn write_index(folder: &Path, index: &Index) -> Result<(), VaultError> {
    let (path, beside) = (folder.join(INDEX), folder.join("signer.json.new"));
    let write = || -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(index)?;
        text.push(b'\n');
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| VaultError::Io { path: path.clone(), error })
}
