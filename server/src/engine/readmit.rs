//! A restored copy of a database: what is known of the heads that may have been signed after it was made, and which of its
//! logs may therefore sign.
//!
//! A log that signs from an old copy contradicts every head that it signed since. So a log goes on under its name only on
//! evidence that there are none:
//! - a high-water file that outlived the database, and that has nothing which the copy lacks; or
//! - witnesses: the start asks them before anything larger is signed (`crate::cosigners`), and readers who go by the log's
//!   policy have believed no head that a quorum of them has not seen.
//!
//! The high-water file also knows what was decided about a log. One that was halted for good after the copy was made is halted
//! here. One that has another witness policy than the copy goes on, or stays sealed, but is held: which policy it was the file
//! does not say, and heads that its witnesses have not seen must not be shown to those who go by them.
//!
//! A log that was halted for damage is judged alike: a repair lets it go on, and asks nothing more. It stays halted for damage
//! if it may sign, and is halted for good if it may not.
//!
//! Without either nobody can know, and the operator's word is no evidence: the log is halted, for good. So is one that the
//! high-water shows to have lost its tail. There is no flag for it. What such a log has is served; it is continued under
//! another origin by sealing it, and its successor's first entry says where it ended.

use std::path::{Path, PathBuf};

use cairn_rocks::RocksStore;
use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{Batch, LogId, Store, StoreError};

use super::EngineOptions;
use super::freeze::{Frozen, read_frozen};
use super::fsck::{Finding, Progress, fsck};
use super::layout::{BindingRow, CheckpointRow, Checkpointed, Current, DatabaseRow, HeadRow, LogState, PolicyRow};
use super::open::{
    OpenError, compare_commits, open_store, read_bindings, read_checkpoint, read_database, read_head, unreleased_rows,
};
use super::published::LogPolicy;
use super::stored::Stored;
use crate::high_water::{Backwards, Decided, HighWater, HighWaterError, Mark, Marked, Marks};

/// What becomes of one log of a restored copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readmitted {
    /// Its name.
    pub log: String,
    /// The size that it has.
    pub size: TreeSize,
    /// Whether it may sign.
    pub verdict: Verdict,
    /// Whether its witness policy was changed after the copy was made, or was lost before: it takes no appends, and publishes
    /// no new checkpoint, before its operator has said which one holds.
    pub held: bool,
    /// Whether it was halted for damage before: where it may sign, it does so only once it is repaired.
    pub damaged: bool,
}

/// Whether a log of a restored copy may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may: the high-water file has nothing that the copy lacks.
    Signs,
    /// Its witnesses are asked first, at the start.
    AsksWitnesses,
    /// Never again: more was signed, and the copy lacks it.
    LostTail {
        /// The size that was signed.
        size: TreeSize,
        /// The root at that size.
        root: Hash,
    },
    /// Never again: the high-water file has another root than the copy at a size that both know.
    OtherHistory {
        /// The size.
        size: TreeSize,
    },
    /// Never again: that was decided after the copy was made.
    HaltedSince,
    /// Never again: nobody can know what it signed after the copy was made.
    Unknown,
    /// It had ended before.
    Ended,
}

/// What becomes of a restored copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readmission {
    /// Its logs, in order of their ids.
    pub logs: Vec<Readmitted>,
    /// Logs that the high-water file knows, and the copy does not: their numbers, and the sizes of their last heads.
    pub gone: Vec<(LogId, TreeSize)>,
}

/// More commits than any database makes. Those of a restored copy begin at the next multiple: a high-water file that the lost
/// database wrote, whichever, is older than whatever the copy does, and can't hide it from the next restore.
const ERA: u64 = 1 << 40;

/// Why a restored copy is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum ReadmitError {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The high-water file that is to be compared with.
    #[error("the high-water file that is to be compared with: {0}")]
    Evidence(#[source] HighWaterError),
    /// It is not the newest one.
    #[error(
        "the high-water file {} is older than the backup: its last commit is {found}, but {released} was released. It says \
         nothing of what came after the backup; give the newest one, or none", path.display()
    )]
    OlderEvidence {
        /// The file.
        path: PathBuf,
        /// Its last commit.
        found: u64,
        /// The commit that the newest file must have.
        released: u64,
    },
    /// It is newer, and knows less: whoever wrote it had begun from an earlier backup.
    #[error(
        "the high-water file was written by another copy of this database, which had less than the backup: {0}. It says nothing \
         of what came after the backup; give the one that the lost database itself wrote last, or none"
    )]
    OtherEvidence(Backwards),
    /// Something in it is not as it must be.
    #[error("log {log} is not sound: {problem}; take another generation")]
    Unsound {
        /// The log, or what stands for the database.
        log: String,
        /// What is wrong.
        problem: String,
    },
    /// What was found out can't be written down.
    #[error("the copy can't be written: {0}")]
    Write(String),
}

