//! The file `records.secret` in the data directory: 32 random bytes that the secrets of all logs are derived from.
//!
//! It is no key of a log: nothing is signed with it. Whoever has it can tell which token brought which record. With another
//! one, pseudonyms are others from then on, retries are refused, and an event that is delivered again is taken for a new one.
//! So it is part of every backup, is made only for a database without records, and tells of itself whether it was changed:
//! behind `v2` and the 64 hexadecimal digits stands a digest of them. Files of before are the digits alone; they are written
//! anew when they are read.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::draw::{NoRandomness, Random};
use super::secret::Secret;
use crate::engine::{Engine, ReadError};
use crate::regular::open_regular;
use crate::replace::replace_file;

/// The file's name.
pub const FILE_NAME: &str = "records.secret";
/// What it begins with, if a digest is in it.
const VERSION: &[u8] = b"v2 ";
/// What the digest is of, before the secret itself.
const LABEL: &[u8] = b"cairn records.secret/2\n";
/// Hexadecimal digits of the secret.
const DIGITS: usize = 2 * Secret::LEN;
/// More than is ever written.
const MOST: u64 = 256;

/// The secret of a database.
pub struct SecretFile(Zeroizing<[u8; Secret::LEN]>);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pipe, a folder, a device.
    #[error("{path} is no regular file; put the secret back there, from a backup", path = path.display())]
    NotAFile {
        /// What stands in its place.
        path: PathBuf,
    },
    /// Others could read it.
    #[error("{path} is readable by others (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not what this program wrote.
    #[error("{path} is damaged: it does not hold what was written there; put it back, from a backup", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There was one once.
    #[error(
        "{path} is gone, and the index of the records of log {log} was made with it; put that file back, from a backup",
        path = path.display()
    )]
    Gone {
        /// The file.
        path: PathBuf,
        /// A log that has an index of records, perhaps without any yet.
        log: String,
    },
    /// Whether there are records can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing can be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl SecretFile {
    /// Reads the secret of a data directory; makes it for a database to which no record was ever brought.
    ///
    /// # Errors
    /// [`SecretFileError`]; a file that others can read is refused.
    pub fn open(data: &Path, engine: &Engine, random: &dyn Random) -> Result<Self, SecretFileError> {
        Self::open_or_make(data, random, || {
            for log in engine.logs().iter() {
                if log.was_to_have_records()? {
                    return Ok(Some(log.info().name.to_string()));
                }
            }
            Ok(None)
        })
    }

    /// Whether there is one in a data directory. A server that is at work knows its own, and does not look into the file.
    ///
    /// # Errors
    /// [`SecretFileError`] if it is not a good one.
    pub fn check(data: &Path) -> Result<bool, SecretFileError> {
        match read(&data.join(FILE_NAME)) {
            Err(SecretFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            read => read.map(|_| true),
        }
    }

    /// [`SecretFile::open`]; who asks knows a log whose index of records was begun.
    fn open_or_make(
        data: &Path,
        random: &dyn Random,
        log: impl FnOnce() -> Result<Option<String>, ReadError>,
    ) -> Result<Self, SecretFileError> {
        let path = data.join(FILE_NAME);
        let (bytes, is_to_be_written) = match read(&path) {
            Err(SecretFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                if let Some(log) = log()? {
                    return Err(SecretFileError::Gone { path, log });
                }
                let mut bytes = Zeroizing::new([0; Secret::LEN]);
                random.fill(bytes.as_mut_slice())?;
                (bytes, true)
            }
            read => read?,
        };
        if is_to_be_written {
            write(&path, &bytes).map_err(|source| SecretFileError::Io { path, source })?;
        }
        Ok(Self(bytes))
    }

    /// The secret of the log with this origin.
    #[must_use]
    pub fn of_log(&self, origin: &str) -> Secret {
        Secret::new(&self.0).of_log(origin)
    }
}

/// The secret, and whether it stands there without a digest.
fn read(path: &Path) -> Result<(Zeroizing<[u8; Secret::LEN]>, bool), SecretFileError> {
    let io = |source| SecretFileError::Io { path: path.to_owned(), source };
    let file = open_regular(path).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidInput => SecretFileError::NotAFile { path: path.to_owned() },
        _ => io(source),
    })?;
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Open { path: path.to_owned(), mode });
    }
    // So much room that nothing of it is left behind where it was.
    let mut text = Zeroizing::new(Vec::with_capacity(MOST as usize + 1));
    file.take(MOST).read_to_end(&mut text).map_err(io)?;
    let found = match text.strip_prefix(VERSION) {
        Some(rest) => {
            rest.get(..DIGITS).and_then(digits).filter(|bytes| *text_of(bytes) == *text).map(|it| (it, false))
        }
        None => text.strip_suffix(b"\n").and_then(digits).map(|it| (it, true)),
    };
    found.ok_or_else(|| SecretFileError::Damaged { path: path.to_owned() })
}

