//! What an operator changes about a log while it lives: a key is added or retired, the log is sealed and continued.
//!
//! One change at a time, and each is one commit with the entry that says so (`sequencer/change`). New key files are
//! durable before, so that no crash leaves a head that a bound key can't sign. Every command may be given again after a
//! crash or a lost answer: it goes on where the last one stopped.

use std::sync::Arc;

use bytes::Bytes;
use cairn_tree::checkpoint::{Origin, SignedCheckpoint};
use cairn_tree::note::{SignerKey, VerifierKey};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::statement::{End, KeyChange, KeyStatement, LinkStatement, SealStatement, Statement, StatementError};
use tokio::sync::oneshot;

use super::doubt::{NAME, OF_THE_LOG, policy_in_doubt, say_which_policy};
use super::head::{Head, Shared, Standing};
use super::keyring::KeyRingError;
use super::layout::{KeyEntry, KeyStatus, LogState, Successor, Terms};
use super::sequencer::{ChangeJob, Job, Refused};
use super::stored::ReadError;
use super::{CreateLogError, Engine, Log};
use crate::log_name::LogName;
use crate::signer::{HeadSigner, KeyType, SignerError};

/// What becomes of a log, and the entry that says so.
pub(super) struct Change {
    pub(super) leaf: Option<String>,
    pub(super) standing: Standing,
    pub(super) state: LogState,
}

/// Decides about a change, told the log's size, on the writer's thread.
pub(super) type Plan = Box<dyn FnOnce(TreeSize) -> Result<Change, LifeError> + Send>;

