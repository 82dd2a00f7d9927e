//! What signs a log's heads: keys in files of the server's own, or a process beside it that holds them.
//!
//! [`HeadSigner`] is all that the engine knows of either. `vault` is what the other process keeps: keys, and for each log
//! the last head that it signed, durably; it signs nothing that does not extend that head, so that whoever takes over the
//! server can't fork a log with it. `wire` is what the two say to each other, `serve` and `remote` the two ends of the
//! socket. Not here: which keys a log has (its binding in the database), and when a head may be signed (the sequencer).

mod files;
mod remote;
mod serve;
mod vault;
mod wire;

use core::fmt;
use core::str::FromStr;

use cairn_tree::checkpoint::Origin;
use cairn_tree::merkle::{ConsistencyProof, Growth, Root};
use cairn_tree::note::{NoteSignature, SignatureType, VerifierKey};
use cairn_tree::statement::Statement;
use serde::{Deserialize, Serialize};

pub use files::FileSigner;
pub use remote::{Connection, RemoteSigner};
pub(crate) use serve::draw_key;
pub use serve::{Serving, listen};
pub use vault::{Vault, VaultError, VaultLog};

/// Signs for one log with all of its active keys.
///
/// The caller has checked the head against the store; a signer that keeps a state of its own checks it against that too.
/// The same head may be asked for again, after a crash or an answer that was lost, and is signed again.
pub trait HeadSigner: Send + Sync {
    /// The keys that sign, oldest first.
    fn keys(&self) -> &[VerifierKey];

    /// One line by each of the keys.
    ///
    /// # Errors
    /// [`SignerError`].
    fn sign_head(&self, head: &HeadToSign<'_>) -> Result<Vec<NoteSignature>, SignerError>;

    /// One line by each of the keys that are Ed25519 keys.
    ///
    /// # Errors
    /// [`SignerError`].
    fn sign_statement(&self, statement: &Statement) -> Result<Vec<NoteSignature>, SignerError>;
}

/// A head that is to be signed.
pub struct HeadToSign<'a> {
    /// The log.
    pub origin: &'a Origin,
    /// The head that was signed before, as far as the caller knows.
    pub old: Root,
    /// The head.
    pub new: Root,
    /// Its time, in milliseconds since the epoch. A signed time is never earlier than the one before.
    pub time_ms: u64,
    /// Makes the proof that the new head extends the tree of another size, which a signer may ask for.
    pub prove: &'a dyn Fn(Growth) -> Result<ConsistencyProof, String>,
}

/// Why something is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The signer can be reached and will not sign this, now or later: it would contradict what it signed before.
    #[error("the signer refuses: {0}")]
    Refused(String),
    /// The signer can't be reached, or failed.
    #[error("the signer failed: {0}")]
    Failed(String),
}

/// What kind of key a log's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// Ed25519 (0x01). Every log has such a key.
    Ed25519,
    /// ML-DSA-44 (0x06), beside an Ed25519 key.
    #[serde(rename = "ml-dsa-44")]
    MlDsa44,
}

impl KeyType {
    /// What kind of key a log's key is.
    #[must_use]
    pub fn of(key: &VerifierKey) -> Self {
        if key.kind() == SignatureType::COSIGNATURE_ML_DSA_44 { Self::MlDsa44 } else { Self::Ed25519 }
    }

    /// Its number on signature lines and in vkeys.
    #[must_use]
    pub const fn signature_type(self) -> SignatureType {
        match self {
            Self::Ed25519 => SignatureType::ED25519,
            Self::MlDsa44 => SignatureType::COSIGNATURE_ML_DSA_44,
        }
    }

    /// The name as it is written on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
        }
    }
}

impl FromStr for KeyType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Ed25519, Self::MlDsa44];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| "write ed25519 or ml-dsa-44".to_owned())
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
