//! Damage that is done to a database: bits that flip in its tables, where rows can be told by what they hold.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, PATIENCE, Server};

use crate::scene::{append, entry};

/// An entry so long that two bundles do not share a block of a table.
pub(crate) fn long(number: u64) -> Vec<u8> {
    let mut bytes = entry(number);
    let mut random = Random::new(number);
    bytes.extend((0..32).flat_map(|_| random.number().to_le_bytes()));
    bytes
}

/// An entry that no compression changes, so that it is found in a table.
pub(crate) fn marked(random: &mut Random) -> Vec<u8> {
    (0..16).flat_map(|_| random.number().to_le_bytes()).collect()
}

/// A database whose first 600 entries are in tables, and the mark of entry 300.
pub(crate) fn in_tables(folder: &tempfile::TempDir) -> (Data, Oracle, Vec<u8>) {
    let data = Data::init(folder.path().join("data"));
    data.set_limit("scrub_bytes_per_second", 1 << 30);
    data.set_limit("scrub_rest_seconds", 1);
    let (mut oracle, mut random) = (Oracle::new(&data.main), Random::for_test("scrub"));
    let mark = marked(&mut random);
    let server = data.serve();
    for number in 0..600 {
        let bytes = if number == 300 { mark.clone() } else { long(number) };
        append(&server, &data, &mut oracle, &bytes);
    }
    // The next start writes what it replays to tables.
    server.kill();
    (data, oracle, mark)
}

/// Flips one bit of a mark in every table that has it, in place, as a disk would; how many have it.
pub(crate) fn flip_in_tables(data: &Path, mark: &[u8]) -> usize {
    let mut flipped = 0;
    for file in fs::read_dir(data.join("db")).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "sst") {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        for at in bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark).map(|(at, _)| at) {
            let table = OpenOptions::new().write(true).open(&file).unwrap();
            table.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
            flipped += 1;
        }
    }
    flipped
}

pub(crate) fn get(server: &Server, target: &str) -> Response {
    Connection::open(server.address()).unwrap().ask(&Request::get(target)).unwrap()
}

pub(crate) fn figure(server: &Server, name: &str) -> f64 {
    let metrics = get(server, "/metrics");
    metrics.figure(name).unwrap_or_else(|| panic!("no {name} in {}", metrics.text()))
}

pub(crate) fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        // It is asked over HTTP; nothing tells when it changes.
        std::thread::sleep(Duration::from_millis(20));
    }
}
