//! Backups under load, restores and repairs, each broken half-way and tried again: at a call that changes a file, by calls
//! that fail or are cut short, by a power failure, and by a server that dies under its own backup.
//!
//! What is held against them: no broken run takes anything from a generation that was there; each generation that is there,
//! reported or not, restores to all that was acknowledged before it was begun; what is half restored is no database to any
//! command; a second try succeeds, and everything is sound then.

mod broken;
mod repair;
mod restore;
mod vault;

use std::process::Command;
use std::time::Duration;

use cairn_tests::random::Random;
use cairn_tests::server::{Ended, run as run_program};

use super::Setting;
use crate::tally::{Finding, Tally};
use crate::world::{World, wait_for_answers};
use vault::Vault;

const WORK: Duration = Duration::from_secs(20);
/// The most microseconds until a server dies under a backup, which takes longer.
const UNTIL_DEATH: usize = 120_000;
/// A repair takes as long as all else in a cycle; one in so many cycles has one.
const REPAIRS: u64 = 3;

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut vault = Vault::new(world.folder())?;
    let mut spans = Spans::default();
    let mut done = 0;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        if world.random.one_in(4) {
            back_up_at_rest(world, &mut vault, &mut spans, tally)?;
        } else {
            back_up_at_work(world, &mut vault, &mut spans, tally)?;
        }
        world.begin();
        restore::try_one(world, &vault, &mut spans, tally)?;
        if (setting.number + done).is_multiple_of(REPAIRS) {
            world.begin();
            repair::try_one(world, &mut spans, tally)?;
        }
    }
    world.finish(tally, true)?;
    vault.check_all()
}

/// The calls that whole runs made lately, so that each of them has its turn to be broken.
#[derive(Debug, Clone)]
struct Spans {
    backup: u64,
    restore: u64,
    repair: u64,
}

impl Default for Spans {
    fn default() -> Self {
        Self { backup: 200, restore: 200, repair: 400 }
    }
}

/// What was acknowledged before a backup began is in it, whatever clients do meanwhile.
fn back_up_at_work(world: &mut World, vault: &mut Vault, spans: &mut Spans, tally: &mut Tally) -> Result<(), Finding> {
    let mut up = world.up()?;
    world.work(up.address, tally, |signals, random| {
        wait_for_answers(signals, 1 + random.below(12) as u64, WORK).map(drop)
    })?;
    let owed = world.seen.clone();
    let (data, process) = (world.data.path().to_owned(), &mut up.process);
    let mut made = None;
    world.work(up.address, tally, |signals, random| {
        wait_for_answers(signals, 1, WORK)?;
        let backup = vault.choose(&data, random);
        made = Some(if random.one_in(6) {
            let death = Duration::from_micros(random.below(UNTIL_DEATH) as u64);
            let ran = std::thread::scope(|scope| {
                let running = scope.spawn(|| vault.run_alone(&backup));
                std::thread::sleep(death);
                process.kill();
                running.join()
            });
            ran.map(|ran| (backup, ran)).map_err(|_| Finding::failed("the harness: a backup's thread panicked"))?
        } else {
            let ran = vault.run_broken(&backup, &mut spans.backup, random)?;
            wait_for_answers(signals, 2, WORK)?;
            process.kill();
            (backup, ran)
        });
        Ok(())
    })?;
    let Some((backup, ran)) = made else { return Err(Finding::failed("the harness: no backup was made")) };
    ran.count("backup", tally);
    let what = format!("backup {:?}, {}", backup.more, ran.what);
    vault.judge(&backup, &ran, &owed, tally).map_err(|finding| finding.within(what))
}

/// Of a database without a server: what is restored of it lacks nothing, and may go on.
fn back_up_at_rest(world: &mut World, vault: &mut Vault, spans: &mut Spans, tally: &mut Tally) -> Result<(), Finding> {
    let mut up = world.up()?;
    let process = &mut up.process;
    world.work(up.address, tally, |signals, random| {
        wait_for_answers(signals, 1 + random.below(12) as u64, WORK)?;
        process.kill();
        Ok(())
    })?;
    let backup = vault.choose(world.data.path(), &mut world.random);
    let ran = vault.run_broken(&backup, &mut spans.backup, &mut world.random)?;
    ran.count("backup at rest", tally);
    let what = format!("backup {:?} at rest, {}", backup.more, ran.what);
    vault.judge(&backup, &ran, &world.seen, tally).map_err(|finding| finding.within(what))
}

/// Whether a command says that all is well, or why not.
fn is_well(mut command: Command) -> Result<Ended, Finding> {
    let ended = run_program(&mut command);
    if ended.code == Some(0) { Ok(ended) } else { Err(Finding::failed(format!("{command:?}: {ended:?}"))) }
}

/// A folder that is empty.
fn empty(folder: &std::path::Path) -> std::io::Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir(folder)
}

/// True as often as not.
fn either(random: &mut Random) -> bool {
    random.one_in(2)
}
