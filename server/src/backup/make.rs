//! Making a generation from a frozen copy.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::apart::HIGH_WATER;
use super::copy;
use super::hold::hold_backups;
use super::manifest::{
    FILE_NAME, FileLine, Generation, Manifest, claims, generations, name_of, numbers, place_of, tables,
};
use super::{BackupError, Digest, Progress};
use crate::engine::Frozen;
use crate::incidents;
use crate::records::{SECRET_FILE_NAME, SETTINGS_FILE_NAME, TENANTS_FILE_NAME};

/// A further file of the data folder that belongs to the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// The file.
    pub from: PathBuf,
    /// Its place in the data folder.
    pub path: String,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The generation.
    pub number: u64,
    /// The bytes of all its files.
    pub bytes: u64,
    /// The bytes that earlier generations did not have.
    pub new_bytes: u64,
    /// Tables that the backup had, and that were not what was written any more.
    pub rotten: Vec<Rotten>,
    /// Tables that were taken over, and read again for it.
    pub read_again: BTreeSet<PathBuf>,
}

/// A table of the backup that was damaged, and was copied from the database once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotten {
    /// Its place in the data folder.
    pub table: String,
    /// Its file in the backup.
    pub file: PathBuf,
    /// The earlier generations that have it.
    pub generations: Vec<u64>,
    /// Whether the database has what was written, so that they are whole again; else both can't be right.
    pub is_healed: bool,
}

/// How a generation is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Making {
    /// When.
    pub now_ms: u64,
    /// Whether tables that are taken over are read again. Else only their lengths are looked at.
    pub reads_again: bool,
}

/// What is frozen, where it stands, and what goes with it.
#[derive(Debug)]
pub struct Source {
    /// The folder of the frozen copy.
    pub folder: PathBuf,
    /// What it holds.
    pub frozen: Frozen,
    /// Files beside it.
    pub extras: Vec<Extra>,
    /// Whether private keys are among them.
    pub with_keys: bool,
}

/// What stands in a data folder beside the database, and is never deleted.
const BESIDE: [&str; 4] = ["tokens.json", SECRET_FILE_NAME, TENANTS_FILE_NAME, SETTINGS_FILE_NAME];

/// A table by what tells it from all others without reading it whole.
type Known = HashMap<(String, u64, Digest), FileLine>;

struct Maker<'a> {
    dest: &'a Path,
    partial: PathBuf,
    known: Known,
    reads_again: bool,
    files: Vec<FileLine>,
    new_bytes: u64,
    rotten: Vec<Rotten>,
    read_again: BTreeSet<PathBuf>,
    done: u64,
    total: u64,
    progress: &'a mut Progress<'a>,
}

/// Makes the next generation.
///
/// # Errors
/// [`BackupError`]; then the generations that were there are as they were.
pub fn make<'a>(
    dest: &'a Path,
    source: Source,
    making: Making,
    progress: &'a mut Progress<'a>,
) -> Result<Made, BackupError> {
    for folder in [dest, &tables(dest), &generations(dest)] {
        copy::make_folder(folder)?;
    }
    // Held until this returns: two at once would take each other's unfinished files for a crash's.
    let _lock = hold_backups(dest)?;
    clear(dest)?;
    let numbers = numbers(dest)?;
    let number = numbers.last().map_or(1, |last| last + 1);
    // One that lacks a table will do: each is looked at before it is taken over.
    let previous = numbers.into_iter().rev().find_map(|number| Generation::claimed(dest, number).ok());
    let folder = generations(dest).join(name_of(number));
    let partial = folder.with_extension("partial");
    lacks_nothing(previous.as_ref(), &source.extras)?;
    let known = previous.as_ref().map(known).unwrap_or_default();
    copy::make_folder(&partial.join("db"))?;
    let mut maker = Maker {
        dest,
        partial,
        known,
        reads_again: making.reads_again,
        files: Vec::new(),
        new_bytes: 0,
        rotten: Vec::new(),
        read_again: BTreeSet::new(),
        done: 0,
        total: 0,
        progress,
    };
    let of_database = files_in(&source.folder.join("db"), "db")?;
    let high_water = Extra { from: source.folder.join(HIGH_WATER), path: HIGH_WATER.to_owned() };
    let all: Vec<Extra> = of_database.into_iter().chain([high_water]).chain(source.extras).collect();
    for file in &all {
        maker.total += fs::metadata(&file.from).map_err(BackupError::io(&file.from))?.len();
    }
    all.iter().try_for_each(|file| maker.take(file))?;
    let Maker { partial, files, new_bytes, rotten, read_again, .. } = maker;
    let mut frozen = source.frozen;
    let doubtful = rotten.iter().filter(|one| !one.is_healed);
    frozen.damage.extend(doubtful.map(|one| format!("{} is not what earlier generations were made of", one.table)));
    let manifest = Manifest::new(making.now_ms, source.with_keys, frozen, files);
    finish(dest, &partial, &folder, &manifest)?;
    Ok(Made { number, bytes: manifest.bytes(), new_bytes, rotten, read_again })
}

