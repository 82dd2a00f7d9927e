//! The witness's own keys: one file each, for its owner's eyes only, made by `init` and never again.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cairn_tree::checkpoint::{Timestamp, VerifiedCheckpoint};
use cairn_tree::cosignature::{CosignatureError, cosign};
use cairn_tree::note::{KeyName, NoteSignature, SignatureType, SignerKey, SignerKeyError, VerifierKey};
use zeroize::Zeroizing;

use super::bounds::KEY_FILE_BYTES;

/// The keys that a witness has, in the order of its cosignature lines, and the files that hold them.
const KEYS: [(SignatureType, &str); 2] =
    [(SignatureType::COSIGNATURE_ED25519, "ed25519.skey"), (SignatureType::COSIGNATURE_ML_DSA_44, "ml-dsa-44.skey")];

/// The keys that cosign. Each has a seed of its own: a key is never used for two types of signature.
#[derive(Debug)]
pub struct Cosigners {
    /// As many as [`KEYS`], in its order.
    keys: Vec<SignerKey>,
}

/// Why the keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Others may read the file.
    #[error("{}: others may read this key (its mode is {mode:o}); if nobody has, say: chmod 600 {0}", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{}: {error}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: SignerKeyError,
    },
    /// The file holds a key for something else.
    #[error("{}: a key for {found} stands where one for {expected} must", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What is to be there.
        expected: SignatureType,
        /// What is.
        found: SignatureType,
    },
    /// A key can't be made.
    #[error(transparent)]
    Make(SignerKeyError),
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Random(String),
}

impl Cosigners {
    /// Makes new keys of this name. `random` fills a seed with uniformly random bytes.
    ///
    /// # Errors
    /// [`KeyFileError`] if there is no randomness.
    pub fn generate(
        name: &KeyName,
        mut random: impl FnMut(&mut [u8]) -> Result<(), String>,
    ) -> Result<Self, KeyFileError> {
        let make = |(kind, _)| {
            let mut seed = Zeroizing::new([0; SignerKey::SEED_BYTES]);
            random(seed.as_mut_slice()).map_err(KeyFileError::Random)?;
            SignerKey::from_seed(name.clone(), kind, &seed).map_err(KeyFileError::Make)
        };
        Ok(Self { keys: KEYS.into_iter().map(make).collect::<Result<_, _>>()? })
    }

    /// Writes the keys into a new folder, durably.
    ///
    /// # Errors
    /// [`KeyFileError::Io`]; also if the folder is there already.
    pub fn write(&self, folder: &Path) -> Result<(), KeyFileError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| KeyFileError::Io { path, error }
        };
        DirBuilder::new().mode(0o700).create(folder).map_err(io(folder))?;
        for (key, (_, name)) in self.keys.iter().zip(KEYS) {
            let path = folder.join(name);
            let write = || {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                file.write_all(key.to_skey().as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()
            };
            write().map_err(io(&path))?;
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// [`KeyFileError`] if one is missing, is no key, or can be read by others.
    pub fn read(folder: &Path) -> Result<Self, KeyFileError> {
        let read = |(kind, name): (SignatureType, &str)| read_key(&folder.join(name), kind);
        Ok(Self { keys: KEYS.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// The public halves.
    #[must_use]
    pub fn verifier_keys(&self) -> Vec<&VerifierKey> {
        self.keys.iter().map(SignerKey::verifier_key).collect()
    }

    /// Cosigns a head with every key. That it is consistent with what was cosigned before is for the caller to know.
    ///
    /// # Errors
    /// [`CosignatureError`] if the time is zero.
    pub fn cosign(&self, head: &VerifiedCheckpoint, time: Timestamp) -> Result<Vec<NoteSignature>, CosignatureError> {
        self.keys.iter().map(|key| cosign(head, key, time)).collect()
    }
}

fn read_key(path: &Path, expected: SignatureType) -> Result<SignerKey, KeyFileError> {
    let io = |error| KeyFileError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    // With room for all of it, so that no shorter copy is left behind when it grows.
    let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_BYTES));
    file.take(KEY_FILE_BYTES as u64).read_to_string(&mut text).map_err(io)?;
    let key: SignerKey = text.trim_end().parse().map_err(|error| KeyFileError::Key { path: path.to_owned(), error })?;
    match key.kind() {
        found if found == expected => Ok(key),
        found => Err(KeyFileError::Kind { path: path.to_owned(), expected, found }),
    }
}
