//! A clock that goes back and forward, before a start and under load. No head is signed with an earlier time than one
//! before it; the oracle sees to that, since one of the logs signs its time.

use std::time::Duration;

use cairn_tests::preload::{Calls, Class, Deed};
use cairn_tests::random::Random;

use super::Setting;
use crate::tally::{Finding, Tally};
use crate::world::{World, ready, wait_for_answers};

const WORK: Duration = Duration::from_secs(20);
/// How far a clock goes in one step, in milliseconds: a second, an hour, a day, ten years.
const STEPS: [i64; 4] = [1_000, 3_600_000, 86_400_000, 315_360_000_000];
/// Steps under load, per start.
const UNDER_LOAD: usize = 3;

fn step(random: &mut Random) -> i64 {
    let most = random.one_of(&STEPS);
    (random.number() % (2 * most as u64)) as i64 - most
}

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut done = 0;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        // Nothing fails here: the library is there for its clock.
        let calls = Calls::new(world.data.path(), &world.folder().join("calls"), (Class::Change, Deed::Short))?;
        let steps: [i64; 1 + UNDER_LOAD] = core::array::from_fn(|_| step(&mut world.random));
        tally.chose(format!("steps of {steps:?} ms"));
        let [first, later @ ..] = steps;
        calls.set_clock(first)?;
        let starting = world.start(&calls.environment(&[]));
        let mut up =
            ready(starting)?.map_err(|ended| Finding::failed(format!("the clock stops a start: {ended:?}")))?;
        world.check(up.address)?;
        let mut fired = u64::from(calls.clock_reads()? > 0);
        let process = &mut up.process;
        world.work(up.address, tally, |signals, _| {
            for step in later {
                wait_for_answers(signals, 3, WORK)?;
                calls.set_clock(step)?;
                let before = calls.clock_reads()?;
                wait_for_answers(signals, 3, WORK)?;
                fired += u64::from(calls.clock_reads()? > before);
            }
            process.kill();
            Ok(())
        })?;
        tally.fired += fired;
        tally.note_many("a step of the clock that was told to the server", fired);
    }
    // Idempotency keys live by the clock: where it ran ahead, an append that was asked for again may be there twice.
    world.finish(tally, false)
}
