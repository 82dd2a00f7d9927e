//! Several faults in a row, each while the server recovers from the one before: it is killed, a call fails, or the power
//! does. At last one start is left alone.

use cairn_tests::preload::{Calls, Class, Deed};

use super::Setting;
use super::power::Machine;
use crate::tally::{Finding, Tally};
use crate::world::{World, ended_well, ready, wait_for_answers};

const MOST: usize = 5;
const WORK: std::time::Duration = std::time::Duration::from_secs(20);

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut done = 0;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        let faults = 1 + world.random.below(MOST);
        let mut row = Vec::new();
        for _ in 0..faults {
            world.begin();
            let fired = if world.random.one_in(2) { power(world, tally)? } else { call(world, tally)? };
            tally.fired += u64::from(fired.is_some());
            row.extend(fired);
        }
        if !row.is_empty() {
            tally.note(format!("{} in a row", row.len()));
        }
        let mut up = world.up().map_err(|finding| finding.within(format_args!("after {row:?}")))?;
        let process = &mut up.process;
        world.work(up.address, tally, |signals, _| {
            wait_for_answers(signals, 3, WORK)?;
            process.kill();
            Ok(())
        })?;
    }
    world.finish(tally, true)
}

/// A start that ends in a power failure at one of its calls, or none.
fn power(world: &mut World, tally: &mut Tally) -> Result<Option<String>, Finding> {
    let machine = Machine::new(world)?;
    tally.chose(format!("a power failure, {}", machine.deed.name()));
    machine.calls.arm(1 + world.random.below(40) as u64, 0)?;
    let starting = world.start(&machine.environment);
    let ended = ready(starting)?;
    let place = machine.calls.place()?;
    match ended {
        Err(ended) if !ended.was_killed() || machine.calls.fired()? == 0 => {
            Err(Finding::failed(format!("no start in recovery: {ended:?}")))
        }
        Ok(up) => {
            drop(up);
            machine.power_fails(world)?;
            Ok(None)
        }
        Err(_) => {
            let forgotten = machine.power_fails(world)?;
            Ok(Some(format!("power failure at {place}, {forgotten:?}")))
        }
    }
}

/// A start in which a call fails or ends the process, or none does.
fn call(world: &mut World, tally: &mut Tally) -> Result<Option<String>, Finding> {
    const DEEDS: [Deed; 5] =
        [Deed::Fail("EIO"), Deed::Fail("ENOSPC"), Deed::KillBefore, Deed::KillHalf, Deed::KillAfter];
    let deed = world.random.one_of(&DEEDS);
    tally.chose(deed.name());
    let calls = Calls::new(world.data.path(), &world.folder().join("calls"), (Class::Change, deed))?;
    calls.arm(1 + world.random.below(40) as u64, 0)?;
    let starting = world.start(&calls.environment(&[]));
    let ended = ready(starting)?;
    let place = calls.place()?;
    if calls.fired()? == 0 {
        return match ended {
            Ok(_) => Ok(None),
            Err(ended) => Err(Finding::failed(format!("no start in recovery: {ended:?}"))),
        };
    }
    match ended {
        // A failed call that it got over.
        Ok(up) => drop(up),
        Err(ended) if ended.was_killed() && deed.kills() => {}
        Err(ended) => ended_well(&ended).map_err(|finding| finding.within(&place))?,
    }
    Ok(Some(place))
}
