//! What was decided about a log and is in no head: a database that lost it with its write-ahead log is refused.

use super::publishing::policy;
use super::*;

/// Loses the write-ahead log, of which everything before was flushed.
fn lose_the_log(world: &mut World) {
    world.stop();
    let database = options(world.path()).database_path();
    let logs = std::fs::read_dir(database).unwrap().map(|file| file.unwrap().path());
    let logs: Vec<_> = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    assert!(!logs.is_empty());
    logs.iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

fn flushed() -> World {
    let mut world = World::with_log("a");
    world.append("a", &numbered(0..10));
    world.engine.inner.rocks.flush().unwrap();
    world
}

/// A halt that the write-ahead log alone has.
fn halted() -> World {
    let world = flushed();
    let log = world.engine.log("a").unwrap();
    world.runtime.block_on(log.halt("another history was shown".to_owned())).unwrap();
    world
}

fn assert_behind(world: &mut World) {
    let refused = world.reopen().unwrap_err();
    assert!(matches!(refused, OpenError::Behind { .. }), "{refused}");
}

#[test]
fn a_halt_is_not_undone_by_the_loss_of_the_write_ahead_log() {
    let mut world = halted();
    lose_the_log(&mut world);
    assert_behind(&mut world);
}

#[test]
fn a_halt_that_a_start_has_read_is_no_longer_in_the_write_ahead_log_alone() {
    let mut world = halted();
    for _ in 0..2 {
        world.reopen().unwrap();
        assert!(matches!(world.engine.log("a").unwrap().state(), LogState::Halted(_)));
        lose_the_log(&mut world);
    }
}

#[test]
fn a_policy_is_not_undone_by_the_loss_of_the_write_ahead_log() {
    for (before, after) in [(None, Some(policy("w"))), (Some(policy("w")), None)] {
        let mut world = flushed();
        let set = |world: &World, policy| {
            let log = world.engine.log("a").unwrap();
            world.runtime.block_on(log.set_policy(policy)).unwrap();
        };
        set(&world, before);
        world.engine.inner.rocks.flush().unwrap();
        set(&world, after);
        lose_the_log(&mut world);
        assert_behind(&mut world);
    }
}

#[test]
fn a_database_that_lost_nothing_decided_goes_on() {
    let mut world = flushed();
    lose_the_log(&mut world);
    world.reopen().unwrap();
    world.append("a", &numbered(10..20));
}
