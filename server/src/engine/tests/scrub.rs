//! The scrubber: values that change beneath a running engine, each named exactly, and nothing named that is sound.

use std::time::{Duration, Instant};

use cairn_tree::store::{Key, KeyRange, Kind, TileLevel};

use super::*;
use crate::{incidents, summed};

const QUICK: ScrubOptions = ScrubOptions { bytes_per_second: 1 << 40, rest: Duration::from_millis(1) };

impl World {
    fn scrubber(&self) -> Scrubber {
        Scrubber::start(&self.engine, QUICK, Arc::clone(&self.clock) as _, Arc::new(NoRecords)).unwrap()
    }

    /// Writes past the engine, as no program of ours does.
    fn overwrite(&self, key: Key, change: impl FnOnce(&mut Vec<u8>)) {
        let rocks = &self.engine.inner.rocks;
        let mut value = rocks.get(&key).unwrap().unwrap();
        change(&mut value);
        let mut batch = Batch::new();
        batch.put(key, value);
        rocks.commit(batch).unwrap();
    }

    fn remove(&self, key: Key) {
        let mut batch = Batch::new();
        batch.delete(key);
        self.engine.inner.rocks.commit(batch).unwrap();
    }

    fn id(&self, log: &str) -> LogId {
        self.engine.log(log).unwrap().info().id
    }

    fn halted(&self, log: &str) -> Option<String> {
        match self.engine.log(log).unwrap().state() {
            LogState::Halted(reason) => Some(reason),
            LogState::Open | LogState::Sealed => None,
        }
    }
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::yield_now();
    }
}

/// One damage, how it is told, and what of the log is refused because of it.
struct Case {
    inflict: fn(&World, LogId),
    kind: &'static str,
    entries: Option<(u64, u64)>,
    words: &'static str,
}

#[expect(clippy::ptr_arg, reason = "one of several changes, of which some make the value shorter")]
fn flip(value: &mut Vec<u8>) {
    let middle = value.len() / 2;
    value[middle] ^= 1;
}

fn piece(world: &World, log: LogId) -> Key {
    let pieces = world.engine.inner.rocks.scan(&KeyRange::all(log, Kind::Piece), 9).unwrap();
    pieces.last().unwrap().0.clone()
}

const CASES: [Case; 6] = [
    Case {
        inflict: |world, log| world.overwrite(Key::numbered(log, Kind::Bundle, 1), flip),
        kind: "bundle",
        entries: Some((256, 512)),
        words: "bundle 1 (entries 256 to 511): expected ",
    },
    Case {
        inflict: |world, log| world.remove(Key::numbered(log, Kind::Bundle, 0)),
        kind: "bundle",
        entries: Some((0, 256)),
        words: "no row",
    },
    Case {
        inflict: |world, log| world.overwrite(Key::numbered(log, Kind::Tile(TileLevel::LEAVES), 0), flip),
        kind: "tile",
        entries: Some((0, 256)),
        words: "tile 0 of level 0 (entries 0 to 255): expected ",
    },
    Case {
        inflict: |world, log| {
            world.overwrite(Key::numbered(log, Kind::Tile(TileLevel::LEAVES), 1), |value| value.truncate(5))
        },
        kind: "tile",
        entries: Some((256, 512)),
        words: "5 bytes",
    },
    Case {
        inflict: |world, log| world.overwrite(piece(world, log), |value| *value.last_mut().unwrap() ^= 1),
        kind: "tail",
        entries: Some((512, 600)),
        words: "the unfinished bundle (entries 512 to 599): expected ",
    },
    Case {
        inflict: |world, log| world.remove(piece(world, log)),
        kind: "tail",
        entries: Some((512, 600)),
        words: "no row",
    },
];

