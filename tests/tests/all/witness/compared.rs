//! Heads of other sizes that peers show: compared by proofs that the log itself gives, and never held against it without.

use cairn_tests::lying::{Lie, LyingLog};

use super::forked::{ORIGIN, Side, forked, prove, view};

/// A peer of a witness that was shown the left tree at this size, and the witness, which is shown another view.
fn sides(folder: &std::path::Path, size: u64, flavour: &str) -> (Side, Side) {
    let one = Side::new(folder, "one", view("left"), &[]);
    one.cosign(0, size);
    let options = ["--gossip-peer", &one.url(), "--gossip-interval", "20ms"];
    let other = Side::new(folder, "other", view(flavour), &options);
    (one, other)
}

impl Side {
    /// Tells the running witness where the log is.
    fn tell(&self, url: &str) {
        let ended = self.data.run(&["add-log", "--vkey", &self.log.vkey().to_string(), "--url", url]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains(url), "{ended:?}");
    }

    fn compared(&self, result: &str, least: f64) {
        let name = format!("cairn_witness_comparisons_total{{result=\"{result}\"}} ");
        let count = |figures: &str| {
            figures.lines().find_map(|line| line.strip_prefix(name.as_str())?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        self.wait_for(&format!("{least} comparisons that say {result}"), |figures| count(figures) >= least);
    }
}

/// Both ways: the peer's tree is the smaller one, and the larger one.
#[test]
fn a_fork_between_two_sizes_is_found_with_a_proof_from_the_log() {
    for (theirs, ours, served) in [(20, 30, "right"), (30, 20, "left")] {
        let folder = tempfile::tempdir().unwrap();
        let (_one, other) = sides(folder.path(), theirs, "right");
        other.cosign(0, ours);
        // The tree of the larger head is what tells.
        let log = LyingLog::serve(view(served));
        other.tell(&log.url());
        other.wait_for("the fork is found", forked);
        assert_eq!(other.ask(ours, ours + 1).status, 403);
        prove(&other);
        // The record has the proof as well: evidence that was lost is written again.
        let Side { data, server, log } = other;
        assert_eq!(server.stop().code, Some(0));
        let kept = std::fs::read_dir(data.path().join("evidence")).unwrap().map(|file| file.unwrap().path());
        kept.for_each(|file| std::fs::remove_file(file).unwrap());
        let other = Side { server: data.serve(), data, log };
        assert_eq!(other.ask(ours, ours + 1).status, 403);
        prove(&other);
        assert_eq!(other.listed()["forked"], ours);
    }
}

#[test]
fn heads_of_one_history_agree_whatever_their_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = sides(folder.path(), 20, "left");
    let log = LyingLog::serve(view("left"));
    other.tell(&log.url());
    other.cosign(0, 30);
    other.compared("agrees", 1.0);
    one.cosign(20, 35);
    other.compared("agrees", 2.0);
    // What extended ours is compared once more when ours has passed it.
    other.cosign(30, 40);
    other.compared("agrees", 3.0);
    assert!(!forked(&other.get("/metrics").text()) && other.evidence().is_empty());
}

/// The log shows nobody the other tree, or nothing at all, or tiles that are no tree's: that proves nothing.
#[test]
fn without_a_proof_a_head_of_another_size_is_unproven() {
    let bent = |lie: Option<Lie>, flavour| {
        let log = LyingLog::serve(view(flavour));
        lie.into_iter().for_each(|lie| log.lie("tile/", lie));
        log
    };
    let logs = [bent(None, "left"), bent(Some(Lie::FlipBit(70)), "right"), bent(Some(Lie::Status(500, None)), "right")];
    for log in &logs {
        let folder = tempfile::tempdir().unwrap();
        let (_one, other) = sides(folder.path(), 20, "right");
        other.cosign(0, 30);
        other.tell(&log.url());
        other.compared("unproven", 1.0);
        assert!(!forked(&other.get("/metrics").text()) && other.evidence().is_empty());
        other.cosign(30, 31);
    }
}

#[test]
fn where_a_log_is_must_be_an_address_and_stays_known() {
    let folder = tempfile::tempdir().unwrap();
    let side = Side::new(folder.path(), "side", view("left"), &[]);
    let vkey = side.log.vkey().to_string();
    let ended = side.data.run(&["add-log", "--vkey", &vkey, "--url", "nonsense"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("--url nonsense"), "{ended:?}");
    side.tell("http://127.0.0.1:1/logs/one");
    side.data.add(&side.log);
    assert_eq!(side.listed()["url"], "http://127.0.0.1:1/logs/one");
    let Side { data, server, log } = side;
    assert_eq!(server.stop().code, Some(0));
    let side = Side { server: data.serve(), data, log };
    assert_eq!(
        (&side.listed()["url"], &side.listed()["origin"]),
        (&"http://127.0.0.1:1/logs/one".into(), &ORIGIN.into())
    );
}
