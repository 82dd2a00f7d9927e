//! A bit that flips in an entry on its way to the store: the log halts before it signs, and what it had signed stays.
//!
//! No real server does this to itself; the seam stands in builds that are broken on purpose (`make canaries`).

use std::time::Duration;

use super::Setting;
use crate::tally::{Finding, Tally};
use crate::world::{World, ready, wait_for_answers, wait_until};

const WORK: Duration = Duration::from_secs(20);
/// What the server says when it has flipped a bit.
const FLIPPED: &str = "a bit flipped on the way to the store";
/// Commits of entries among which the one is that is hit.
const COMMITS: usize = 10;

/// One flip per world: a log that has halted stays so.
pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    if !setting.goes_on(0) {
        return Ok(());
    }
    tally.cycles += 1;
    let at = 1 + world.random.below(COMMITS);
    let starting = world.start(&[("CAIRND_FLIP", at.to_string().into())]);
    let mut up = ready(starting)?.map_err(|ended| Finding::failed(format!("it does not start: {ended:?}")))?;
    let (address, process) = (up.address, &up.process);
    let mut fired = false;
    world.work(address, tally, |signals, _| {
        fired = wait_until(|| Ok(process.stderr().contains(FLIPPED)), WORK)?;
        // Time to sign it.
        wait_for_answers(signals, 4, Duration::from_millis(100))?;
        Ok(())
    })?;
    tally.fired += u64::from(fired);
    world.check(address)?;
    up.process.kill();
    world.up().map(drop)
}
