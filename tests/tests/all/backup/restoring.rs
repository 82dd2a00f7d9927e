//! What a restored copy may sign: what is proven to be the newest, and nothing else.

use std::fs;
use std::path::PathBuf;

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Server, cairnd};

use super::Scene;
use crate::scene::{append, entry};

impl Scene {
    /// A generation with 20 entries and the keys; the log has 30 by now, and is stopped.
    fn grown() -> Self {
        let scene = Self::new();
        let server = scene.data.serve();
        scene.append(&server, 0..20);
        scene.back_up(&["--with-keys"]);
        scene.append(&server, 20..30);
        assert_eq!(server.stop().code, Some(0));
        scene
    }
}

/// It takes no appends, and gives the good answers that it can.
fn assert_halted(server: &Server, data: &Data, words: &str) {
    let request = Request::post("/logs/main/entries", "more").with("authorization", format!("Bearer {}", data.token));
    let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("log-halted"), "{}", answer.text());
    let get = |target: &str| Connection::open(server.address()).unwrap().ask(&Request::get(target)).unwrap();
    assert_eq!(get("/logs/main/entries/19").body, entry(19));
    let ready = get("/readyz").text();
    assert!(ready.contains("halted") && ready.contains(words), "{ready}");
    // As a check of the stopped database says.
    let checked = cairnd(data.path(), &["fsck"]);
    assert!(checked.code == Some(1) && checked.stdout.contains("main: NOT SOUND: halted: "), "{checked:?}");
}

