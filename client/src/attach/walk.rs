//! The files of a folder, one after another in the order of their paths' bytes, as they stand in a listing.
//!
//! Each folder's entries are sorted as if the name of a folder ended with a slash: then the order in which folders are gone
//! through is that of the whole paths, and nothing has to be sorted at the end. In memory are the entries of the folders on
//! the way only.

use std::fs::{self, FileType};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::vec;

use super::{AttachError, failed};
use crate::bounds::{ATTACHED_ENTRIES, ATTACHED_FILES, SHOWN_LINKS};

/// What becomes of symbolic links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Links {
    /// A data set with a link is refused: what a record says of a data set must be all of it.
    #[default]
    Refuse,
    /// What they lead to is taken in their place, whole folders too.
    Follow,
    /// They are left out, and it is said that they are.
    Skip,
}

/// Links that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<PathBuf>,
}

impl LeftOut {
    /// One more.
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        if self.first.len() < SHOWN_LINKS {
            self.first.push(path);
        }
    }

    /// These as well.
    pub(super) fn join(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(SHOWN_LINKS);
    }
}

/// A file.
pub(super) struct Found {
    /// Its path within the folder: bytes, which need not be text.
    pub(super) name: Vec<u8>,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// The files of a folder.
pub(super) struct Walk {
    root: PathBuf,
    links: Links,
    /// The folders on the way, the root first.
    folders: Vec<Folder>,
    entries: usize,
    files: usize,
    left_out: LeftOut,
}

/// A folder that is gone through.
struct Folder {
    path: PathBuf,
    /// Its own path within the root, with a slash behind.
    prefix: Vec<u8>,
    /// Which folder of the machine it is; only where links are followed, which may lead in a circle.
    is: Option<(u64, u64)>,
    rest: vec::IntoIter<Vec<u8>>,
}

/// What an entry is taken for.
enum Kind {
    File,
    Folder,
    LeftOut,
}

impl Walk {
    pub(super) fn new(root: &Path, links: Links) -> Result<Self, AttachError> {
        let mut walk = Self {
            root: root.to_owned(),
            links,
            folders: Vec::new(),
            entries: 0,
            files: 0,
            left_out: LeftOut::default(),
        };
        walk.enter(root.to_owned(), Vec::new())?;
        Ok(walk)
    }

    /// The links that were left out so far.
    pub(super) fn left_out(self) -> LeftOut {
        self.left_out
    }

    fn enter(&mut self, path: PathBuf, prefix: Vec<u8>) -> Result<(), AttachError> {
        let is = match self.links {
            Links::Follow => {
                let found = fs::metadata(&path).map_err(failed(&path))?;
                let is = Some((found.dev(), found.ino()));
                if self.folders.iter().any(|folder| folder.is == is) {
                    return Err(AttachError::Circle(path));
                }
                is
            }
            Links::Refuse | Links::Skip => None,
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed(&path))? {
            let entry = entry.map_err(failed(&path))?;
            self.entries += 1;
            if self.entries > ATTACHED_ENTRIES {
                return Err(AttachError::TooLarge(self.root.clone()));
            }
            let kind = entry.file_type().map_err(failed(&entry.path()))?;
            let mut name = entry.file_name().as_bytes().to_vec();
            match self.kind(&entry.path(), kind)? {
                Kind::File => {}
                Kind::Folder => name.push(b'/'),
                Kind::LeftOut => continue,
            }
            names.push(name);
        }
        names.sort_unstable();
        self.folders.push(Folder { path, prefix, is, rest: names.into_iter() });
        Ok(())
    }

    fn kind(&mut self, path: &Path, kind: FileType) -> Result<Kind, AttachError> {
        let kind = match (kind.is_symlink(), self.links) {
            (false, _) => kind,
            (true, Links::Follow) => fs::metadata(path).map_err(failed(path))?.file_type(),
            (true, Links::Skip) => {
                self.left_out.add(path.to_owned());
                return Ok(Kind::LeftOut);
            }
            (true, Links::Refuse) => return Err(AttachError::Link(path.to_owned())),
        };
        if kind.is_dir() {
            Ok(Kind::Folder)
        } else if kind.is_file() {
            Ok(Kind::File)
        } else {
            Err(AttachError::Kind(path.to_owned()))
        }
    }

    fn step(&mut self) -> Result<Option<Found>, AttachError> {
        while let Some(folder) = self.folders.last_mut() {
            let Some(name) = folder.rest.next() else {
                self.folders.pop();
                continue;
            };
            let path = folder.path.join(std::ffi::OsStr::from_bytes(name.strip_suffix(b"/").unwrap_or(&name)));
            let whole = [folder.prefix.as_slice(), &name].concat();
            if name.ends_with(b"/") {
                self.enter(path, whole)?;
                continue;
            }
            self.files += 1;
            if self.files > ATTACHED_FILES {
                return Err(AttachError::TooLarge(self.root.clone()));
            }
            return Ok(Some(Found { name: whole, path }));
        }
        Ok(None)
    }
}

impl Iterator for Walk {
    type Item = Result<Found, AttachError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
