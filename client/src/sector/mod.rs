//! The bytes of journals (a witness's, an outbox's): commits cut into sectors, and what a crash can have left of the last
//! one.
//!
//! A disk writes a sector whole or not at all. Every sector of a commit says which epoch and commit it belongs to and
//! which part it is, under a checksum of its own; so a commit that was cut short is told from one that was damaged: the
//! sectors of the first are whole or from before, and there is nothing after it. Not here: what commits say. [`medium`] has
//! the calls of the operating system.

pub(crate) mod medium;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a store is told by, at random when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreId([u8; StoreId::LEN]);

impl StoreId {
    /// The length in bytes.
    pub const LEN: usize = 16;

    /// Wraps random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// What a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;
/// Commits begin at multiples of this, the size of a page: no write ever touches a page that holds an older commit of
/// the same epoch.
pub(crate) const PAGE: usize = 4096;

const CHECKSUM: usize = 16;
/// Epoch, commit, index, count and length.
const FIELDS: usize = 8 + 8 + 4 + 4 + 2;
/// What a sector holds beside its checksum.
pub(crate) const CONTENT: usize = SECTOR - CHECKSUM;
/// What a sector holds of a commit's payload.
pub(crate) const PAYLOAD: usize = SECTOR - FIELDS - CHECKSUM;

/// Why the bytes are not what was written, nor what a crash leaves of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A sector that is neither empty nor fits its checksum.
    #[error("the sector at {0} is neither whole nor empty")]
    Sector(usize),
    /// A whole sector where it can't be.
    #[error("the sector at {0} does not belong there: what stood before it is missing")]
    Place(usize),
    /// A sector that is newer than the database.
    #[error("the sector at {offset} is of epoch {found}, and the database is in epoch {expected}: it is an old copy")]
    Newer {
        /// Where it stands.
        offset: usize,
        /// Its epoch.
        found: u64,
        /// The database's.
        expected: u64,
    },
}

/// Which commit a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    /// How often the journal was begun anew.
    pub(crate) epoch: u64,
    /// The commit's number, which is never used again.
    pub(crate) commit: u64,
}

/// One sector that fits its checksum.
struct Sector<'a> {
    label: Label,
    index: u32,
    count: u32,
    payload: &'a [u8],
}

/// The length of a payload of so many bytes on the disk.
pub(crate) const fn footprint(payload: usize) -> usize {
    let sectors = if payload == 0 { 1 } else { payload.div_ceil(PAYLOAD) };
    (sectors * SECTOR).next_multiple_of(PAGE)
}

