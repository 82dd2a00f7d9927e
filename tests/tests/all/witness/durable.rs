//! kill -9 under load, lost power, damage: no head that was cosigned is ever forgotten.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cairn_tests::http::Connection;
use cairn_tests::lying::Model;
use cairn_tests::own_witness::{WitnessData, add_checkpoint, growth, request};
use cairn_tests::random::Random;
use cairn_tests::server::Ended;

use super::{Scene, log};

const KILLS: usize = 25;
const LOGS: usize = 4;
const SIZE: u64 = 3_000;

/// One log, and the largest head of it for which a cosignature was answered.
struct Watched {
    log: Model,
    cosigned: AtomicU64,
}

/// What the witness says is the newest size that it cosigned.
fn newest(connection: &mut Connection, log: &Model) -> u64 {
    // An old size that can't be right gets the right one; a log without any cosignature has size zero.
    let answer =
        add_checkpoint(connection, &request(SIZE, cairn_tests::own_witness::empty(), &log.head(SIZE))).unwrap();
    match answer.status {
        409 => answer.text().trim_end().parse().unwrap(),
        200 => SIZE,
        other => panic!("{other}: {}", answer.text()),
    }
}

#[test]
fn kills_under_load_forget_no_cosigned_head() {
    let folder = tempfile::tempdir().unwrap();
    let data = WitnessData::init(folder.path().join("witness"));
    let watched: Vec<Watched> = (0..LOGS)
        .map(|number| {
            let log = log(&format!("log.example/{number}"), number as u8 + 1, SIZE);
            data.add(&log);
            Watched { log, cosigned: AtomicU64::new(0) }
        })
        .collect();
    let mut random = Random::for_test("witness kill");
    let (mut answered, mut under_load) = (0, 0);
    for _ in 0..KILLS {
        let server = data.serve();
        let address = server.address();
        let stop = AtomicBool::new(false);
        let in_flight = AtomicU64::new(0);
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for one in &watched {
                let (stop, in_flight, count) = (&stop, &in_flight, &count);
                let mut random = random.fork();
                scope.spawn(move || {
                    let Ok(mut connection) = Connection::open(address) else { return };
                    let floor = one.cosigned.load(Ordering::SeqCst);
                    let Ok(known) = add_checkpoint(&mut connection, &growth(&one.log, 1, 1)) else { return };
                    let mut old: u64 = match known.status {
                        409 => known.text().trim_end().parse().unwrap(),
                        200 => 1,
                        other => panic!("{other}: {}", known.text()),
                    };
                    assert!(old >= floor, "{floor} was cosigned, and {old} is remembered");
                    while !stop.load(Ordering::SeqCst) {
                        let new = (old + random.below(3) as u64).clamp(1, SIZE);
                        in_flight.fetch_add(1, Ordering::SeqCst);
                        let answer = add_checkpoint(&mut connection, &growth(&one.log, old, new));
                        in_flight.fetch_sub(1, Ordering::SeqCst);
                        // Killed on the way: whether it was recorded is seen after the restart.
                        let Ok(answer) = answer else { return };
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        one.cosigned.fetch_max(new, Ordering::SeqCst);
                        count.fetch_add(1, Ordering::SeqCst);
                        old = new;
                    }
                });
            }
            // However busy the machine is, the witness is at work by then.
            let begun = std::time::Instant::now();
            while count.load(Ordering::SeqCst) == 0 && begun.elapsed() < cairn_tests::server::PATIENCE {
                std::thread::yield_now();
            }
            // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
            std::thread::sleep(Duration::from_micros(20_000 + random.below(60_000) as u64));
            under_load += usize::from(in_flight.load(Ordering::SeqCst) > 0);
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        answered += count.load(Ordering::SeqCst);
    }
    let server = data.serve();
    let mut connection = Connection::open(server.address()).unwrap();
    for one in &watched {
        let (cosigned, remembered) = (one.cosigned.load(Ordering::SeqCst), newest(&mut connection, &one.log));
        assert!(remembered >= cosigned, "{cosigned} was cosigned, and {remembered} is remembered");
    }
    println!("{KILLS} kills, {under_load} with requests in flight, {answered} answers");
    assert!(under_load >= KILLS / 2 && answered > KILLS as u64, "{under_load} kills hit a witness at work");
}

