//! The rollback guard: a log goes on after a start only if its witnesses saw no more of it than it has.

use std::fs;
use std::path::{Path, PathBuf};

use cairn_tests::server::{Server, cairnd};
use cairn_tests::witness::{Fault, policy};

use super::{ORIGIN, Scene, figure, get, size, wait_for};
use crate::scene::copy;

impl Scene {
    /// Stops the server, and copies its folder with everything in it.
    fn copy_stopped(&self, server: Server) -> PathBuf {
        assert_eq!(server.stop().code, Some(0));
        let backup = self.folder.path().join("backup");
        copy(self.data.path(), &backup);
        backup
    }

    /// Puts the folder back to what it was.
    fn restore(&self, from: &Path) {
        fs::remove_dir_all(self.data.path()).unwrap();
        copy(from, self.data.path());
    }

    fn halted(&self) -> Option<String> {
        let listed = cairnd(self.data.path(), &["log", "list", "--json"]);
        let line: serde_json::Value = serde_json::from_str(listed.stdout.lines().next()?).unwrap();
        line["state"].as_str()?.strip_prefix("halted: ").map(str::to_owned)
    }

    /// Appends are held: a problem says so, reads go on.
    fn assert_held(&self, server: &Server) {
        let answer = self.append(server, "integrated", b"held");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("urn:cairn:problem:log-held"), "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        for target in ["head", "checkpoint", "entries/0", "proof/inclusion?index=0", "tile/entries/000.p/1"] {
            assert_eq!(get(server, &format!("/logs/main/{target}")).status, 200, "{target}");
        }
        let ready = get(server, "/readyz");
        assert_eq!(ready.status, 503);
        assert!(ready.text().contains("no appends until witnesses agree"), "{}", ready.text());
    }

    fn wait_until_it_goes_on(&self, server: &Server) {
        wait_for(|| (self.append(server, "integrated", b"on").status == 200).then_some(()));
        assert_eq!(get(server, "/readyz").status, 200);
    }
}

#[test]
fn a_restored_backup_with_its_high_water_is_halted_by_any_witness_that_saw_more() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"before the backup");
    let backup = scene.copy_stopped(server);
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
    scene.append_witnessed(&server, b"after the backup");
    scene.append_witnessed(&server, b"lost");
    scene.wait_for_checkpoint(&server, 4, 3);
    assert_eq!(server.stop().code, Some(0));
    scene.restore(&backup);
    // Two of them would be enough to go on with: one that answers is enough to stop it.
    scene.witnesses[0].fault(Some(Fault::Dead));
    scene.witnesses[1].fault(Some(Fault::Dead));
    let server = scene.data.serve();
    let halted = wait_for(|| scene.halted());
    assert!(halted.contains("witness w3") && halted.contains("size 4"), "{halted}");
    let ready = get(&server, "/readyz").text();
    assert!(ready.contains("log main: halted") && ready.contains("witness w3"), "{ready}");
    let answer = scene.append(&server, "integrated", b"fork");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("urn:cairn:problem:log-halted"), "{}", answer.text());
    assert_eq!((size(&server, "head"), size(&server, "checkpoint")), (1, 1));
    assert_eq!(server.stop().code, Some(0));
    // For good: the next start says so, whatever the witnesses say by then, and whatever the policy is.
    scene.witnesses.iter().for_each(|witness| witness.forget());
    assert_eq!(cairnd(scene.data.path(), &["log", "policy", "main", "--none"]).code, Some(0));
    let server = scene.data.serve();
    assert_eq!(scene.halted(), Some(halted));
    assert_eq!(scene.append(&server, "integrated", b"fork").status, 503);
    assert_eq!(size(&server, "head"), 1);
}

#[test]
fn an_honest_restart_goes_on_once_no_quorum_is_left_that_has_not_agreed() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    assert_eq!(server.stop().code, Some(0));
    scene.witnesses.iter().for_each(|witness| witness.fault(Some(Fault::Dead)));
    let server = scene.data.serve();
    scene.assert_held(&server);
    // A policy of other witnesses, or of none, does not let it go: not now, and not after another start.
    assert_eq!(cairnd(scene.data.path(), &["log", "policy", "main", "--none"]).code, Some(0));
    scene.assert_held(&server);
    assert_eq!(server.stop().code, Some(0));
    let server = scene.data.serve();
    scene.assert_held(&server);
    assert_eq!(scene.set_policy(&policy(&scene.all(), 2), &["--fail-open"]).code, Some(0));
    scene.witnesses[0].fault(None);
    wait_for(|| (!get(&server, "/readyz").text().contains("w1")).then_some(()));
    scene.assert_held(&server);
    scene.witnesses[2].fault(None);
    scene.wait_until_it_goes_on(&server);
    scene.wait_for_checkpoint(&server, 2, 2);
    assert_eq!(server.stop().code, Some(0));
    // What was outstanding is settled: without a policy nothing is asked any more.
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
    assert_eq!(cairnd(scene.data.path(), &["log", "policy", "main", "--none"]).code, Some(0));
    assert_eq!(server.stop().code, Some(0));
    scene.witnesses.iter().for_each(|witness| witness.fault(Some(Fault::Dead)));
    let server = scene.data.serve();
    assert_eq!(scene.append(&server, "integrated", b"at once").status, 200);
}

