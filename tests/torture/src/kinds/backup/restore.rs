//! Restores that are broken half-way. What they leave is no database to any command; the next try brings back all that was
//! acknowledged before the backup, and of what came after it signs nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tests::folder::copy;
use cairn_tests::http::{Connection, Request};
use cairn_tests::random::Random;
use cairn_tests::server::{Starting, cairnd, program};
use serde::Deserialize;

use super::broken::{Place, Ran, run_broken};
use super::vault::{Owed, Vault};
use super::{Spans, either, empty, is_well};
use crate::tally::{Finding, Sort, Tally};
use crate::world::{World, ended_well, ready};

/// A restore of one generation.
struct Restore<'a> {
    owed: &'a Owed,
    from: String,
    high_water: Option<PathBuf>,
    room: PathBuf,
    target: PathBuf,
}

/// What `cairnd fsck --json` says of a log.
#[derive(Deserialize)]
struct FsckLine {
    log: String,
    problem: Option<String>,
}

pub(super) fn try_one(world: &mut World, vault: &Vault, spans: &mut Spans, tally: &mut Tally) -> Result<(), Finding> {
    let Some((number, owed)) = choose(vault, &mut world.random) else { return Ok(()) };
    let room = world.folder().join("restored");
    empty(&room)?;
    let high_water = (!world.random.one_in(3)).then(|| world.data.path().join("high-water"));
    let restore = Restore { owed, from: vault.from(number), high_water, target: room.join("copy"), room };
    let beside = world.folder().to_owned();
    let place = Place { folder: &restore.room, beside: &beside, has_power: true };
    let ran = run_broken(restore.command(), &place, &mut spans.restore, &mut world.random)?;
    ran.count("restore", tally);
    let what = format!("restore of generation {number}, {}", ran.what);
    let judged = restore.judge(world, &ran, tally);
    judged.map_err(|finding| finding.within(what))
}

/// A generation: the newest as often as all others.
fn choose<'a>(vault: &'a Vault, random: &mut Random) -> Option<(u64, &'a Owed)> {
    let count = vault.owed.len().checked_sub(1)?;
    let place = if either(random) { count } else { random.below(count + 1) };
    vault.owed.iter().nth(place).map(|(number, owed)| (*number, owed))
}

