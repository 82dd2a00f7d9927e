//! Finds damage to the headers of records that RocksDB takes for something else: a length, and a kind.
//!
//! RocksDB's write-ahead logs and manifests are files of records (its `db/log_format.h`): blocks of 32 KiB, in each of
//! them records of checksum (4 bytes), length (2), kind (1) and payload. The checksum covers kind and payload, not the
//! length. A record that runs past the end of the file is taken for a write that a crash cut short, and dropped with all
//! that follows it in the file; with a manifest that loses tables, and with a log that is not the newest it loses
//! commits before others. One flipped bit in a length is enough.
//!
//! Here the last block of each such file is looked at first. A record that goes on in the next block fills its own,
//! so its right length is known. Of any other that runs past the end, the checksum is tried on every shorter payload: if
//! it fits one, and what follows could be a record, then the record is whole and its length is wrong. A write that was cut
//! short fits one of up to 32,761 payloads by chance once in 130,000 times, but what follows then looks like a record
//! in one of 500 of these at most. Everything else RocksDB finds itself.
//!
//! And one bit makes of a record's kind that of a record in a recycled log, which this program never writes. RocksDB then
//! takes the rest of a log for what an older use of its file left, and drops it; over a manifest it turns in a circle and
//! never ends. So the kinds of all records of these files are looked at.
//!
//! The other way round, RocksDB refuses what an honest power failure leaves: a commit whose sync did not return, of which
//! the disk has some sectors and not others, which read as zeros. There is at most one such commit, at the end of the
//! newest log, and [`drop_torn_commit`] takes it away. Should it have been released all the same, its sectors were lost
//! otherwise, and the high-water refuses the database.
//!
//! Whoever reads a damaged database all the same wants to know whether its logs have lost anything: [`logs_are_whole`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::store::CURRENT;

pub(crate) const BLOCK: u64 = 32 << 10;
/// A disk writes so many bytes whole or not at all.
const SECTOR: u64 = 512;
pub(crate) const HEADER: usize = 7;
/// The kinds of records (its `db/log_format.h`): whole, or the parts of one that does not fit its block.
pub(crate) const FULL: u8 = 1;
pub(crate) const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
pub(crate) const LAST: u8 = 4;
/// Kinds of records in a recycled log.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];
/// What RocksDB adds to a rotated checksum, so that a checksum of checksums is not degenerate (its `util/crc32c.h`).
const MASK: u32 = 0xa282_ead8;

/// Looks at the manifest and the write-ahead logs of a database that is not open.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    let failed = |error: io::Error| OpenError::from_io(path, &error);
    for file in record_files(path).map_err(failed)? {
        if let Some((offset, what)) = damaged_header(&file).map_err(failed)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let message = format!("{name}: the record at {offset} has a damaged {what}");
            return Err(OpenError::Corrupt { path: path.into(), message });
        }
    }
    Ok(())
}

/// Cuts off the last commit of a database that did not open, if sectors of it are missing; false if none are.
pub(crate) fn drop_torn_commit(path: &Path) -> Result<bool, OpenError> {
    let failed = |error: io::Error| OpenError::from_io(path, &error);
    let files = record_files(path).map_err(failed)?;
    let number = |file: &PathBuf| {
        // A start that was cut short leaves newer ones without anything in them.
        fs::metadata(file).ok().filter(|about| about.len() > 0)?;
        file.file_stem()?.to_str()?.parse::<u64>().ok()
    };
    // A manifest has no number there.
    let Some((_, newest)) = files.into_iter().filter_map(|file| Some((number(&file)?, file))).max() else {
        return Ok(false);
    };
    let Some(offset) = torn_commit(&newest).map_err(failed)? else { return Ok(false) };
    let cut = || {
        let file = OpenOptions::new().write(true).open(&newest)?;
        file.set_len(offset)?;
        file.sync_all()
    };
    cut().map_err(failed)?;
    Ok(true)
}

