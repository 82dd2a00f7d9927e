//! What the file keeps, what a crash may leave, and what damage is refused. A failing disk: `faults`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use proptest::prelude::*;
use tempfile::TempDir;

use super::frame::{FRAME, HEADER, SECTOR};
use super::*;

pub(super) const DATABASE: DatabaseId = DatabaseId::new([7; 16]);
/// Small enough that a few commits extend and compact the file.
pub(super) const SMALL: Bounds = Bounds { chunk: 1_024, compact_at: 4_096 };

pub(super) type Commit = (u64, Vec<(LogId, Mark)>);

pub(super) struct Place {
    directory: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("high-water")
    }

    pub(super) fn create(&self) -> HighWater {
        HighWater::create_on(Box::new(RealDisk), &self.path(), DATABASE, SMALL).unwrap()
    }

    fn create_again(&self) -> HighWater {
        fs::remove_file(self.path()).unwrap();
        self.create()
    }

    pub(super) fn open(&self) -> Result<(HighWater, Marks), HighWaterError> {
        HighWater::open_on(Box::new(RealDisk), &self.path(), DATABASE, SMALL)
    }

    pub(super) fn marks(&self) -> Marks {
        self.open().unwrap().1
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn damage(&self, bytes: &[u8]) -> Option<(usize, Damage)> {
        fs::write(self.path(), bytes).unwrap();
        match self.open() {
            Ok(_) => None,
            Err(HighWaterError::Damaged { offset, damage, .. }) => Some((offset, damage)),
            Err(error) => panic!("another error: {error}"),
        }
    }
}

pub(super) fn mark(size: u64) -> Mark {
    Mark { size: TreeSize::new(size).unwrap(), root: Hash::leaf(&size.to_be_bytes()), time_ms: 1_000 + size }
}

pub(super) fn log(id: u32) -> LogId {
    LogId::new(id)
}

/// Commit `number`, in which the logs 1 to `logs` grow to a size of `number`.
pub(super) fn commit(number: u64, logs: u32) -> Commit {
    (number, (1..=logs).map(|id| (log(id), mark(number))).collect())
}

pub(super) fn marks_after(commits: &[Commit]) -> Marks {
    let mut marks = Marks::default();
    commits.iter().for_each(|(number, heads)| marks.advance(*number, &undecided(heads)));
    marks
}

/// Marks of logs about which nothing was ever decided.
fn undecided(heads: &[(LogId, Mark)]) -> Vec<(LogId, Marked)> {
    heads.iter().map(|(log, mark)| (*log, Marked { mark: *mark, decided: None })).collect()
}

pub(super) fn append_all(file: &mut HighWater, commits: &[Commit]) {
    commits.iter().for_each(|(number, marks)| file.append(*number, marks).unwrap());
}