impl Restore<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(program("cairnd"));
        command.args(["restore", "--json", "--from", &self.from, "--data"]).arg(&self.target);
        if let Some(high_water) = &self.high_water {
            command.arg("--high-water").arg(high_water);
        }
        command
    }

    fn judge(&self, world: &mut World, ran: &Ran, tally: &mut Tally) -> Result<(), Finding> {
        if ran.succeeded() && !self.target.is_dir() {
            return Err(Finding { sort: Sort::Lost, words: "a restore that was reported is gone".to_owned() });
        }
        if !self.target.exists() {
            if lacks_its_name(ran) {
                tally.note("all was restored but the name");
            } else {
                self.nothing_starts(world, tally)?;
            }
            is_well(self.command()).map_err(|finding| finding.within("the second try"))?;
        }
        // Nothing is left of the first try.
        let left: Vec<_> = fs::read_dir(&self.room)?.map(|file| Ok(file?.path())).collect::<Result<_, Finding>>()?;
        if left != [self.target.clone()] {
            return Err(Finding::failed(format!("beside what was restored there is {left:?}")));
        }
        self.give_keys(world, &self.target)?;
        self.serves_what_it_owes(world, tally)?;
        sound_or_halted(&self.target)
    }

    /// Of what a broken restore has left nothing is a database, whatever an operator does with it.
    fn nothing_starts(&self, world: &World, tally: &mut Tally) -> Result<(), Finding> {
        for left in fs::read_dir(&self.room)? {
            let left = left?.path();
            let image = world.folder().join("half");
            empty(&image)?;
            copy(&left, &image)?;
            self.give_keys(world, &image)?;
            tally.note("what was half restored was refused");
            match ready(Starting::on(&image, &[]))? {
                Err(ended) => ended_well(&ended)?,
                Ok(_) => {
                    let words = format!("what is half restored starts: {}", left.display());
                    return Err(Finding { sort: Sort::Contradiction, words });
                }
            }
        }
        Ok(())
    }

    /// Where the backup has none.
    fn give_keys(&self, world: &World, to: &Path) -> Result<(), Finding> {
        if !self.owed.with_keys {
            copy(&world.data.path().join("keys"), &to.join("keys"))?;
        }
        Ok(())
    }

    fn serves_what_it_owes(&self, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
        let up = match ready(Starting::on(&self.target, &[]))? {
            Ok(up) => up,
            Err(ended) => return Err(Finding::failed(format!("what was restored does not start: {ended:?}"))),
        };
        let newest = core::mem::replace(&mut world.seen, self.owed.seen.clone());
        let checked = world.check_copy(up.address);
        world.seen = newest;
        checked?;
        let logs: Vec<(String, u64)> =
            world.seen.oracles.iter().map(|oracle| (oracle.name().to_owned(), oracle.newest())).collect();
        let mut connection = Connection::open(up.address).map_err(|error| Finding::failed(error.to_string()))?;
        for (log, newest) in logs {
            let head = connection.ask(&Request::get(format!("/logs/{log}/head")));
            let head = head.map_err(|broken| Finding::failed(format!("{broken:?}")))?;
            if head.status != 200 {
                return Err(Finding::failed(format!("log {log} of what was restored: {}", head.text())));
            }
            // Of the one history that was ever shown, but for what is missing.
            let size = world.seen.clone().see_head(&log, &head.body)?.size.get();
            let must_refuse = self.high_water.is_none() || size < newest;
            match appends(up.address, &log, &world.data.token)? {
                false => tally.note("a restored log that signs nothing more"),
                true if must_refuse => {
                    let words = format!("log {log}, restored at size {size} of {newest}, signs more");
                    return Err(Finding { sort: Sort::Contradiction, words });
                }
                true => tally.note("a restored log that goes on"),
            }
        }
        Ok(())
    }
}

/// Whether it was broken when all was decided: at the calls with which the mark is removed and the name given.
fn lacks_its_name(ran: &Ran) -> bool {
    let place = ran.what.strip_prefix("power failure of ").unwrap_or(&ran.what);
    let place = place.split(", Forgotten").next().unwrap_or_default();
    let ends =
        [" remove of .copy.cairn-restoring/restore.unfinished", " sync of .copy.cairn-restoring", " rename of copy"];
    ends.iter().any(|end| place.ends_with(end))
}

/// Whether a log of a copy takes an entry.
fn appends(address: SocketAddr, log: &str, token: &str) -> Result<bool, Finding> {
    let mut connection = Connection::open(address).map_err(|error| Finding::failed(error.to_string()))?;
    let request = Request::post(format!("/logs/{log}/entries"), b"only in the copy".to_vec());
    let answer = connection.ask(&request.with("authorization", format!("Bearer {token}")));
    let answer = answer.map_err(|broken| Finding::failed(format!("{broken:?}")))?;
    match answer.status {
        200 => Ok(true),
        503 => Ok(false),
        _ => Err(Finding::failed(format!("log {log} of a copy: {}", answer.text()))),
    }
}

/// The database is sound from inside, but that logs may be halted, which says so.
pub(super) fn sound_or_halted(data: &Path) -> Result<(), Finding> {
    let ended = cairnd(data, &["fsck", "--json"]);
    let mut logs = 0;
    for line in ended.stdout.lines() {
        let line: FsckLine = serde_json::from_str(line).map_err(|error| Finding::failed(format!("{error}: {line}")))?;
        logs += 1;
        if line.problem.as_ref().is_some_and(|problem| !problem.starts_with("halted: ")) {
            return Err(Finding::failed(format!("fsck: log {}: {:?}", line.log, line.problem)));
        }
    }
    if logs > 0 && ended.code.is_some_and(|code| code <= 1) {
        Ok(())
    } else {
        Err(Finding::failed(format!("fsck: {ended:?}")))
    }
}
