//! The state from outside: what was made durable is there after a start, and damage is refused.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use cairn_tree::checkpoint::{Checkpoint, Origin, Timestamp};
use cairn_tree::hash::Hash;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::size::TreeSize;

use super::*;
use crate::sector::medium::Medium;
use crate::witness::log::Cosigned;

fn keys(seed: u8) -> Cosigners {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(seed);
        Ok(())
    };
    Cosigners::generate(&KeyName::new("witness.example/w").unwrap(), fill).unwrap()
}

fn log_key(number: u8) -> SignerKey {
    let name = KeyName::new(format!("log.example/{number}")).unwrap();
    SignerKey::from_seed(name, SignatureType::ED25519, &[number; 32]).unwrap()
}

/// The log of this number, cosigned at a size.
fn log(number: u8, size: u64) -> Arc<Log> {
    let key = log_key(number);
    let origin = Origin::from(key.name());
    let head = Checkpoint::new(origin.clone(), TreeSize::new(size).unwrap(), Hash::leaf(&size.to_be_bytes()));
    let trusted = vec![key.verifier_key().clone()];
    let head = head.sign(&key).unwrap().verify(&trusted).unwrap();
    let cosigned = Cosigned::new(head, Timestamp::new(1_000 + size).unwrap());
    Arc::new(Log::new(origin, trusted).with(Arc::new(cosigned)))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        Store::create(folder.path(), StoreId::new([9; 16]), &keys(1)).unwrap();
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(self.path(), &keys(1))
    }

    fn journal(&self) -> PathBuf {
        self.path().join(journal::FILE_NAME)
    }

    fn base(&self) -> PathBuf {
        self.path().join(base::FILE_NAME)
    }
}

fn sizes(store: &Store) -> Vec<(String, u64)> {
    let mut sizes: Vec<(String, u64)> = store
        .logs()
        .values()
        .map(|log| (log.origin.to_string(), log.tree().map_or(0, |tree| tree.size.get())))
        .collect();
    sizes.sort();
    sizes
}

fn expect(logs: &[(u8, u64)]) -> Vec<(String, u64)> {
    logs.iter().map(|(number, size)| (format!("log.example/{number}"), *size)).collect()
}

#[test]
fn what_was_committed_is_there_however_the_process_ended() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store.commit(&[log(1, 5), log(2, 7)]).unwrap();
    store.commit(&[log(1, 6)]).unwrap();
    // Dropped as by a crash: nothing is folded.
    drop(store);
    let mut store = folder.open().unwrap();
    assert_eq!(sizes(&store), expect(&[(1, 6), (2, 7)]));
    store.commit(&[log(2, 8)]).unwrap();
    store.close().unwrap();
    let store = folder.open().unwrap();
    assert_eq!(sizes(&store), expect(&[(1, 6), (2, 8)]));
    let kept = store.logs().get(&OriginHash::of(&log(2, 8).origin)).unwrap();
    let last = kept.last.as_ref().unwrap();
    assert_eq!((last.time().seconds(), last.head().root()), (1_008, Hash::leaf(&8u64.to_be_bytes())));
    assert_eq!(kept.keys, [log_key(2).verifier_key().clone()]);
}

#[test]
fn a_full_journal_is_folded_and_begun_anew() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let begun = store.journal.epoch();
    let commits = (JOURNAL_BYTES / sector::PAGE) as u64 + 10;
    for size in 1..=commits {
        store.commit(&[log(3, size)]).unwrap();
    }
    assert_eq!(store.journal.epoch(), begun + 1);
    drop(store);
    assert_eq!(sizes(&folder.open().unwrap()), expect(&[(3, commits)]));
}

#[test]
fn a_commit_that_does_not_fit_the_journal_is_refused_and_nothing_more_is_written() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store.commit(&[log(1, 1)]).unwrap();
    let key = log_key(9);
    let large = Log { keys: vec![key.verifier_key().clone(); 400_000], ..(*log(9, 1)).clone() };
    assert!(store.commit(&[Arc::new(large)]).is_err());
    assert!(matches!(store.commit(&[log(1, 2)]), Err(StoreError::Failed)));
    assert!(matches!(store.close(), Err(StoreError::Failed)));
    assert_eq!(sizes(&folder.open().unwrap()), expect(&[(1, 1)]));
}

