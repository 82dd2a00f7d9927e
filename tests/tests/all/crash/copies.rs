//! Copies of the folder of a server at work: what an operator gets who does not stop it first.
//!
//! A copy of one moment (here the server stands still meanwhile; a snapshot of a file system is the same) has everything
//! that was acknowledged before. A copy that is made file by file while the server writes is of no moment at all: its
//! database may be behind its high-water file, which is always refused, or ahead of it. Whatever opens has everything.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};

use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, Starting};

use super::load::{Hands, Log, Stage};
use super::producers::{Producer, Then, Way};
use crate::scene::copy;

const COPIES: usize = 24;

/// How a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    AtOnce,
    DatabaseFirst,
    DatabaseLast,
}

#[test]
fn a_copy_of_a_server_at_work_has_everything_or_is_refused() {
    let mut random = Random::for_test("copies");
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let stage = Stage::new(vec![Log::new(Oracle::new(&data.main), Some(&data.token), false)]);
    let server = data.serve();
    let (story, stories) = mpsc::channel();
    let mut works: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    for (number, way) in [Way::Json, Way::Batch, Way::Add].into_iter().enumerate() {
        let (stage, story, random) = (Arc::clone(&stage), story.clone(), random.fork());
        let producer = Producer { stage, log: 0, number, way, then: Then::Retry, random };
        works.push(Box::new(move || story.send(producer.run()).unwrap()));
    }
    stage.set_up(Some(server.address()));
    let mut hands = Hands::start(works);
    let (mut whole, mut refused) = (0, 0);
    for number in 0..COPIES {
        stage.wait_for_acks(stage.acks() + 1 + random.below(40) as u64);
        hands.assert_alive();
        let image = folder.path().join(format!("copy-{number}"));
        let made = [Made::AtOnce, Made::DatabaseFirst, Made::DatabaseLast][number % 3];
        // What was acknowledged before the copy began.
        let (acknowledged, path) = (stage.logs[0].oracle().clone(), data.path());
        match made {
            Made::AtOnce => server.while_paused(|| copy(path, &image)),
            Made::DatabaseFirst => copy_slowly(&stage, path, &image, &["db", "high-water"]),
            Made::DatabaseLast => copy_slowly(&stage, path, &image, &["high-water", "db"]),
        }
        match open(&image, acknowledged, &mut random) {
            Ok(()) => {
                assert!(made != Made::DatabaseFirst, "a database without what its high-water records is opened");
                whole += 1;
            }
            Err(ended) => {
                assert!(made != Made::AtOnce, "a copy of one moment is refused: {ended:?}");
                assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
                refused += 1;
            }
        }
    }
    stage.end();
    drop(story);
    assert!(stories.iter().all(|story| !story.unanswered));
    hands.join();
    println!("{whole} copies were whole, {refused} were refused; {} acks", stage.acks());
    assert!(whole >= COPIES / 3 && refused >= COPIES / 3);
}

/// Copies these parts one after the other, while appends are acknowledged in between, and then the rest.
fn copy_slowly(stage: &Stage, data: &Path, image: &Path, parts: &[&str]) {
    fs::create_dir(image).unwrap();
    for part in parts {
        copy_part(data, image, part);
        stage.wait_for_acks(stage.acks() + 5);
    }
    for part in ["keys", "cairnd.toml", "tokens.json"] {
        copy_part(data, image, part);
    }
}

fn copy_part(data: &Path, image: &Path, part: &str) {
    let (from, to) = (data.join(part), image.join(part));
    if from.is_dir() {
        copy(&from, &to);
    } else {
        fs::copy(from, to).unwrap();
    }
}

fn open(image: &Path, mut acknowledged: Oracle, random: &mut Random) -> Result<(), Ended> {
    let mut starting = Starting::on(image, &[]);
    let Some(address) = starting.wait() else { return Err(starting.ended()) };
    acknowledged.check(address, random).unwrap_or_else(|wrong| panic!("{}: {wrong}", image.display()));
    Ok(())
}