#[test]
fn what_was_appended_is_read_back() {
    let place = Place::new();
    let mut file = HighWater::create(&place.path(), DATABASE).unwrap();
    assert_eq!(HighWater::open(&place.path(), DATABASE).unwrap().1, Marks::default());
    let commits = [commit(3, 2), commit(4, 1), (9, vec![(log(u32::MAX), mark(0))])];
    append_all(&mut file, &commits);
    file.append(10, &[]).unwrap();
    drop(file);
    let (_, marks) = HighWater::open(&place.path(), DATABASE).unwrap();
    assert_eq!(marks.commit(), 9);
    assert_eq!(marks.get(log(1)), Some(mark(4)));
    assert_eq!(marks.get(log(3)), None);
    let all: Vec<_> = marks.iter().collect();
    assert_eq!(all, [(log(1), mark(4)), (log(2), mark(3)), (log(u32::MAX), mark(0))]);
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_missing_a_second_and_a_foreign_file_are_refused() {
    let place = Place::new();
    assert!(matches!(place.open(), Err(HighWaterError::Missing(path)) if path == place.path()));
    assert!(!place.path().exists(), "opening makes no file");
    append_all(&mut place.create(), &[commit(1, 1)]);
    let again = HighWater::create(&place.path(), DATABASE);
    assert!(matches!(again, Err(HighWaterError::Exists(path)) if path == place.path()));
    let other = DatabaseId::new([8; 16]);
    let foreign = HighWater::open(&place.path(), other);
    assert!(
        matches!(foreign, Err(HighWaterError::WrongDatabase { found: DATABASE, expected, .. }) if expected == other)
    );
    assert_eq!(place.marks(), marks_after(&[commit(1, 1)]), "and the first file is as it was");
}

#[test]
fn nothing_that_goes_back_is_recorded_and_the_file_refuses_from_then_on() {
    let root = Mark { root: Hash::EMPTY_TREE, ..mark(5) };
    let time = Mark { time_ms: 1_004, ..mark(6) };
    let step = |error: &HighWaterError, step| matches!(error, HighWaterError::Backwards(found) if found.step == step);
    let sizes = Step::Size { from: mark(5).size, to: mark(4).size };
    type Check<'a> = &'a dyn Fn(&HighWaterError) -> bool;
    let cases: [(Commit, Check<'_>); 5] = [
        ((6, vec![(log(1), mark(4))]), &|error| step(error, sizes)),
        ((6, vec![(log(1), root)]), &|error| step(error, Step::Root { size: root.size })),
        ((6, vec![(log(1), time)]), &|error| step(error, Step::Time { from: 1_005, to: 1_004 })),
        ((5, vec![(log(1), mark(6))]), &|error| matches!(error, HighWaterError::Commit { last: 5, found: 5 })),
        ((6, vec![(log(2), mark(6)); 2]), &|error| matches!(error, HighWaterError::Twice(id) if *id == log(2))),
    ];
    for ((number, marks), is_expected) in cases {
        let place = Place::new();
        let mut file = place.create();
        append_all(&mut file, &[commit(5, 2)]);
        let error = file.append(number, &marks).unwrap_err();
        assert!(is_expected(&error), "{error}");
        let refused = file.append(7, &[(log(1), mark(7))]);
        assert!(matches!(refused, Err(HighWaterError::Failed(_))), "{refused:?}");
        drop(file);
        assert_eq!(place.marks(), marks_after(&[commit(5, 2)]));
    }
}

/// The same head again is no step back: a commit may sign anew what has not grown.
#[test]
fn a_head_may_be_repeated_with_a_later_time() {
    let place = Place::new();
    let later = Mark { time_ms: 9_999, ..mark(5) };
    append_all(&mut place.create(), &[commit(5, 1), (6, vec![(log(1), mark(5))]), (7, vec![(log(1), later)])]);
    assert_eq!(place.marks().get(log(1)), Some(later));
}

#[test]
fn a_flip_of_any_byte_is_refused() {
    let place = Place::new();
    append_all(&mut place.create(), &[commit(1, 1), commit(2, 6), commit(3, 1)]);
    let sound = place.bytes();
    assert_eq!(place.damage(&sound), None);
    for offset in 0..sound.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[offset] ^= flip;
            let (named, _) = place.damage(&bytes).unwrap_or_else(|| panic!("byte {offset}, flip {flip:#04x} passed"));
            let frame = if offset < HEADER { 0 } else { offset - offset % FRAME };
            assert_eq!(named, frame, "the message names where byte {offset} stands");
        }
    }
}

#[test]
fn a_file_cut_anywhere_holds_the_commits_before_the_cut() {
    let place = Place::new();
    let commits = [commit(1, 1), commit(2, 6), commit(3, 1), commit(4, 2)];
    append_all(&mut place.create(), &commits);
    let sound = place.bytes();
    for length in 0..sound.len() {
        let bytes = &sound[..length];
        if length < HEADER {
            assert_eq!(place.damage(bytes), Some((0, Damage::NotHighWater)), "cut at {length}");
            continue;
        }
        assert_eq!(place.damage(bytes), None, "cut at {length}");
        let ends = [1, 7, 8, 10].map(|frames| HEADER + frames * FRAME);
        let whole = ends.iter().filter(|end| **end <= length).count();
        // The remains of a commit were erased by the first opening; the second is to see the same.
        let (mut file, marks) = place.open().unwrap();
        assert_eq!(marks, marks_after(&commits[..whole]), "cut at {length}");
        file.append(5, &commit(5, 1).1).unwrap();
        drop(file);
        let mut kept = commits[..whole].to_vec();
        kept.push(commit(5, 1));
        assert_eq!(place.marks(), marks_after(&kept), "cut at {length}, and gone on");
    }
}

