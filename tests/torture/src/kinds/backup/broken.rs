//! A command that is broken at its calls for the files of one folder, or over which the power fails.

use std::path::Path;
use std::process::Command;

use cairn_tests::preload::{Calls, Class, Deed, Disk};
use cairn_tests::random::Random;
use cairn_tests::server::{Ended, run};

use crate::kinds::{points, syscall};
use crate::tally::{Finding, Tally};

const KILLS: [Deed; 3] = [Deed::KillBefore, Deed::KillHalf, Deed::KillAfter];
/// The codes with which commands say that something is wrong: failed, or (`cairnd repair`) missing.
const REFUSALS: [i32; 2] = [1, 4];

/// Where faults are, and where the harness keeps what it needs for them.
pub(super) struct Place<'a> {
    /// The folder whose files they concern.
    pub(super) folder: &'a Path,
    /// Of all worlds only this one's.
    pub(super) beside: &'a Path,
    /// Whether its power may fail: not where somebody else is at work in it.
    pub(super) has_power: bool,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) ended: Ended,
    /// What was to be broken.
    pub(super) chosen: String,
    /// How often a fault was seen to happen.
    pub(super) fired: u64,
    /// What it was.
    pub(super) what: String,
}

impl Ran {
    /// Whether the command said that it had done what it was to do.
    pub(super) fn succeeded(&self) -> bool {
        self.ended.code == Some(0)
    }

    /// Counts what happened to a command of this name.
    pub(super) fn count(&self, command: &str, tally: &mut Tally) {
        tally.fired += self.fired;
        tally.chose(format!("{command}: {}", self.chosen));
        let came = if self.succeeded() { "done" } else { "not done" };
        let what = points::point(self.what.split(" of ").next().unwrap_or_default());
        tally.note(format!("{command}, {}: {came}", if self.fired > 0 { &what } else { "nothing broken" }));
    }
}

/// Runs a command with a fault at one of about `span` calls, which is set to what a whole run made.
pub(super) fn run_broken(
    mut command: Command,
    place: &Place<'_>,
    span: &mut u64,
    random: &mut Random,
) -> Result<Ran, Finding> {
    let power = place.has_power && random.one_in(3);
    let (class, deed) = match random.below(8) {
        0 => (Class::Change, Deed::Short),
        _ if power => (Class::Change, random.one_of(&KILLS)),
        1..=4 => (Class::Change, random.one_of(&KILLS)),
        _ => syscall::choose(random),
    };
    let chosen = format!("{} {}{}", class.name(), deed.name(), if power { ", a power failure" } else { "" });
    let calls = Calls::new(place.folder, &place.beside.join("calls"), (class, deed))?;
    // Once in a while nothing is broken, and the power may fail when all is done.
    if !random.one_in(6) {
        let few = matches!(class, Class::Change | Class::Write);
        let most = if few { *span } else { (*span / 8).max(4) };
        let every = if deed == Deed::Short { 1 + random.below(3) as u64 } else { 0 };
        calls.arm(1 + random.below(usize::try_from(most).unwrap_or(usize::MAX)) as u64, every)?;
    }
    let folder = place.folder.canonicalize()?;
    let disk = power.then(|| Disk::new(&folder, place.beside.join("disk")));
    match &disk {
        None => command.envs(calls.environment(&[])),
        Some(disk) => {
            command.envs(calls.environment(&[Disk::library()])).envs(disk.environment());
            if random.one_in(2) { command.env("DISK_EARLY", "1") } else { &mut command }
        }
    };
    let ended = run(&mut command);
    let (mut fired, mut what) = (calls.fired()?, calls.place()?);
    let fine = match ended.code {
        _ if ended.was_killed() => deed.kills() && fired > 0,
        Some(0) => true,
        Some(code) => fired > 0 && REFUSALS.contains(&code) && !ended.stderr.contains("panicked"),
        None => false,
    };
    if !fine {
        return Err(Finding::failed(format!("after {fired} faults ({what}) {command:?} ended: {ended:?}")));
    }
    if ended.code == Some(0) && class == Class::Change {
        *span = calls.calls()?.max(1);
    }
    if let Some(disk) = disk {
        let torn = random.one_in(2);
        let forgotten = if disk.is_ready() { disk.power_fails(torn.then_some(random))? } else { Default::default() };
        fired = u64::from(!forgotten.files.is_empty() || ended.was_killed());
        what = format!("power failure of {what}, {forgotten:?}");
    }
    Ok(Ran { ended, chosen, fired, what })
}