impl From<StoreError> for ReadmitError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

/// Reads and hashes a whole restored copy, as `fsck` does, and says what it holds.
///
/// # Errors
/// [`ReadmitError::Unsound`] names the first bad place.
pub fn examine(options: &EngineOptions, progress: &mut Progress<'_>) -> Result<Frozen, ReadmitError> {
    for Finding { log, problem, damaged, .. } in fsck(options, progress)? {
        if let Some(problem) = problem.filter(|_| damaged) {
            return Err(ReadmitError::Unsound { log, problem });
        }
    }
    let (store, _, marks) = open(options)?;
    Ok(read_frozen(&store, &marks)?)
}

/// Decides about every log of a restored copy, and writes it down. `evidence` is a high-water file that outlived the
/// database: a copy of it, for opening it may write to it.
///
/// # Errors
/// [`ReadmitError`]; then the copy must not be used.
pub fn readmit(options: &EngineOptions, evidence: Option<&Path>) -> Result<Readmission, ReadmitError> {
    let (store, database, marks) = open(options)?;
    let evidence = match evidence {
        Some(path) => Some(read_evidence(path, &database, database.released.max(marks.commit()))?),
        None => None,
    };
    let (mut batch, mut readmitted, mut merged) = (Batch::new(), Vec::new(), Vec::new());
    let known = evidence.as_ref().map_or(0, Marks::commit);
    let commit = (database.commit.max(known) / ERA + 1).saturating_mul(ERA);
    for (id, binding) in read_bindings(&store, &database)? {
        let log = CopiedLog::read(&store, id, &binding, &marks)?;
        let verdict = log.judge(&store, &binding, evidence.as_ref())?;
        // A sealed log signs no more entries, but publishes checkpoints, under a policy that can be changed.
        let agrees = verdict == Verdict::Signs || verdict == Verdict::Ended && log.row.state == LogState::Sealed;
        let known = evidence.as_ref().filter(|_| agrees);
        known.map(|known| known.comes_after(&marks, id)).transpose().map_err(ReadmitError::OtherEvidence)?;
        let held =
            known.map(|known| log.take_policy(&store, &binding, &mut batch, known)).transpose()?.unwrap_or(false);
        let mark = known.and_then(|evidence| evidence.get(id)).unwrap_or(log.mark);
        let mut decided = known.map_or_else(|| marks.decided(id), |evidence| evidence.decided(id));
        if let Some(reason) = verdict.reason() {
            log.halt(&store, &mut batch, commit, reason)?;
            decided = Some(Decided { halted: true, ..decided.unwrap_or_default() });
        }
        merged.push((id, Marked { mark, decided }));
        let damaged = log.row.mendable;
        readmitted.push(Readmitted { log: binding.name.to_string(), size: log.mark.size, verdict, held, damaged });
    }
    let is_gone = |(log, _): &(LogId, Mark)| merged.iter().all(|(known, _)| known != log);
    let gone = evidence.iter().flat_map(Marks::iter).filter(is_gone).map(|(log, mark)| (log, mark.size)).collect();
    // Ids are never used twice. And no other high-water file than the one that is written here belongs to the copy.
    let next_log = evidence.iter().flat_map(Marks::iter).map(|(log, _)| LogId::new(log.get().saturating_add(1)));
    let next_log = next_log.fold(database.next_log, LogId::max);
    let row = DatabaseRow { commit: commit + 1, released: commit, next_log, ..database };
    batch.put(DatabaseRow::key(), row.encode());
    store.commit(batch).map_err(|error| ReadmitError::Write(error.to_string()))?;
    // The marks of logs that go on may be newer than the copy's own: a head that came to be durable in both, or its time. And
    // a copy that loses this commit again, with its write-ahead log, is to be refused: none of its logs would be halted.
    let path = options.high_water_path();
    let replaced = std::fs::remove_file(&path).map_err(|error| ReadmitError::Write(error.to_string()));
    replaced?;
    let marks = Marks::of(commit, merged);
    HighWater::write_copy(&path, database.id, &marks).map_err(OpenError::from)?;
    // Once more: a backup of the copy has all marks as of one commit, and must not be taken for this file (`crate::backup`), nor
    // this file for what that backup has.
    let (mut high_water, _) = HighWater::open(&path, database.id).map_err(OpenError::from)?;
    high_water.append(commit + 1, &marks.iter().collect::<Vec<_>>()).map_err(OpenError::from)?;
    Ok(Readmission { logs: readmitted, gone })
}