/// A log whose tail is lost goes on under another origin, whose first entry says where it ended.
fn assert_only_a_successor(data: &Data) {
    let server = data.serve();
    assert_halted(&server, data, "restored from a backup");
    let ended = cairnd(data.path(), &["log", "seal", "main", "--successor", "next"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let request = Request::post("/logs/next/entries", "on").with("authorization", format!("Bearer {}", data.token));
    let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_halted(&server, data, "restored from a backup");
}

#[test]
fn an_older_backup_under_the_surviving_high_water_is_halted_for_good() {
    let scene = Scene::grown();
    let restored = scene.restore("", "new", &["--high-water", &scene.high_water()]);
    assert_eq!(restored["verdict"], "lost-tail", "{restored}");
    assert!(restored["reason"].as_str().unwrap().contains("size 30"), "{restored}");
    assert_only_a_successor(&scene.restored("new"));
}

#[test]
fn without_evidence_nobody_knows_and_the_log_is_halted_for_good() {
    let scene = Scene::grown();
    let restored = scene.restore("", "new", &[]);
    assert_eq!(restored["verdict"], "unknown", "{restored}");
    assert_only_a_successor(&scene.restored("new"));
}

/// A machine that died after its last backup, whose high-water file stood on another disk.
#[test]
fn a_backup_that_lacks_nothing_goes_on_where_it_was() {
    let scene = Scene::grown();
    let made = scene.back_up(&["--with-keys"]);
    let restored = scene.restore("", "new", &["--high-water", &scene.high_water()]);
    assert_eq!((&restored["verdict"], &restored["size"]), (&"signs".into(), &30.into()), "{made} {restored}");
    let data = scene.restored("new");
    let server = data.serve();
    let mut oracle = scene.oracle.lock().unwrap();
    append(&server, &data, &mut oracle, &entry(30));
    oracle.check(server.address(), &mut Random::new(1)).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(server.stop().code, Some(0));
    data.assert_sound();
}

/// A high-water file from before the backup knows nothing of what came after it.
#[test]
fn an_older_high_water_is_no_evidence() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..3);
    assert_eq!(server.stop().code, Some(0));
    let older = scene.place("older");
    fs::copy(scene.data.path().join("high-water"), &older).unwrap();
    let server = scene.data.serve();
    scene.append(&server, 3..6);
    assert_eq!(server.stop().code, Some(0));
    scene.back_up(&[]);
    let refused = scene.try_restore("", "new", &["--high-water", older.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("is older than the backup"), "{refused:?}");
    assert!(!scene.place("new").exists());
    let other = Scene::grown();
    let refused = scene.try_restore("", "new", &["--high-water", &other.high_water()]);
    assert!(refused.code == Some(1) && refused.stderr.contains("belongs to database"), "{refused:?}");
}

/// What a generation has of it speaks for that generation alone, wherever it was copied to: a log that went on by it would
/// sign again what was signed after the backup.
#[test]
fn a_backup_is_no_evidence_for_itself() {
    let scene = Scene::grown();
    scene.back_up(&[]);
    let own = |number: u64| scene.dest().join(format!("generations/{number:06}/high-water"));
    let (copied, linked, hard) = (scene.place("copied"), scene.place("linked"), scene.place("hard"));
    fs::copy(own(1), &copied).unwrap();
    std::os::unix::fs::symlink(own(1), &linked).unwrap();
    fs::hard_link(own(2), &hard).unwrap();
    for (file, words) in [
        (own(1), "stands inside of the backup"),
        (own(2), "stands inside of the backup"),
        (scene.dest().join("generations/../generations/000001/high-water"), "stands inside of the backup"),
        (linked, "stands inside of the backup"),
        (copied, "is byte for byte the copy that generation 1 has"),
        (hard, "is byte for byte the copy that generation 2 has"),
    ] {
        for from in ["@1", "@2"] {
            let refused = scene.try_restore(from, "new", &["--high-water", file.to_str().unwrap()]);
            assert!(refused.code == Some(1) && refused.stderr.contains(words), "{refused:?}");
            assert!(refused.stderr.contains(file.to_str().unwrap()), "{refused:?}");
            assert!(!scene.place("new").exists());
        }
    }
    assert_eq!(scene.restore("@1", "behind", &["--high-water", &scene.high_water()])["verdict"], "lost-tail");
    assert_eq!(scene.restore("@2", "newest", &["--high-water", &scene.high_water()])["verdict"], "signs");
}

/// A database whose high-water file stands elsewhere.
fn kept_elsewhere(scene: &Scene) -> (Data, PathBuf) {
    let (data, elsewhere) = (scene.place("other"), scene.place("elsewhere"));
    let made = cairnd(&data, &["init", "--json", "--high-water", elsewhere.to_str().unwrap()]);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let mut data = Data::at(data, &scene.data);
    data.token = made["producer_token"].as_str().unwrap().to_owned();
    data.main.vkey = made["logs"][0]["vkey"].as_str().unwrap().to_owned();
    (data, elsewhere)
}

/// The file that the configuration names elsewhere is asked without being told, and never written over.
#[test]
fn a_high_water_on_another_disk_is_evidence_by_itself() {
    let scene = Scene::new();
    let (data, elsewhere) = kept_elsewhere(&scene);
    let mut oracle = Oracle::new(&data.main);
    let server = data.serve();
    append(&server, &data, &mut oracle, &entry(0));
    let backup = || super::backup(data.path(), &scene.dest(), &["--with-keys"]);
    assert_eq!(backup().code, Some(0));
    append(&server, &data, &mut oracle, &entry(1));
    assert_eq!(server.stop().code, Some(0));
    let kept = fs::read(&elsewhere).unwrap();
    assert_eq!(scene.restore("", "behind", &[])["verdict"], "lost-tail");
    assert_eq!(backup().code, Some(0));
    assert_eq!(scene.restore("", "newest", &[])["verdict"], "signs");
    assert_eq!(fs::read(&elsewhere).unwrap(), kept);
    let data = Data::at(scene.place("newest"), &data);
    let server = data.serve();
    append(&server, &data, &mut oracle, &entry(2));
    oracle.check(server.address(), &mut Random::new(1)).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// What it signs a moment later the file does not say.
#[test]
fn the_high_water_of_a_database_that_is_served_is_refused() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..3);
    scene.back_up(&["--with-keys"]);
    let linked = scene.place("linked");
    std::os::unix::fs::symlink(scene.high_water(), &linked).unwrap();
    for file in [&scene.high_water(), linked.to_str().unwrap()] {
        let refused = scene.try_restore("", "new", &["--high-water", file]);
        assert!(refused.code == Some(1) && refused.stderr.contains("is being served"), "{refused:?}");
        assert!(!scene.place("new").exists());
    }
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(scene.restore("", "new", &["--high-water", &scene.high_water()])["verdict"], "signs");
    // It is let go of again.
    let server = scene.data.serve();
    append(&server, &scene.data, &mut scene.oracle.lock().unwrap(), &entry(3));
}

/// It does not say what the copy that went on by it signed: a second one would sign that again.
#[test]
fn a_high_water_on_another_disk_speaks_for_one_copy() {
    let scene = Scene::new();
    let (data, elsewhere) = kept_elsewhere(&scene);
    let mut oracle = Oracle::new(&data.main);
    let server = data.serve();
    append(&server, &data, &mut oracle, &entry(0));
    let backup = || assert_eq!(super::backup(data.path(), &scene.dest(), &["--with-keys"]).code, Some(0));
    backup();
    assert_eq!(scene.restore("", "tried", &[])["verdict"], "signs");
    // A database that goes on writes to it, so that it tells again.
    append(&server, &data, &mut oracle, &entry(1));
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(scene.restore("", "behind", &[])["verdict"], "lost-tail");
    backup();
    assert_eq!(scene.restore("", "first", &[])["verdict"], "signs");
    let copy = Data::at(scene.place("first"), &data);
    let server = copy.serve();
    append(&server, &copy, &mut oracle, b"signed by the copy");
    assert_eq!(server.stop().code, Some(0));
    let refused = scene.try_restore("", "second", &[]);
    let words = format!("has not changed since a copy was restored by it into {}", copy.path().display());
    assert!(refused.code == Some(1) && refused.stderr.contains(&words), "{refused:?}");
    assert!(!scene.place("second").exists());
    let newest = copy.path().join("high-water");
    let said = scene.restore("", "second", &["--high-water", newest.to_str().unwrap()]);
    assert_eq!(said["verdict"], "lost-tail", "{said}");
    // Whoever names it says that the copy never signed anything.
    let said = scene.restore("", "third", &["--high-water", elsewhere.to_str().unwrap()]);
    assert_eq!(said["verdict"], "signs", "{said}");
}