#[test]
fn each_damaged_value_is_named_halts_its_log_alone_and_is_not_given_out() {
    for case in CASES {
        let mut world = World::with_log("main");
        world.create(terms("other"), 2).unwrap();
        world.append("main", &numbered(0..600));
        world.append("other", &numbered(0..300));
        (case.inflict)(&world, world.id("main"));
        let scrubber = world.scrubber();
        let figures = scrubber.figures();
        wait_until("two passes", || figures.state().passes >= 2);
        drop(scrubber);
        let reason = world.halted("main").unwrap();
        assert!(reason.contains(case.words), "{:?} in {reason}", case.words);
        assert_eq!(world.halted("other"), None);
        let found = incidents::read(world.path()).unwrap();
        let one = found.iter().find(|one| one.kind == case.kind).unwrap();
        assert_eq!((one.log.as_deref(), one.event.as_str()), (Some("main"), "damage"));
        assert_eq!(one.first.zip(one.end), case.entries, "{one:?}");
        assert_eq!(figures.state().findings, found.len() as u64, "told once, not once a pass");
        assert!(world.try_append("main", &numbered(600..601), None).is_err());
        world.append("other", &numbered(300..301));
        // A start knows it from the incidents, before anything is scrubbed again.
        let slow = ScrubOptions { bytes_per_second: 0, ..QUICK };
        world.stop();
        let clock = Arc::clone(&world.clock) as _;
        world.engine = Engine::open(&options(world.path()), clock, Arc::new(Unobserved)).unwrap();
        let _known = Scrubber::start(&world.engine, slow, Arc::clone(&world.clock) as _, Arc::new(NoRecords)).unwrap();
        assert_eq!(world.halted("main"), Some(reason));
        let log = world.engine.log("main").unwrap();
        let head = log.head();
        match (case.kind, case.entries) {
            ("bundle", Some((first, _))) => {
                assert!(log.entry(&head, LeafIndex::new(first).unwrap()).is_err());
                assert!(log.entry(&head, LeafIndex::new((first + 256) % 512).unwrap()).is_ok());
            }
            ("tile", Some((first, _))) => {
                let index = LeafIndex::new(first).unwrap();
                assert!(log.leaf_hash(&head, index).is_err());
                assert!(log.entry(&head, index).unwrap().is_some());
            }
            _ => {}
        }
    }
}

/// A tile high up is told as itself, not as all that is below it.
#[test]
fn a_damaged_tile_of_level_1_is_the_only_finding() {
    let mut world = World::with_log("main");
    let entries = numbered(0..66_000);
    for batch in entries.chunks(16_000) {
        world.try_append("main", batch, None).unwrap();
    }
    let key = Key::numbered(world.id("main"), Kind::Tile(TileLevel::new(1).unwrap()), 0);
    world.overwrite(key, flip);
    let scrubber = world.scrubber();
    wait_until("a pass", || scrubber.figures().state().passes >= 1);
    let found = incidents::read(world.path()).unwrap();
    let told: Vec<_> = found.iter().map(|one| (one.kind.as_str(), one.level, one.place, one.first, one.end)).collect();
    assert_eq!(told, [("tile", Some(1), Some(0), Some(0), Some(65_536))]);
}

/// Appends, new logs, runs of the index that are made: none of it looks like damage.
#[test]
fn a_sound_log_at_work_raises_no_alarm_and_a_restart_goes_on() {
    let mut world = World::with_log("main");
    let scrubber = world.scrubber();
    let figures = scrubber.figures();
    let mut sent = 0;
    while figures.state().passes < 20 || sent < 100_000 {
        world.try_append("main", &numbered(sent..sent + 977), None).unwrap();
        sent += 977;
    }
    drop(scrubber);
    let state = figures.state();
    assert_eq!(
        (state.findings, state.unreadable, incidents::read(world.path()).unwrap().len()),
        (0, 0, 0),
        "{state:?}"
    );
    assert!(state.entries > 10_000 && state.bytes > 100_000, "{state:?}");
    assert!(world.path().join("scrub.json").exists());
    assert_eq!(world.halted("main"), None);
}

/// What is read the second time as it must be was never damaged: a bad cable, a bad bit on the way.
#[test]
fn what_is_sound_at_a_second_look_is_no_damage() {
    let mut world = World::with_log("main");
    world.append("main", &numbered(0..600));
    let store = world.reopen_faulty();
    store.damage_once(world.id("main"), Kind::Bundle);
    let scrubber = world.scrubber();
    let figures = scrubber.figures();
    wait_until("a pass", || figures.state().passes >= 1);
    let state = figures.state();
    assert!(state.dismissed > 0, "the fault did not fire: {state:?}");
    assert_eq!((state.findings, world.halted("main")), (0, None));
    world.append("main", &numbered(600..601));
}

/// What can't be read at the right edge of one log's tree does not keep the others from being served.
#[test]
fn a_log_whose_right_edge_is_lost_is_halted_at_the_start_and_no_other_is() {
    let cases: [fn(&World, LogId) -> Key; 2] = [piece, |_, log| Key::numbered(log, Kind::Tile(TileLevel::LEAVES), 1)];
    for lost in cases {
        let mut world = World::with_log("main");
        world.create(terms("other"), 2).unwrap();
        world.append("main", &numbered(0..600));
        world.append("other", &numbered(0..300));
        let id = world.id("main");
        let before = world.engine.log("main").unwrap().head();
        world.remove(lost(&world, id));
        for _ in 0..2 {
            world.stop();
            let clock = Arc::clone(&world.clock) as _;
            world.engine = Engine::open(&options(world.path()), clock, Arc::new(Unobserved)).unwrap();
            assert!(world.halted("main").is_some());
            assert!(world.head_row("main").mendable);
            let head = world.engine.log("main").unwrap().head();
            assert_eq!((head.size, head.root), (before.size, before.root));
            assert!(world.try_append("main", &numbered(600..601), None).is_err());
        }
        assert_eq!(world.halted("other"), None);
        world.append("other", &numbered(300..301));
    }
}

