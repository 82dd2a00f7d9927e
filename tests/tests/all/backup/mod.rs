//! Backups of servers at work and at rest, and what a restored one may sign.

mod keeping;
mod kills;
mod making;
mod restoring;
mod rotting;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::Oracle;
use cairn_tests::server::{Data, Ended, Server, program, run};
use cairn_tree::tile::Entries;
use cairn_tree::wire::append::BatchAnswer;
use cairn_tree::wire::media;
use tempfile::TempDir;

use crate::scene::entry;

/// Entries that one request of the load brings.
const BATCH: u64 = 40;
const HANDS: usize = 3;

/// A database, what was seen of it, and a folder for its backups.
struct Scene {
    folder: TempDir,
    data: Data,
    oracle: Arc<Mutex<Oracle>>,
}

/// Somebody who appends for as long as it lasts.
struct Load {
    stop: Arc<AtomicBool>,
    hands: Vec<JoinHandle<()>>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        let oracle = Arc::new(Mutex::new(Oracle::new(&data.main)));
        Self { folder, data, oracle }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn dest(&self) -> PathBuf {
        self.place("backups")
    }

    fn append(&self, server: &Server, numbers: core::ops::Range<u64>) {
        let mut oracle = self.oracle.lock().unwrap();
        numbers.for_each(|number| crate::scene::append(server, &self.data, &mut oracle, &entry(number)));
    }

    /// Appends batches, each of entries that nobody else sends.
    fn load(&self, server: &Server) -> Load {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1 << 20)));
        let hand = || {
            let (stop, next, oracle) = (Arc::clone(&stop), Arc::clone(&next), Arc::clone(&self.oracle));
            let (address, token) = (server.address(), self.data.token.clone());
            std::thread::spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let first = next.fetch_add(BATCH, Ordering::SeqCst);
                    let batch: Vec<Vec<u8>> = (first..first + BATCH).map(entry).collect();
                    let mut body = Vec::new();
                    batch.iter().for_each(|entry| Entries::encode(entry, &mut body).unwrap());
                    let request = Request::post("/logs/main/entries?receipts=1", body)
                        .with("authorization", format!("Bearer {token}"))
                        .with("content-type", media::ENTRIES);
                    let answer = connection.ask(&request).unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let answer: BatchAnswer = serde_json::from_slice(&answer.body).unwrap();
                    let mut oracle = oracle.lock().unwrap();
                    for (entry, receipt) in batch.iter().zip(answer.receipts()) {
                        oracle.see_receipt(entry, &receipt).unwrap_or_else(|wrong| panic!("{wrong}"));
                    }
                }
            })
        };
        let hands = (0..HANDS).map(|_| hand()).collect();
        Load { stop, hands }
    }

    /// Makes a generation and gives what the command said of it.
    fn back_up(&self, more: &[&str]) -> serde_json::Value {
        let ended = backup(self.data.path(), &self.dest(), &[more, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Restores into a folder of this name, and gives what the command said of the log.
    fn restore(&self, from: &str, name: &str, more: &[&str]) -> serde_json::Value {
        let ended = self.try_restore(from, name, &[more, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    fn try_restore(&self, from: &str, name: &str, more: &[&str]) -> Ended {
        let from = format!("{}{from}", self.dest().display());
        let mut command = Command::new(program("cairnd"));
        command.args(["restore", "--from", &from, "--data"]).arg(self.place(name)).args(more);
        run(&mut command)
    }

    fn restored(&self, name: &str) -> Data {
        Data::at(self.place(name), &self.data)
    }

    fn high_water(&self) -> String {
        self.data.path().join("high-water").display().to_string()
    }
}

impl Load {
    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.hands.into_iter().for_each(|hand| hand.join().unwrap());
    }
}

fn backup(data: &Path, dest: &Path, more: &[&str]) -> Ended {
    let mut command = Command::new(program("cairnd"));
    run(command.arg("backup").arg("--data").arg(data).arg("--to").arg(dest).args(more))
}

fn list(dest: &Path) -> Vec<serde_json::Value> {
    let mut command = Command::new(program("cairnd"));
    let ended = run(command.args(["backup", "list", "--json", "--to"]).arg(dest));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
