//! What a server keeps on its disk: the high-water file, stored rows, the records of RocksDB's logs, a backup's manifest,
//! the small files and the incidents. Beside the bytes as they are, most bodies take them for a plan of what is written and
//! how it is changed then: no fuzzer finds a checksum.

#![allow(clippy::panic, reason = "a broken expectation is a finding, told by a panic")]

use std::collections::BTreeMap;

use cairn_rocks::judge_records;
use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{DatabaseId, LogId};
use cairnd::backup::{Digest, Manifest};
use cairnd::engine::{RowSort, row_again};
use cairnd::high_water::again::{Again, LENGTHS, read_again, write_again};
use cairnd::high_water::{Decided, Mark, Marked, Marks, PolicyMark};
use cairnd::incidents::line_again;
use sha2::{Digest as _, Sha256};

use crate::text;

const DATABASE: DatabaseId = DatabaseId::new([7; DatabaseId::LEN]);
/// A disk writes so many bytes whole or not at all.
const SECTOR: usize = 512;
/// Most steps of a plan.
const STEPS: usize = 64;

/// What is done to what was written: which deed, and where.
struct Plan<'a> {
    deed: u8,
    place: usize,
    steps: &'a [u8],
}

impl<'a> Plan<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (&[deed, a, b, c], steps) = bytes.split_first_chunk()?;
        Some(Self { deed, place: u32::from_be_bytes([0, a, b, c]) as usize, steps })
    }

    /// Flips one bit.
    fn flip(&self, written: &[u8]) -> Vec<u8> {
        flipped(written, self.place)
    }

    /// What a power failure leaves of a write that begins at `from`: of its sectors those whose bit is set, zeros of the
    /// others.
    fn tear(&self, written: &[u8], from: usize) -> Vec<u8> {
        let mut torn = written.to_vec();
        for (at, byte) in torn.iter_mut().enumerate().skip(from) {
            let sector = at / SECTOR - from / SECTOR;
            if self.place.checked_shr((sector % 24) as u32).unwrap_or(0) & 1 == 0 {
                *byte = 0;
            }
        }
        torn
    }
}

fn flipped(written: &[u8], place: usize) -> Vec<u8> {
    let mut changed = written.to_vec();
    let bit = place % (8 * written.len()).max(1);
    if let Some(byte) = changed.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    changed
}

/// A high-water file: as it is, and one that is written, and then changed, cut, torn or put in another order.
pub(crate) fn high_water(bytes: &[u8]) -> bool {
    let raw = read_again(bytes, &DATABASE).is_some_and(|again| {
        let marked = |(log, mark)| (log, Marked { mark, decided: again.marks.decided(log) });
        let all: Vec<_> = again.marks.iter().map(marked).collect();
        let written = write_again(&DATABASE, &[(again.marks.commit(), all)]);
        let compacted = read_again(&written, &DATABASE);
        assert!(again.marks.iter().next().is_none() || compacted.is_some_and(|found| found.marks == again.marks));
        assert!(again.end <= bytes.len());
        true
    });
    raw | Plan::of(bytes).is_some_and(|plan| written_high_water(&plan))
}

fn written_high_water(plan: &Plan<'_>) -> bool {
    let (frame, header) = LENGTHS;
    let commits = commits(plan.steps);
    let Some((_, last)) = commits.last() else { return false };
    let file = write_again(&DATABASE, &commits);
    let (end, last) = (file.len(), last.len() * frame);
    let whole = expected(&commits, file.len(), false);
    assert_eq!(read_again(&file, &DATABASE), Some(whole.clone()));
    let refused = |bytes: &[u8]| assert_eq!(read_again(bytes, &DATABASE), None);
    match plan.deed % 4 {
        0 => refused(&plan.flip(&file)),
        1 => {
            let cut = file.get(..plan.place % (end + 1)).unwrap_or_default();
            if cut.len() < header { refused(cut) } else { assert_prefix(cut, &commits) }
        }
        2 => {
            let torn = plan.tear(&file, end - last);
            if torn == file {
                assert_eq!(read_again(&torn, &DATABASE), Some(whole))
            } else {
                assert_prefix(&torn, &commits)
            }
        }
        _ => {
            let mut frames: Vec<&[u8]> = file.get(header..).unwrap_or_default().chunks(frame).collect();
            let (one, other) = (plan.place % frames.len(), plan.place / 256 % frames.len());
            if one == other {
                return true;
            }
            frames.swap(one, other);
            refused(&[file.get(..header).unwrap_or_default(), &frames.concat()].concat());
        }
    }
    true
}

