//! A backup of a log that was halted for damage, brought back: a repair of it lifts the halt, and must not let it sign again what
//! it signed after the backup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::{Data, cairnd, program, run};

use super::{SOUND, Scene, repair_json};
use crate::damage::{flip_in_tables, get};

impl Scene {
    /// A backup of the log, halted for damage that is not in the tables any more, and the high-water file as of then.
    fn halted_and_backed_up() -> (Self, PathBuf) {
        let scene = Self::new();
        scene.damage_and_find(scene.data.serve());
        let mut flipped = scene.mark.clone();
        flipped[0] ^= 1;
        assert!(flip_in_tables(scene.data.path(), &flipped) > 0, "it was not mended");
        let ended = cairnd(scene.data.path(), &["backup", "--with-keys", "--to", &scene.backups()]);
        assert_eq!(ended.code, SOUND, "{ended:?}");
        let high_water = scene.keep_high_water("then");
        (scene, high_water)
    }

    fn keep_high_water(&self, name: &str) -> PathBuf {
        let kept = self.place(name);
        fs::copy(self.data.path().join("high-water"), &kept).unwrap();
        kept
    }

    /// Restores the backup and says what becomes of the log.
    fn restore(&self, name: &str, high_water: Option<&Path>) -> (Data, serde_json::Value) {
        let mut command = Command::new(program("cairnd"));
        command.args(["restore", "--json", "--from", &self.backups(), "--data"]).arg(self.place(name));
        if let Some(high_water) = high_water {
            command.arg("--high-water").arg(high_water);
        }
        let ended = run(&mut command);
        assert_eq!(ended.code, SOUND, "{ended:?}");
        (Data::at(self.place(name), &self.data), serde_json::from_str(&ended.stdout).unwrap())
    }
}

#[test]
fn a_log_that_signed_more_after_its_damage_was_mended_never_signs_from_the_backup() {
    let (mut scene, _) = Scene::halted_and_backed_up();
    let (code, said) = repair_json(scene.data.path(), &[]);
    assert_eq!((code, &said["logs"][0]["lifted"]), (SOUND, &true.into()), "{said}");
    let server = scene.data.serve();
    scene.append(&server, b"signed after the backup");
    assert_eq!(server.stop().code, SOUND);
    let newest = scene.keep_high_water("newest");
    for (name, evidence, verdict) in [("compared", Some(&*newest), "lost-tail"), ("alone", None, "unknown")] {
        let (data, said) = scene.restore(name, evidence);
        assert_eq!((&said["verdict"], &said["damaged"]), (&verdict.into(), &true.into()), "{said}");
        let (code, said) = repair_json(data.path(), &[]);
        assert_eq!((code, &said["logs"][0]["lifted"]), (SOUND, &false.into()), "{said}");
        let server = data.serve();
        let request =
            Request::post("/logs/main/entries", "fork").with("authorization", format!("Bearer {}", data.token));
        let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
        assert!(answer.status == 503 && answer.text().contains("log-halted"), "{}", answer.text());
        let ready = get(&server, "/readyz").text();
        assert!(ready.contains("restored from a backup"), "{ready}");
    }
}

#[test]
fn a_log_that_was_halted_for_damage_and_lacks_nothing_goes_on_once_it_is_repaired() {
    let (mut scene, high_water) = Scene::halted_and_backed_up();
    let (data, said) = scene.restore("new", Some(&high_water));
    assert_eq!((&said["verdict"], &said["damaged"]), (&"signs".into(), &true.into()), "{said}");
    let (code, said) = repair_json(data.path(), &[]);
    assert_eq!((code, &said["logs"][0]["lifted"]), (SOUND, &true.into()), "{said}");
    scene.data = data;
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
}
