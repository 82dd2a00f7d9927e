//! What a log publishes beside its newest head: its checkpoint, the witness policy that the checkpoint must meet, and
//! whether its witnesses have yet to agree that it goes on, or its operator has to say which policy holds.
//!
//! Not here: asking witnesses (`crate::cosigners`), and the rows' bytes (`layout`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_tree::policy::{Policy, PolicyError};
use tokio::sync::watch;

use super::head::Head;
use super::layout::{Checkpointed, Current, PolicyRow, PolicyText, RowError};

/// A log's witness policy, with the file that said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPolicy {
    text: PolicyText,
    policy: Policy,
}

impl LogPolicy {
    /// Reads a policy file. Whether it suits a log is for whoever asks witnesses to say.
    ///
    /// # Errors
    /// [`PolicyError`] names the line and what is wrong with it.
    pub fn parse(file: &[u8], fail_open: bool) -> Result<Self, PolicyError> {
        let policy = Policy::parse(file)?;
        Ok(Self { text: PolicyText { text: file.to_vec(), fail_open }, policy })
    }

    /// The file, byte for byte.
    #[must_use]
    pub fn file(&self) -> &[u8] {
        &self.text.text
    }

    /// What it says.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether heads are published without the quorum when it is late.
    #[must_use]
    pub const fn fail_open(&self) -> bool {
        self.text.fail_open
    }

    /// Whether there is a witness that can be asked.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.policy.witnesses().iter().any(|witness| witness.url().is_some())
    }

    fn from_row(text: Option<PolicyText>) -> Result<Option<Arc<Self>>, RowError> {
        let parsed = |text: PolicyText| Self::parse(&text.text, text.fail_open);
        let unreadable = |error: PolicyError| RowError { row: "policy", problem: error.to_string() };
        Ok(text.map(parsed).transpose().map_err(unreadable)?.map(Arc::new))
    }
}

/// Which head is the checkpoint.
#[derive(Debug, Clone)]
pub struct Published {
    /// The newest that met the policy; absent without a policy, and where a repair lost it and none has met it since.
    pinned: Option<Arc<Head>>,
    /// Whether the newest head is the checkpoint as soon as it is larger: without a policy, and with the quorum `none`.
    follows: bool,
}

impl Published {
    /// The checkpoint, while this is the newest head.
    fn at(&self, head: &Arc<Head>) -> Option<Arc<Head>> {
        match &self.pinned {
            Some(pinned) if !self.follows || pinned.size >= head.size => Some(Arc::clone(pinned)),
            None if !self.follows => None,
            _ => Some(Arc::clone(head)),
        }
    }
}

/// The part of a log that witnesses decide about.
pub(super) struct Publishing {
    published: watch::Sender<Published>,
    policy: watch::Sender<Option<Arc<LogPolicy>>>,
    /// A policy that was replaced before its witnesses had agreed.
    outstanding: Mutex<Option<Arc<LogPolicy>>>,
    /// Appends wait until the witnesses have agreed that the log goes on.
    held: AtomicBool,
    /// A repair lost the policy: the log is held, and publishes nothing, until the operator has said which one holds.
    lost: AtomicBool,
    /// The operator has said one since, whose witnesses have not agreed yet: another may be said in its place.
    proposed: AtomicBool,
    /// One change of policy or checkpoint at a time, from its row to what is served.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Default for Publishing {
    fn default() -> Self {
        Self {
            published: watch::channel(Published { pinned: None, follows: true }).0,
            policy: watch::channel(None).0,
            outstanding: Mutex::new(None),
            held: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            proposed: AtomicBool::new(false),
            changing: tokio::sync::Mutex::new(()),
        }
    }
}

