//! An outbox on a real disk, opened and closed: what it keeps, what it frees, and what it makes of damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A clock that stands still, and a source that counts.
struct Fixed(Mutex<u64>);

impl Surroundings for Fixed {
    fn now(&self) -> cairn_tree::record::time::Time {
        cairn_tree::record::time::Time::from_millis(1_767_225_600_000).unwrap()
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        let mut count = self.0.lock().unwrap();
        *count += 1;
        let stream = count.to_be_bytes().into_iter().cycle().zip((0_u8..).cycle());
        bytes.iter_mut().zip(stream).for_each(|(byte, (number, place))| *byte = number ^ place);
        Ok(())
    }
}

fn options() -> Options {
    Options {
        segment_bytes: bounds::LEAST_SEGMENT_BYTES,
        surroundings: Arc::new(Fixed(Mutex::new(0))),
        ..Options::default()
    }
}

fn open(folder: &Path) -> Result<Outbox, StoreError> {
    Outbox::open(folder, options())
}

fn event(object: &str, words: &str) -> Event {
    let text = format!(
        r#"{{"object":{{"tenant":"pb","module":"m","entity":"e","id":"{object}","operation":"note"}},
            "context":{{"reason":"{words}"}}}}"#
    );
    Event::parse(text.as_bytes()).unwrap()
}

/// A batch: its number, its ids, its body, and its refusal.
type Kept = (u64, Vec<RecordId>, Vec<u8>, Option<Refusal>);
/// Files with their contents.
type Saved = Vec<(PathBuf, Vec<u8>)>;

/// What is in it, in full.
fn contents(outbox: &Outbox) -> Vec<Kept> {
    let state = outbox.0.shared.state();
    let all = state.batches().iter();
    all.map(|(number, batch)| {
        let put = batch.place.read(*number).unwrap();
        (number.0, put.ids, put.body, batch.refused.clone())
    })
    .collect()
}

/// Waits until so many batches are there, so many of them refused.
fn settle(outbox: &Outbox, batches: usize, refused: usize) {
    let begun = Instant::now();
    loop {
        let Status { batches: there, refused: refusals, .. } = outbox.status();
        if (there, refusals) == (batches, refused) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{there} batches, {refusals} refused");
        std::thread::yield_now();
    }
}

fn note(outbox: &Outbox, number: u64, refusal: Option<Refusal>) {
    let number = BatchNumber(number);
    let job = refusal.map_or(Job::Delivered(number), |refusal| Job::Refused(number, refusal));
    assert!(outbox.send(job).is_ok());
}

fn refusal() -> Refusal {
    Refusal { at: Fixed(Mutex::new(0)).now(), status: 409, words: "no".into() }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// All bytes of a folder's files, to be put back.
fn save(folder: &Path) -> Saved {
    files(folder).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn restore(folder: &Path, saved: &[(PathBuf, Vec<u8>)]) {
    files(folder).iter().for_each(|path| fs::remove_file(path).unwrap());
    saved.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

/// Two segments: several batches, one delivered, one refused.
fn small() -> (tempfile::TempDir, Saved, Vec<Kept>) {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    for number in 0..8 {
        outbox.append(&[event(&number.to_string(), "x"), event("all", "y")]).unwrap();
    }
    note(&outbox, 2, None);
    note(&outbox, 1, Some(refusal()));
    // Not a clean end: what was delivered is not tidied away.
    let batch = outbox.append(&[event("last", "z")]).unwrap();
    assert_eq!(batch.number, 9);
    let (saved, there) = (save(folder.path()), contents(&outbox));
    drop(outbox);
    restore(folder.path(), &saved);
    assert!(saved.len() >= 4, "{} files", saved.len());
    (folder, saved, there)
}

#[test]
fn what_is_appended_by_many_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::File(_))), "one process has it open");
    let tickets: Vec<Ticket> = std::thread::scope(|scope| {
        let works: Vec<_> = (0..16)
            .map(|object| {
                let outbox = &outbox;
                let one = move |number: usize| outbox.append(&[event(&object.to_string(), &number.to_string())]);
                scope.spawn(move || (0..20).map(|number| one(number).unwrap()).collect::<Vec<_>>())
            })
            .collect();
        works.into_iter().flat_map(|work| work.join().unwrap()).collect()
    });
    let there = contents(&outbox);
    drop(outbox);
    let outbox = open(folder.path()).unwrap();
    assert_eq!(contents(&outbox), there);
    let mut expected: Vec<(u64, Vec<RecordId>)> = tickets.into_iter().map(|one| (one.number, one.ids)).collect();
    expected.sort();
    assert_eq!(there.into_iter().map(|(number, ids, ..)| (number, ids)).collect::<Vec<_>>(), expected);
    // A task gets its answer too.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let appended = runtime.block_on(async { outbox.append_async(&[event("task", "x")]).await });
    assert_eq!(appended.unwrap().number, 321);
}