/// The commits of a plan: each step grows a log, and may begin a commit.
fn commits(steps: &[u8]) -> Vec<(u64, Vec<(LogId, Marked)>)> {
    let (mut sizes, mut commits) = (BTreeMap::<u8, u64>::new(), Vec::<(u64, Vec<(LogId, Marked)>)>::new());
    for (number, [log, grown]) in (1..).zip(steps.as_chunks::<2>().0.iter().take(STEPS)) {
        let (begins, log) = (log & 0x80 != 0, log & 0x7f);
        let size = sizes.entry(log).or_default();
        *size += u64::from(*grown);
        let Ok(tree) = TreeSize::new(*size) else { continue };
        let root = Hash::new(Sha256::digest(size.to_be_bytes()).into());
        let mark = Mark { size: tree, root, time_ms: number };
        let entry = (LogId::new(u32::from(log) + 1), Marked { mark, decided: decided(log, *grown, tree) });
        match commits.last_mut() {
            Some((_, marks)) if !begins && marks.iter().all(|(known, _)| *known != entry.0) => marks.push(entry),
            _ => commits.push((number, vec![entry])),
        }
    }
    commits
}

/// What was decided about a log by then: of some nothing was ever written down, and some are halted from the first.
fn decided(log: u8, grown: u8, size: TreeSize) -> Option<Decided> {
    let policy = match grown % 3 {
        0 => PolicyMark::Unknown,
        1 => PolicyMark::Absent,
        _ => PolicyMark::of(&[grown]),
    };
    match log % 4 {
        0 => None,
        kind => Some(Decided { policy, halted: kind == 1, checkpoint: size }),
    }
}

/// What is in a file that has whole commits up to `end`.
fn expected(commits: &[(u64, Vec<(LogId, Marked)>)], end: usize, torn: bool) -> Again {
    let marks = commits.iter().flat_map(|(_, marks)| marks.iter().copied());
    let commit = commits.last().map(|(number, _)| *number);
    let marks = commit.map_or_else(Marks::default, |commit| Marks::of(commit, marks));
    Again { marks, end, torn }
}

/// A file that a crash left has all commits up to one, and nothing of those after it.
fn assert_prefix(bytes: &[u8], commits: &[(u64, Vec<(LogId, Marked)>)]) {
    let (frame, header) = LENGTHS;
    let is_there = |end: usize| write_again(&DATABASE, commits).get(..end) == bytes.get(..end);
    let (mut end, mut count) = (header, 0);
    for (_, marks) in commits {
        let next = end + marks.len() * frame;
        if next > bytes.len() || !is_there(next) {
            break;
        }
        (end, count) = (next, count + 1);
    }
    let torn = bytes.get(end..).unwrap_or_default().iter().any(|byte| *byte != 0);
    let expected = expected(commits.get(..count).unwrap_or_default(), end, torn);
    assert_eq!(read_again(bytes, &DATABASE), Some(expected));
}

/// A stored row of the sort that the first byte names: no two rows mean the same, and one bit never makes another of a row
/// that has a checksum.
pub(crate) fn stored_row(bytes: &[u8]) -> bool {
    let Some((first, row)) = bytes.split_first() else { return false };
    let Some(sort) = RowSort::ALL.get(usize::from(*first) % RowSort::ALL.len()).copied() else { return false };
    let Some(again) = row_again(sort, row) else { return false };
    match sort {
        // Its white space is free.
        RowSort::Binding => assert_eq!(row_again(sort, &again).as_ref(), Some(&again)),
        _ => assert_eq!(again, row, "{sort:?}: two rows mean the same"),
    }
    let place = row.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let changed = row_again(sort, &flipped(row, place));
    if matches!(sort, RowSort::Prints | RowSort::PostingRuns) {
        assert_eq!(changed, None, "{sort:?}");
    } else if sort != RowSort::Binding {
        assert!(changed.is_none_or(|changed| changed != row), "{sort:?}: two rows mean the same");
    }
    true
}

/// A block of RocksDB's logs, and the bytes before each record.
const BLOCK: usize = 32 << 10;
const RECORD_HEADER: usize = 7;

/// A write-ahead log or a manifest: as it is, and one that is written, and then changed, cut or torn.
pub(crate) fn wal_records(bytes: &[u8]) -> bool {
    // Bytes in memory can always be read.
    let Ok(raw) = judge_records(bytes) else { panic!("an error of bytes in memory") };
    assert!(!raw.are_whole || (raw.torn.is_none() && raw.damaged.is_none()), "{raw:?}");
    assert!(raw.torn.max(raw.damaged).is_none_or(|at| at < bytes.len() as u64), "{raw:?}");
    Plan::of(bytes).is_some_and(|plan| written_records(&plan))
}