/// Whether there are write-ahead logs, and each of their records can be read but those of a last commit that was torn. In
/// doubt they are not whole.
pub(crate) fn logs_are_whole(path: &Path) -> Result<bool, OpenError> {
    let failed = |error: io::Error| OpenError::from_io(path, &error);
    let mut logs: Vec<(u64, PathBuf)> = Vec::new();
    for file in fs::read_dir(path).map_err(failed)? {
        let file = file.map_err(failed)?.path();
        let number = || file.file_stem()?.to_str()?.parse().ok();
        if file.extension().is_some_and(|extension| extension == "log") {
            let Some(number) = number() else { return Ok(false) };
            logs.push((number, file));
        }
    }
    logs.sort();
    let Some((_, newest)) = logs.pop() else { return Ok(false) };
    for (_, log) in &logs {
        if !is_whole_log(log).map_err(failed)? {
            return Ok(false);
        }
    }
    Ok(is_whole_log(&newest).map_err(failed)? || torn_commit(&newest).map_err(failed)?.is_some())
}

/// Whether the manifest that counts is there, and each of its records can be read. One that was cut between two records is
/// whole as well.
pub(crate) fn manifest_is_whole(path: &Path) -> bool {
    let manifest = |file: &PathBuf| file.extension().is_none_or(|extension| extension != "log");
    let named = record_files(path).ok().and_then(|files| files.into_iter().find(manifest));
    named.is_some_and(|manifest| is_whole_log(&manifest).unwrap_or(false))
}

/// What the bytes of a write-ahead log or a manifest come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    /// Whether they are records that can be read, one after another to the end, and nothing else.
    pub are_whole: bool,
    /// Where the torn part of the last commit begins, if that alone is torn.
    pub torn: Option<u64>,
    /// Where a header is damaged that RocksDB would take for something else.
    pub damaged: Option<u64>,
}

/// Judges the bytes of a file as those of a database are judged before it is opened.
///
/// # Errors
/// None of bytes in memory.
pub fn judge_records(bytes: &[u8]) -> io::Result<Records> {
    let damaged = damaged_header_in(bytes)?.map(|(offset, _)| offset);
    Ok(Records { are_whole: has_whole_records(bytes)?, torn: torn_commit_in(bytes)?, damaged })
}

/// Whether a file has records that can be read, one after another to its end, and nothing else.
fn is_whole_log(path: &Path) -> io::Result<bool> {
    has_whole_records(File::open(path)?)
}

fn has_whole_records(mut file: impl io::Read) -> io::Result<bool> {
    let mut goes_on = false;
    loop {
        let mut block = Vec::new();
        (&mut file).take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() {
            // The last record has all of its parts.
            return Ok(!goes_on);
        }
        let mut at = 0;
        while let Some((header, rest)) = block.get(at..).and_then(Header::split) {
            let Some(payload) = rest.get(..header.length) else { return Ok(false) };
            let follows = match header.kind {
                FULL | FIRST => !goes_on,
                MIDDLE | LAST => goes_on,
                _ => false,
            };
            if !follows || !header.fits(payload) {
                return Ok(false);
            }
            goes_on = matches!(header.kind, FIRST | MIDDLE);
            at += HEADER + payload.len();
        }
        // A block has no room for another header at its end, and zeros there.
        let is_full = block.len() as u64 == BLOCK;
        let rest = block.get(at..).unwrap_or_default();
        if !rest.is_empty() && (!is_full || rest.iter().any(|byte| *byte != 0)) {
            return Ok(false);
        }
    }
}

/// Where the torn part of the last commit of a log begins.
fn torn_commit(path: &Path) -> io::Result<Option<u64>> {
    torn_commit_in(File::open(path)?)
}

