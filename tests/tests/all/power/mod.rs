//! Power failures: what was written and not synced is gone. What was acknowledged is not.
//!
//! The server runs with a library preloaded (`cairn_tests::preload`) that keeps beside its folder what a disk would hold: bytes get
//! there by a sync of their file, names by a sync of their folder. After kill -9 that copy is all there is. The library is
//! compiled by the C compiler that compiles RocksDB; where there is none, the tests are ignored.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use cairn_tests::oracle::Oracle;
use cairn_tests::preload::Disk;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, Server, Starting};

use crate::crash::load::{Hands, Log, Stage};
use crate::crash::producers::{Producer, Story, Then, Way};

/// How long a sync takes, in microseconds: long enough that many crashes come before its end.
const DELAY: &str = "400";

/// A machine whose disk forgets what was not synced.
struct Machine {
    folder: tempfile::TempDir,
    data: Data,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        Self { folder, data }
    }

    fn disk(&self) -> Disk {
        Disk::new(self.data.path(), self.folder.path().join("disk"))
    }

    /// Starts the server on the disk; `faults` are what `disk.c` says they are.
    fn start(&self, faults: &[(&str, &str)]) -> Starting {
        let (library, disk) = (Disk::library(), self.disk().environment());
        let mut environment = vec![("LD_PRELOAD", library.as_path()), ("DISK_DELAY", Path::new(DELAY))];
        environment.extend(disk.iter().map(|(name, value)| (*name, value.as_path())));
        environment.extend(faults.iter().map(|(name, value)| (*name, Path::new(*value))));
        Starting::on(self.data.path(), &environment)
    }

    /// Puts what the disk holds in the place of the folder, and returns the files that differed.
    fn power_fails(&self) -> Vec<String> {
        self.disk().power_fails(None).unwrap().files
    }
}

/// Producers that are at work whenever there is a server.
struct Load {
    stage: Arc<Stage>,
    hands: Hands,
    stories: mpsc::Receiver<Story>,
}

impl Load {
    fn begin(machine: &Machine, random: &mut Random) -> Self {
        let (data, dedup) = (&machine.data, machine.data.create_log("dedup", &["--dedup"]));
        let stage = Stage::new(vec![
            Log::new(Oracle::new(&data.main), Some(&data.token), false),
            Log::new(Oracle::new(&dedup), Some(&data.token), true),
        ]);
        let (story, stories) = mpsc::channel();
        let mut works: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        for (number, (log, way)) in
            [(0, Way::Json), (0, Way::Batch), (0, Way::Add), (1, Way::Batch)].into_iter().enumerate()
        {
            let (stage, story) = (Arc::clone(&stage), story.clone());
            let producer = Producer { stage, log, number, way, then: Then::Retry, random: random.fork() };
            // Nobody asks for the story of a database that was not opened again.
            works.push(Box::new(move || drop(story.send(producer.run()))));
        }
        Self { stage, hands: Hands::start(works), stories }
    }

    fn check(&self, server: &Server, random: &mut Random) {
        for log in &self.stage.logs {
            log.learn(|oracle| oracle.check(server.address(), random));
        }
    }

    /// Lets them work at this server until some appends were acknowledged.
    fn work(&mut self, server: &Server, random: &mut Random) {
        self.stage.set_up(Some(server.address()));
        let acks = self.stage.acks() + 1 + random.below(40) as u64;
        self.stage.wait_for_acks(acks);
        self.hands.assert_alive();
        // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
        std::thread::sleep(Duration::from_micros(random.below(3_000) as u64));
    }

    /// Everybody gets the answer to what they asked last.
    fn end(self, server: Server) -> Vec<Story> {
        self.stage.set_up(Some(server.address()));
        self.stage.end();
        let stories: Vec<Story> = (0..4).map(|_| self.stories.recv().unwrap()).collect();
        assert!(stories.iter().all(|story| !story.unanswered));
        self.stage.set_up(None);
        assert_eq!(server.stop().code, Some(0));
        self.hands.join();
        stories
    }
}

