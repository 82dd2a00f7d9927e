//! The first stage of a commit of entries, from admitted requests to rows in the store; `releaser` has the second. The
//! order of the steps, in both, is the durability contract.

use std::time::Instant;

use cairn_tree::store::Batch;

use super::admit::Group;
use super::beside::Unwritten;
use super::check::Placed;
use super::handover::{Commit, Work};
use super::job::{Job, MaintainJob, Request, Waiting};
use super::pool::UnderWay;
use super::track::WriteAs;
use super::writer::{Poison, Writer};
use crate::engine::bounds::LARGE_COMMIT_BYTES;
use crate::engine::idempotency;
use crate::engine::observer::CommitFigures;
use crate::engine::stored::Stored;

/// The rows of a commit.
struct Rows {
    number: u64,
    batch: Batch,
    waiting: Waiting,
    placed: Vec<Placed>,
}

impl Writer {
    /// Places and writes, and hands over to be checked, signed and answered. `bytes` is what the requests weigh.
    ///
    /// Rows of `maintenance` go with the batch, if there is one, and are taken out then: they cost no sync of their own.
    pub(super) fn append(
        &mut self,
        requests: Vec<Request>,
        bytes: usize,
        maintenance: &mut Vec<MaintainJob>,
        under_way: UnderWay<Job>,
    ) -> Result<(), Poison> {
        if requests.is_empty() {
            return Ok(());
        }
        let mut figures = CommitFigures { requests: requests.len(), ..CommitFigures::default() };
        let started = Instant::now();
        let mut group = self.admit(requests)?;
        for (log, damage) in core::mem::take(&mut group.damaged) {
            // Requests of this group may have been placed in it before; they are answered from its state.
            group.touched.remove(&log.info.id);
            self.halt(&log, &damage, Vec::new())?;
        }
        let rows = (!group.touched.is_empty()).then(|| self.rows(&mut group, maintenance, &mut figures));
        figures.admit = started.elapsed();
        let Group { admitted, records, promises, seen, .. } = group;
        let Some(Rows { number, batch, waiting, placed }) = rows else {
            // Only replays and refusals.
            let (placed, promises) = (Vec::new(), Vec::new());
            let commit =
                Commit { number: None, placed, promises, admitted, records, figures, begun: started, under_way };
            return self.release.hand(Work::Commit(Box::new(commit)));
        };
        let promised = promises.iter().map(|(key, (log, _))| (*log, *key)).collect();
        self.unreleased.add(number, seen, promises);
        let number = Some(number);
        let commit =
            Commit { number, placed, promises: promised, admitted, records, figures, begun: started, under_way };
        // 1. Everything in one batch, durable when it is written. An error leaves it unknown: poison. Steps 2 to 5 stand in
        // `releaser`, and run beside the next commit's first. What is handed over is durable but unknown to anybody; the
        // next commit builds on it all the same, since the store never has that one alone.
        let unwritten = Unwritten { batch, waiting, commit: Box::new(commit) };
        self.release.write(unwritten, &*self.parts.store, bytes >= LARGE_COMMIT_BYTES)
    }

    fn rows(&mut self, group: &mut Group, maintenance: &mut Vec<MaintainJob>, figures: &mut CommitFigures) -> Rows {
        let now_ms = self.parts.clock.now_ms();
        let mut batch = Batch::new();
        let number = self.next_commit(&mut batch);
        let released = self.parts.database.released;
        let mut placed = Vec::with_capacity(group.touched.len());
        for log in &group.touched {
            let stored = Stored::new(&*self.parts.store, *log);
            if let Some(track) = self.residents.get_mut(*log) {
                figures.entries += track.fresh.entries;
                figures.bytes += track.fresh.bytes;
                if track.has_fresh() {
                    placed.push(track.write(
                        &mut batch,
                        &stored,
                        WriteAs { commit: number, released, now_ms, seals: false },
                    ));
                }
            }
        }
        // A log that was found damaged after a promise in it is not written, nor is the promise.
        group.promises.retain(|_, (log, _)| group.touched.contains(log));
        for (key, (log, row)) in &group.promises {
            batch.put(idempotency::row_key(*log, key), row.encode());
            batch.put(idempotency::expiry_key(*log, key, row.expires_ms), Vec::new());
        }
        let waiting = MaintainJob::write(core::mem::take(maintenance), &mut batch);
        Rows { number, batch, waiting, placed }
    }
}
