//! What a log's witnesses decide, as the rest of the server uses it: checkpoints, policies, and holding appends back.
//!
//! The order of each change: its rows are durable first, then it is served. Whoever is cut off in between finds the new
//! rows after a restart, and nothing that was served is larger than they are.

use std::sync::Arc;

use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::Key;
use tokio::sync::{oneshot, watch};

use super::head::Head;
use super::layout::{CheckpointRow, PolicyRow};
use super::published::{self, LogPolicy, Published};
use super::sequencer::{DecideJob, Decides, Job};
use super::{Engine, Log};

/// Rows that are written, and keys of rows that go.
type Rows = (Vec<(Key, Vec<u8>)>, Vec<Key>);

/// Why a checkpoint was not published, or a policy not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The policy under which the checkpoint was made is not in force any more.
    #[error("the log has another policy by now")]
    OtherPolicy,
    /// A checkpoint's size never falls.
    #[error("a checkpoint of size {found} can't follow one of size {published}")]
    Smaller {
        /// Its size.
        found: u64,
        /// The size of the one that is published.
        published: u64,
    },
    /// The server is going down; what became of it is known after its restart.
    #[error("the server is stopping")]
    Stopping,
}

impl Engine {
    /// Counts changes of policies, and of logs that are held.
    #[must_use]
    pub fn policy_changes(&self) -> watch::Receiver<u64> {
        self.inner.registry.changes()
    }
}