/// Every set of sectors of the last write may be missing after a power loss, and no other set of bytes.
#[test]
fn a_torn_commit_is_dropped_whichever_of_its_sectors_are_missing() {
    for (frames_before, frames) in [(1, 10), (3, 1), (4, 5), (2, 2), (3, 8)] {
        let place = Place::new();
        let before = [commit(1, frames_before)];
        append_all(&mut place.create(), &before);
        let old = place.bytes();
        let new = [before[0].clone(), commit(2, frames)];
        append_all(&mut place.open().unwrap().0, &new[1..]);
        let mut whole = place.bytes();
        let mut blank = old.clone();
        blank.resize(whole.len().max(old.len()), 0);
        whole.resize(blank.len(), 0);
        let sectors: Vec<usize> =
            (0..whole.len()).step_by(SECTOR).filter(|at| whole[*at..at + SECTOR] != blank[*at..at + SECTOR]).collect();
        for kept in 0..1_u32 << sectors.len() {
            let mut bytes = blank.clone();
            for (bit, at) in sectors.iter().enumerate().filter(|(bit, _)| kept >> bit & 1 == 1) {
                assert!(bit < 32);
                bytes[*at..at + SECTOR].copy_from_slice(&whole[*at..at + SECTOR]);
            }
            let is_whole = bytes == whole;
            assert_eq!(place.damage(&bytes), None, "sectors {kept:b} of {}", sectors.len());
            let expected = if is_whole { marks_after(&new) } else { marks_after(&before) };
            assert_eq!(place.marks(), expected, "sectors {kept:b} of {}", sectors.len());
            let erased = place.bytes();
            assert!(is_whole || erased[HEADER + frames_before as usize * FRAME..].iter().all(|byte| *byte == 0));
            append_all(&mut place.open().unwrap().0, &[commit(3, 1)]);
            assert_eq!(place.marks().commit(), 3, "a shorter commit in the same place");
        }
    }
}

#[test]
fn frames_that_are_missing_or_exchanged_are_refused() {
    let place = Place::new();
    append_all(&mut place.create(), &[commit(1, 1), commit(2, 1), commit(3, 5), commit(4, 1)]);
    let sound = place.bytes();
    let slot = |number: usize| HEADER + number * FRAME..HEADER + (number + 1) * FRAME;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        change(&mut bytes);
        place.damage(&bytes)
    };
    let zero = |number: usize| with(&|bytes| bytes[slot(number)].fill(0));
    assert_eq!(zero(0), Some((slot(1).start, Damage::Place)), "the first commit");
    assert_eq!(zero(1), Some((slot(2).start, Damage::Place)), "a commit in the middle");
    assert_eq!(zero(4), Some((slot(7).start, Damage::Place)), "a part of a commit that others follow");
    let copied = with(&|bytes| bytes.copy_within(slot(0), slot(1).start));
    assert_eq!(copied, Some((slot(1).start, Damage::Commit { last: 1, found: 1 })), "a commit twice");
    let moved = with(&|bytes| bytes.copy_within(slot(3), slot(4).start));
    assert_eq!(moved, Some((slot(4).start, Damage::Place)), "a frame in another's place");
    let garbage = with(&|bytes| bytes[slot(11).start] = 1);
    assert_eq!(garbage, Some((slot(11).start, Damage::Checksum)), "a byte after the end");
    let cut = with(&|bytes| {
        bytes.truncate(slot(10).start);
        bytes.extend_from_slice(b"more");
    });
    assert_eq!(cut, Some((slot(10).start, Damage::Checksum)), "a short frame past the end");

    append_all(&mut place.create_again(), &[commit(1, 3)]);
    let mut bytes = place.bytes();
    bytes[slot(1)].fill(0);
    assert_eq!(place.damage(&bytes), Some((slot(1).start, Damage::Hole)), "one frame of a sector's three");
}

/// Frames with sound checksums that tell of a log that went back: no crash does that, so the file is refused.
#[test]
fn a_recorded_step_back_is_refused() {
    let root = Mark { root: Hash::EMPTY_TREE, ..mark(5) };
    let time = Mark { time_ms: 1_004, ..mark(6) };
    let steps = [
        (mark(4), Step::Size { from: mark(5).size, to: mark(4).size }),
        (root, Step::Root { size: root.size }),
        (time, Step::Time { from: 1_005, to: 1_004 }),
    ];
    for (next, step) in steps {
        let place = Place::new();
        append_all(&mut place.create(), &[commit(5, 1)]);
        let mut bytes = place.bytes();
        let at = HEADER + FRAME;
        bytes[at..at + FRAME].copy_from_slice(&frame::commit(&DATABASE, 6, &undecided(&[(log(1), next)])));
        assert_eq!(place.damage(&bytes), Some((at, Damage::Backwards(Backwards { log: log(1), step }))));
    }
    let place = Place::new();
    append_all(&mut place.create(), &[commit(5, 1)]);
    let mut bytes = place.bytes();
    let at = HEADER + FRAME;
    let other = DatabaseId::new([8; 16]);
    bytes[at..at + FRAME].copy_from_slice(&frame::commit(&other, 6, &undecided(&[(log(1), mark(6))])));
    assert_eq!(place.damage(&bytes), Some((at, Damage::Checksum)), "a frame of another database");
}

