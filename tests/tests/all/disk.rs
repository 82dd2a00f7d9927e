//! A disk that fills up: below the reserve appends stop and reads go on, and more room is all it needs. Where the reserve
//! did not help, the process ends and nothing that was acknowledged is lost.
//!
//! Needs a small file system of its own, thus root; without it the tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::http::{Broken, Connection, Request, Response};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Server, run};
use cairn_tree::tile::Entries;
use cairn_tree::wire::append::BatchAnswer;
use cairn_tree::wire::media;
use cairn_tree::wire::problem::{Problem, ProblemKind};

use crate::scene::{append, entry};

const MIB: u64 = 1 << 20;
/// The size of the file system. RocksDB writes some of its files ahead.
const SIZE: u64 = 320 * MIB;
const BATCH: usize = 32;
const ENTRY: usize = 64_000;

/// A mounted tmpfs, unmounted when it is dropped.
pub(crate) struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(folder.path());
        let mounted = command.output().unwrap();
        assert!(mounted.status.success(), "{mounted:?}");
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves so much free space.
    pub(crate) fn fill_to(&self, free: u64) {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        let more = (stat.f_bavail * stat.f_frsize).saturating_sub(free);
        fs::write(self.filler(), vec![1; usize::try_from(more).unwrap()]).unwrap();
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a server that is being killed may still have files open.
        let unmounted = run(Command::new("umount").arg("--lazy").arg(self.path()));
        if unmounted.code != Some(0) {
            eprintln!("{unmounted:?}");
        }
    }
}

fn post(server: &Server, data: &Data, body: &[u8]) -> Result<Response, Broken> {
    let request = Request::post("/logs/main/entries", body)
        .with("authorization", format!("Bearer {}", data.token))
        .with("accept", "text/plain");
    Connection::open(server.address()).map_err(Broken::Unanswered)?.ask(&request)
}

/// RocksDB sets room for its write-ahead log aside, which has to be used up before anything fails.
fn post_batch(server: &Server, data: &Data, batch: &[Vec<u8>]) -> Result<Response, Broken> {
    let mut body = Vec::new();
    batch.iter().for_each(|entry| Entries::encode(entry, &mut body).unwrap());
    let request = Request::post("/logs/main/entries?receipts=1", body)
        .with("authorization", format!("Bearer {}", data.token))
        .with("content-type", media::ENTRIES);
    Connection::open(server.address()).map_err(Broken::Unanswered)?.ask(&request)
}

fn learn(oracle: &mut Oracle, batch: &[Vec<u8>], answer: &Response) {
    let answer: BatchAnswer = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.receipts().count(), batch.len());
    for (entry, receipt) in batch.iter().zip(answer.receipts()) {
        oracle.see_receipt(entry, &receipt).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

/// An entry that does not compress.
fn noise(random: &mut Random) -> Vec<u8> {
    (0..ENTRY / 8).flat_map(|_| random.number().to_le_bytes()).collect()
}

fn get(server: &Server, target: &str) -> Response {
    Connection::open(server.address()).unwrap().ask(&Request::get(target)).unwrap()
}

#[test]
#[cfg_attr(not(can_mount), ignore = "a tmpfs can't be mounted here: that takes root")]
fn below_the_reserve_appends_stop_reads_go_on_and_room_is_all_it_needs() {
    let disk = SmallDisk::mount();
    let data = Data::init(disk.path().join("data"));
    data.set_limit("disk_reserve_bytes", 8 * MIB);
    let mut oracle = Oracle::new(&data.main);
    let server = data.serve();
    (0..20).for_each(|number| append(&server, &data, &mut oracle, &entry(number)));
    for round in 1..=3 {
        disk.fill_to(4 * MIB);
        let refused = post(&server, &data, b"no room").unwrap();
        let problem: Problem = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!((refused.status, problem.kind()), (507, Some(ProblemKind::DiskReserve)), "{problem:?}");
        assert_eq!(get(&server, "/readyz").status, 503);
        assert_eq!(get(&server, "/healthz").status, 200);
        let content = oracle.check(server.address(), &mut Random::new(1)).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(content.entries.len() as u64, 19 + round, "nothing came in below the reserve");
        disk.make_room();
        append(&server, &data, &mut oracle, &entry(100 + round));
        assert_eq!(get(&server, "/readyz").status, 200);
    }
    assert_eq!(server.stop().code, Some(0));
    data.assert_sound();
}

/// The reserve is 0, so that the disk really gets full in the middle of a commit.
#[test]
#[cfg_attr(not(can_mount), ignore = "a tmpfs can't be mounted here: that takes root")]
fn a_full_disk_ends_the_process_and_loses_nothing() {
    let disk = SmallDisk::mount();
    let data = Data::init(disk.path().join("data"));
    data.set_limit("disk_reserve_bytes", 0);
    let mut oracle = Oracle::new(&data.main);
    let mut random = Random::for_test("full disk");
    for _ in 0..2 {
        let mut server = data.serve();
        append(&server, &data, &mut oracle, &entry(random.number() % 1_000_000));
        disk.fill_to(64 * 1024 + random.below(256 * 1024) as u64);
        let mut tried = 0;
        let last = loop {
            tried += 1;
            assert!(tried < 300, "the disk does not get full");
            let batch: Vec<Vec<u8>> = (0..BATCH).map(|_| noise(&mut random)).collect();
            match post_batch(&server, &data, &batch) {
                Ok(answer) if answer.status == 200 => learn(&mut oracle, &batch, &answer),
                other => break other,
            }
        };
        if let Ok(answer) = &last {
            assert_eq!(answer.status, 503, "{}", answer.text());
        }
        let ended = server.ended();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("No space left"), "the fault did not fire: {ended:?}");
        disk.make_room();
        let server = data.serve();
        oracle.check(server.address(), &mut random).unwrap_or_else(|wrong| panic!("{wrong}"));
        append(&server, &data, &mut oracle, &entry(random.number() % 1_000_000));
        assert_eq!(server.stop().code, Some(0));
    }
    data.assert_sound();
}
