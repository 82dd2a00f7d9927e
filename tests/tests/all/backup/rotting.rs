//! Backups that rot on their disk, beneath later ones that share their tables.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use cairn_tests::server::run;

use super::{Scene, backup, list};

impl Scene {
    /// Two generations of a database that no server has open.
    fn twice_backed_up() -> Self {
        let scene = Self::new();
        let server = scene.data.serve();
        scene.append(&server, 0..300);
        assert_eq!(server.stop().code, Some(0));
        // What an open writes anew is written by now: from here on all have the same tables.
        (0..3).for_each(|_| drop(scene.back_up(&[])));
        fs::remove_dir_all(scene.dest()).unwrap();
        (0..2).for_each(|_| drop(scene.back_up(&[])));
        scene
    }

    /// The tables that both generations have.
    fn tables(&self) -> Vec<PathBuf> {
        let of = |number: u64| -> BTreeSet<PathBuf> {
            let text = fs::read_to_string(self.dest().join(format!("generations/{number:06}/manifest"))).unwrap();
            let manifest: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let tables = manifest["files"].as_array().unwrap().iter().filter(|file| !file["tail"].is_null());
            let place = |sha256: &str| self.dest().join(format!("tables/{sha256}.sst"));
            tables.map(|file| place(file["sha256"].as_str().unwrap())).collect()
        };
        let shared: Vec<_> = of(1).intersection(&of(2)).cloned().collect();
        assert!(!shared.is_empty(), "nothing is shared");
        shared
    }

    /// Whether a generation is as it was written; `check` and `restore` must agree about it.
    fn is_whole(&self, number: u64) -> bool {
        let from = format!("{}@{number}", self.dest().display());
        let mut command = std::process::Command::new(cairn_tests::server::program("cairnd"));
        let is_whole = run(command.args(["backup", "check", "--from", &from])).code == Some(0);
        let restored = self.try_restore(&format!("@{number}"), "tried", &[]);
        assert_eq!(restored.code == Some(0), is_whole, "{restored:?}");
        let _ = fs::remove_dir_all(self.place("tried"));
        is_whole
    }
}

/// Far from a table's end, by which it is told from others.
fn flip(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    bytes[10] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn names(made: &serde_json::Value) -> Vec<String> {
    let mut names: Vec<String> = made["rotten"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(one["healed"], true, "{one}");
            one["file"].as_str().unwrap().to_owned()
        })
        .collect();
    names.sort();
    names
}

/// What is taken over is read again: damage in it is told, and made good for every generation that shares it.
#[test]
fn a_base_that_rots_is_found_told_and_healed_by_the_next_backup() {
    let scene = Scene::twice_backed_up();
    let shared = scene.tables();
    type Fault = fn(&PathBuf);
    let short: Fault = |path| fs::write(path, &fs::read(path).unwrap()[..10]).unwrap();
    let gone: Fault = |path| fs::remove_file(path).unwrap();
    for (number, fault) in (3..).zip([flip as Fault, short, gone]) {
        shared.iter().for_each(fault);
        assert!(!scene.is_whole(1) && !scene.is_whole(2), "the fault did not fire");
        let made = scene.back_up(&[]);
        let files: Vec<String> = shared.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(names(&made), files, "{made}");
        assert!(made["rotten"][0]["generations"].as_array().unwrap().contains(&2.into()), "{made}");
        (1..=number).for_each(|number| assert!(scene.is_whole(number), "generation {number}"));
        assert!(scene.back_up(&[])["rotten"].is_null());
        fs::remove_dir_all(scene.dest().join(format!("generations/{:06}", number + 1))).unwrap();
    }
    shared.iter().for_each(flip);
    let told = backup(scene.data.path(), &scene.dest(), &[]);
    assert!(told.code == Some(0) && told.stdout.contains("was damaged in the backup, and is made good"), "{told:?}");
}

/// The way that is faster is asked for, and looks at lengths alone.
#[test]
fn a_base_is_left_unread_only_when_that_is_asked_for() {
    let scene = Scene::twice_backed_up();
    scene.tables().iter().for_each(flip);
    let made = scene.back_up(&["--no-reread"]);
    assert!(made["rotten"].is_null(), "{made}");
    assert!(!scene.is_whole(3));
    assert!(!scene.back_up(&[])["rotten"].as_array().unwrap().is_empty());
    (1..=4).for_each(|number| assert!(scene.is_whole(number), "generation {number}"));
    assert_eq!(list(&scene.dest()).len(), 4);
}