/// One that was only tried out counts its commits past those of the database that goes on, so that its file is newer than any
/// backup of that, and knows less.
#[test]
fn the_high_water_of_a_copy_that_had_less_is_no_evidence() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..20);
    scene.back_up(&["--with-keys"]);
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(scene.restore("", "tried", &["--high-water", &scene.high_water()])["verdict"], "signs");
    let server = scene.data.serve();
    scene.append(&server, 20..25);
    scene.back_up(&["--with-keys"]);
    scene.append(&server, 25..30);
    assert_eq!(server.stop().code, Some(0));
    let of_tried = scene.place("tried/high-water");
    let refused = scene.try_restore("@2", "new", &["--high-water", of_tried.to_str().unwrap()]);
    let words = ["was written by another copy of this database", "its size fell from 25 to 20"];
    assert!(refused.code == Some(1) && words.iter().all(|words| refused.stderr.contains(words)), "{refused:?}");
    assert!(!scene.place("new").exists());
    // Of what it was made from it tells, and of the other one the database's own does.
    assert_eq!(scene.restore("@1", "again", &["--high-water", of_tried.to_str().unwrap()])["verdict"], "signs");
    assert_eq!(scene.restore("@2", "behind", &["--high-water", &scene.high_water()])["verdict"], "lost-tail");
}

