//! A run: the postings of a range of leaves, in blocks that are never changed. Written front to back, read where a print
//! stands or front to back.

use std::collections::VecDeque;

use cairn_tree::store::{Key, LogId, Store};

use super::block::{Address, BLOCK_FULL, BLOCK_MAX, Block, Entry, HEADER, Position};
use super::filter::Filter;
use super::list::{ListReader, ListWriter, Span, VARINT_MAX, put_varint};
use super::print::Print;
use crate::engine::stored::ReadError;

/// Rows that are read at a time where a run is read as a whole: at most 1 MiB.
const SCAN_ROWS: usize = 64;

/// What the manifest says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) id: u64,
    /// The first leaf's index.
    pub(super) start: u64,
    /// One past the last leaf's index.
    pub(super) end: u64,
    /// How often its postings were merged.
    pub(super) level: u8,
    /// How many postings it has.
    pub(super) postings: u64,
    /// How many prints it has that stand in its filter.
    pub(super) filtered: u64,
}

impl Run {
    pub(super) const fn address(&self, log: LogId) -> Address {
        Address { log, run: self.id }
    }

    /// The highest index that it may have.
    pub(super) const fn last(&self) -> u64 {
        self.end.saturating_sub(1)
    }
}

/// Why a run was not written.
#[derive(Debug)]
pub(super) enum WriteError<E> {
    /// What takes its rows failed.
    Rows(E),
    /// Prints or indexes came in another order than a run has.
    Order,
}

/// Writes a run: prints rising, and in each of them indexes falling. Hands each finished block to `put`.
pub(super) struct RunWriter<P> {
    address: Address,
    run: Run,
    put: P,
    filter: Option<Filter>,
    /// A header's room, then the entries of the block.
    row: Vec<u8>,
    before: Position,
    print: Option<Print>,
    list: ListWriter,
    /// The newest span, which may grow.
    span: Option<Span>,
}

impl<E, P: FnMut(Key, Vec<u8>) -> Result<(), E>> RunWriter<P> {
    /// Begins a run; what it has is counted, whatever `run` says of it.
    pub(super) fn new(log: LogId, run: Run, filter: Option<Filter>, put: P) -> Self {
        Self {
            address: run.address(log),
            run: Run { postings: 0, filtered: 0, ..run },
            put,
            filter,
            row: vec![0; HEADER],
            before: Position::MIN,
            print: None,
            list: ListWriter::default(),
            span: None,
        }
    }

    /// Begins the list of the next print.
    pub(super) fn begin(&mut self, print: Print) -> Result<(), WriteError<E>> {
        self.end_list()?;
        if let Some(last) = self.print.filter(|_| self.row.len() >= BLOCK_FULL) {
            self.end_block(Position::past(last))?;
        }
        if self.print.is_some_and(|last| last >= print) {
            return Err(WriteError::Order);
        }
        self.print = Some(print);
        if print.is_filtered() {
            self.run.filtered += 1;
            self.filter.iter_mut().for_each(|filter| filter.add(print));
        }
        Ok(())
    }

    /// Adds indexes below all others of the list.
    pub(super) fn push(&mut self, span: Span) -> Result<(), WriteError<E>> {
        if span.low < self.run.start || span.high < span.low {
            return Err(WriteError::Order);
        }
        self.run.postings += span.count();
        match &mut self.span {
            Some(above) if span.high.checked_add(1) == Some(above.low) => above.low = span.low,
            Some(above) if span.high >= above.low => return Err(WriteError::Order),
            _ => {
                self.end_span()?;
                self.span = Some(span);
            }
        }
        Ok(())
    }

    /// Ends the run, and says what it has.
    pub(super) fn finish(mut self) -> Result<(Run, Option<Filter>), WriteError<E>> {
        self.end_list()?;
        // Even a run without postings has a block, so that whoever looks finds that there is nothing.
        self.end_block(Position::MAX)?;
        Ok((self.run, self.filter))
    }

    fn end_span(&mut self) -> Result<(), WriteError<E>> {
        let Some(span) = self.span.take() else { return Ok(()) };
        let room = Print::LEN + VARINT_MAX + ListWriter::SPAN_MAX;
        if let (Some(low), Some(print)) = (self.list.low(), self.print)
            && self.row.len() + self.list.len() + room > BLOCK_MAX
        {
            self.end_entry();
            self.end_block(Position::new(print, low))?;
        }
        self.list.push(self.run.last(), span).map_err(|_| WriteError::Order)
    }

    fn end_list(&mut self) -> Result<(), WriteError<E>> {
        self.end_span()?;
        self.end_entry();
        Ok(())
    }