fn written_records(plan: &Plan<'_>) -> bool {
    let (mut log, mut ends) = (Vec::new(), vec![0]);
    for (number, length) in (0_u8..).zip(plan.steps.as_chunks::<2>().0.iter().take(STEPS / 4)) {
        // No byte is zero, nor would be with one bit flipped.
        let payload = vec![if number.is_multiple_of(2) { 0x55 } else { 0xaa }; u16::from_be_bytes(*length).into()];
        write_record(&mut log, &payload);
        ends.push(log.len());
    }
    let [.., start, end] = ends.as_slice() else { return false };
    let judge = |bytes: &[u8]| judge_records(bytes).unwrap_or_else(|error| panic!("{error}"));
    assert!(judge(&log).are_whole);
    match plan.deed % 3 {
        0 => assert!(!judge(&plan.flip(&log)).are_whole),
        1 => {
            let cut = plan.place % (log.len() + 1);
            let found = judge(log.get(..cut).unwrap_or_default());
            // Behind a record there may be the zeros that end a block.
            let is_end =
                ends.iter().any(|end| cut == *end || (cut == end.next_multiple_of(BLOCK) && cut - end < RECORD_HEADER));
            assert_eq!((found.are_whole, found.damaged), (is_end, None), "cut at {cut} of {ends:?}");
        }
        _ => {
            // Zeros that end a block are no part of it.
            let room = BLOCK - start % BLOCK;
            let begin = if room < RECORD_HEADER { start + room } else { *start };
            let torn = plan.tear(&log, begin);
            let found = judge(&torn);
            assert_eq!(found.are_whole, torn == log);
            let is_within = found.torn.is_some_and(|at| (begin as u64..*end as u64).contains(&at));
            assert!(torn == log || is_within, "{found:?} of a commit from {begin} to {end}");
        }
    }
    true
}

/// Writes a record as RocksDB's `db/log_format.h` has it.
fn write_record(log: &mut Vec<u8>, payload: &[u8]) {
    let (mut rest, mut is_first) = (payload, true);
    loop {
        let room = BLOCK - log.len() % BLOCK;
        if room < RECORD_HEADER {
            log.resize(log.len() + room, 0);
            continue;
        }
        let (part, after) = rest.split_at(rest.len().min(room - RECORD_HEADER));
        let kind: u8 = match (is_first, after.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        let covered = [&[kind], part].concat();
        let sum = (!covered.iter().fold(u32::MAX, |state, byte| crc_step(state, *byte))).rotate_right(15);
        log.extend_from_slice(&sum.wrapping_add(0xa282_ead8).to_le_bytes());
        log.extend_from_slice(&(part.len() as u16).to_le_bytes());
        log.extend_from_slice(&covered);
        (rest, is_first) = (after, false);
        if rest.is_empty() {
            return;
        }
    }
}

/// CRC-32C, bit by bit.
fn crc_step(state: u32, byte: u8) -> u32 {
    (0..8).fold(state ^ u32::from(byte), |state, _| (state >> 1) ^ (0x82f6_3b78 & (state & 1).wrapping_neg()))
}

/// A backup's manifest: the bytes as they are, and as its first line.
pub(crate) fn backup_manifest(bytes: &[u8]) -> bool {
    let sealed = [bytes, format!("\n{{\"sha256\":\"{}\"}}\n", Digest::of(bytes)).as_bytes()].concat();
    [bytes, &sealed].map(manifest).contains(&true)
}

fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = Manifest::decode(bytes) else { return false };
    let Ok(written) = manifest.encode() else { panic!("what was read can't be written") };
    assert_eq!(Manifest::decode(&written).as_ref(), Ok(&manifest));
    for file in &manifest.files {
        let parts = std::path::Path::new(&file.path).components();
        assert!(parts.into_iter().all(|part| matches!(part, std::path::Component::Normal(_))), "{}", file.path);
    }
    let place = bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    assert!(Manifest::decode(&flipped(&written, place)).is_err(), "one bit makes another manifest");
    true
}

/// A line of the incidents: the bytes as they are, and as what stands before the checksum.
pub(crate) fn incident(bytes: &[u8]) -> bool {
    let summed = text(bytes).map(|before| {
        let sum: String = Digest::of(before.as_bytes()).to_string().chars().take(16).collect();
        format!("{before},\"sum\":\"{sum}\"}}\n").into_bytes()
    });
    [Some(bytes.to_vec()), summed]
        .into_iter()
        .flatten()
        .map(|line| incident_line(&line))
        .fold(false, |any, one| any | one)
}

fn incident_line(line: &[u8]) -> bool {
    let Some(written) = line_again(line) else { return false };
    assert_eq!(line_again(&written).as_ref(), Some(&written));
    let place = line.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    assert_eq!(line_again(&flipped(&written, place)), None, "one bit makes another incident");
    true
}