/// The sectors of a commit.
pub(crate) fn encode(id: StoreId, label: Label, payload: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = payload.chunks(PAYLOAD).collect();
    if parts.is_empty() {
        parts.push(payload);
    }
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(footprint(payload.len()));
    for (index, part) in (0u32..).zip(parts) {
        let start = bytes.len();
        bytes.extend_from_slice(&label.epoch.to_be_bytes());
        bytes.extend_from_slice(&label.commit.to_be_bytes());
        bytes.extend_from_slice(&index.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
        let sealed = seal(id, bytes.get(start..).unwrap_or_default());
        bytes.truncate(start);
        bytes.extend_from_slice(&sealed);
    }
    bytes
}

/// A sector with this content, which is filled up with zeros, and its checksum.
pub(crate) fn seal(id: StoreId, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SECTOR);
    bytes.extend_from_slice(content);
    bytes.resize(CONTENT, 0);
    let checksum = checksum(id, &bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The payloads of all whole commits of the epoch that begins after commit `folded`, in order.
pub(crate) fn decode(id: StoreId, epoch: u64, folded: u64, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Damage> {
    let mut payloads = Vec::new();
    let mut offset = 0;
    loop {
        let label = Label { epoch, commit: folded + 1 + payloads.len() as u64 };
        let Some(payload) = read_commit(id, label, bytes.get(offset..).unwrap_or_default()) else {
            // This commit was never acknowledged, if it was begun at all. Nothing else can stand here.
            check_end(id, label, bytes, offset)?;
            return Ok(payloads);
        };
        offset += footprint(payload.len());
        payloads.push(payload);
    }
}

/// The highest number of a commit of which any sector is there, whatever its epoch.
pub(crate) fn newest(id: StoreId, bytes: &[u8]) -> Option<u64> {
    bytes.chunks(SECTOR).filter_map(|chunk| Sector::read(id, chunk)).map(|sector| sector.label.commit).max()
}

/// The payloads of sectors in a row, the first of which is part number `first` of a commit; `None` if they are not.
pub(crate) fn parts(id: StoreId, label: Label, first: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::with_capacity(bytes.len());
    for (index, chunk) in (first..).zip(bytes.chunks(SECTOR)) {
        let sector = Sector::read(id, chunk)?;
        if sector.label != label || sector.index as usize != index {
            return None;
        }
        payload.extend_from_slice(sector.payload);
    }
    Some(payload)
}

/// The payload of a commit, if all of it is there.
fn read_commit(id: StoreId, label: Label, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    let mut sectors = bytes.chunks_exact(SECTOR);
    for expected in 0.. {
        let sector = Sector::read(id, sectors.next()?)?;
        if sector.label != label || sector.index != expected || sector.count == 0 {
            return None;
        }
        payload.extend_from_slice(sector.payload);
        if expected + 1 == sector.count {
            return Some(payload);
        }
        // Only the last part is shorter than the room for it.
        if sector.payload.len() < PAYLOAD {
            return None;
        }
    }
    None
}

/// From here on there are only parts of the one commit that was cut short, and what older epochs left.
fn check_end(id: StoreId, label: Label, bytes: &[u8], end: usize) -> Result<(), Damage> {
    let mut torn = false;
    let mut holes = false;
    let mut parts = None;
    for (number, chunk) in bytes.get(end..).unwrap_or_default().chunks(SECTOR).enumerate() {
        let offset = end + number * SECTOR;
        let inside = parts.is_none_or(|count| number < count);
        if chunk.iter().all(|byte| *byte == 0) {
            holes |= inside;
            continue;
        }
        let sector = Sector::read(id, chunk).ok_or(Damage::Sector(offset))?;
        if sector.label.epoch > label.epoch {
            return Err(Damage::Newer { offset, found: sector.label.epoch, expected: label.epoch });
        }
        if sector.label.epoch < label.epoch {
            holes |= inside;
            continue;
        }
        if sector.label != label
            || sector.index as usize != number
            || parts.is_some_and(|parts| sector.count as usize != parts)
        {
            return Err(Damage::Place(offset));
        }
        parts = Some(sector.count as usize);
        torn = true;
    }
    // A commit that is there whole and still can't be read was not cut short.
    if torn && !holes && parts.is_some_and(|parts| end + parts * SECTOR <= bytes.len()) {
        return Err(Damage::Place(end));
    }
    Ok(())
}

impl<'a> Sector<'a> {
    fn read(id: StoreId, bytes: &'a [u8]) -> Option<Self> {
        let (content, sum) = bytes.first_chunk::<SECTOR>()?.split_last_chunk::<CHECKSUM>()?;
        if checksum(id, content) != *sum {
            return None;
        }
        let (epoch, rest) = content.split_first_chunk()?;
        let (commit, rest) = rest.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let payload = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        let label = Label { epoch: u64::from_be_bytes(*epoch), commit: u64::from_be_bytes(*commit) };
        Some(Self { label, index: u32::from_be_bytes(*index), count: u32::from_be_bytes(*count), payload })
    }
}

fn checksum(id: StoreId, content: &[u8]) -> [u8; CHECKSUM] {
    let digest: [u8; 32] = Sha256::new().chain_update(id.as_bytes()).chain_update(content).finalize().into();
    let mut sum = [0; CHECKSUM];
    sum.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: StoreId = StoreId::new([7; 16]);

    fn payload(commit: u64, length: usize) -> Vec<u8> {
        (0..length).map(|place| (place as u64 * 7 + commit) as u8).collect()
    }

    /// A journal of three commits in epoch 2, over the remains of epoch 1.
    fn journal() -> (Vec<u8>, Vec<Vec<u8>>, usize) {
        let mut bytes = vec![0; 10 * PAGE];
        let mut put = |offset: usize, epoch, commit, length| {
            let sectors = encode(ID, Label { epoch, commit }, &payload(commit, length));
            bytes[offset..offset + sectors.len()].copy_from_slice(&sectors);
        };
        for page in 0..7 {
            put(page * PAGE, 1, page as u64 + 1, 3_000);
        }
        put(0, 2, 8, 700);
        put(PAGE, 2, 9, 5_000);
        put(3 * PAGE, 2, 10, 1_200);
        (bytes, vec![payload(8, 700), payload(9, 5_000), payload(10, 1_200)], 3 * PAGE)
    }

    #[test]
    fn what_was_written_is_read_and_older_epochs_are_not() {
        let (bytes, payloads, _) = journal();
        assert_eq!(decode(ID, 2, 7, &bytes).unwrap(), payloads);
        assert!(decode(ID, 3, 10, &bytes).unwrap().is_empty(), "all of it was folded");
        assert!(matches!(decode(ID, 1, 0, &bytes), Err(Damage::Newer { found: 2, .. })));
        assert!(decode(StoreId::new([8; 16]), 2, 7, &bytes).is_err());
        assert!(decode(ID, 2, 8, &bytes).is_err(), "the first commit is not the one that follows");
    }

    #[test]
    fn the_last_commit_may_be_cut_short_in_any_way_and_no_other() {
        let (bytes, payloads, last) = journal();
        let (before, _, _) = {
            let mut old = vec![0; 10 * PAGE];
            old[last..last + SECTOR * 3].copy_from_slice(&encode(
                ID,
                Label { epoch: 1, commit: 4 },
                &payload(4, 1_200),
            ));
            (old, (), ())
        };
        // Each subset of the last commit's three sectors but the whole: zeros, or what stood there before.
        for missing in 1..8u32 {
            for source in [&vec![0; 10 * PAGE], &before] {
                let mut torn = bytes.clone();
                for sector in (0..3).filter(|sector| missing & 1 << sector != 0) {
                    let place = last + sector * SECTOR..last + (sector + 1) * SECTOR;
                    torn[place.clone()].copy_from_slice(&source[place]);
                }
                assert_eq!(decode(ID, 2, 7, &torn).unwrap(), payloads[..2], "{missing:b}");
            }
        }
        for sector in (0..SECTOR * 2).step_by(SECTOR).chain((PAGE..PAGE + 11 * SECTOR).step_by(SECTOR)) {
            let mut damaged = bytes.clone();
            damaged[sector..sector + SECTOR].fill(0);
            assert!(decode(ID, 2, 7, &damaged).is_err(), "a hole at {sector}");
        }
    }

    #[test]
    fn any_flipped_bit_is_refused_or_harmless() {
        let (bytes, payloads, last) = journal();
        for offset in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[offset] ^= 1 << (offset % 8);
            let in_commit = offset < 2 * SECTOR
                || (PAGE..PAGE + 11 * SECTOR).contains(&offset)
                || (last..last + 3 * SECTOR).contains(&offset);
            if let Ok(read) = decode(ID, 2, 7, &damaged) {
                assert!(!in_commit && read == payloads, "a flip at {offset} changed what is read");
            }
        }
    }
}
