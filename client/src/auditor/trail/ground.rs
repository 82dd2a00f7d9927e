//! The signed tree that all answers about records must fit: each checkpoint that comes with one is verified, and shown to
//! be of one history with those before.

use std::sync::Arc;

use cairn_tree::checkpoint::VerifiedCheckpoint;
use cairn_tree::merkle::Root;
use cairn_tree::policy::{CountedWitness, Trust, WitnessedCheckpoint};
use cairn_tree::size::TreeSize;

use super::error::TrailError;
use crate::auditor::TileReader;
use crate::fetch::{Freshness, Remote};

/// A signed tree, and whom it is trusted by.
pub struct Ground {
    trust: Trust,
    reader: TileReader,
    /// The largest head so far.
    head: VerifiedCheckpoint,
    /// Who witnessed it, as far as is known.
    witnesses: Vec<CountedWitness>,
    /// What the log had shown before anything was asked: answers cover no less.
    shown: TreeSize,
}

impl Ground {
    /// Begins with a head that was verified, and the size of the checkpoint that the log shows now.
    #[must_use]
    pub fn new(remote: Arc<Remote>, trust: Trust, head: VerifiedCheckpoint, shown: TreeSize, parallel: usize) -> Self {
        let reader = TileReader::new(remote, parallel);
        Self { trust, reader, head, witnesses: Vec::new(), shown }
    }

    /// Whom to trust.
    #[must_use]
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The largest verified head.
    #[must_use]
    pub const fn head(&self) -> &VerifiedCheckpoint {
        &self.head
    }

    /// The witnesses that counted for it.
    #[must_use]
    pub fn witnesses(&self) -> &[CountedWitness] {
        &self.witnesses
    }

    /// Shows that the checkpoint of an answer, and the one before, are of one history.
    ///
    /// # Errors
    /// [`TrailError::Fork`], and [`TrailError::Audit`] if that could not be seen.
    pub(super) async fn place(&mut self, met: WitnessedCheckpoint) -> Result<(), TrailError> {
        let (old, new) = (self.head.tree(), met.checkpoint().tree());
        let (smaller, larger) = if new.size < old.size { (new, old) } else { (old, new) };
        let fits = match smaller.size {
            size if size == larger.size => smaller.hash == larger.hash,
            TreeSize::ZERO => true,
            size => self.root_of(size, larger).await?.hash == smaller.hash,
        };
        if !fits {
            let (ours, theirs) = (Box::new(self.head.clone()), Box::new(met.into_checkpoint()));
            let (smaller, larger) = if new.size < old.size { (theirs, ours) } else { (ours, theirs) };
            return Err(TrailError::Fork { smaller, larger });
        }
        if new.size >= old.size {
            self.witnesses = met.witnesses().to_vec();
            self.head = met.into_checkpoint();
        }
        Ok(())
    }

    /// What the log was at a size that it has reached.
    pub(super) async fn root_at(&mut self, size: TreeSize) -> Result<Root, TrailError> {
        let tree = self.head.tree();
        if size == tree.size { Ok(tree) } else { self.root_of(size, tree).await }
    }

    async fn root_of(&mut self, size: TreeSize, tree: Root) -> Result<Root, TrailError> {
        match self.reader.root_at(size, tree, Freshness::AnyCache).await {
            // What does not fit may be a cache's fault.
            Err(error) if error.is_misfit() => Ok(self.reader.root_at(size, tree, Freshness::PastCaches).await?),
            other => Ok(other?),
        }
    }

    /// Refuses an answer that covers less than the log had shown before.
    pub(super) fn covered_by(&self, covers: TreeSize) -> Result<(), TrailError> {
        if covers < self.shown { Err(TrailError::Stale { covers, shown: self.shown }) } else { Ok(()) }
    }
}
