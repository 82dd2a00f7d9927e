//! A change of a log's standing: its keys, its end, its beginning. What changes and the entry that says so are one commit.
//!
//! It happens between commits of entries, with nothing on its way to be released: so the keys that sign change exactly at
//! the entry's head, and a log that is sealed has no entry behind its last one. A crash leaves either all of it or
//! nothing: key files were made durable before, and a start replays the entry and signs with the keys that stand in the
//! binding then.

use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::store::Batch;
use tokio::sync::oneshot;

use super::handover::{Changed, Work};
use super::job::ChangeJob;
use super::track::WriteAs;
use super::writer::{Poison, Writer};
use crate::engine::batch::EntryBatch;
use crate::engine::head::Shared;
use crate::engine::layout::{BindingRow, LogState};
use crate::engine::life::{Change, LifeError, Plan};
use crate::engine::stored::{ReadError, Stored};

/// Why a change is not made.
enum Refusal {
    Change(LifeError),
    Log(ReadError),
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::Log(error)
    }
}

impl Writer {
    /// Makes one change, or says why not.
    pub(super) fn change(&mut self, job: ChangeJob) -> Result<(), Poison> {
        self.release.drain()?;
        let ChangeJob { log, plan, reply } = job;
        let answer = match self.plan_change(&log, plan) {
            Ok(change) => {
                let changed = self.write_change(log, change, reply)?;
                return self.release.hand(Work::Changed(Box::new(changed)));
            }
            Err(Refusal::Change(error)) => error,
            Err(Refusal::Log(error)) => {
                let damage = self.poison_or_damage(error)?;
                self.halt(&log, &damage, Vec::new())?;
                LifeError::Halted(damage.to_string())
            }
        };
        // Whoever asked may have gone.
        let _ = reply.send(Err(answer));
        Ok(())
    }

    /// Decides about the entry at the log's end, and places it.
    fn plan_change(&mut self, log: &Arc<Shared>, plan: Plan) -> Result<Change, Refusal> {
        let size = log.head().size;
        let change = plan(size).map_err(Refusal::Change)?;
        let Some(leaf) = &change.leaf else { return Ok(change) };
        match log.state() {
            LogState::Open if log.publishing.is_lost() => return Err(Refusal::Change(LifeError::LacksPolicy)),
            LogState::Open if log.publishing.is_held() => return Err(Refusal::Change(LifeError::Held)),
            LogState::Open => {}
            LogState::Halted(reason) => return Err(Refusal::Change(LifeError::Halted(reason))),
            LogState::Sealed => return Err(Refusal::Change(LifeError::Sealed)),
        }
        let low =
            |low: crate::engine::disk::BelowReserve| LifeError::DiskReserve { free: low.free, reserve: low.reserve };
        self.parts.disk.check().map_err(|error| Refusal::Change(low(error)))?;
        let too_long = |error: &dyn core::fmt::Display| Refusal::Change(LifeError::Entry(error.to_string()));
        let batch = EntryBatch::single(leaf.as_bytes()).map_err(|error| too_long(&error))?;
        let store = Arc::clone(&self.parts.store);
        let stored = Stored::new(&*store, log.info.id);
        self.bring_to_place(log)?;
        let gone = || stored.damaged("the log, number", u64::from(log.info.id.get()), "it is not at hand");
        let track = self.residents.get_mut(log.info.id).ok_or_else(gone)?;
        if track.size() != size {
            return Err(stored.damaged("the tree at size", size.get(), "it is not the released one").into());
        }
        track.place(&batch, 0..1).map_err(|error| too_long(&error))?;
        Ok(change)
    }

    /// Writes the change. The releaser reads it back, and has a log that does not give it back as it was placed halted as
    /// it was before.
    fn write_change(
        &mut self,
        shared: Arc<Shared>,
        change: Change,
        reply: oneshot::Sender<Result<(), LifeError>>,
    ) -> Result<Changed, Poison> {
        let Change { leaf, standing, state } = change;
        let id = shared.info.id;
        let now_ms = self.parts.clock.now_ms();
        let store = Arc::clone(&self.parts.store);
        let stored = Stored::new(&*store, id);
        let mut batch = Batch::new();
        let commit = self.next_commit(&mut batch);
        let released = self.parts.database.released;
        batch.put(BindingRow::key(id), standing.binding.encode());
        let mut placed = None;
        let hash = leaf.as_ref().map(|leaf| Hash::leaf(leaf.as_bytes()));
        if leaf.is_some()
            && let Some(track) = self.residents.get_mut(id)
        {
            let seals = state == LogState::Sealed;
            placed = Some(track.write(&mut batch, &stored, WriteAs { commit, released, now_ms, seals }));
        }
        self.commit(batch)?;
        // From here on a sealed log takes nothing more; its final head follows.
        shared.set_state(state.clone());
        let standing = Arc::new(standing);
        Ok(Changed { commit, placed, leaf: hash, shared, standing, state, reply })
    }
}
