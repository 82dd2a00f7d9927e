//! What signs a log's heads: keys in files of the server's own, or a process beside it that holds them.
//!
//! [`HeadSigner`] is all that the engine knows of either. `vault` is what the other process keeps: keys, and for each log
//! the last head that it signed, durably; it signs nothing that does not extend that head, so that whoever takes over the
//! server can't fork a log with it. `serve` and `remote` are the two ends of the socket, over which they speak
//! [`cairn_tree::wire::signer`]; `import` brings keys over from a server's files. Not here: which keys a
//! log has (its binding in the database), and when a head may be signed (the sequencer).

mod files;
mod import;
mod remote;
mod serve;
mod vault;

use cairn_tree::checkpoint::Origin;
use cairn_tree::merkle::{ConsistencyProof, Growth, Root};
use cairn_tree::note::{NoteSignature, VerifierKey};
use cairn_tree::statement::Statement;

pub use cairn_tree::wire::signer::KeyType;
pub use files::FileSigner;
pub use import::{ImportError, Imported, Left, import};
pub use remote::{Connection, RemoteSigner};
pub(crate) use serve::draw_key;
pub use serve::{Serving, listen};
pub use vault::{HandedOver, Vault, VaultError, VaultLog};

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
    /// The last head that the caller has made durable as signed: after a crash it starts from there.
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
