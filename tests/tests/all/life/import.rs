//! Keys move from the server's files to the signer, and the program is killed at each step of the way: no key is lost, the
//! same command goes on, and at the end no private key of a log is left with the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::server::{Data, Ended, cairnd, run};
use cairn_tests::signer::{command, point_to};

use super::signer::Signer;
use super::{append, cairn, told};
use crate::scene::copy;

/// Everything that changes a name, or makes one durable.
const STEPS: &str = "rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync";

/// A database with a log of three keys, one of them retired, another log, and files that are no log's keys.
struct Moving {
    folder: tempfile::TempDir,
    data: Data,
    /// The private keys of the logs.
    keys: BTreeSet<String>,
}

impl Moving {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        let _second = data.create_log("second", &["--ml-dsa"]);
        told(&data, &["key", "rotate", "main", "--json"]);
        told(&data, &["key", "rotate", "main", "--retire", "--json"]);
        told(&data, &["key", "rotate", "main", "--json"]);
        let this = Self { keys: private_keys(&data.path().join("keys")), data, folder };
        assert_eq!(this.keys.len(), 5);
        let other = Data::init(this.path("other"));
        let _elsewhere = other.create_log("elsewhere", &[]);
        for (key, stray) in
            [("elsewhere", "stray.skey"), ("main", "main+0badc0de.skey"), ("main", "third.skey.unused-1")]
        {
            let key = other.path().join(format!("keys/{key}.skey"));
            fs::copy(key, this.data.path().join("keys").join(stray)).unwrap();
        }
        assert_eq!(run(&mut command(&this.path("signer"), &["init"])).code, Some(0));
        copy(this.data.path(), &this.path("data-before"));
        copy(&this.path("signer"), &this.path("signer-before"));
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn begin_again(&self) {
        for name in ["data", "signer"] {
            fs::remove_dir_all(self.path(name)).unwrap();
            copy(&self.path(&format!("{name}-before")), &self.path(name));
        }
    }

    fn import(&self) -> Command {
        let mut import = command(&self.path("signer"), &["import"]);
        import.arg("--data").arg(self.data.path());
        import
    }

    /// Imports, is told what is left and why, and finds each key at its one place.
    fn finish(&self) {
        let done = run(&mut self.import());
        assert_eq!(done.code, Some(0), "{done:?}");
        let stray = private_files(&self.data.path().join("keys"));
        assert_eq!(stray, ["main+0badc0de.skey", "stray.skey", "third.skey.unused-1"], "{done:?}");
        for line in [
            "main+0badc0de.skey: it is no key of log main",
            "stray.skey: it belongs to no log",
            "third.skey.unused-1: it was set aside",
        ] {
            assert!(done.stdout.contains(line), "{line}: {}", done.stdout);
        }
        assert_eq!(private_keys(&self.path("signer/keys")), self.keys);
    }

    fn serve(&self) {
        point_to(&self.path("signer"), self.data.path());
        let _signer = Signer::on(&self.path("signer"));
        let server = self.data.serve();
        for log in ["main", "second"] {
            assert_eq!(append(&server, &self.data, log, b"on").0, 200);
        }
        assert_eq!(cairn(&server, "main", &["keys", "--key", &self.data.main.vkey]).code, Some(0));
    }
}

fn private_files(folder: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(".skey")).collect();
    names.sort();
    names
}

/// What is in the files, whatever they are called. One that was being written counts for nothing.
fn private_keys(folder: &Path) -> BTreeSet<String> {
    let text = |name: &String| fs::read_to_string(folder.join(name)).unwrap();
    private_files(folder).iter().map(text).filter(|text| text.ends_with('\n')).collect()
}

/// Runs a command with strace's further arguments, which write to `trace`.
fn traced(command: &Command, trace: &Path, arguments: &[&str]) -> Ended {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-o"]).arg(trace).args(arguments).arg(command.get_program());
    run(strace.args(command.get_args()))
}

