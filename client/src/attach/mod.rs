//! Digests of data that is kept elsewhere: a record carries them, and later they tell whether the data is still the same.
//!
//! A file is called by its name, the files of a folder by their paths within it. Where there are more of them than a record
//! has digests, each folder has one digest, that of its [listing](mod@listing), under its own name with a slash behind. Special
//! files are refused, and so are links unless it is said what becomes of them: what a record says of a data set must be
//! all of it.

mod checked;
mod hashing;
pub mod listing;
mod walk;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cairn_tree::record::bounds::MAX_EXTERNAL;
use cairn_tree::record::text::Name;

pub use self::checked::{Against, Comparison, check};
pub use self::hashing::Hashed;
pub use self::walk::{LeftOut, Links};

use self::hashing::Digests;
use self::walk::{Found, Walk};
use crate::bounds::{ATTACHED_ENTRIES, ATTACHED_FILES, LISTING_NAME_BYTES};
use crate::files::{Durability, FileError, Pending, beside, folder_of};

/// A file, or a folder by its listing, as a record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name; a folder's ends with a slash.
    pub name: Name<'static>,
    /// Its length in bytes; a folder's is that of all of its files.
    pub size: u64,
    /// The SHA-256 of its bytes, or of a folder's listing.
    pub sha256: [u8; 32],
    /// Whether it is a folder's listing that has this digest.
    pub is_listing: bool,
}

/// Why a data set can't be attached, or compared.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A file or a folder could not be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The listing could not be kept.
    #[error("the listing can't be kept: {0}")]
    Keep(#[from] FileError),
    /// Neither a file nor a folder.
    #[error("{}: only files and folders are attached", .0.display())]
    Kind(PathBuf),
    /// A link, and nobody has said what becomes of links.
    #[error("{}: a link; --links follow takes what it leads to, --links skip leaves it out", .0.display())]
    Link(PathBuf),
    /// A link to a folder that it is in.
    #[error("{}: this leads back to a folder that it is in", .0.display())]
    Circle(PathBuf),
    /// A name that no record can have.
    #[error("{}: the name is not UTF-8, too long, or has control characters", .0.display())]
    Name(PathBuf),
    /// More bytes than a number in JSON can tell.
    #[error("{}: too large", .0.display())]
    Size(PathBuf),
    /// There is no file.
    #[error("{}: there is no file in it", .0.display())]
    Empty(PathBuf),
    /// More files and folders than a record has digests, each folder having one.
    #[error("more than {MAX_EXTERNAL} files: a record has no more digests; put them in a folder, which then needs one")]
    TooMany,
    /// More files to compare than a record has digests.
    #[error("more than {MAX_EXTERNAL} files, and the record has no digest of a folder that is called as one of these")]
    TooManyFound,
    /// A folder with more files than one listing has.
    #[error("{}: more than {ATTACHED_FILES} files, or {ATTACHED_ENTRIES} with folders; attach its parts to several records", .0.display())]
    TooLarge(PathBuf),
    /// Two of them would have the same name.
    #[error("two of the files are called {0}")]
    Twice(String),
    /// More files than a record has digests, and no place for a listing.
    #[error(
        "more than {MAX_EXTERNAL} files: each folder is recorded by the digest of a listing, without which nobody can tell \
         later what changed; say where it is kept: --listings DIR, or beside a record that is kept with --save FILE"
    )]
    NoPlace,
    /// The listing would be among the files that it lists.
    #[error("{}: this is in the folder that is attached, whose listing can't be kept there: --save or --listings elsewhere", .0.display())]
    Inside(PathBuf),
    /// A listing of which the digest is right has something else in it than a listing.
    #[error("{}: line {line} is not one of a listing in the order of its paths (docs/record.md, Data sets)", path.display())]
    Listing {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
    },
    /// A thread ended that should not have.
    #[error("hashing ended before it was done")]
    Hashing,
}

/// Where listings are kept, under names that have a part of their digests: none ever takes another one's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Beside a saved record.
    Beside(PathBuf),
    /// In a folder.
    Within(PathBuf),
}

impl Place {
    /// Where the listing with this digest is.
    fn of(&self, name: &str, sha256: &[u8; 32]) -> PathBuf {
        let part: String = sha256.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Beside(record) => beside(record, &format!(".{part}.sha256")),
            // No longer than a file's name may be; the digest tells folders apart that begin alike.
            Self::Within(folder) => folder.join(format!("{}.{part}.sha256", beginning(name))),
        }
    }

    /// A listing within the folder that it lists would have to list itself.
    fn is_outside(&self, root: &Path) -> Result<(), AttachError> {
        let folder = match self {
            Self::Beside(record) => folder_of(record),
            Self::Within(folder) => folder.clone(),
        };
        let whole = |path: &Path| path.canonicalize().map_err(failed(path));
        if whole(&folder)?.starts_with(whole(root)?) { Err(AttachError::Inside(folder)) } else { Ok(()) }
    }
}

/// How a data set is read.
#[derive(Clone, Copy)]
pub struct How<'a> {
    /// What becomes of links.
    pub links: Links,
    /// Is told of what was hashed.
    pub hashed: Hashed<'a>,
}

/// A data set as a record has it.
#[derive(Debug, Default)]
pub struct DataSet {
    /// The digests.
    pub attached: Vec<Attached>,
    /// The listings that were kept.
    pub listings: Vec<PathBuf>,
    /// What is not in it.
    pub left_out: LeftOut,
}