#[test]
fn what_was_delivered_leaves_the_disk_and_what_waits_stays() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), Options { sweep_after: Duration::ZERO, ..options() }).unwrap();
    let words = "nowhere else".repeat(100);
    for number in 0..60 {
        outbox.append(&[event(&number.to_string(), &words)]).unwrap();
    }
    note(&outbox, 3, Some(refusal()));
    (1..=60).filter(|number| ![3, 17].contains(number)).for_each(|number| note(&outbox, number, None));
    settle(&outbox, 2, 1);
    let there = contents(&outbox);
    assert_eq!(there.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [3, 17]);
    drop(outbox);
    let bytes: Vec<u8> = save(folder.path()).into_iter().flat_map(|(_, bytes)| bytes).collect();
    // A commit's sectors cut it now and then, but never twice in so few bytes.
    let count = bytes.windows(24).filter(|window| *window == "nowhere elsenowhere else".as_bytes()).count();
    assert!((100..250).contains(&count), "{count} remains of two records");
    let outbox = open(folder.path()).unwrap();
    assert_eq!(contents(&outbox), there);
    // Numbers are never used again.
    assert_eq!(outbox.append(&[event("1", "x")]).unwrap().number, 61);
}

#[test]
fn a_row_of_segments_does_not_grow_behind_what_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let held = outbox.append(&[event("held", "x")]).unwrap();
    note(&outbox, held.number, Some(refusal()));
    for _ in 0..600 {
        let ticket = outbox.append(&[event("1", &"x".repeat(2_000))]).unwrap();
        note(&outbox, ticket.number, None);
    }
    settle(&outbox, 1, 1);
    let segments = files(folder.path()).len() - 2;
    assert!(segments <= bounds::SPARE_SEGMENTS + 4, "{segments} segments");
    assert_eq!(outbox.status().refusals[0].ids, [held.ids[0].to_string()]);
}

#[test]
fn every_flipped_byte_is_refused_or_harmless() {
    let (folder, saved, there) = small();
    let (mut refused, mut flips) = (0, 0);
    for (path, bytes) in &saved {
        // In sectors that nothing was written into, one byte in a while stands for the others.
        let sector = |at: usize| &bytes[at / 512 * 512..bytes.len().min(at / 512 * 512 + 512)];
        let is_written = |at: usize| at.is_multiple_of(61) || sector(at).iter().any(|byte| *byte != 0);
        for at in (0..bytes.len()).filter(|at| is_written(*at)) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, &flipped).unwrap();
            flips += 1;
            match open(folder.path()) {
                Ok(outbox) => {
                    assert_eq!(contents(&outbox), there, "{} {at}", path.display());
                    drop(outbox);
                    restore(folder.path(), &saved);
                }
                Err(StoreError::Damaged { .. }) => {
                    refused += 1;
                    fs::write(path, bytes).unwrap();
                }
                Err(other) => panic!("{} {at}: {other}", path.display()),
            }
        }
    }
    assert!(refused > flips * 9 / 10, "{refused} of {flips} were refused");
}

#[test]
fn a_file_that_is_cut_absent_or_older_is_refused() {
    let (folder, saved, _) = small();
    let refuse = |what: &str, words: &str| {
        let error = open(folder.path()).expect_err(what).to_string();
        assert!(error.contains(words) && error.contains("damaged"), "{what}: {error}");
        restore(folder.path(), &saved);
    };
    for (path, bytes) in saved.iter().filter(|(path, _)| path.extension().is_some_and(|suffix| suffix == "segment")) {
        for length in (0..bytes.len()).step_by(331).chain([bytes.len() - 1]) {
            fs::write(path, &bytes[..length]).unwrap();
            refuse(&format!("{} of {length} bytes", path.display()), "damaged");
        }
        fs::remove_file(path).unwrap();
        refuse("a missing segment", "missing");
    }
    let binding = folder.path().join("outbox.json");
    for length in 0..fs::read(&binding).unwrap().len() {
        let whole = fs::read(&binding).unwrap();
        fs::write(&binding, &whole[..length]).unwrap();
        refuse("a binding that was cut", "checksum");
    }
    fs::remove_file(&binding).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::NotOne(_))), "what is there is not made anew");
    restore(folder.path(), &saved);
    // An older file that says how far the row goes.
    let outbox = open(folder.path()).unwrap();
    let older = fs::read(&binding).unwrap();
    (0..20).for_each(|_| drop(outbox.append(&[event("1", &"x".repeat(3_000))]).unwrap()));
    drop(outbox);
    fs::write(&binding, older).unwrap();
    refuse("an older binding", "older copy");
}