const FAILURES: usize = 80;

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn power_failures_under_load_lose_nothing_that_was_acknowledged() {
    let machine = Machine::new();
    let begun = Instant::now();
    let mut random = Random::for_test("power");
    let mut load = Load::begin(&machine, &mut random);
    let (mut torn, mut interrupted) = (0, 0);
    for failure in 0..FAILURES {
        // Names that are there before their bytes, and names that are not there although their bytes are.
        let faults: &[(&str, &str)] = if failure % 2 == 0 { &[("DISK_EARLY", "1")] } else { &[] };
        if random.one_in(5) {
            let mut starting = machine.start(faults);
            std::thread::sleep(Duration::from_micros(random.below(60_000) as u64));
            starting.kill();
            // Before the library has taken stock there is no disk that could have forgotten anything.
            interrupted += usize::from(machine.disk().is_ready() && !machine.power_fails().is_empty());
            machine.disk().clear().unwrap();
        }
        let server = Server::ready(machine.start(faults));
        load.check(&server, &mut random);
        load.work(&server, &mut random);
        server.kill();
        load.stage.set_up(None);
        torn += usize::from(!machine.power_fails().is_empty());
    }
    let server = machine.data.serve();
    load.check(&server, &mut random);
    let acks = load.stage.acks();
    let stories = load.end(server);
    machine.data.assert_sound();
    let retried: usize = stories.iter().map(|story| story.retried).sum();
    println!(
        "{FAILURES} power failures, {torn} of them forgot something, {interrupted} more during a start; {acks} acks, \
         {retried} appends retried; {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(torn >= FAILURES / 2 && retried > 0, "only {torn} failures forgot anything");
}

/// A disk that says it has synced and has not: what was acknowledged is gone, and the server knows it.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn a_disk_that_lies_is_found_out_at_the_next_start() {
    let mut random = Random::for_test("lying disk");
    for file in [".log", "high-water"] {
        for _ in 0..3 {
            let machine = Machine::new();
            let mut load = Load::begin(&machine, &mut random);
            let server = Server::ready(machine.start(&[("DISK_LIES", file)]));
            load.work(&server, &mut random);
            // Several commits: a high-water that lacks the last one alone is what a crash leaves.
            load.stage.wait_for_acks(load.stage.acks() + 20);
            server.kill();
            load.stage.set_up(None);
            let lost = machine.power_fails();
            assert!(lost.iter().any(|name| name.ends_with(file)), "the fault did not fire: {lost:?}");
            let refused = machine.data.try_serve().err().expect("a server that has lost what it acknowledged");
            assert_eq!((refused.code, refused.stderr.lines().count()), (Some(1), 1), "{refused:?}");
            load.stage.end();
        }
    }
}

/// After a failed sync nothing is acknowledged any more: the process ends, and the next start decides.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn a_failed_sync_ends_the_process_and_loses_nothing() {
    let machine = Machine::new();
    let mut random = Random::for_test("failed sync");
    let mut load = Load::begin(&machine, &mut random);
    let (mut while_starting, mut at_work) = (0, 0);
    for failure in 0..12 {
        let number = if failure % 4 == 0 { 1 + random.below(8) } else { 10 + random.below(120) };
        let mut starting = machine.start(&[("DISK_FAILS", &number.to_string())]);
        let ended = match starting.wait() {
            None => {
                while_starting += 1;
                starting.ended()
            }
            Some(address) => {
                at_work += 1;
                load.stage.set_up(Some(address));
                starting.ended()
            }
        };
        load.stage.set_up(None);
        failed(&ended);
        load.hands.assert_alive();
        machine.power_fails();
        let server = machine.data.serve();
        load.check(&server, &mut random);
        load.work(&server, &mut random);
        server.kill();
        load.stage.set_up(None);
    }
    let server = machine.data.serve();
    load.check(&server, &mut random);
    load.end(server);
    machine.data.assert_sound();
    println!("{while_starting} syncs failed during a start, {at_work} at work");
    assert!(while_starting > 0 && at_work > 0);
}

fn failed(ended: &Ended) {
    assert!(ended.stderr.contains("disk.c: sync"), "the fault did not fire: {ended:?}");
    assert!(ended.code == Some(1) && !ended.stderr.contains("panicked"), "{ended:?}");
}
