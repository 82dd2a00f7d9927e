//! Making backups: beside appends, again and again, of what is damaged, onto a disk that is full.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cairn_tests::random::Random;
use cairn_tests::server::{program, run};

use super::{Scene, backup, list};

const ROUNDS: u64 = 20;

/// Each is restored, which hashes every entry, and has all that was acknowledged before it began.
#[test]
fn twenty_backups_under_full_load_are_each_restored_and_sound() {
    let scene = Scene::new();
    let server = scene.data.serve();
    let load = scene.load(&server);
    let (mut bytes, mut new_bytes) = (0, 0);
    for round in 1..=ROUNDS {
        let before = scene.oracle.lock().unwrap().newest();
        let made = scene.back_up(&[]);
        assert_eq!(made["generation"], round);
        bytes += made["bytes"].as_u64().unwrap();
        new_bytes += made["new_bytes"].as_u64().unwrap();
        let log = &made["logs"][0];
        let size = log["size"].as_u64().unwrap();
        assert!(size >= before, "what was acknowledged is not in the backup: {size} of {before}");
        let name = format!("restored-{round}");
        let restored = scene.restore(&format!("@{round}"), &name, &[]);
        assert_eq!((&restored["verdict"], restored["size"].as_u64()), (&"unknown".into(), Some(size)));
        if let Some(seen) = scene.oracle.lock().unwrap().roots().find(|root| root.size.get() == size) {
            assert_eq!(log["root"], seen.hash.to_base64(), "another root than the log signed at size {size}");
        }
        fs::remove_dir_all(scene.place(&name)).unwrap();
    }
    load.end();
    assert!(scene.oracle.lock().unwrap().newest() > 2_000, "there was no load");
    assert!(new_bytes < bytes, "no table was shared: {new_bytes} of {bytes}");
    assert!(!scene.data.path().join("frozen").exists());
    let mut random = Random::for_test("backup");
    scene.oracle.lock().unwrap().check(server.address(), &mut random).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(list(&scene.dest()).len() as u64, ROUNDS);
}

#[test]
fn keys_are_in_a_backup_only_when_asked_for_and_nobody_else_reads_it() {
    let scene = Scene::new();
    let without = scene.back_up(&[]);
    let with = scene.back_up(&["--with-keys"]);
    assert_eq!((&without["with_keys"], &with["with_keys"]), (&false.into(), &true.into()));
    let generations = scene.dest().join("generations");
    assert!(!generations.join("000001/keys").exists());
    assert!(generations.join("000002/keys/main.skey").exists());
    let mut folders = vec![scene.dest()];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let mode = file.metadata().unwrap().permissions().mode() & 0o077;
            assert_eq!(mode, 0, "{}", file.path().display());
            if file.file_type().unwrap().is_dir() {
                folders.push(file.path());
            }
        }
    }
}

