//! Damage beneath a running server: it is found, named and told everywhere, the log stops signing, and good reads go on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::Oracle;
use cairn_tests::server::{Data, Server, cairnd};

use crate::damage::{figure, flip_in_tables, get, in_tables, long, wait_for};
use crate::scene::{append, entry};

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
    assert!(flip_in_tables(data.path(), &mark) > 0, "the fault did not fire");
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

/// Past the first bad place everything is looked at: both bundles are named, and both blocks of the tables.
#[test]
fn two_blocks_that_are_bad_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _, mark) = in_tables(&folder);
    assert_eq!(data.serve().stop().code, Some(0));
    let long = long(20);
    let other = long.get(long.len() - 100..).unwrap();
    assert!(flip_in_tables(data.path(), &mark) > 0 && flip_in_tables(data.path(), other) > 0, "no fault fired");
    let bundles = ["bundle 0 (entries 0 to 255)", "bundle 1 (entries 256 to 511)"];
    let are_named = |line: &serde_json::Value| {
        let places: Vec<&str> = line["places"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        let is_named = |bundle: &&str| places.iter().any(|place| place.starts_with(bundle));
        assert!(places.len() == 2 && bundles.iter().all(is_named), "{line}");
    };
    let fsck = |more: &[&str]| {
        let ended = cairnd(data.path(), &[&["fsck"], more].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended.stdout
    };
    let lines: Vec<serde_json::Value> =
        fsck(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    are_named(&lines[0]);
    let database = lines.last().unwrap();
    let mut blocks: Vec<&str> =
        database["places"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    blocks.sort_unstable();
    blocks.dedup();
    assert!(database["log"] == "(database)" && blocks.len() >= 2, "{database}");
    let told = fsck(&[]);
    assert!(bundles.iter().all(|bundle| told.contains(&format!("\n  {bundle}: "))), "{told}");

    let server = data.serve();
    let tables = || incidents(&data).1.into_iter().filter(|one| one["kind"] == "tables").collect::<Vec<_>>();
    wait_for("a pass", || figure(&server, "cairn_scrub_passes_total") >= 1.0);
    assert_eq!(tables().len(), blocks.len(), "{:?}", tables());
    are_named(&serde_json::from_str(fsck(&["--json"]).lines().next().unwrap()).unwrap());
    assert_eq!(server.stop().code, Some(0));
    // What was told once is not told again after a restart.
    let server = data.serve();
    wait_for("another pass", || figure(&server, "cairn_scrub_passes_total") >= 1.0);
    assert_eq!(tables().len(), blocks.len(), "{:?}", tables());
    assert_eq!(server.stop().code, Some(0));
}

/// What nobody has read since: a check beside the server looks at the files, and at all that is in them, as one without it.
#[test]
fn a_check_beside_a_server_reads_every_table_and_not_what_is_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _, mark) = in_tables(&folder);
    data.set_limit("scrub_bytes_per_second", 0);
    let server = data.serve();
    let sound = cairnd(data.path(), &["fsck"]);
    assert_eq!((sound.code, &*sound.stdout), (Some(0), "main: sound, 600 entries\n"));
    assert!(sound.stderr.contains("postings were read, and not compared"), "{sound:?}");
    assert_eq!(get(&server, "/logs/main/entries/300").body, mark);
    assert!(flip_in_tables(data.path(), &mark) > 0, "the fault did not fire");
    assert_eq!(get(&server, "/logs/main/entries/300").body, mark, "it is in memory");
    let beside = cairnd(data.path(), &["fsck", "--json"]);
    assert_eq!(server.stop().code, Some(0));
    let without = cairnd(data.path(), &["fsck", "--json"]);
    assert!(!without.stderr.contains("not compared"), "{without:?}");
    let lines = |ended: &cairn_tests::server::Ended| -> Vec<serde_json::Value> {
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (found, later) = (lines(&beside), lines(&without));
    assert_eq!((beside.code, without.code, found.len()), (Some(1), Some(1), 2), "{beside:?} {without:?}");
    assert!(found[0]["places"][0].as_str().unwrap().starts_with("bundle 1 (entries 256 to 511)"), "{found:?}");
    assert!(found[1]["log"] == "(database)" && found[1]["problem"].as_str().unwrap().contains(".sst"), "{found:?}");
    assert_eq!(found, later);
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
    // It says where it is: at the end of the only full bundle, whose bytes take it a while.
    let position = || get(&server, "/metrics").figure("cairn_scrub_position{log=\"main\"}");
    wait_for("its position", || position() == Some(256.0));
    assert_eq!(figure(&server, "cairn_scrub_entries_total"), 256.0);
    let lag = figure(&server, "cairn_scrub_lag_seconds");
    wait_for("a lag that grows until a pass is whole", || figure(&server, "cairn_scrub_lag_seconds") > lag);
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
