//! `cairn load`: what it measures is in the names that scripts rely on.

use cairn_tests::command::cairn;
use cairn_tests::http::{Connection, Request};
use cairn_tests::lying::{Lie, LyingLog};
use cairn_tests::server::Data;
use serde_json::Value;

fn log() -> LyingLog {
    LyingLog::of_size(600)
}

fn measure(log: &LyingLog, mode: &str) -> Value {
    let url = log.url();
    let ran = cairn([
        "load",
        "--json",
        "--url",
        &url,
        "--mode",
        mode,
        "--connections",
        "3",
        "--duration",
        "100ms",
        "--batch",
        "20",
    ]);
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{ran:?}");
    ran.json().pop().unwrap()
}

#[test]
fn every_mode_reports_the_names_that_scripts_rely_on() {
    for (mode, entries_per_request) in [("single", 1), ("batch", 20), ("proof", 0), ("tile", 0)] {
        let measured = measure(&log(), mode);
        let names: Vec<&str> = measured.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected =
            ["mode", "requests", "entries", "errors", "seconds", "rate_per_s", "p50_ms", "p99_ms", "p999_ms"];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!((&measured["mode"], &measured["errors"]), (&mode.into(), &0.into()), "{measured}");
        let requests = measured["requests"].as_u64().unwrap();
        assert!(requests > 0, "{measured}");
        assert_eq!(measured["entries"], requests * entries_per_request, "{measured}");
        let percentiles = ["p50_ms", "p99_ms", "p999_ms"].map(|name| measured[name].as_f64().unwrap());
        assert!(percentiles.is_sorted() && percentiles[0] > 0.0, "{measured}");
        let seconds = measured["seconds"].as_f64().unwrap();
        assert!(seconds >= 0.1, "{measured}");
        // Each of three connections was waiting for an answer nearly all of the time.
        let mean = 3.0 * seconds * 1_000.0 / requests as f64;
        assert!(percentiles[2] > mean / 4.0 && percentiles[2] <= seconds * 1_000.0, "{measured}, mean {mean}");
    }
}

#[test]
fn appended_entries_are_all_different_and_of_the_right_size() {
    let log = log();
    let measured = measure(&log, "batch");
    let appended = measured["entries"].as_u64().unwrap();
    log.change(|model| {
        let indexes = (600..model.size()).map(|index| cairn_tree::size::LeafIndex::new(index).unwrap());
        let entries: std::collections::HashSet<Vec<u8>> =
            indexes.map(|index| model.entry(index).unwrap().to_vec()).collect();
        assert_eq!(entries.len() as u64, appended);
        assert!(entries.iter().all(|entry| entry.len() == 300));
    });
}

/// The records of every batch are in the log, each of a tenant and an object, and found by both.
#[test]
fn batches_of_records_are_appended_as_records() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let server = data.serve();
    let url = format!("http://{}", server.address());
    let sent = ["--mode", "records", "--connections", "2", "--duration", "200ms", "--batch", "30"];
    let ran = cairn(["load", "--json", "--url", &url, "--token", &data.token].into_iter().chain(sent));
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{ran:?}");
    let measured = ran.json().pop().unwrap();
    let (requests, entries) = (measured["requests"].as_u64().unwrap(), measured["entries"].as_u64().unwrap());
    assert!(requests > 0 && entries == requests * 30 && measured["errors"] == 0, "{measured}");
    let ask = |query: &str| {
        let request = Request::get(format!("/v1/records?{query}"));
        let request = request.with("authorization", format!("Bearer {}", data.auditor));
        let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let newest = &ask("tenant=pb.amritsar&module=tradelicense&limit=1")["records"][0];
    assert_eq!(newest["integrity"]["index"].as_u64(), Some(entries - 1), "{newest}");
    let object = ask("tenant=pb.amritsar&object=PB-TL-2026-000000&limit=5");
    // Either connection may have been first.
    let index = object["records"][0]["integrity"]["index"].as_u64().unwrap();
    assert!(object["records"].as_array().unwrap().len() == 1 && index.is_multiple_of(30), "{object}");
}

#[test]
fn no_time_at_all_is_refused_before_anything_is_asked() {
    let ran = cairn(["load", "--url", "http://127.0.0.1:1/logs/main", "--duration", "0s"]);
    assert_eq!((ran.code, &*ran.stdout), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("'0s'") && ran.stderr.contains("must be longer than nothing"), "{ran:?}");
}

#[test]
fn answers_of_the_wrong_shape_are_errors() {
    let log = log();
    log.lie("tile/", Lie::Cut(1));
    let ran = cairn(["load", "--url", &log.url(), "--mode", "tile", "--connections", "1", "--duration", "500ms"]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("an answer of 8191 bytes has the wrong shape"), "{ran:?}");
}