/// A file whose next sync fails.
#[derive(Debug)]
struct Failing {
    file: Box<dyn Medium>,
    fails: Arc<AtomicBool>,
}

impl Medium for Failing {
    fn read(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        self.file.read(limit)
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        if self.fails.swap(false, Ordering::Relaxed) {
            Err(io::Error::other("the disk"))
        } else {
            self.file.sync_data()
        }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_written_again() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let also = Arc::clone(&fails);
    store.journal.replace_medium(|file| Box::new(Failing { file, fails: also }));
    store.commit(&[log(1, 1)]).unwrap();
    fails.store(true, Ordering::Relaxed);
    assert!(matches!(store.commit(&[log(1, 2)]), Err(StoreError::Io { .. })));
    assert!(!fails.load(Ordering::Relaxed), "the fault did not happen");
    // The disk works again; the state is not trusted to.
    assert!(matches!(store.commit(&[log(1, 2)]), Err(StoreError::Failed)));
    assert!(matches!(store.close(), Err(StoreError::Failed)));
    // What was written may be there or not; what was acknowledged is.
    assert!(sizes(&folder.open().unwrap()) >= expect(&[(1, 1)]));
}

#[test]
fn a_commit_that_was_cut_short_is_dropped_and_a_damaged_one_refused() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store.commit(&[log(1, 1)]).unwrap();
    let start = 2 * sector::PAGE;
    store.commit(&[log(1, 2), log(2, 2), log(3, 2)]).unwrap();
    drop(store);
    let whole = fs::read(folder.journal()).unwrap();
    let mut flips = 0;
    // redb's file changes with every successful start, so each try has its own copy.
    let base = fs::read(folder.base()).unwrap();
    let attempt = |bytes: &[u8]| {
        fs::write(folder.journal(), bytes).unwrap();
        fs::write(folder.base(), &base).unwrap();
        folder.open().map(|store| sizes(&store))
    };
    let mut torn = whole.clone();
    torn[start..start + sector::SECTOR].fill(0);
    assert_eq!(attempt(&torn).unwrap(), expect(&[(1, 1)]));
    for offset in (0..3 * sector::PAGE).step_by(97) {
        let mut damaged = whole.clone();
        damaged[offset] ^= 1 << (offset % 8);
        match attempt(&damaged) {
            Ok(sizes) => assert_eq!(sizes, expect(&[(1, 2), (2, 2), (3, 2)]), "a flip at {offset}"),
            Err(StoreError::Journal { .. }) => flips += 1,
            Err(other) => panic!("a flip at {offset}: {other}"),
        }
    }
    assert!(flips > 10, "{flips} flips were noticed");
    assert_eq!(attempt(&whole).unwrap(), expect(&[(1, 2), (2, 2), (3, 2)]));
}

#[test]
fn older_copies_of_either_file_are_refused() {
    let folder = Folder::new();
    let (first_journal, first_base) = (fs::read(folder.journal()).unwrap(), fs::read(folder.base()).unwrap());
    let mut store = folder.open().unwrap();
    store.commit(&[log(1, 1)]).unwrap();
    store.close().unwrap();
    let (journal, base) = (fs::read(folder.journal()).unwrap(), fs::read(folder.base()).unwrap());
    fs::write(folder.journal(), &first_journal).unwrap();
    assert!(matches!(folder.open(), Err(StoreError::OldJournal { .. })));
    fs::write(folder.journal(), &journal).unwrap();
    fs::write(folder.base(), &first_base).unwrap();
    assert!(matches!(folder.open(), Err(StoreError::Journal { error: Damage::Newer { .. }, .. })));
    fs::write(folder.base(), &base).unwrap();
    assert_eq!(sizes(&folder.open().unwrap()), expect(&[(1, 1)]));
}