impl Log {
    /// The newest head that met the witness policy; without a policy, the newest head. Its size never falls. `None` where a
    /// repair lost it, until a head meets the policy again.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Arc<Head>> {
        self.shared.publishing.checkpoint(|| self.shared.head())
    }

    /// Is told of new checkpoints, as far as they are not just the newest head.
    #[must_use]
    pub fn checkpoints(&self) -> watch::Receiver<Published> {
        self.shared.publishing.subscribe()
    }

    /// Waits for a checkpoint that has the entry at `index`.
    pub async fn witnessed(&self, index: LeafIndex) -> Arc<Head> {
        let mut published = self.shared.publishing.subscribe();
        loop {
            published.mark_unchanged();
            if let Some(checkpoint) = self.checkpoint().filter(|checkpoint| checkpoint.size.contains(index)) {
                return checkpoint;
            }
            // Its sender lives as long as the log does.
            if published.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// The witness policy in force.
    #[must_use]
    pub fn policy(&self) -> Option<Arc<LogPolicy>> {
        self.shared.publishing.policy()
    }

    /// Follows the witness policy.
    #[must_use]
    pub fn policies(&self) -> watch::Receiver<Option<Arc<LogPolicy>>> {
        self.shared.publishing.policies()
    }

    /// A policy that was replaced before its witnesses had agreed that the log goes on: they have to agree still.
    #[must_use]
    pub fn outstanding_policy(&self) -> Option<Arc<LogPolicy>> {
        self.shared.publishing.outstanding()
    }

    /// Whether appends wait: for the witnesses, which have to agree that the log goes on, or for the operator, if nobody
    /// knows the policy.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.shared.publishing.is_held()
    }

    /// Whether a repair lost the witness policy, so that nothing is published and no append is taken before the operator
    /// has said which one holds.
    #[must_use]
    pub fn lacks_policy(&self) -> bool {
        self.shared.publishing.is_lost()
    }

    /// Puts a policy in force, or none. The checkpoint stays what it is until a larger head meets the new policy. A log that
    /// lacks its policy goes on with it; if it has witnesses that can be asked, once these have agreed, as after a start,
    /// and until then another policy may be put in its place.
    ///
    /// # Errors
    /// [`PublishError::Stopping`].
    pub async fn set_policy(&self, policy: Option<LogPolicy>) -> Result<(), PublishError> {
        let publishing = &self.shared.publishing;
        let _one_at_a_time = publishing.changing.lock().await;
        let log = self.shared.info.id;
        // Whoever may not go on yet does not get there by another policy: the witnesses of this one stay to be asked.
        let is_open = publishing.is_open();
        let must_agree = publishing.is_held() && !is_open;
        let outstanding = must_agree.then(|| publishing.outstanding().or_else(|| publishing.policy())).flatten();
        let frozen = publishing.freeze(|| self.shared.head());
        let proposed = policy.as_ref().filter(|policy| is_open && policy.can_ask());
        let row = proposed.map_or_else(|| published::row(policy.as_ref(), outstanding.as_deref()), published::proposed);
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        let size = policy.as_ref().and(frozen.as_ref()).map_or(TreeSize::ZERO, |frozen| frozen.size);
        if row == PolicyRow::default() {
            deletes.push(PolicyRow::key(log));
        } else {
            puts.push((PolicyRow::key(log), row.encode()));
        }
        match (&policy, frozen) {
            (Some(_), Some(frozen)) => puts.push((CheckpointRow::key(log), CheckpointRow::encode(&frozen))),
            (Some(_), None) => puts.push((CheckpointRow::key(log), CheckpointRow::not_yet())),
            (None, _) => deletes.push(CheckpointRow::key(log)),
        }
        // A database that has lost it again, with its write-ahead log, is to be refused: it would publish what no witness saw.
        self.decided((puts, deletes), Decides::Policy(row.mark(), size)).await?;
        publishing.set_outstanding(outstanding);
        if proposed.is_some() {
            publishing.propose();
        } else if is_open {
            self.release_rest().await?;
            publishing.let_go();
        }
        publishing.adopt(policy.map(Arc::new));
        self.running.registry.changed();
        Ok(())
    }

    /// Signs and releases what was committed before the start and not released yet.
    async fn release_rest(&self) -> Result<(), PublishError> {
        self.told(|done| Job::Release(Arc::clone(&self.shared), done)).await
    }

    /// Publishes a checkpoint that was made under `policy`: durably, then for everyone. It is one of the released heads,
    /// with whatever cosignatures it has got.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish(&self, policy: &Arc<LogPolicy>, checkpoint: Head) -> Result<(), PublishError> {
        let publishing = &self.shared.publishing;
        let _one_at_a_time = publishing.changing.lock().await;
        if !publishing.policy().is_some_and(|current| Arc::ptr_eq(&current, policy)) {
            return Err(PublishError::OtherPolicy);
        }
        if let Some(published) = publishing.pinned().filter(|published| checkpoint.size < published.size) {
            let (found, published) = (checkpoint.size.get(), published.size.get());
            return Err(PublishError::Smaller { found, published });
        }
        let row: (Key, Vec<u8>) = (CheckpointRow::key(self.shared.info.id), CheckpointRow::encode(&checkpoint));
        #[cfg(feature = "canaries")]
        if crate::canary::Canary::UnstoredCheckpoint.sings() {
            publishing.pin(Arc::new(checkpoint));
            return Ok(());
        }
        // One that lost this would serve an earlier checkpoint again.
        self.decided((vec![row], Vec::new()), Decides::Checkpoint(checkpoint.size)).await?;
        publishing.pin(Arc::new(checkpoint));
        Ok(())
    }

    /// Lets appends in: the witnesses have agreed. What was committed before the start and not released yet is signed
    /// and released first.
    ///
    /// # Errors
    /// [`PublishError::Stopping`].
    pub async fn let_go(&self) -> Result<(), PublishError> {
        let publishing = &self.shared.publishing;
        let _one_at_a_time = publishing.changing.lock().await;
        self.release_rest().await?;
        if publishing.outstanding().is_some() || publishing.is_open() {
            let key = PolicyRow::key(self.shared.info.id);
            let policy = publishing.policy();
            let row = published::row(policy.as_deref(), None);
            let rows = match policy {
                Some(_) => (vec![(key, row.encode())], Vec::new()),
                None => (Vec::new(), vec![key]),
            };
            self.decided(rows, Decides::Policy(row.mark(), TreeSize::ZERO)).await?;
            publishing.set_outstanding(None);
        }
        publishing.let_go();
        self.running.registry.changed();
        Ok(())
    }

    /// Halts the log for good, durably with the reason: somebody holds proof that its history is another.
    ///
    /// # Errors
    /// [`PublishError::Stopping`].
    pub async fn halt(&self, reason: String) -> Result<(), PublishError> {
        self.told(|done| Job::Halt(Arc::clone(&self.shared), reason, done)).await?;
        self.running.registry.changed();
        Ok(())
    }

    /// Writes rows that say what was decided, and has the high-water told of them.
    async fn decided(&self, (puts, deletes): Rows, what: Decides) -> Result<(), PublishError> {
        let log = Arc::clone(&self.shared);
        self.told(|done| Job::Decide(DecideJob { log, puts, deletes, what, done })).await
    }

    /// Hands a job to the writer and waits until it is done.
    async fn told(&self, job: impl FnOnce(oneshot::Sender<()>) -> Job) -> Result<(), PublishError> {
        let (done, told) = oneshot::channel();
        self.running.sequencer.submit_own(job(done));
        told.await.map_err(|_| PublishError::Stopping)
    }
}

impl Head {
    /// Stands where no head is published yet: of nothing, and signed by nobody.
    pub(crate) fn unpublished() -> Self {
        let (size, root) = (cairn_tree::size::TreeSize::ZERO, cairn_tree::hash::Hash::EMPTY_TREE);
        Self { size, root, time_ms: 0, note: bytes::Bytes::new(), edge: None }
    }

    /// A head without a database behind it.
    #[cfg(test)]
    pub(crate) fn bare(size: cairn_tree::size::TreeSize, root: cairn_tree::hash::Hash, note: bytes::Bytes) -> Self {
        Self { size, root, time_ms: 0, note, edge: None }
    }

    /// This head with cosignatures, as of some time.
    #[must_use]
    pub fn cosigned(&self, note: bytes::Bytes, time_ms: u64) -> Self {
        Self { size: self.size, root: self.root, time_ms, note, edge: None }
    }
}
