//! One log's entries and tiles: read whole, judged by its signed root, and made anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_tree::merkle::Root;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::statement::reserved_prefix;
use cairn_tree::tile::{Entries, Width};

use super::edge::{SignedEdge, signed_edge};
use super::lacking::{Lacking, LackingSearch};
use super::report::{Remedy, Report};
use super::sink::Sink;
use super::sources::{Had, Parts};
use super::{MendError, Step};
use crate::engine::bounds::{MEND_CHANGED, REPLAY_BUNDLES};
use crate::engine::growing::{FullTile, GrowingTree, perfect_root};
use crate::engine::judge::{Judge, LEVELS};
use crate::engine::records::{Rows, discloses_others};
use crate::engine::scrub::Place;
use crate::engine::stored::{RECORD, WIDTH};

/// What the first line of a statement about a key begins with.
const KEY: &str = "cairn.key/";
/// And that of a log's last entry.
const SEAL: &str = "cairn.seal/";

/// What was learnt of a log whose entries are all there.
pub(super) struct Walked {
    /// The tree, made of all entries.
    pub(super) tree: GrowingTree,
    /// The indexes of the entries that say how its keys changed.
    pub(super) key_statements: Vec<u64>,
    /// Whether its last entry says that it has ended.
    pub(super) is_sealed: bool,
    /// The indexes of its first and its last record, if it has any.
    pub(super) records: Option<(u64, u64)>,
    /// Those whose disclosures are there and are none of theirs, in order.
    pub(super) changed: BTreeSet<u64>,
    /// Those that lack disclosures, if that was looked for.
    pub(super) lacking: Lacking,
}

/// A walk over one log from its first entry to its last.
pub(super) struct Walk<'a, 'b> {
    pub(super) parts: &'a Parts<'a>,
    pub(super) name: &'a str,
    pub(super) signed: Root,
    /// What is damaged is told here.
    pub(super) report: &'b mut Report,
    /// Where the log is made anew; without it, it is looked at only.
    pub(super) sink: Option<&'b mut Sink>,
    pub(super) step: &'b mut Step<'b>,
}

/// What was made of the entries so far.
struct Made {
    tree: GrowingTree,
    key_statements: Vec<u64>,
    is_sealed: bool,
    records: Option<(u64, u64)>,
    changed: BTreeSet<u64>,
    search: Option<LackingSearch>,
    /// Whether all entries so far are in it.
    is_whole: bool,
}

impl Walk<'_, '_> {
    /// `None` if something is missing. Records that lack disclosures are looked for where that is asked for.
    pub(super) fn run(mut self, search: Option<LackingSearch>) -> Result<Option<Walked>, MendError> {
        let Root { size, hash } = self.signed;
        let Some(SignedEdge { tree: edge, tail }) = signed_edge(self.parts, self.signed) else {
            self.tell_no_edge();
            return Ok(None);
        };
        let mut edge = edge;
        let mut judge = Judge::of(self.parts, size, Ok(Arc::new(edge.edge())));
        let mut made = Made {
            tree: GrowingTree::new(),
            key_statements: Vec::new(),
            is_sealed: false,
            records: None,
            changed: BTreeSet::new(),
            search,
            is_whole: true,
        };
        for number in 0..judge.full(0) {
            if self.sink.is_none() {
                self.look_at_tiles(&mut judge, number);
            }
            match self.bundle(&mut judge, number) {
                Some(had) => self.take(&mut made, number * WIDTH, &had)?,
                None => made.is_whole = false,
            }
            if number % REPLAY_BUNDLES as u64 == 0 {
                (self.step)(self.name, TreeSize::new(number * WIDTH).unwrap_or(size), size);
            }
        }
        self.look_at_tail(&tail);
        self.take(&mut made, size.get() - size.get() % WIDTH, &tail)?;
        (self.step)(self.name, size, size);
        let Made { tree, key_statements, is_sealed, records, changed, search, is_whole } = made;
        if !is_whole {
            return Ok(None);
        }
        if (tree.size(), tree.root()) == (size, hash) {
            let mut rows = Rows::new(self.parts.own_store, self.parts.own.log());
            let lacking = search.map(|search| search.finish(&mut rows)).unwrap_or_default();
            return Ok(Some(Walked { tree, key_statements, is_sealed, records, changed, lacking }));
        }
        let problem = format!("its entries hash to {} at size {}", tree.root(), tree.size());
        Err(MendError::Unsound { log: self.name.to_owned(), problem })
    }

    /// Without the unfinished bundle, or the tiles along the edge, nobody knows what the log's parts must hash to.
    fn tell_no_edge(&mut self) {
        let Root { size, hash } = self.signed;
        let first = size.get() - size.get() % WIDTH;
        let place = if self.parts.tails(size).is_empty() {
            (Place::Tail { first, end: size.get() }, "not all of its entries can be read".to_owned())
        } else {
            let found = format!("nothing that can be read along its right edge hashes to the signed root {hash}");
            (Place::Root { size: size.get() }, found)
        };
        self.report.add(Some(self.name), place, Remedy::Missing);
    }