/// A journal that was put back after a crash: within one epoch only the mark tells it from the newest.
#[test]
fn an_older_copy_of_the_journal_is_refused_within_an_epoch_too() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store.commit(&[log(1, 1)]).unwrap();
    let older = fs::read(folder.journal()).unwrap();
    store.commit(&[log(1, 2)]).unwrap();
    assert!(!store.is_marked());
    store.mark().unwrap();
    assert!(store.is_marked());
    let marked = fs::read(folder.journal()).unwrap();
    store.commit(&[log(1, 3)]).unwrap();
    drop(store);
    let (journal, base) = (fs::read(folder.journal()).unwrap(), fs::read(folder.base()).unwrap());
    let attempt = |journal: &[u8]| {
        fs::write(folder.journal(), journal).unwrap();
        fs::write(folder.base(), &base).unwrap();
        folder.open().map(|store| sizes(&store))
    };
    assert!(matches!(attempt(&older), Err(StoreError::OldJournal { .. })));
    // What came after the mark is not missed: nobody here can know of it.
    assert_eq!(attempt(&marked).unwrap(), expect(&[(1, 2)]));
    assert_eq!(attempt(&journal).unwrap(), expect(&[(1, 3)]));
}

#[test]
fn a_second_mark_costs_nothing_and_a_failed_state_has_none() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    assert!(store.is_marked(), "the base holds everything after a start");
    store.commit(&[log(1, 1)]).unwrap();
    store.mark().unwrap();
    let before = fs::read(folder.base()).unwrap();
    store.mark().unwrap();
    assert_eq!(fs::read(folder.base()).unwrap(), before);
    store.failed = true;
    assert!(matches!(store.mark(), Err(StoreError::Failed)));
}

#[test]
fn a_missing_file_and_other_keys_are_refused() {
    let folder = Folder::new();
    folder.open().unwrap().commit(&[log(1, 1)]).unwrap();
    assert!(matches!(Store::open(folder.path(), &keys(2)), Err(StoreError::OtherKeys { .. })));
    let journal = fs::read(folder.journal()).unwrap();
    fs::remove_file(folder.journal()).unwrap();
    assert!(matches!(folder.open(), Err(StoreError::Io { .. })));
    fs::write(folder.journal(), &journal[..journal.len() / 2]).unwrap();
    assert_eq!(sizes(&folder.open().unwrap()), expect(&[(1, 1)]), "what was cut off was empty");
    fs::write(folder.journal(), []).unwrap();
    assert!(folder.open().is_err());
}

#[test]
fn a_flip_anywhere_in_the_base_is_refused_or_harmless() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store.commit(&(1..40).map(|number| log(number, 3)).collect::<Vec<_>>()).unwrap();
    store.close().unwrap();
    let (base, journal) = (fs::read(folder.base()).unwrap(), fs::read(folder.journal()).unwrap());
    let before = sizes(&folder.open().unwrap());
    fs::write(folder.journal(), &journal).unwrap();
    let (mut refused, mut harmless) = (0, 0);
    // Much of the header, and some of the rest, of which most is empty.
    let some = (0..320).step_by(3).chain((512..base.len()).step_by(base.len() / 199));
    for offset in some {
        let mut damaged = base.clone();
        damaged[offset] ^= 1 << (offset % 8);
        fs::write(folder.base(), &damaged).unwrap();
        match std::panic::catch_unwind(|| folder.open()) {
            Ok(Ok(store)) => {
                assert_eq!(sizes(&store), before, "a flip at {offset} was served");
                // Every start begins a new epoch.
                drop(store);
                fs::write(folder.journal(), &journal).unwrap();
                harmless += 1;
            }
            Ok(Err(_)) => refused += 1,
            Err(_) => panic!("a flip at {offset} made the start panic"),
        }
    }
    assert!(refused > 20 && harmless > 20, "{refused} refused, {harmless} harmless");
}
