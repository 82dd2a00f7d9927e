//! A file that is gone, empty, cut in the middle, or an older one of that name: the server does not start and says why,
//! or all that it serves and signs is right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_tests::folder::copy;
use cairn_tests::server::Starting;

use super::Setting;
use crate::tally::{Finding, Sort, Tally};
use crate::world::{World, ended_well, killed_or_ended_well, ready, wait_for_answers};

const WORK: Duration = Duration::from_secs(20);

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Remove,
    Empty,
    Cut,
    Older,
}

const DEEDS: [Deed; 4] = [Deed::Remove, Deed::Empty, Deed::Cut, Deed::Older];

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let older = world.folder().join("older");
    grow(world, tally)?;
    copy(world.data.path(), &older)?;
    grow(world, tally)?;
    let (now, before) = (files(world.data.path())?, files(&older)?);
    let mut cases: Vec<(PathBuf, Deed)> = now.keys().flat_map(|name| DEEDS.map(|deed| (name.clone(), deed))).collect();
    // Mixed, so that an early end leaves no sort of file out.
    cases.sort_by_cached_key(|(name, deed)| {
        let name = super::points::point(&name.to_string_lossy());
        world.random.named(format!("{deed:?} {name}").as_bytes()).number()
    });
    let mut done = 0;
    for (name, deed) in cases {
        if !setting.goes_on(done) {
            break;
        }
        let Some(bytes) = now.get(&name) else { continue };
        let changed = match deed {
            Deed::Remove => None,
            Deed::Empty => Some(Vec::new()),
            Deed::Cut => Some(bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec()),
            Deed::Older => match before.get(&name) {
                Some(older) => Some(older.clone()),
                None => continue,
            },
        };
        if changed.as_ref() == Some(bytes) {
            continue;
        }
        done += 1;
        tally.cycles += 1;
        tally.fired += 1;
        let sort = super::points::point(&name.to_string_lossy());
        tally.chose(format!("{deed:?} {sort}"));
        let outcome = attempt(world, &name, changed)
            .map_err(|finding| finding.within(format_args!("{deed:?} {}", name.display())))?;
        tally.note(format!("{outcome}: {deed:?} {sort}"));
    }
    world.finish(tally, true)
}

/// Some more entries, and a kill.
fn grow(world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    let mut up = world.up()?;
    let process = &mut up.process;
    world.work(up.address, tally, |signals, _| {
        wait_for_answers(signals, 60, WORK)?;
        process.kill();
        Ok(())
    })
}

/// What is in a data folder, by name.
pub(super) fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Finding> {
    let mut found = BTreeMap::new();
    for part in ["", "db", "keys"] {
        for file in fs::read_dir(folder.join(part))? {
            let file = file?;
            if file.file_type()?.is_file() {
                found.insert(Path::new(part).join(file.file_name()), fs::read(file.path())?);
            }
        }
    }
    Ok(found)
}

fn attempt(world: &mut World, name: &Path, changed: Option<Vec<u8>>) -> Result<&'static str, Finding> {
    let image = world.folder().join("image");
    if image.exists() {
        fs::remove_dir_all(&image)?;
    }
    copy(world.data.path(), &image)?;
    match changed {
        None => fs::remove_file(image.join(name))?,
        Some(bytes) => fs::write(image.join(name), bytes)?,
    }
    judge(world, &image)
}

/// What a start on a copy comes to, whose clients had everything that the world's have.
pub(super) fn judge(world: &mut World, image: &Path) -> Result<&'static str, Finding> {
    match ready(Starting::on(image, &[]))? {
        Err(ended) => {
            ended_well(&ended)?;
            Ok("refused")
        }
        Ok(mut up) => {
            let checked = world.check_copy(up.address);
            up.process.kill();
            // Whoever gets no answer can't tell a server that gave up from one that crashed.
            killed_or_ended_well(&up.process.ended())?;
            match checked {
                Ok(()) => Ok("sound"),
                Err(finding) if finding.sort == Sort::Failed => Ok("errors"),
                Err(finding) => Err(finding),
            }
        }
    }
}
