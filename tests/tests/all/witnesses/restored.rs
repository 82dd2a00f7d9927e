//! A database restored by `cairnd restore`, whose log has witnesses: they decide whether it goes on.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cairn_tests::random::Random;
use cairn_tests::server::{cairnd, program, run};
use cairn_tests::witness::{Fault, policy};

use super::{Scene, get, size, wait_for};
use crate::damage::{flip_in_tables, long, marked};

impl Scene {
    /// Backs the database up, with its keys.
    fn back_up(&self) {
        let dest = self.folder.path().join("backups");
        let ended = cairnd(self.data.path(), &["backup", "--with-keys", "--to", dest.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Loses the folder but for its high-water file, restores the newest backup in its place, and gives what is said of the
    /// log.
    fn lose_all_but_the_high_water(&self) -> serde_json::Value {
        let kept = self.folder.path().join("kept");
        fs::copy(self.data.path().join("high-water"), &kept).unwrap();
        fs::remove_dir_all(self.data.path()).unwrap();
        let mut command = Command::new(program("cairnd"));
        command.args(["restore", "--json", "--from"]).arg(self.folder.path().join("backups"));
        let ended = run(command.arg("--high-water").arg(&kept).arg("--data").arg(self.data.path()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        // The log `main` is the first.
        serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap()
    }

    /// Loses the folder with its high-water file, restores the newest backup in its place, and gives the verdict.
    fn lose_and_restore(&self) -> String {
        fs::remove_dir_all(self.data.path()).unwrap();
        let mut command = Command::new(program("cairnd"));
        command.args(["restore", "--json", "--from"]).arg(self.folder.path().join("backups"));
        let ended = run(command.arg("--data").arg(self.data.path()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let line: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        line["verdict"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_restored_log_goes_on_when_its_witnesses_saw_no_more() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"in the backup");
    scene.back_up();
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(scene.lose_and_restore(), "asks-witnesses");
    let server = scene.data.serve();
    wait_for(|| (scene.append(&server, "integrated", b"on").status == 200).then_some(()));
    scene.wait_for_checkpoint(&server, 2, 2);
    assert_eq!(server.stop().code, Some(0));
    scene.data.assert_sound();
}

#[test]
fn a_restored_log_of_which_a_witness_saw_more_signs_nothing() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"in the backup");
    scene.back_up();
    scene.append_witnessed(&server, b"lost");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(scene.lose_and_restore(), "asks-witnesses");
    let server = scene.data.serve();
    wait_for(|| get(&server, "/readyz").text().contains("log main: halted").then_some(()));
    assert_eq!(scene.append(&server, "integrated", b"fork").status, 503);
    assert_eq!((size(&server, "head"), size(&server, "checkpoint")), (1, 1));
}

/// Its damage is no reason not to ask them: a repair lifts the halt, and the next start asks.
#[test]
fn a_restored_log_that_was_halted_for_damage_asks_its_witnesses_once_it_is_repaired() {
    for saw_more in [false, true] {
        let scene = Scene::new(1, 1);
        scene.data.set_limit("scrub_bytes_per_second", 1 << 30);
        scene.data.set_limit("scrub_rest_seconds", 1);
        let mut mark = marked(&mut Random::for_test("restored"));
        let server = scene.data.serve();
        for number in 0..600 {
            let entry = if number == 300 { mark.clone() } else { long(number) };
            wait_for(|| (scene.append(&server, "integrated", &entry).status == 200).then_some(()));
        }
        scene.wait_for_checkpoint(&server, 600, 1);
        server.kill();
        // What a start replays is written to tables.
        assert_eq!(scene.data.serve().stop().code, Some(0));
        let server = scene.data.serve();
        wait_for(|| (!get(&server, "/readyz").text().contains("held")).then_some(()));
        assert!(flip_in_tables(scene.data.path(), &mark) > 0, "the fault did not fire");
        wait_for(|| get(&server, "/readyz").text().contains("log main: halted").then_some(()));
        assert_eq!(server.stop().code, Some(0));
        mark[0] ^= 1;
        assert!(flip_in_tables(scene.data.path(), &mark) > 0, "it was not mended");
        scene.back_up();
        if saw_more {
            assert_eq!(cairnd(scene.data.path(), &["repair"]).code, Some(0));
            let server = scene.data.serve();
            wait_for(|| (scene.append(&server, "witnessed", b"lost").status == 200).then_some(()));
            assert_eq!(server.stop().code, Some(0));
        }
        assert_eq!(scene.lose_and_restore(), "asks-witnesses");
        let mended = cairnd(scene.data.path(), &["repair"]);
        assert_eq!(mended.code, Some(0), "{mended:?}");
        let server = scene.data.serve();
        if saw_more {
            wait_for(|| get(&server, "/readyz").text().contains("log main: halted").then_some(()));
            assert_eq!(scene.append(&server, "integrated", b"fork").status, 503);
            assert_eq!(size(&server, "head"), 600);
        } else {
            wait_for(|| (scene.append(&server, "integrated", b"on").status == 200).then_some(()));
            scene.wait_for_checkpoint(&server, 601, 1);
        }
    }
}

/// No entry tells of it: the high-water file does.
#[test]
fn a_restored_log_whose_policy_was_changed_since_is_held() {
    for becomes in ["another", "none", "the same"] {
        let scene = Scene::new(3, 2);
        let server = scene.data.serve();
        scene.append_witnessed(&server, b"in the backup");
        scene.wait_for_checkpoint(&server, 1, 2);
        scene.back_up();
        let text = policy(&scene.all(), if becomes == "the same" { 2 } else { 3 });
        let changed = match becomes {
            "none" => cairnd(scene.data.path(), &["log", "policy", "main", "--none"]),
            _ => scene.set_policy(&text, &[]),
        };
        assert_eq!(changed.code, Some(0), "{changed:?}");
        assert_eq!(server.stop().code, Some(0));
        let said = scene.lose_all_but_the_high_water();
        let is_held = becomes != "the same";
        assert_eq!((&said["verdict"], &said["held"]), (&"signs".into(), &is_held.into()), "{becomes}: {said}");
        let server = scene.data.serve();
        if is_held {
            let answer = scene.append(&server, "integrated", b"held");
            let words = ["log-held", "lost the log's witness policy", "cairnd log policy NAME"];
            assert!(answer.status == 503 && words.iter().all(|word| answer.text().contains(word)), "{}", answer.text());
            let said = match becomes {
                "none" => cairnd(scene.data.path(), &["log", "policy", "main", "--none"]),
                _ => scene.set_policy(&text, &[]),
            };
            assert_eq!(said.code, Some(0), "{said:?}");
        }
        wait_for(|| (scene.append(&server, "integrated", b"on").status == 200).then_some(()));
        assert_eq!(server.stop().code, Some(0));
        scene.data.assert_sound();
    }
}

/// The backup of a log that is held knows no more than the log did.
#[test]
fn a_restored_log_that_was_held_in_the_backup_is_said_to_be_held() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"in the backup");
    scene.back_up();
    let changed = scene.set_policy(&policy(&scene.all(), 3), &[]);
    assert_eq!(changed.code, Some(0), "{changed:?}");
    assert_eq!(server.stop().code, Some(0));
    for _ in 0..2 {
        let said = scene.lose_all_but_the_high_water();
        assert_eq!((&said["verdict"], &said["held"]), (&"signs".into(), &true.into()), "{said}");
        let server = scene.data.serve();
        let answer = scene.append(&server, "integrated", b"held");
        assert!(answer.status == 503 && answer.text().contains("log-held"), "{}", answer.text());
        scene.back_up();
        assert_eq!(server.stop().code, Some(0));
    }
}

/// Another may have been put in its place since, so that its witnesses know nothing of what was signed.
#[test]
fn a_restored_log_whose_policy_was_only_proposed_never_signs_again_by_it() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"in the backup");
    scene.back_up();
    let changed = cairnd(scene.data.path(), &["log", "policy", "main", "--none"]);
    assert_eq!(changed.code, Some(0), "{changed:?}");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(scene.lose_all_but_the_high_water()["held"], true);
    scene.witnesses.iter().for_each(|witness| witness.fault(Some(Fault::Dead)));
    let server = scene.data.serve();
    let proposed = scene.set_policy(&policy(&scene.all(), 3), &[]);
    assert_eq!(proposed.code, Some(0), "{proposed:?}");
    scene.back_up();
    let said = cairnd(scene.data.path(), &["log", "policy", "main", "--none"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(scene.append(&server, "integrated", b"signed after the backup").status, 200);
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(scene.lose_and_restore(), "unknown");
    scene.witnesses.iter().for_each(|witness| witness.fault(None));
    let server = scene.data.serve();
    assert_eq!(cairnd(scene.data.path(), &["log", "policy", "main", "--none"]).code, Some(0));
    let answer = scene.append(&server, "integrated", b"fork");
    assert!(answer.status == 503 && answer.text().contains("log-halted"), "{}", answer.text());
    assert_eq!(size(&server, "head"), 1);
}

/// It takes no entries, but its checkpoint is published under whichever policy it has.
#[test]
fn a_restored_log_that_is_sealed_and_whose_policy_was_changed_since_is_held() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"in the backup");
    let sealed = cairnd(scene.data.path(), &["log", "seal", "main", "--successor", "next"]);
    assert_eq!(sealed.code, Some(0), "{sealed:?}");
    scene.wait_for_checkpoint(&server, 2, 3);
    scene.back_up();
    let text = policy(&scene.all(), 3);
    let changed = scene.set_policy(&text, &[]);
    assert_eq!(changed.code, Some(0), "{changed:?}");
    assert_eq!(server.stop().code, Some(0));
    let said = scene.lose_all_but_the_high_water();
    assert_eq!((&said["verdict"], &said["held"]), (&"ended".into(), &true.into()), "{said}");
    let server = scene.data.serve();
    let said = scene.set_policy(&text, &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    scene.wait_for_checkpoint(&server, 2, 3);
    assert_eq!(server.stop().code, Some(0));
    scene.data.assert_sound();
}

/// Nor of this.
#[test]
fn a_restored_log_that_was_halted_for_good_since_is_halted() {
    let scene = Scene::new(1, 1);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"in the backup");
    scene.back_up();
    assert_eq!(server.stop().code, Some(0));
    scene.witnesses[0].fault(Some(Fault::Status(422)));
    let server = scene.data.serve();
    wait_for(|| get(&server, "/readyz").text().contains("log main: halted").then_some(()));
    assert_eq!(server.stop().code, Some(0));
    scene.witnesses[0].fault(None);
    let said = scene.lose_all_but_the_high_water();
    assert_eq!((&said["verdict"], &said["size"]), (&"halted-since".into(), &1.into()), "{said}");
    let server = scene.data.serve();
    let listed = cairnd(scene.data.path(), &["log", "list"]);
    assert!(listed.stdout.contains("halted: restored from a backup that was made before"), "{listed:?}");
    assert_eq!(scene.append(&server, "integrated", b"fork").status, 503);
    assert_eq!(server.stop().code, Some(0));
}

/// The files of the database with this ending.
fn with_ending(scene: &Scene, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(scene.data.path().join("db")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|file| file.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    found
}

/// With the manifest, the write-ahead log and the incidents nothing is left that says why, or that it is so, but the high-water
/// file.
#[test]
fn a_halt_for_good_outlives_the_loss_of_all_but_the_high_water() {
    let scene = Scene::new(1, 1);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"in a table");
    scene.wait_for_checkpoint(&server, 1, 1);
    assert_eq!(server.stop().code, Some(0));
    // What a start replays is written to tables.
    scene.witnesses[0].fault(Some(Fault::Status(422)));
    let server = scene.data.serve();
    wait_for(|| get(&server, "/readyz").text().contains("log main: halted").then_some(()));
    server.kill();
    scene.witnesses[0].fault(None);
    let database = scene.data.path().join("db");
    let manifest = database.join(fs::read_to_string(database.join("CURRENT")).unwrap().trim());
    let lost = with_ending(&scene, ".log").into_iter().chain([manifest, scene.data.path().join("incidents.jsonl")]);
    lost.for_each(|file| fs::remove_file(file).unwrap());
    let mended = cairnd(scene.data.path(), &["repair", "--json"]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    let said: serde_json::Value = serde_json::from_str(&mended.stdout).unwrap();
    let log = &said["logs"][0];
    assert!(log["lifted"] == false && log["ended"].as_str().unwrap().contains("halted for good"), "{said}");
    let server = scene.data.serve();
    let listed = cairnd(scene.data.path(), &["log", "list"]);
    assert!(listed.stdout.contains("the high-water file says that it was halted for good"), "{listed:?}");
    assert_eq!(scene.append(&server, "integrated", b"fork").status, 503);
}

/// It is a row of its own, behind the head that it is of: without it an earlier one would be served again.
#[test]
fn a_checkpoint_that_is_lost_with_the_end_of_the_write_ahead_log_is_missed() {
    let scene = Scene::new(1, 1);
    let server = scene.data.serve();
    for number in 0..3 {
        scene.append_witnessed(&server, &[number; 40]);
    }
    scene.wait_for_checkpoint(&server, 3, 1);
    server.kill();
    let vkey = scene.witnesses[0].vkey();
    let cosigned = vkey.split('+').next().unwrap();
    let log = with_ending(&scene, ".log").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    let line = format!("\u{2014} {cosigned} ");
    let newest = bytes.windows(line.len()).rposition(|window| window == line.as_bytes()).expect("no checkpoint there");
    // As after a crash that cut the last write short.
    fs::write(&log, &bytes[..newest]).unwrap();
    let refused = scene.data.try_serve().err().expect("the start did not refuse");
    assert!(refused.code == Some(1) && refused.stderr.contains("the database is behind"), "{refused:?}");
    // A repair serves none that is smaller either.
    let mended = cairnd(scene.data.path(), &["repair", "--json"]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    let said: serde_json::Value = serde_json::from_str(&mended.stdout).unwrap();
    let told = said["wrong"].as_array().unwrap().iter().find(|wrong| wrong["place"] == "the checkpoint");
    assert_eq!(told.unwrap_or_else(|| panic!("{said}"))["remedy"], "dropped", "{said}");
    scene.witnesses[0].fault(Some(Fault::Dead));
    let server = scene.data.serve();
    assert_eq!(get(&server, "/logs/main/checkpoint").status, 503);
    scene.witnesses[0].fault(None);
    wait_for(|| (get(&server, "/logs/main/checkpoint").status == 200).then_some(()));
    assert!(size(&server, "checkpoint") >= 3);
}
