//! The whole way: found by the scrubber, halted, stopped, mended, served again, with a monitor that watches throughout.

use cairn_tests::monitor::Monitor;
use cairn_tests::server::cairnd;
use cairn_tree::hash::Hash;

use super::{
    FAILED, MENDABLE, MISSING, SOUND, Scene, files, flip_in_tables, get, incidents, kept, repair, repair_json, serve_at,
};
use crate::damage::long;

#[test]
fn what_the_scrubber_found_is_mended_from_a_backup_and_no_monitor_takes_alarm() {
    let mut scene = Scene::new();
    scene.back_up();
    let server = scene.data.serve();
    let address = server.address();
    let url = server.log_url("main");
    let state = scene.place("monitor");
    let arguments = ["--url", &url, "--key", &scene.data.main.vkey, "--state", state.to_str().unwrap()];
    let mut monitor = Monitor::start(
        &[&arguments[..], &["--interval", "20ms", "--stale-after", "0s", "--on-alarm", "continue"]].concat(),
    );
    (0..5).for_each(|number| scene.append(&server, format!("after the backup {number}").as_bytes()));
    monitor.wait_for_figure("cairn_monitor_verified_entries{log=\"log\"}", 605);
    scene.damage_and_find(server);
    // Nobody who was asked has it; then what it takes is said, and nothing is changed.
    let before = files(scene.data.path());
    let none = repair(scene.data.path(), &[]);
    assert_eq!(none.code, MISSING, "{none:?}");
    assert!(none.stdout.contains("log main: bundle 1 (entries 256 to 511): "), "{}", none.stdout);
    assert!(none.stdout.contains("MISSING") && none.stdout.contains("--mirror URL"), "{}", none.stdout);
    let backups = scene.backups();
    let (code, said) = repair_json(scene.data.path(), &["--from", &backups, "--check"]);
    assert_eq!((code, &said["mended"], &said["missing"]), (MENDABLE, &false.into(), &false.into()));
    assert!(before == files(scene.data.path()), "something was changed");
    let (code, said) = repair_json(scene.data.path(), &["--from", &backups]);
    assert_eq!((code, &said["mended"]), (SOUND, &true.into()), "{said}");
    let bundle = said["wrong"].as_array().unwrap().iter().find(|wrong| wrong["remedy"] == "from").unwrap();
    assert_eq!((&bundle["first"], &bundle["end"]), (&256.into(), &512.into()), "{said}");
    assert_eq!(bundle["from"], format!("generation 1 of {backups}"));
    assert_eq!((&said["logs"][0]["size"], &said["logs"][0]["lifted"]), (&605.into(), &true.into()));
    let kept = kept(scene.data.path());
    assert!(kept.len() == 1 && kept[0].starts_with("db.damaged-"), "{kept:?}");
    let told = incidents(scene.data.path());
    let last = told.iter().rfind(|one| one["kind"] == "bundle").unwrap();
    assert_eq!((&last["event"], &last["first"], &last["end"]), (&"repaired".into(), &256.into(), &512.into()));
    assert!(last["found"].as_str().unwrap().contains("taken from generation 1"), "{last}");
    let server = serve_at(scene.data.path(), address);
    scene.assert_goes_on(&server);
    assert_eq!(get(&server, "/logs/main/entries/300").body, scene.mark);
    monitor.wait_for_figure("cairn_monitor_verified_entries{log=\"log\"}", 606);
    let honest = |event: &serde_json::Value| event["event"] != "alarm" || event["alarm"] == "unreachable";
    assert!(monitor.events().iter().all(honest), "{:?}", monitor.events());
    assert_eq!(monitor.stop(), Some(0));
    assert_eq!(server.stop().code, SOUND);
    scene.data.assert_sound();
    let again = repair(scene.data.path(), &[]);
    assert!(again.code == SOUND && again.stdout.contains("there is nothing to mend"), "{again:?}");
}

#[test]
fn tiles_are_made_anew_from_the_entries_and_need_no_source() {
    let mut scene = Scene::new();
    let leaf = *Hash::leaf(&long(400)).as_bytes();
    assert!(flip_in_tables(scene.data.path(), &leaf) > 0, "the fault did not fire");
    let unsound = cairnd(scene.data.path(), &["fsck"]);
    assert_eq!(unsound.code, FAILED, "{unsound:?}");
    let (code, said) = repair_json(scene.data.path(), &[]);
    assert_eq!((code, &said["mended"]), (SOUND, &true.into()), "{said}");
    let wrong = said["wrong"].as_array().unwrap();
    assert!(wrong.iter().any(|wrong| wrong["place"].as_str().unwrap().starts_with("tile 1 of level 0")), "{said}");
    assert!(wrong.iter().all(|wrong| wrong["remedy"] == "made"), "{said}");
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
    assert_eq!(server.stop().code, SOUND);
    scene.data.assert_sound();
}

/// The bundle and the tile above it, of one another the only witnesses here.
#[test]
fn entries_and_their_tile_are_mended_from_a_backup_together() {
    let mut scene = Scene::new();
    scene.back_up();
    let leaf = *Hash::leaf(&long(400)).as_bytes();
    for mark in [&leaf[..], &scene.mark] {
        assert!(flip_in_tables(scene.data.path(), mark) > 0, "the fault did not fire");
    }
    assert_eq!(repair(scene.data.path(), &[]).code, MISSING);
    let backups = scene.backups();
    let mended = repair(scene.data.path(), &["--from", &backups]);
    assert_eq!(mended.code, SOUND, "{mended:?}");
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
    assert_eq!(server.stop().code, SOUND);
}

#[test]
fn a_database_that_is_served_or_sound_is_left_alone() {
    let scene = Scene::new();
    let server = scene.data.serve();
    let served = repair(scene.data.path(), &[]);
    assert!(served.code == FAILED && served.stderr.contains("stop the server first"), "{served:?}");
    assert_eq!(server.stop().code, SOUND);
    let before = files(scene.data.path());
    for more in [&["--check"][..], &[]] {
        let sound = repair(scene.data.path(), more);
        assert_eq!((sound.code, sound.stderr.as_str()), (SOUND, ""));
        assert!(sound.stdout.contains("sound: there is nothing to mend"), "{sound:?}");
    }
    assert!(before == files(scene.data.path()), "something was changed");
    assert_eq!(kept(scene.data.path()), Vec::<String>::new());
}

/// A log that may never sign again for another reason than damage does not sign after a repair either.
#[test]
fn a_halt_for_good_is_not_lifted() {
    let scene = Scene::new();
    scene.back_up();
    let backups = scene.backups();
    let restored = scene.place("restored");
    let mut command = std::process::Command::new(cairn_tests::server::program("cairnd"));
    let ended = cairn_tests::server::run(command.args(["restore", "--from", &backups, "--data"]).arg(&restored));
    assert_eq!(ended.code, SOUND, "{ended:?}");
    assert!(ended.stdout.contains("HALTED"), "{ended:?}");
    assert!(flip_in_tables(&restored, &scene.mark) > 0, "the fault did not fire");
    let (code, said) = repair_json(&restored, &["--from", &backups]);
    assert_eq!((code, &said["mended"], &said["logs"][0]["lifted"]), (SOUND, &true.into(), &false.into()), "{said}");
    assert!(said["logs"][0]["ended"].as_str().unwrap().contains("halted: restored from a backup"), "{said}");
    let listed = cairnd(&restored, &["fsck"]);
    assert!(listed.stdout.contains("halted: restored from a backup"), "{listed:?}");
}
