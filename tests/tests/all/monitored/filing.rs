//! Evidence and state that can't be written now are written later, and that is told of meanwhile.

use std::fs;

use cairn_tests::command::cairn;

use super::{Scene, VERIFIED, alarm};

const UNWRITTEN: &str = "cairn_monitor_unwritten_evidence{log=\"log\"}";
const UNSAVED: &str = "cairn_monitor_unsaved{log=\"log\"}";

#[test]
fn evidence_that_finds_no_room_is_said_counted_and_written_when_there_is_room_again() {
    let scene = Scene::new(600);
    let mut monitor = scene.monitor("on_alarm = \"continue\"");
    monitor.wait_for_figure(VERIFIED, 600);
    // Nothing can be written where a file has taken the folder's place.
    let folder = scene.path("state/evidence");
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, b"").unwrap();
    scene.log.change(|model| {
        *model = model.cut(599);
        model.grow(700, "other");
    });
    monitor.wait_for_figure(&alarm("fork"), 1);
    monitor.wait_for_figure(UNWRITTEN, 1);
    assert_eq!(monitor.figure("cairn_monitor_unkept_total"), 1);
    // All of it is said.
    monitor.wait_for_words("\"kind\": \"fork\"");
    let looks = "cairn_monitor_steps_total{log=\"log\"}";
    let before = monitor.figure(looks);
    monitor.wait_for("/metrics", |_, _| monitor.figure(looks) > before + 1);
    assert_eq!(monitor.stderr().matches("could not be written").count(), 1, "it is said once");
    // The log is honest again: what it did is kept all the same.
    scene.log.change(|model| {
        *model = model.cut(0);
        model.grow(600, "entry");
    });
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    monitor.wait_for_figure(UNWRITTEN, 0);
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let judged = cairn(["evidence", "verify", "--key", &scene.log.vkey(), file.to_str().unwrap()]);
    assert_eq!(judged.code, 0, "{judged:?}");
    // And where it is, is known after a restart.
    assert_eq!(monitor.stop(), Some(0));
    assert!(fs::read_to_string(scene.path("state/log.state")).unwrap().contains(file.to_str().unwrap()));
}

#[test]
fn an_alarm_whose_evidence_was_never_written_is_filed_by_the_next_run() {
    let scene = Scene::new(600);
    let mut monitor = scene.monitor("on_alarm = \"continue\"");
    monitor.wait_for_figure(VERIFIED, 600);
    let folder = scene.path("state/evidence");
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, b"").unwrap();
    scene.log.show(Some(450));
    monitor.wait_for_figure(UNWRITTEN, 1);
    monitor.kill();
    fs::remove_file(&folder).unwrap();
    let monitor = scene.monitor("on_alarm = \"continue\"");
    // At least: it looks again while we do.
    monitor.wait_for("/metrics", |_, _| monitor.figure("cairn_monitor_steps_total{log=\"log\"}") >= 3);
    assert_eq!(monitor.figure(&alarm("rollback")), 1);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(matches!(&files[..], [one] if one.to_str().unwrap().starts_with("log.rollback.")), "{files:?}");
}

#[test]
fn a_state_that_can_not_be_saved_is_saved_later() {
    let scene = Scene::new(600);
    let mut monitor = scene.monitor("");
    monitor.wait_for_figure(VERIFIED, 600);
    let file = scene.path("state/log.state");
    let temporary = |entry: &fs::DirEntry| entry.file_name().to_str().unwrap().contains(".tmp-");
    // A folder in the place of the file that takes its place.
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("full")).unwrap();
    scene.grow(900);
    monitor.wait_for_figure(UNSAVED, 1);
    assert_eq!(monitor.figure(VERIFIED), 900, "it goes on watching");
    monitor.wait_for_words("what was verified could not be saved");
    fs::remove_dir_all(&file).unwrap();
    monitor.wait_for_figure(UNSAVED, 0);
    assert_eq!(monitor.stop(), Some(0));
    assert!(!fs::read_dir(scene.path("state")).unwrap().any(|entry| temporary(&entry.unwrap())));
    let before = scene.log.requests().len();
    let monitor = scene.monitor("");
    monitor.wait_for_figure(VERIFIED, 900);
    let asked = scene.log.requests().split_off(before);
    assert!(asked.iter().all(|request| !request.contains("tile/")), "{asked:?}");
}
