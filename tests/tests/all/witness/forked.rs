//! A log that shows two witnesses different trees: their gossip finds it, and neither is lied to for long.

use std::time::Instant;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::lying::Model;
use cairn_tests::own_witness::{WitnessData, add_checkpoint, growth};
use cairn_tests::server::{PATIENCE, Server};
use cairn_tree::checkpoint::{Origin, OriginHash};
use serde_json::Value;

use super::log;

pub(super) const ORIGIN: &str = "log.example/one";

/// What one of the witnesses is shown: both trees begin in the same way.
pub(super) fn view(flavour: &str) -> Model {
    let mut log = log(ORIGIN, 1, 5);
    log.grow(40, flavour);
    log
}

pub(super) struct Side {
    pub(super) data: WitnessData,
    pub(super) server: Server,
    pub(super) log: Model,
}

impl Side {
    pub(super) fn new(folder: &std::path::Path, name: &str, log: Model, options: &[&str]) -> Self {
        let data = WitnessData::init(folder.join(name));
        data.add(&log);
        let server = data.serve_with(options);
        Self { data, server, log }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub(super) fn get(&self, path: &str) -> Response {
        Connection::open(self.server.address()).unwrap().ask(&Request::get(path)).unwrap()
    }

    pub(super) fn ask(&self, old: u64, size: u64) -> Response {
        let mut connection = Connection::open(self.server.address()).unwrap();
        add_checkpoint(&mut connection, &growth(&self.log, old, size)).unwrap()
    }

    pub(super) fn cosign(&self, old: u64, size: u64) {
        self.data.verify(&self.log.head(size), &self.ask(old, size));
    }

    pub(super) fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !wanted(&self.get("/metrics").text()) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", self.get("/metrics").text());
            std::thread::yield_now();
        }
    }

    pub(super) fn evidence(&self) -> Vec<std::path::PathBuf> {
        std::fs::read_dir(self.data.path().join("evidence")).unwrap().map(|file| file.unwrap().path()).collect()
    }

    pub(super) fn listed(&self) -> Value {
        let ended = self.data.run(&["list-logs", "--json"]);
        serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap()
    }
}

pub(super) fn forked(figures: &str) -> bool {
    figures.contains("cairn_witness_forked_logs 1.0")
}

#[test]
fn a_fork_that_a_peer_shows_ends_the_cosigning_and_leaves_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let one = Side::new(folder.path(), "one", view("left"), &[]);
    one.cosign(0, 20);
    let other =
        Side::new(folder.path(), "other", view("right"), &["--gossip-peer", &one.url(), "--gossip-interval", "20ms"]);
    // Different sizes prove nothing to who has no tiles, and the beginning is the same.
    other.cosign(0, 5);
    other.cosign(5, 19);
    let pulled = format!("cairn_witness_pulls_total{{peer=\"{}\",result=\"head\"}} ", one.url());
    let count = |figures: &str| {
        let line = figures.lines().find_map(|line| line.strip_prefix(pulled.as_str()).map(str::to_owned));
        line.map_or(0.0, |count| count.parse::<f64>().unwrap())
    };
    let before = count(&other.get("/metrics").text());
    other.wait_for("two more pulls", |figures| count(figures) >= before + 2.0);
    assert!(!forked(&other.get("/metrics").text()) && other.evidence().is_empty());
    // The size of the other one's head: it is known already, so that this one is never cosigned.
    let refused = other.ask(19, 20);
    assert!(refused.status == 403 && refused.text().contains("two trees"), "{}: {}", refused.status, refused.text());
    assert!(forked(&other.get("/metrics").text()));
    assert_eq!(other.ask(19, 30).status, 403);
    assert_eq!(other.listed()["forked"], Value::from(20));
    // What it cosigned before goes on being shown.
    let path = OriginHash::of(&Origin::new(ORIGIN).unwrap()).checkpoint_path();
    assert!(other.get(&format!("/{path}")).text().starts_with(&other.log.head(19)));
    prove(&other);
    // Neither a restart nor the operator's commands make it forget.
    let Side { data, server, log } = other;
    assert_eq!(server.stop().code, Some(0));
    for file in std::fs::read_dir(data.path().join("evidence")).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    assert_eq!(data.run(&["remove-log", "--origin", ORIGIN]).code, Some(0));
    data.add(&log);
    let other = Side { server: data.serve(), data, log };
    assert_eq!(other.ask(19, 20).status, 403);
    assert_eq!(other.get("/healthz").status, 200, "nothing is wrong with the witness");
    // The record holds both heads, so that lost evidence is written again.
    prove(&other);
}

/// There is one file of evidence, and anybody can judge it with the log's key alone.
pub(super) fn prove(side: &Side) {
    let (begun, vkey) = (Instant::now(), side.log.vkey().to_string());
    let judged = || {
        let files = side.evidence();
        let [file] = files.as_slice() else { return false };
        cairn_tests::command::cairn(["evidence", "verify", file.to_str().unwrap(), "--key", &vkey]).code == 0
    };
    while !judged() {
        assert!(begun.elapsed() < PATIENCE, "no evidence, or some that proves nothing: {:?}", side.evidence());
    }
}

#[test]
fn a_head_that_was_cosigned_before_the_peer_shows_its_own_is_found_too() {
    let folder = tempfile::tempdir().unwrap();
    let one = Side::new(folder.path(), "one", view("left"), &[]);
    let other =
        Side::new(folder.path(), "other", view("right"), &["--gossip-peer", &one.url(), "--gossip-interval", "20ms"]);
    // Not the newest any more when the peer comes to the same size.
    other.cosign(0, 20);
    other.cosign(20, 21);
    one.cosign(0, 20);
    other.wait_for("the fork is found", forked);
    assert_eq!(other.ask(21, 22).status, 403);
    prove(&other);
    // The other one has no peers: it learns it when somebody shows it the other tree.
    assert!(!forked(&one.get("/metrics").text()));
    let mut connection = Connection::open(one.server.address()).unwrap();
    assert_eq!(add_checkpoint(&mut connection, &growth(&other.log, 0, 20)).unwrap().status, 409);
    assert!(forked(&one.get("/metrics").text()));
    assert_eq!(one.ask(20, 21).status, 403);
    prove(&one);
}

#[test]
fn peers_that_lie_or_fail_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // The same origin under another key, a log that nobody asked for, and nobody at all.
    let stranger = Side::new(folder.path(), "stranger", super::log(ORIGIN, 9, 40), &[]);
    stranger.cosign(0, 20);
    let gone = "http://127.0.0.1:1";
    let side = Side::new(
        folder.path(),
        "side",
        view("left"),
        &["--gossip-peer", &stranger.url(), "--gossip-peer", gone, "--gossip-interval", "20ms"],
    );
    side.cosign(0, 20);
    let counted = |result: &str, peer: &str| format!("pulls_total{{peer=\"{peer}\",result=\"{result}\"}} 0");
    let (refused, failed) = (counted("refused", &stranger.url()), counted("failed", gone));
    side.wait_for("both were asked", |figures| !figures.contains(&refused) && !figures.contains(&failed));
    assert!(!forked(&side.get("/metrics").text()));
    side.cosign(20, 21);
    let ended = side.data.run(&["serve", "--listen", "127.0.0.1:0", "--gossip-peer", "nonsense"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("--gossip-peer nonsense"), "{ended:?}");
}
