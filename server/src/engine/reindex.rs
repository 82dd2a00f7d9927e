//! Making every index of a database's logs anew from their entries, for `cairnd index rebuild`.
//!
//! Nothing of an index needs to survive, so all of it is dropped first. Not here: finding out whether an index is sound,
//! which is `fsck`.

use cairn_tree::merkle::Root;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{Batch, Key, KeyRange, Kind, LogId, Store};

use super::EngineOptions;
use super::bounds::MAINTENANCE_ROWS;
use super::index::Anew;
use super::layout::BindingRow;
use super::open::{OpenError, compare_commits, open_store, read_bindings, read_database};
use super::postings::{self, DirectSink, PrintRow};
use super::records::{Unserved, damaged_records, print_row};
use super::stored::ReadError;
use crate::high_water::HighWater;

/// Why indexes were not made anew. Then some may be unfinished: the next start goes on with them.
#[derive(Debug, thiserror::Error)]
pub enum ReindexError {
    /// The database is not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no log of this name.
    #[error("there is no log named {0}")]
    NoLog(String),
    /// A log can't be read, or its rows can't be written.
    #[error("log {log}: {problem}")]
    Log {
        /// The log's name.
        log: String,
        /// What failed.
        problem: String,
    },
}

/// A log whose indexes were made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reindexed {
    /// Its name.
    pub log: String,
    /// The entries that the indexes stand on.
    pub size: TreeSize,
    /// Whether it has one from leaf hashes.
    pub hash_index: bool,
    /// Whether it has one of records.
    pub records: bool,
    /// Records that searches may miss: what they say is damaged, so that nothing of it finds them.
    pub damaged: Vec<LeafIndex>,
}

/// Drops every index of one log, or of all, and makes it anew, up to the last released head. Of a database that no server
/// has open; each log is told of when it is done.
///
/// # Errors
/// [`ReindexError`].
pub fn reindex(
    options: &EngineOptions,
    only: Option<&str>,
    done: &mut dyn FnMut(Reindexed),
) -> Result<(), ReindexError> {
    let store = open_store(options)?;
    let database = read_database(&store, options.data.clone())?;
    let (_, marks) = HighWater::open(&options.high_water_path(), database.id).map_err(OpenError::from)?;
    compare_commits(&database, &marks)?;
    let mut bindings = read_bindings(&store, &database)?;
    bindings.retain(|(_, binding)| only.is_none_or(|only| only == &*binding.name));
    if let (Some(only), true) = (only, bindings.is_empty()) {
        return Err(ReindexError::NoLog(only.to_owned()));
    }
    for (id, binding) in bindings {
        let root = marks.get(id).map_or(Root::EMPTY, |mark| Root { size: mark.size, hash: mark.root });
        let log = binding.name.to_string();
        let made = reindex_log(&store, id, &binding, root);
        let damaged = made.map_err(|problem| ReindexError::Log { log: log.clone(), problem })?;
        let (records, damaged) = (damaged.is_some(), damaged.unwrap_or_default());
        done(Reindexed { log, size: root.size, hash_index: binding.hash_index, records, damaged });
    }
    Ok(())
}

/// Makes one log's indexes anew; says which records are not found by what they say, if it has an index of records.
fn reindex_log(
    store: &dyn Store,
    log: LogId,
    binding: &BindingRow,
    root: Root,
) -> Result<Option<Vec<LeafIndex>>, String> {
    if binding.hash_index {
        index_leaves(store, log, root.size)?;
    }
    let row = print_row(store, log).map_err(|error: ReadError| error.to_string())?;
    let Some(PrintRow { secret, first }) = row else { return Ok(None) };
    let first = LeafIndex::new(first).map_err(|error| error.to_string())?;
    let source = Unserved { store, log, root, secret: &secret };
    postings::rebuild(log, first, &source, &DirectSink(store)).map_err(|error| error.to_string())?;
    damaged_records(&source, &binding.origin, first).map(Some)
}

fn index_leaves(store: &dyn Store, log: LogId, size: TreeSize) -> Result<(), String> {
    let commit = |batch| store.commit(batch).map_err(|error| error.to_string());
    // The manifest first: what it does not name is deleted by the next start, should this end half-way.
    let mut batch = Batch::new();
    batch.delete(Key::only(log, Kind::IndexManifest));
    commit(batch)?;
    let mut range = KeyRange::all(log, Kind::IndexRun);
    loop {
        let rows = store.scan(&range, MAINTENANCE_ROWS).map_err(|error| error.to_string())?;
        let Some((last, _)) = rows.last() else { break };
        range = KeyRange::from_key(last.clone());
        let mut batch = Batch::new();
        rows.into_iter().for_each(|(key, _)| batch.delete(key));
        commit(batch)?;
    }
    let mut anew = Anew::new(log);
    while let Some(batch) = anew.next(store, size).map_err(|error| error.to_string())? {
        commit(batch)?;
    }
    let (key, manifest) = anew.finish();
    let mut batch = Batch::new();
    batch.put(key, manifest);
    commit(batch)
}
