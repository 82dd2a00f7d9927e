//! The power fails: bytes and names that were not synced are gone, and of what was written last some sectors are there and
//! others are not. Under load, at a write point, and while the server recovers from the failure before.

use std::path::PathBuf;
use std::time::Duration;

use cairn_tests::preload::{Calls, Class, Deed, Disk, Forgotten};

use super::Setting;
use crate::tally::{Finding, Tally};
use crate::world::{World, ready, wait_for_answers, wait_until};

const WORK: Duration = Duration::from_secs(20);
const DEEDS: [Deed; 3] = [Deed::KillBefore, Deed::KillHalf, Deed::KillAfter];
/// The most microseconds that a sync takes: long enough that crashes come before its end.
const SYNC: usize = 400;

/// A machine whose disk forgets, and whose power may fail at a call.
pub(super) struct Machine {
    pub(super) deed: Deed,
    pub(super) calls: Calls,
    pub(super) disk: Disk,
    pub(super) environment: Vec<(&'static str, PathBuf)>,
}

impl Machine {
    pub(super) fn new(world: &mut World) -> Result<Self, Finding> {
        let deed = world.random.one_of(&DEEDS);
        let calls = Calls::new(world.data.path(), &world.folder().join("calls"), (Class::Change, deed))?;
        let disk = Disk::new(world.data.path(), world.folder().join("disk"));
        let mut environment = calls.environment(&[Disk::library()]);
        environment.extend(disk.environment());
        environment.push(("DISK_DELAY", world.random.below(SYNC).to_string().into()));
        if world.random.one_in(2) {
            environment.push(("DISK_EARLY", "1".into()));
        }
        Ok(Self { deed, calls, disk, environment })
    }

    /// What the disk holds is all there is; with half a chance torn. Nothing is forgotten before the disk was there.
    pub(super) fn power_fails(&self, world: &mut World) -> Result<Forgotten, Finding> {
        if !self.disk.is_ready() {
            self.disk.clear()?;
            return Ok(Forgotten::default());
        }
        let torn = world.random.one_in(2);
        Ok(self.disk.power_fails(torn.then_some(&mut world.random))?)
    }
}

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut done = 0;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        let machine = Machine::new(world)?;
        let starts = world.random.one_in(3);
        tally.chose(format!("{}, {}", machine.deed.name(), if starts { "at a start" } else { "at work" }));
        if starts {
            machine.calls.arm(1 + world.random.below(40) as u64, 0)?;
        }
        let starting = world.start(&machine.environment);
        let what = match ready(starting)? {
            Err(ended) if machine.calls.fired()? == 1 && ended.was_killed() => "while it started",
            Err(ended) => return Err(Finding::failed(format!("no start after a power failure: {ended:?}"))),
            Ok(mut up) => {
                world.check(up.address)?;
                let process = &mut up.process;
                world.work(up.address, tally, |signals, random| {
                    if random.one_in(2) {
                        machine.calls.arm_ahead(1 + random.below(24) as u64, 0)?;
                        wait_until(|| Ok(machine.calls.fired()? > 0), WORK)?;
                    } else {
                        wait_for_answers(signals, 1 + random.below(12) as u64, WORK)?;
                        std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
                    }
                    process.kill();
                    Ok(())
                })?;
                "at work"
            }
        };
        // The process alone may die first; what it has not synced is in the system's memory then, and may be forgotten
        // after another one has built on it.
        if setting.goes_on(done) && world.random.one_in(3) {
            tally.note("the process died, and the power failed later");
            continue;
        }
        let forgotten = machine.power_fails(world)?;
        count(&forgotten, what, tally);
    }
    let disk = Disk::new(world.data.path(), world.folder().join("disk"));
    if disk.is_ready() {
        disk.power_fails(None)?;
    }
    world.finish(tally, true)
}

/// A failure that took nothing away was none.
pub(super) fn count(forgotten: &Forgotten, what: &str, tally: &mut Tally) {
    if forgotten.files.is_empty() {
        tally.note("nothing was forgotten");
        return;
    }
    tally.fired += 1;
    tally.note(format!("{what}, {}", if forgotten.torn > 0 { "torn" } else { "whole writes forgotten" }));
}
