//! The bytes of the high-water file (the format is told in the parent module), read and written without any I/O.
//!
//! The reader answers one question: up to where does the file hold whole commits, and is whatever follows what a crash
//! leaves, or damage?

use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{DatabaseId, LogId};
use sha2::{Digest as _, Sha256};

use super::{Backwards, Decided, Mark, Marked, Marks};

/// What a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
/// A frame's length; it divides a sector, so no frame straddles two.
pub(super) const FRAME: usize = 128;
/// The header's length: one sector.
pub(super) const HEADER: usize = SECTOR;

const MAGIC: [u8; 16] = *b"cairn.high-water";
/// Version 1 has zeros where this one has what was decided.
const VERSION: u32 = 2;
const WITHOUT_DECISIONS: u32 = 1;
const CHECKSUM: usize = 16;

/// Why the bytes are not what [`header`] and [`commit`] wrote and a crash may have cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Too short for a header, or another magic.
    #[error("this is not a high-water file")]
    NotHighWater,
    /// Written by a newer program.
    #[error("the file has format {0}, and this program reads format {VERSION}")]
    Version(u32),
    /// The header does not match its checksum, or has a byte set where none may be.
    #[error("the header is damaged")]
    Header,
    /// Not a frame, nor empty space: a frame's checksum does not match, or something was written after the end.
    #[error("the bytes are neither a frame with its checksum nor empty")]
    Checksum,
    /// A frame whose checksum matches, but which this program cannot have written there.
    #[error("the frame does not belong here: frames before it are missing, or were exchanged")]
    Place,
    /// A part of a commit is gone that was in one sector with a part that is there.
    #[error("frames of the last commit are missing, though the same sector holds others of it")]
    Hole,
    /// A commit that does not follow the one before it.
    #[error("commit {found} comes after commit {last}")]
    Commit {
        /// The commit before.
        last: u64,
        /// The one that was found.
        found: u64,
    },
    /// A log that went back.
    #[error(transparent)]
    Backwards(Backwards),
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) marks: Marks,
    /// Where the next commit goes.
    pub(super) end: usize,
    /// Whether bytes of a commit that was cut short stand at `end` or past it.
    pub(super) torn: bool,
}

/// The header of the file of this database.
pub(super) fn header(database: &DatabaseId) -> Vec<u8> {
    header_of(VERSION, database)
}

/// The header of version 1.
#[cfg(test)]
pub(super) fn old_header(database: &DatabaseId) -> Vec<u8> {
    header_of(WITHOUT_DECISIONS, database)
}

fn header_of(version: u32, database: &DatabaseId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(database.as_bytes());
    bytes.resize(HEADER - CHECKSUM, 0);
    bytes.extend_from_slice(&checksum(database, &bytes));
    bytes
}

/// The frames of one commit, one for each log.
pub(super) fn commit(database: &DatabaseId, number: u64, marks: &[(LogId, Marked)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(marks.len() * FRAME);
    // A database has at most 2^32 logs, each at most once in a commit.
    let count = u32::try_from(marks.len()).unwrap_or(u32::MAX);
    for (index, (log, marked)) in (0..count).zip(marks) {
        bytes.extend_from_slice(&Frame { commit: number, index, count, log: *log, marked: *marked }.encode(database));
    }
    bytes
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The database that the file belongs to.
    pub(super) database: DatabaseId,
    /// Whether it is of a version that older programs read, and that has no room for what was decided.
    pub(super) is_old: bool,
}

/// Reads the header.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header, Damage> {
    let sector = bytes.first_chunk::<HEADER>().ok_or(Damage::NotHighWater)?;
    let mut fields = Fields(sector);
    if fields.take::<16>()? != MAGIC {
        return Err(Damage::NotHighWater);
    }
    let version = u32::from_be_bytes(fields.take()?);
    let database = DatabaseId::new(fields.take()?);
    if version != VERSION && version != WITHOUT_DECISIONS {
        return Err(Damage::Version(version));
    }
    let is_old = version == WITHOUT_DECISIONS;
    if header_of(version, &database) != sector { Err(Damage::Header) } else { Ok(Header { database, is_old }) }
}

