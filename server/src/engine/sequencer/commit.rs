//! The first stage of a commit of entries, from admitted requests to heads that may be signed; `releaser` has the second.
//! The order of the steps, in both, is the durability contract.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use cairn_tree::store::{Batch, LogId};

use super::admit::Group;
use super::check;
use super::job::{MaintainJob, Request};
use super::releaser::{Checked, Unsigned, Work};
use super::track::{WriteAs, Written};
use super::writer::{Poison, Writer};
use crate::engine::idempotency;
use crate::engine::observer::CommitFigures;
use crate::engine::stored::Stored;

impl Writer {
    /// Places, writes and checks, and hands over to be signed and answered.
    ///
    /// Rows of `maintenance` go with the batch, if there is one, and are taken out then: they cost no sync of their own.
    pub(super) fn append(&mut self, requests: Vec<Request>, maintenance: &mut Vec<MaintainJob>) -> Result<(), Poison> {
        if requests.is_empty() {
            return Ok(());
        }
        let mut figures = CommitFigures { requests: requests.len(), ..CommitFigures::default() };
        let started = Instant::now();
        let mut group = self.admit(requests)?;
        figures.admit = started.elapsed();
        for (log, damage) in core::mem::take(&mut group.damaged) {
            // Requests of this group may have been placed in it before; they are answered from its state.
            group.touched.remove(&log.info.id);
            self.halt(&log, &damage, Vec::new())?;
        }
        let begun = Instant::now();
        let (mut commit, mut unsigned) = (None, Vec::new());
        if !group.touched.is_empty() {
            // 1. Everything in one batch, durable when `commit` returns. An error leaves it unknown: poison.
            let (number, written) = self.write(&mut group, maintenance, &mut figures)?;
            commit = Some(number);
            figures.store = begun.elapsed();
            // 2. Nothing is signed that the store does not give back as it was placed.
            let started = Instant::now();
            for (log, written) in written {
                unsigned.extend(self.check(&group, log, &written)?);
            }
            figures.check = started.elapsed();
        }
        // Steps 3 to 5 stand in `releaser`, and run beside the next commit's first two. What is handed over is durable but
        // unknown to anybody; the next commit builds on it all the same, since the store never has that one alone.
        let Group { admitted, records, .. } = group;
        self.release.hand(Work::Commit(Box::new(Checked { commit, unsigned, admitted, records, figures, begun })))
    }

    fn write(
        &mut self,
        group: &mut Group,
        maintenance: &mut Vec<MaintainJob>,
        figures: &mut CommitFigures,
    ) -> Result<(u64, BTreeMap<LogId, Written>), Poison> {
        let now_ms = self.parts.clock.now_ms();
        let mut batch = Batch::new();
        let commit = self.next_commit(&mut batch);
        let released = self.parts.database.released;
        let mut written = BTreeMap::new();
        for log in &group.touched {
            let stored = Stored::new(&*self.parts.store, *log);
            if let Some(track) = self.residents.get_mut(*log) {
                figures.entries += track.fresh.entries;
                figures.bytes += track.fresh.bytes;
                if track.has_fresh() {
                    written.insert(
                        *log,
                        track.write(&mut batch, &stored, WriteAs { commit, released, now_ms, seals: false }),
                    );
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
        self.unreleased.add(commit, core::mem::take(&mut group.seen));
        Ok((commit, written))
    }

    /// Reads back what one log got, and gives its head to be signed; or halts the log and gives none.
    fn check(&mut self, group: &Group, log: LogId, written: &Written) -> Result<Option<Unsigned>, Poison> {
        let Some(track) = self.residents.get_mut(log) else { return Ok(None) };
        let shared = Arc::clone(&track.shared);
        match check::read_back(&*self.parts.store, track, written) {
            Ok(()) => Ok(Some(track.unsigned())),
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
