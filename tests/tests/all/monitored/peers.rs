//! Two peers at a time that lie, flood and replay: they gain nothing, and cost what the interval between pulls allows.

use cairn_tests::lying::{Lie, LyingLog, Model};

use super::{Scene, VERIFIED};

const HEADS: &str = "head";

/// The pulls from a peer that gave this.
fn pulls(peer: &LyingLog, result: &str) -> String {
    format!("cairn_monitor_pulls_total{{peer=\"{}\",result=\"{result}\"}}", peer.url())
}

fn peer() -> LyingLog {
    LyingLog::of_size(0)
}

/// A head that nobody signed, with as many lines as there may be, none of which is right.
fn worthless() -> Vec<u8> {
    let stranger = Model::new("lying.example/log", 9).head(0);
    let (text, line) = stranger.split_once("\n\n").unwrap();
    format!("{text}\n\n{}", line.repeat(128)).into_bytes()
}

#[test]
fn two_peers_that_lie_flood_and_replay_gain_nothing() {
    let scene = Scene::new(300);
    let (replaying, flooding) = (peer(), peer());
    replaying.lie("gossip/", Lie::Body(scene.log.head(7)));
    flooding.lie("gossip/", Lie::Endless);
    let peers = [&replaying, &flooding].map(|peer| format!("[[peer]]\nurl = \"{}\"\n", peer.url())).concat();
    let mut monitor = scene.monitor(&format!("on_alarm = \"continue\"\ngossip_interval = \"20ms\"\n{peers}"));
    monitor.wait_for_figure(VERIFIED, 300);
    let refused = pulls(&flooding, "refused");
    monitor.wait_for("/metrics", |_, _| monitor.figure(&refused) >= 3);
    // Old heads in turn, so that each pull gives another one than the last.
    let tiles = |since: usize| scene.log.requests().iter().skip(since).filter(|it| it.contains("tile/")).count();
    let (before, pulled) = (scene.log.requests().len(), monitor.figure(&pulls(&replaying, HEADS)));
    for number in 0..40 {
        let last = monitor.figure(&pulls(&replaying, HEADS));
        replaying.repent();
        replaying.lie("gossip/", Lie::Body(scene.log.head([7, 299, 300, 1][number % 4])));
        monitor.wait_for("/metrics", |_, _| monitor.figure(&pulls(&replaying, HEADS)) > last + 1);
    }
    assert!(monitor.figure(&pulls(&replaying, HEADS)) >= pulled + 80);
    // They are compared by tiles that are known after the first time.
    assert!(tiles(before) <= 16, "{} tiles were asked for", tiles(before));
    // Both change their ways, and the log grows meanwhile: nothing holds that up.
    for (number, lie) in
        [Lie::Body(worthless()), Lie::Body(b"<html>".to_vec()), Lie::Status(500, None), Lie::Status(302, None)]
            .into_iter()
            .enumerate()
    {
        replaying.repent();
        flooding.repent();
        replaying.lie("gossip/", lie);
        flooding.lie("gossip/", Lie::Body(scene.log.head(1)));
        let size = 600 + 300 * number as u64;
        scene.grow(size);
        monitor.wait_for_figure(VERIFIED, size);
    }
    assert!(monitor.events().iter().all(|event| event["event"] != "alarm"), "{:?}", monitor.events());
    assert_eq!(monitor.figure("cairn_monitor_unproven_heads{log=\"log\"}"), 0);
    assert_eq!(monitor.stop(), Some(0));
    assert_eq!(std::fs::read_dir(scene.path("state/evidence")).unwrap().count(), 0);
}

/// A head that the log did sign, of a tree that it does not let us see: no fork is claimed while none can be shown.
#[test]
fn what_can_not_be_proven_is_unproven_and_asked_for_again() {
    let scene = Scene::new(300);
    let mut other = Model::new("lying.example/log", 1);
    other.grow(200, "entry");
    other.grow(250, "other");
    let peer = peer();
    peer.lie("gossip/", Lie::Body(other.head(250).into_bytes()));
    let entry = format!("[[peer]]\nurl = \"{}\"\n", peer.url());
    let top = format!("on_alarm = \"continue\"\ngossip_interval = \"20ms\"\n{entry}");
    // The tree was read in an earlier run.
    let mut first = scene.monitor("");
    first.wait_for_figure(VERIFIED, 300);
    assert_eq!(first.stop(), Some(0));
    scene.log.lie("tile/", Lie::Status(404, None));
    let mut monitor = scene.monitor(&top);
    monitor.wait_for_figure("cairn_monitor_unproven_heads{log=\"log\"}", 1);
    assert!(monitor.events().iter().all(|event| event["event"] != "alarm"), "{:?}", monitor.events());
    monitor.kill();
    // Whoever asks again when the log answers has the proof.
    scene.log.repent();
    let mut monitor = scene.monitor(&top);
    let alarm = monitor.wait_for_event(|event| event["event"] == "alarm");
    assert_eq!(alarm["alarm"], "fork");
}
