//! A database restored by `cairnd restore`, whose log has witnesses: they decide whether it goes on.

use std::fs;
use std::process::Command;

use cairn_tests::server::{cairnd, program, run};

use super::{Scene, get, size, wait_for};

impl Scene {
    /// Backs the database up, with its keys.
    fn back_up(&self) {
        let dest = self.folder.path().join("backups");
        let ended = cairnd(self.data.path(), &["backup", "--with-keys", "--to", dest.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
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
