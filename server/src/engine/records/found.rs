//! How a log's records are found: its postings, the secret that their prints are keyed with, and what both stand on.
//!
//! A log gets them before its first record, for good; which row says so is read when it is first needed. Not here: what
//! postings are (`postings`).

use core::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use cairn_rocks::RocksStore;
use cairn_tree::merkle::Root;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{LogId, Store};

use super::prints::{StoredTree, Unlike, partial_print, stored_postings};
use super::secret::print_row;
use super::unfound::Unfound;
use crate::engine::head::Shared;
use crate::engine::postings::{Indexed, Logs, Postings, Print, PrintRow, PrintSecret, Sink, Source, Upkeep};
use crate::engine::registry::Registry;
use crate::engine::sequencer::Sequencer;
use crate::engine::stored::{ReadError, Stored};

/// What a log's records are found by.
pub(in crate::engine) struct Found {
    pub(in crate::engine) secret: PrintSecret,
    pub(in crate::engine) postings: Arc<Postings>,
    /// What is known of the records that the postings may not find.
    pub(in crate::engine) unfound: Unfound,
    /// The first entry that was met, while postings were made of entries, that is not what the tree has: of what is behind
    /// it nobody knows whether it is all that there is.
    pub(in crate::engine) damaged: AtomicU64,
}

impl Found {
    pub(super) fn new(log: LogId, row: PrintRow, upkeep: &Arc<Upkeep>) -> Self {
        let first = LeafIndex::new(row.first).unwrap_or(LeafIndex::ZERO);
        Self {
            secret: row.secret,
            postings: Arc::new(Postings::absent(log, first, Arc::clone(upkeep))),
            unfound: Unfound::default(),
            damaged: AtomicU64::new(u64::MAX),
        }
    }
}

impl Shared {
    /// What its records are found by, if it ever was to have records; reads the row that says so if nobody has yet.
    pub(in crate::engine) fn found(
        &self,
        store: &dyn Store,
        upkeep: &Arc<Upkeep>,
    ) -> Result<Option<&Found>, ReadError> {
        if let Some(found) = self.found.get() {
            return Ok(Some(found));
        }
        let log = self.info.id;
        let row = print_row(store, log)?;
        Ok(row.map(|row| self.found.get_or_init(|| Found::new(log, row, upkeep))))
    }
}

/// The released records of a log, as the postings read them.
pub(in crate::engine) struct Released {
    pub(in crate::engine) log: Arc<Shared>,
    pub(in crate::engine) store: Arc<dyn Store>,
    /// What the store reads through, which can forget what it has read.
    pub(in crate::engine) rocks: Arc<RocksStore>,
    pub(in crate::engine) secret: PrintSecret,
}

impl Source for Released {
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn partial(&self) -> Option<Print> {
        Some(partial_print(&self.secret))
    }

    fn size(&self) -> TreeSize {
        self.log.head().size
    }

    fn postings(&self, range: Range<u64>, to: &mut Vec<(Print, LeafIndex)>) -> Result<Option<LeafIndex>, ReadError> {
        let (store, head) = (&*self.store, self.log.head());
        let stored = Stored::new(store, self.log.info.id);
        let tree = StoredTree { stored, store, root: head.tree(), edge: head.edge.clone() };
        let unlike = stored_postings(&tree, &self.secret, range, to, || self.rocks.forget_blocks())?;
        let Some(Unlike { index, error }) = unlike else { return Ok(None) };
        tracing::error!(log = %self.log.info.name, %error, "a record that can't be found by what it says");
        if let Some(found) = self.log.found.get() {
            found.damaged.fetch_min(index.get(), Relaxed);
        }
        Ok(Some(index))
    }
}

/// The records of a log that nobody serves, up to a size.
pub(in crate::engine) struct Unserved<'a> {
    pub(in crate::engine) store: &'a dyn Store,
    pub(in crate::engine) log: LogId,
    pub(in crate::engine) root: Root,
    pub(in crate::engine) secret: &'a PrintSecret,
}

impl Source for Unserved<'_> {
    fn store(&self) -> &dyn Store {
        self.store
    }

    fn partial(&self) -> Option<Print> {
        Some(partial_print(self.secret))
    }

    fn size(&self) -> TreeSize {
        self.root.size
    }

    fn postings(&self, range: Range<u64>, to: &mut Vec<(Print, LeafIndex)>) -> Result<Option<LeafIndex>, ReadError> {
        let (stored, store) = (Stored::new(self.store, self.log), self.store);
        let tree = StoredTree { stored, store, root: self.root, edge: None };
        // There is no server whose readers go on with the rest.
        stored_postings(&tree, self.secret, range, to, || ())?.map_or(Ok(None), |unlike| Err(unlike.error))
    }
}

/// All logs of a database, to those who work on their postings.
pub(in crate::engine) struct Indexes {
    registry: Arc<Registry>,
    store: Arc<dyn Store>,
    rocks: Arc<RocksStore>,
    sequencer: Arc<Sequencer>,
    upkeep: Arc<Upkeep>,
}

impl Indexes {
    /// Those of a database that is open; `rocks` is what its store reads through.
    pub(in crate::engine) fn of(
        registry: &Arc<Registry>,
        (store, rocks): (Arc<dyn Store>, &Arc<RocksStore>),
        sequencer: &Arc<Sequencer>,
        upkeep: &Arc<Upkeep>,
    ) -> Self {
        let (registry, rocks) = (Arc::clone(registry), Arc::clone(rocks));
        Self { registry, store, rocks, sequencer: Arc::clone(sequencer), upkeep: Arc::clone(upkeep) }
    }
}

impl Logs for Indexes {
    fn all(&self) -> Vec<LogId> {
        self.registry.all().into_iter().map(|log| log.info.id).collect()
    }

    fn get(&self, log: LogId) -> Option<Indexed> {
        let log = self.registry.by_id(log)?;
        let found = log.found(&*self.store, &self.upkeep).inspect_err(|error| {
            tracing::error!(log = %log.info.name, %error, "the secret of the log's prints can't be read");
        });
        let Found { secret, postings, .. } = found.ok()??;
        let (name, postings, secret) = (log.info.name.to_string(), Arc::clone(postings), secret.clone());
        let (store, rocks) = (Arc::clone(&self.store), Arc::clone(&self.rocks));
        let source = Released { log: Arc::clone(&log), store, rocks, secret };
        Some(Indexed { name, postings, source: Box::new(source) })
    }

    fn sink(&self) -> &dyn Sink {
        &*self.sequencer
    }
}
