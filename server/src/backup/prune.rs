//! Letting go of old generations, and of the tables that no generation has any more.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::hold::hold_backups;
use super::make::{clear, files_in};
use super::manifest::{Generation, generations, name_of, numbers, tables};
use super::restore::verify_others;
use super::{BackupError, Progress, copy};
use crate::engine::Frozen;

/// What was let go of, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The generations, oldest first.
    pub generations: Vec<u64>,
    /// The bytes of tables that nothing had any more.
    pub bytes: u64,
    /// Generations that would have gone, had the newer ones been good.
    pub held: Vec<u64>,
    /// Those that are not good.
    pub unsound: Vec<Unsound>,
    /// Those that count as good though their database was damaged, since the operator accepts that.
    pub accepted: Vec<Unsound>,
}

/// A generation that stands in for no older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    /// Which one.
    pub number: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// What stays, and what goes.
#[derive(Default)]
struct Chosen {
    kept: BTreeSet<PathBuf>,
    old: Vec<u64>,
    unsound: Vec<Unsound>,
    accepted: Vec<Unsound>,
    /// Nobody knows which tables are needed, or whether the newest generation is of any use.
    is_in_doubt: bool,
}

/// Removes all generations but the newest `keep`; then the tables that none of the others has. A crash leaves each
/// generation whole or unfinished, and at most tables that the next call removes.
///
/// One is removed only when `keep` newer ones are good, and the newest of all is: every file of theirs is read and is what
/// was written, but for those in `verified`, and no damage was known in their database but what is in `accepted`, word by
/// word: of a loss that nobody can mend, the operator may say so, and whatever is found after it has other words. Where not all
/// of it is told, no words stand for it. Nothing is removed while a manifest can't be read that is newer than the oldest to be
/// kept: nobody knows which tables that generation has.
///
/// # Errors
/// [`BackupError::Io`].
pub fn prune(
    dest: &Path,
    keep: NonZeroUsize,
    accepted: &[String],
    mut verified: BTreeSet<PathBuf>,
    progress: &mut Progress<'_>,
) -> Result<Pruned, BackupError> {
    let _lock = hold_backups(dest)?;
    clear(dest)?;
    let numbers = numbers(dest)?;
    let beyond = numbers.len().saturating_sub(keep.get());
    let mut good = Good { accepted, verified: &mut verified, progress };
    let Chosen { kept, mut old, unsound, accepted, is_in_doubt } = choose(dest, &numbers, keep, &mut good);
    if is_in_doubt {
        old.clear();
    }
    let held = numbers.into_iter().take(beyond).filter(|number| !old.contains(number)).collect();
    old.reverse();
    for number in &old {
        let folder = generations(dest).join(name_of(*number));
        let partial = folder.with_extension("partial");
        // Once it has lost its name it is none, and its tables may go.
        copy::rename(&folder, &partial)?;
        copy::remove_folder(&partial)?;
    }
    let bytes = if is_in_doubt { 0 } else { remove_tables(dest, &kept)? };
    Ok(Pruned { generations: old, bytes, held, unsound, accepted })
}

/// Looks at generations from the newest on, until so many are good.
fn choose(dest: &Path, numbers: &[u64], keep: NonZeroUsize, looking: &mut Good<'_, '_>) -> Chosen {
    // Where nothing is to go, nothing has to stand in for it.
    let reads = numbers.len() > keep.get();
    let (mut chosen, mut good) = (Chosen::default(), 0);
    for (place, number) in numbers.iter().copied().rev().enumerate() {
        if good == keep.get() {
            chosen.old.push(number);
            continue;
        }
        let unsound = |problem: String| Unsound { number, problem };
        let generation = match Generation::claimed(dest, number) {
            Ok(generation) => generation,
            Err(error) => {
                chosen.unsound.push(unsound(error.to_string()));
                chosen.is_in_doubt = true;
                continue;
            }
        };
        chosen.kept.extend(generation.manifest.files.iter().map(|file| generation.place(file)));
        match if reads { looking.look(&generation) } else { Ok(None) } {
            Ok(accepted) => {
                good += 1;
                chosen.accepted.extend(accepted.map(unsound));
            }
            Err(problem) => {
                chosen.unsound.push(unsound(problem));
                chosen.is_in_doubt |= place == 0;
            }
        }
    }
    chosen
}

/// What makes a generation a good one.
struct Good<'a, 'p> {
    /// Damage that the operator accepts.
    accepted: &'a [String],
    /// Files that were read already.
    verified: &'a mut BTreeSet<PathBuf>,
    progress: &'a mut Progress<'p>,
}

impl Good<'_, '_> {
    /// That a generation can stand in for an older one, with the damage that is accepted for it; else what is wrong with it.
    fn look(&mut self, generation: &Generation) -> Result<Option<String>, String> {
        let Frozen { damage, more_damage, .. } = &generation.manifest.frozen;
        if *more_damage {
            let told = damage.join("; ");
            return Err(format!(
                "it is of a database that was known to be damaged, in more places than are told, which nobody can accept \
                 by their words (mend it with cairnd repair): {told}"
            ));
        }
        if let Some(known) = damage.iter().find(|known| !self.accepted.contains(known)) {
            return Err(format!("it is of a database that was known to be damaged: {known}"));
        }
        verify_others(generation, self.verified, self.progress).map_err(|error| error.to_string())?;
        Ok(Some(damage.join("; ")).filter(|damage| !damage.is_empty()))
    }
}

fn remove_tables(dest: &Path, kept: &BTreeSet<PathBuf>) -> Result<u64, BackupError> {
    let mut removed = 0;
    for table in files_in(&tables(dest), "")? {
        if !kept.contains(&table.from) {
            let length = fs::metadata(&table.from).map_err(BackupError::io(&table.from))?.len();
            fs::remove_file(&table.from).map_err(BackupError::io(&table.from))?;
            removed += length;
        }
    }
    Ok(removed)
}
