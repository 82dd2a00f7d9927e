//! Repairs that are broken half-way, of a database with one flipped bit and with a whole backup. A start after that serves
//! nothing that is wrong, and a second repair mends everything.

use std::fs;
use std::path::Path;
use std::process::Command;

use cairn_tests::folder::copy;
use cairn_tests::random::Random;
use cairn_tests::server::program;

use super::broken::{Place, run_broken};
use super::restore::sound_or_halted;
use super::{Spans, either, empty, is_well};
use crate::kinds::bitflip::{Flip, Repaired, say_no_policy};
use crate::kinds::files;
use crate::tally::{Finding, Tally};
use crate::world::World;

pub(super) fn try_one(world: &mut World, spans: &mut Spans, tally: &mut Tally) -> Result<(), Finding> {
    let room = world.folder().join("mended");
    empty(&room)?;
    let (twin, image, backups) = (room.join("twin"), room.join("image"), room.join("backups"));
    // Of a copy: to be backed up, a database is opened, which writes what stands in the write-ahead log to tables.
    copy(world.data.path(), &twin)?;
    let mut command = Command::new(program("cairnd"));
    command.arg("backup").arg("--data").arg(&twin).arg("--to").arg(&backups);
    is_well(command)?;
    copy(world.data.path(), &image)?;
    let flip = choose(&image, &mut world.random)?;
    flip.inflict(&image)?;
    let beside = world.folder().to_owned();
    let place = Place { folder: &image, beside: &beside, has_power: true };
    let ran = run_broken(repair(&image, &backups), &place, &mut spans.repair, &mut world.random)?;
    ran.count("repair", tally);
    let what = format!("{flip:?}, repair, {}", ran.what);
    judge(world, &image, &backups).map_err(|finding| finding.within(what))
}

/// One bit of a file of the database that is read.
fn choose(image: &Path, random: &mut Random) -> Result<Flip, Finding> {
    let mut files = Vec::new();
    for file in fs::read_dir(image.join("db"))? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        if length > 0 && !name.starts_with("LOG") && !name.starts_with("OPTIONS") {
            files.push((Path::new("db").join(name), length));
        }
    }
    files.sort();
    let Some((file, length)) = files.get(random.below(files.len().max(1))) else {
        return Err(Finding::failed("the harness: a database without files"));
    };
    Ok(Flip { file: file.clone(), at: random.below(*length), bit: random.below(8) as u8 })
}

fn repair(image: &Path, backups: &Path) -> Command {
    let mut command = Command::new(program("cairnd"));
    command.args(["repair", "--json", "--data"]).arg(image).arg("--from").arg(backups);
    command
}

fn judge(world: &mut World, image: &Path, backups: &Path) -> Result<(), Finding> {
    if either(&mut world.random) {
        // On the damaged one, or on the mended one; on nothing between.
        files::judge(world, image).map_err(|finding| finding.within("a start after the first try"))?;
    }
    let ended = is_well(repair(image, backups)).map_err(|finding| finding.within("the second try"))?;
    let said: Repaired =
        serde_json::from_str(&ended.stdout).map_err(|error| Finding::failed(format!("{error}: {ended:?}")))?;
    say_no_policy(image, &said.held())?;
    match files::judge(world, image)? {
        "sound" => sound_or_halted(image),
        other => Err(Finding::failed(format!("after a second repair it is {other}: {ended:?}"))),
    }
}
