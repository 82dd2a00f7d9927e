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
//! A head is signed if it is larger than the last and shown to extend it, and it is made durable before its signature
//! leaves the process. It is signed again if it is the last one, or the last that the server had made durable when it
//! asked for that: a server that crashed starts from there. The state of all keys of a log is one: a new key can't start a
//! second history. A log without its state is refused at the start: a key whose past nobody knows must not sign.

mod index;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
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

use index::{Entry, INDEX, Index, KeyLine, LIVE_KEYS, RETIRED_KEYS};

use super::files::{head_lines, statement_lines};
use super::{HeadToSign, SignerError};
use crate::engine::{KeyFile, KeyFileError, KeyFiles};
use crate::high_water::{HighWater, HighWaterError, Mark};
use crate::names::sync_name;

const HIGH_WATER: &str = "high-water";
/// Logs have numbers below this; with it, they name the head that a server may come back to.
const RELEASED: u32 = 1 << 31;
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
    /// There is none, or one that was never finished.
    #[error("{} holds no signer; make one with: cairnd signer init --dir {}", .0.display(), .0.display())]
    Missing(PathBuf),
    /// There is a state, and nothing that says whose.
    #[error(
        "{} holds the state of a signer whose list of keys, signer.json, is lost: restore the newest copy of the folder, or \
         choose another folder for a new signer", .0.display()
    )]
    NoIndex(PathBuf),
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

/// What comes to the signer from the server's own files.
pub struct HandedOver {
    /// The keys that sign.
    pub active: Vec<SignerKey>,
    /// Keys that sign no more.
    pub retired: Vec<SignerKey>,
    /// The last head that they signed and anybody may have seen.
    pub last: Mark,
}

/// What became of a head that was to be signed.
#[derive(Debug)]
pub(super) enum Judged {
    Signed(Vec<NoteSignature>),
    /// The proof must start from this head.
    From(Root),
}