fn refused(data: &WitnessData) -> Ended {
    let mut starting = data.start(&[]);
    assert_eq!(starting.wait(), None, "a damaged witness serves");
    starting.ended()
}

#[test]
fn damage_and_what_does_not_belong_together_are_refused_with_a_reason() {
    let scene = Scene::set(9);
    scene.data.verify(&scene.log.head(9), &scene.ask(&growth(&scene.log, 0, 9)));
    let Scene { data, server, folder: _folder, .. } = scene;
    // Killed, so that the newest head stands in the journal only.
    server.kill();
    let (journal, keys) = (data.path().join("heads.journal"), data.path().join("keys"));
    let bytes = fs::read(&journal).unwrap();
    let mut damaged = bytes.clone();
    let place = bytes.windows(15).rposition(|window| window == b"log.example/one").unwrap();
    damaged[place] ^= 1;
    fs::write(&journal, &damaged).unwrap();
    let ended = refused(&data);
    assert!(ended.code == Some(1) && ended.stderr.contains("damaged"), "{ended:?}");
    fs::write(&journal, &bytes).unwrap();
    // A key that others may read, a missing key, another witness's key.
    use std::os::unix::fs::PermissionsExt as _;
    let key = keys.join("ed25519.skey");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&data).stderr.contains("others may read this key"));
    let own = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(refused(&data).stderr.contains("ed25519.skey"));
    let other = WitnessData::init(data.path().with_file_name("other"));
    fs::copy(other.path().join("keys/ed25519.skey"), &key).unwrap();
    assert!(refused(&data).stderr.contains("the state of the witness"));
    fs::remove_file(&key).unwrap();
    fs::write(&key, own).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    // Keys without state, state without keys.
    let away = data.path().with_file_name("away");
    fs::create_dir(&away).unwrap();
    for (names, reason) in [(&["heads.journal", "witness.redb"][..], "not its state"), (&["keys"], "not its keys")] {
        for name in names {
            fs::rename(data.path().join(name), away.join(name)).unwrap();
        }
        assert!(refused(&data).stderr.contains(reason));
        let ended = data.run(&["init", "--name", "witness.example/w1"]);
        assert!(ended.code == Some(2) && ended.stderr.contains("already"), "{ended:?}");
        for name in names {
            fs::rename(away.join(name), data.path().join(name)).unwrap();
        }
    }
    // Whole again, it remembers.
    let server = data.serve();
    let mut connection = Connection::open(server.address()).unwrap();
    let log = log("log.example/one", 1, 9);
    assert_eq!(add_checkpoint(&mut connection, &growth(&log, 0, 9)).unwrap().text(), "9\n");
}

#[test]
fn times_never_go_back_across_restarts() {
    let scene = Scene::set(3);
    let (log, mut last) = (scene.log.clone(), vec![0, 0]);
    let Scene { data, mut server, folder: _folder, .. } = scene;
    let times = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        let mut connection = Connection::open(server.address()).unwrap();
        let known = add_checkpoint(&mut connection, &growth(&log, 0, 3)).unwrap();
        let answer =
            if known.status == 200 { known } else { add_checkpoint(&mut connection, &growth(&log, 3, 3)).unwrap() };
        let now = data.verify(&log.head(3), &answer);
        assert!(now >= last, "{now:?} after {last:?}");
        times.lock().unwrap().push(now.clone());
        last = now;
        server.kill();
        server = data.serve();
    }
    assert!(last.iter().all(|time| *time > 0));
}
