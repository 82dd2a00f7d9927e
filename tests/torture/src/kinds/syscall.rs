//! Calls of the operating system that fail or are cut short: each class of them, each errno, at any of its calls.

use std::time::Duration;

use cairn_tests::preload::{Calls, Class, Deed};
use cairn_tests::random::Random;
use cairn_tests::server::PATIENCE;

use super::Setting;
use crate::tally::{Finding, Sort, Tally};
use crate::world::{Up, World, ended_well, killed_or_ended_well, ready, wait_for_answers, wait_until};

/// Answers after which a server at work is given up on to come to the call.
const ANSWERS: u64 = 12;
/// What a disk and its file system say.
const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EDQUOT"];
/// What a call says that a signal interrupted before it did anything.
const INTERRUPTED: &str = "EINTR";
/// Calls of a start among which the one is that fails.
const START: usize = 30;

/// A class and what is done to it. Half of them cut bytes short, which a server has to get over: there one run sees many.
pub(super) fn choose(random: &mut Random) -> (Class, Deed) {
    if random.one_in(2) {
        let class = random.one_of(&[Class::Write, Class::WriteAt, Class::Read]);
        return (class, Deed::Short);
    }
    let class = random.one_of(&Class::ALL);
    let errno = match class {
        class if class.may_be_interrupted() && random.one_in(4) => INTERRUPTED,
        Class::OpenRead => random.one_of(&["EIO", "EMFILE"]),
        class if class.changes_nothing() => "EIO",
        _ => random.one_of(&ERRORS),
    };
    (class, Deed::Fail(errno))
}

/// About as many calls of a class as a start makes, if whoever is at work makes hardly any: it rarely opens anything to read,
/// or looks for it.
const fn asked_at_start(class: Class) -> Option<usize> {
    match class {
        Class::OpenRead => Some(25),
        Class::Look | Class::List => Some(100),
        _ => None,
    }
}

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut done = 0;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        let (class, deed) = choose(&mut world.random);
        let calls = Calls::new(world.data.path(), &world.folder().join("calls"), (class, deed))?;
        let every = if deed == Deed::Short { 1 + world.random.below(3) as u64 } else { 0 };
        let asked = asked_at_start(class);
        let starts = asked.is_some() || world.random.one_in(3);
        if starts {
            calls.arm(1 + world.random.below(asked.unwrap_or(START)) as u64, every)?;
        }
        let when = if starts { "at a start" } else { "at work" };
        tally.chose(format!("{} {}, {when}", class.name(), deed.name()));
        let starting = world.start(&calls.environment(&[]));
        match ready(starting)? {
            Err(ended) => {
                if calls.fired()? == 0 {
                    return Err(Finding::failed(format!("it does not start, and nothing failed: {ended:?}")));
                }
                ended_well(&ended).map_err(|finding| finding.within(calls.place().unwrap_or_default()))?;
            }
            Ok(mut up) => {
                match world.check(up.address) {
                    // A read may have failed; what is answered all the same is right.
                    Err(finding) if starts && finding.sort == Sort::Failed => tally.note("an answer was an error"),
                    other => drop(other?),
                }
                at_work(world, &mut up, &calls, every, tally)?;
            }
        }
        let fired = calls.fired()?;
        tally.fired += fired;
        if fired > 0 {
            tally.note_many(format!("{} {}", class.name(), deed.name()), fired);
        }
    }
    world.finish(tally, true)
}

fn at_work(world: &mut World, up: &mut Up, calls: &Calls, every: u64, tally: &mut Tally) -> Result<(), Finding> {
    let process = &mut up.process;
    let at_start = calls.fired()? > 0;
    world.work(up.address, tally, |signals, random| {
        if calls.fired()? == 0 {
            calls.arm_ahead(1 + random.below(12) as u64, every)?;
        }
        // It fires, and shows what becomes of it; or enough is done without.
        wait_until(|| Ok(calls.fired()? > 0 || process.has_ended()), Duration::from_millis(30))?;
        wait_until(|| Ok(process.has_ended()), Duration::from_millis(2))?;
        wait_for_answers(signals, ANSWERS, Duration::from_millis(20))?;
        if must_end(calls)? && !wait_until(|| Ok(process.has_ended()), PATIENCE)? {
            let when = if at_start { "at a start" } else { "at work" };
            return Err(Finding::failed(format!("a failed sync {when} does not end it: {}", calls.place()?)));
        }
        if !process.has_ended() {
            // A kill between the parts of one write is no machine's doing.
            calls.arm(0, 0)?;
            wait_for_answers(signals, 1, Duration::from_millis(20))?;
            process.kill();
        }
        Ok(())
    })?;
    let ended = up.process.ended();
    killed_or_ended_well(&ended).map_err(|finding| finding.within(calls.place().unwrap_or_default()))
}

/// Whether what has failed is a sync of what a commit stands on: then nobody knows what is on disk, and no try helps.
fn must_end(calls: &Calls) -> Result<bool, Finding> {
    let place = calls.place()?;
    let is_sync = place.contains(" sync of ") || place.contains(" datasync of ");
    let is_error = !place.starts_with("short") && !place.starts_with(INTERRUPTED);
    Ok(is_sync && is_error && (place.ends_with(".log") || place.ends_with("high-water")))
}
