//! Backups that come back, files that are lost, folders that are shared: what the server refuses, and what only those
//! who watch it can tell.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, Server, program, run};

use crate::scene::{append, copy, entry};

/// A stopped database of 30 entries, its copy from when it had 20, and what was seen of it.
struct Kept {
    folder: tempfile::TempDir,
    data: Data,
    oracle: Oracle,
}

impl Kept {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        let oracle = Oracle::new(&data.main);
        let mut kept = Self { folder, data, oracle };
        kept.grow(0..20);
        copy(kept.data.path(), &kept.older());
        kept.grow(20..30);
        kept
    }

    /// Serves, appends, and stops cleanly.
    fn grow(&mut self, numbers: core::ops::Range<u64>) {
        let server = self.data.serve();
        for number in numbers {
            append(&server, &self.data, &mut self.oracle, &entry(number));
        }
        self.watch(&server, 0);
        assert_eq!(server.stop().code, Some(0));
    }

    fn older(&self) -> std::path::PathBuf {
        self.folder.path().join("older")
    }

    /// Puts a part of the older copy in the place of the newer one.
    fn restore(&self, part: &str) {
        let (from, to) = (self.older().join(part), self.data.path().join(part));
        if from.is_dir() {
            fs::remove_dir_all(&to).unwrap();
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }

    /// Looks at the log as its watcher does, and must get this exit code.
    fn watch(&self, server: &Server, code: i32) -> Ended {
        let mut command = Command::new(program("cairn"));
        command.args(["watch", "--once", "--json", "--stale-after", "1s", "--key", &self.data.main.vkey]);
        command.args(["--url", &server.log_url("main"), "--state"]).arg(self.folder.path().join("watch.json"));
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        ended
    }

    /// The server does not start, for a reason that says these words.
    fn refuses(&self, words: &str) {
        let ended = self.data.try_serve().err().expect("a refusal");
        let lines: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!((ended.code, lines.len()), (Some(1), 1), "{ended:?}");
        assert!(lines[0].starts_with("cairnd: ") && lines[0].contains(words), "not {words:?}: {ended:?}");
    }

    /// The server starts, and everything is there.
    fn serves(&mut self) {
        let server = self.data.serve();
        let checked = self.oracle.check(server.address(), &mut Random::new(1));
        checked.unwrap_or_else(|wrong| panic!("{wrong}"));
        self.watch(&server, 0);
    }
}

#[test]
fn an_older_database_under_the_newer_high_water_is_refused() {
    let mut kept = Kept::make();
    let newest = kept.folder.path().join("newest");
    copy(&kept.data.path().join("db"), &newest);
    kept.restore("db");
    kept.refuses("the database is behind");
    // Trying again does not help.
    kept.refuses("the database is behind");
    fs::remove_dir_all(kept.data.path().join("db")).unwrap();
    copy(&newest, &kept.data.path().join("db"));
    kept.serves();
}

#[test]
fn an_older_high_water_is_refused() {
    let mut kept = Kept::make();
    let newest = fs::read(kept.data.path().join("high-water")).unwrap();
    kept.restore("high-water");
    kept.refuses("high-water");
    fs::write(kept.data.path().join("high-water"), newest).unwrap();
    kept.serves();
}

/// The server can't know; whoever watched it can, and keeps what proves it.
#[test]
fn database_and_high_water_restored_together_start_and_the_watcher_names_it() {
    let mut kept = Kept::make();
    kept.restore("db");
    kept.restore("high-water");
    let server = kept.data.serve();
    let wrong = kept.oracle.check(server.address(), &mut Random::new(1)).unwrap_err();
    assert!(wrong.to_string().contains("the head fell from 30 to 20"), "{wrong}");
    evidence(&kept.watch(&server, 3), "rollback");
    // Once it has grown past what was seen, it is a fork.
    let mut forked = Oracle::new(&kept.data.main);
    for number in 100..120 {
        append(&server, &kept.data, &mut forked, &entry(number));
    }
    assert!(kept.oracle.check(server.address(), &mut Random::new(1)).is_err());
    evidence(&kept.watch(&server, 3), "fork");
}

/// The watcher's last line names a kind of contradiction and a file that is there.
fn evidence(watched: &Ended, kind: &str) {
    let last = watched.stdout.lines().last().unwrap_or_default();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(event["kind"], kind, "{watched:?}");
    let file = Path::new(event["evidence"].as_str().unwrap());
    assert!(fs::metadata(file).unwrap().len() > 100, "{}", file.display());
}

#[test]
fn a_lost_high_water_and_a_lost_database_are_never_made_anew() {
    let mut kept = Kept::make();
    let (path, away) = (kept.data.path().to_owned(), kept.folder.path().join("away"));
    for (part, words) in [("high-water", "there is no high-water file"), ("db", "no database")] {
        fs::rename(path.join(part), &away).unwrap();
        kept.refuses(words);
        assert!(!path.join(part).exists(), "{part} was made anew");
        fs::rename(&away, path.join(part)).unwrap();
    }
    kept.serves();
}

#[test]
fn a_second_server_on_the_same_folder_ends_and_the_first_goes_on() {
    let mut kept = Kept::make();
    let server = kept.data.serve();
    kept.refuses("another process");
    append(&server, &kept.data, &mut kept.oracle, &entry(30));
    // Other commands go through the first.
    kept.data.assert_sound();
    let other = kept.data.create_log("other", &[]);
    append(&server, &kept.data, &mut Oracle::new(&other), &entry(0));
    assert_eq!(server.stop().code, Some(0));
    kept.serves();
}

#[test]
fn key_files_that_others_can_read_or_that_are_changed_or_lost_are_refused() {
    let mut kept = Kept::make();
    let file = kept.data.path().join("keys/main.skey");
    let text = fs::read_to_string(&file).unwrap();
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    kept.refuses("chmod 600");
    mode(0o600);
    // A key of another log under this one's name.
    let other = kept.data.create_log("other", &[]);
    fs::copy(kept.data.path().join("keys/other.skey"), &file).unwrap();
    kept.refuses("key");
    let changed = text.trim_end().strip_suffix(|_| true).unwrap();
    fs::write(&file, changed).unwrap();
    kept.refuses("holds no key");
    fs::remove_file(&file).unwrap();
    kept.refuses("is missing");
    fs::write(&file, text).unwrap();
    mode(0o600);
    assert_eq!(other.name, "other");
    kept.serves();
}

/// Permissions do not bind root, so that the server runs as somebody else then.
#[test]
fn folders_that_cannot_be_written_are_refused() {
    const NOBODY: u32 = 65_534;
    let kept = Kept::make();
    let data = kept.data.path().to_owned();
    let server = kept.folder.path().join("cairnd");
    fs::copy(program("cairnd"), &server).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        fs::set_permissions(kept.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        give(&data, NOBODY);
    }
    for (part, mode) in [("db", 0o500), ("high-water", 0o400), ("", 0o500)] {
        let path = data.join(part);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new(&server);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let ended = run(&mut command);
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains(" INFO ")).collect();
        assert_eq!((ended.code, lines.len()), (Some(1), 1), "{part:?} without the right to write: {ended:?}");
        assert!(lines[0].to_lowercase().contains("permission denied"), "{part:?}: {ended:?}");
        fs::set_permissions(&path, before).unwrap();
    }
}

fn give(path: &Path, owner: u32) {
    chown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|file| give(&file.unwrap().path(), owner));
    }
}