/// Why a log was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// There is none of that name.
    #[error("there is no log named {0}")]
    NoSuchLog(String),
    /// It can sign nothing more.
    #[error("the log is halted: {0}")]
    Halted(String),
    /// Its witnesses have not agreed yet, since the start, that it goes on.
    #[error("the log waits for its witnesses to agree that it goes on from where it was; try again then")]
    Held,
    /// A repair lost its witness policy.
    #[error("{}: say first which one holds, with {}", policy_in_doubt(OF_THE_LOG), say_which_policy(NAME))]
    LacksPolicy,
    /// It has ended.
    #[error("the log is sealed")]
    Sealed,
    /// It is sealed, and another log continues it.
    #[error("log {log} is sealed already, and {successor} continues it")]
    OtherSuccessor {
        /// The sealed log.
        log: String,
        /// The log that continues it.
        successor: String,
    },
    /// The successor has entries, continues another log, or can't take any.
    #[error("log {0} can't be the successor: it must not exist, or be open and empty, and continue no other log")]
    NoSuccessor(String),
    /// Somebody must sign the next head.
    #[error("log {log} has only one {kind} key; make a new one with `cairnd key rotate` before this one is retired")]
    LastKey {
        /// The log.
        log: String,
        /// What kind of key.
        kind: KeyType,
    },
    /// The keys can't be used.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The statement is not signed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The statement can't be made.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The statement does not fit an entry.
    #[error("the change does not fit an entry of the log: {0}")]
    Entry(String),
    /// The successor was not made.
    #[error(transparent)]
    Create(#[from] CreateLogError),
    /// The disk is nearly full.
    #[error("the disk has {free} bytes left, below the reserve of {reserve}")]
    DiskReserve {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// Too much waits already.
    #[error("the server is busy; try again")]
    Busy,
    /// The server is going down; whether the change was made is known after its restart.
    #[error("the server is stopping; see after its restart whether the change was made")]
    Stopping,
}

impl Engine {
    /// Adds a key to a log: from the next entry on, which says so, its heads are signed by this key beside the others.
    ///
    /// # Errors
    /// [`LifeError`]; unless it is [`LifeError::Stopping`], nothing has changed.
    pub async fn rotate_key(&self, name: &str, new: SignerKey) -> Result<VerifierKey, LifeError> {
        let _one_at_a_time = self.inner.life.lock().await;
        let log = self.find(name)?;
        let (before, ring) = (log.standing(), self.inner.keys.clone());
        let own_name = log.info.name.clone();
        let position = before.binding.keys.len();
        let make = {
            let (before, ring) = (Arc::clone(&before), ring.clone());
            move || -> Result<(VerifierKey, Standing), LifeError> {
                let key = ring.add(&before.binding, &new)?;
                let mut binding = before.binding.clone();
                binding.keys.push(KeyEntry { vkey: key.to_string(), status: KeyStatus::Active, first_size: 0 });
                let signer = ring.signer(&binding)?;
                Ok((key, Standing { binding, signer }))
            }
        };
        let (key, after) = blocking(self.inner.keys.waits(), make).await?;
        let (database, new_key) = (self.inner.database, key.clone());
        let plan = move |size: TreeSize| {
            let origin = origin(&before.binding.origin)?;
            let first = size.plus(1).map_err(|error| LifeError::Entry(error.to_string()))?;
            let changed = (new_key, KeyChange::Active);
            let statement = KeyStatement::new(origin, database, first, before.keys().to_vec(), changed)?;
            let mut standing = after;
            standing.binding.statements.push(size.get());
            if let Some(entry) = standing.binding.keys.last_mut() {
                entry.first_size = first.get();
            }
            // By the old keys, and by the new one, whose holder so shows that he has it.
            let leaf = leaf(&*standing.signer, Statement::Key(statement))?;
            Ok(Change { leaf: Some(leaf), standing, state: LogState::Open })
        };
        let changed = self.change(log, Box::new(plan)).await;
        if changed.as_ref().is_err_and(|error| !matches!(error, LifeError::Stopping)) {
            ring.discard(&own_name, &[(position, key.clone())]);
        }
        changed.map(|()| key)
    }

    /// Retires the oldest key of a kind: from the next entry on, which says so, it signs no more.
    ///
    /// # Errors
    /// [`LifeError`]; unless it is [`LifeError::Stopping`], nothing has changed.
    pub async fn retire_key(&self, name: &str, kind: KeyType) -> Result<VerifierKey, LifeError> {
        let _one_at_a_time = self.inner.life.lock().await;
        let log = self.find(name)?;
        let (before, ring) = (log.standing(), self.inner.keys.clone());
        let of_kind: Vec<&VerifierKey> =
            before.keys().iter().filter(|key| key.kind() == kind.signature_type()).collect();
        let [key, _, ..] = of_kind.as_slice() else { return Err(LifeError::LastKey { log: name.to_owned(), kind }) };
        let key: VerifierKey = (*key).clone();
        let mut binding = before.binding.clone();
        let vkey = key.to_string();
        binding.keys.iter_mut().filter(|entry| entry.vkey == vkey).for_each(|entry| entry.status = KeyStatus::Retired);
        let make = move || -> Result<Standing, LifeError> {
            let signer = ring.signer(&binding)?;
            Ok(Standing { binding, signer })
        };
        let after = blocking(self.inner.keys.waits(), make).await?;
        let (database, retired) = (self.inner.database, key.clone());
        let plan = move |size: TreeSize| {
            let origin = origin(&before.binding.origin)?;
            let first = size.plus(1).map_err(|error| LifeError::Entry(error.to_string()))?;
            let changed = (retired, KeyChange::Retired);
            let statement = KeyStatement::new(origin, database, first, before.keys().to_vec(), changed)?;
            let mut standing = after;
            standing.binding.statements.push(size.get());
            let leaf = leaf(&*before.signer, Statement::Key(statement))?;
            Ok(Change { leaf: Some(leaf), standing, state: LogState::Open })
        };
        self.change(log, Box::new(plan)).await.map(|()| key)
    }

    /// Ends a log and lets another continue it. The successor is made on these terms, with these keys, unless it is there
    /// already; then it must be open and empty. A log that is halted signs no end of its own: the successor's first entry
    /// holds its last signed head and says so.
    ///
    /// # Errors
    /// [`LifeError`]. Given again after any of them, the command goes on where it stopped.
    pub async fn seal(&self, name: &str, terms: Terms, keys: Vec<SignerKey>) -> Result<(), LifeError> {
        let successor = Successor { name: terms.name.clone(), origin: terms.origin.clone() };
        let mut life = self.inner.life.lock().await;
        let old = self.find(name)?;
        if let Some(other) = old.standing().binding.successor.as_ref().filter(|other| **other != successor) {
            return Err(LifeError::OtherSuccessor { log: name.to_owned(), successor: other.origin.clone() });
        }
        // 1. The successor is there, and waits for its link: nobody can append to it before.
        let new = match self.inner.registry.get(&successor.name) {
            Some(new) => {
                self.claim(&old, &new).await?;
                new
            }
            None => {
                self.create_in(&mut life, terms, keys, Some(old.info.name.clone())).await?;
                self.find(&successor.name)?
            }
        };
        // 2. The old log ends. From here on there is no other way than on.
        self.end(&old, &new, successor).await?;
        // 3. The new log's first entry holds the old one's final head.
        if new.head().size == TreeSize::ZERO { self.link(&old, new).await } else { Ok(()) }
    }

    /// Lets an existing log wait for its link.
    async fn claim(&self, old: &Shared, new: &Arc<Shared>) -> Result<(), LifeError> {
        let standing = new.standing();
        match &standing.binding.predecessor {
            Some(predecessor) if *predecessor == old.info.name => return Ok(()),
            None if new.info.id != old.info.id && new.state() == LogState::Open => {}
            _ => return Err(LifeError::NoSuccessor(new.info.name.to_string())),
        }
        let (mut binding, signer) = (standing.binding.clone(), Arc::clone(&standing.signer));
        binding.predecessor = Some(old.info.name.clone());
        let name = new.info.name.to_string();
        let plan = move |size: TreeSize| {
            if size > TreeSize::ZERO {
                return Err(LifeError::NoSuccessor(name));
            }
            Ok(Change { leaf: None, standing: Standing { binding, signer }, state: LogState::Open })
        };
        self.change(Arc::clone(new), Box::new(plan)).await
    }

    async fn end(&self, old: &Arc<Shared>, new: &Shared, successor: Successor) -> Result<(), LifeError> {
        let standing = old.standing();
        if standing.binding.successor.is_some() {
            return Ok(());
        }
        let (mut binding, signer) = (standing.binding.clone(), Arc::clone(&standing.signer));
        let successor_keys = new.standing().keys().to_vec();
        binding.successor = Some(successor.clone());
        let state = old.state();
        let plan = move |_| {
            let leaf = match &state {
                LogState::Open => {
                    let (from, to) = (origin(&binding.origin)?, origin(&successor.origin)?);
                    let statement = SealStatement::new(from, to, successor_keys)?;
                    Some(leaf(&*signer, Statement::Seal(statement))?)
                }
                LogState::Halted(_) | LogState::Sealed => None,
            };
            let state = if leaf.is_some() { LogState::Sealed } else { state };
            Ok(Change { leaf, standing: Standing { binding, signer }, state })
        };
        self.change(Arc::clone(old), Box::new(plan)).await
    }

    async fn link(&self, old: &Shared, new: Arc<Shared>) -> Result<(), LifeError> {
        let (ended, before) = (old.state(), old.standing());
        let ended = if ended == LogState::Sealed { End::Sealed } else { End::Halted };
        let head = old.head();
        let standing = new.standing();
        let plan = move |_| {
            let head = SignedCheckpoint::parse(&head.note).map_err(|error| LifeError::Entry(error.to_string()))?;
            let this = origin(&standing.binding.origin)?;
            let statement = LinkStatement::new(this, before.keys().to_vec(), head, ended)?;
            let leaf = leaf(&*standing.signer, Statement::Link(statement))?;
            let (binding, signer) = (standing.binding.clone(), Arc::clone(&standing.signer));
            Ok(Change { leaf: Some(leaf), standing: Standing { binding, signer }, state: LogState::Open })
        };
        self.change(new, Box::new(plan)).await
    }

    fn find(&self, name: &str) -> Result<Arc<Shared>, LifeError> {
        self.inner.registry.get(name).ok_or_else(|| LifeError::NoSuchLog(name.to_owned()))
    }

    async fn change(&self, log: Arc<Shared>, plan: Plan) -> Result<(), LifeError> {
        let (reply, answer) = oneshot::channel();
        match self.inner.sequencer.submit(Job::Change(Box::new(ChangeJob { log, plan, reply }))) {
            Ok(()) => answer.await.unwrap_or(Err(LifeError::Stopping)),
            Err(Refused::Full) => Err(LifeError::Busy),
            Err(Refused::Closed) => Err(LifeError::Stopping),
        }
    }
}

impl Log {
    /// Its keys, those that sign no more included, oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyEntry> {
        self.shared.standing().binding.keys.clone()
    }

    /// The vkeys that sign its heads, oldest first.
    #[must_use]
    pub fn vkeys(&self) -> Vec<String> {
        self.shared.standing().keys().iter().map(ToString::to_string).collect()
    }

    /// The entries that say how its keys changed, as far as the head covers them.
    ///
    /// # Errors
    /// As [`Log::entry`].
    pub fn key_statements(&self, head: &Head) -> Result<Vec<(LeafIndex, Bytes)>, ReadError> {
        let indexes = self.shared.standing().binding.statements.clone();
        let mut statements = Vec::with_capacity(indexes.len());
        for index in indexes.into_iter().filter_map(|index| LeafIndex::new(index).ok()) {
            if let Some(entry) = self.entry(head, index)? {
                statements.push((index, entry));
            }
        }
        Ok(statements)
    }

    /// The log that continues it.
    #[must_use]
    pub fn successor(&self) -> Option<Successor> {
        self.shared.standing().binding.successor.clone()
    }

    /// The name of the log that it continues.
    #[must_use]
    pub fn predecessor(&self) -> Option<LogName> {
        self.shared.standing().binding.predecessor.clone()
    }
}

/// Signs a statement with all Ed25519 keys of a signer.
fn leaf(signer: &dyn HeadSigner, statement: Statement) -> Result<String, LifeError> {
    let lines = signer.sign_statement(&statement)?;
    Ok(statement.with_signatures(lines)?.encode())
}

fn origin(text: &str) -> Result<Origin, LifeError> {
    Origin::new(text).map_err(|error| LifeError::Entry(error.to_string()))
}

/// Runs what asks the keyring: where it may wait for a signer, on a thread that holds up nothing else.
pub(super) async fn blocking<T, E>(waits: bool, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<SignerError> + Send + 'static,
{
    if !waits {
        return work();
    }
    let done = cairn_listen::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SignerError::Failed(error.to_string()).into()))
}