/// Where the last commit stands: the file, the offset, and its bytes.
fn last_commit(folder: &Path, before: &[(PathBuf, Vec<u8>)]) -> (PathBuf, usize, usize) {
    let changed: Vec<_> = save(folder).into_iter().zip(before).filter(|(now, then)| now != *then).collect();
    let [((path, now), (_, then))] = changed.as_slice() else { panic!("{} files changed", changed.len()) };
    let differs = |at: &usize| now[*at] != then[*at];
    let first = (0..now.len()).find(differs).unwrap() / 512 * 512;
    let last = (0..now.len()).rev().find(differs).unwrap() / 512 * 512 + 512;
    (path.clone(), first, last)
}

#[test]
fn a_torn_last_commit_is_dropped_whichever_of_its_sectors_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    outbox.append(&[event("1", "kept")]).unwrap();
    let (there, before) = (contents(&outbox), save(folder.path()));
    outbox.append(&[event("2", &"x".repeat(2_200))]).unwrap();
    let (path, first, last) = last_commit(folder.path(), &before);
    drop(outbox);
    let after = save(folder.path());
    let whole = fs::read(&path).unwrap();
    let sectors = (last - first) / 512;
    assert!((5..10).contains(&sectors), "{sectors} sectors");
    for kept in 0..(1_u32 << sectors) - 1 {
        let mut torn = whole.clone();
        for sector in (0..sectors).filter(|sector| kept & 1 << sector == 0) {
            torn[first + sector * 512..first + (sector + 1) * 512].fill(0);
        }
        restore(folder.path(), &after);
        fs::write(&path, torn).unwrap();
        let outbox = open(folder.path()).unwrap();
        assert_eq!(contents(&outbox), there, "{kept:b}");
        // Life goes on, and what was cut short does not come back.
        let next = outbox.append(&[event("3", "next")]).unwrap();
        drop(outbox);
        let outbox = open(folder.path()).unwrap();
        let numbers: Vec<u64> = contents(&outbox).into_iter().map(|(number, ..)| number).collect();
        assert_eq!(numbers, [1, next.number], "{kept:b}");
    }
}

#[test]
fn a_batch_waits_for_those_before_it_in_each_of_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let take = || outbox.take().map(|(number, _)| number.0);
    for objects in [&["a"][..], &["a", "b"], &["b"], &["c"]] {
        let events: Vec<Event> = objects.iter().map(|object| event(object, "x")).collect();
        outbox.append(&events).unwrap();
    }
    assert_eq!([take(), take(), take()], [Some(1), Some(4), None]);
    let state = || outbox.0.shared.state();
    state().rest(BatchNumber(1));
    assert_eq!(take(), None, "it rests");
    state().wake(BatchNumber(1));
    assert_eq!(take(), Some(1));
    assert!(matches!(outbox.drop(outbox_id(&outbox, 1), "why"), Err(ChangeError::UnderWay)));
    note(&outbox, 1, Some(refusal()));
    settle(&outbox, 4, 1);
    assert_eq!(take(), None, "it holds what is behind it");
    assert_eq!(outbox.retry(None), Ok(1));
    assert_eq!(take(), Some(1));
    note(&outbox, 1, None);
    note(&outbox, 4, None);
    settle(&outbox, 2, 0);
    assert_eq!([take(), take()], [Some(2), None]);
    state().wake_all();
    assert_eq!(take(), Some(2), "whoever had it has gone");
}

fn outbox_id(outbox: &Outbox, number: u64) -> RecordId {
    outbox.0.shared.state().batches()[&BatchNumber(number)].ids[0]
}

/// What is given up while it rests is either on its way, and then not given up, or it is never sent.
#[test]
fn what_is_being_dropped_is_not_sent_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let (mut dropped, mut sent) = (0, 0);
    for round in 0..200 {
        let ticket = outbox.append(&[event(&round.to_string(), "x")]).unwrap();
        let number = BatchNumber(ticket.number);
        assert_eq!(outbox.take().map(|(number, _)| number), Some(number));
        let state = || outbox.0.shared.state();
        state().rest(number);
        let over = AtomicBool::new(false);
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let mut taken = false;
                while !over.load(Ordering::SeqCst) && !taken {
                    state().wake(number);
                    // The record of the drop may be the first that can go.
                    taken = outbox.take().is_some_and(|(found, _)| found == number);
                }
                taken
            });
            let result = outbox.drop(ticket.ids[0], "why");
            over.store(true, Ordering::SeqCst);
            let taken = taking.join().unwrap();
            match result {
                Ok(_) => assert!(!taken, "round {round}: it was sent and dropped"),
                Err(ChangeError::UnderWay) => assert!(taken, "round {round}"),
                Err(other) => panic!("{other}"),
            }
            taken
        });
        sent += u64::from(taken);
        dropped += u64::from(!taken);
        // Nothing is left for the next round.
        let all: Vec<u64> = state().batches().keys().map(|number| number.0).collect();
        all.iter().for_each(|number| note(&outbox, *number, None));
        settle(&outbox, 0, 0);
    }
    assert_eq!(dropped + sent, 200);
}

