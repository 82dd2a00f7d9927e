//! Reading everything again: every entry is re-hashed, every tile and root recomputed from the stored bytes.
//!
//! Changes nothing. The first bad place of a log is named; the other logs are still read.

use cairn_rocks::RocksStore;
use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{LogId, Store};

use super::EngineOptions;
use super::bounds::INDEX_CHECK_LEAVES;
use super::growing::GrowingTree;
use super::index;
use super::layout::{Checkpointed, DatabaseRow, LogState};
use super::open::{OpenError, compare_commits, open_store, read_bindings, read_checkpoint, read_database, read_head};
use super::postings;
use super::records::{Unserved, check_records, print_row};
use super::replay::replay;
use super::stored::{ReadError, Stored};
use crate::high_water::{HighWater, Marks};

/// What stands for the database itself among the findings; no log can have this name.
const WHOLE: &str = "(database)";

/// What was found out about one log, or about the database itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The log's name.
    pub log: String,
    /// How many entries its head covers.
    pub size: TreeSize,
    /// The first thing that is not as it must be; `None` if all is sound.
    pub problem: Option<String>,
    /// Whether that is damage; else the log is sound, and was halted.
    pub damaged: bool,
}

/// Tells how far it is: the log, the entries read, and the entries there are.
pub type Progress<'a> = dyn FnMut(&str, TreeSize, TreeSize) + 'a;

/// A head that the entries must hash to, and who says so.
struct Expected {
    size: TreeSize,
    root: Hash,
    who: &'static str,
    /// The perfect nodes over all full bundles, if it names them.
    nodes: Option<Vec<Hash>>,
}

impl Expected {
    const fn new(who: &'static str, size: TreeSize, root: Hash) -> Self {
        Self { size, root, who, nodes: None }
    }
}

/// Checks a database that no server has open.
///
/// # Errors
/// [`OpenError`] if it can't be read at all; what is wrong inside is in the findings.
pub fn fsck(options: &EngineOptions, progress: &mut Progress<'_>) -> Result<Vec<Finding>, OpenError> {
    let store = open_store(options)?;
    let database = read_database(&store, options.data.clone())?;
    let (_, marks) = HighWater::open(&options.high_water_path(), database.id)?;
    check_all(&store, &database, &marks, progress)
}

/// Checks an open database against these marks.
pub(super) fn check_all(
    store: &RocksStore,
    database: &DatabaseRow,
    marks: &Marks,
    progress: &mut Progress<'_>,
) -> Result<Vec<Finding>, OpenError> {
    compare_commits(database, marks)?;
    let mut findings = Vec::new();
    for (id, binding) in read_bindings(store, database)? {
        let name = binding.name.to_string();
        let stored = Stored::new(store, id);
        let read = read_head(store, id, &name).and_then(|row| Ok((row, read_checkpoint(store, id, &binding)?)));
        let (row, checkpoint) = match read {
            Ok(rows) => rows,
            Err(error) => {
                let (size, problem) = (TreeSize::ZERO, Some(error.to_string()));
                findings.push(Finding { log: name, size, problem, damaged: true });
                continue;
            }
        };
        // In the order of their sizes.
        let checkpoint = checkpoint.and_then(Checkpointed::head);
        let checkpoint = checkpoint.map(|head| Expected::new("checkpoint", head.size, head.root));
        let mut expected = Vec::from_iter(checkpoint);
        expected.extend(marks.get(id).map(|mark| Expected::new("high-water", mark.size, mark.root)));
        expected.push(Expected { nodes: row.nodes.clone(), ..Expected::new("head row", row.size, row.root) });
        let problem = check_log(&stored, &expected, &mut |size| progress(&name, size, row.size));
        let problem = problem.and_then(|()| check_index(store, &stored, binding.hash_index, binding.dedup));
        let problem = problem.and_then(|()| check_records(store, &stored, &binding.origin, row.size));
        let problem = problem.and_then(|()| check_postings(store, id, row.size)).err();
        let halted = match row.state {
            LogState::Halted(reason) => Some(format!("halted: {reason}")),
            LogState::Open | LogState::Sealed => None,
        };
        let damaged = problem.is_some();
        findings.push(Finding { log: name, size: row.size, problem: problem.or(halted), damaged });
    }
    // Last, so that damage under a log's own rows is told as that log's: what no log reads any more.
    if let Err(error) = store.read_all() {
        let (log, size, problem) = (WHOLE.to_owned(), TreeSize::ZERO, Some(error.to_string()));
        findings.push(Finding { log, size, problem, damaged: true });
    }
    Ok(findings)
}

/// Checks one log of a database that is being served, up to a head that was released.
pub(super) fn check_served(
    store: &dyn Store,
    log: &super::head::Shared,
    progress: &mut dyn FnMut(TreeSize),
) -> Option<String> {
    // The checkpoint first: the head, which comes later, is no smaller.
    let checkpoint = log.publishing.checkpoint(|| log.head());
    let head = log.head();
    let checkpoint = checkpoint.iter().map(|checkpoint| (checkpoint, "checkpoint"));
    let expected = checkpoint.chain([(&head, "signed head")]);
    let expected: Vec<_> = expected.map(|(head, who)| Expected::new(who, head.size, head.root)).collect();
    let stored = Stored::new(store, log.info.id);
    let checked = check_log(&stored, &expected, progress);
    checked.and_then(|()| check_records(store, &stored, &log.info.origin, head.size)).err()
}

/// Checks the runs of the hash index. Only of a database that nobody writes to: a run may be merged away meanwhile.
fn check_index(store: &dyn Store, stored: &Stored<'_>, hash_index: bool, dedup: bool) -> Result<(), String> {
    if !hash_index {
        return Ok(());
    }
    index::check(store, stored, dedup, INDEX_CHECK_LEAVES).map_err(|error| error.to_string())
}

/// Checks the runs of the postings, if the log ever was to have records; of a database that nobody writes to, as well.
fn check_postings(store: &dyn Store, log: LogId, size: TreeSize) -> Result<(), String> {
    let check = || -> Result<(), ReadError> {
        let Some(row) = print_row(store, log)? else { return Ok(()) };
        postings::check(&Unserved { store, log, size, secret: &row.secret }, log, &row)
    };
    check().map_err(|error| error.to_string())
}

/// Re-hashes a log from its first entry, and compares it with each expected head on the way.
fn check_log(stored: &Stored<'_>, expected: &[Expected], progress: &mut dyn FnMut(TreeSize)) -> Result<(), String> {
    let mut tree = GrowingTree::new();
    for Expected { size, root, who, nodes } in expected {
        if *size < tree.size() {
            return Err(format!("the {who} has size {size}, less than the {} of another record", tree.size()));
        }
        replay(stored, &mut tree, *size, progress).map_err(|error: ReadError| error.to_string())?;
        if tree.root() != *root {
            return Err(format!("the entries hash to {} at size {size}, but the {who} says {root}", tree.root()));
        }
        if nodes.as_ref().is_some_and(|nodes| *nodes != tree.nodes()) {
            return Err(format!("the {who} lists other nodes of the tree at size {size} than the entries hash to"));
        }
    }
    Ok(())
}