/// A flipped byte anywhere: `check` names the file, `restore` refuses and leaves nothing, the other generation is good.
#[test]
fn a_damaged_backup_is_named_and_never_restored() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..300);
    scene.back_up(&[]);
    scene.append(&server, 300..600);
    assert_eq!(server.stop().code, Some(0));
    scene.back_up(&[]);
    let generation = scene.dest().join("generations/000002");
    let mut files: Vec<_> = fs::read_dir(generation.join("db")).unwrap().map(|file| file.unwrap().path()).collect();
    files.extend(
        ["high-water", "manifest", "cairnd.toml", "tokens.json", "records.secret"].map(|name| generation.join(name)),
    );
    for file in files.into_iter().filter(|file| fs::metadata(file).unwrap().len() > 0) {
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&file, &bad).unwrap();
        let from = format!("{}@2", scene.dest().display());
        let checked = run(Command::new(program("cairnd")).args(["backup", "check", "--from", &from]));
        assert_eq!(checked.code, Some(1), "{}: {checked:?}", file.display());
        assert!(checked.stderr.contains("damaged") && checked.stderr.contains(name(&file)), "{checked:?}");
        let refused = scene.try_restore("@2", "refused", &[]);
        assert_eq!((refused.code, refused.stderr.lines().count()), (Some(1), 1), "{refused:?}");
        assert!(!scene.place("refused").exists());
        fs::write(&file, good).unwrap();
    }
    assert_eq!(scene.restore("@2", "good", &[])["size"], 600);
    assert_eq!(scene.restore("@1", "older", &[])["size"], 300);
    let left: Vec<_> = fs::read_dir(scene.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("restoring")), "{left:?}");
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn two_backups_at_once_do_not_take_each_others_files() {
    let scene = Scene::new();
    let lock = fs::File::create(scene.data.path().join("frozen.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let ended = backup(scene.data.path(), &scene.dest(), &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("another backup is under way"), "{ended:?}");
    drop(lock);
    scene.back_up(&[]);
}

/// A backup is no part of what it is a backup of.
#[test]
fn a_folder_of_backups_stands_apart_from_the_database() {
    let scene = Scene::new();
    let data = scene.data.path();
    let names = || {
        let names = fs::read_dir(data.join("db")).unwrap().chain(fs::read_dir(data).unwrap());
        names.map(|file| file.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    for inside in [data.to_owned(), data.join("db"), data.join("db/new"), data.join("backups")] {
        let refused = backup(data, &inside, &[]);
        assert!(refused.code == Some(1) && refused.stderr.contains("stands inside of"), "{refused:?}");
        assert_eq!(names(), before);
    }
    scene.back_up(&[]);
}

/// Old generations go, with the tables that only they had; those that are kept are whole, and a crash between is made good.
#[test]
fn only_so_many_generations_are_kept_and_no_table_that_nothing_needs() {
    let scene = Scene::new();
    let server = scene.data.serve();
    let tables = || {
        let names = fs::read_dir(scene.dest().join("tables")).unwrap().map(|file| file.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    for round in 1..=5 {
        scene.append(&server, 60 * round..60 * round + 60);
        scene.back_up(&[]);
    }
    let all = tables();
    fs::write(scene.dest().join("tables/stray.sst"), b"of a backup that was killed").unwrap();
    let made = scene.back_up(&["--keep", "2"]);
    assert_eq!(made["removed"], serde_json::json!([1, 2, 3, 4]));
    let numbers: Vec<_> = list(&scene.dest()).iter().map(|one| one["generation"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [5, 6]);
    assert!(tables().len() < all.len() + 2, "no table went: {:?}", tables());
    assert!(!scene.dest().join("tables/stray.sst").exists());
    for number in numbers {
        assert_eq!(scene.restore(&format!("@{number}"), &format!("r{number}"), &[])["verdict"], "unknown");
    }
    // A generation that can't be read may have any of the tables.
    fs::write(scene.dest().join("generations/000006/manifest"), b"damaged").unwrap();
    let before = tables();
    let refused = backup(scene.data.path(), &scene.dest(), &["--keep", "2"]);
    assert!(
        refused.code == Some(1) && refused.stdout.contains("generation 6 is not good: the manifest"),
        "{refused:?}"
    );
    assert!(refused.stdout.contains("generation 7 is made, but NOT REMOVED: generation 5"), "{refused:?}");
    assert!(tables().is_superset(&before));
    assert_eq!(backup(scene.data.path(), &scene.dest(), &["--keep", "0"]).code, Some(2));
    assert_eq!(server.stop().code, Some(0));
}

/// Without these files no server goes on from a backup, and older generations, which have them, may be removed after it.
#[test]
fn a_backup_is_refused_where_a_file_is_gone_that_an_earlier_one_has() {
    let scene = Scene::new();
    let server = scene.data.serve();
    let is_refused = |words: &str| {
        let ended = backup(scene.data.path(), &scene.dest(), &["--keep", "1"]);
        assert!(ended.code == Some(1) && ended.stderr.contains(words), "{ended:?}");
    };
    let secret = scene.data.path().join("records.secret");
    let good = fs::read(&secret).unwrap();
    let away = scene.place("away");
    fs::rename(&secret, &away).unwrap();
    is_refused("records.secret is gone, and no server starts without it");
    fs::rename(&away, &secret).unwrap();
    scene.back_up(&[]);
    for name in ["records.secret", "tokens.json"] {
        let path = scene.data.path().join(name);
        fs::rename(&path, &away).unwrap();
        is_refused(&format!("{name} is gone"));
        fs::rename(&away, &path).unwrap();
    }
    let mut bad = good.clone();
    bad[5] ^= 1;
    fs::write(&secret, bad).unwrap();
    is_refused("is damaged");
    fs::write(&secret, good).unwrap();
    assert_eq!(list(&scene.dest()).len(), 1, "what is refused removes nothing");
    scene.back_up(&["--keep", "1"]);
    drop(server);
    fs::rename(&secret, &away).unwrap();
    is_refused("records.secret is gone, and generation 2 has it");
}
