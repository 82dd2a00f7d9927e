//! What other logs died of, done to ours: each test bears the incident's name, does the deed from end to end, and shows
//! what becomes of it here.

mod shown;
mod stored;

use std::path::Path;

use cairn_rocks::{RocksStore, Settings};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Server, cairnd};
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};

use crate::scene::{append, copy, entry};

/// A database with some entries, stopped, and what was seen of it.
struct Grown {
    folder: tempfile::TempDir,
    data: Data,
    oracle: Oracle,
}

impl Grown {
    fn to(size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        let oracle = Oracle::new(&data.main);
        let mut grown = Self { folder, data, oracle };
        grown.grow(0..size);
        grown
    }

    fn grow(&mut self, numbers: core::ops::Range<u64>) {
        let server = self.data.serve();
        for number in numbers {
            append(&server, &self.data, &mut self.oracle, &entry(number));
        }
        assert_eq!(server.stop().code, Some(0));
    }

    fn copy_to(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        copy(self.data.path(), &path);
        path
    }

    /// Changes a row of the log `main` beneath the server, with all of the engine's checksums right; `None` removes it.
    fn edit(&self, kind: Kind, number: u64, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        let store = RocksStore::open(&self.data.path().join("db"), &Settings::default()).unwrap();
        let key = Key::numbered(LogId::new(1), kind, number);
        let row = store.get(&key).unwrap().unwrap_or_else(|| panic!("no row {key:?}"));
        let mut batch = Batch::new();
        match change(row) {
            Some(row) => batch.put(key, row),
            None => batch.delete(key),
        }
        store.commit(batch).unwrap();
    }

    /// The server does not start, and says these words in one line.
    fn refuses(&self, words: &str) {
        let ended = self.data.try_serve().err().expect("a refusal");
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("cairnd: ") && last.contains(words), "not {words:?}: {ended:?}");
    }

    /// fsck names what is wrong.
    fn is_not_sound(&self) {
        let ended = cairnd(self.data.path(), &["fsck"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stdout.contains("NOT SOUND") || !ended.stderr.is_empty(), "{ended:?}");
    }

    fn check(&mut self, server: &Server) {
        let checked = self.oracle.check(server.address(), &mut Random::new(1));
        checked.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

/// Replaces a part of a database by another's.
fn replace(part: &str, from: &Path, to: &Path) {
    let (from, to) = (from.join(part), to.join(part));
    if from.is_dir() {
        std::fs::remove_dir_all(&to).unwrap();
        copy(&from, &to);
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

fn flip_middle(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Some(bytes)
}