impl Publishing {
    /// Takes up what the rows say. A log with witnesses that can be asked is held from here on, and one of which nobody
    /// knows the policy.
    pub(super) fn restore(&self, row: PolicyRow, checkpoint: Option<Checkpointed>) -> Result<(), RowError> {
        let (is_lost, is_proposed) = (row.current == Current::Lost, matches!(row.current, Current::Proposed(_)));
        let (policy, outstanding) = (LogPolicy::from_row(row.current.said())?, LogPolicy::from_row(row.outstanding)?);
        let has_checkpoint = policy.is_some() || is_lost;
        if has_checkpoint && checkpoint.is_none() {
            return Err(RowError { row: "checkpoint", problem: "missing, although the log has a policy".to_owned() });
        }
        let can_ask = |policy: &Option<Arc<LogPolicy>>| policy.as_ref().is_some_and(|policy| policy.can_ask());
        self.held.store(is_lost || can_ask(&policy) || can_ask(&outstanding), Ordering::Release);
        self.lost.store(is_lost, Ordering::Release);
        self.proposed.store(is_proposed, Ordering::Release);
        if let Some(checkpoint) = checkpoint.filter(|_| has_checkpoint) {
            let pinned = checkpoint.head().map(Arc::new);
            self.published.send_replace(Published { pinned, follows: !is_lost && follows(&policy) });
        }
        self.policy.send_replace(policy);
        self.set_outstanding(outstanding);
        Ok(())
    }

    /// The checkpoint, if there is one. `head` gives the newest head; it is asked while no change of the checkpoint can
    /// come between, so that no size seen here ever falls.
    pub(super) fn checkpoint(&self, head: impl FnOnce() -> Arc<Head>) -> Option<Arc<Head>> {
        let published = self.published.borrow();
        published.at(&head())
    }

    /// From here on, and until [`Publishing::pin`] or [`Publishing::adopt`], the checkpoint stays what it is now.
    pub(super) fn freeze(&self, head: impl Fn() -> Arc<Head>) -> Option<Arc<Head>> {
        self.published.send_modify(|published| {
            let checkpoint = published.at(&head());
            *published = Published { pinned: checkpoint, follows: false };
        });
        self.checkpoint(head)
    }

    /// Puts a policy in force whose row, with the frozen checkpoint, is durable.
    pub(super) fn adopt(&self, policy: Option<Arc<LogPolicy>>) {
        let follows = follows(&policy);
        let gone = policy.is_none();
        self.policy.send_replace(policy);
        self.published.send_modify(|published| {
            published.follows = follows;
            if gone {
                published.pinned = None;
            }
        });
    }

    /// Serves a checkpoint that is durable.
    pub(super) fn pin(&self, checkpoint: Arc<Head>) {
        self.published.send_modify(|published| published.pinned = Some(checkpoint));
    }

    pub(super) fn pinned(&self) -> Option<Arc<Head>> {
        self.published.borrow().pinned.clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    pub(super) fn policy(&self) -> Option<Arc<LogPolicy>> {
        self.policy.borrow().clone()
    }

    pub(super) fn policies(&self) -> watch::Receiver<Option<Arc<LogPolicy>>> {
        self.policy.subscribe()
    }

    pub(super) fn outstanding(&self) -> Option<Arc<LogPolicy>> {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_outstanding(&self, policy: Option<Arc<LogPolicy>>) {
        *self.outstanding.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Whether nobody knows which policy holds.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Whether the operator alone decides which policy holds: a repair lost it, and no witnesses have agreed to another.
    pub(super) fn is_open(&self) -> bool {
        self.is_lost() || self.proposed.load(Ordering::Acquire)
    }

    /// The operator has said which policy holds, and its witnesses are to agree.
    pub(super) fn propose(&self) {
        self.proposed.store(true, Ordering::Release);
        self.lost.store(false, Ordering::Release);
    }

    /// Appends are taken from here on. Nothing holds them again before the next start.
    pub(super) fn let_go(&self) {
        self.lost.store(false, Ordering::Release);
        self.proposed.store(false, Ordering::Release);
        self.held.store(false, Ordering::Release);
    }
}

fn follows(policy: &Option<Arc<LogPolicy>>) -> bool {
    policy.as_ref().is_none_or(|policy| policy.policy.needs_no_witness())
}

/// The row of these policies.
pub(super) fn row(current: Option<&LogPolicy>, outstanding: Option<&LogPolicy>) -> PolicyRow {
    let text = |policy: &LogPolicy| policy.text.clone();
    let current = current.map(text).map_or(Current::Absent, Current::Said);
    PolicyRow { current, outstanding: outstanding.map(text) }
}

/// The row of a policy whose witnesses are to agree first.
pub(super) fn proposed(policy: &LogPolicy) -> PolicyRow {
    PolicyRow { current: Current::Proposed(policy.text.clone()), outstanding: None }
}
