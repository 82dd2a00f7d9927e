//! One commit of entries, from admitted requests to released receipts. The order of its steps is the durability contract.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Batch, LogId};

use super::admit::{Admitted, Group};
use super::check;
use super::job::{AppendJob, MaintainJob};
use super::track::Written;
use super::writer::{Poison, Writer};
use crate::engine::append::{AppendError, Appended};
use crate::engine::head::{Head, Shared};
use crate::engine::idempotency;
use crate::engine::index::Due;
use crate::engine::layout::{LogState, Placement};
use crate::engine::observer::CommitFigures;
use crate::engine::sign::sign_head;
use crate::engine::stored::Stored;
use crate::high_water::Mark;

/// A head that is signed but may not be told yet.
struct Signed {
    shared: Arc<Shared>,
    head: Head,
}

impl Writer {
    /// Places, writes, checks, signs, and only then answers.
    ///
    /// Rows of `maintenance` go with the batch, if there is one, and are taken out then: they cost no sync of their own.
    pub(super) fn append(&mut self, jobs: Vec<AppendJob>, maintenance: &mut Vec<MaintainJob>) -> Result<(), Poison> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut figures = CommitFigures { requests: jobs.len(), ..CommitFigures::default() };
        let mut group = self.admit(jobs)?;
        for (log, damage) in core::mem::take(&mut group.damaged) {
            // Requests of this group may have been placed in it before; they are answered below, from its state.
            group.touched.remove(&log.info.id);
            self.halt(&log, &damage, Vec::new())?;
        }
        let mut signed = Vec::new();
        if !group.touched.is_empty() {
            // 1. Everything in one batch, durable when `commit` returns. An error leaves it unknown: poison.
            let started = Instant::now();
            let (commit, written) = self.write(&group, maintenance, &mut figures)?;
            figures.store = started.elapsed();
            // 2. Nothing is signed that the store does not give back as it was placed.
            let started = Instant::now();
            for (log, written) in written {
                if let Some(head) = self.check_and_sign(&group, log, &written)? {
                    signed.push(head);
                }
            }
            figures.check = started.elapsed();
            // 3. The high-water, outside the store: from here on a database that lacks these heads is refused.
            let started = Instant::now();
            let mark = |one: &Signed| {
                let Head { size, root, time_ms, .. } = one.head;
                (one.shared.info.id, Mark { size, root, time_ms })
            };
            let marks: Vec<(LogId, Mark)> = signed.iter().map(mark).collect();
            if !marks.is_empty() {
                self.raise_high_water(commit, &marks)?;
            }
            figures.high_water = started.elapsed();
        }
        figures.logs = signed.len();
        // The point of no return: below, heads and receipts leave the process and are never contradicted again.
        release(group.admitted, signed, &self.parts.due);
        self.parts.observer.committed(&figures);
        Ok(())
    }

    fn write(
        &mut self,
        group: &Group,
        maintenance: &mut Vec<MaintainJob>,
        figures: &mut CommitFigures,
    ) -> Result<(u64, BTreeMap<LogId, Written>), Poison> {
        let now_ms = self.parts.clock.now_ms();
        let mut batch = Batch::new();
        let commit = self.next_commit(&mut batch);
        let mut written = BTreeMap::new();
        for log in &group.touched {
            let stored = Stored::new(&*self.parts.store, *log);
            if let Some(track) = self.residents.get_mut(*log) {
                figures.entries += track.fresh.entries;
                figures.bytes += track.fresh.bytes;
                if track.has_fresh() {
                    written.insert(*log, track.write(&mut batch, &stored, commit, now_ms));
                }
            }
        }
        // A log that was found damaged after a promise in it is not written, nor is the promise.
        for (key, (log, row)) in group.promises.iter().filter(|(_, (log, _))| group.touched.contains(log)) {
            batch.put(idempotency::row_key(*log, key), row.encode());
            batch.put(idempotency::expiry_key(*log, key, row.expires_ms), Vec::new());
        }
        let waiting = MaintainJob::write(core::mem::take(maintenance), &mut batch);
        self.commit(batch)?;
        waiting.tell();
        Ok((commit, written))
    }

    /// Reads back what one log got and signs its head; or halts the log and gives none.
    fn check_and_sign(&mut self, group: &Group, log: LogId, written: &Written) -> Result<Option<Signed>, Poison> {
        let Some(track) = self.residents.get_mut(log) else { return Ok(None) };
        let shared = Arc::clone(&track.shared);
        match check::read_back(&*self.parts.store, track, written) {
            Ok(()) => {
                let (size, root, time_ms) = (track.signed.size(), track.signed.root(), track.time_ms);
                let edge = Some(Arc::new(track.signed.edge()));
                // The origin and the key were found to fit when the log was made or opened.
                let note: Bytes = sign_head(&shared.signer, &shared.info.origin, size, root)
                    .map_err(|error| self.poison(error.to_string()))?;
                Ok(Some(Signed { shared, head: Head { size, root, time_ms, note, edge } }))
            }
            Err(error) => {
                let damage = self.poison_or_damage(error)?;
                let mut undo = written.keys(&Stored::new(&*self.parts.store, log));
                let promises = group.promises.iter().filter(|(_, (of, _))| *of == log);
                undo.extend(promises.map(|(key, _)| idempotency::row_key(log, key)));
                self.halt(&shared, &damage, undo)?;
                Ok(None)
            }
        }
    }
}

/// Publishes the heads, then answers every request from the newest head of its log.
fn release(admitted: Vec<Admitted>, signed: Vec<Signed>, due: &Due) {
    for one in signed {
        one.shared.heads.send_replace(Arc::new(one.head));
    }
    // After the heads: an index that is loaded meanwhile reads the log up to the new head. Before the answers: whoever
    // has a receipt finds its leaf.
    for one in &admitted {
        if let (Some(index), LogState::Open, false) = (&one.log.index, one.log.state(), one.replayed) {
            index.insert(new_leaves(one));
            if index.is_due() {
                due.push(one.log.info.id);
            }
        }
    }
    for one in admitted {
        let answer = match one.log.state() {
            LogState::Halted(reason) if !is_kept(&one) => Err(AppendError::Halted(reason)),
            _ => Ok(Appended { placement: one.placement, head: one.log.head(), replayed: one.replayed }),
        };
        // Whoever asked may have gone; the entries are there all the same.
        let _ = one.reply.send(answer);
    }
}

/// Whether a halted log has what it promised. The promise may have been made by the very commit that halted it, in the
/// same group or before a restart, and then its places are past the last signed head.
fn is_kept(one: &Admitted) -> bool {
    let size = one.log.head().size;
    one.replayed && one.placement.indexes().all(|index| size.contains(index))
}

/// The leaves that a request placed, with their indexes. One that the index has already keeps its index.
fn new_leaves(one: &Admitted) -> impl Iterator<Item = (LeafIndex, cairn_tree::hash::Hash)> + '_ {
    let indexes: Box<dyn Iterator<Item = LeafIndex>> = match &one.placement {
        Placement::Run { first, .. } => Box::new((first.get()..).map_while(|index| LeafIndex::new(index).ok())),
        Placement::Each(indexes) => Box::new(indexes.iter().copied()),
    };
    indexes.zip(one.batch.leaves().iter().copied())
}