/// Gives what was copied its manifest and its name.
fn finish(dest: &Path, partial: &Path, folder: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    // 1. The names of tables and of everything in the generation are durable, and those of the folders around them.
    copy::sync_way_to(dest)?;
    copy::sync_folder(dest)?;
    copy::sync_folder(&tables(dest))?;
    for inner in manifest.files.iter().flat_map(|file| Path::new(&file.path).ancestors().skip(1)) {
        if partial.join(inner).is_dir() {
            copy::sync_folder(&partial.join(inner))?;
        }
    }
    // 2. The manifest, which says that the rest is there.
    let path = partial.join(FILE_NAME);
    let encoded = manifest.encode().map_err(|error| BackupError::io(&path)(error.into()))?;
    let beside = partial.join("manifest.new");
    copy::write(&beside, &encoded)?;
    copy::rename(&beside, &path)?;
    // 3. Its name. Before this it is none, after it it is whole.
    copy::rename(partial, folder)
}

impl Maker<'_> {
    fn take(&mut self, file: &Extra) -> Result<(), BackupError> {
        let is_table = file.path.ends_with(".sst");
        let line = if is_table { self.table(file)? } else { self.own(file)? };
        self.files.push(line);
        Ok(())
    }

    fn own(&mut self, file: &Extra) -> Result<FileLine, BackupError> {
        let to = self.partial.join(&file.path);
        if let Some(folder) = to.parent() {
            copy::make_folder(folder)?;
        }
        let (bytes, sha256) = self.copy(&file.from, &to)?;
        self.new_bytes += bytes;
        Ok(FileLine { path: file.path.clone(), bytes, sha256, tail: None })
    }

    fn table(&mut self, file: &Extra) -> Result<FileLine, BackupError> {
        let (length, tail) = copy::tail(&file.from)?;
        let known = self.known.get(&(file.path.clone(), length, tail)).cloned();
        if let Some(known) = known.as_ref().filter(|known| self.is_whole(known)) {
            return Ok(known.clone());
        }
        let partial = tables(self.dest).join("table.partial");
        let (bytes, sha256) = self.copy(&file.from, &partial)?;
        // Over one with the same bytes, if there is one: should that one be damaged, it is not any more.
        fs::rename(&partial, place_of(self.dest, sha256)).map_err(BackupError::io(&partial))?;
        match known {
            Some(known) => self.rotten.push(self.replaced(&known, sha256)?),
            None => self.new_bytes += bytes,
        }
        Ok(FileLine { path: file.path.clone(), bytes, sha256, tail: Some(tail) })
    }

    /// Whether the backup's own copy of a table is what was written. One that can't be read is as bad as one that differs.
    fn is_whole(&mut self, line: &FileLine) -> bool {
        let (path, before) = (place_of(self.dest, line.sha256), self.done);
        let Self { done, total, progress, .. } = self;
        if !self.reads_again {
            let is_whole = fs::metadata(&path).is_ok_and(|found| found.len() == line.bytes);
            if is_whole {
                *done += line.bytes;
                progress(*done, *total);
            }
            return is_whole;
        }
        let found = copy::hash(&path, &mut |bytes| {
            *done += bytes;
            progress(*done, *total);
        });
        let is_whole = found.is_ok_and(|found| found == (line.bytes, line.sha256));
        if is_whole {
            self.read_again.insert(path);
        } else {
            // It is copied instead, which counts.
            self.done = before;
        }
        is_whole
    }

    /// What is told of a table of the backup that was damaged; the database has one with this SHA-256.
    fn replaced(&self, line: &FileLine, sha256: Digest) -> Result<Rotten, BackupError> {
        let has = |generation: &Generation| {
            generation.manifest.files.iter().any(|file| file.tail.is_some() && file.sha256 == line.sha256)
        };
        Ok(Rotten {
            table: line.path.clone(),
            file: place_of(self.dest, line.sha256),
            generations: claims(self.dest)?.iter().filter(|claim| has(claim)).map(|claim| claim.number).collect(),
            is_healed: sha256 == line.sha256,
        })
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<(u64, Digest), BackupError> {
        let Self { done, total, progress, .. } = self;
        copy::copy(from, to, &mut |bytes| {
            *done += bytes;
            progress(*done, *total);
        })
    }
}