    /// The tiles that begin with this bundle, as the damaged database has them.
    fn look_at_tiles(&mut self, judge: &mut Judge<&Parts<'_>>, bundle: u64) {
        let mut number = bundle;
        for level in 0..LEVELS {
            if level > 0 {
                if !number.is_multiple_of(WIDTH) {
                    return;
                }
                number /= WIDTH;
            }
            if number >= judge.full(level) {
                return;
            }
            let expected = judge.expected(level, number);
            let problem = match self.parts.own.tile(level, number) {
                Ok(hashes) if Some(perfect_root(&hashes)) == expected => continue,
                Ok(hashes) => format!("it hashes to {}", perfect_root(&hashes).to_base64()),
                Err(error) => error.to_string(),
            };
            self.report.add(Some(self.name), (Place::Tile { level, number }, problem), Remedy::Made);
        }
    }

    fn bundle(&mut self, judge: &mut Judge<&Parts<'_>>, number: u64) -> Option<Had> {
        let place = Place::Bundle { number };
        let Some(expected) = judge.expected(0, number) else {
            let problem = "no tile above it is there, so that nobody knows what it must hash to".to_owned();
            self.report.add(Some(self.name), (place, problem), Remedy::Missing);
            return None;
        };
        let (had, problem) = self.parts.bundle(number, &expected);
        if let Some(problem) = problem {
            let remedy = had.as_ref().and_then(|had| had.from.clone()).map_or(Remedy::Missing, Remedy::From);
            self.report.add(Some(self.name), (place, problem), remedy);
        }
        had
    }

    fn look_at_tail(&mut self, tail: &Had) {
        let size = self.signed.size.get();
        let width = size % WIDTH;
        let own = self.parts.own.leaves(size / WIDTH, width as usize);
        let problem = match own {
            Ok(leaves) if leaves == tail.leaves => return,
            Ok(_) => "its entries do not hash to the signed root".to_owned(),
            Err(error) => error.to_string(),
        };
        let remedy = tail.from.clone().map_or(Remedy::Made, Remedy::From);
        self.report.add(Some(self.name), (Place::Tail { first: size - width, end: size }, problem), remedy);
    }

    /// Adds entries, and writes them with the tiles that they complete.
    fn take(&mut self, made: &mut Made, first: u64, had: &Had) -> Result<(), MendError> {
        if !made.is_whole || had.leaves.is_empty() {
            return Ok(());
        }
        let unsound = |problem: String| MendError::Unsound { log: self.name.to_owned(), problem };
        let entries =
            Entries::parse_batch(&had.encoded, Width::FULL.get()).map_err(|error| unsound(error.to_string()))?;
        let mut rows = Rows::new(self.parts.own_store, self.parts.own.log());
        for (index, entry) in (first..).zip(entries.iter()) {
            let prefix = reserved_prefix(entry);
            made.is_sealed = prefix == Some(SEAL);
            if prefix == Some(KEY) {
                made.key_statements.push(index);
            }
            if prefix == Some(RECORD) {
                made.records = Some((made.records.map_or(index, |(first, _)| first), index));
                if is_changed(&mut rows, index, entry) && made.changed.len() < MEND_CHANGED {
                    made.changed.insert(index);
                }
                if let (Some(search), Ok(index)) = (&mut made.search, LeafIndex::new(index)) {
                    search.take(&mut rows, index, entry);
                }
            }
        }
        let mut tiles: Vec<FullTile> = Vec::new();
        let grown = made.tree.extend(&had.leaves, &mut |tile| tiles.push(tile));
        grown.map_err(|error| unsound(error.to_string()))?;
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let own = &self.parts.own;
        if had.leaves.len() as u64 == WIDTH {
            let rows = own.bundle_rows(first / WIDTH, had.encoded.clone());
            rows.into_iter().try_for_each(|(key, row)| sink.put(key, row))?;
        } else {
            sink.put(own.piece_key(first), had.encoded.clone())?;
        }
        for tile in tiles {
            if let Some(key) = own.tile_key(tile.level, tile.number) {
                sink.put(key, tile.bytes())?;
            }
        }
        Ok(())
    }
}

/// Whether what is kept of a record, as the entry that was signed has it, has a disclosure that is none of its own. What
/// can't be read is told of by whoever copies it.
fn is_changed(rows: &mut Rows<'_>, index: u64, entry: &[u8]) -> bool {
    let Ok(index) = LeafIndex::new(index) else { return false };
    rows.disclosures(index).is_ok_and(|kept| discloses_others(index, entry, &kept))
}