/// A step of the main thread: a system call, and which of its kind.
type Step = (String, usize);

/// The steps beside the store, in order.
fn steps(trace: &Path) -> Vec<Step> {
    let text = fs::read_to_string(trace).unwrap();
    let main = text.split_whitespace().next().unwrap_or_default();
    let mut counts = BTreeMap::new();
    let mut steps = Vec::new();
    for line in text.lines() {
        let Some(call) = line.strip_prefix(main).and_then(|line| line.trim_start().split_once('(')) else { continue };
        let count = counts.entry(call.0.to_owned()).or_insert(0);
        *count += 1;
        if !line.contains("/db/") && !line.contains("/db>") {
            steps.push((call.0.to_owned(), *count));
        }
    }
    steps
}

fn killed_before(command: &Command, trace: &Path, (call, number): &Step) -> bool {
    traced(command, trace, &["-e", &format!("inject={call}:signal=KILL:when={number}")]).code != Some(0)
}

#[test]
#[cfg_attr(not(has_strace), ignore = "strace is not installed, or may not trace here")]
fn a_kill_at_each_step_of_an_import_is_made_good_by_the_same_command() {
    let moving = Moving::new();
    let trace = moving.path("trace");
    let whole = traced(&moving.import(), &trace, &["-e", &format!("trace={STEPS}")]);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let steps = steps(&trace);
    let mut killed = 0;
    for (number, step) in steps.iter().enumerate() {
        moving.begin_again();
        killed += usize::from(killed_before(&moving.import(), &trace, step));
        let mut there = private_keys(&moving.data.path().join("keys"));
        there.extend(private_keys(&moving.path("signer/keys")));
        assert!(there.is_superset(&moving.keys), "{step:?}: a key is lost");
        moving.finish();
        if number % 8 == 0 || number + 1 == steps.len() {
            moving.serve();
        }
    }
    println!("{killed} kills at {} steps", steps.len());
    assert!(killed > 20, "{killed} kills");
}

#[test]
#[cfg_attr(not(has_strace), ignore = "strace is not installed, or may not trace here")]
fn a_kill_at_each_step_of_making_a_signer_is_made_good_by_the_same_command() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, trace) = (folder.path().join("signer"), folder.path().join("trace"));
    let init = command(&dir, &["init"]);
    assert_eq!(traced(&init, &trace, &["-e", &format!("trace={STEPS}")]).code, Some(0));
    let steps = steps(&trace);
    for step in &steps {
        fs::remove_dir_all(&dir).unwrap();
        assert!(killed_before(&init, &trace, step));
        let again = run(&mut command(&dir, &["init"]));
        // At the last steps it is all there.
        let whole = again.code == Some(1) && again.stderr.contains("already");
        assert!(again.code == Some(0) || whole, "{step:?}: {again:?}");
        assert_eq!(run(&mut command(&dir, &["list"])).code, Some(0), "{step:?}");
    }
    assert!(steps.len() > 3);
    let once_more = run(&mut command(&dir, &["init"]));
    assert!(once_more.code == Some(1) && once_more.stderr.contains("already"), "{once_more:?}");
}

/// A retired key that is put back beside the server is a key at two places too.
#[test]
fn a_server_with_a_signer_starts_with_no_private_key_beside_it() {
    let moving = Moving::new();
    moving.finish();
    moving.serve();
    fs::copy(moving.path("data-before/keys/main.skey"), moving.data.path().join("keys/main.skey")).unwrap();
    let _signer = Signer::on(&moving.path("signer"));
    let refused = moving.data.try_serve().err().unwrap();
    assert!(refused.stderr.contains("at two places"), "{refused:?}");
    drop(_signer);
    moving.finish();
    let listed = cairnd(moving.data.path(), &["key", "list", "main"]);
    assert!(listed.code == Some(1) && listed.stderr.contains("signer"), "{listed:?}");
}
