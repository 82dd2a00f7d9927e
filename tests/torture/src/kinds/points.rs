//! kill -9 at every write point: before, within and after each call that changes a file, in starts and at work. Every
//! start follows upon such a kill, so recoveries are killed as well, and recoveries from those.

use std::time::Duration;

use cairn_tests::preload::{Calls, Class, Deed};

use super::Setting;
use crate::tally::{Finding, Tally};
use crate::world::{World, ready, wait_until};

/// Calls of a working server until its turn: these and more come within some appends.
const AHEAD: u64 = 24;
/// About as many calls as a start makes.
const START: u64 = 60;
const DEEDS: [Deed; 3] = [Deed::KillBefore, Deed::KillHalf, Deed::KillAfter];
/// How long a server at work may take to come to the call.
const WORK: Duration = Duration::from_secs(20);

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut done = 0;
    // Worlds begin where the one before them may have ended, so that many short ones see every point too.
    let mut at_start = 1 + setting.number * setting.cycles / 2 % START;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        let deed = world.random.one_of(&DEEDS);
        let calls = Calls::new(world.data.path(), &world.folder().join("calls"), (Class::Change, deed))?;
        let starts = done % 2 == 0;
        tally.chose(format!("{}, {}", deed.name(), if starts { "at a start" } else { "at work" }));
        if starts {
            calls.arm(at_start, 0)?;
        }
        let starting = world.start(&calls.environment(&[]));
        match ready(starting)? {
            Err(ended) => {
                let place = calls.place()?;
                if calls.fired()? != 1 || !ended.was_killed() {
                    return Err(Finding::failed(format!("after a kill it does not start: {ended:?} ({place})")));
                }
                tally.fired += 1;
                tally.note(format!("start: {}", point(&place)));
                at_start += 1;
            }
            Ok(up) => {
                if starts {
                    // Past the last call of a start: begin again.
                    at_start = 1;
                }
                at_work(world, up.address, &calls, tally)?;
                let mut process = up.process;
                process.kill();
            }
        }
    }
    world.finish(tally, true)
}

fn at_work(world: &mut World, address: std::net::SocketAddr, calls: &Calls, tally: &mut Tally) -> Result<(), Finding> {
    world.check(address)?;
    let mut fired = false;
    world.work(address, tally, |_, random| {
        calls.arm_ahead(1 + random.below(AHEAD as usize) as u64, 0)?;
        fired = wait_until(|| Ok(calls.fired()? > 0), WORK)?;
        Ok(())
    })?;
    if fired {
        tally.fired += 1;
        tally.note(format!("work: {}", point(&calls.place()?)));
    }
    Ok(())
}

/// The name of a point: files of a sort are one. What follows a plus sign is a key's digest.
pub(super) fn point(place: &str) -> String {
    let mut name = String::new();
    for part in place.chars() {
        match part {
            'a'..='f' | '0'..='9' if name.ends_with('+') => {}
            '0'..='9' if name.ends_with('N') => {}
            '0'..='9' => name.push('N'),
            other => name.push(other),
        }
    }
    name
}