/// Reads files and folders, and hashes every file. Listings are on the disk when this ends.
///
/// # Errors
/// [`AttachError`].
pub fn data_set(paths: &[PathBuf], place: Option<&Place>, how: How<'_>) -> Result<DataSet, AttachError> {
    if let Some(Few { files, left_out }) = few(paths, how.links)? {
        return Ok(DataSet { attached: digests(files, how)?, listings: Vec::new(), left_out });
    }
    let place = place.ok_or(AttachError::NoPlace)?;
    let (mut files, mut folders) = (BTreeMap::new(), BTreeMap::new());
    for path in paths {
        let name = match kind(path, how.links)? {
            Given::File => called(path)?,
            Given::Folder => format!("{}/", called(path)?),
        };
        let taken = if name.ends_with('/') { &mut folders } else { &mut files };
        if taken.insert(name.clone(), path.clone()).is_some() {
            return Err(AttachError::Twice(name));
        }
    }
    if files.len() + folders.len() > MAX_EXTERNAL {
        return Err(AttachError::TooMany);
    }
    // Before anything is written, as what is written for one folder may lie in another.
    for path in folders.values() {
        place.is_outside(path)?;
    }
    let mut set = DataSet { attached: digests(files, how)?, ..DataSet::default() };
    for (name, path) in folders {
        set.listed(name, &path, place, how)?;
    }
    Ok(set)
}

impl DataSet {
    fn listed(&mut self, name: String, root: &Path, place: &Place, how: How<'_>) -> Result<(), AttachError> {
        let called = Name::new(name.clone()).map_err(|_| AttachError::Name(root.to_owned()))?;
        let name = name.trim_end_matches('/');
        let mut digests = Digests::new(Walk::new(root, how.links)?, how.hashed);
        let mut kept = Pending::create(&place.of("listing", &[0; 32]))?;
        let summary = listing::write(root, &mut digests, |line| Ok(kept.write(line)?))?;
        let path = place.of(name, &summary.sha256);
        kept.keep(&path, Durability::PowerLoss)?;
        let listing = Attached { name: called, size: summary.size, sha256: summary.sha256, is_listing: true };
        self.attached.push(listing);
        self.listings.push(path);
        self.left_out.join(digests.into_walk().left_out());
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AttachError + use<> {
    let path = path.to_owned();
    |error| AttachError::Io { path, error }
}

/// As much of a name as leaves room for what is added to it.
fn beginning(name: &str) -> &str {
    let end = (0..=LISTING_NAME_BYTES.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// What a path is that was given.
enum Given {
    File,
    Folder,
}

fn kind(path: &Path, links: Links) -> Result<Given, AttachError> {
    let mut kind = fs::symlink_metadata(path).map_err(failed(path))?.file_type();
    if kind.is_symlink() {
        // Whoever names a link by itself can't mean that it be left out.
        if links != Links::Follow {
            return Err(AttachError::Link(path.to_owned()));
        }
        kind = fs::metadata(path).map_err(failed(path))?.file_type();
    }
    match (kind.is_dir(), kind.is_file()) {
        (true, _) => Ok(Given::Folder),
        (_, true) => Ok(Given::File),
        _ => Err(AttachError::Kind(path.to_owned())),
    }
}

/// The last part of a path; of `.` and the like, what that is.
fn called(path: &Path) -> Result<String, AttachError> {
    let whole = if path.file_name().is_some() { path.to_owned() } else { path.canonicalize().map_err(failed(path))? };
    let name = whole.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| AttachError::Name(path.to_owned()))
}

/// So few files that a record has a digest for each.
struct Few {
    files: BTreeMap<String, PathBuf>,
    left_out: LeftOut,
}

/// All files by their names, if they are so few.
fn few(paths: &[PathBuf], links: Links) -> Result<Option<Few>, AttachError> {
    let (mut found, mut left_out) = (Vec::new(), LeftOut::default());
    for path in paths {
        let before = found.len();
        match kind(path, links)? {
            Given::File => found.push(Found { name: called(path)?.into_bytes(), path: path.clone() }),
            Given::Folder => {
                let mut walk = Walk::new(path, links)?;
                // One more tells that there are too many.
                for file in walk.by_ref().take(MAX_EXTERNAL + 1) {
                    found.push(file?);
                }
                left_out.join(walk.left_out());
            }
        }
        if found.len() > MAX_EXTERNAL {
            return Ok(None);
        }
        if found.len() == before {
            return Err(AttachError::Empty(path.clone()));
        }
    }
    // What a name may be matters only where it is the name of a digest.
    let mut files = BTreeMap::new();
    for Found { name, path } in found {
        let name = String::from_utf8(name).map_err(|_| AttachError::Name(path.clone()))?;
        if files.insert(name.clone(), path).is_some() {
            return Err(AttachError::Twice(name));
        }
    }
    Ok(Some(Few { files, left_out }))
}

fn digests(files: BTreeMap<String, PathBuf>, how: How<'_>) -> Result<Vec<Attached>, AttachError> {
    let (mut names, mut paths) = (Vec::new(), Vec::new());
    for (name, path) in files {
        names.push(Name::new(name).map_err(|_| AttachError::Name(path.clone()))?);
        paths.push(path);
    }
    let digests = hashing::all(&paths, how.hashed)?;
    let attached = |(name, digest): (Name<'static>, hashing::Digest)| Attached {
        name,
        size: digest.size,
        sha256: digest.sha256,
        is_listing: false,
    };
    Ok(names.into_iter().zip(digests).map(attached).collect())
}

#[cfg(test)]
mod tests;