/// Lowercase hexadecimal digits, just as many as there are.
fn digits(text: &[u8]) -> Option<Zeroizing<[u8; Secret::LEN]>> {
    if text.len() != DIGITS {
        return None;
    }
    let mut bytes = Zeroizing::new([0; Secret::LEN]);
    for (place, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let canonical = pair.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = core::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *place = number.filter(|_| canonical)?;
    }
    Some(bytes)
}

fn text_of(bytes: &[u8; Secret::LEN]) -> Zeroizing<Vec<u8>> {
    let digest = Sha256::new().chain_update(LABEL).chain_update(bytes).finalize();
    let mut text = Zeroizing::new(Vec::with_capacity(MOST as usize));
    text.extend_from_slice(VERSION);
    push_digits(&mut text, bytes);
    text.push(b' ');
    push_digits(&mut text, &digest);
    text.push(b'\n');
    text
}

fn push_digits(text: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

fn write(path: &Path, bytes: &[u8; Secret::LEN]) -> io::Result<()> {
    replace_file(path, &text_of(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;
    use crate::records::SystemRandom;

    fn open(data: &Path) -> Result<SecretFile, SecretFileError> {
        SecretFile::open_or_make(data, &SystemRandom, || Ok(None))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_secret_is_made_once_and_another_one_for_each_log() {
        let folder = tempfile::tempdir().unwrap();
        let token = "000102030405".parse().unwrap();
        let by = |origin| open(folder.path()).unwrap().of_log(origin).pseudonym(token);
        assert_eq!(by("a/logs/main"), by("a/logs/main"));
        assert_ne!(by("a/logs/main"), by("a/logs/other"));
        let path = folder.path().join(FILE_NAME);
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open(folder.path()), Err(SecretFileError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn no_changed_bit_and_no_missing_end_passes() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap();
        let path = folder.path().join(FILE_NAME);
        let whole = fs::read(&path).unwrap();
        let refuse = |bad: &[u8]| {
            fs::write(&path, bad).unwrap();
            let refused = matches!(open(folder.path()), Err(SecretFileError::Damaged { .. }));
            assert!(refused, "{:?}", String::from_utf8_lossy(bad));
        };
        for bit in 0..8 * whole.len() {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            refuse(&bad);
        }
        (0..whole.len()).for_each(|len| refuse(&whole[..len]));
        refuse(&[&whole[..], b"\n"].concat());
        refuse(&whole.repeat(9));
        fs::write(&path, whole).unwrap();
        open(folder.path()).unwrap();
    }

    #[test]
    fn digits_alone_are_read_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let digits = "0a".repeat(Secret::LEN);
        for bad in [
            digits.clone(),
            digits.to_ascii_uppercase() + "\n",
            format!("{digits}0\n"),
            digits.replace('0', "+") + "\n",
        ] {
            fs::write(&path, bad).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(open(folder.path()), Err(SecretFileError::Damaged { .. })));
        }
        fs::write(&path, digits.clone() + "\n").unwrap();
        for _ in 0..2 {
            assert_eq!(*open(folder.path()).unwrap().0, [10; Secret::LEN]);
            let digest = "4c829d8852a1e4d598222a96ff45c3e5f28c73c3defc934ab9d666121089950a";
            assert_eq!((fs::read_to_string(&path).unwrap(), mode(&path)), (format!("v2 {digits} {digest}\n"), 0o600));
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let refuse = || {
            let error = open(folder.path()).err().unwrap();
            assert!(matches!(error, SecretFileError::NotAFile { .. }), "{error}");
        };
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        refuse();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        refuse();
        fs::remove_dir(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        refuse();
    }

    #[test]
    fn none_is_made_where_records_were_made_with_another() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            |log: Option<&str>| SecretFile::open_or_make(folder.path(), &SystemRandom, || Ok(log.map(str::to_owned)));
        let gone = open(Some("main")).err().unwrap();
        assert!(matches!(&gone, SecretFileError::Gone { log, .. } if log == "main"), "{gone}");
        assert!(
            gone.to_string().contains("is gone, and the index of the records of log main was made with it"),
            "{gone}"
        );
        assert!(!folder.path().join(FILE_NAME).exists());
        open(None).unwrap();
        open(Some("main")).unwrap();
    }
}
