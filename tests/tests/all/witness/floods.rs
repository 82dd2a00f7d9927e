//! Floods: whatever others send, or don't, a log gets its cosignature, memory stays bounded, and the figures tell.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::own_witness::{WitnessData, add_checkpoint, growth};
use cairn_tests::server::PATIENCE;

use super::{Scene, log};

/// Bodies of this length, declared by so many connections, are more than the witness keeps in memory.
const DECLARED: usize = 128 << 10;
const IDLE: usize = 600;

fn figure(metrics: &Response, name: &str) -> f64 {
    metrics.figure(name).unwrap_or_else(|| panic!("no {name} in {}", metrics.text()))
}

#[test]
fn bodies_that_are_only_declared_shut_nobody_out() {
    let scene = Scene::set(40);
    let header = format!("POST /add-checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: {DECLARED}\r\n\r\nold ");
    let mut idle: Vec<TcpStream> = (0..IDLE)
        .map(|_| {
            let mut stream = TcpStream::connect(scene.server.address()).unwrap();
            stream.write_all(header.as_bytes()).unwrap();
            stream
        })
        .collect();
    let connected = || figure(&scene.get("/metrics"), "cairn_witness_connections") >= IDLE as f64;
    let begun = Instant::now();
    while !connected() {
        assert!(begun.elapsed() < PATIENCE, "the connections are not taken");
    }
    // While all of them wait: not refused, and not late.
    for size in 1..=20 {
        scene.data.verify(&scene.log.head(size), &scene.ask(&growth(&scene.log, size - 1, size)));
    }
    // None of them may wait for long.
    let mut said = String::new();
    let last = idle.last_mut().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    last.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 408") && said.contains("only 4 bytes came in in time"), "{said}");
    let late = || figure(&scene.get("/metrics"), "cairn_witness_add_checkpoint_total{status=\"408\"}");
    while late() < IDLE as f64 {
        assert!(begun.elapsed() < PATIENCE, "only {} of {IDLE} were let go", late());
    }
    assert_eq!(figure(&scene.get("/metrics"), "cairn_witness_add_checkpoint_total{status=\"200\"}"), 20.0);
}

#[test]
fn connections_past_the_limit_are_refused_and_counted_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = WitnessData::init(folder.path().join("witness"));
    let log = log("log.example/one", 1, 30);
    data.add(&log);
    let server = data.serve_with(&["--connections", "4"]);
    let mut known = Connection::open(server.address()).unwrap();
    data.verify(&log.head(1), &add_checkpoint(&mut known, &growth(&log, 0, 1)).unwrap());
    let mut holders: Vec<Connection> = Vec::new();
    for _ in 0..3 {
        let mut holder = Connection::open(server.address()).unwrap();
        assert_eq!(holder.ask(&Request::get("/healthz")).unwrap().status, 200);
        holders.push(holder);
    }
    for _ in 0..50 {
        let refused = Connection::open(server.address()).unwrap().ask(&Request::get("/healthz")).unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    }
    data.verify(&log.head(2), &add_checkpoint(&mut known, &growth(&log, 1, 2)).unwrap());
    let figures = known.ask(&Request::get("/metrics")).unwrap();
    assert_eq!(figure(&figures, "cairn_witness_connections_refused_total"), 50.0);
}

#[test]
fn requests_of_strangers_leave_nothing_behind() {
    let scene = Scene::set(3);
    let size = || std::fs::metadata(scene.data.path().join("heads.journal")).unwrap().len();
    let before = (size(), figure(&scene.get("/metrics"), "cairn_witness_commit_seconds_count"));
    let mut connection = scene.connect();
    for number in 0..500 {
        let stranger = log(&format!("stranger.example/{number}"), 7, 1);
        assert_eq!(add_checkpoint(&mut connection, &growth(&stranger, 0, 1)).unwrap().status, 404);
    }
    let impostor = log("log.example/one", 9, 3);
    for _ in 0..500 {
        assert_eq!(add_checkpoint(&mut connection, &growth(&impostor, 0, 3)).unwrap().status, 403);
    }
    let figures = scene.get("/metrics");
    assert_eq!((size(), figure(&figures, "cairn_witness_commit_seconds_count")), before, "nothing was written");
    assert_eq!(figure(&figures, "cairn_witness_logs"), 1.0);
    assert_eq!(figure(&figures, "cairn_witness_waiting"), 0.0);
    assert_eq!(figure(&figures, "cairn_witness_add_checkpoint_total{status=\"404\"}"), 500.0);
    assert_eq!(figure(&figures, "cairn_witness_add_checkpoint_total{status=\"403\"}"), 500.0);
    assert!(!figures.text().contains("stranger.example"), "what strangers name makes no figures");
    scene.data.verify(&scene.log.head(3), &scene.ask(&growth(&scene.log, 0, 3)));
}

#[test]
fn a_flood_for_one_log_keeps_no_other_from_its_cosignature() {
    let scene = Scene::set(2);
    let quiet = log("log.example/quiet", 2, 60);
    scene.data.add(&quiet);
    let (address, log) = (scene.server.address(), &scene.log);
    let done = std::sync::atomic::AtomicBool::new(false);
    let answered = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            let (done, answered) = (&done, &answered);
            scope.spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                // The same head again and again, each a commit with a new time or the answer of the one before.
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let answer = add_checkpoint(&mut connection, &growth(log, 0, 2)).unwrap();
                    assert!([200, 409, 503].contains(&answer.status), "{}", answer.text());
                    answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        let mut connection = scene.connect();
        let begun = Instant::now();
        for size in 1..=60 {
            let answer = add_checkpoint(&mut connection, &growth(&quiet, size - 1, size)).unwrap();
            scene.data.verify(&quiet.head(size), &answer);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(begun.elapsed() < PATIENCE + Duration::from_secs(1));
    });
    assert!(answered.into_inner() > 60, "there was no flood");
}