#[test]
fn claims_without_proof_hold_the_log_and_a_refused_proof_halts_it() {
    let scene = Scene::new(1, 1);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    assert_eq!(server.stop().code, Some(0));
    for fault in [
        Fault::Claims(7),
        Fault::Claims(0),
        Fault::Garbage,
        Fault::WrongSignature,
        Fault::Status(403),
        Fault::Status(500),
    ] {
        scene.witnesses[0].fault(Some(fault));
        let server = scene.data.serve();
        wait_for(|| get(&server, "/readyz").text().contains("w1").then_some(()));
        scene.assert_held(&server);
        assert_eq!(scene.halted(), None, "{fault:?}");
        scene.witnesses[0].fault(None);
        scene.wait_until_it_goes_on(&server);
        scene.wait_for_checkpoint(&server, 2, 1);
        assert_eq!(server.stop().code, Some(0));
    }
    scene.witnesses[0].fault(Some(Fault::Status(422)));
    let server = scene.data.serve();
    let halted = wait_for(|| scene.halted());
    assert!(halted.contains("witness w1"), "{halted}");
    assert_eq!(scene.append(&server, "integrated", b"b").status, 503);
    // Nobody showed anything: it says whom to ask, and both ways on.
    for words in ["Ask whoever runs it", "newer copy", "cairnd log seal main --successor"] {
        assert!(halted.contains(words) && get(&server, "/readyz").text().contains(words), "{words}: {halted}");
    }
    let sealed = cairnd(scene.data.path(), &["log", "seal", "main", "--successor", "next"]);
    assert_eq!(sealed.code, Some(0), "{sealed:?}");
}

/// A witness that has cosigned and forgets does not hold the log up: it can't tell. But whoever runs the log is told.
#[test]
fn a_witness_that_lost_its_state_agrees_and_is_named() {
    let scene = Scene::new(2, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    assert_eq!(server.stop().code, Some(0));
    scene.witnesses[0].forget();
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
    let lost = r#"cairn_witness_failures_total{log="main",witness="w1",kind="lost_state"}"#;
    wait_for(|| (figure(&server, lost) > 0.0).then_some(()));
    wait_for(|| get(&server, "/readyz").text().contains("it has lost its state").then_some(()));
    assert_eq!(figure(&server, &lost.replace("w1", "w2")), 0.0);
    assert_eq!(figure(&server, &lost.replace("lost_state", "unknown_log")), 0.0);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn witnesses_that_never_knew_the_log_agree() {
    let scene = Scene::new(2, 2);
    scene.witnesses.iter().for_each(|witness| witness.forget());
    // As torchwood did before 0.9.1.
    scene.witnesses[1].fault(Some(Fault::Status(403)));
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
    assert!(scene.witnesses.iter().all(|witness| witness.confirmed(ORIGIN).is_none()));
    assert_eq!(server.stop().code, Some(0));
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
}

#[test]
fn without_a_quorum_the_log_goes_on_after_one_timeout_and_a_larger_head_still_halts_it() {
    let scene = Scene::new(2, 0);
    let server = scene.data.serve();
    assert_eq!(scene.append(&server, "integrated", b"a").status, 200);
    scene.wait_for_checkpoint(&server, 1, 2);
    let backup = scene.copy_stopped(server);
    scene.witnesses[0].fault(Some(Fault::Hang));
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
    wait_for(|| (scene.witnesses[1].confirmed(ORIGIN) == Some(size(&server, "head"))).then_some(()));
    assert_eq!(server.stop().code, Some(0));
    scene.restore(&backup);
    let server = scene.data.serve();
    let halted = wait_for(|| scene.halted());
    assert!(halted.contains("witness w2"), "{halted}");
    assert_eq!(size(&server, "head"), 1);
}

#[test]
fn a_restored_log_that_outgrew_what_a_witness_saw_is_halted_when_that_witness_comes_back() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"before the backup");
    let backup = scene.copy_stopped(server);
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
    scene.append_witnessed(&server, b"lost");
    scene.wait_for_checkpoint(&server, 3, 3);
    assert_eq!(server.stop().code, Some(0));
    scene.restore(&backup);
    // Two say that they never knew the log; the third can't be reached.
    scene.witnesses[0].fault(Some(Fault::Status(404)));
    scene.witnesses[1].fault(Some(Fault::Status(404)));
    scene.witnesses[2].fault(Some(Fault::Dead));
    let server = scene.data.serve();
    scene.wait_until_it_goes_on(&server);
    for entry in [b"other 3", b"other 4", b"other 5"] {
        assert_eq!(scene.append(&server, "integrated", entry).status, 200);
    }
    assert_eq!(scene.halted(), None);
    // It saw size 3, which is less than the log has by now, and a proof from there can't be right.
    scene.witnesses[2].fault(None);
    let halted = wait_for(|| scene.halted());
    assert!(halted.contains("witness w3") && halted.contains("has root"), "{halted}");
    assert_eq!(scene.append(&server, "integrated", b"fork").status, 503);
}

#[test]
fn a_cosignature_from_before_the_restart_played_back_does_not_let_a_log_go_on() {
    let scene = Scene::new(1, 1);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    assert_eq!(server.stop().code, Some(0));
    scene.witnesses[0].fault(Some(Fault::LongAgo));
    let server = scene.data.serve();
    wait_for(|| get(&server, "/readyz").text().contains("w1").then_some(()));
    scene.assert_held(&server);
    assert_eq!(scene.halted(), None);
    scene.witnesses[0].fault(None);
    scene.wait_until_it_goes_on(&server);
}
