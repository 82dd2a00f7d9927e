//! kill -9 at any moment: under load, and now and then while the server starts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_tests::server::Ended;

use super::Setting;
use crate::tally::{Finding, Tally};
use crate::world::{self, World, ready, wait_for_answers};

/// How long appends may take at the most before the moment of the kill is chosen without them.
const WARM_UP: Duration = Duration::from_secs(20);

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut done = 0;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        if world.random.one_in(5) {
            tally.chose("a kill while it starts");
            let mut starting = world.start(&[]);
            // Any moment may be the wrong one: this wait is the fault, nothing is waited for.
            std::thread::sleep(Duration::from_micros(world.random.below(40_000) as u64));
            starting.kill();
            killed(&starting.ended(), "a kill while it starts", tally)?;
            continue;
        }
        tally.chose("a kill at work");
        let starting = world.start(&[]);
        let mut up = ready(starting)?.map_err(|ended| Finding::failed(format!("no start after a kill: {ended:?}")))?;
        world.check(up.address)?;
        let process = &mut up.process;
        let mut under_load = false;
        world.work(up.address, tally, |signals, random| {
            wait_for_answers(signals, 1 + random.below(12) as u64, WARM_UP)?;
            std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
            under_load = signals.in_flight.load(Ordering::SeqCst) > 0;
            process.kill();
            Ok(())
        })?;
        let what = if under_load { "a kill with appends on their way" } else { "a kill between two appends" };
        killed(&up.process.ended(), what, tally)?;
    }
    world.finish(tally, true)
}

/// Counts a kill. Nothing else may end it here.
fn killed(ended: &Ended, what: &str, tally: &mut Tally) -> Result<(), Finding> {
    tally.cycles += 1;
    world::killed(ended, "the server")?;
    tally.fired += 1;
    tally.note(what);
    Ok(())
}
