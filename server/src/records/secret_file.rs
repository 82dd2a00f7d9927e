//! The file `records.secret` in the data directory: 32 random bytes that the secrets of all logs are derived from.
//!
//! It is no key of a log: nothing is signed with it. Whoever has it can tell which token brought which record. If it is
//! lost, a new one is made; pseudonyms are others from then on, and an event that is delivered again is taken for a new
//! one. So it is part of every backup.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::draw::{NoRandomness, Random};
use super::secret::Secret;
use crate::replace::replace_file;

/// The file's name.
pub const FILE_NAME: &str = "records.secret";
/// Hexadecimal digits and a newline.
const TEXT_LEN: usize = 2 * Secret::LEN + 1;

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
    /// Others could read it.
    #[error("{path} is readable by others (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not what this program writes.
    #[error("{path} is damaged: it must hold {} hexadecimal digits", 2 * Secret::LEN, path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Nothing can be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl SecretFile {
    /// Reads the secret of a data directory; makes it for one that has none yet.
    ///
    /// # Errors
    /// [`SecretFileError`]; a file that others can read is refused.
    pub fn open_or_make(data: &Path, random: &dyn Random) -> Result<Self, SecretFileError> {
        let path = data.join(FILE_NAME);
        match read(&path) {
            Err(SecretFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let mut bytes = Zeroizing::new([0; Secret::LEN]);
                random.fill(bytes.as_mut_slice())?;
                write(&path, &bytes).map_err(|source| SecretFileError::Io { path, source })?;
                Ok(Self(bytes))
            }
            read => read.map(Self),
        }
    }

    /// The secret of the log with this origin.
    #[must_use]
    pub fn of_log(&self, origin: &str) -> Secret {
        Secret::new(&self.0).of_log(origin)
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; Secret::LEN]>, SecretFileError> {
    let io = |source| SecretFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Open { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    let damaged = || SecretFileError::Damaged { path: path.to_owned() };
    file.take(TEXT_LEN as u64 + 1).read_to_string(&mut text).map_err(io)?;
    let mut bytes = Zeroizing::new([0; Secret::LEN]);
    let digits = text.strip_suffix('\n').filter(|_| text.len() == TEXT_LEN).ok_or_else(damaged)?;
    for (place, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let canonical = pair.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = core::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *place = number.filter(|_| canonical).ok_or_else(damaged)?;
    }
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8; Secret::LEN]) -> io::Result<()> {
    let mut text = Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    text.push('\n');
    replace_file(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::records::SystemRandom;

    #[test]
    fn a_secret_is_made_once_and_another_one_for_each_log() {
        let folder = tempfile::tempdir().unwrap();
        let token = "000102030405".parse().unwrap();
        let open = || SecretFile::open_or_make(folder.path(), &SystemRandom);
        let by = |origin| open().unwrap().of_log(origin).pseudonym(token);
        assert_eq!(by("a/logs/main"), by("a/logs/main"));
        assert_ne!(by("a/logs/main"), by("a/logs/other"));
        let path = folder.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let whole = fs::read(&path).unwrap();
        let bad = [&whole[..whole.len() - 1], &[&whole[..], b"\n"].concat(), &whole.to_ascii_uppercase(), b""];
        for bad in bad.into_iter().filter(|bad| *bad != whole) {
            fs::write(&path, bad).unwrap();
            assert!(matches!(open(), Err(SecretFileError::Damaged { .. })));
        }
        fs::write(&path, whole).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(open(), Err(SecretFileError::Open { mode: 0o644, .. })));
    }
}
