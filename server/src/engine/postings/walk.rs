//! Walking through one print's indexes in one run, from the newest down, without reading what is skipped.

use core::cmp::Ordering;

use cairn_tree::store::{LogId, Store};

use super::block::{Address, Block, Entry, Position};
use super::list::{ListReader, Span};
use super::memory::SegmentWalk;
use super::print::Print;
use super::run::Run;
use crate::engine::stored::ReadError;

/// What reading a block counts as, in seeks within one; skipping what is in it included.
const BLOCK_WORK: u64 = 1 << 10;
/// The most blocks that are read together: 128 KiB.
const TOGETHER: usize = 8;

/// A bound on work, in seeks of some ten nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    left: u64,
}

impl Work {
    /// As much as reading this many blocks.
    pub(super) const fn blocks(blocks: u64) -> Self {
        Self { left: blocks.saturating_mul(BLOCK_WORK) }
    }

    pub(super) const fn is_done(self) -> bool {
        self.left == 0
    }

    pub(super) fn steps(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps as u64);
    }

    fn block(&mut self) {
        self.left = self.left.saturating_sub(BLOCK_WORK);
    }

    /// How many more blocks it has room for, but at least one.
    fn blocks_left(self) -> usize {
        usize::try_from(self.left / BLOCK_WORK).unwrap_or(usize::MAX).max(1)
    }
}

/// A list that is walked through from the newest index down.
pub(super) trait Walk {
    /// The span with the largest index that is at most `at_most`, and nothing above that. `at_most` never rises.
    fn seek(&mut self, at_most: u64, work: &mut Work) -> Result<Option<Span>, ReadError>;
}

impl Walk for SegmentWalk<'_> {
    fn seek(&mut self, at_most: u64, work: &mut Work) -> Result<Option<Span>, ReadError> {
        let (span, steps) = self.seek(at_most);
        work.steps(steps);
        Ok(span)
    }
}

/// A print's list in a run.
pub(super) struct RunWalk<'a> {
    store: &'a dyn Store,
    address: Address,
    run: Run,
    print: Print,
    block: Block,
    list: ListReader,
    /// What is left of the list in this block.
    at: usize,
    end: usize,
    span: Option<Span>,
    /// Blocks behind it that were read together, the next one last.
    ahead: Vec<Block>,
    /// How many were, the last time.
    together: usize,
}

impl<'a> RunWalk<'a> {
    /// Begins with the largest index that is at most `at_most`; none if the run does not have the print.
    pub(super) fn begin(
        store: &'a dyn Store,
        log: LogId,
        (run, print): (&Run, Print),
        at_most: u64,
        work: &mut Work,
    ) -> Result<Option<Self>, ReadError> {
        let address = run.address(log);
        work.block();
        let block = address.find(store, Position::new(print, at_most))?;
        let Some(entry) = entry_of(address, &block, print)? else { return Ok(None) };
        let (list, at) = begin_list(address, run, &block, entry)?;
        let run = *run;
        let (span, ahead, together) = (None, Vec::new(), 1);
        Ok(Some(Self { store, address, run, print, block, list, at, end: entry.end, span, ahead, together }))
    }

    /// Whether the list seems to have fewer indexes among as many leaves, by the bytes that those of its first block take.
    pub(super) fn rarer(&self, other: &Self) -> Ordering {
        let ((bytes, leaves), (others, among)) = (self.density(), other.density());
        (bytes * among).cmp(&(others * leaves))
    }

    /// The bytes of the list in its first block, and about how many leaves they are of.
    fn density(&self) -> (u128, u128) {
        let low = if self.block.goes_on(self.print) { self.block.end.index() } else { self.run.start };
        let leaves = self.list.newest().unwrap_or(low).saturating_sub(low).saturating_add(1);
        ((self.end - self.at) as u128 + 1, u128::from(leaves))
    }

    /// The block that covers a position behind this one. Where a list is walked through block by block, more and more of them
    /// are read together: one after another, each would be waited for by itself.
    fn find(&mut self, position: Position, work: &mut Work) -> Result<Block, ReadError> {
        while let Some(block) = self.ahead.pop() {
            if position <= block.end && block.before < position {
                return Ok(block);
            }
        }
        let found = self.address.find_some(self.store, position, self.together.min(work.blocks_left()))?;
        let mut found = found.into_iter();
        let block = found.next().ok_or_else(|| self.address.damaged("its end is missing"))?;
        self.together = if block.before == self.block.end { (2 * self.together).min(TOGETHER) } else { 1 };
        self.ahead = found.rev().collect();
        Ok(block)
    }

