//! What witnesses decide about a log at its start: that what was committed and not released goes out, or that the log
//! is halted.

use std::sync::Arc;

use cairn_tree::size::TreeSize;
use cairn_tree::store::{Batch, Key};
use tokio::sync::oneshot;

use super::writer::{Poison, Writer};
use crate::engine::head::{Head, Shared};
use crate::engine::layout::{HeadRow, LogState};
use crate::engine::open::unreleased_rows;
use crate::engine::sign::sign_head;
use crate::engine::stored::{ReadError, Stored};
use crate::high_water::Mark;

impl Writer {
    /// Signs and releases the entries that a commit before the start brought, if there are any. Until now no append was
    /// taken, so that nothing else of this log is under way.
    pub(super) fn release_rest(&mut self, log: &Arc<Shared>, done: oneshot::Sender<()>) -> Result<(), Poison> {
        if log.state() == LogState::Open {
            match self.rest(log) {
                Ok(rest) if rest == log.head().size => {}
                Ok(_) => self.sign_rest(log)?,
                Err(error) => {
                    let damage = self.poison_or_damage(error)?;
                    let undo = self.unreleased(log)?;
                    self.halt(log, &damage, undo)?;
                }
            }
        }
        // Whoever asked may have gone.
        let _ = done.send(());
        Ok(())
    }

    /// Halts a log because of what a witness showed.
    pub(super) fn halt_by_witness(&mut self, log: &Shared, reason: String) -> Result<(), Poison> {
        if matches!(log.state(), LogState::Halted(_)) {
            return Ok(());
        }
        let undo = self.unreleased(log)?;
        self.halt_for(log, reason, undo)
    }

    /// The size of the log's tree as committed, with the tree at hand.
    fn rest(&mut self, log: &Arc<Shared>) -> Result<TreeSize, ReadError> {
        Ok(self.track(log)?.signed.size())
    }

    fn sign_rest(&mut self, log: &Arc<Shared>) -> Result<(), Poison> {
        let Some(track) = self.residents.get_mut(log.info.id) else { return Ok(()) };
        let (size, root, time_ms) = (track.signed.size(), track.signed.root(), track.time_ms);
        let edge = Some(Arc::new(track.signed.edge()));
        let note =
            sign_head(&log.signer, &log.info.origin, size, root).map_err(|error| self.poison(error.to_string()))?;
        // Marks carry rising commit numbers, so this one gets a commit of its own.
        let mut batch = Batch::new();
        let commit = self.next_commit(&mut batch);
        self.commit(batch)?;
        self.raise_high_water(commit, &[(log.info.id, Mark { size, root, time_ms })])?;
        log.heads.send_replace(Arc::new(Head { size, root, time_ms, note, edge }));
        Ok(())
    }

    /// The rows that only a head covers that was never released.
    fn unreleased(&self, log: &Shared) -> Result<Vec<Key>, Poison> {
        let stored = Stored::new(&*self.parts.store, log.info.id);
        let rows = || -> Result<Vec<Key>, ReadError> {
            let row = self.parts.store.get(&HeadRow::key(log.info.id))?.unwrap_or_default();
            unreleased_rows(&stored, log.head().size, HeadRow::decode(&row)?.size)
        };
        // Damaged rows that can't be listed are not in the way of a halt.
        rows().or_else(|error| self.poison_or_damage(error).map(|_| Vec::new()))
    }
}
