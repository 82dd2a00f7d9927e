//! Witnesses that lie: none of it gets into a checkpoint, and each kind is counted.

use cairn_tests::witness::{Fault, policy};

use super::{ORIGIN, Scene, figure, get, signed, size, wait_for};

/// What each lie is counted as.
const LIES: [(Fault, &str); 12] = [
    (Fault::WrongSignature, "wrong_cosignature"),
    (Fault::Replay, "wrong_cosignature"),
    (Fault::OtherSize, "wrong_cosignature"),
    (Fault::UnknownKey, "malformed"),
    (Fault::Garbage, "malformed"),
    (Fault::Endless, "too_long"),
    (Fault::Hang, "timeout"),
    (Fault::Claims(1_000_000), "claims_larger"),
    (Fault::Claims(0), "conflict"),
    (Fault::Status(422), "other_history"),
    (Fault::Status(403), "refused"),
    (Fault::Status(500), "status"),
];

#[test]
fn a_lie_is_counted_and_changes_nothing_that_an_honest_quorum_publishes() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"first");
    scene.wait_for_checkpoint(&server, 1, 3);
    for (number, (lie, kind)) in (2..).zip(LIES) {
        let name = format!(r#"cairn_witness_failures_total{{log="main",witness="w1",kind="{kind}"}}"#);
        let before = figure(&server, &name);
        scene.witnesses[0].fault(Some(lie));
        scene.append_witnessed(&server, format!("{lie:?}").as_bytes());
        wait_for(|| (figure(&server, &name) > before).then_some(()));
        let checkpoint = scene.checkpoint(&server);
        assert_eq!((checkpoint.checkpoint().size().get(), checkpoint.witnesses().len()), (number, 2), "{lie:?}");
        assert_eq!(signed(&server, "checkpoint").note().signatures().len(), 3, "{lie:?}");
        scene.witnesses[0].fault(None);
        // A witness that has repented is asked again, and what it cosigned meanwhile is not in its way.
        scene.wait_for_checkpoint(&server, number, 3);
    }
    assert_eq!(get(&server, "/readyz").text(), "ready\n");
    assert_eq!(scene.witnesses[0].confirmed(ORIGIN), Some(LIES.len() as u64 + 1));
}

#[test]
fn a_quorum_of_liars_publishes_nothing() {
    let scene = Scene::new(2, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"first");
    for lie in [Fault::WrongSignature, Fault::Replay, Fault::OtherSize, Fault::UnknownKey] {
        scene.witnesses.iter().for_each(|witness| witness.fault(Some(lie)));
        let late = scene.append(&server, "witnessed", b"nobody vouches for this");
        assert_eq!(late.status, 202, "{lie:?}: {}", late.text());
        assert_eq!(size(&server, "checkpoint"), 1, "{lie:?}");
        scene.checkpoint(&server);
    }
    scene.witnesses.iter().for_each(|witness| witness.fault(None));
    scene.wait_for_checkpoint(&server, 5, 2);
}

/// torchwood before 0.9.1 answers 403 for a log that it does not know, and omniwitness an empty 409 for a wrong root.
#[test]
fn a_witness_that_does_not_know_the_log_cosigns_as_soon_as_it_does() {
    let scene = Scene::new(2, 1);
    scene.witnesses[0].forget();
    let server = scene.data.serve();
    scene.witnesses[1].fault(Some(Fault::Dead));
    assert_eq!(scene.append(&server, "witnessed", b"a").status, 202);
    assert!(figure(&server, r#"cairn_witness_failures_total{log="main",witness="w1",kind="unknown_log"}"#) > 0.0);
    scene.witnesses[0].trust(&scene.data.main.vkey);
    scene.wait_for_checkpoint(&server, 1, 1);
    scene.witnesses[1].fault(Some(Fault::Status(409)));
    assert_eq!(scene.set_policy(&policy(&scene.all(), 2), &[]).code, Some(0));
    assert_eq!(scene.append(&server, "witnessed", b"b").status, 202);
    assert_eq!(size(&server, "checkpoint"), 1);
}
