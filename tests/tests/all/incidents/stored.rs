//! Incidents of what is stored: bits, rows, disks, syncs, keys and copies.

use std::time::Duration;

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::{Oracle, Wrong};
use cairn_tests::preload::{Calls, Class, Deed, Disk};
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Server, Starting, run};
use cairn_tree::store::{Kind, TileLevel};
use cairn_tree::wire::problem::{Problem, ProblemKind};

use super::{Grown, flip_middle, replace};
use crate::disk::SmallDisk;
use crate::scene::{append, entry};

const LEAVES: Kind = Kind::Tile(TileLevel::LEAVES);

/// CT Yeti 2022 and Nessie 2024: one flipped bit in a stored leaf hash, over which a head was signed. Here the hashes are
/// computed again before anything is signed, wherever the bit stands.
#[test]
fn yeti_2022_and_nessie_2024_a_flipped_bit_in_a_stored_leaf() {
    for (kind, number, size) in [(LEAVES, 0, 300), (Kind::Piece, 256, 300)] {
        let mut grown = Grown::to(256);
        grown.grow(256..size);
        grown.edit(kind, number, flip_middle);
        grown.is_not_sound();
        let refused = grown.data.try_serve().err().expect("no head is signed over it");
        assert_eq!(refused.code, Some(1), "{refused:?}");
        // The bit back in its place, all is well: nothing was signed or written over it meanwhile.
        grown.edit(kind, number, flip_middle);
        let server = grown.data.serve();
        grown.check(&server);
        append(&server, &grown.data, &mut grown.oracle, &entry(size));
        grown.check(&server);
    }
}

/// TrustAsia 2021: two heads that do not extend each other. Entries that fit no earlier head are not signed under it.
#[test]
fn trust_asia_2021_a_head_that_does_not_extend_the_last_one() {
    for (further, words) in [(10, "was changed"), (30, "older than the database")] {
        let mut grown = Grown::to(20);
        let fork = grown.copy_to("fork");
        grown.grow(20..30);
        // The same log, grown by another machine from the same copy: as far as this one, and further.
        let other = Data::at(fork.clone(), &grown.data);
        let mut forked = Oracle::new(&other.main);
        let server = other.serve();
        (100..100 + further).for_each(|number| append(&server, &other, &mut forked, &entry(number)));
        assert_eq!(server.stop().code, Some(0));
        replace("db", &fork, grown.data.path());
        grown.refuses(words);
    }
}

