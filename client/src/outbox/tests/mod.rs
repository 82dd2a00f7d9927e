//! An outbox on a real disk, opened and closed: what it keeps, what it frees, and what it makes of damage.

mod damage;
mod dropping;
mod keeping;
mod order;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

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

fn outbox_id(outbox: &Outbox, number: u64) -> RecordId {
    outbox.0.shared.state().batches()[&BatchNumber(number)].ids[0]
}
