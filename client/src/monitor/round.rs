//! One round of a monitor: the log's heads are fetched and judged, and what is new is read.

use std::sync::Arc;
use std::time::Duration;

use cairn_tree::checkpoint::{AvowedCheckpoint, LogKeys, Origin, VerifiedCheckpoint};
use cairn_tree::merkle::Root;
use cairn_tree::policy::Policy;
use cairn_tree::size::TreeSize;

use super::evidence::Case;
use super::grow::Window;
use super::keyring::Keyring;
use super::reading::Reading;
use super::state::{Shown, State};
use super::unplaced::{Uncompared, Unplaced};
use crate::auditor::{self, AuditError, TileReader};
use crate::fetch::{Freshness, HeadKind, Remote};

/// How much of the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every entry is fetched and hashed.
    Entries,
    /// Only that each head extends the last, from tiles.
    Heads,
}

/// Follows one log.
pub struct Monitor {
    pub(super) remote: Arc<Remote>,
    pub(super) reader: TileReader,
    pub(super) state: Option<State>,
    /// What is read at present, of a tree that is larger than the state's.
    pub(super) reading: Option<Reading>,
    /// What the log signed that is not known to be of either's tree.
    pub(super) unplaced: Unplaced,
    parallel: usize,
    /// How many bundles are on their way at a time.
    pub(super) window: Window,
    pub(super) depth: Depth,
    pub(super) keys: Keyring,
    /// What checkpoints must meet before the trees are read that they sign.
    policy: Option<Policy>,
}

/// What is known of a log from earlier runs.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What was verified.
    pub state: Option<State>,
    /// What was being read.
    pub reading: Option<Reading>,
    /// What the log signed that is not known to be of either's tree.
    pub unplaced: Unplaced,
}

/// How a round asks, and how much it reads at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Whether caches may answer.
    pub freshness: Freshness,
    /// After how many entries the round ends, although there are more; [`u64::MAX`] reads them all.
    pub entries: u64,
}

/// What a round without contradiction found.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// The tree grew, from the first size to the second.
    pub grown: Option<(TreeSize, TreeSize)>,
    /// A resource showed a smaller head than before.
    pub stale: Option<Stale>,
    /// The `checkpoint` that was shown.
    pub checkpoint: Option<VerifiedCheckpoint>,
    /// The `head` that was shown, if the log has that resource.
    pub head: Option<VerifiedCheckpoint>,
    /// There is more to read than this round was allowed.
    pub unfinished: bool,
    /// A head that was shown earlier could not be compared with what is shown now. As long as that is so, little is known.
    pub uncompared: Option<Uncompared>,
}

/// A smaller head than the same resource has shown before.
#[derive(Debug, Clone)]
pub struct Stale {
    /// Where it was shown.
    pub kind: HeadKind,
    /// The head.
    pub head: VerifiedCheckpoint,
    /// Whether it is known to be of our tree when that was smaller. A log that has gone back may not serve what is
    /// needed to know.
    pub placed: bool,
}

/// Why a round did not end well.
#[derive(Debug)]
pub enum RoundError {
    /// Something was not verified; nothing is known against the log.
    Unverified(AuditError),
    /// The log contradicts what it signed.
    Contradiction(Box<Case>),
}

impl From<AuditError> for RoundError {
    fn from(error: AuditError) -> Self {
        Self::Unverified(error)
    }
}

impl From<Case> for RoundError {
    fn from(case: Case) -> Self {
        Self::Contradiction(Box::new(case))
    }
}

impl Monitor {
    /// A monitor that goes on from what is known, if anything is.
    #[must_use]
    pub fn new(remote: Arc<Remote>, keys: impl Into<Keyring>, known: Known, depth: Depth, parallel: usize) -> Self {
        let keys = keys.into();
        let reader = TileReader::new(Arc::clone(&remote), parallel);
        let Known { state, reading, unplaced } = known;
        let window = Window { least: parallel, most: parallel };
        Self { remote, reader, state, reading, unplaced, keys, parallel, window, depth, policy: None }
    }

