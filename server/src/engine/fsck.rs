//! Reading everything again: every entry is re-hashed, every tile and root recomputed from the stored bytes.
//!
//! Changes nothing. Every bad tile and bundle of a log is named, up to a bound, and every bad block of the engine's tables;
//! the other logs are still read. Of the hash index, the records and the postings only the first problem each is told, and
//! none where the tree is bad: they are compared with it. While the database is served the blocks of the hash index and the
//! postings are read, and what they say is not compared: a run may be merged away meanwhile.

use cairn_rocks::RocksStore;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{LogId, Store};

use super::bounds::{FSCK_PLACES, INDEX_CHECK_LEAVES, REPLAY_BUNDLES};
use super::growing::GrowingTree;
use super::index::{self, Way};
use super::judge::Judge;
use super::layout::{Checkpointed, DatabaseRow, LogState};
use super::open::{OpenError, compare_commits, open_store, read_bindings, read_checkpoint, read_database, read_head};
use super::postings;
use super::records::{Meanwhile, Unserved, check_records, print_row};
use super::replay::replay;
use super::scrub::{check, check_edge};
use super::stored::{ReadError, Stored};
use super::{Engine, EngineOptions};
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
    /// All tiles and bundles that were found to be bad, of so many; the last says so if there are more. If there are none, the
    /// first problem of the hash index, of the records and of the postings, as far as they have one. Where what is wrong has
    /// no place of its own, only the problem tells.
    pub places: Vec<String>,
}

/// What is wrong with a log.
struct Wrong {
    first: String,
    places: Vec<String>,
}

/// What stands for all places past the bound.
const MORE: &str = "and more";

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
                findings.push(Finding { log: name, size, problem, damaged: true, places: Vec::new() });
                continue;
            }
        };
        // In the order of their sizes.
        let checkpoint = checkpoint.and_then(Checkpointed::head);
        let checkpoint = checkpoint.map(|head| Expected::new("checkpoint", head.size, head.root));
        let mut expected = Vec::from_iter(checkpoint);
        expected.extend(marks.get(id).map(|mark| Expected::new("high-water", mark.size, mark.root)));
        expected.push(Expected { nodes: row.nodes.clone(), ..Expected::new("head row", row.size, row.root) });
        let wrong = match check_log(&stored, &expected, &mut |size| progress(&name, size, row.size)) {
            Err(first) => Some(Wrong { first, places: bad_places(&stored, row.size, row.root) }),
            // Each tells of its own: one that is damaged says nothing of the others.
            Ok(()) => in_turn([
                check_index(store, &stored, binding.hash_index, binding.dedup),
                check_records(store, &stored, &binding.origin, (row.size, Meanwhile::Nobody)),
                check_postings(store, id, Root { size: row.size, hash: row.root }),
            ]),
        };
        let halted = match row.state {
            LogState::Halted(reason) => Some(format!("halted: {reason}")),
            LogState::Open | LogState::Sealed => None,
        };
        let damaged = wrong.is_some();
        let (problem, places) = wrong.map_or((halted, Vec::new()), |wrong| (Some(wrong.first), wrong.places));
        findings.push(Finding { log: name, size: row.size, problem, damaged, places });
    }
    // Last, so that damage under a log's own rows is told as that log's: what no log reads any more.
    findings.extend(bad_tables(store));
    Ok(findings)
}

/// Every block of the engine's tables that can't be read, of so many.
fn bad_tables(store: &RocksStore) -> Option<Finding> {
    let (bad, more) = store.bad_blocks(FSCK_PLACES).unwrap_or_else(|error| (vec![error], false));
    let problem = bad.first()?.to_string();
    let places = bad.iter().map(ToString::to_string).chain(more.then(|| MORE.to_owned())).collect();
    Some(Finding { log: WHOLE.to_owned(), size: TreeSize::ZERO, problem: Some(problem), damaged: true, places })
}

/// While the database is served.
impl Engine {
    /// Has whatever is checked from here on read from the files, and not from what memory has of them.
    pub fn fsck_from_files(&self) {
        self.inner.rocks.forget_blocks();
    }

    /// Reads every block of the engine's tables; what is bad among them, if anything is. Twice, if it looks so: what can be
    /// read the second time was never bad.
    #[must_use]
    pub fn fsck_tables(&self) -> Option<Finding> {
        let rocks = &self.inner.rocks;
        bad_tables(rocks)?;
        rocks.forget_blocks();
        bad_tables(rocks)
    }
}

/// What some checks of a log found, if any did.
fn in_turn(checks: [Result<(), String>; 3]) -> Option<Wrong> {
    let places: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    Some(Wrong { first: places.first()?.clone(), places })
}

/// Every tile and bundle below a root that is not what it must be, of so many.
fn bad_places(stored: &Stored<'_>, size: TreeSize, root: Hash) -> Vec<String> {
    let mut judge = Judge::new(*stored, (size, root), None);
    let (mut places, mut bundle) = (Vec::new(), 0);
    let full = judge.full(0);
    while bundle < full && places.len() <= FSCK_PLACES {
        let end = full.min(bundle + REPLAY_BUNDLES as u64);
        let portion = check(stored, &mut judge, bundle..end);
        places.extend(portion.damage.iter().map(ToString::to_string).chain(portion.unreadable));
        bundle = end;
    }
    let edge = check_edge(stored, &judge, (size.get(), root));
    places.extend(edge.damage.iter().map(ToString::to_string).chain(edge.unreadable));
    if places.len() > FSCK_PLACES {
        places.truncate(FSCK_PLACES);
        places.push(MORE.to_owned());
    }
    places
}

/// Checks one log of a database that is being served, up to a head that was released.
pub(super) fn check_served(
    store: &dyn Store,
    log: &super::head::Shared,
    progress: &mut dyn FnMut(TreeSize),
) -> Option<(String, Vec<String>)> {
    // The checkpoint first: the head, which comes later, is no smaller.
    let checkpoint = log.publishing.checkpoint(|| log.head());
    let head = log.head();
    let checkpoint = checkpoint.iter().map(|checkpoint| (checkpoint, "checkpoint"));
    let expected = checkpoint.chain([(&head, "signed head")]);
    let expected: Vec<_> = expected.map(|(head, who)| Expected::new(who, head.size, head.root)).collect();
    let stored = Stored::new(store, log.info.id);
    match check_log(&stored, &expected, progress) {
        Err(first) => Some((first, bad_places(&stored, head.size, head.root))),
        Ok(()) => {
            let found = check_records(store, &stored, &log.info.origin, (head.size, Meanwhile::Others));
            found.err().map(|first| (first, Vec::new()))
        }
    }
}

/// Checks the runs of the hash index. Only of a database that nobody writes to: a run may be merged away meanwhile.
fn check_index(store: &dyn Store, stored: &Stored<'_>, hash_index: bool, dedup: bool) -> Result<(), String> {
    if !hash_index {
        return Ok(());
    }
    let mut way = Way { dedup, most: INDEX_CHECK_LEAVES, goes_on: &mut |_| true };
    index::check(store, stored, &mut way).map(drop).map_err(|error| error.to_string())
}

/// Checks the runs of the postings, if the log ever was to have records; of a database that nobody writes to, as well.
fn check_postings(store: &dyn Store, log: LogId, root: Root) -> Result<(), String> {
    let check = || -> Result<(), ReadError> {
        let Some(row) = print_row(store, log)? else { return Ok(()) };
        postings::check(&Unserved { store, log, root, secret: &row.secret }, log, &row)
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