    fn next_span(&mut self) -> Result<Option<Span>, ReadError> {
        let mut bytes = self.block.bytes(self.at, self.end);
        let span = self.list.next(&mut bytes).map_err(|_| self.address.damaged("a list is malformed"))?;
        self.at = self.end - bytes.len();
        match span {
            Some(span) if span.low < self.run.start => Err(self.address.damaged("a list is malformed")),
            span => Ok(span),
        }
    }

    /// Goes on with the block that has, or would have, this index.
    fn go_on(&mut self, at_most: u64, work: &mut Work) -> Result<(), ReadError> {
        self.block = self.find(Position::new(self.print, at_most), work)?;
        let entry = entry_of(self.address, &self.block, self.print)?;
        let entry = entry.ok_or_else(|| self.address.damaged("a list has no end"))?;
        (self.list, self.at) = begin_list(self.address, &self.run, &self.block, entry)?;
        self.end = entry.end;
        Ok(())
    }
}

impl Walk for RunWalk<'_> {
    fn seek(&mut self, at_most: u64, work: &mut Work) -> Result<Option<Span>, ReadError> {
        work.steps(1);
        loop {
            match self.span {
                Some(span) if span.low <= at_most => return Ok(Some(span.clipped(at_most))),
                _ => self.span = self.next_span()?,
            }
            if self.span.is_none() {
                // All of this block is above, so the position that is sought is behind it.
                if !self.block.goes_on(self.print) {
                    return Ok(None);
                }
                work.block();
                self.go_on(at_most, work)?;
            }
        }
    }
}

/// The print's newest index in a run.
pub(super) fn newest(store: &dyn Store, log: LogId, run: &Run, print: Print) -> Result<Option<u64>, ReadError> {
    let address = run.address(log);
    let block = address.find(store, Position::first_of(print))?;
    let Some(entry) = entry_of(address, &block, print)? else { return Ok(None) };
    let mut bytes = block.bytes(entry.start, entry.end);
    let first = ListReader::begin(&mut bytes, run.last()).and_then(|mut list| list.next(&mut bytes));
    let span = first.map_err(|_| address.damaged("a list is malformed"))?;
    Ok(span.map(|span| span.high))
}

/// Adds the print's indexes from `from` on, oldest first, until there are `most`. Blocks name the one before them, so
/// that this reads no more than those that have what it adds, and one.
pub(super) fn oldest(
    store: &dyn Store,
    log: LogId,
    (run, print): (&Run, Print),
    from: u64,
    (to, most): (&mut Vec<u64>, usize),
) -> Result<(), ReadError> {
    let address = run.address(log);
    let mut block = address.find(store, Position::new(print, from))?;
    let mut entry = entry_of(address, &block, print)?;
    while let Some(part) = entry {
        for span in spans(address, run, &block, part)?.iter().rev().filter(|span| span.high >= from) {
            for index in span.low.max(from)..=span.high {
                if to.len() >= most {
                    return Ok(());
                }
                to.push(index);
            }
        }
        if to.len() >= most || !block.went_before(print) {
            return Ok(());
        }
        block = address.ending(store, block.before)?;
        entry = entry_of(address, &block, print)?;
        if entry.is_none() {
            return Err(address.damaged("a list has no beginning"));
        }
    }
    Ok(())
}

fn entry_of(address: Address, block: &Block, print: Print) -> Result<Option<Entry>, ReadError> {
    block.find(print).map_err(|_| address.damaged("an entry is malformed"))
}

fn begin_list(address: Address, run: &Run, block: &Block, entry: Entry) -> Result<(ListReader, usize), ReadError> {
    let mut bytes = block.bytes(entry.start, entry.end);
    let list = ListReader::begin(&mut bytes, run.last()).map_err(|_| address.damaged("a list is malformed"))?;
    Ok((list, entry.end - bytes.len()))
}

/// All spans of one block's part of a list.
fn spans(address: Address, run: &Run, block: &Block, entry: Entry) -> Result<Vec<Span>, ReadError> {
    let malformed = |_| address.damaged("a list is malformed");
    let mut bytes = block.bytes(entry.start, entry.end);
    let mut list = ListReader::begin(&mut bytes, run.last()).map_err(malformed)?;
    let mut spans = Vec::new();
    while let Some(span) = list.next(&mut bytes).map_err(malformed)? {
        spans.push(span);
    }
    Ok(spans)
}
