//! kill -9 with rounds in flight: no checkpoint ever shrinks, or contradicts a head or a cosignature.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::PATIENCE;
use cairn_tests::witness::Fault;
use cairn_tree::checkpoint::SignedCheckpoint;

use super::{ORIGIN, Scene, wait_for};

const KILLS: usize = 25;

#[test]
fn kills_with_rounds_in_flight_shrink_and_contradict_nothing() {
    let scene = Scene::new(3, 2);
    // One is asked and done while the quorum waits for another: about half of the time a round is under way.
    for slow in &scene.witnesses[1..] {
        slow.fault(Some(Fault::Slow(Duration::from_millis(8))));
    }
    let mut random = Random::for_test("witnesses");
    let mut oracle = Oracle::new(&scene.data.main);
    let (mut published, mut in_flight, mut appended) = (0, 0, 0);
    for _ in 0..KILLS {
        let server = scene.data.serve();
        let address = server.address();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // One appends as fast as it can, so that a round is under way at any time.
            let appending = scope.spawn(|| {
                let mut taken = 0_u32;
                while !stop.load(Ordering::SeqCst) {
                    let request = Request::post("/logs/main/add", taken.to_be_bytes())
                        .with("authorization", format!("Bearer {}", scene.data.token));
                    let Ok(answer) = Connection::open(address).map(|mut connection| connection.ask(&request)) else {
                        break;
                    };
                    taken += u32::from(answer.is_ok_and(|answer| answer.status == 200));
                }
                taken
            });
            let rounds = 1 + random.below(8);
            for _ in 0..rounds {
                published = advance(&scene, address, &mut oracle, published);
            }
            // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
            std::thread::sleep(Duration::from_micros(random.below(5_000) as u64));
            server.kill();
            stop.store(true, Ordering::SeqCst);
            appended += appending.join().unwrap();
        });
        // The witnesses are ahead of what was published: a round was cut off.
        let ahead = scene.witnesses.iter().filter(|witness| witness.confirmed(ORIGIN).unwrap_or(0) > published);
        in_flight += usize::from(ahead.count() > 0);
    }
    let server = scene.data.serve();
    wait_for(|| (scene.append(&server, "witnessed", b"at last").status == 200).then_some(()));
    assert!(in_flight > 0 && appended > 0, "no kill met a round");
    oracle.check(server.address(), &mut random).unwrap_or_else(|wrong| panic!("{wrong}"));
    println!("{KILLS} kills, {in_flight} of them met a round, {appended} entries appended, {published} published");
}

/// Waits for a checkpoint larger than `published`. All that is seen on the way is verified.
fn advance(scene: &Scene, address: std::net::SocketAddr, oracle: &mut Oracle, published: u64) -> u64 {
    let mut connection = Connection::open(address).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the checkpoint stays at {published}");
        let answer = connection.ask(&Request::get("/logs/main/checkpoint")).unwrap();
        let size = oracle.see_head(&answer.body).unwrap_or_else(|wrong| panic!("{wrong}")).size.get();
        assert!(size >= published, "the checkpoint fell from {published} to {size}");
        if size > published {
            let signed = SignedCheckpoint::parse(&answer.body).unwrap();
            scene.trust.verify(&signed).unwrap_or_else(|error| panic!("{error}: {signed}"));
            return size;
        }
    }
}