/// What was decided outlives heads that come after it, a restart and a compaction, and is not taken back.
#[test]
fn what_was_decided_is_kept_and_never_goes_back() {
    let of = |policy, halted, checkpoint| Decided { policy, halted, checkpoint: TreeSize::new(checkpoint).unwrap() };
    let policy = PolicyMark::of(b"a row");
    assert_ne!(policy, PolicyMark::of(b"another"));
    for decided in [
        of(PolicyMark::Absent, false, 0),
        of(PolicyMark::Unknown, true, 0),
        of(policy, false, 5),
        of(policy, true, u64::from(u32::MAX)),
    ] {
        let place = Place::new();
        let mut file = place.create();
        append_all(&mut file, &[commit(1, 2)]);
        file.append_decided(2, &[(log(1), mark(2), decided)]).unwrap();
        append_all(&mut file, &[commit(3, 2)]);
        drop(file);
        let (mut file, marks) = place.open().unwrap();
        let all = [marks.decided(log(1)), marks.decided(log(2)), marks.decided(log(3))];
        assert_eq!((all, marks.get(log(1))), ([Some(decided), None, None], Some(mark(3))));
        (4..200).for_each(|number| append_all(&mut file, &[commit(number, 2)]));
        assert_eq!(place.marks().decided(log(1)), Some(decided), "after a compaction");
    }
    let before = of(policy, true, 5);
    for (next, step) in [
        (Decided { halted: false, ..before }, Step::Decided),
        (of(policy, true, 4), Step::Checkpoint { from: before.checkpoint, to: TreeSize::new(4).unwrap() }),
    ] {
        let place = Place::new();
        let mut file = place.create();
        file.append_decided(1, &[(log(1), mark(2), before)]).unwrap();
        let refused = file.append_decided(2, &[(log(1), mark(2), next)]).unwrap_err();
        assert!(matches!(&refused, HighWaterError::Backwards(found) if found.step == step), "{refused}");
    }
}

/// As of a copy that was restored from an earlier backup, whatever the number of its commit.
#[test]
fn marks_that_know_less_do_not_come_after() {
    let size = |size| TreeSize::new(size).unwrap();
    let decided = |checkpoint| Decided { checkpoint: size(checkpoint), ..Decided::default() };
    let marks = |commit, mark, decided| Marks::of(commit, [(log(1), Marked { mark, decided })]);
    let before = marks(1, mark(5), Some(Decided { halted: true, ..decided(4) }));
    for (later, step) in [
        (marks(9, mark(4), Some(decided(4))), Some(Step::Size { from: size(5), to: size(4) })),
        (marks(9, Mark { time_ms: 1, ..mark(5) }, Some(decided(4))), Some(Step::Time { from: 1_005, to: 1 })),
        (marks(9, mark(6), Some(decided(3))), Some(Step::Checkpoint { from: size(4), to: size(3) })),
        (marks(9, mark(5), Some(decided(4))), None),
        (marks(9, mark(6), None), None),
    ] {
        assert_eq!(later.comes_after(&before, log(1)).err().map(|backwards| backwards.step), step);
    }
    before.comes_after(&Marks::default(), log(1)).unwrap();
    Marks::default().comes_after(&before, log(1)).unwrap();
}

/// A file of version 1 has room for heads alone. It is read, and older programs know what became of it.
#[test]
fn a_file_without_decisions_is_read_and_written_anew() {
    let place = Place::new();
    let commits: Vec<_> = (1..9).map(|number| commit(number, 3)).collect();
    append_all(&mut place.create(), &commits);
    let mut bytes = place.bytes();
    bytes[..HEADER].copy_from_slice(&frame::old_header(&DATABASE));
    fs::write(place.path(), &bytes).unwrap();
    assert_eq!(place.marks(), marks_after(&commits));
    assert_eq!(place.bytes()[19], 1, "whoever looked left it as it was");
    let (mut file, marks) = place.open().unwrap();
    assert_eq!(marks, marks_after(&commits));
    file.append_decided(9, &[(log(1), mark(9), Decided::default())]).unwrap();
    assert_eq!(place.bytes()[19], 2, "nobody older may read what was decided");
    assert_eq!(place.marks().decided(log(1)), Some(Decided::default()));
}

