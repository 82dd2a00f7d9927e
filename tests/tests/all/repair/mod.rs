//! Damaged databases that are mended: from backups, from mirrors that may lie, from themselves; killed at every step, and
//! with no room left.

mod continued;
mod faults;
mod mending;
mod mirrors;
mod restored;
mod rows;
mod unsure;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, Server, Starting, cairnd, program, run};
use tempfile::TempDir;

use crate::damage::{figure, flip_in_tables, get, in_tables, wait_for};
use crate::scene::append;

/// The exit codes that `docs/operations.md` names.
const SOUND: Option<i32> = Some(0);
const FAILED: Option<i32> = Some(1);
const MENDABLE: Option<i32> = Some(3);
const MISSING: Option<i32> = Some(4);

/// A database of 600 entries in tables, what was seen of it, and the mark of entry 300.
struct Scene {
    folder: TempDir,
    data: Data,
    oracle: Oracle,
    mark: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, oracle, mark) = in_tables(&folder);
        // What a start replays is written to tables.
        assert_eq!(data.serve().stop().code, SOUND);
        Self { folder, data, oracle, mark }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn back_up(&self) {
        let mut command = Command::new(program("cairnd"));
        let ended =
            run(command.arg("backup").arg("--data").arg(self.data.path()).arg("--to").arg(self.place("backups")));
        assert_eq!(ended.code, SOUND, "{ended:?}");
    }

    fn append(&mut self, server: &Server, entry: &[u8]) {
        append(server, &self.data, &mut self.oracle, entry);
    }

    /// Flips a bit in the bundle of entry 300 until a running server has found it, and stops the server.
    fn damage_and_find(&self, server: Server) {
        assert!(flip_in_tables(self.data.path(), &self.mark) > 0, "the fault did not fire");
        wait_for("the halt", || get(&server, "/readyz").text().contains("log main: halted"));
        wait_for("the finding", || figure(&server, "cairn_scrub_findings_total") >= 1.0);
        assert_eq!(server.stop().code, SOUND);
    }

    /// Everything that was ever acknowledged and signed is there, and the log goes on.
    fn assert_goes_on(&mut self, server: &Server) {
        let mut random = Random::for_test("repair");
        self.oracle.check(server.address(), &mut random).unwrap_or_else(|wrong| panic!("{wrong}"));
        self.oracle.check_every_entry(server.address()).unwrap_or_else(|wrong| panic!("{wrong}"));
        let before = self.oracle.newest();
        self.append(server, b"it goes on");
        assert_eq!(self.oracle.newest(), before + 1);
        let ready = get(server, "/readyz").text();
        assert!(!ready.contains("damaged") && !ready.contains("halted"), "{ready}");
    }

    fn backups(&self) -> String {
        self.place("backups").display().to_string()
    }
}

fn repair(data: &Path, more: &[&str]) -> Ended {
    run(Command::new(program("cairnd")).arg("repair").arg("--data").arg(data).args(more))
}

/// The same, and what it says as JSON.
fn repair_json(data: &Path, more: &[&str]) -> (Option<i32>, serde_json::Value) {
    let ended = repair(data, &[more, &["--json"]].concat());
    let said = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    (ended.code, said)
}

/// Whether the log `main` is held after a repair because its policy may be gone; then it is let go, as an operator does
/// who knows that there was none.
fn let_go(data: &Path, said: &serde_json::Value) -> bool {
    let held = said["logs"][0]["held"].as_bool().unwrap();
    if held {
        let ended = cairnd(data, &["log", "policy", "main", "--none"]);
        assert_eq!(ended.code, SOUND, "{ended:?}");
    }
    held
}

/// Starts the server where it was before.
fn serve_at(data: &Path, address: SocketAddr) -> Server {
    let mut command = Command::new(program("cairnd"));
    command.args(["serve", "--listen", &address.to_string(), "--data"]).arg(data);
    Server::ready(Starting::of(command, "cairnd is ready at http://"))
}

/// Everything below a folder but for what tells of locks and RocksDB's own log, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        for file in fs::read_dir(&inner).unwrap().map(|file| file.unwrap()) {
            let (path, name) = (file.path(), file.file_name().to_string_lossy().into_owned());
            if file.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if !name.starts_with("LO") && !name.ends_with(".lock") && !name.ends_with(".sock") {
                found.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The names in a folder that a repair makes.
fn kept(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data).unwrap().map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.contains("db.") || name.starts_with("repair.s")).collect();
    names.sort();
    names
}

fn incidents(data: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(data.join("incidents.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
