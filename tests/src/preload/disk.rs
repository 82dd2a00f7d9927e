//! A disk that forgets what was not synced, by `disk.c`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Library;
use crate::folder::copy;
use crate::random::Random;

/// A disk writes so many bytes whole or not at all.
const SECTOR: usize = 512;

/// Beside a folder, what a disk would hold of it.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: PathBuf,
    copy: PathBuf,
}

/// What a power failure took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The files that differed from what the program had seen.
    pub files: Vec<String>,
    /// Those of them of which some unsynced sectors were kept and others were not.
    pub torn: usize,
}

impl Disk {
    /// The disk under `folder`; the copy stands in `copy`, which is not there yet.
    #[must_use]
    pub fn new(folder: &Path, copy: PathBuf) -> Self {
        Self { folder: folder.to_owned(), copy }
    }

    /// The library.
    ///
    /// # Panics
    /// If there is no C compiler.
    #[must_use]
    pub fn library() -> PathBuf {
        Library::Disk.path()
    }

    /// The environment of the process, but for the preloading; further variables are told in `disk.c`.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![("DISK_FOLDER", self.folder.clone()), ("DISK_COPY", self.copy.clone())]
    }

    /// Whether the library has taken stock of the folder. Before that there is no disk that could have forgotten anything.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.copy.join("ready").exists()
    }

    /// Puts what the disk holds in the place of the folder. With `torn`, of each file that differs some of the sectors
    /// that were not synced are there all the same, as a disk that was interrupted leaves them.
    ///
    /// # Errors
    /// What the system says.
    pub fn power_fails(&self, mut torn: Option<&mut Random>) -> io::Result<Forgotten> {
        let names = self.copy.join("names");
        let (on_disk, live) = (contents(&names)?, contents(&self.folder)?);
        let all = on_disk.keys().chain(live.keys().filter(|name| !on_disk.contains_key(*name)));
        let files: Vec<String> = all.filter(|name| on_disk.get(*name) != live.get(*name)).cloned().collect();
        let in_place: Vec<bool> = files.iter().map(|name| self.is_in_place(name)).collect();
        let mut forgotten = Forgotten { files, torn: 0 };
        fs::remove_dir_all(&self.folder)?;
        copy(&names, &self.folder)?;
        for (name, in_place) in forgotten.files.iter().zip(in_place) {
            let (Some(random), Some(old), Some(new)) = (torn.as_deref_mut(), on_disk.get(name), live.get(name)) else {
                continue;
            };
            if !in_place {
                continue;
            }
            let mixed = mix(old, new, random);
            forgotten.torn += usize::from(mixed != *old && mixed != *new);
            fs::write(self.folder.join(name), mixed)?;
        }
        self.clear()?;
        Ok(forgotten)
    }

    /// Whether a name means the same file on the disk as in the folder. Another one was put into its place otherwise, and
    /// no sector of that is in this.
    fn is_in_place(&self, name: &str) -> bool {
        let inode = |path: &Path| fs::metadata(path).ok().map(|about| about.ino());
        let Some(live) = inode(&self.folder.join(name)) else { return false };
        let kept = inode(&self.copy.join("inodes").join(live.to_string()));
        kept.is_some() && kept == inode(&self.copy.join("names").join(name))
    }

    /// Throws away what the disk holds.
    ///
    /// # Errors
    /// What the system says.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Sectors of both, in any choice; a file that grew may have any length between. What the length covers and was never
/// written reads as zeros.
fn mix(old: &[u8], new: &[u8], random: &mut Random) -> Vec<u8> {
    let shorter = old.len().min(new.len());
    let length = shorter + random.below(old.len().max(new.len()) - shorter + 1);
    let mut mixed = old.to_vec();
    mixed.resize(length, 0);
    // Mostly kept, mostly lost, or half of each.
    let odds = 1 + random.below(7);
    for (target, source) in mixed.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
        if random.below(8) < odds {
            let bytes = target.len().min(source.len());
            target.iter_mut().zip(source).take(bytes).for_each(|(target, source)| *target = *source);
        }
    }
    mixed
}

/// The files that matter to a program, by name. RocksDB's own LOG is for people.
fn contents(folder: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    add_contents(folder, "", &mut found)?;
    Ok(found)
}

fn add_contents(folder: &Path, below: &str, found: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        let kind = file.file_type()?;
        if kind.is_dir() {
            add_contents(&file.path(), &format!("{below}{name}/"), found)?;
        } else if kind.is_file() && !name.starts_with("LOG") && !name.starts_with("OPTIONS") {
            found.insert(format!("{below}{name}"), fs::read(file.path())?);
        }
    }
    Ok(())
}