/// What a read could not verify is looked at again: only what is bad halts the log, and at once.
#[test]
fn a_read_that_finds_something_bad_has_it_looked_at_again() {
    type Inflict = fn(&World, LogId);
    let inflict: [(&str, Inflict); 3] = [
        ("bundle", |world, log| world.overwrite(Key::numbered(log, Kind::Bundle, 1), |row| row[40] ^= 1)),
        ("tile", |world, log| {
            world.overwrite(Key::numbered(log, Kind::Tile(TileLevel::LEAVES), 1), |row| row[40] ^= 1);
        }),
        ("bundle", |world, log| world.remove(Key::numbered(log, Kind::Bundle, 1))),
    ];
    for (kind, inflict) in inflict {
        let mut world = World::with_log("sound");
        world.create(terms("hurt"), 2).unwrap();
        world.append("sound", &numbered(0..600));
        world.append("hurt", &numbered(0..600));
        let (sound, hurt) = (world.engine.log("sound").unwrap(), world.engine.log("hurt").unwrap());
        let at = |index| LeafIndex::new(index).unwrap();
        assert!([5, 300, 599].iter().all(|index| !sound.suspect(at(*index), 7)));
        inflict(&world, world.id("hurt"));
        // Where nothing is bad nothing is found, and the next look waits for a while.
        assert!(!hurt.suspect(at(5), 7) && world.halted("hurt").is_none());
        assert!(!hurt.suspect(at(300), 7), "it was looked at a moment ago");
        *hurt.shared.looked.0.lock().unwrap() = None;
        assert!(hurt.suspect(at(300), 7));
        assert!(world.halted("hurt").is_some_and(|reason| reason.contains(kind)) && world.halted("sound").is_none());
        assert_eq!((world.engine.read_findings(), hurt.damage().unwrap().0), (1, 1));
        let told = incidents::read(world.path()).unwrap();
        assert_eq!((told.len(), told[0].kind.as_str(), told[0].first), (1, kind, Some(256)));
        world.append("sound", &numbered(600..601));
    }
}

/// What was found outlives the process, though it ended before the log was halted.
#[test]
fn a_log_with_damage_that_was_told_is_halted_at_the_start() {
    let mut world = World::with_log("hurt");
    world.append("hurt", &numbered(0..1));
    let damage = Damage { place: Place::Bundle { number: 0 }, expected: None, found: "gone".to_owned() };
    world.engine.incidents().add(damage.incident(Some("hurt"), 7)).unwrap();
    let scrubber = world.scrubber();
    assert!(world.halted("hurt").is_some_and(|reason| reason.contains("gone")));
    scrubber.close();
}

/// The index is read no faster than all else, a portion at a time, and a start after a stop in the midst of it comes back to it.
#[test]
fn the_index_takes_its_time_too() {
    const SIZE: usize = 66_048;
    const PORTION: u64 = 64 * 256 * 32;
    let mut world = World::with_log("main");
    world.try_append("main", &numbered(0..SIZE), None).unwrap();
    let (id, rocks) = (world.id("main"), &world.engine.inner.rocks);
    wait_until("a run", || rocks.get(&Key::only(id, Kind::IndexManifest)).unwrap().is_some());
    let path = world.path().join("scrub.json");
    // All else of the log is read: of that, too, nothing would come at one byte in a second.
    let kept = serde_json::json!({
        "database": world.engine.inner.database.to_string(), "begun_ms": 1, "whole_ms": 0,
        "log": id.get(), "bundle": SIZE / 256, "tables": null,
    });
    std::fs::write(&path, summed::to_line(&kept).unwrap()).unwrap();
    let slow = ScrubOptions { bytes_per_second: 1, rest: Duration::from_millis(1) };
    let scrubber = Scrubber::start(&world.engine, slow, Arc::clone(&world.clock) as _, Arc::new(NoRecords)).unwrap();
    let figures = scrubber.figures();
    wait_until("a portion of the index", || figures.state().bytes >= PORTION);
    scrubber.close();
    let state = figures.state();
    assert!(state.bytes < 2 * PORTION && state.passes == 0 && state.findings == 0, "{state:?}");
    let after: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&after["log"], &after["bundle"]), (&kept["log"], &kept["bundle"]));
}
