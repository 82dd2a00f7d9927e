//! A block: one row of a run, with lists in the order of their prints.
//!
//! A block covers all positions after the one before it, up to and with its own, which is its key. It names the one before
//! it, the first block of a run begins at the lowest position and the last ends at the highest: so every position of a run
//! is covered by exactly one block, and a row that is missing is seen by whoever looks where it was. A checksum over the
//! key and the body stands in front: bytes that changed, or that stand in another place, are an error and never an answer.

use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store};

use super::list::take_varint;
use super::print::Print;
use crate::engine::stored::ReadError;

/// The most bytes of a block.
pub(super) const BLOCK_MAX: usize = 16 << 10;
/// No further print begins in a block that has as many: a look-up reads a whole block for one print.
pub(super) const BLOCK_FULL: usize = 4 << 10;
/// Version, checksum, the position before.
pub(super) const HEADER: usize = 1 + SUM + Position::LEN;

const VERSION: u8 = 1;
const SUM: usize = 4;

/// A place in a run: prints in their order and, in each, indexes from the newest down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) print: u128,
    /// The index with all bits turned, so that newer ones come first.
    pub(super) down: u64,
}

impl Position {
    pub(super) const LEN: usize = Print::LEN + 8;
    /// Before everything.
    pub(super) const MIN: Self = Self { print: 0, down: 0 };
    /// After everything.
    pub(super) const MAX: Self = Self { print: u128::MAX, down: u64::MAX };

    pub(super) const fn new(print: Print, index: u64) -> Self {
        Self { print: print.get(), down: !index }
    }

    /// Where a print's list begins.
    pub(super) const fn first_of(print: Print) -> Self {
        Self { print: print.get(), down: 0 }
    }

    /// Past the end of a print's list.
    pub(super) const fn past(print: Print) -> Self {
        Self { print: print.get(), down: u64::MAX }
    }

    /// Its index.
    pub(super) const fn index(self) -> u64 {
        !self.down
    }

    /// Whether the list of `print` goes on behind this position, if a block ends here.
    pub(super) fn is_inside(self, print: Print) -> bool {
        self.print == print.get() && self.down != u64::MAX
    }

    /// The position right behind; none behind the last.
    pub(super) fn next(self) -> Option<Self> {
        match self.down.checked_add(1) {
            Some(down) => Some(Self { down, ..self }),
            None => Some(Self { print: self.print.checked_add(1)?, down: 0 }),
        }
    }

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (print, down) = bytes.split_at_mut(Print::LEN);
        print.copy_from_slice(&self.print.to_be_bytes());
        down.copy_from_slice(&self.down.to_be_bytes());
        bytes
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (print, rest) = bytes.split_first_chunk()?;
        let (down, rest) = rest.split_first_chunk()?;
        *bytes = rest;
        Some(Self { print: u128::from_be_bytes(*print), down: u64::from_be_bytes(*down) })
    }
}

/// Where a run's blocks stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) log: LogId,
    pub(super) run: u64,
}

impl Address {
    pub(super) fn key(self, position: Position) -> Key {
        let mut suffix = [0; 8 + Position::LEN];
        let (run, place) = suffix.split_at_mut(8);
        run.copy_from_slice(&self.run.to_be_bytes());
        place.copy_from_slice(&position.to_bytes());
        Key::suffixed(self.log, Kind::PostingRun, &suffix)
    }

    /// The run and the position of a block's key.
    fn of(key: &Key) -> Option<(Self, Position)> {
        let (run, mut rest) = key.suffix().split_first_chunk()?;
        let position = Position::take(&mut rest)?;
        let address = Self { log: key.log(), run: u64::from_be_bytes(*run) };
        (rest.is_empty() && key.kind() == Kind::PostingRun).then_some((address, position))
    }

    /// All blocks that end at `position` or later.
    pub(super) fn range(self, position: Position) -> KeyRange {
        self.range_from(&self.key(position))
    }

    /// All blocks from one's key on.
    pub(super) fn range_from(self, key: &Key) -> KeyRange {
        // Past the last position of this run, before the first of the next.
        let end = Self { run: self.run.saturating_add(1), ..self }.key(Position::MIN);
        KeyRange::between(key..&end)
    }

    /// The block that covers a position.
    pub(super) fn find(self, store: &dyn Store, position: Position) -> Result<Block, ReadError> {
        self.find_some(store, position, 1)?.pop().ok_or_else(|| self.damaged("its end is missing"))
    }