fn torn_commit_in(mut file: impl io::Read) -> io::Result<Option<u64>> {
    let (mut start, mut torn) = (0, None);
    loop {
        let mut block = Vec::new();
        (&mut file).take(BLOCK).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(torn);
        }
        let mut at = 0;
        while let Some((header, rest)) = block.get(at..).and_then(Header::split) {
            let payload = rest.get(..header.length).filter(|_| (FULL..=LAST).contains(&header.kind));
            let begins = matches!(header.kind, FULL | FIRST);
            match payload {
                // A commit after it: then it was synced, and this is damage.
                Some(payload) if header.fits(payload) && begins && torn.is_some() => return Ok(None),
                Some(payload) if header.fits(payload) => {}
                _ if torn.is_some() => {}
                _ => {
                    let length = payload.map_or(rest.len(), <[u8]>::len);
                    let offset = start + at as u64;
                    // With its header, which may stand in two sectors.
                    let part = block.get(at..at + HEADER + length).unwrap_or_default();
                    if !lacks_a_sector(part, offset) {
                        return Ok(None);
                    }
                    torn = Some(offset);
                }
            }
            // Where a header is missing, nobody knows where the next one stands, but for the next block's first.
            let Some(payload) = payload else { break };
            at += HEADER + payload.len();
        }
        start += block.len() as u64;
    }
}

/// Whether all that a sector holds of these bytes, which stand at `offset`, is zeros.
fn lacks_a_sector(bytes: &[u8], offset: u64) -> bool {
    let first = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(usize::MAX).min(bytes.len());
    let (first, rest) = bytes.split_at(first);
    let is_missing = |piece: &[u8]| !piece.is_empty() && piece.iter().all(|byte| *byte == 0);
    is_missing(first) || rest.chunks(SECTOR as usize).any(is_missing)
}

/// The write-ahead logs, and the manifest that counts: a start that was cut short leaves others, of which the disk may have
/// anything.
fn record_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let current = fs::read(path.join(CURRENT))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.as_bytes() == current.trim_ascii_end() || name.ends_with(".log") {
            files.push(path.join(name));
        }
    }
    Ok(files)
}

/// Where the first damaged header stands, and what of it is damaged. Nothing is wrong with a file that went away, as it
/// may while another process has the database.
fn damaged_header(path: &Path) -> io::Result<Option<(u64, &'static str)>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => damaged_header_in(file?),
    }
}

fn damaged_header_in(mut file: impl io::Read) -> io::Result<Option<(u64, &'static str)>> {
    let (mut start, mut block) = (0, Vec::new());
    loop {
        let mut next = Vec::new();
        (&mut file).take(BLOCK).read_to_end(&mut next)?;
        if next.is_empty() {
            return Ok(damaged_length(&block).map(|offset| (start + offset as u64, "length")));
        }
        start += block.len() as u64;
        block = next;
        if let Some(offset) = damaged_kind(&block) {
            return Ok(Some((start + offset as u64, "kind")));
        }
    }
}

/// A record's first bytes.
pub(crate) struct Header {
    checksum: u32,
    pub(crate) length: usize,
    pub(crate) kind: u8,
}

impl Header {
    /// The header and what follows it; `None` if not all of it is there.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let [c0, c1, c2, c3, l0, l1, kind] = *header;
        let checksum = u32::from_le_bytes([c0, c1, c2, c3]).wrapping_sub(MASK).rotate_left(15);
        Some((Self { checksum, length: u16::from_le_bytes([l0, l1]).into(), kind }, rest))
    }

    /// Whether these bytes are the payload.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        !payload.iter().fold(step(u32::MAX, self.kind), |state, byte| step(state, *byte)) == self.checksum
    }
}

/// The offset of a record of a kind that is never written. Other kinds that there are not, RocksDB refuses.
fn damaged_kind(block: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (header, _) = Header::split(block.get(at..)?)?;
        if RECYCLED.contains(&header.kind) {
            return Some(at);
        }
        if !(FULL..=LAST).contains(&header.kind) {
            return None;
        }
        at += HEADER + header.length;
    }
}

