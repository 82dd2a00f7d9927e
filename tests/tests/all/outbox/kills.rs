//! kill -9 of the process that delivers, of the server, and of both, at any moment: what was acknowledged is in the log
//! once, in order, and nothing is there that nobody added.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use cairn_tests::random::Random;
use serde_json::json;

use super::{Scene, Sidecar, record};

const ROUNDS: usize = 25;
const OBJECTS: usize = 4;

/// What one object's producer knows: the ids that were acknowledged, in order, and those that may be there.
#[derive(Default)]
struct Known {
    acked: Vec<String>,
    tried: HashSet<String>,
    number: u64,
}

impl Known {
    /// Adds records until the process is gone. Each has an id of its own, so that both know what was tried.
    fn work(&mut self, object: usize, sidecar: &Sidecar, random: &mut Random) {
        loop {
            let count = 1 + random.below(3);
            let records: Vec<_> = (0..count)
                .map(|_| {
                    self.number += 1;
                    let mut one = record(&object.to_string(), "note", &self.number.to_string());
                    let low = (object as u64) << 40 | self.number;
                    one["id"] = json!(format!("01939f5a-7c00-7a3b-8c4d-{low:012x}"));
                    one
                })
                .collect();
            let ids: Vec<String> = records.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
            self.tried.extend(ids.iter().cloned());
            match sidecar.add(&json!(records)) {
                Some(added) => assert_eq!(added, ids),
                None => return,
            }
            self.acked.extend(ids);
        }
    }
}

#[test]
fn kills_of_producer_and_server_lose_nothing_and_double_nothing() {
    let mut scene = Scene::set();
    let mut random = Random::for_test("outbox kills");
    let mut known: Vec<Known> = (0..OBJECTS).map(|_| Known::default()).collect();
    let mut server_kills = 0;
    for _ in 0..ROUNDS {
        if scene.server.is_none() {
            scene.start();
        }
        let sidecar = scene.sidecar(&[]);
        let moment = Duration::from_micros(5_000 + random.below(120_000) as u64);
        let with_server = random.one_in(2);
        std::thread::scope(|scope| {
            for (object, known) in known.iter_mut().enumerate() {
                let (mut random, sidecar) = (random.fork(), &sidecar);
                scope.spawn(move || known.work(object, sidecar, &mut random));
            }
            // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
            std::thread::sleep(moment);
            if with_server {
                server_kills += 1;
                scene.kill_server();
                std::thread::sleep(moment / 4);
            }
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&sidecar.child),
                rustix::process::Signal::KILL,
            )
            .unwrap();
        });
    }
    if scene.server.is_none() {
        scene.start();
    }
    let sidecar = scene.sidecar(&[]);
    sidecar.wait_until_empty();
    sidecar.terminate();
    let counts: BTreeMap<String, usize> = scene.counts().into_iter().collect();
    assert!(counts.values().all(|count| *count == 1), "a record is there twice");
    let mut acked = 0;
    for (object, known) in known.iter().enumerate() {
        let stream = scene.stream(&object.to_string());
        assert!(stream.iter().all(|id| known.tried.contains(id)), "a record that nobody added");
        // All of them were added in the order of their numbers, which is that of their ids.
        assert!(stream.is_sorted(), "the order of a stream is not that of the outbox");
        let there: HashSet<&String> = stream.iter().collect();
        let lost: Vec<_> = known.acked.iter().filter(|id| !there.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged and are lost");
        acked += known.acked.len();
    }
    println!(
        "{ROUNDS} kills, {server_kills} of them with the server; {acked} records acknowledged, {} there",
        counts.len()
    );
    assert!(acked > 2 * ROUNDS && server_kills > 0, "only {acked} were acknowledged");
}