fn open(options: &EngineOptions) -> Result<(RocksStore, DatabaseRow, Marks), OpenError> {
    let store = open_store(options)?;
    let database = read_database(&store, options.data.clone())?;
    let (_, marks) = HighWater::open(&options.high_water_path(), database.id)?;
    compare_commits(&database, &marks)?;
    Ok((store, database, marks))
}

fn read_evidence(path: &Path, database: &DatabaseRow, newest: u64) -> Result<Marks, ReadmitError> {
    let (_, marks) = HighWater::open(path, database.id).map_err(ReadmitError::Evidence)?;
    if marks.commit() < newest {
        let (found, released) = (marks.commit(), newest);
        return Err(ReadmitError::OlderEvidence { path: path.into(), found, released });
    }
    Ok(marks)
}

/// A log as the copy has it.
struct CopiedLog {
    id: LogId,
    row: HeadRow,
    mark: Mark,
    /// The newest commit that it has.
    commit: u64,
}

impl CopiedLog {
    fn read(store: &dyn Store, id: LogId, binding: &BindingRow, marks: &Marks) -> Result<Self, OpenError> {
        let row = read_head(store, id, &binding.name)?;
        // Made, but its empty head was never marked: nobody has seen it.
        let empty = Mark { size: TreeSize::ZERO, root: Hash::EMPTY_TREE, time_ms: row.time_ms };
        Ok(Self { id, mark: marks.get(id).unwrap_or(empty), row, commit: marks.commit() })
    }

    /// Whether it was halted for good.
    fn is_over(&self) -> bool {
        matches!(self.row.state, LogState::Halted(_)) && !self.row.mendable
    }

    fn judge(
        &self,
        store: &dyn Store,
        binding: &BindingRow,
        evidence: Option<&Marks>,
    ) -> Result<Verdict, ReadmitError> {
        let is_over = self.is_over();
        let was_halted = evidence.and_then(|evidence| evidence.decided(self.id)).is_some_and(|decided| decided.halted);
        if was_halted && !is_over {
            return Ok(Verdict::HaltedSince);
        }
        let is_sealed = self.row.state == LogState::Sealed;
        // One that is halted for damage has not ended: a repair lets it sign.
        if is_over || is_sealed && evidence.is_none() {
            return Ok(Verdict::Ended);
        }
        let agrees = if is_sealed { Verdict::Ended } else { Verdict::Signs };
        let Some(evidence) = evidence else {
            let asks = has_binding_witnesses(store, self.id)?;
            return Ok(if asks { Verdict::AsksWitnesses } else { Verdict::Unknown });
        };
        match evidence.get(self.id) {
            // A log that was made, and never shown to anybody, has no mark in either.
            None if self.mark.size == TreeSize::ZERO => Ok(agrees),
            None => Err(OpenError::NoMark(binding.name.to_string()).into()),
            Some(known) if known.size > self.row.size => Ok(Verdict::LostTail { size: known.size, root: known.root }),
            Some(known) => {
                let root = Stored::new(store, self.id).growing(known.size).map_err(OpenError::from)?.root();
                Ok(if root == known.root { agrees } else { Verdict::OtherHistory { size: known.size } })
            }
        }
    }

