//! Damage beneath a running server: it is found, named and told everywhere, the log stops signing, and good reads go on.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, PATIENCE, Server, cairnd};

use crate::scene::{append, entry};

/// An entry so long that two bundles do not share a block of a table.
fn long(number: u64) -> Vec<u8> {
    let mut bytes = entry(number);
    let mut random = Random::new(number);
    bytes.extend((0..32).flat_map(|_| random.number().to_le_bytes()));
    bytes
}

/// An entry that no compression changes, so that it is found in a table.
fn marked(random: &mut Random) -> Vec<u8> {
    (0..16).flat_map(|_| random.number().to_le_bytes()).collect()
}

fn get(server: &Server, target: &str) -> Response {
    Connection::open(server.address()).unwrap().ask(&Request::get(target)).unwrap()
}

fn figure(server: &Server, name: &str) -> f64 {
    let metrics = get(server, "/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        // It is asked over HTTP; nothing tells when it changes.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A database whose first 600 entries are in tables, and the mark of entry 300.
fn in_tables(folder: &tempfile::TempDir) -> (Data, Oracle, Vec<u8>) {
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
fn flip_in_tables(data: &Data, mark: &[u8]) -> usize {
    let mut flipped = 0;
    for file in fs::read_dir(data.path().join("db")).unwrap().map(|file| file.unwrap().path()) {
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

fn incidents(data: &Data) -> (PathBuf, Vec<serde_json::Value>) {
    let path = data.path().join("incidents.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_default();
    (path, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_bit_that_flips_in_a_table_is_found_told_and_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let (data, oracle, mark) = in_tables(&folder);
    let server = data.serve();
    let other = data.create_log("other", &[]);
    wait_for("a pass over what is sound", || figure(&server, "cairn_scrub_passes_total") >= 1.0);
    assert_eq!(figure(&server, "cairn_scrub_findings_total"), 0.0);
    // It is in the caches by now, which must not matter.
    assert_eq!(get(&server, "/logs/main/entries/300").body, mark);
    assert!(flip_in_tables(&data, &mark) > 0, "the fault did not fire");
    wait_for("the finding", || figure(&server, "cairn_scrub_findings_total") >= 1.0);
    wait_for("the halt", || get(&server, "/readyz").text().contains("log main: halted"));
    let ready = get(&server, "/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("log main: damaged in"), "{}", ready.text());
    assert!(ready.text().contains("bundle 1 (entries 256 to 511)"), "{}", ready.text());
    let check = |server: &Server| {
        for target in ["entries/300", "tile/entries/001", "entries?start=256&end=300"] {
            let answer = get(server, &format!("/logs/main/{target}"));
            assert_eq!(answer.status, 500, "{target}: {}", answer.text());
            assert!(answer.text().contains("urn:cairn:problem:damaged"), "{}", answer.text());
        }
        for number in [0, 255, 512, 599] {
            assert_eq!(get(server, &format!("/logs/main/entries/{number}")).body, long(number));
        }
        let request = Request::post("/logs/main/entries", "x").with("authorization", format!("Bearer {}", data.token));
        let refused = Connection::open(server.address()).unwrap().ask(&request).unwrap();
        assert!(refused.status == 503 && refused.text().contains("log-halted"), "{}", refused.text());
        append(server, &data, &mut Oracle::new(&other), &entry(0));
    };
    check(&server);
    let (path, told) = incidents(&data);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let one = told.iter().find(|one| one["kind"] == "bundle").unwrap();
    assert_eq!(
        (&one["log"], &one["place"], &one["first"], &one["end"]),
        (&"main".into(), &1.into(), &256.into(), &512.into())
    );
    assert!(one["expected"].is_string() && one["found"].as_str().unwrap().contains("checksum"), "{one}");
    assert!(server.stderr().contains("the scrubber found damage"));
    let lag = figure(&server, "cairn_scrub_lag_seconds");
    assert!((0.0..60.0).contains(&lag), "{lag}");
    assert_eq!(server.stop().code, Some(0));
    // For good, until it is mended.
    let server = data.serve();
    check(&server);
    assert_eq!(server.stop().code, Some(0));
    let ended = cairnd(data.path(), &["fsck"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    drop(oracle);
}

/// The rate is kept, and the position: a restart does not begin again with what is read already.
#[test]
fn a_slow_scrubber_goes_on_after_a_restart_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let mut oracle = Oracle::new(&data.main);
    let server = data.serve();
    (0..300).for_each(|number| append(&server, &data, &mut oracle, &entry(number)));
    assert_eq!(server.stop().code, Some(0));
    data.set_limit("scrub_bytes_per_second", 1_000);
    data.set_limit("scrub_rest_seconds", 1);
    let server = data.serve();
    wait_for("some of it", || figure(&server, "cairn_scrub_bytes_total") > 0.0);
    assert_eq!(server.stop().code, Some(0), "a stop does not wait for the scrubber's rate");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(data.path().join("scrub.json")).unwrap()).unwrap();
    assert!(kept["bundle"].as_u64().unwrap() > 0 || kept["log"].as_u64().unwrap() > 1, "{kept}");
    assert!(kept["begun_ms"].as_u64().unwrap() > 0, "{kept}");
    let server = data.serve();
    assert_eq!(figure(&server, "cairn_scrub_passes_total"), 0.0);
    assert_eq!(server.stop().code, Some(0));
    let after: serde_json::Value = serde_json::from_slice(&fs::read(data.path().join("scrub.json")).unwrap()).unwrap();
    assert_eq!(after["begun_ms"], kept["begun_ms"], "it began anew");
}
