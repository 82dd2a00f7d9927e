//! Two monitors that are shown different trees, and peers that lie.

use std::time::Duration;

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model};
use cairn_tests::monitor::Monitor;
use cairn_tree::checkpoint::{LogKeys, Origin, SignedCheckpoint};

const ORIGIN: &str = "lying.example/log";

/// What one of a log's readers is shown.
fn view(size: u64, flavour: &str) -> LyingLog {
    let mut model = Model::new(ORIGIN, 1);
    model.grow(200.min(size), "entry");
    model.grow(size, flavour);
    LyingLog::serve(model)
}

/// A monitor of `log` that goes on.
fn start(log: &LyingLog, state: &str, further: &[&str]) -> Monitor {
    let (url, key) = (log.url(), log.vkey());
    let arguments = ["--on-alarm", "continue", "--interval", "20ms", "--url", &url, "--key", &key, "--state", state];
    Monitor::start(&[&arguments, further].concat())
}

fn head_path() -> String {
    format!("/{}", cairn::gossip::path(&Origin::new(ORIGIN).unwrap()))
}

/// A reader of `log` who looks once, and at what this peer was shown.
fn look(log: &LyingLog, state: &str, peer: &str, further: &[&str]) -> Ran {
    let (url, key) = (log.url(), log.vkey());
    let arguments = ["monitor", "--json", "--once", "--stale-after", "0s", "--url", &url, "--key", &key];
    cairn(arguments.into_iter().chain(["--state", state, "--peer", peer]).chain(further.iter().copied()))
}

fn alarms(ran: &Ran) -> Vec<String> {
    let events = ran.json();
    let raised = events.iter().filter(|event| event["event"] == "alarm");
    raised.map(|event| event["alarm"].as_str().unwrap().to_owned()).collect()
}

fn assert_proven(ran: &Ran, key: &str) {
    assert_eq!((ran.code, alarms(ran)), (3, vec!["fork".to_owned()]), "{ran:?}");
    let events = ran.json();
    let file = events.iter().find_map(|event| event["evidence"].as_str()).unwrap();
    let judged = cairn(["evidence", "verify", "--key", key, file]);
    assert_eq!(judged.code, 0, "{judged:?}");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn a_monitor_shows_the_head_that_it_verified_and_how_it_is() {
    let folder = Folder::new();
    let log = view(600, "entry");
    let monitor = start(&log, &folder.path("state"), &[]);
    let head = monitor.wait_for(&head_path(), |status, _| status == 200);
    let keys: LogKeys = log.vkey().parse().unwrap();
    assert_eq!(keys.verify(&SignedCheckpoint::parse(head.as_bytes()).unwrap()).unwrap().size().get(), 600);
    monitor.wait_for("/readyz", |status, _| status == 200);
    assert_eq!(monitor.get("/healthz").0, 200);
    let figures = monitor.wait_for("/metrics", |_, text| text.contains("verified_entries{log=\"log\"} 600\n"));
    assert!(figures.contains("cairn_monitor_alarm{log=\"log\",alarm=\"fork\"} 0\n"), "{figures}");
    for path in ["/", "/gossip", "/gossip/00/checkpoint", "/gossip/../metrics", "/checkpoint"] {
        assert_eq!(monitor.get(path).0, 404, "{path}");
    }
    let other = cairn::gossip::path(&Origin::new("other.example/log").unwrap());
    assert_eq!(monitor.get(&format!("/{other}")).0, 404, "only what is configured is shown");
}

#[test]
fn a_split_view_of_one_size_is_proven_by_either_side() {
    let folder = Folder::new();
    let (one, other) = (view(300, "one"), view(300, "other"));
    let first = start(&one, &folder.path("one"), &[]);
    first.wait_for("/readyz", |status, _| status == 200);
    assert_proven(&look(&other, &folder.path("other"), &first.url(), &[]), &other.vkey());
    // And the other way round, by a monitor that goes on.
    let second = start(&other, &folder.path("second"), &["--peer", &first.url()]);
    second.wait_for("/metrics", |_, text| text.contains("alarm{log=\"log\",alarm=\"fork\"} 1\n"));
    assert_eq!(std::fs::read_dir(folder.path("second/evidence")).unwrap().count(), 1);
}

#[test]
fn a_split_view_of_two_sizes_is_proven_by_the_side_with_the_larger_tree() {
    for (smaller, larger) in [(201, 202), (255, 257), (300, 600), (512, 1_025)] {
        let folder = Folder::new();
        let (one, other) = (view(smaller, "one"), view(larger, "other"));
        let first = start(&one, &folder.path("one"), &[]);
        first.wait_for("/readyz", |status, _| status == 200);
        assert_proven(&look(&other, &folder.path("other"), &first.url(), &[]), &other.vkey());
    }
}

#[test]
fn the_side_with_the_smaller_tree_calls_it_withheld_and_never_a_fork() {
    let folder = Folder::new();
    let (one, other) = (view(600, "one"), view(300, "other"));
    let first = start(&one, &folder.path("one"), &[]);
    first.wait_for("/readyz", |status, _| status == 200);
    let ran = look(&other, &folder.path("other"), &first.url(), &[]);
    assert_eq!((ran.code, alarms(&ran)), (3, vec!["withheld".to_owned()]), "{ran:?}");
    let events = ran.json();
    let file = events.iter().find_map(|event| event["evidence"].as_str()).unwrap();
    assert_eq!(cairn(["evidence", "verify", "--key", &other.vkey(), file]).code, 4);
    let evidence: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(evidence["case"]["peer"], first.url());
}

#[test]
fn a_peer_that_is_behind_or_ahead_of_an_honest_log_is_no_alarm() {
    for (theirs, ours) in [(300, 600), (600, 600), (1, 600), (600, 300)] {
        let folder = Folder::new();
        let peers_view = view(theirs, "entry");
        let first = start(&peers_view, &folder.path("one"), &[]);
        first.wait_for("/readyz", |status, _| status == 200);
        let log = view(ours, "entry");
        // An honest log that somebody saw larger shows it to us as well, a little later.
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| {
                while log.requests().iter().filter(|request| request.contains("checkpoint?nocache=")).count() < 1
                    && ours < theirs
                {
                    std::thread::yield_now();
                }
                log.change(|model| model.grow(theirs.max(ours), "entry"));
            });
            look(&log, &folder.path("two"), &first.url(), &["--stale-after", "60s"])
        });
        assert_eq!((ran.code, alarms(&ran)), (0, Vec::new()), "{theirs} {ours}: {ran:?}");
        assert_eq!(ran.json().last().unwrap()["size"], theirs.max(ours), "{ran:?}");
    }
}