    /// The same with those behind it: so many, or as many as there are.
    pub(super) fn find_some(self, store: &dyn Store, position: Position, most: usize) -> Result<Vec<Block>, ReadError> {
        let mut blocks: Vec<Block> = Vec::with_capacity(most);
        for (key, row) in store.scan(&self.range(position), most)? {
            let block = self.block(&key, row).and_then(|block| {
                let is_next = blocks.last().map_or(block.before < position, |last| last.end == block.before);
                if is_next { Ok(block) } else { Err(self.damaged("a block is missing")) }
            });
            match block {
                Ok(block) => blocks.push(block),
                Err(error) if blocks.is_empty() => return Err(error),
                // It is told of by whoever needs it.
                Err(_) => break,
            }
        }
        Ok(blocks)
    }

    /// The block that ends at a position.
    pub(super) fn ending(self, store: &dyn Store, position: Position) -> Result<Block, ReadError> {
        let key = self.key(position);
        let row = store.get(&key)?.ok_or_else(|| self.damaged("a block is missing"))?;
        self.block(&key, row)
    }

    /// Checks a row.
    pub(super) fn block(self, key: &Key, row: Vec<u8>) -> Result<Block, ReadError> {
        let (address, end) = Self::of(key).ok_or_else(|| self.damaged("a key is no block's"))?;
        if address != self {
            return Err(self.damaged("a block belongs to another run"));
        }
        let whole = |row: &[u8]| {
            let ([version], rest) = row.split_first_chunk()?;
            let (sum, mut body) = rest.split_first_chunk::<SUM>()?;
            let is_sound = *version == VERSION && u32::from_be_bytes(*sum) == checksum(key, body);
            is_sound.then(|| Position::take(&mut body))?
        };
        let before = whole(&row).ok_or_else(|| self.damaged("a block does not fit its checksum"))?;
        if row.len() > BLOCK_MAX || end <= before {
            return Err(self.damaged("a block is not one that this program writes"));
        }
        Ok(Block { row, before, end })
    }

    /// The row of a block that ends at `end`; `row` is a header's room and the entries.
    pub(super) fn seal(self, before: Position, end: Position, mut row: Vec<u8>) -> (Key, Vec<u8>) {
        let key = self.key(end);
        let mut header = [VERSION; HEADER];
        if let Some(place) = header.last_chunk_mut::<{ Position::LEN }>() {
            *place = before.to_bytes();
        }
        row.splice(..HEADER.min(row.len()), header);
        let sum = checksum(&key, row.get(1 + SUM..).unwrap_or_default()).to_be_bytes();
        row.splice(1..1 + SUM, sum);
        (key, row)
    }

    pub(super) fn damaged(self, problem: impl Into<String>) -> ReadError {
        let place = format!("postings run {}", self.run);
        ReadError::Damaged { log: self.log, place, problem: problem.into(), entry: None }
    }
}

/// Every flipped bit or two, and every burst of up to 32, gives another sum.
fn checksum(key: &Key, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// A row whose checksum fits.
#[derive(Debug)]
pub(super) struct Block {
    row: Vec<u8>,
    /// Where the block before it ends.
    pub(super) before: Position,
    pub(super) end: Position,
}

/// A print with its list's place in the block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) print: Print,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Block {
    /// The entry that begins at `at`, or at the first place of all; none at the end of the block.
    pub(super) fn entry(&self, at: usize) -> Result<Option<Entry>, Misplaced> {
        let mut rest = self.row.get(at.max(HEADER)..).ok_or(Misplaced)?;
        if rest.is_empty() {
            return Ok(None);
        }
        let (print, after) = rest.split_first_chunk().ok_or(Misplaced)?;
        rest = after;
        let length = take_varint(&mut rest).and_then(|length| usize::try_from(length).ok()).ok_or(Misplaced)?;
        let start = self.row.len() - rest.len();
        let end = start.checked_add(length).filter(|end| *end <= self.row.len()).ok_or(Misplaced)?;
        Ok(Some(Entry { print: Print::from_bytes(*print), start, end }))
    }

    /// The entry of a print.
    pub(super) fn find(&self, print: Print) -> Result<Option<Entry>, Misplaced> {
        let mut at = HEADER;
        while let Some(entry) = self.entry(at)? {
            if entry.print >= print {
                return Ok((entry.print == print).then_some(entry));
            }
            at = entry.end;
        }
        Ok(None)
    }

    /// The bytes from one place to another.
    pub(super) fn bytes(&self, start: usize, end: usize) -> &[u8] {
        self.row.get(start..end).unwrap_or_default()
    }

    /// Whether the list of `print` goes on in the next block.
    pub(super) fn goes_on(&self, print: Print) -> bool {
        self.end.is_inside(print)
    }

    /// Whether the list of `print`, which begins this block, began in the one before.
    pub(super) fn went_before(&self, print: Print) -> bool {
        self.before.is_inside(print)
    }
}

/// An entry that is none: the checksum fits, so this program wrote it, and it is a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misplaced;