    /// Moves the list into the block.
    fn end_entry(&mut self) {
        if let Some(print) = self.print.filter(|_| self.list.len() > 0) {
            self.row.extend_from_slice(&print.to_bytes());
            put_varint(&mut self.row, self.list.len() as u64);
            self.row.extend_from_slice(self.list.as_bytes());
        }
        self.list.clear();
    }

    fn end_block(&mut self, end: Position) -> Result<(), WriteError<E>> {
        let row = core::mem::replace(&mut self.row, vec![0; HEADER]);
        let (key, row) = self.address.seal(self.before, end, row);
        self.before = end;
        (self.put)(key, row).map_err(WriteError::Rows)
    }
}

/// Reads a run front to back, a bounded number of blocks at a time.
pub(super) struct RunReader<'a> {
    store: &'a dyn Store,
    address: Address,
    run: Run,
    rows: VecDeque<(Key, Vec<u8>)>,
    block: Block,
    entry: Option<Entry>,
}

impl<'a> RunReader<'a> {
    /// Begins with the first print.
    pub(super) fn new(store: &'a dyn Store, log: LogId, run: Run) -> Result<Self, ReadError> {
        let address = run.address(log);
        let mut rows = VecDeque::from(store.scan(&address.range(Position::MIN), SCAN_ROWS)?);
        let (key, row) = rows.pop_front().ok_or_else(|| address.damaged("it has no blocks"))?;
        let block = address.block(&key, row)?;
        if block.before != Position::MIN {
            return Err(address.damaged("its first block is missing"));
        }
        let mut reader = Self { store, address, run, rows, block, entry: None };
        reader.entry = reader.first_entry()?;
        Ok(reader)
    }

    /// The print that is next; none at the end.
    pub(super) fn print(&self) -> Option<Print> {
        self.entry.map(|entry| entry.print)
    }

    /// Gives the indexes of that print, newest first, and goes on to the next.
    pub(super) fn drain<E: From<ReadError>>(&mut self, mut take: impl FnMut(Span) -> Result<(), E>) -> Result<(), E> {
        let Some(first) = self.entry else { return Ok(()) };
        let mut entry = first;
        let mut below = self.run.end;
        loop {
            let mut bytes = self.block.bytes(entry.start, entry.end);
            let malformed = || self.address.damaged("a list is malformed");
            let mut list = ListReader::begin(&mut bytes, self.run.last()).map_err(|_| malformed())?;
            while let Some(span) = list.next(&mut bytes).map_err(|_| malformed())? {
                if span.low < self.run.start || span.high >= below {
                    return Err(malformed().into());
                }
                below = span.low;
                take(span)?;
            }
            let goes_on = self.block.goes_on(first.print);
            let next = self.entry_at(entry.end)?;
            match next {
                Some(next) if next.print == first.print && goes_on => entry = next,
                Some(next) if next.print <= first.print || goes_on => {
                    return Err(self.address.damaged("prints are out of order").into());
                }
                None if goes_on => return Err(self.address.damaged("a list has no end").into()),
                next => {
                    self.entry = next;
                    return Ok(());
                }
            }
        }
    }

    fn first_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        self.entry_at(HEADER)
    }

    /// The entry at a place of the block, or the first one of a later block.
    fn entry_at(&mut self, mut at: usize) -> Result<Option<Entry>, ReadError> {
        loop {
            let entry = self.block.entry(at).map_err(|_| self.address.damaged("an entry is malformed"))?;
            if entry.is_some() || self.block.end == Position::MAX {
                return Ok(entry);
            }
            self.next_block()?;
            at = HEADER;
        }
    }

    fn next_block(&mut self) -> Result<(), ReadError> {
        let end = self.block.end;
        if self.rows.is_empty() {
            let next = end.next().ok_or_else(|| self.address.damaged("it goes on past its end"))?;
            self.rows = self.store.scan(&self.address.range(next), SCAN_ROWS)?.into();
        }
        let (key, row) = self.rows.pop_front().ok_or_else(|| self.address.damaged("its end is missing"))?;
        self.block = self.address.block(&key, row)?;
        if self.block.before == end { Ok(()) } else { Err(self.address.damaged("a block is missing")) }
    }
}

/// Reads the prints of a run that stand in its filter; they are its beginning.
pub(super) fn read_filtered(store: &dyn Store, log: LogId, run: Run, filter: &mut Filter) -> Result<(), ReadError> {
    let mut reader = RunReader::new(store, log, run)?;
    while let Some(print) = reader.print().filter(|print| print.is_filtered()) {
        filter.add(print);
        reader.drain(|_| Ok::<_, ReadError>(()))?;
    }
    Ok(())
}