#[test]
fn what_goes_on_and_comes_back_keeps_one_batch_of_a_stream_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { after_refusal: AfterRefusal::GoOn, ..options() };
    let outbox = Outbox::open(folder.path(), options()).unwrap();
    (0..3).for_each(|_| drop(outbox.append(&[event("a", "x")]).unwrap()));
    let take = || outbox.take().map(|(number, _)| number.0);
    assert_eq!(take(), Some(1));
    note(&outbox, 1, Some(refusal()));
    settle(&outbox, 3, 1);
    assert_eq!([take(), take()], [Some(2), None]);
    assert_eq!(outbox.retry(None), Ok(1));
    assert_eq!(take(), None, "one of the stream is on its way");
    outbox.0.shared.state().rest(BatchNumber(2));
    assert_eq!([take(), take()], [Some(1), None], "what comes back goes first");
    outbox.0.shared.state().wake(BatchNumber(2));
    assert_eq!(take(), None);
    note(&outbox, 1, Some(refusal()));
    settle(&outbox, 3, 1);
    // Ready, but not taken, when the first comes back.
    assert_eq!(outbox.retry(None), Ok(1));
    assert_eq!([take(), take()], [Some(1), None]);
    note(&outbox, 1, None);
    settle(&outbox, 2, 0);
    assert_eq!([take(), take()], [Some(2), None]);
    // Opened again, the same.
    drop(outbox);
    let outbox = Outbox::open(folder.path(), options()).unwrap();
    assert_eq!(outbox.take().map(|(number, _)| number.0), Some(2));
    assert!(outbox.take().is_none());
}

#[test]
fn the_largest_batch_can_be_dropped_and_is_told_of_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), Options::default()).unwrap();
    let reason = "r".repeat(4_096);
    for (objects, told) in [(10_000, bounds::DROP_STREAMS), (3, 3), (100, 100)] {
        let events: Vec<Event> = (0..10_000).map(|number| event(&(number % objects).to_string(), "x")).collect();
        let events = if objects == 100 { &events[..100] } else { &events };
        let ticket = outbox.append(events).unwrap();
        note(&outbox, ticket.number, Some(Refusal { words: "\u{1F4A9}".repeat(bounds::ANSWER_CHARS), ..refusal() }));
        settle(&outbox, 1, 1);
        let dropped = outbox.drop(ticket.ids[ticket.ids.len() - 1], &reason).unwrap();
        assert_eq!((dropped.ids.len(), dropped.records.len()), (events.len(), told));
        let (number, _, body, _) = contents(&outbox).pop().unwrap();
        let text = String::from_utf8(body).unwrap();
        if events.len() > bounds::DROP_RECORDS {
            assert!(text.contains("\"outbox-batch-count\":\"10000\""), "{objects}");
            let of_stream = 10_000_usize.div_ceil(objects);
            assert!(text.contains(&format!("\"outbox-count\":\"{of_stream}\"")), "{objects}");
        } else {
            assert!(text.contains(&format!("\"outbox-record\":\"{}\"", ticket.ids[99])));
        }
        note(&outbox, number, None);
        settle(&outbox, 0, 0);
    }
}

#[test]
fn a_folder_that_others_may_enter_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let outbox = open(folder.path()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    drop(outbox);
    assert!(files(folder.path()).iter().all(|path| mode(path) == 0o600));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    drop(open(folder.path()).unwrap());
    assert_eq!(mode(folder.path()), 0o700);
    // What is no outbox stays as it is.
    let other = tempfile::tempdir().unwrap();
    fs::set_permissions(other.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(other.path().join("somebody's"), b"").unwrap();
    assert!(matches!(open(other.path()), Err(StoreError::NotOne(_))));
    assert_eq!(mode(other.path()), 0o755);
}

#[test]
fn trouble_ends_with_what_was_in_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let ticket = outbox.append(&[event("a", "x")]).unwrap();
    outbox.0.shared.set_trouble(Some("no connection".into()));
    let dropped = outbox.drop(ticket.ids[0], "why").unwrap();
    assert!(outbox.status().trouble.is_some(), "the record of the drop waits");
    outbox.drop(dropped.records[0], "why").unwrap();
    assert_eq!((outbox.status().batches, outbox.status().trouble), (0, None));
}
