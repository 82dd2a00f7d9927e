//! A generation's manifest, and which generations a folder holds.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BackupError, Digest};
use crate::engine::Frozen;

/// The manifest's name in its generation.
pub(super) const FILE_NAME: &str = "manifest";
const FORMAT: u32 = 1;
/// More than a manifest of a hundred thousand tables and logs has.
const MANIFEST_BYTES: u64 = 256 << 20;
/// The digits of a generation's name, at least.
const DIGITS: usize = 6;

/// What a generation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// When it was made, in milliseconds since the epoch.
    pub made_ms: u64,
    /// Whether the logs' private keys are in it.
    pub with_keys: bool,
    /// The database and its logs.
    #[serde(flatten)]
    pub frozen: Frozen,
    /// Every file, by its place in the data folder.
    pub files: Vec<FileLine>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileLine {
    /// Its place in the data folder, with forward slashes.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Over all of it.
    pub sha256: Digest,
    /// Of a table: over its last 64 KiB. It stands among the shared tables then, else in the generation's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Digest>,
}

/// The manifest's second line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    sha256: Digest,
}

/// A generation that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The folder of all backups.
    pub dest: PathBuf,
    /// Which one.
    pub number: u64,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// A generation, as it is listed.
#[derive(Debug)]
pub struct Listed {
    /// Which one.
    pub number: u64,
    /// The generation; else why it is of no use.
    pub generation: Result<Generation, BackupError>,
}

impl Manifest {
    pub(super) fn new(made_ms: u64, with_keys: bool, frozen: Frozen, files: Vec<FileLine>) -> Self {
        Self { format: FORMAT, made_ms, with_keys, frozen, files }
    }

    /// The bytes of all its files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The two lines.
    ///
    /// # Errors
    /// None: text and numbers are always JSON.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec(self)?;
        let seal = serde_json::to_vec(&Seal { sha256: Digest::of(&text) })?;
        text.push(b'\n');
        text.extend_from_slice(&seal);
        text.push(b'\n');
        Ok(text)
    }

    /// Reads what [`Manifest::encode`] wrote.
    ///
    /// # Errors
    /// What is wrong with anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = core::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let (first, second) =
            text.strip_suffix('\n').and_then(|text| text.split_once('\n')).ok_or("it has no two lines")?;
        let seal: Seal = serde_json::from_str(second).map_err(|error| error.to_string())?;
        if seal.sha256 != Digest::of(first.as_bytes()) {
            return Err("its checksum does not fit".to_owned());
        }
        let manifest: Self = serde_json::from_str(first).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!("format {}, not {FORMAT}", manifest.format));
        }
        match manifest.files.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(format!("{:?} is no place in a data folder", file.path)),
            None => Ok(manifest),
        }
    }
}

/// Whether a path leads nowhere else than below the folder that it is joined to.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// A generation's folder name.
pub(super) fn name_of(number: u64) -> String {
    format!("{number:0DIGITS$}")
}

/// Reads a generation's name; those that are not whole have none.
fn number_of(name: &str) -> Option<u64> {
    let number = name.bytes().all(|digit| digit.is_ascii_digit()).then(|| name.parse().ok())??;
    (name_of(number) == name).then_some(number)
}

pub(super) fn generations(dest: &Path) -> PathBuf {
    dest.join("generations")
}

pub(super) fn tables(dest: &Path) -> PathBuf {
    dest.join("tables")
}

/// Where a table with this SHA-256 is kept.
pub(super) fn place_of(dest: &Path, sha256: Digest) -> PathBuf {
    tables(dest).join(format!("{sha256}.sst"))
}

impl Generation {
    /// Reads a generation, or the newest that is whole.
    ///
    /// # Errors
    /// [`BackupError::NoGeneration`], or what is wrong with it.
    pub fn open(dest: &Path, number: Option<u64>) -> Result<Self, BackupError> {
        let none = |number: String| BackupError::NoGeneration { path: dest.into(), number };
        match number {
            Some(number) => {
                if !generations(dest).join(name_of(number)).is_dir() {
                    return Err(none(number.to_string()));
                }
                Self::read(dest, number)
            }
            None => {
                let newest = list(dest)?.into_iter().rev().find_map(|listed| listed.generation.ok());
                newest.ok_or_else(|| none("that is whole".to_owned()))
            }
        }
    }

    fn read(dest: &Path, number: u64) -> Result<Self, BackupError> {
        let generation = Self::claimed(dest, number)?;
        generation.check_lengths()?;
        Ok(generation)
    }

