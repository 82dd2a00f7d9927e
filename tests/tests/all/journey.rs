//! What a new user does, with the programs themselves: a log, this repository's files, receipts that verify without a
//! server, a changed byte, a restart, a watcher; and a clean stop in the middle of work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, mpsc};

use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, Server, program, run};

use crate::crash::load::{Hands, Log, Stage};
use crate::crash::producers::{Producer, Story, Then, Way};
use crate::scene::repository;

struct User {
    folder: tempfile::TempDir,
    data: Data,
}

impl User {
    fn cairn(&self, server: &Server, arguments: &[&str]) -> Ended {
        let mut command = Command::new(program("cairn"));
        command.args(arguments).current_dir(repository());
        command.env("CAIRN_URL", server.log_url("main")).env("CAIRN_KEY", &self.data.main.vkey);
        command.env("CAIRN_TOKEN", &self.data.token);
        run(&mut command)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Verifies a receipt with the log's key and nothing else.
    fn verify(&self, receipt: &Path, entry: &Path) -> Ended {
        let mut command = Command::new(program("cairn"));
        command.args(["verify", "--key", &self.data.main.vkey, "--proof"]).arg(receipt).arg(entry);
        command.env_remove("CAIRN_URL");
        run(&mut command)
    }
}

/// The files that git knows and that an entry can hold.
fn files() -> Vec<String> {
    let listed = run(Command::new("git").arg("ls-files").current_dir(repository()));
    assert_eq!(listed.code, Some(0), "{listed:?}");
    listed.stdout.lines().filter(|file| fits(file)).map(str::to_owned).collect()
}

/// An entry has at most 65,535 bytes, and does not begin as a record does.
fn fits(file: &str) -> bool {
    let bytes = std::fs::read(repository().join(file));
    bytes.is_ok_and(|bytes| bytes.len() < 1 << 16 && !bytes.starts_with(b"cairn.record/"))
}

#[test]
fn this_repositorys_files_get_receipts_that_verify_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let user = User { folder, data };
    let files = files();
    let (receipts, state) = (user.path("receipts"), user.path("watch.json"));
    let server = user.data.serve();
    let arguments: Vec<&str> =
        ["append", "--out", &receipts].into_iter().chain(files.iter().map(String::as_str)).collect();
    let appended = user.cairn(&server, &arguments);
    assert_eq!(appended.code, Some(0), "{appended:?}");
    let watched = user.cairn(&server, &["watch", "--once", "--state", &state]);
    assert_eq!(watched.code, Some(0), "{watched:?}");
    assert_eq!(server.stop().code, Some(0));

    let mut proofs = Vec::new();
    find(Path::new(&receipts), &mut proofs);
    assert_eq!(proofs.len(), files.len(), "a receipt for each file");
    for file in &files {
        let receipt = Path::new(&receipts).join(format!("{file}.tlog-proof"));
        let entry = repository().join(file);
        let verified = user.verify(&receipt, &entry);
        assert_eq!(verified.code, Some(0), "{file}: {verified:?}");
    }
    one_changed_byte_is_refused(&user, Path::new(&receipts));

    let server = user.data.serve();
    let watched = user.cairn(&server, &["watch", "--once", "--state", &state]);
    assert_eq!(watched.code, Some(0), "{watched:?}");
    let checked = user.cairn(&server, &["fsck"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    user.data.assert_sound();
}

fn one_changed_byte_is_refused(user: &User, receipts: &Path) {
    let mut bytes = fs::read(repository().join("LICENSE")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = user.folder.path().join("changed");
    fs::write(&changed, bytes).unwrap();
    let refused = user.verify(&receipts.join("LICENSE.tlog-proof"), &changed);
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(1), 1), "{refused:?}");
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() { find(&path, found) } else { found.push(path) }
    }
}

/// Everything that was accepted is finished and answered; what was not answered was not accepted.
#[test]
fn a_clean_stop_under_load_answers_all_that_it_accepted() {
    let mut random = Random::for_test("stop");
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let stage = Stage::new(vec![Log::new(Oracle::new(&data.main), Some(&data.token), false)]);
    let mut in_flight = 0;
    for _ in 0..STOPS {
        let server = data.serve();
        let (story, stories) = mpsc::channel();
        let mut works: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        for (number, way) in
            [Way::Json, Way::Proof, Way::Add, Way::Batch, Way::JsonBatch, Way::Json].into_iter().enumerate()
        {
            let (stage, random, story) = (Arc::clone(&stage), random.fork(), story.clone());
            // Entries of different stops must differ.
            let number = 100 * stage.acks() as usize + number;
            let producer = Producer { stage, log: 0, number, way, then: Then::Abandon, random };
            works.push(Box::new(move || story.send(producer.run()).unwrap()));
        }
        drop(story);
        stage.set_up(Some(server.address()));
        let hands = Hands::start(works);
        stage.wait_for_acks(stage.acks() + 20 + random.below(100) as u64);
        in_flight += stage.in_flight();
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        stage.set_up(None);
        stage.end();
        let stories: Vec<Story> = stories.iter().collect();
        hands.join();
        stage.begin_again();
        check_after_stop(&data, &stage, &stories);
    }
    assert_eq!(stage.half_way(), 0, "replies were cut");
    println!("{STOPS} stops, {in_flight} appends in flight, {} acknowledged", stage.acks());
    assert!(in_flight > STOPS, "the stops hit a server at rest");
    data.assert_sound();
}

const STOPS: u64 = 6;

fn check_after_stop(data: &Data, stage: &Stage, stories: &[Story]) {
    let server = data.serve();
    let content = stage.logs[0].learn(|oracle| oracle.check(server.address(), &mut Random::new(1)));
    let places = content.places();
    for (entries, acknowledged) in stories.iter().flat_map(|story| &story.batches) {
        for entry in entries {
            let there = places.contains_key(entry.as_slice());
            let text = String::from_utf8_lossy(entry);
            assert_eq!(there, *acknowledged, "accepted and answered must be one: {text}");
        }
    }
}
