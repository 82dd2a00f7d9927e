//! A log that ended without an entry of its own, because it was halted, and that another continues: a repair does not let
//! it go on, even if the row is gone that names the other.

use std::fs;

use cairn_tests::server::{Data, cairnd};

use super::rows::with_ending;
use super::{SOUND, Scene, repair_json};
use crate::damage::{flip_in_tables, get, wait_for};
use crate::scene::copy;

/// How a log's row begins to name the log that continues it.
const MARK: &[u8] = b"\"successor\":{\"name\":\"next\"";

#[test]
fn a_halted_log_that_another_continues_stays_ended_though_the_row_that_says_so_is_gone() {
    let scene = Scene::new();
    scene.back_up();
    let server = scene.data.serve();
    assert!(flip_in_tables(scene.data.path(), &scene.mark) > 0, "the fault did not fire");
    wait_for("the halt", || get(&server, "/readyz").text().contains("log main: halted"));
    let sealed = cairnd(scene.data.path(), &["log", "seal", "main", "--successor", "next"]);
    assert_eq!(sealed.code, SOUND, "{sealed:?}");
    server.kill();
    let whole = Data::at(scene.place("whole"), &scene.data);
    copy(scene.data.path(), whole.path());
    let log = with_ending(scene.data.path(), ".log").pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.windows(MARK.len()).position(|window| window == MARK).expect("it is not in the write-ahead log");
    bytes[at] ^= 1;
    fs::write(&log, bytes).unwrap();
    assert!(scene.data.try_serve().is_err(), "the start did not refuse");
    let mirror = whole.serve();
    let sources = ["--from", &scene.backups(), "--mirror", &mirror.log_url("next")];
    let (code, said) = repair_json(scene.data.path(), &sources);
    assert_eq!((code, &said["mended"]), (SOUND, &true.into()), "{said}");
    let main = &said["logs"][0];
    assert!(main["lifted"] == false && main["ended"].as_str().unwrap().contains("continued by"), "{said}");
    let server = scene.data.serve();
    let listed = cairnd(scene.data.path(), &["log", "list"]);
    assert!(listed.stdout.contains("halted: continued by localhost/logs/next, continued by"), "{listed:?}");
    assert_eq!(server.stop().code, SOUND);
}