/// The offset of a record that is whole but whose length says otherwise.
fn damaged_length(block: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let (header, rest) = Header::split(block.get(at..)?)?;
        if header.kind == 0 && header.length == 0 {
            // The rest was never written, or the disk lacks it: where another header stands is not known.
            return None;
        }
        if header.length > rest.len() {
            let room = (BLOCK as usize).checked_sub(at + HEADER)?;
            let damaged = match header.kind {
                FIRST | MIDDLE => header.length != room,
                _ => is_whole(&header, rest, room),
            };
            return damaged.then_some(at);
        }
        at += HEADER + header.length;
    }
}

/// Whether the checksum is that of the kind and some first part of the bytes, and something that could be written after
/// such a record follows. `room` is what the block has for the bytes.
fn is_whole(header: &Header, bytes: &[u8], room: usize) -> bool {
    let mut state = step(u32::MAX, header.kind);
    let mut rest = bytes;
    loop {
        if !state == header.checksum && could_follow(rest, room.saturating_sub(bytes.len() - rest.len())) {
            return true;
        }
        let Some((byte, further)) = rest.split_first() else { return false };
        (state, rest) = (step(state, *byte), further);
    }
}

/// Whether the bytes can stand after the end of something whole: nothing, the zeros that end a block, or the first record
/// of something else, itself perhaps cut short.
fn could_follow(bytes: &[u8], room: usize) -> bool {
    if room < HEADER {
        return bytes.iter().all(|byte| *byte == 0);
    }
    let Some((header, rest)) = Header::split(bytes) else { return true };
    let fits = match header.kind {
        FULL => header.length <= room - HEADER,
        FIRST => header.length == room - HEADER,
        _ => false,
    };
    let whole = rest.get(..header.length);
    fits && whole.is_none_or(|payload| header.fits(payload))
}

