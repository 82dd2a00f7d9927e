//! What operators do to folders: copies of a server at work, parts of older copies put back, and a second server on the
//! same folder. Whatever starts has everything that was acknowledged before, and the first server goes on.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use cairn_tests::folder::copy;
use cairn_tests::server::{Ended, Starting};

use super::Setting;
use super::files::{files, judge};
use crate::tally::{Finding, Tally};
use crate::world::{World, ended_well, ready, wait_for_answers};

const WORK: Duration = Duration::from_secs(20);

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut done = 0;
    let older = world.folder().join("older");
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        let mut up = world.up()?;
        let (data, image) = (world.data.path().to_owned(), world.folder().join("image"));
        if image.exists() {
            fs::remove_dir_all(&image)?;
        }
        let process = &mut up.process;
        let mut second = None;
        // What was acknowledged before the copy began.
        let before = world.seen.clone();
        let mut parts = ["db", "high-water"];
        if world.random.one_in(2) {
            parts.reverse();
        }
        tally.chose(format!("a copy at work, {} first", parts[0]));
        world.work(up.address, tally, |signals, random| {
            wait_for_answers(signals, 2 + random.below(10) as u64, WORK)?;
            copy_at_work(&data, &image, parts)?;
            second = Some(ready(Starting::on(&data, &[]))?.err());
            // The first goes on.
            wait_for_answers(signals, 2, WORK)?;
            process.kill();
            Ok(())
        })?;
        match second.flatten() {
            Some(ended) => refused_as_second(&ended)?,
            None => return Err(Finding::failed("two servers on one folder")),
        }
        tally.fired += 1;
        tally.note("a second server was refused");
        let after = core::mem::replace(&mut world.seen, before);
        let outcome = judge(world, &image);
        world.seen = after;
        let [first, last] = parts;
        tally.fired += 1;
        tally.note(format!("a copy at work, {first} before {last}: {}", outcome?));
        if older.exists() {
            for part in ["db", "high-water"] {
                put_back(world, tally, part)?;
            }
            fs::remove_dir_all(&older)?;
        }
        copy(&data, &older)?;
    }
    world.finish(tally, true)
}

/// For no other reason than the first one.
fn refused_as_second(ended: &Ended) -> Result<(), Finding> {
    ended_well(ended)?;
    if ended.stderr.contains("another process") {
        return Ok(());
    }
    Err(Finding::failed(format!("a second server is refused for another reason: {ended:?}")))
}

/// Copies these parts one after the other while the server writes, and then what never changes.
fn copy_at_work(data: &Path, image: &Path, parts: [&str; 2]) -> io::Result<()> {
    fs::create_dir(image)?;
    let mut names: Vec<_> = parts.into_iter().map(OsString::from).collect();
    for file in fs::read_dir(data)? {
        let file = file?;
        let (name, kind) = (file.file_name(), file.file_type()?);
        if (kind.is_file() || kind.is_dir()) && !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let (from, to) = (data.join(&name), image.join(&name));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// A part of the older copy in the place of the newer one. If that is as it was then, nothing happened.
fn put_back(world: &mut World, tally: &mut Tally, part: &str) -> Result<(), Finding> {
    let image = world.folder().join("image");
    if image.exists() {
        fs::remove_dir_all(&image)?;
    }
    copy(world.data.path(), &image)?;
    let (from, to) = (world.folder().join("older").join(part), image.join(part));
    if from.is_dir() {
        fs::remove_dir_all(&to)?;
        copy(&from, &to)?;
    } else {
        fs::copy(&from, &to)?;
    }
    if files(&image)? == files(world.data.path())? {
        tally.note(format!("an older {part} that is no other"));
        return Ok(());
    }
    let outcome = judge(world, &image).map_err(|finding| finding.within(format_args!("an older {part}")))?;
    tally.fired += 1;
    tally.note(format!("an older {part}: {outcome}"));
    Ok(())
}