/// Reads all frames after the header; with the damage goes the offset of the frame.
pub(super) fn read_frames(bytes: &[u8], database: &DatabaseId) -> Result<Contents, (usize, Damage)> {
    let mut marks = Marks::default();
    // The first slot that no whole commit fills.
    let mut end = 0;
    // The frames that stand there, all of one commit; those of a whole commit leave.
    let mut pending: Vec<Frame> = Vec::new();
    let mut cut = false;
    let frames = bytes.get(HEADER..).unwrap_or_default();
    for (slot, bytes) in frames.chunks(FRAME).enumerate() {
        let offset = HEADER + slot * FRAME;
        let fail = |damage| (offset, damage);
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let expected = pending.first().map(|first| (first.commit, first.count));
        let Ok(whole) = bytes.try_into() else {
            // The file ends within a frame. That is a cut only where a frame was to be.
            let room = expected.map_or(1, |(_, count)| count as usize);
            cut = slot < end + room;
            if cut {
                break;
            }
            return Err(fail(Damage::Checksum));
        };
        let frame = Frame::decode(whole, database).map_err(fail)?;
        let is_in_place = end + frame.index as usize == slot;
        if !is_in_place || expected.is_some_and(|expected| expected != (frame.commit, frame.count)) {
            return Err(fail(Damage::Place));
        }
        if marks.last.is_some_and(|last| frame.commit <= last) {
            return Err(fail(Damage::Commit { last: marks.commit(), found: frame.commit }));
        }
        pending.push(frame);
        if pending.len() == frame.count as usize {
            let whole: Vec<_> = pending.drain(..).map(|frame| (frame.log, frame.marked)).collect();
            for (log, marked) in &whole {
                marks.check(*log, *marked).map_err(|backwards| fail(Damage::Backwards(backwards)))?;
            }
            marks.advance(frame.commit, &whole);
            end += frame.count as usize;
        }
    }
    if let Some(slot) = first_hole(end, &pending, bytes.len()) {
        return Err((HEADER + slot * FRAME, Damage::Hole));
    }
    Ok(Contents { marks, end: HEADER + end * FRAME, torn: cut || !pending.is_empty() })
}

/// The first slot that a crash cannot have left empty: another frame of the same write and the same sector is there.
fn first_hole(end: usize, pending: &[Frame], length: usize) -> Option<usize> {
    const PER_SECTOR: usize = SECTOR / FRAME;
    // The header fills whole sectors, so that slot 0 begins one.
    let sector = |frame: &Frame| (end + frame.index as usize) / PER_SECTOR;
    let count = pending.first()?.count as usize;
    let whole_slots = length.saturating_sub(HEADER) / FRAME;
    pending.chunk_by(|a, b| sector(a) == sector(b)).find_map(|frames| {
        let first = sector(frames.first()?) * PER_SECTOR;
        let mut slots = first.max(end)..(first + PER_SECTOR).min(end + count).min(whole_slots);
        slots.find(|slot| !frames.iter().any(|frame| end + frame.index as usize == *slot))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    commit: u64,
    index: u32,
    count: u32,
    log: LogId,
    marked: Marked,
}

impl Frame {
    fn encode(&self, database: &DatabaseId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FRAME);
        bytes.extend_from_slice(&self.commit.to_be_bytes());
        bytes.extend_from_slice(&self.index.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(&self.log.get().to_be_bytes());
        let Marked { mark, decided } = &self.marked;
        bytes.extend_from_slice(&mark.size.get().to_be_bytes());
        bytes.extend_from_slice(&mark.time_ms.to_be_bytes());
        bytes.extend_from_slice(mark.root.as_bytes());
        bytes.extend_from_slice(&Decided::encode(decided.as_ref()));
        bytes.resize(FRAME - CHECKSUM, 0);
        bytes.extend_from_slice(&checksum(database, &bytes));
        bytes
    }

    fn decode(bytes: &[u8; FRAME], database: &DatabaseId) -> Result<Self, Damage> {
        let mut fields = Fields(bytes);
        let frame = Self {
            commit: u64::from_be_bytes(fields.take()?),
            index: u32::from_be_bytes(fields.take()?),
            count: u32::from_be_bytes(fields.take()?),
            log: LogId::new(u32::from_be_bytes(fields.take()?)),
            marked: Marked {
                mark: Mark {
                    size: TreeSize::new(u64::from_be_bytes(fields.take()?)).map_err(|_| Damage::Checksum)?,
                    time_ms: u64::from_be_bytes(fields.take()?),
                    root: Hash::new(fields.take()?),
                },
                decided: Decided::decode(
                    u8::from_be_bytes(fields.take()?),
                    fields.take()?,
                    u64::from_be_bytes(fields.take()?),
                ),
            },
        };
        // The checksum, the padding, and flags that there are not, in one comparison.
        if frame.encode(database) != bytes {
            return Err(Damage::Checksum);
        }
        if frame.index < frame.count { Ok(frame) } else { Err(Damage::Place) }
    }
}

/// Half of SHA-256 over the database's id and the bytes: a frame of another database is no frame here.
fn checksum(database: &DatabaseId, bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest: [u8; 32] = Sha256::new().chain_update(database.as_bytes()).chain_update(bytes).finalize().into();
    let mut half = [0; CHECKSUM];
    half.iter_mut().zip(digest).for_each(|(half, byte)| *half = byte);
    half
}

/// Takes fields of fixed length from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const LEN: usize>(&mut self) -> Result<[u8; LEN], Damage> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Damage::NotHighWater)?;
        self.0 = rest;
        Ok(*field)
    }
}
