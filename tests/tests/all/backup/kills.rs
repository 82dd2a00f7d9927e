//! kill -9 during a backup and a restore, at many moments, and a full disk: what was there before is as it was.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cairn_tests::preload::{Calls, Class, Deed, Disk};
use cairn_tests::random::Random;
use cairn_tests::server::{Ended, program, run};

use super::{Scene, backup, list};

const KILLS: usize = 24;

/// Runs it, and kills it after a part of the time that it takes when it is let be. Whether it was killed; if not, less
/// time is given to the next.
fn kill_within(command: &mut Command, most: &mut Duration, random: &mut Random) -> bool {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let wait = Duration::from_micros(random.below(most.as_micros() as usize) as u64);
    // The moment of the fault: nothing is waited for.
    std::thread::sleep(wait);
    // It may have ended already.
    let _ = child.kill();
    let killed = child.wait().unwrap().code().is_none();
    if !killed {
        *most = (*most * 3 / 4).max(Duration::from_millis(2));
    }
    killed
}

fn make(data: &Path, dest: &Path) -> Command {
    let mut command = Command::new(program("cairnd"));
    command.arg("backup").arg("--data").arg(data).arg("--to").arg(dest);
    command
}

#[test]
fn a_killed_backup_leaves_the_earlier_ones_and_no_half_one() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..400);
    let begun = Instant::now();
    scene.back_up(&[]);
    let mut whole = begun.elapsed();
    let mut random = Random::for_test("killed backups");
    let (mut killed, mut number, mut tried) = (0, 400, 0);
    while killed < KILLS {
        tried += 1;
        assert!(tried < 10 * KILLS, "only {killed} of {tried} were killed at work");
        scene.append(&server, number..number + 10);
        number += 10;
        let before = list(&scene.dest());
        killed += usize::from(kill_within(&mut make(scene.data.path(), &scene.dest()), &mut whole, &mut random));
        let after = list(&scene.dest());
        assert!(after.len() <= before.len() + 1 && after.starts_with(&before), "{before:?} then {after:?}");
    }
    let last = scene.back_up(&["--with-keys"]);
    let unfinished = fs::read_dir(scene.dest().join("generations")).unwrap().map(|file| file.unwrap().file_name());
    assert!(unfinished.into_iter().all(|name| !name.to_string_lossy().contains("partial")));
    assert_eq!(last["logs"][0]["size"], number);
    for (place, generation) in list(&scene.dest()).iter().enumerate() {
        let restored = scene.restore(&format!("@{}", generation["generation"]), &format!("r{place}"), &[]);
        assert_eq!(restored["size"], generation["logs"][0]["size"]);
    }
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn a_killed_restore_leaves_nothing_that_serves_and_the_next_one_is_whole() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..400);
    scene.back_up(&["--with-keys"]);
    assert_eq!(server.stop().code, Some(0));
    let begun = Instant::now();
    scene.restore("", "whole", &[]);
    let mut whole = begun.elapsed();
    let mut random = Random::for_test("killed restores");
    let (mut killed, mut tried) = (0, 0);
    while killed < KILLS {
        tried += 1;
        assert!(tried < 10 * KILLS, "only {killed} of {tried} were killed at work");
        let mut command = Command::new(program("cairnd"));
        command.args(["restore", "--from"]).arg(scene.dest()).arg("--data").arg(scene.place("new"));
        killed += usize::from(kill_within(&mut command, &mut whole, &mut random));
        if scene.place("new").exists() {
            // It has its name: then it is whole, and knows that it may not sign.
            let ended = cairn_tests::server::cairnd(&scene.place("new"), &["fsck"]);
            assert!(ended.stdout.contains("halted: restored from a backup"), "{ended:?}");
            fs::remove_dir_all(scene.place("new")).unwrap();
        }
    }
    assert_eq!(scene.restore("", "new", &[])["verdict"], "unknown");
    let left = fs::read_dir(scene.folder.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("restoring")));
}