#[test]
fn nothing_is_restored_over_anything() {
    let scene = Scene::new();
    scene.back_up(&[]);
    fs::create_dir(scene.place("there")).unwrap();
    let refused = scene.try_restore("", "there", &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is there already"), "{refused:?}");
    assert_eq!(fs::read_dir(scene.place("there")).unwrap().count(), 0);
    let refused = scene.try_restore("", "nn/..", &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("does not end in the name of a folder"), "{refused:?}");
    let left = fs::read_dir(scene.folder.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(left.into_iter().all(|name| name != "nn" && !name.to_string_lossy().contains("restoring")));
    let refused = scene.try_restore("@7", "new", &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("holds no generation 7"), "{refused:?}");
}

/// Either could give its name to what the other had only half copied.
#[test]
fn a_second_restore_into_one_place_touches_nothing_of_the_first() {
    let scene = Scene::new();
    scene.back_up(&[]);
    let filled = scene.place(".new.cairn-restoring");
    fs::create_dir(&filled).unwrap();
    fs::write(filled.join("cairnd.toml"), "of the first").unwrap();
    let first = fs::File::open(&filled).unwrap();
    first.lock().unwrap();
    let second = scene.try_restore("", "new", &[]);
    assert!(second.code == Some(1) && second.stderr.contains("another restore into the same place"), "{second:?}");
    assert_eq!(fs::read(filled.join("cairnd.toml")).unwrap(), b"of the first");
    assert!(!scene.place("new").exists());
    drop(first);
    assert_eq!(scene.restore("", "new", &[])["verdict"], "unknown");
    assert!(!filled.exists());
}

/// Findings outlive the database that they are about: an auditor asks for them, and a repair goes by them.
#[test]
fn incidents_come_back_with_the_database() {
    let scene = Scene::grown();
    // Halted for good, which is an incident.
    scene.restore("", "halted", &[]);
    let lines = |name: &str| fs::read_to_string(scene.place(name).join("incidents.jsonl")).unwrap();
    assert_eq!(lines("halted").lines().count(), 1);
    let again = super::backup(&scene.place("halted"), &scene.place("again"), &[]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let from = scene.place("again").display().to_string();
    let data = scene.place("twice");
    let restored = cairnd(&data, &["restore", "--from", &from]);
    assert!(restored.code == Some(0) && restored.stdout.contains("had ended before"), "{restored:?}");
    assert_eq!(lines("twice"), lines("halted"));
}

#[test]
fn a_backup_without_keys_says_so_and_serves_once_they_are_there() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..3);
    assert_eq!(server.stop().code, Some(0));
    scene.back_up(&[]);
    let restored = scene.try_restore("", "new", &["--high-water", &scene.high_water()]);
    assert!(restored.stdout.contains("the backup holds no keys"), "{restored:?}");
    let data = scene.restored("new");
    let refused = data.try_serve().err().unwrap();
    assert!(refused.stderr.contains("is missing"), "{refused:?}");
    crate::scene::copy(&scene.data.path().join("keys"), &data.path().join("keys"));
    let server = data.serve();
    append(&server, &data, &mut scene.oracle.lock().unwrap(), &entry(3));
}

/// Commits are counted on from where the backup stood, or from where the high-water file did, whichever is later: else that file
/// would pass for newer than a backup of the copy, and hide what the copy signed since.
#[test]
fn what_a_copy_signs_is_newer_than_the_high_water_that_it_was_restored_with() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..3);
    scene.back_up(&["--with-keys"]);
    // Commits that bring no entries.
    for _ in 0..20 {
        let said = cairnd(scene.data.path(), &["log", "policy", "main", "--none"]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    assert_eq!(server.stop().code, Some(0));
    let older = scene.place("older");
    fs::copy(scene.high_water(), &older).unwrap();
    for (name, evidence) in [("compared", &["--high-water", older.to_str().unwrap()][..]), ("alone", &[])] {
        let said = scene.restore("@1", name, evidence);
        assert_eq!(said["verdict"], if evidence.is_empty() { "unknown" } else { "signs" }, "{said}");
        let data = scene.restored(name);
        let dest = scene.place(&format!("backups of {name}"));
        let server = data.serve();
        if !evidence.is_empty() {
            append(&server, &data, &mut scene.oracle.lock().unwrap(), &entry(3));
        }
        let made = super::backup(data.path(), &dest, &["--with-keys"]);
        assert_eq!(made.code, Some(0), "{made:?}");
        if !evidence.is_empty() {
            append(&server, &data, &mut scene.oracle.lock().unwrap(), b"acknowledged after the backup");
        }
        assert_eq!(server.stop().code, Some(0));
        let again = scene.place("again");
        let refused =
            cairnd(&again, &["restore", "--from", dest.to_str().unwrap(), "--high-water", older.to_str().unwrap()]);
        assert!(refused.code == Some(1) && refused.stderr.contains("is older than the backup"), "{refused:?}");
        assert!(!again.exists());
        // What the copy itself wrote last tells.
        let newest = data.path().join("high-water");
        let said = cairnd(
            &again,
            &["restore", "--json", "--from", dest.to_str().unwrap(), "--high-water", newest.to_str().unwrap()],
        );
        let verdict = if evidence.is_empty() { "ended" } else { "lost-tail" };
        assert!(said.code == Some(0) && said.stdout.contains(&format!("\"verdict\":\"{verdict}\"")), "{said:?}");
        fs::remove_dir_all(again).unwrap();
    }
}

/// The high-water file knows it by its number, which is never used again.
#[test]
fn a_log_that_was_made_after_the_backup_is_said_to_be_gone() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..3);
    scene.back_up(&["--with-keys"]);
    let create = |data: &Data, name: &str| {
        let made = cairnd(data.path(), &["log", "create", name]);
        assert_eq!(made.code, Some(0), "{made:?}");
    };
    ["one", "two"].iter().for_each(|name| create(&scene.data, name));
    assert_eq!(server.stop().code, Some(0));
    let evidence = scene.high_water();
    let told = scene.try_restore("@1", "told", &["--high-water", &evidence]);
    let gone = |number: u32| format!("log number {number}, size 0: IS GONE: it was made after the backup");
    assert!(told.code == Some(0) && [2, 3].iter().all(|log| told.stdout.contains(&gone(*log))), "{told:?}");
    let said = scene.try_restore("@1", "new", &["--high-water", &evidence, "--json"]);
    let lines: Vec<serde_json::Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<_> = lines.iter().map(|line| (line["verdict"].as_str().unwrap(), &line["number"])).collect();
    assert_eq!(verdicts, [("signs", &().into()), ("gone", &2.into()), ("gone", &3.into())], "{said:?}");
    let data = scene.restored("new");
    create(&data, "one");
    assert_eq!(cairnd(data.path(), &["backup", "--to", scene.place("its").to_str().unwrap()]).code, Some(0));
    let manifest = fs::read_to_string(scene.place("its/generations/000001/manifest")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(manifest.lines().next().unwrap()).unwrap();
    let logs = manifest["logs"].as_array().unwrap_or_else(|| panic!("{manifest}"));
    let ids: Vec<_> = logs.iter().map(|log| &log["id"]).collect();
    assert_eq!(ids, [&serde_json::Value::from(1), &4.into()]);
    // What its place was taken by is another log.
    data.assert_sound();
}
