//! kill -9 under load, again and again: nothing acknowledged is lost, and no head is ever contradicted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cairn_tests::oracle::{Content, Oracle};
use cairn_tests::random::Random;
use cairn_tests::server::{Data, LogKey, Server, Starting};

use super::load::{Hands, Log, Stage};
use super::producers::{Producer, Story, Then, Way};
use super::readers;

const KILLS: usize = 100;
/// Every so many kills the database is also checked from inside.
const CHECKED_INSIDE: usize = 20;

/// The logs of one database: two plain ones, one where equal entries are one, one that anybody may append to.
const MAIN: usize = 0;
const BUSY: usize = 1;
const DEDUP: usize = 2;
const OPEN: usize = 3;

/// Who appends where, and how.
const PRODUCERS: [(usize, Way, Then); 8] = [
    (MAIN, Way::Json, Then::Retry),
    (MAIN, Way::Batch, Then::Retry),
    (BUSY, Way::JsonBatch, Then::Retry),
    (BUSY, Way::Batch, Then::Abandon),
    (DEDUP, Way::Proof, Then::Retry),
    (DEDUP, Way::Batch, Then::Retry),
    (OPEN, Way::Add, Then::Abandon),
    (OPEN, Way::Add, Then::Retry),
];

struct Scene {
    folder: tempfile::TempDir,
    data: Data,
    stage: Arc<Stage>,
    random: Random,
    hands: Hands,
    stories: mpsc::Receiver<(usize, Story)>,
    /// Entries that the event streams carried.
    followed: mpsc::Receiver<u64>,
}

impl Scene {
    fn set() -> Self {
        let mut random = Random::for_test("kill");
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        let log = |key: &LogKey, token: bool, dedup| Log::new(Oracle::new(key), token.then_some(&data.token), dedup);
        let stage = Stage::new(vec![
            log(&data.main, true, false),
            log(&data.create_log("busy", &[]), true, false),
            log(&data.create_log("dedup", &["--dedup"]), true, true),
            log(&data.create_log("open", &["--open-append"]), false, false),
        ]);
        let mut works: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        let (story, stories) = mpsc::channel();
        for (number, (log, way, then)) in PRODUCERS.into_iter().enumerate() {
            let producer = Producer { stage: Arc::clone(&stage), log, number, way, then, random: random.fork() };
            let story = story.clone();
            works.push(Box::new(move || story.send((log, producer.run())).unwrap()));
        }
        for resource in ["head", "checkpoint"] {
            let stage = Arc::clone(&stage);
            works.push(Box::new(move || readers::poll(&stage, resource)));
        }
        let (count, followed) = mpsc::channel();
        for log in [MAIN, DEDUP] {
            let (stage, count) = (Arc::clone(&stage), count.clone());
            works.push(Box::new(move || count.send(readers::follow(&stage, log)).unwrap()));
        }
        Self { folder, data, stage, random, hands: Hands::start(works), stories, followed }
    }

    /// Starts the server; some times it is killed on the way first, so that recovery is interrupted too.
    fn start(&mut self, interrupted: &mut usize) -> Server {
        while self.random.one_in(6) {
            let mut starting = Starting::on(self.data.path(), &[]);
            // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
            std::thread::sleep(Duration::from_micros(self.random.below(40_000) as u64));
            starting.kill();
            *interrupted += 1;
        }
        self.data.serve()
    }

    /// Compares every log with everything that was ever seen of it.
    fn check(&mut self, server: &Server) -> Vec<Content> {
        let (stage, random) = (&self.stage, &mut self.random);
        stage.logs.iter().map(|log| log.learn(|oracle| oracle.check(server.address(), random))).collect()
    }
}

#[test]
fn a_hundred_kills_under_load_lose_nothing_and_contradict_nothing() {
    let begun = Instant::now();
    let mut scene = Scene::set();
    let (mut under_load, mut interrupted) = (0, 0);
    for kill in 1..=KILLS {
        let server = scene.start(&mut interrupted);
        scene.check(&server);
        scene.stage.set_up(Some(server.address()));
        let acks = scene.stage.acks() + 1 + scene.random.below(60) as u64;
        scene.stage.wait_for_acks(acks);
        scene.hands.assert_alive();
        // As above: the moment of the fault.
        std::thread::sleep(Duration::from_micros(scene.random.below(3_000) as u64));
        under_load += usize::from(scene.stage.in_flight() > 0);
        server.kill();
        scene.stage.set_up(None);
        if kill % CHECKED_INSIDE == 0 {
            scene.data.assert_sound();
        }
    }
    // At the end everybody gets the answer to what they asked last.
    let server = scene.data.serve();
    scene.stage.set_up(Some(server.address()));
    scene.stage.end();
    let stories: Vec<(usize, Story)> = PRODUCERS.iter().map(|_| scene.stories.recv().unwrap()).collect();
    assert!(stories.iter().all(|(_, story)| !story.unanswered));
    let contents = scene.check(&server);
    for (log, content) in scene.stage.logs.iter().zip(&contents) {
        log.learn(|oracle| oracle.check_every_entry(server.address()));
        let oracle = log.oracle();
        let (acknowledged, heads) = (oracle.acknowledged(), oracle.heads());
        println!("log {}: {} entries, {acknowledged} vouched for, {heads} heads", log.name, content.entries.len());
    }
    for (log, story) in &stories {
        check_story(&scene.stage.logs[*log], &contents[*log], story);
    }
    assert_eq!(server.stop().code, Some(0));
    scene.stage.set_up(None);
    scene.hands.join();
    scene.data.assert_sound();
    let retried: usize = stories.iter().map(|(_, story)| story.retried).sum();
    let repeated: usize = stories.iter().map(|(_, story)| story.repeated).sum();
    let followed: u64 = scene.followed.try_iter().sum();
    println!(
        "{KILLS} kills, {under_load} with appends in flight, {interrupted} more during a start; {retried} appends retried, \
         {repeated} repeated, {} replies cut, {followed} entries through events; {:.1} s",
        scene.stage.half_way(),
        begun.elapsed().as_secs_f64()
    );
    assert!(under_load >= KILLS * 9 / 10, "only {under_load} kills hit a server at work");
    assert!(interrupted > 0 && retried > KILLS && repeated > 0 && followed > 0);
    drop(scene.folder);
}

/// Everything that was acknowledged is there once; what was abandoned is there whole, in a row, or not at all.
fn check_story(log: &Log, content: &Content, story: &Story) {
    let places = content.places();
    let at = |entry: &[u8]| places.get(entry).cloned().unwrap_or_default();
    for (entries, acknowledged) in &story.batches {
        let found: Vec<Vec<u64>> = entries.iter().map(|entry| at(entry)).collect();
        let distinct: HashSet<&Vec<u8>> = entries.iter().collect();
        if *acknowledged {
            assert!(found.iter().all(|places| places.len() == 1), "log {}: {found:?} of one batch", log.name);
        } else {
            let indexes: Vec<u64> = found.concat();
            let whole = indexes.len() == distinct.len() && indexes.windows(2).all(|pair| pair[1] == pair[0] + 1);
            assert!(indexes.is_empty() || whole, "log {}: half of an abandoned batch: {found:?}", log.name);
        }
        if *acknowledged && !log.dedup {
            let first = found[0][0];
            let row = (first..).zip(&found).all(|(index, places)| places[0] == index);
            assert!(row, "log {}: a batch is not in a row: {found:?}", log.name);
        }
    }
}