/// Wherever a restore is killed, what it leaves starts under no name: it is a whole database long before it is decided what
/// that may sign.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn what_is_half_restored_is_no_database_to_any_command() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..100);
    scene.back_up(&["--with-keys"]);
    assert_eq!(server.stop().code, Some(0));
    let (room, half) = (scene.place("room"), scene.place("half"));
    let mut killed = 0;
    for at in (1..).step_by(9) {
        fs::create_dir(&room).unwrap();
        let calls = Calls::new(&room, &scene.place("calls"), (Class::Change, Deed::KillAfter)).unwrap();
        calls.arm(at, 0).unwrap();
        let mut command = Command::new(program("cairnd"));
        command.args(["restore", "--from"]).arg(scene.dest()).arg("--data").arg(room.join("new"));
        let ended = run(command.envs(calls.environment(&[])));
        let has_name = room.join("new").exists();
        if !has_name {
            assert!(ended.was_killed() && calls.fired().unwrap() == 1, "{ended:?}");
            fs::rename(room.join(".new.cairn-restoring"), &half).unwrap();
            // The last calls are those of a copy that lacks nothing but its name.
            let place = calls.place().unwrap();
            let lacks_its_name = ["restore.unfinished", "sync of .new.cairn-restoring", "rename of new"];
            let is_decided =
                !half.join("restore.unfinished").exists() && lacks_its_name.iter().any(|end| place.ends_with(end));
            for command in ["fsck", "serve", "backup", "repair"].iter().filter(|_| !is_decided) {
                let more: &[&str] = if *command == "backup" { &["--to", "elsewhere"] } else { &[] };
                let refused = cairn_tests::server::cairnd(&half, &[&[*command], more].concat());
                let is_empty = !half.join("restore.unfinished").exists() && fs::read_dir(&half).unwrap().count() == 0;
                let is_refused = refused.stderr.contains("never finished") || is_empty;
                assert!(refused.code == Some(1) && is_refused, "{} {command}: {refused:?}", calls.place().unwrap());
            }
            fs::remove_dir_all(&half).unwrap();
            killed += 1;
        }
        fs::remove_dir_all(&room).unwrap();
        if has_name {
            break;
        }
    }
    assert!(killed >= 8, "only {killed} kills");
}

/// Nor is what is left of an unfinished restore when the next one, which removes it first, is killed at that. A leftover
/// without its mark is one that lacked nothing but its name.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn what_is_half_removed_is_no_database_to_any_command() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..100);
    scene.back_up(&["--with-keys"]);
    assert_eq!(server.stop().code, Some(0));
    scene.restore("", "whole", &[]);
    let (room, half) = (scene.place("room"), scene.place("half"));
    for is_marked in [true, false] {
        let (mut killed, mut is_gone) = (0, false);
        for at in 1.. {
            let left = room.join(".new.cairn-restoring");
            fs::create_dir(&room).unwrap();
            cairn_tests::folder::copy(&scene.place("whole"), &left).unwrap();
            if is_marked {
                fs::write(left.join("restore.unfinished"), b"").unwrap();
            }
            let calls = Calls::new(&room, &scene.place("calls"), (Class::Change, Deed::KillAfter)).unwrap();
            calls.arm(at, 0).unwrap();
            let mut command = Command::new(program("cairnd"));
            command.args(["restore", "--from"]).arg(scene.dest()).arg("--data").arg(room.join("new"));
            let ended = run(command.envs(calls.environment(&[])));
            assert!(ended.was_killed() && calls.fired().unwrap() == 1, "{ended:?}");
            let place = calls.place().unwrap();
            // From here on it is the next one that is being made.
            is_gone |= place.contains("folder of .new.cairn-restoring");
            let is_begun = left.join("cairnd.toml").exists() || left.join("db").exists() || left.join("keys").exists();
            if is_gone {
                fs::remove_dir_all(&room).unwrap();
                break;
            }
            fs::rename(&left, &half).unwrap_or_else(|error| assert!(!left.exists(), "{error}"));
            for command in ["fsck", "serve", "backup", "repair"].iter().filter(|_| is_begun) {
                let more: &[&str] = if *command == "backup" { &["--to", "elsewhere"] } else { &[] };
                let refused = cairn_tests::server::cairnd(&half, &[&[*command], more].concat());
                assert!(
                    refused.code == Some(1) && refused.stderr.contains("never finished"),
                    "{place} {command}: {refused:?}"
                );
            }
            let _ = fs::remove_dir_all(&half);
            fs::remove_dir_all(&room).unwrap();
            killed += 1;
        }
        assert!(is_gone && killed >= 8, "only {killed} kills");
    }
}

