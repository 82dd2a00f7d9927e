//! A machine whose power fails, or whose disk does: what was acknowledged is delivered all the same, and nothing that was
//! cut short keeps the outbox from being opened.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cairn::outbox::{SocketReply, SocketRequest};
use cairn_tests::preload::Disk;
use cairn_tests::random::Random;
use serde_json::json;

use super::{Scene, Sidecar, record};

const FAILURES: usize = 30;
/// How long it goes on at the most where too little happened in those.
const LONGER: Duration = Duration::from_secs(120);

fn disk(scene: &Scene) -> Disk {
    Disk::new(&scene.outbox(), scene.folder.path().join("disk"))
}

/// Starts the process that delivers on such a disk; `faults` are what `disk.c` says they are.
fn start(scene: &Scene, faults: &[(&'static str, &str)]) -> Result<Sidecar, (Option<i32>, String)> {
    let mut environment = vec![("LD_PRELOAD", Disk::library()), ("DISK_DELAY", PathBuf::from("300"))];
    environment.extend(disk(scene).environment());
    environment.extend(faults.iter().map(|(name, value)| (*name, PathBuf::from(value))));
    Sidecar::start(&scene.outbox(), &scene.target(), &[], &environment)
}

/// Adds records of one object until the process is gone or says that it can't; those that were acknowledged.
fn work(object: usize, sidecar: &Sidecar, first: &mut u64) -> Vec<String> {
    let mut acked = Vec::new();
    loop {
        *first += 1;
        let mut one = record(&object.to_string(), "note", &first.to_string());
        let low = (object as u64) << 40 | *first;
        one["id"] = json!(format!("01939f5a-7c00-7a3b-8c4d-{low:012x}"));
        match sidecar.ask(&SocketRequest::Add { records: one.to_string() }) {
            Some(SocketReply::Added { ids, .. }) => acked.extend(ids),
            Some(SocketReply::Failed(words)) => {
                assert!(words.contains("must be opened again"), "{words}");
                return acked;
            }
            None => return acked,
            other => panic!("{other:?}"),
        }
    }
}

fn check(scene: &mut Scene, acked: &HashSet<String>) {
    if scene.server.is_none() {
        scene.start();
    }
    scene.deliver();
    let counts = scene.counts();
    assert!(counts.values().all(|count| *count == 1), "a record is there twice");
    let lost: Vec<_> = acked.iter().filter(|id| !counts.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged and are lost");
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn power_failures_lose_nothing_that_was_acknowledged() {
    let mut scene = Scene::set();
    let mut random = Random::for_test("outbox power");
    let (mut acked, mut numbers, mut forgot, mut torn) = (HashSet::new(), [0; 3], 0, 0);
    scene.add(&record("0", "create", "the first"));
    // On a busy machine little happens before the power fails: then it fails more often.
    let (begun, mut failure) = (Instant::now(), 0);
    let little = |forgot: usize, acked: usize| forgot <= FAILURES / 4 || acked <= FAILURES;
    while failure < FAILURES || (little(forgot, acked.len()) && begun.elapsed() < LONGER) {
        // Sometimes nobody takes anything, so that much waits; sometimes it does, so that segments go.
        if failure % 3 == 0 {
            if scene.server.is_some() { scene.stop() } else { scene.start() }
        }
        let faults: &[(&str, &str)] = if failure % 2 == 0 { &[("DISK_EARLY", "1")] } else { &[] };
        let sidecar = start(&scene, faults).unwrap_or_else(|ended| panic!("{ended:?}"));
        let moment = Duration::from_micros(2_000 + random.below(60_000) as u64);
        std::thread::scope(|scope| {
            let works: Vec<_> = numbers
                .iter_mut()
                .enumerate()
                .map(|(object, number)| {
                    let sidecar = &sidecar;
                    scope.spawn(move || work(object, sidecar, number))
                })
                .collect();
            // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
            std::thread::sleep(moment);
            let process = rustix::process::Pid::from_child(&sidecar.child);
            rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
            works.into_iter().for_each(|work| acked.extend(work.join().unwrap()));
        });
        drop(sidecar);
        let forgotten = disk(&scene).power_fails(Some(&mut random)).unwrap();
        forgot += usize::from(!forgotten.files.is_empty());
        torn += forgotten.torn;
        failure += 1;
    }
    check(&mut scene, &acked);
    println!("{failure} power failures, {forgot} forgot something, {torn} files torn; {} acknowledged", acked.len());
    assert!(!little(forgot, acked.len()), "{forgot} forgot anything, {} acknowledged", acked.len());
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn a_failed_sync_ends_the_process_and_loses_nothing() {
    let mut scene = Scene::set();
    let mut random = Random::for_test("outbox failed sync");
    let (mut acked, mut number, mut at_work) = (HashSet::new(), 0, 0);
    scene.add(&record("0", "create", "the first"));
    for failure in 0..8 {
        let at = if failure == 0 { 1 } else { 1 + random.below(40) };
        let ended = match start(&scene, &[("DISK_FAILS", &at.to_string())]) {
            Err(ended) => ended,
            Ok(mut sidecar) => {
                at_work += 1;
                acked.extend(work(0, &sidecar, &mut number));
                sidecar.ended()
            }
        };
        assert!(ended.1.contains("disk.c: sync"), "the fault did not fire: {ended:?}");
        assert!(ended.0 == Some(1) && !ended.1.contains("panicked"), "{ended:?}");
        disk(&scene).power_fails(None).unwrap();
    }
    check(&mut scene, &acked);
    assert!(at_work > 4 && !acked.is_empty(), "{at_work} were at work, {} acknowledged", acked.len());
}