/// An operator put the file on another disk, and left a link where it was.
#[test]
fn compaction_leaves_a_link_to_the_file_where_it_is() {
    let place = Place::new();
    let mut file = place.create();
    append_all(&mut file, &[commit(1, 1)]);
    drop(file);
    let elsewhere = TempDir::new().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::copy(place.path(), &moved).unwrap();
    fs::remove_file(place.path()).unwrap();
    std::os::unix::fs::symlink(&moved, place.path()).unwrap();
    let (mut file, _) = place.open().unwrap();
    let before = fs::metadata(&moved).unwrap().ino();
    // As long as it is open, no other file gets its number.
    let _held = fs::File::open(&moved).unwrap();
    let commits: Vec<_> = (2..200).map(|number| commit(number, 1)).collect();
    append_all(&mut file, &commits);
    assert_ne!(fs::metadata(&moved).unwrap().ino(), before, "the file was not compacted");
    assert!(fs::symlink_metadata(place.path()).unwrap().is_symlink());
    assert_eq!(place.marks(), marks_after(&[commit(199, 1)]));
    assert_eq!(HighWater::open_on(Box::new(RealDisk), &moved, DATABASE, SMALL).unwrap().1.commit(), 199);
}

#[test]
fn compaction_keeps_the_newest_mark_of_every_log_and_bounds_the_file() {
    let place = Place::new();
    let mut file = place.create();
    let mut commits = vec![commit(1, 3), (2, vec![(log(40), mark(17))])];
    append_all(&mut file, &commits);
    for number in 3..400 {
        commits.push(commit(number, 1 + (number % 3) as u32));
        append_all(&mut file, &commits[commits.len() - 1..]);
        let length = fs::metadata(place.path()).unwrap().len();
        assert!(length <= SMALL.compact_at + SMALL.chunk, "{length} bytes after commit {number}");
        assert_eq!(place.marks(), marks_after(&commits));
    }
    assert!(!with_suffix(&place.path(), ".new").exists());
    let many = commit(1_000, 300);
    file.append(many.0, &many.1).unwrap();
    file.append(1_001, &commit(1_001, 300).1).unwrap();
    commits.extend([many, commit(1_001, 300)]);
    assert_eq!(place.marks(), marks_after(&commits), "more logs than the bound has room for");
}

proptest! {
    #[test]
    fn any_history_is_read_back(
        history in prop::collection::vec((1_u64..4, prop::collection::vec((1_u32..9, 0_u64..5), 1..12)), 1..40),
        reopen in 1_usize..7,
    ) {
        let place = Place::new();
        let mut file = place.create();
        let mut expected = Marks::default();
        let mut number = 0;
        for (step, (skipped, growth)) in history.into_iter().enumerate() {
            number += skipped;
            let mut marks = BTreeMap::new();
            for (id, grown) in growth {
                let size = expected.get(log(id)).map_or(0, |last| last.size.get()) + grown;
                marks.insert(log(id), mark(size));
            }
            let marks: Vec<_> = marks.into_iter().collect();
            file.append(number, &marks).unwrap();
            expected.advance(number, &undecided(&marks));
            if step % reopen == 0 {
                drop(file);
                let (next, found) = place.open().unwrap();
                prop_assert_eq!(&found, &expected);
                file = next;
            }
        }
        prop_assert_eq!(place.marks(), expected);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut file = frame::header(&DATABASE);
        file.extend_from_slice(&bytes);
        let _ = frame::read_header(&bytes);
        let is_empty = bytes.iter().all(|byte| *byte == 0);
        let read = frame::read_frames(&file, &DATABASE);
        // A first frame that is cut short is what random bytes may be.
        prop_assert_eq!(read.is_ok(), is_empty || bytes.len() < FRAME);
    }
}

/// Prints what an append costs on this disk.
#[test]
#[ignore = "measures, for as long as the disk takes"]
fn appends_per_second() {
    let place = Place { directory: TempDir::new_in(env!("CARGO_MANIFEST_DIR")).unwrap() };
    for logs in [1_u32, 16, 1_000] {
        let _ = fs::remove_file(place.path());
        let mut file = HighWater::create(&place.path(), DATABASE).unwrap();
        let start = std::time::Instant::now();
        let count = 3_000;
        for number in 1..=count {
            let (number, marks) = commit(number, logs);
            file.append(number, &marks).unwrap();
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        println!("{logs} logs per commit: {rate:.0} appends/s");
        let start = std::time::Instant::now();
        assert_eq!(HighWater::open(&place.path(), DATABASE).unwrap().1, marks_after(&[commit(count, logs)]));
        println!("opened in {:?}", start.elapsed());
    }
}
