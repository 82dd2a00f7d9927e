//! What others than the store decide about a log: its witnesses, that what was committed before a start goes out or that
//! the log is halted; its signer, that a head is not signed.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_tree::size::TreeSize;
use cairn_tree::store::{Batch, Key};
use tokio::sync::oneshot;

use super::handover::Work;
use super::job::FreezeJob;
use super::releaser::Unsound;
use super::writer::{Halt, Poison, Writer};
use crate::engine::head::Shared;
use crate::engine::layout::{BindingRow, HeadRow, LogState};
use crate::engine::open::unreleased_rows;
use crate::engine::stored::{ReadError, Stored};

impl Writer {
    /// Signs and releases the entries that a commit before the start brought, if there are any. Until now no append was
    /// taken, so that nothing else of this log is under way.
    pub(super) fn release_rest(&mut self, log: &Arc<Shared>, done: oneshot::Sender<()>) -> Result<(), Poison> {
        // The head must be that of the last commit, should the log have been at work after all.
        self.release.drain()?;
        if !matches!(log.state(), LogState::Halted(_)) {
            match self.rest(log) {
                Ok(rest) if rest == log.head().size => {}
                Ok(_) => self.sign_rest(log)?,
                Err(error) => {
                    let damage = self.poison_or_damage(error)?;
                    let undo = self.unreleased_keys(log)?;
                    self.halt(log, &damage, undo)?;
                }
            }
        }
        // Whoever asked may have gone.
        let _ = done.send(());
        Ok(())
    }

    /// Halts a log because of what a witness showed.
    pub(super) fn halt_by_witness(&mut self, log: &Arc<Shared>, reason: String) -> Result<(), Poison> {
        if matches!(log.state(), LogState::Halted(_)) {
            return Ok(());
        }
        // Heads that are on their way were made before anybody objected; the log ends with the last of them.
        self.release.drain()?;
        let undo = self.unreleased_keys(log)?;
        self.halt_for(log, Halt::for_good(reason), undo)
    }

    /// Halts a log in whose stored bytes the scrubber found damage. Its heads that are on their way were checked before
    /// they were signed.
    pub(super) fn halt_by_scrub(&mut self, log: &Arc<Shared>, reason: String) -> Result<(), Poison> {
        if matches!(log.state(), LogState::Halted(_)) {
            return Ok(());
        }
        self.release.drain()?;
        let undo = self.unreleased_keys(log)?;
        self.halt_for(log, Halt::damage(reason), undo)
    }

    /// Takes back what a commit brought to a log and does not read back as it was placed, or what came after such a commit,
    /// and halts the log as it was before. Then those are told who wait for it.
    pub(super) fn take_back(&mut self, mut unsound: Unsound) -> Result<(), Poison> {
        let undo = core::mem::take(&mut unsound.undo);
        match unsound.reason.take() {
            Some(reason) => self.halt_unsound(&unsound.shared, reason, undo)?,
            // It was halted for the commit before.
            None => {
                let mut batch = Batch::new();
                self.next_commit(&mut batch);
                BTreeSet::from_iter(undo).into_iter().for_each(|key| batch.delete(key));
                self.commit(batch)?;
            }
        }
        unsound.answer();
        Ok(())
    }

    fn halt_unsound(&mut self, log: &Arc<Shared>, reason: String, undo: Vec<Key>) -> Result<(), Poison> {
        tracing::error!(log = %log.info.name, %reason, "the stored bytes do not match what was to be signed");
        // Heads before that commit were sound, and have been signed.
        self.release.drain()?;
        // Were its rows not to be listed, those that are known to be unsound go all the same.
        let undo: BTreeSet<Key> = self.unreleased_keys(log)?.into_iter().chain(undo).collect();
        // The commit may have changed its binding.
        let mut batch = Batch::new();
        self.next_commit(&mut batch);
        batch.put(BindingRow::key(log.info.id), log.standing().binding.encode());
        self.commit(batch)?;
        self.halt_for(log, Halt::damage(reason), undo.into_iter().collect())
    }

    /// Halts a log whose head the signer refuses. From that head on nothing of it was signed.
    pub(super) fn halt_by_signer(&mut self, log: &Arc<Shared>, reason: String) -> Result<(), Poison> {
        self.release.drain()?;
        let undo = self.unreleased_keys(log)?;
        self.halt_for(log, Halt::for_good(reason), undo)
    }

    /// Stands still while a copy is made. What was committed is released by then, so that the high-water has exactly the
    /// database's last heads: neither is ahead of the other, and the two open together.
    pub(super) fn freeze(&mut self, job: FreezeJob) -> Result<(), Poison> {
        let marks = self.release.marks()?;
        (job.make)(self.parts.database.commit, &marks);
        Ok(())
    }

    /// The size of the log's tree as committed, with the tree at hand.
    fn rest(&mut self, log: &Arc<Shared>) -> Result<TreeSize, ReadError> {
        self.bring(log)?;
        Ok(self.residents.get_mut(log.info.id).map_or(log.head().size, |track| track.size()))
    }

    fn sign_rest(&mut self, log: &Arc<Shared>) -> Result<(), Poison> {
        let Some(track) = self.residents.get_mut(log.info.id) else { return Ok(()) };
        let unsigned = track.unsigned();
        let commit = self.commit_nothing()?;
        self.release.hand(Work::Rest(commit, Box::new(unsigned)))?;
        self.release.drain()
    }

    /// The rows that only a head covers that was never released.
    fn unreleased_keys(&self, log: &Shared) -> Result<Vec<Key>, Poison> {
        let stored = Stored::new(&*self.parts.store, log.info.id);
        let rows = || -> Result<Vec<Key>, ReadError> {
            let row = self.parts.store.get(&HeadRow::key(log.info.id))?.unwrap_or_default();
            unreleased_rows(&stored, log.head().size, HeadRow::decode(&row)?.size)
        };
        // Damaged rows that can't be listed are not in the way of a halt.
        rows().or_else(|error| self.poison_or_damage(error).map(|_| Vec::new()))
    }
}
