//! What leaves the process once a commit is released: heads, then what lets its leaves and records be found, then the
//! answers. A log that was halted meanwhile tells nothing that its last signed head does not cover.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::LogId;

use super::admit::Admitted;
use super::records::{AdmittedRecords, RecordOutcome};
use crate::engine::append::{AppendError, Appended};
use crate::engine::due::Due;
use crate::engine::head::{Head, Shared};
use crate::engine::layout::{LogState, Placement};
use crate::engine::postings::Print;
use crate::engine::records::{Found, Told};
use crate::high_water::Mark;

/// A head that is signed but may not be told yet.
pub(super) struct Signed {
    pub(super) shared: Arc<Shared>,
    pub(super) head: Head,
}

impl Signed {
    /// What the high-water is told of it.
    pub(super) fn mark(&self) -> (LogId, Mark) {
        (self.shared.info.id, self.head.mark())
    }
}

/// Publishes the heads, then the leaves.
pub(super) fn publish(admitted: &[Admitted], signed: Vec<Signed>, due: &Due) {
    for Signed { shared, head } in signed {
        shared.heads.send_replace(Arc::new(head));
    }
    // After the heads: an index that is loaded meanwhile reads the log up to the new head. Before the answers: whoever
    // has a receipt finds its leaf.
    for one in admitted.iter().filter(|one| !one.replayed && is_released(one)) {
        index_leaves(&one.log, new_leaves(one), due);
    }
}

/// Lets leaves be found.
pub(super) fn index_leaves(log: &Shared, leaves: impl Iterator<Item = (LeafIndex, Hash)>, due: &Due) {
    if let Some(index) = &log.index {
        index.insert(leaves);
        if index.is_due() {
            due.push(log.info.id);
        }
    }
}

/// Lets records be found, by their leaves and their prints. Then the postings know the logs that have grown up to their
/// heads.
pub(super) fn publish_records(records: &[AdmittedRecords], grown: &[Arc<Shared>], due: &Due) {
    let mut found: BTreeMap<LogId, Vec<(Print, LeafIndex)>> = BTreeMap::new();
    for AdmittedRecords { log, outcome, .. } in records {
        let RecordOutcome::Placed { told, prints } = outcome else { continue };
        let size = log.head().size;
        if outcome.rests_on().is_some_and(|index| size.contains(index)) {
            let new = |told: &Told| match told {
                Told::New(sequenced) => Some((sequenced.index, sequenced.leaf)),
                Told::Before(_) => None,
            };
            index_leaves(log, told.iter().filter_map(new), due);
            found.entry(log.info.id).or_default().extend_from_slice(prints);
        }
    }
    // Of logs that grew by other entries too: the postings know then that these have none.
    for log in grown {
        let found = found.remove(&log.info.id).unwrap_or_default();
        index_prints(log, &found);
        log.followed.wake(&found);
    }
}

/// Tells the postings of a log that it has grown up to its head, by leaves that have these.
pub(super) fn index_prints(log: &Shared, prints: &[(Print, LeafIndex)]) {
    if let Some(Found { postings, .. }) = log.found.get() {
        postings.insert(log.head().size, prints);
    }
}

/// Answers every request from the newest head of its log.
pub(super) fn answer(admitted: Vec<Admitted>) {
    for one in admitted {
        let answer = match (is_released(&one), one.log.state()) {
            (true, _) => Ok(Appended { placement: one.placement, head: one.log.head(), replayed: one.replayed }),
            // The writer may have halted the log for a later commit, or for this one.
            (false, LogState::Halted(reason)) => Err(AppendError::Halted(reason)),
            // No head covers it, so nobody is told of it: dropped, whoever asked hears that the server stops.
            (false, LogState::Open | LogState::Sealed) => continue,
        };
        // Whoever asked may have gone; the entries are there all the same.
        let _ = one.reply.send(answer);
    }
}

/// The same for records.
pub(super) fn answer_records(records: Vec<AdmittedRecords>) {
    for AdmittedRecords { log, outcome, reply } in records {
        if let Some(answer) = outcome.answer(&log) {
            // Whoever asked may have gone; the records are there all the same.
            let _ = reply.send(answer);
        }
    }
}

/// Whether the request's entries are under a signed head. They are not if its own commit halted the log, or, where it
/// is a replay, if the commit did that it points to: then its places are past the last signed head for good.
fn is_released(one: &Admitted) -> bool {
    let size = one.log.head().size;
    one.placement.indexes().all(|index| size.contains(index))
}

/// The leaves that a request placed, with their indexes. One that the index has already keeps its index.
fn new_leaves(one: &Admitted) -> impl Iterator<Item = (LeafIndex, Hash)> + '_ {
    let indexes: Box<dyn Iterator<Item = LeafIndex>> = match &one.placement {
        Placement::Run { first, .. } => Box::new((first.get()..).map_while(|index| LeafIndex::new(index).ok())),
        Placement::Each(indexes) => Box::new(indexes.iter().copied()),
    };
    indexes.zip(one.batch.leaves().iter().copied())
}

/// Lets go of what is in memory for a log that has not been written to for long; readers load it when they ask.
pub(super) fn forget(shared: &Shared) {
    shared.heads.send_if_modified(|head| {
        let Head { size, root, time_ms, ref note, .. } = **head;
        *head = Arc::new(Head { size, root, time_ms, note: note.clone(), edge: None });
        // The head is the same: nobody who follows it is told.
        false
    });
    unload(shared);
}

/// Lets go of a log's indexes in memory.
pub(super) fn unload(shared: &Shared) {
    if let Some(index) = &shared.index {
        index.unload();
    }
    if let Some(Found { postings, .. }) = shared.found.get() {
        postings.unload();
    }
}