impl Vault {
    /// Makes an empty folder for a signer, or goes on where a crash cut that short.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn create(folder: &Path, id: DatabaseId) -> Result<(), VaultError> {
        let failed = |error| VaultError::Io { path: folder.into(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        sync_name(folder).map_err(failed)?;
        let _lock = lock(folder)?;
        let high_water = folder.join(HIGH_WATER);
        // The list first, and the state last: a list without logs needs none, so it can be made whatever was lost.
        let id = match Index::read(folder)? {
            None if high_water.symlink_metadata().is_ok() => return Err(VaultError::NoIndex(folder.into())),
            None => {
                Index::new(id.to_string()).write(folder)?;
                id
            }
            Some(index) if index.logs.is_empty() && high_water.symlink_metadata().is_err() => {
                identity(&index).map_err(|problem| VaultError::Damaged { path: folder.join(INDEX), problem })?
            }
            Some(_) => return Err(VaultError::Exists(folder.into())),
        };
        HighWater::create(&high_water, id)?;
        Ok(())
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
        let index = Index::read(folder)?.ok_or_else(|| VaultError::Missing(folder.into()))?;
        let high_water = folder.join(HIGH_WATER);
        if index.logs.is_empty() && high_water.symlink_metadata().is_err() {
            return Err(VaultError::Missing(folder.into()));
        }
        let (high_water, marks) = HighWater::open(&high_water, identity(&index).map_err(damaged)?)?;
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

    /// The public keys of a log, if it is known; those that are retired, too.
    #[must_use]
    pub fn keys_of(&self, origin: &str) -> Option<Vec<VerifierKey>> {
        let held = self.held.get(origin)?;
        Some(held.keys.iter().map(|key| key.verifier_key().clone()).collect())
    }

    /// The newest of the keys of a log, if it is known: at least those that sign or may come to sign.
    pub(super) fn newest_keys_of(&self, origin: &str) -> Option<Vec<VerifierKey>> {
        let entry = self.index.entry(origin)?;
        let live = entry.keys.iter().filter(|line| !line.retired);
        let retired = entry.keys.iter().rev().filter(|line| line.retired).take(RETIRED_KEYS);
        live.chain(retired).map(|line| line.vkey.parse().ok()).collect()
    }

    /// Takes over a log's keys, with the last head that they signed. Once more the same is no mistake; keys that the log
    /// has got since are added.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] if another history of the log is known here, or a longer one.
    pub fn import(&mut self, origin: &Origin, from: HandedOver) -> Result<(), VaultError> {
        let HandedOver { active, retired, last } = from;
        let line = |key: &SignerKey, retired| KeyLine { vkey: key.verifier_key().to_string(), fresh: false, retired };
        let keys = retired.into_iter().map(|key| (line(&key, true), key));
        let keys: Vec<_> = keys.chain(active.into_iter().map(|key| (line(&key, false), key))).collect();
        let Ok((number, known)) = self.last(origin.as_str()) else { return self.add(origin, keys, last) };
        if last.size < known.size || (last.size == known.size && last.root != known.root) {
            return Err(VaultError::Conflict(format!(
                "a head of {origin} of {} entries is known here, which its database, of {} entries, does not have: it is an \
                 older copy, or another history",
                known.size, last.size
            )));
        }
        let mut index = self.index.clone();
        let Some(entry) = index.entry_mut(origin.as_str()) else { return Ok(()) };
        let new: Vec<_> = keys.into_iter().filter(|(_, key)| !entry.has(key.verifier_key())).collect();
        if new.is_empty() {
            return Ok(());
        }
        entry.keys.extend(new.iter().map(|(line, _)| line.clone()));
        index.check()?;
        new.iter().try_for_each(|(_, key)| self.write_key(number, key))?;
        self.adopt(index)?;
        self.held.entry(origin.to_string()).and_modify(|held| held.keys.extend(new.into_iter().map(|(_, key)| key)));
        Ok(())
    }

    /// Makes a key from a seed; a key of the type that has signed nothing yet is given again instead.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] if there is no room.
    pub fn new_key(&mut self, key: SignerKey, time_ms: u64) -> Result<VerifierKey, VaultError> {
        let origin = Origin::from(key.name());
        let public = key.verifier_key().clone();
        let line = KeyLine { vkey: public.to_string(), fresh: true, retired: false };
        let mut index = self.index.clone();
        let Some(entry) = index.entry_mut(origin.as_str()) else {
            let last = Mark { size: TreeSize::ZERO, root: Hash::EMPTY_TREE, time_ms };
            self.add(&origin, vec![(line, key)], last)?;
            return Ok(public);
        };
        let fresh =
            entry.keys.iter().filter(|line| line.fresh).filter_map(|line| line.vkey.parse::<VerifierKey>().ok());
        if let Some(fresh) = fresh.into_iter().find(|fresh| fresh.kind() == public.kind()) {
            return Ok(fresh);
        }
        if entry.live() >= LIVE_KEYS {
            return Err(VaultError::Conflict(format!(
                "{origin} has {LIVE_KEYS} keys that sign, the most that it can; retire one first: cairnd key rotate --retire"
            )));
        }
        let number = LogId::new(entry.number);
        let forgotten = entry.forget_retired(RETIRED_KEYS);
        entry.keys.push(line);
        index.check()?;
        self.write_key(number, &key)?;
        self.adopt(index)?;
        if let Some(held) = self.held.get_mut(origin.as_str()) {
            held.keys.retain(|key| !forgotten.contains(&key.verifier_key().to_string()));
            held.keys.push(key);
        }
        // Nothing names them any more: a file that a crash leaves here is never read.
        let forgotten = forgotten.iter().filter_map(|vkey| vkey.parse().ok());
        forgotten.for_each(|key| self.keys.discard(&KeyFile::numbered(number, &key)));
        Ok(public)
    }

    fn add(&mut self, origin: &Origin, keys: Vec<(KeyLine, SignerKey)>, last: Mark) -> Result<(), VaultError> {
        // Never a number that a mark has: a log that a crash left half-made may have left one.
        let numbers = self.high_water.marks().iter().map(|(log, _)| log.get()).filter(|number| *number < RELEASED);
        let used = numbers.max().unwrap_or(0);
        let number = LogId::new(used.saturating_add(1).min(RELEASED - 1));
        let (lines, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let mut index = self.index.clone();
        index.logs.push(Entry { number: number.get(), origin: origin.to_string(), keys: lines });
        index.check()?;
        keys.iter().try_for_each(|key| self.write_key(number, key))?;
        // The state before the index: what the index names has a state.
        self.mark(number, last, None)?;
        self.adopt(index)?;
        self.held.insert(origin.to_string(), Held { number, keys });
        Ok(())
    }

    /// Writes the file of a key that the index does not name yet. One that is there already is what a crash has left.
    fn write_key(&self, number: LogId, key: &SignerKey) -> Result<(), VaultError> {
        let name = KeyFile::numbered(number, key.verifier_key());
        if self.keys.read(&name).is_ok_and(|there| there.verifier_key() == key.verifier_key()) {
            return Ok(());
        }
        self.keys.remove(&name)?;
        Ok(self.keys.write(&name, key)?)
    }

    /// Puts another index in force, durably.
    fn adopt(&mut self, index: Index) -> Result<(), VaultError> {
        index.write(&self.folder)?;
        self.index = index;
        Ok(())
    }

    /// Records a log's last head, and the one that the server may come back to: the last that it says it has made
    /// durable, if that is one of the two that are recorded, else the last head before.
    fn mark(&mut self, number: LogId, mark: Mark, released: Option<Root>) -> Result<(), HighWaterError> {
        let marks = self.high_water.marks();
        let is = |one: &Mark| released.is_some_and(|released| (one.size, one.root) == (released.size, released.hash));
        let kept = marks.get(self::released(number)).filter(is);
        let before = marks.get(number).filter(|last| last.size < mark.size && kept.is_none());
        let marks: Vec<_> =
            before.map(|last| (self::released(number), last)).into_iter().chain([(number, mark)]).collect();
        self.high_water.append(self.commit + 1, &marks)?;
        self.commit += 1;
        Ok(())
    }

    /// Signs a head with these keys, if it is the last one, or the one that the server may come back to, or is shown to
    /// extend the last; `proof` starts at size `from`. The head is durable before this returns. `now_ms` is the signer's
    /// own time.
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
        let known = |mark: &Mark| new.size < last.size && (mark.size, mark.root) == (new.size, new.hash);
        if let Some(before) = self.high_water.marks().get(released(number)).filter(known) {
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
            self.mark(number, next, Some(head.old)).map_err(|error| SignerError::Failed(error.to_string()))?;
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

    /// Remembers that these keys, and no others, sign heads, before they do.
    fn use_keys(&mut self, origin: &str, vkeys: &[String]) -> Result<(), SignerError> {
        self.select(origin, vkeys)?;
        // Copied and written only when something changes: the list may be long, and heads are many.
        if !self.index.entry(origin).is_some_and(|entry| entry.is_news(vkeys)) {
            return Ok(());
        }
        let mut index = self.index.clone();
        if let Some(entry) = index.entry_mut(origin) {
            entry.used(vkeys);
        }
        self.adopt(index).map_err(|error| SignerError::Failed(error.to_string()))
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

/// The number under which the head is recorded that a log's server may come back to.
fn released(number: LogId) -> LogId {
    LogId::new(number.get() | RELEASED)
}

/// Both files carry it.
fn identity(index: &Index) -> Result<DatabaseId, String> {
    let id = u128::from_str_radix(&index.id, 16).map_err(|error| error.to_string())?;
    Ok(DatabaseId::new(id.to_be_bytes()))
}

fn hold(keys: &KeyFiles, entry: &Entry, damaged: &dyn Fn(String) -> VaultError) -> Result<Held, VaultError> {
    let origin = Origin::new(entry.origin.clone()).map_err(|error| damaged(error.to_string()))?;
    let number = LogId::new(entry.number);
    let read = |line: &KeyLine| {
        let public: VerifierKey = line.vkey.parse().map_err(|error| damaged(format!("a vkey: {error}")))?;
        let key = keys.read(&KeyFile::numbered(number, &public))?;
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