#[test]
fn a_rollback_that_only_a_peer_remembers_is_withheld() {
    let folder = Folder::new();
    let log = view(600, "entry");
    let first = start(&log, &folder.path("one"), &[]);
    first.wait_for("/readyz", |status, _| status == 200);
    // A new monitor knows nothing of what the log had.
    log.change(|model| *model = model.cut(450));
    let ran = look(&log, &folder.path("two"), &first.url(), &[]);
    assert_eq!((ran.code, alarms(&ran)), (3, vec!["withheld".to_owned()]), "{ran:?}");
}

#[test]
fn a_peer_that_lies_gains_nothing() {
    let (log, peer) = (view(600, "entry"), view(300, "entry"));
    let mut stranger = Model::new(ORIGIN, 2);
    stranger.grow(600, "other");
    let mut elsewhere = Model::new("elsewhere.example/log", 1);
    elsewhere.grow(600, "other");
    let lies = [
        Lie::Body(stranger.head(600).into_bytes()),
        Lie::Body(elsewhere.head(600).into_bytes()),
        Lie::Body(b"<html>".to_vec()),
        Lie::Body(Vec::new()),
        Lie::Body(String::from_utf8(log.head(600)).unwrap().replacen("600", "601", 1).into_bytes()),
        Lie::Endless,
        Lie::Status(500, None),
        Lie::Status(404, None),
        // A replay of what is long known.
        Lie::Body(log.head(7)),
    ];
    for lie in lies {
        let folder = Folder::new();
        peer.repent();
        peer.lie("gossip/", lie.clone());
        let before = peer.requests().len();
        let ran = look(&log, &folder.path("state"), &peer.url(), &[]);
        assert_eq!((ran.code, alarms(&ran)), (0, Vec::new()), "{lie:?}: {ran:?}");
        assert_eq!(peer.requests().len(), before + 1, "{lie:?}: it is asked once");
    }
}

#[test]
fn a_peer_that_does_not_answer_does_not_hold_up_the_watching() {
    let folder = Folder::new();
    let (log, peer) = (view(300, "entry"), view(300, "entry"));
    peer.lie("gossip/", Lie::Stalled);
    let monitor = start(&log, &folder.path("state"), &["--peer", &peer.url()]);
    monitor.wait_for("/readyz", |status, _| status == 200);
    log.change(|model| model.grow(600, "entry"));
    let grown = monitor.wait_for("/metrics", |_, text| text.contains("verified_entries{log=\"log\"} 600\n"));
    assert!(grown.contains("result=\"failed\"} 0\n"), "the pull is still under way: {grown}");
    drop(monitor);
    // A clean end does not wait for it either.
    assert_eq!(Duration::from_secs(10), cairn::bounds::PULL_TIMEOUT);
}
