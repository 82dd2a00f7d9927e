//! A first reading takes long: whoever is killed within it goes on where the file says.

use std::fs;
use std::time::Duration;

use cairn_tests::lying::Lie;
use cairn_tests::random::Random;

use super::{Scene, VERIFIED};

/// More than one round reads.
const SIZE: u64 = 60_000;
/// What the first round reads.
const FIRST: u64 = cairn::bounds::FIRST_ROUND_ENTRIES;

/// The numbers of the bundles that were asked for since a moment.
fn bundles(scene: &Scene, since: usize) -> Vec<u64> {
    let number = |request: &String| {
        let (_, rest) = request.split_once("tile/entries/")?;
        rest.get(..3)?.parse().ok()
    };
    scene.log.requests().split_off(since).iter().filter_map(number).collect()
}

#[test]
fn a_monitor_that_is_killed_within_its_first_reading_does_not_begin_anew() {
    let scene = Scene::new(SIZE);
    // The second round never ends.
    scene.log.lie("tile/entries/1", Lie::Stalled);
    let mut monitor = scene.monitor("");
    let reading = monitor.wait_for_event(|event| event["event"] == "reading");
    assert_eq!((reading["done"].as_u64(), reading["of"].as_u64()), (Some(FIRST), Some(SIZE)));
    monitor.wait_for_figure(VERIFIED, FIRST);
    assert_eq!(monitor.get("/readyz").0, 503, "no whole tree is verified");
    monitor.kill();
    scene.log.repent();

    // Damage to what was kept is found, said, and not held against the log.
    let file = scene.path("state/log.state");
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let config = scene.path("monitor.toml");
    let mut command = std::process::Command::new(cairn_tests::server::program("cairn"));
    let ended = cairn_tests::server::run(command.args(["monitor", "--once", "--config", config.to_str().unwrap()]));
    assert_eq!((ended.code, &*ended.stdout), (Some(5), ""), "{ended:?}");
    assert!(ended.stderr.contains("damaged on this machine") && ended.stderr.contains("nothing about the log"));
    assert_eq!(fs::read(&file).unwrap(), damaged, "damage is left for its owner to see");
    assert_eq!(fs::read_dir(scene.path("state/evidence")).unwrap().count(), 0);
    fs::write(&file, whole).unwrap();

    let since = scene.log.requests().len();
    let mut monitor = scene.monitor("");
    monitor.wait_for_event(|event| event["event"] == "consistent" && event["size"] == SIZE);
    let read = bundles(&scene, since);
    assert_eq!(read.iter().min(), Some(&(FIRST / 256)), "what was read is not read again");
    monitor.wait_for("/readyz", |status, _| status == 200);
}

#[test]
fn a_monitor_that_is_killed_at_any_moment_ends_with_the_whole_tree() {
    let mut random = Random::for_test("a monitor that is killed at any moment");
    let scene = Scene::new(SIZE);
    for round in 0..12 {
        let mut monitor = scene.monitor("");
        std::thread::sleep(Duration::from_millis(random.below(150) as u64));
        monitor.kill();
        scene.grow(SIZE + round * 7);
    }
    let mut monitor = scene.monitor("");
    let size = SIZE + 77;
    monitor.wait_for_event(|event| event["event"] == "consistent" && event["size"] == size);
    assert!(monitor.events().iter().all(|event| event["event"] != "alarm"), "{:?}", monitor.events());
    assert_eq!(monitor.stop(), Some(0));
}