    /// Compares the policy and the checkpoint with what was decided since; whether the log is held, because it had another
    /// policy last, or nobody knew which one when the copy was made.
    fn take_policy(
        &self,
        store: &dyn Store,
        binding: &BindingRow,
        batch: &mut Batch,
        evidence: &Marks,
    ) -> Result<bool, ReadmitError> {
        let policy = store.get(&PolicyRow::key(self.id))?;
        let policy =
            policy.map(|row| PolicyRow::decode(&row)).transpose().map_err(OpenError::from)?.unwrap_or_default();
        let decided = evidence.decided(self.id);
        let is_newest = match decided {
            Some(decided) => decided.policy == policy.mark(),
            // It was written by a program that did not keep what was decided; it was none if nothing at all was.
            None => evidence.commit() <= self.commit,
        };
        let checkpoint = read_checkpoint(store, self.id, binding)?;
        if !is_newest {
            let lost = PolicyRow { current: Current::Lost, outstanding: None };
            batch.put(PolicyRow::key(self.id), lost.encode());
        }
        let is_published = !is_newest || policy.current != Current::Absent;
        if is_published && is_older(checkpoint.as_ref(), decided) {
            batch.put(CheckpointRow::key(self.id), CheckpointRow::not_yet());
        }
        // A copy that was held already knows as little.
        Ok(!is_newest || policy.current == Current::Lost)
    }

    /// Ends it with the last head that it is known to have released.
    fn halt(&self, store: &dyn Store, batch: &mut Batch, commit: u64, reason: String) -> Result<(), ReadmitError> {
        let Mark { size, root, time_ms } = self.mark;
        let state = LogState::Halted(reason);
        let row = HeadRow { commit, state, size, root, time_ms, stale: (0, 0), nodes: None, mendable: false };
        batch.put(HeadRow::key(self.id), row.encode());
        let unreleased = unreleased_rows(&Stored::new(store, self.id), size, self.row.size);
        unreleased.map_err(OpenError::from)?.into_iter().for_each(|key| batch.delete(key));
        Ok(())
    }
}

/// Whether the copy's checkpoint must not be served, or there is none: none is that is smaller than one that was published.
fn is_older(found: Option<&Checkpointed>, decided: Option<Decided>) -> bool {
    match found {
        Some(Checkpointed::At(found)) => decided.is_some_and(|decided| decided.checkpoint > found.size),
        Some(Checkpointed::NotYet) | None => true,
    }
}

/// Whether a quorum of witnesses has to have seen a head before anybody who goes by the log's policy believes it. Not so of a policy
/// that was only proposed: another may have been put in its place, so that its witnesses know of nothing.
fn has_binding_witnesses(store: &dyn Store, id: LogId) -> Result<bool, ReadmitError> {
    let Some(row) = store.get(&PolicyRow::key(id))? else { return Ok(false) };
    let Current::Said(text) = PolicyRow::decode(&row).map_err(OpenError::from)?.current else { return Ok(false) };
    let policy = LogPolicy::parse(&text.text, text.fail_open).ok();
    Ok(policy.is_some_and(|policy| policy.can_ask() && !policy.fail_open() && !policy.policy().needs_no_witness()))
}

impl Verdict {
    /// Why the log is halted, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Signs | Self::AsksWitnesses | Self::Ended => None,
            Self::HaltedSince => Some(
                "restored from a backup that was made before the log was halted for good, as the high-water file says".to_owned(),
            ),
            Self::LostTail { size, root } => Some(format!(
                "restored from a backup that lacks what was signed since: the high-water file has a head of size {size} \
                 with root {root}"
            )),
            Self::OtherHistory { size } => {
                Some(format!("restored from a backup whose root at size {size} is not the one in the high-water file"))
            }
            Self::Unknown => Some(
                "restored from a backup without a newer high-water file or witnesses: what was signed since can't be known"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Head;

    #[test]
    fn a_checkpoint_is_older_by_its_own_size_whatever_the_copy_knew_of_it() {
        let size = |size| TreeSize::new(size).unwrap();
        let found = Checkpointed::At(Head::bare(size(5), Hash::EMPTY_TREE, bytes::Bytes::new()));
        let decided = |checkpoint| Some(Decided { checkpoint: size(checkpoint), ..Decided::default() });
        for (decided, older) in [(None, false), (decided(0), false), (decided(5), false), (decided(6), true)] {
            assert_eq!(is_older(Some(&found), decided), older, "{decided:?}");
            assert!(is_older(Some(&Checkpointed::NotYet), decided) && is_older(None, decided));
        }
    }
}
