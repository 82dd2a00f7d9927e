//! Digests of data that is kept elsewhere: a record carries them, and later they tell whether the data is still the same.
//!
//! A file is called by its name, the files of a folder by their paths within it. Links and other special files are refused:
//! what a record says of a data set must be all of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cairn_tree::record::bounds::{MAX_EXTERNAL, MAX_INTEGER};
use cairn_tree::record::text::Name;
use sha2::{Digest as _, Sha256};

/// How much of a file is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// A file as a record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub name: Name<'static>,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// Why a data set can't be attached.
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
    /// Neither a file nor a folder.
    #[error("{}: only files and folders are attached, no links", .0.display())]
    Kind(PathBuf),
    /// A name that no record can have.
    #[error("{}: the name is not UTF-8, too long, or has control characters", .0.display())]
    Name(PathBuf),
    /// A file that is too large for a number in JSON.
    #[error("{}: too large", .0.display())]
    Size(PathBuf),
    /// There is no file.
    #[error("{}: there is no file in it", .0.display())]
    Empty(PathBuf),
    /// More files than a record can have.
    #[error("more than {MAX_EXTERNAL} files: a record has no more digests")]
    TooMany,
    /// Two files would have the same name.
    #[error("two of the files are called {0}")]
    Twice(String),
}

/// How a data set differs from what a record says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many files are the same.
    pub same: usize,
    /// Files with other bytes.
    pub changed: Vec<String>,
    /// Files that are not there.
    pub missing: Vec<String>,
    /// Files that the record does not have.
    pub new: Vec<String>,
}

impl Comparison {
    /// Whether nothing differs.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty() && self.new.is_empty()
    }
}

/// Reads files and folders, and hashes every file.
///
/// # Errors
/// [`AttachError`].
pub fn digests(paths: &[PathBuf]) -> Result<Vec<Attached>, AttachError> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in paths {
        let kind = fs::symlink_metadata(path).map_err(failed(path))?.file_type();
        if kind.is_dir() {
            walk(path, &mut files)?;
        } else if kind.is_file() {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| AttachError::Name(path.clone()))?;
            add(&mut files, name.to_owned(), path.clone())?;
        } else {
            return Err(AttachError::Kind(path.clone()));
        }
    }
    files.into_iter().map(|(name, path)| hashed(name, &path)).collect()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AttachError + use<> {
    let path = path.to_owned();
    |error| AttachError::Io { path, error }
}

fn add(files: &mut BTreeMap<String, PathBuf>, name: String, path: PathBuf) -> Result<(), AttachError> {
    if files.contains_key(&name) {
        return Err(AttachError::Twice(name));
    }
    if files.len() == MAX_EXTERNAL {
        return Err(AttachError::TooMany);
    }
    files.insert(name, path);
    Ok(())
}

fn walk(root: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), AttachError> {
    let before = files.len();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for item in fs::read_dir(&folder).map_err(failed(&folder))? {
            let item = item.map_err(failed(&folder))?;
            let (path, kind) = (item.path(), item.file_type().map_err(failed(&item.path()))?);
            let name = item.file_name().into_string().map_err(|_| AttachError::Name(path.clone()))?;
            let name = format!("{prefix}{name}");
            if kind.is_file() {
                add(files, name, path)?;
            } else if !kind.is_dir() {
                return Err(AttachError::Kind(path));
            } else if folders.len() < MAX_EXTERNAL {
                folders.push((path, format!("{name}/")));
            } else {
                return Err(AttachError::TooMany);
            }
        }
    }
    if files.len() == before { Err(AttachError::Empty(root.to_owned())) } else { Ok(()) }
}

fn hashed(name: String, path: &Path) -> Result<Attached, AttachError> {
    let name = Name::new(name).map_err(|_| AttachError::Name(path.to_owned()))?;
    let mut file = File::open(path).map_err(failed(path))?;
    let (mut hasher, mut size) = (Sha256::new(), 0_u64);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece).map_err(failed(path))?;
        if read == 0 {
            break;
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        size = size.saturating_add(read as u64);
    }
    if size > MAX_INTEGER {
        return Err(AttachError::Size(path.to_owned()));
    }
    Ok(Attached { name, size, sha256: hasher.finalize().into() })
}

/// Compares a data set with what a record says of it, by name.
#[must_use]
pub fn compare(recorded: &[Attached], found: &[Attached]) -> Comparison {
    let by_name = |all: &[Attached]| {
        let pairs = all.iter().map(|one| (one.name.as_str().to_owned(), (one.size, one.sha256)));
        pairs.collect::<BTreeMap<String, (u64, [u8; 32])>>()
    };
    let (recorded, found) = (by_name(recorded), by_name(found));
    let mut comparison = Comparison::default();
    for (name, one) in &recorded {
        match found.get(name) {
            Some(other) if other == one => comparison.same += 1,
            Some(_) => comparison.changed.push(name.clone()),
            None => comparison.missing.push(name.clone()),
        }
    }
    comparison.new = found.into_keys().filter(|name| !recorded.contains_key(name)).collect();
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(attached: &[Attached]) -> Vec<(&str, u64)> {
        attached.iter().map(|one| (one.name.as_str(), one.size)).collect()
    }

    #[test]
    fn what_changed_is_missing_or_new_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("set/deep")).unwrap();
        for (name, bytes) in [("set/a", "1"), ("set/b", "22"), ("set/deep/c", ""), ("other", "x")] {
            fs::write(root.join(name), bytes).unwrap();
        }
        let paths = [root.join("set"), root.join("other")];
        let recorded = digests(&paths).unwrap();
        assert_eq!(named(&recorded), [("a", 1), ("b", 2), ("deep/c", 0), ("other", 1)]);
        // SHA-256 of nothing.
        assert_eq!(recorded[2].sha256[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert!(compare(&recorded, &digests(&paths).unwrap()).is_same());

        fs::write(root.join("set/a"), "2").unwrap();
        fs::remove_file(root.join("set/deep/c")).unwrap();
        fs::write(root.join("set/deep/d"), "").unwrap();
        let found = compare(&recorded, &digests(&paths).unwrap());
        let expected = Comparison {
            same: 2,
            changed: vec!["a".into()],
            missing: vec!["deep/c".into()],
            new: vec!["deep/d".into()],
        };
        assert_eq!((found.is_same(), found), (false, expected));
    }

    #[test]
    fn what_can_not_be_said_of_all_of_a_data_set_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(matches!(digests(&[root.to_owned()]), Err(AttachError::Empty(_))));
        assert!(matches!(digests(&[root.join("none")]), Err(AttachError::Io { .. })));
        fs::write(root.join("a"), "1").unwrap();
        assert!(matches!(digests(&[root.to_owned(), root.join("a")]), Err(AttachError::Twice(name)) if name == "a"));
        std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
        assert!(matches!(digests(&[root.to_owned()]), Err(AttachError::Kind(_))));
        fs::remove_file(root.join("link")).unwrap();
        fs::write(root.join("a\nb"), "1").unwrap();
        assert!(matches!(digests(&[root.to_owned()]), Err(AttachError::Name(_))));
        fs::remove_file(root.join("a\nb")).unwrap();
        (0..MAX_EXTERNAL).for_each(|number| fs::write(root.join(number.to_string()), "").unwrap());
        assert!(matches!(digests(&[root.to_owned()]), Err(AttachError::TooMany)));
    }
}
