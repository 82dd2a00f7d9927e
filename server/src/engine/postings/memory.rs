//! The newest postings, in memory: one segment grows, full ones wait to become runs and do not change any more.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use cairn_tree::size::LeafIndex;

use super::list::Span;
use super::print::Print;
use crate::engine::tables::table_bytes;

/// What a print costs in memory, its place in the table and the spare places included.
const PRINT_BYTES: usize = 80;
/// What a further posting of a print costs, spare places included.
const POSTING_BYTES: usize = 6;
/// What the second posting of a print costs: a list of its own.
const LIST_BYTES: usize = 24;

/// Postings of consecutive leaves.
#[derive(Default)]
pub(super) struct Segment {
    /// The first leaf's index.
    start: u64,
    /// One past the last leaf's index; leaves without postings count.
    end: u64,
    lists: HashMap<Print, List, BuildHasherDefault<PrintHasher>>,
    bytes: usize,
    /// The first leaf that was read and is not what the tree has.
    unlike: Option<LeafIndex>,
}

/// Indexes as offsets from the segment's start, rising. Most prints have one only.
enum List {
    One(u32),
    Many(Vec<u32>),
}

/// Prints are hashes already.
#[derive(Default)]
struct PrintHasher(u64);

impl Hasher for PrintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }
}

impl List {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(offset) => core::slice::from_ref(offset),
            Self::Many(offsets) => offsets,
        }
    }

    /// Adds an offset, at its place; true if it was not there.
    fn add(&mut self, offset: u32) -> bool {
        let offsets = match self {
            Self::One(one) if *one == offset => return false,
            Self::One(one) => {
                *self = Self::Many(vec![*one]);
                return self.add(offset);
            }
            Self::Many(offsets) => offsets,
        };
        match offsets.last() {
            Some(last) if *last < offset => offsets.push(offset),
            _ => match offsets.binary_search(&offset) {
                Ok(_) => return false,
                Err(place) => offsets.insert(place, offset),
            },
        }
        true
    }
}

impl Segment {
    /// Without leaves, to go on from `start`.
    pub(super) fn new(start: u64) -> Self {
        Self { start, end: start, ..Self::default() }
    }

    /// Without leaves, to go on behind another, with room for as many prints: a table that grows is copied, and whoever
    /// releases heads waits for that.
    pub(super) fn behind(other: &Self) -> Self {
        let lists = HashMap::with_capacity_and_hasher(other.lists.len(), BuildHasherDefault::default());
        Self { start: other.end, end: other.end, lists, bytes: 0, unlike: None }
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// How much memory it takes, roughly.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much memory it takes with all the room that it has for what is to come.
    pub(super) fn held(&self) -> usize {
        let lists = self.bytes.saturating_sub(self.lists.len() * PRINT_BYTES);
        table_bytes::<(Print, List)>(self.lists.capacity()) + lists
    }

    /// Takes note of a leaf that is not what the tree has: what was made of it is not to outlive this process.
    pub(super) fn distrust(&mut self, index: LeafIndex) {
        self.unlike = self.unlike.or(Some(index));
    }

    /// The first leaf among its own that is not what the tree has.
    pub(super) const fn unlike(&self) -> Option<LeafIndex> {
        self.unlike
    }

    /// How many of its prints stand in a filter.
    pub(super) fn filtered(&self) -> usize {
        self.lists.keys().filter(|print| print.is_filtered()).count()
    }

    /// Adds the postings of the leaves from its end up to `end`. What stands before was added before: it is left out.
    pub(super) fn add(&mut self, end: u64, postings: &[(Print, LeafIndex)]) {
        for (print, index) in postings {
            let inside = (self.end..end).contains(&index.get());
            let Some(offset) = index.get().checked_sub(self.start).filter(|_| inside) else { continue };
            // Segments are frozen long before they have as many leaves.
            let Ok(offset) = u32::try_from(offset) else { continue };
            match self.lists.entry(*print) {
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(List::One(offset));
                    self.bytes += PRINT_BYTES;
                }
                std::collections::hash_map::Entry::Occupied(mut list) => {
                    let was_one = matches!(list.get(), List::One(_));
                    if list.get_mut().add(offset) {
                        self.bytes += if was_one { LIST_BYTES } else { POSTING_BYTES };
                    }
                }
            }
        }
        self.end = self.end.max(end);
    }

    /// The newest index of a print.
    pub(super) fn newest(&self, print: Print) -> Option<u64> {
        Some(self.start + u64::from(*self.lists.get(&print)?.as_slice().last()?))
    }

    /// The print's indexes from `from` on, oldest first.
    pub(super) fn oldest(&self, print: Print, from: u64) -> impl Iterator<Item = u64> {
        let offsets = self.lists.get(&print).map_or(&[][..], List::as_slice);
        let first = offsets.partition_point(|offset| self.start + u64::from(*offset) < from);
        offsets.get(first..).unwrap_or_default().iter().map(|offset| self.start + u64::from(*offset))
    }

    /// A walk through the print's indexes, newest first.
    pub(super) fn walk(&self, print: Print) -> Option<SegmentWalk<'_>> {
        Some(SegmentWalk { start: self.start, offsets: self.lists.get(&print)?.as_slice() })
    }

    /// All prints in their order, each with its indexes as spans, newest first.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (Print, impl Iterator<Item = Span>)> {
        let mut lists: Vec<_> = self.lists.iter().map(|(print, list)| (*print, list.as_slice())).collect();
        lists.sort_unstable_by_key(|(print, _)| *print);
        let span = |offset: &u32| Span::one(self.start + u64::from(*offset));
        lists.into_iter().map(move |(print, offsets)| (print, offsets.iter().rev().map(span)))
    }
}

/// What is left of a list, from the newest down.
pub(super) struct SegmentWalk<'a> {
    start: u64,
    offsets: &'a [u32],
}

impl SegmentWalk<'_> {
    /// The largest index that is at most `at_most`, and how many steps that took. What stands above is gone then.
    pub(super) fn seek(&mut self, at_most: u64) -> (Option<Span>, usize) {
        let above = |offset: &u32| self.start + u64::from(*offset) > at_most;
        // In widening steps from the end: near indexes are found at once, far ones in few steps.
        let (mut steps, mut width) = (1, 1_usize);
        let mut end = self.offsets.len();
        while let Some(offset) = end.checked_sub(width).and_then(|at| self.offsets.get(at)) {
            if !above(offset) {
                break;
            }
            end -= width;
            width *= 2;
            steps += 1;
        }
        let begin = end.saturating_sub(width);
        let within = self.offsets.get(begin..end).unwrap_or_default();
        let keep = begin + within.partition_point(|offset| !above(offset));
        self.offsets = self.offsets.get(..keep).unwrap_or_default();
        (self.offsets.last().map(|offset| Span::one(self.start + u64::from(*offset))), steps)
    }
}