/// The names of the folders of the first generation are as durable as its files.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn a_backup_that_was_reported_outlasts_a_power_failure() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..100);
    let room = scene.place("room");
    fs::create_dir(&room).unwrap();
    let (disk, dest) = (Disk::new(&room, scene.place("disk")), room.join("deep/backups"));
    for number in 1..=3 {
        let mut command = make(scene.data.path(), &dest);
        command.env("LD_PRELOAD", Disk::library()).envs(disk.environment());
        let made = run(command.args(["--keep", "2"]));
        assert_eq!(made.code, Some(0), "{made:?}");
        let forgotten = disk.power_fails(None).unwrap();
        // What was removed may be there again: the folder that lost its name was not to be lost itself.
        let kept = |name: &String| name.contains(".partial/") || name.contains("/tables/");
        assert!(forgotten.files.iter().all(kept), "{forgotten:?}");
        let there: Vec<_> = list(&dest).iter().map(|one| one["generation"].as_u64().unwrap()).collect();
        assert_eq!(there, (number - u64::from(number > 1)..=number).collect::<Vec<_>>());
        scene.append(&server, number * 100..number * 100 + 10);
    }
    assert_eq!(server.stop().code, Some(0));
}

/// Nor is a name lost on the way there that somebody made who was killed before he synced it.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn folders_that_a_killed_run_made_outlast_a_power_failure_as_well() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.append(&server, 0..100);
    let room = scene.place("room");
    fs::create_dir(&room).unwrap();
    let (disk, dest, new) = (Disk::new(&room, scene.place("disk")), room.join("a/b/c"), room.join("d/e/new"));
    let on_disk = |command: &mut Command| {
        let ended = run(command.env("LD_PRELOAD", Disk::library()).envs(disk.environment()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
    };
    let make_unsynced = |folder: &Path| on_disk(Command::new("mkdir").arg("-p").arg(folder));
    // What a killed run leaves.
    make_unsynced(&dest);
    disk.power_fails(None).unwrap();
    assert!(!room.join("a").exists(), "the fault did not fire");
    make_unsynced(&dest);
    on_disk(&mut make(scene.data.path(), &dest));
    disk.power_fails(None).unwrap();
    assert_eq!(list(&dest).len(), 1);
    make_unsynced(new.parent().unwrap());
    on_disk(Command::new(program("cairnd")).args(["restore", "--from"]).arg(&dest).arg("--data").arg(&new));
    disk.power_fails(None).unwrap();
    let found = cairn_tests::server::cairnd(&new, &["fsck"]);
    assert!(found.stdout.contains("halted: restored from a backup"), "{found:?}");
    assert_eq!(server.stop().code, Some(0));
}

/// A small file system for the backups alone.
#[test]
#[cfg_attr(not(can_mount), ignore = "a tmpfs can't be mounted here: that takes root")]
fn a_full_disk_for_backups_fails_the_backup_and_nothing_else() {
    let scene = Scene::new();
    fs::create_dir(scene.dest()).unwrap();
    let mount = |arguments: &[&str]| -> Ended { run(Command::new("mount").args(arguments).arg(scene.dest())) };
    assert_eq!(mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).code, Some(0));
    let unmounted = Unmount(scene.dest());
    let server = scene.data.serve();
    scene.append(&server, 0..200);
    scene.back_up(&[]);
    let before = list(&scene.dest());
    fs::write(scene.dest().join("filler"), vec![1; 2 << 20]).unwrap_err();
    scene.append(&server, 200..210);
    let full = backup(scene.data.path(), &scene.dest(), &[]);
    assert_eq!(full.code, Some(1), "{full:?}");
    assert!(full.stderr.contains("No space left"), "the fault did not fire: {full:?}");
    assert_eq!(list(&scene.dest()), before);
    assert!(!scene.data.path().join("frozen").exists());
    scene.append(&server, 210..220);
    fs::remove_file(scene.dest().join("filler")).unwrap();
    assert_eq!(scene.back_up(&[])["logs"][0]["size"], 220);
    assert_eq!(scene.restore("@1", "first", &[])["size"], 200);
    drop(unmounted);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg("--lazy").arg(&self.0));
        if unmounted.code != Some(0) {
            eprintln!("{unmounted:?}");
        }
    }
}