    /// The same, which lets a round end unverified, after the heads are judged and before entries are read, if the
    /// log's checkpoint does not meet this policy. The policy's own logs are of no matter.
    #[must_use]
    pub fn requiring(self, policy: Option<Policy>) -> Self {
        Self { policy, ..self }
    }

    /// The same, which may have so many bundles on their way at a time as long as they are small.
    #[must_use]
    pub fn reading_ahead(self, most: usize) -> Self {
        Self { window: Window { most: most.max(self.parallel), ..self.window }, ..self }
    }

    /// What is known by now.
    #[must_use]
    pub const fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// What is being read, if a round ended before its end.
    #[must_use]
    pub const fn reading(&self) -> Option<&Reading> {
        self.reading.as_ref()
    }

    /// The log's identity.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        self.keys.all().origin()
    }

    /// The log's keys, retired ones included.
    #[must_use]
    pub const fn keys(&self) -> &LogKeys {
        self.keys.all()
    }

    /// The log's keys, and how they were come by.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keys
    }

    /// The log's keys, and those that it had when remembered heads were signed.
    #[must_use]
    pub fn keys_ever(&self) -> LogKeys {
        let remembered = self.state.iter().flat_map(State::signers);
        let read = self.reading.iter().flat_map(|reading| reading.head().keys());
        self.keys.all().clone().with_further(remembered.chain(read).chain(self.unplaced.signers()))
    }

    /// Where the log is asked.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The newest head whose tree we hold to: of what is being read, else of what was verified.
    #[must_use]
    pub fn newest(&self) -> Option<&VerifiedCheckpoint> {
        self.reading.as_ref().map(Reading::head).or(self.state.as_ref().map(State::head))
    }

    /// Fetches the log's heads, judges them, and reads what is new. `progress` is told how many new entries are read. Heads
    /// that were shown earlier and are not placed are compared with them: however the round ends,
    /// [`Monitor::standing_case`] says what comes of that.
    ///
    /// What is known changes only with what was verified, also when the round ends in an error.
    ///
    /// # Errors
    /// [`RoundError`].
    pub async fn round(
        &mut self,
        effort: Effort,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Round, RoundError> {
        let mut round = Round::default();
        // What a log that misbehaves takes is large, and is not to make every round's future as large.
        let mut ended = Box::pin(self.look(effort, &mut round)).await;
        if ended.is_ok() {
            ended = self.advance(effort, &mut round, progress).await;
        }
        // A log that does not answer is not asked for more.
        if self.unplaced.count() > 0 && !matches!(ended, Err(RoundError::Unverified(AuditError::Fetch(_)))) {
            Box::pin(self.place_again(&mut round)).await;
        }
        ended.map(|()| round)
    }

    /// Fetches the log's heads and judges them.
    async fn look(&mut self, effort: Effort, round: &mut Round) -> Result<(), RoundError> {
        let freshness = effort.freshness;
        let checkpoint = match self.fetch(HeadKind::Checkpoint, freshness).await {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Err(self.refused(error).await),
        };
        if let Err(error) = self.settle().await {
            self.hold_to(&checkpoint, None);
            return Err(error);
        }
        round.checkpoint = Some(checkpoint.clone());
        let mut heads = vec![(HeadKind::Checkpoint, checkpoint)];
        let mut refused = None;
        match self.fetch(HeadKind::Head, freshness).await {
            Ok(head) => {
                round.head = Some(head.clone());
                heads.push((HeadKind::Head, head));
            }
            // Only Cairn's logs have this resource.
            Err(AuditError::Fetch(error)) if error.is_absent() => {}
            // The checkpoint beside it is judged all the same: it may be worse.
            Err(error @ AuditError::Head { .. }) => refused = Some(error),
            Err(error) => {
                // It was shown, and may not be shown again.
                heads.iter().for_each(|(_, checkpoint)| self.hold_to(checkpoint, None));
                return Err(error.into());
            }
        }
        // From the smaller to the larger, so that a fork between the two is found as one.
        heads.sort_by_key(|(_, head)| head.size());
        let mut heads = heads.into_iter();
        while let Some((kind, head)) = heads.next() {
            let tree = head.tree();
            if let Err(error) = self.judge(kind, head, round, effort).await {
                heads.filter(|(_, head)| head.tree() != tree).for_each(|(_, head)| self.hold_to(&head, None));
                return Err(error);
            }
        }
        if let Some(error) = refused {
            return Err(self.refused(error).await);
        }
        if let (Some(policy), Some(checkpoint)) = (&self.policy, &round.checkpoint)
            && let Err(error) = policy.verify_with_logs(checkpoint.signed(), self.keys().as_slice())
        {
            // A fork is one, whoever has not witnessed it.
            self.settle().await?;
            return Err(AuditError::from(error).into());
        }
        Ok(())
    }

    /// The case of a log that has gone back, after `passed` of nothing but `stale` heads.
    #[must_use]
    pub fn rollback(&self, stale: &Stale, passed: Duration) -> Option<Case> {
        // What this very resource has shown, if it is remembered: the other one may rightly be ahead of it.
        let largest = TreeSize::new(self.shown().largest(stale.kind)).ok();
        let larger = largest.and_then(|size| self.head_of(size)).or(self.newest())?.signed().encode();
        let smaller = stale.head.signed().encode();
        Some(Case::Rollback { larger, smaller, resource: stale.kind, seconds: passed.as_secs() })
    }

    /// The largest sizes that the log's resources have shown.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let known = self.state.as_ref().map(State::shown).unwrap_or_default();
        known.or_larger(self.reading.as_ref().map(Reading::shown).unwrap_or_default())
    }

    fn note_shown(&mut self, kind: HeadKind, size: TreeSize) {
        match (&mut self.reading, &mut self.state) {
            (Some(reading), _) => reading.note_shown(kind, size),
            (None, Some(state)) => state.note_shown(kind, size),
            (None, None) => {}
        }
    }

    /// The signed head of this size, if it is remembered.
    pub(super) fn head_of(&self, size: TreeSize) -> Option<&VerifiedCheckpoint> {
        let read = self.reading.as_ref().map(Reading::head).filter(|head| head.size() == size);
        read.or_else(|| self.state.as_ref()?.head_of(size))
    }

    async fn fetch(&self, kind: HeadKind, freshness: Freshness) -> Result<VerifiedCheckpoint, AuditError> {
        let served = self.remote.head(kind, freshness).await?;
        self.keys.verify(&served).map_err(|fault| AuditError::Head { kind, fault, served: Box::new(served) })
    }

    /// Follows what the log says about its keys, from those that are trusted; whether that led to others than are known.
    /// That the head which they sign extends what is known, further rounds will show.
    ///
    /// # Errors
    /// [`AuditError`] if nothing can be followed; then the keys are those that they were.
    pub async fn follow_keys(&mut self) -> Result<bool, AuditError> {
        let followed = auditor::follow_keys(&self.remote, self.keys.given(), self.parallel).await?;
        let keys = self.keys.follow(followed.statements)?;
        let is_new = keys.active() != self.keys.active();
        self.keys = keys;
        Ok(is_new)
    }

    /// What a head comes to that is not accepted. The log may have signed it all the same, with one of its keys: then it
    /// is held to that, and a fork is a fork, whatever else stands in the note.
    async fn refused(&mut self, error: AuditError) -> RoundError {
        let AuditError::Head { served, .. } = &error else { return error.into() };
        let Some(avowed) = self.keys().avowed(served) else { return error.into() };
        let Some(newest) = self.newest().cloned() else {
            self.hold_to(&avowed, None);
            return error.into();
        };
        let compared = if avowed.size() < newest.size() {
            contradiction(&mut self.reader, &avowed, &newest).await
        } else {
            contradiction(&mut self.reader, &newest, &avowed).await
        };
        match compared {
            Ok(Some(case)) => case.into(),
            Ok(None) if avowed.size() <= newest.size() => error.into(),
            // That it extends what is known, or that nothing can be shown, does not make it a head to accept.
            Ok(None) | Err(_) => {
                self.hold_to(&avowed, None);
                error.into()
            }
        }
    }

    async fn judge(
        &mut self,
        kind: HeadKind,
        head: VerifiedCheckpoint,
        round: &mut Round,
        effort: Effort,
    ) -> Result<(), RoundError> {
        let size = head.size();
        match self.newest().map(VerifiedCheckpoint::tree) {
            Some(newest) if size < newest.size => {
                let went_back = size.get() < self.shown().largest(kind);
                let placed = match self.place(&head).await {
                    Ok(()) => true,
                    Err(RoundError::Unverified(error)) => {
                        self.hold_to(&head, None);
                        // Of a log that has gone back the larger tree can no longer be had; the caller's patience
                        // decides, also if this resource never showed more and the other one did.
                        if !self.has_gone_back(round) {
                            return Err(error.into());
                        }
                        false
                    }
                    Err(error) => return Err(error),
                };
                if !placed && !went_back {
                    return Ok(());
                }
                if went_back {
                    round.stale.get_or_insert(Stale { kind, head, placed });
                }
            }
            Some(newest) if size == newest.size => {
                if let Some(same_size) = self.newest()
                    && head.root() != newest.hash
                {
                    return Err(Case::fork_at_one_size(same_size, &head).into());
                }
            }
            _ => self.aim(head, effort).await?,
        }
        self.note_shown(kind, size);
        Ok(())
    }

    /// Whether one of the heads of a round is smaller than its resource has shown before.
    fn has_gone_back(&self, round: &Round) -> bool {
        let shown = self.shown();
        [(HeadKind::Checkpoint, &round.checkpoint), (HeadKind::Head, &round.head)]
            .into_iter()
            .any(|(kind, head)| head.as_ref().is_some_and(|head| head.size().get() < shown.largest(kind)))
    }

    /// Shows that a smaller head is of our tree when it was smaller.
    async fn place(&mut self, head: &VerifiedCheckpoint) -> Result<(), RoundError> {
        if let Some(same_size) = self.head_of(head.size()) {
            return if same_size.root() == head.root() {
                Ok(())
            } else {
                Err(Case::fork_at_one_size(same_size, head).into())
            };
        }
        let Some(larger) = self.newest().cloned() else { return Ok(()) };
        match contradiction(&mut self.reader, head, &larger).await? {
            Some(case) => Err(case.into()),
            None => Ok(()),
        }
    }
}