/// Removes what a backup left that was never finished.
pub(super) fn clear(dest: &Path) -> Result<(), BackupError> {
    for entry in files_in(&generations(dest), "")?.into_iter().filter(|entry| entry.path.ends_with(".partial")) {
        copy::remove_folder(&entry.from)?;
    }
    let table = tables(dest).join("table.partial");
    match fs::remove_file(&table) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::io(&table)(error)),
        _ => Ok(()),
    }
}

/// That no file is gone that the server never deletes and needs to go on: older generations may be removed after this one.
fn lacks_nothing(previous: Option<&Generation>, extras: &[Extra]) -> Result<(), BackupError> {
    let Some(previous) = previous else { return Ok(()) };
    let had = |name: &str| previous.manifest.files.iter().any(|line| line.path == name);
    let has = |name: &str| extras.iter().any(|extra| extra.path == name);
    match BESIDE.into_iter().find(|name| had(name) && !has(name)) {
        Some(name) => Err(BackupError::Gone { name: name.to_owned(), number: previous.number }),
        None => Ok(()),
    }
}

/// The tables that a generation says it has.
fn known(generation: &Generation) -> Known {
    let lines = generation.manifest.files.iter();
    let tables = lines.filter_map(|line| Some(((line.path.clone(), line.bytes, line.tail?), line.clone())));
    tables.collect()
}

/// What stands in a folder, with its place below `prefix`, in order.
pub(super) fn files_in(folder: &Path, prefix: &str) -> Result<Vec<Extra>, BackupError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(BackupError::io(folder))? {
        let from = entry.map_err(BackupError::io(folder))?.path();
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        files.push(Extra { from, path });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

impl Extra {
    /// The files of a data folder that belong to a backup beside the frozen copy: configuration, tokens, the secret behind
    /// pseudonyms, which log has which tenant, what is decided for tenants and modules, what was found to be wrong, and the
    /// keys if they are asked for.
    ///
    /// # Errors
    /// [`BackupError::Io`] if the folder of the keys can't be read.
    pub fn of(data: &Path, config: &Path, with_keys: bool) -> Result<Vec<Self>, BackupError> {
        let beside = BESIDE.map(|name| (data.join(name), name));
        let incidents = (data.join(incidents::FILE_NAME), incidents::FILE_NAME);
        let single = [(config.to_owned(), crate::config::FILE_NAME), incidents].into_iter().chain(beside);
        let single = single.map(|(from, path)| Self { from, path: path.to_owned() });
        let mut extras: Vec<Self> = single.filter(|extra| extra.from.is_file()).collect();
        let keys = data.join("keys");
        if with_keys && keys.is_dir() {
            extras.extend(files_in(&keys, "keys")?);
        }
        Ok(extras)
    }
}