/// CRC-32C, a byte at a time: a block is little.
fn step(state: u32, byte: u8) -> u32 {
    (0..8).fold(state ^ u32::from(byte), |state, _| (state >> 1) ^ (0x82f6_3b78 & (state & 1).wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |state, byte| step(state, *byte))
    }

    fn record(payload: &[u8]) -> Vec<u8> {
        record_of(FULL, payload)
    }

    fn record_of(kind: u8, payload: &[u8]) -> Vec<u8> {
        let covered = [&[kind], payload].concat();
        let masked = crc(&covered).rotate_right(15).wrapping_add(MASK);
        [&masked.to_le_bytes()[..], &(payload.len() as u16).to_le_bytes(), &covered].concat()
    }

    /// RFC 3720, appendix B.4, and the check value that catalogues give.
    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_cut_record_is_no_damage_and_a_damaged_length_is_no_cut() {
        let records = [record(b"first"), record(&[7; 300]), record(b"third")];
        let block = records.concat();
        for length in 0..=block.len() {
            assert_eq!(damaged_length(&block[..length]), None, "cut at {length}");
        }
        let starts = [0, records[0].len(), records[0].len() + records[1].len()];
        for start in starts {
            let mut damaged = block.clone();
            damaged[start + 5] ^= 0x20;
            assert_eq!(damaged_length(&damaged), Some(start), "a length that runs past the end");
        }
    }

    #[test]
    fn a_kind_that_is_never_written_is_damage() {
        let records =
            [record_of(FIRST, &[1; 90]), record_of(MIDDLE, b"more"), record_of(LAST, b"end"), record(b"whole")];
        let block = [records.concat(), vec![0; 200]].concat();
        assert_eq!(damaged_kind(&block), None);
        let mut start = 0;
        for written in &records {
            for bit in 0..8 {
                let mut damaged = block.clone();
                damaged[start + 6] ^= 1 << bit;
                let expected = RECYCLED.contains(&damaged[start + 6]).then_some(start);
                assert_eq!(damaged_kind(&damaged), expected, "bit {bit} at {start}");
            }
            start += written.len();
        }
    }

    /// What a power failure took of a commit: its first sectors, of which zeros are left.
    #[test]
    fn what_follows_missing_sectors_is_no_damage() {
        for missing in 7..40 {
            let remains = [vec![0; missing], vec![1, 0xa2, FIRST, 0x6f, 0xc2, 0x35, 0, 0], vec![7; 90]].concat();
            let block = [record(b"whole"), remains].concat();
            assert_eq!((damaged_length(&block), damaged_kind(&block)), (None, None), "{missing}");
        }
    }

    /// A write that was cut short, whose checksum fits a part of it by chance.
    fn cut_short(kind: u8, length: u16, fitting: &[u8], further: &[u8]) -> Vec<u8> {
        let mut record = record_of(kind, fitting);
        record[4..6].copy_from_slice(&length.to_le_bytes());
        [record, further.to_vec()].concat()
    }

    #[test]
    fn a_cut_record_whose_checksum_fits_by_chance_is_no_damage() {
        let room = (BLOCK as usize - HEADER) as u16;
        for further in [&[0x80; 40][..], &[0; 40], &record_of(9, b"a kind that starts nothing"), &[1; 400]] {
            assert_eq!(damaged_length(&cut_short(FULL, 9_000, b"payload", further)), None, "{further:?}");
        }
        // The length that it must have.
        for kind in [FIRST, MIDDLE] {
            assert_eq!(damaged_length(&cut_short(kind, room, b"payload", &record(b"next"))), None);
            assert_eq!(damaged_length(&cut_short(kind, room ^ 0x40, &[7; 90], &[7; 900])), Some(0));
        }
        // A record that was being written behind it when the power failed leaves it whole.
        let next = record(&[3; 80]);
        for length in 0..=next.len() {
            assert_eq!(damaged_length(&cut_short(FULL, 9_000, b"payload", &next[..length])), Some(0), "{length}");
        }
    }

    /// The header of the last commit stands in two sectors, of which the first one was not written.
    #[test]
    fn a_torn_header_is_no_damage() {
        for missing in 1..HEADER {
            let before = record(&vec![1; SECTOR as usize - missing - HEADER]);
            let mut log = [before.clone(), record(&[7; 300])].concat();
            log[before.len()..SECTOR as usize].fill(0);
            let torn = torn_commit_in(log.as_slice()).unwrap();
            assert_eq!(torn, Some(before.len() as u64), "{missing} bytes are missing");
            let judged = judge_records(&log[..before.len()]).unwrap();
            assert_eq!(judged, Records { are_whole: true, torn: None, damaged: None });
        }
    }

    #[test]
    fn a_log_is_whole_if_no_byte_of_it_is_another_and_none_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let is_whole = |bytes: &[u8]| {
            std::fs::write(folder.path().join("000004.log"), bytes).unwrap();
            logs_are_whole(folder.path()).unwrap()
        };
        assert!(!logs_are_whole(folder.path()).unwrap(), "there is none");
        // Two blocks: a record goes on in the second, behind which there are others.
        let room = BLOCK as usize - HEADER - record(b"first").len();
        let parts = [record_of(FIRST, &vec![3; room - HEADER + HEADER]), record_of(LAST, &[4; 50])].concat();
        let log = [record(b"first"), parts, record(&[5; 600])].concat();
        assert!(is_whole(&log) && is_whole(&[]));
        let ends = [0, record(b"first").len(), log.len() - record(&[5; 600]).len(), log.len()];
        for at in (0..log.len()).filter(|at| at % 97 == 0 || *at < 40 || *at + 700 > log.len()) {
            // A commit that was cut short was never acknowledged, but what else is missing nobody knows.
            assert_eq!(is_whole(&log[..at]), ends.contains(&at), "cut at {at}");
            let mut flipped = log.clone();
            flipped[at] ^= 0x10;
            assert!(!is_whole(&flipped), "flipped at {at}");
        }
        // Sectors of the last commit are missing: it was not synced.
        let mut torn = log.clone();
        let last = log.len() - 500;
        torn[last..].fill(0);
        assert!(is_whole(&torn), "torn");
        std::fs::write(folder.path().join("000009.log"), &log).unwrap();
        assert!(!is_whole(&torn), "only the newest log may be torn");
    }
}
