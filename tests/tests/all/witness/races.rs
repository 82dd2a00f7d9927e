//! Many ask at once: whatever their order, what is cosigned for a log never gets smaller, and is one history.

use std::sync::{Barrier, Mutex};

use cairn_tests::http::Connection;
use cairn_tests::own_witness::{add_checkpoint, growth};
use cairn_tests::random::Random;

use super::{Scene, log};

const SIZE: u64 = 400;
const HANDS: usize = 16;
const REQUESTS: usize = 60;

#[test]
fn racing_requests_never_roll_a_log_back() {
    let scene = Scene::set(SIZE);
    let (data, address) = (&scene.data, scene.server.address());
    let second = log("log.example/two", 2, SIZE);
    scene.data.add(&second);
    let logs = [scene.log.clone(), second];
    // The sizes in the order in which requests were answered; those of one hand are in order for certain.
    let seen = Mutex::new([0u64; 2]);
    let start = Barrier::new(HANDS);
    let mut random = Random::for_test("witness races");
    let randoms: Vec<Random> = (0..HANDS).map(|_| random.fork()).collect();
    let cosigned: usize = std::thread::scope(|scope| {
        let hands: Vec<_> = randoms
            .into_iter()
            .map(|mut random| {
                let (logs, seen, start) = (&logs, &seen, &start);
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    let mut cosigned = 0;
                    start.wait();
                    for _ in 0..REQUESTS {
                        let which = random.below(2);
                        let log = &logs[which];
                        // Before asking: nothing that is cosigned from here on may be smaller.
                        let floor = seen.lock().unwrap()[which];
                        let old = if random.one_in(4) { random.below(SIZE as usize) as u64 } else { floor };
                        let new = (old + random.below(6) as u64).clamp(1, SIZE);
                        let answer = add_checkpoint(&mut connection, &growth(log, old, new)).unwrap();
                        match answer.status {
                            200 => {
                                assert!(new >= floor, "cosigned {new} after {floor} was answered");
                                data.verify(&log.head(new), &answer);
                                let mut seen = seen.lock().unwrap();
                                seen[which] = seen[which].max(new);
                                cosigned += 1;
                            }
                            409 => {
                                let size: u64 = answer.text().trim_end().parse().unwrap();
                                assert!(size >= floor, "it says {size} after it answered {floor}");
                                let mut seen = seen.lock().unwrap();
                                seen[which] = seen[which].max(size);
                            }
                            other => panic!("{other}: {}", answer.text()),
                        }
                    }
                    cosigned
                })
            })
            .collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).sum()
    });
    assert!(cosigned > HANDS, "only {cosigned} requests were cosigned");
    println!("{cosigned} of {} requests were cosigned, up to {:?}", HANDS * REQUESTS, seen.into_inner().unwrap());
}

#[test]
fn of_two_that_contradict_each_other_only_one_is_ever_cosigned() {
    for round in 0..20u8 {
        let scene = Scene::set(8);
        let mut fork = scene.log.cut(7);
        fork.grow(9, "fork");
        let mut main = scene.log.cut(8);
        main.grow(9, "entry");
        let (start, address) = (Barrier::new(2), scene.server.address());
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let ask = |body: String| {
                let start = &start;
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    start.wait();
                    add_checkpoint(&mut connection, &body).unwrap().status
                })
            };
            let hands = [ask(growth(&main, 0, 9)), ask(growth(&fork, 0, 9))];
            hands.map(|hand| hand.join().unwrap()).to_vec()
        });
        let mut sorted = statuses.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [200, 409], "round {round}");
    }
}
