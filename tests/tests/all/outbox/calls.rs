//! Every call of the operating system that an append makes, failing, cut short, or the last before a kill: the append says
//! so or has succeeded, and the outbox can be opened afterwards and holds what was acknowledged.

use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::command::cairn;
use cairn_tests::folder::copy;
use cairn_tests::preload::{Calls, Class, Deed};
use cairn_tests::server::program;

use super::record;

const DEEDS: [(Class, Deed); 8] = [
    (Class::Change, Deed::Fail("EIO")),
    (Class::Change, Deed::Fail("ENOSPC")),
    (Class::Change, Deed::Short),
    (Class::Change, Deed::KillBefore),
    (Class::Change, Deed::KillHalf),
    (Class::Change, Deed::KillAfter),
    (Class::Read, Deed::Fail("EIO")),
    (Class::Read, Deed::Short),
];

/// A folder that each trial begins with, and the file of the record that is added to it.
struct Trials {
    folder: tempfile::TempDir,
    base: PathBuf,
    /// How many records are in it.
    before: u64,
    /// Filled, so that the append begins a new segment.
    record: PathBuf,
}

impl Trials {
    fn new(before: u64, length: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (base, file) = (folder.path().join("base"), folder.path().join("record.json"));
        std::fs::create_dir(&base).unwrap();
        std::fs::write(&file, record("1", "create", &"x".repeat(length)).to_string()).unwrap();
        for _ in 0..before {
            let added = cairn(["outbox", "add", "--dir", base.to_str().unwrap(), file.to_str().unwrap()]);
            assert_eq!(added.code, 0, "{added:?}");
        }
        Self { folder, base, before, record: file }
    }

    /// One append with a fault at one call; whether the fault fired, if there was such a call.
    fn one(&self, (class, deed): (Class, Deed), at: u64) -> Option<bool> {
        let outbox = self.folder.path().join("outbox");
        if outbox.exists() {
            std::fs::remove_dir_all(&outbox).unwrap();
        }
        copy(&self.base, &outbox).unwrap();
        let calls = Calls::new(&outbox, &self.folder.path().join("control"), (class, deed)).unwrap();
        calls.arm(at, 0).unwrap();
        let mut command = Command::new(program("cairn"));
        command.args(["outbox", "add", "--dir"]).arg(&outbox).arg(&self.record).envs(calls.environment(&[]));
        let output = command.output().unwrap();
        let (told, fired) = (String::from_utf8_lossy(&output.stderr), calls.fired().unwrap() > 0);
        let place = format!("{class:?} {deed:?} {at}, {}: {told}", calls.place().unwrap());
        assert!(!told.contains("panicked"), "{place}");
        match output.status.code() {
            None => assert!(fired && deed.kills(), "{place}"),
            Some(0) => assert!(!fired || !deed.kills(), "{place}"),
            Some(code) => assert!(fired && code == 1 && told.lines().count() == 1, "{place} {code}"),
        }
        let acked = output.status.success();
        self.check(&outbox, acked, &place);
        // Of the calls that are to be cut short, some have no more to give.
        (calls.calls().unwrap() >= at).then_some(fired)
    }

    /// What is there, and that the next one is taken.
    fn check(&self, outbox: &Path, acked: bool, place: &str) {
        let records = || {
            let status = cairn(["outbox", "status", "--json", "--dir", outbox.to_str().unwrap()]);
            // An outbox that was never made is none.
            if status.code == 2 && self.before == 0 && !acked {
                return 0;
            }
            assert_eq!(status.code, 0, "{place}: {status:?}");
            status.json()[0]["records"].as_u64().unwrap()
        };
        let there = records();
        assert!(there == self.before + 1 || !acked && there == self.before, "{place}: {there} records");
        let again = cairn(["outbox", "add", "--dir", outbox.to_str().unwrap(), self.record.to_str().unwrap()]);
        assert_eq!((again.code, records()), (0, there + 1), "{place}: {again:?}");
        let names = std::fs::read_dir(outbox).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let stray: Vec<String> = names.filter(|name| name.contains("tmp") || name.ends_with(".new")).collect();
        assert!(stray.is_empty(), "{place}: {stray:?} stay behind");
    }

    fn all(&self) -> u64 {
        let fired = |deed| (1..).map_while(move |at| self.one(deed, at)).filter(|fired| *fired).count() as u64;
        DEEDS
            .into_iter()
            .map(|(class, deed)| {
                let fired = fired((class, deed));
                // At the first append nothing is there to be read.
                let is_idle = self.before == 0 && class == Class::Read;
                assert!(fired > 0 || is_idle, "{class:?} {deed:?} never fired");
                fired
            })
            .sum()
    }
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn each_call_of_the_first_append_may_fail() {
    let fired = Trials::new(0, 10).all();
    assert!(fired > 60, "{fired} faults fired");
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn each_call_of_a_later_append_may_fail() {
    let fired = Trials::new(2, 10).all();
    assert!(fired > 20, "{fired} faults fired");
}

/// The segment is full: the append begins the next one.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn each_call_of_an_append_that_begins_a_segment_may_fail() {
    let trials = Trials::new(13, 250_000);
    let segments = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    let before = segments(&trials.base);
    let fired = trials.all();
    assert!(segments(&trials.folder.path().join("outbox")) > before, "no segment was begun");
    assert!(fired > 40, "{fired} faults fired");
}

/// The first append makes the folder, and those on the way to it; their names must survive a power loss as well.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn the_first_append_is_not_acknowledged_before_the_folders_names_are_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().canonicalize().unwrap();
    let file = whole.join("record.json");
    std::fs::write(&file, record("1", "create", "x").to_string()).unwrap();
    for (name, above) in [("outbox", "home"), ("deep/outbox", "deep"), ("deep/outbox", "home")] {
        let home = whole.join("home");
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir(&home).unwrap();
        let calls = Calls::new(&whole, &whole.join("control"), (Class::Sync, Deed::Fail("EIO"))).unwrap();
        calls.arm(1, 0).unwrap();
        let add = |faulty: bool| {
            let mut command = Command::new(program("cairn"));
            command.args(["outbox", "add", "--dir"]).arg(home.join(name)).arg(&file);
            if faulty {
                command.envs(calls.environment(&[])).env("CALLS_SUFFIX", above);
            }
            command.output().unwrap()
        };
        let output = add(true);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), calls.fired().unwrap()), (Some(1), 1), "{name} {above}: {told}");
        // The next try makes good what that one could not.
        assert_eq!(add(false).status.code(), Some(0));
    }
}