    /// What a generation says of itself; nobody has looked whether its files are there.
    pub(super) fn claimed(dest: &Path, number: u64) -> Result<Self, BackupError> {
        let path = generations(dest).join(name_of(number)).join(FILE_NAME);
        let length = fs::metadata(&path).map_err(BackupError::io(&path))?.len();
        let damaged = |problem| BackupError::Manifest { path: path.clone(), problem };
        if length > MANIFEST_BYTES {
            return Err(damaged(format!("{length} bytes")));
        }
        let manifest = Manifest::decode(&fs::read(&path).map_err(BackupError::io(&path))?).map_err(damaged)?;
        Ok(Self { dest: dest.into(), number, manifest })
    }

    /// Where a file of it is kept.
    #[must_use]
    pub fn place(&self, file: &FileLine) -> PathBuf {
        match file.tail {
            Some(_) => place_of(&self.dest, file.sha256),
            None => generations(&self.dest).join(name_of(self.number)).join(&file.path),
        }
    }

    /// Every file is there and as long as it must be.
    fn check_lengths(&self) -> Result<(), BackupError> {
        for file in &self.manifest.files {
            let path = self.place(file);
            let problem = match fs::metadata(&path) {
                Ok(found) if found.len() == file.bytes => continue,
                Ok(found) => format!("has {} bytes, not {}", found.len(), file.bytes),
                Err(error) => format!("can't be read: {error}"),
            };
            return Err(BackupError::Damaged { path, problem });
        }
        Ok(())
    }
}

/// The generations in a folder of backups, oldest first; unfinished ones are none.
///
/// # Errors
/// [`BackupError::Io`] if the folder can't be read.
pub fn list(dest: &Path) -> Result<Vec<Listed>, BackupError> {
    let listed = numbers(dest)?.into_iter();
    Ok(listed.map(|number| Listed { number, generation: Generation::read(dest, number) }).collect())
}

/// What the generations say of themselves, oldest first, as far as that can be read.
pub(super) fn claims(dest: &Path) -> Result<Vec<Generation>, BackupError> {
    Ok(numbers(dest)?.into_iter().filter_map(|number| Generation::claimed(dest, number).ok()).collect())
}

/// The numbers of the generations in a folder of backups, in order.
pub(super) fn numbers(dest: &Path) -> Result<Vec<u64>, BackupError> {
    let folder = generations(dest);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && dest.is_dir() => return Ok(Vec::new()),
        entries => entries.map_err(BackupError::io(&folder))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(BackupError::io(&folder))?.file_name();
        numbers.extend(name.to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let frozen =
            Frozen { database: "07".repeat(16), commit: 9, logs: Vec::new(), damage: Vec::new(), more_damage: false };
        let file = |path: &str, tail| FileLine { path: path.to_owned(), bytes: 1, sha256: Digest::of(b"1"), tail };
        Manifest::new(1, false, frozen, vec![file("db/7.sst", Some(Digest::of(b""))), file("high-water", None)])
    }

    #[test]
    fn a_manifest_reads_back_and_no_flipped_bit_does() {
        let bytes = manifest().encode().unwrap();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest()));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 4;
            assert!(Manifest::decode(&damaged).is_err(), "byte {place}");
            assert!(Manifest::decode(&bytes[..place]).is_err(), "cut at {place}");
        }
    }

    /// As a version wrote it that looked for no damage.
    #[test]
    fn known_damage_reads_back_and_none_is_not_written() {
        let text = String::from_utf8(manifest().encode().unwrap()).unwrap();
        assert!(!text.contains("damage"), "{text}");
        let mut damaged = manifest();
        damaged.frozen.damage.push("log main: halted for damage".to_owned());
        let listed = String::from_utf8(damaged.encode().unwrap()).unwrap();
        assert!(!listed.contains("more_damage"), "{listed}");
        assert_eq!(Manifest::decode(listed.as_bytes()), Ok(damaged.clone()));
        damaged.frozen.more_damage = true;
        assert_eq!(Manifest::decode(&damaged.encode().unwrap()), Ok(damaged));
    }

    #[test]
    fn no_file_leads_out_of_the_folder() {
        for path in ["", "/etc/passwd", "../x", "db/../../x", "./x"] {
            let mut manifest = manifest();
            manifest.files[0].path = path.to_owned();
            assert!(Manifest::decode(&manifest.encode().unwrap()).is_err(), "{path:?}");
        }
    }

    #[test]
    fn only_whole_generations_have_a_number() {
        assert_eq!([1, 999_999, 1_000_000].map(name_of), ["000001", "999999", "1000000"]);
        for name in ["000001.partial", "1", "0000001", "", "+00001"] {
            assert_eq!(number_of(name), None, "{name:?}");
        }
        assert_eq!(number_of("000012"), Some(12));
    }
}