/// Izenpe 2016: one key in production and in a test, and so two trees under it.
#[test]
fn izenpe_2016_one_key_in_production_and_in_a_test() {
    let production = Grown::to(5);
    let test = Grown::to(3);
    let own = test.copy_to("own");
    replace("keys/main.skey", production.data.path(), test.data.path());
    test.refuses("key");
    // Nor with everything of it but the database, nor as a new database of that name.
    replace("keys/main.skey", &own, test.data.path());
    replace("high-water", production.data.path(), test.data.path());
    test.refuses("belongs to database");
    let before = std::fs::read(production.data.path().join("keys/main.skey")).unwrap();
    let ended = cairn_tests::server::cairnd(production.data.path(), &["init"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(std::fs::read(production.data.path().join("keys/main.skey")).unwrap(), before);
}

/// Mammoth 2024h1: a full disk, and promises that were never kept. What is acknowledged is in the tree at that moment, and
/// below the reserve nothing is promised.
#[test]
#[cfg_attr(not(can_mount), ignore = "a tmpfs can't be mounted here: that takes root")]
fn mammoth_2024_a_full_disk() {
    const MIB: u64 = 1 << 20;
    let disk = SmallDisk::mount();
    let data = Data::init(disk.path().join("data"));
    data.set_limit("disk_reserve_bytes", 8 * MIB);
    let mut oracle = Oracle::new(&data.main);
    let server = data.serve();
    for number in 0..30 {
        if number == 15 {
            disk.fill_to(4 * MIB);
            let request = Request::post("/logs/main/entries", b"no room").with("authorization", bearer(&data));
            let refused = Connection::open(server.address()).unwrap().ask(&request).unwrap();
            let problem: Problem = serde_json::from_slice(&refused.body).unwrap();
            assert_eq!((refused.status, problem.kind()), (507, Some(ProblemKind::DiskReserve)), "{problem:?}");
            disk.make_room();
        }
        append(&server, &data, &mut oracle, &entry(number));
        // Nobody has to notice hours later: it is under a head now.
        oracle.check_every_entry(server.address()).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    assert_eq!(server.stop().code, Some(0));
    data.assert_sound();
}

fn bearer(data: &Data) -> String {
    format!("Bearer {}", data.token)
}

/// Oak 2022: a migration dropped rows, and wrong entries were served. A log that lacks rows answers errors
/// where they were, and is halted if its head stands on them; fsck names it before it may sign.
#[test]
fn oak_2022_a_migration_that_dropped_rows() {
    for (kind, number) in [(Kind::Bundle, 0), (LEAVES, 0), (LEAVES, 1), (Kind::Piece, 512)] {
        let mut grown = Grown::to(512);
        grown.grow(512..530);
        grown.edit(kind, number, |_| None);
        grown.is_not_sound();
        let server = grown.data.serve();
        if kind != Kind::Bundle {
            // Rows that its head stands on: the log is halted at the start, and no head of its is signed any more.
            let request = Request::post("/logs/main/entries", "x").with("authorization", bearer(&grown.data));
            let refused = Connection::open(server.address()).unwrap().ask(&request).unwrap();
            assert!(refused.status == 503 && refused.text().contains("log-halted"), "{}", refused.text());
        }
        let wrong = grown.oracle.check(server.address(), &mut Random::new(1)).unwrap_err();
        assert_eq!(wrong.wrong(), Wrong::Unreadable, "{wrong}");
        let entry = if kind == Kind::Piece { number } else { 256 * number + 7 };
        let target = format!("/logs/main/entries/{entry}");
        let request = Request::get(target).with("accept", "application/json");
        let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
        assert_eq!(answer.status, 500, "{}", answer.text());
    }
}

/// Raio 2025h2: after a fatal error it went on with what it had in memory. A failed sync ends the process, a failure in the
/// recovery ends it again, and the next start has everything.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn raio_2025_a_fatal_error_and_a_failure_in_the_recovery() {
    let mut grown = Grown::to(10);
    for (class, ahead) in [(Class::SyncData, 1), (Class::SyncData, 2), (Class::WriteAt, 1)] {
        let control = grown.folder.path().join("calls");
        let calls = Calls::new(grown.data.path(), &control, (class, Deed::Fail("EIO"))).unwrap();
        let mut server = Server::ready(start(&grown.data, &calls.environment(&[])));
        grown.check(&server);
        calls.arm_ahead(ahead, 0).unwrap();
        let request = Request::post("/logs/main/entries", b"in doubt").with("authorization", bearer(&grown.data));
        let answer = Connection::open(server.address()).unwrap().ask(&request);
        assert!(answer.is_err_and(|_| true) || calls.fired().unwrap() > 0, "the fault did not fire");
        let ended = server.ended();
        assert_eq!((ended.code, calls.fired().unwrap()), (Some(1), 1), "{ended:?}");
        // The recovery fails as well, at each of its first writes.
        let mut failed = 0;
        for at in 1..6 {
            let calls = Calls::new(grown.data.path(), &control, (Class::Write, Deed::Fail("EIO"))).unwrap();
            calls.arm(at, 0).unwrap();
            let mut starting = start(&grown.data, &calls.environment(&[]));
            if starting.wait().is_none() {
                let ended = starting.ended();
                assert!(ended.code == Some(1) && calls.fired().unwrap() == 1, "{ended:?}");
                failed += 1;
            }
        }
        assert!(failed >= 3, "only {failed} recoveries failed");
        let server = grown.data.serve();
        grown.check(&server);
    }
    grown.data.assert_sound();
}

fn start(data: &Data, environment: &[(&'static str, std::path::PathBuf)]) -> Starting {
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
    Starting::on(data.path(), &environment)
}

/// immudb #2063: the auditor said "consistent" after a stored value was edited. Ours reads the bytes and hashes them.
#[test]
fn immudb_2063_a_stored_value_was_edited() {
    let mut grown = Grown::to(512);
    grown.grow(512..520);
    // The last byte of the bundle's last entry; every checksum of the engine is right.
    grown.edit(Kind::Bundle, 1, |mut row| {
        let last = row.len() - 1;
        row[last] ^= 1;
        Some(row)
    });
    grown.is_not_sound();
    let server = grown.data.serve();
    let audit = |command: &str, further: &[&str]| {
        let mut cairn = std::process::Command::new(cairn_tests::server::program("cairn"));
        cairn.args([command, "--json", "--url", &server.log_url("main"), "--key", &grown.data.main.vkey]).args(further);
        run(&mut cairn)
    };
    let audited = audit("fsck", &[]);
    assert!(audited.code == Some(1) && audited.stdout.contains("tile/entries/001"), "{audited:?}");
    let state = grown.folder.path().join("watch.json");
    let watched = audit("watch", &["--once", "--stale-after", "1s", "--state", state.to_str().unwrap()]);
    assert_ne!(watched.code, Some(0), "a first look over edited entries: {watched:?}");
}

/// etcd #14370: acknowledged before the sync. The power fails in the moment of an answer, and the entry is there.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn etcd_14370_power_fails_right_after_an_answer() {
    let mut grown = Grown::to(1);
    let disk = Disk::new(grown.data.path(), grown.folder.path().join("disk"));
    let mut forgotten = 0;
    for round in 0..15 {
        let environment = on_disk(&disk, "DISK_DELAY", "2000");
        let server = Server::ready(start(&grown.data, &environment));
        append(&server, &grown.data, &mut grown.oracle, &entry(round + 1));
        // Something unsynced at the same time, so that the disk has what to forget.
        let request =
            Request::post("/logs/main/entries", entry(1_000 + round)).with("authorization", bearer(&grown.data));
        let address = server.address();
        let other = std::thread::spawn(move || Connection::open(address).map(|mut open| drop(open.ask(&request))));
        std::thread::sleep(Duration::from_micros(150 * round));
        server.kill();
        // It may have got no connection any more.
        let _ = other.join().unwrap();
        forgotten += disk.power_fails(None).unwrap().files.len();
        let server = grown.data.serve();
        grown.check(&server);
    }
    assert!(forgotten > 0, "the disk never forgot anything");
    // The rounds above could have failed: a disk that only says that it has synced forgets what was acknowledged.
    let server = Server::ready(start(&grown.data, &on_disk(&disk, "DISK_LIES", ".log")));
    for number in 2_000..2_003 {
        append(&server, &grown.data, &mut grown.oracle, &entry(number));
    }
    server.kill();
    assert!(disk.power_fails(None).unwrap().files.iter().any(|file| file.ends_with(".log")));
    grown.refuses("the database is behind");
}

fn on_disk(disk: &Disk, variable: &'static str, value: &str) -> Vec<(&'static str, std::path::PathBuf)> {
    let mut environment = disk.environment();
    environment.push(("LD_PRELOAD", Disk::library()));
    environment.push((variable, value.into()));
    environment
}