/// The case of two heads of which the larger one's tree does not begin with the smaller one's; `None` if it does. The
/// tiles that tell are proven to be of the `larger` tree; those that are not are asked for once more, past caches.
/// Either head need only be one that the log can be held to.
///
/// # Errors
/// [`AuditError`] if they could not be had: then nothing is known.
pub async fn contradiction(
    reader: &mut TileReader,
    smaller: &impl AsRef<AvowedCheckpoint>,
    larger: &impl AsRef<AvowedCheckpoint>,
) -> Result<Option<Case>, AuditError> {
    let (old, tree): (Root, Root) = (smaller.as_ref().tree(), larger.as_ref().tree());
    if old.size == tree.size {
        return Ok((old.hash != tree.hash).then(|| Case::fork_at_one_size(smaller, larger)));
    }
    if old.size == TreeSize::ZERO {
        return Ok(None);
    }
    let then = match reader.root_at(old.size, tree, Freshness::AnyCache).await {
        Err(error) if error.is_misfit() => reader.root_at(old.size, tree, Freshness::PastCaches).await?,
        other => other?,
    };
    if then.hash == old.hash {
        return Ok(None);
    }
    let proof = reader.consistency(old.size, tree, Freshness::AnyCache).await?;
    Ok(Some(Case::fork(smaller, larger, then.hash, &proof)))
}
