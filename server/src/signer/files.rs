//! Signing in the server's own process, with keys that were read from its files.
//!
//! It keeps no state: the engine's high-water and its check before each signature are what it stands on.

use cairn_tree::checkpoint::{Checkpoint, Timestamp};
use cairn_tree::note::{NoteSignature, SignatureType, SignerKey, VerifierKey};
use cairn_tree::statement::Statement;

use super::{HeadSigner, HeadToSign, SignerError};

/// Keys of one log, at hand.
pub struct FileSigner {
    keys: Vec<SignerKey>,
    public: Vec<VerifierKey>,
}

impl FileSigner {
    /// Signs with these keys, oldest first.
    #[must_use]
    pub fn new(keys: Vec<SignerKey>) -> Self {
        let public = keys.iter().map(|key| key.verifier_key().clone()).collect();
        Self { keys, public }
    }
}

impl HeadSigner for FileSigner {
    fn keys(&self) -> &[VerifierKey] {
        &self.public
    }

    fn sign_head(&self, head: &HeadToSign<'_>) -> Result<Vec<NoteSignature>, SignerError> {
        head_lines(&self.keys.iter().collect::<Vec<_>>(), head)
    }

    fn sign_statement(&self, statement: &Statement) -> Result<Vec<NoteSignature>, SignerError> {
        statement_lines(&self.keys.iter().collect::<Vec<_>>(), statement)
    }
}

/// A line by each key under a head.
pub(super) fn head_lines(keys: &[&SignerKey], head: &HeadToSign<'_>) -> Result<Vec<NoteSignature>, SignerError> {
    let failed = |error: &dyn core::fmt::Display| SignerError::Failed(error.to_string());
    let time = Timestamp::new(head.time_ms / 1_000).map_err(|error| failed(&error))?;
    let checkpoint = Checkpoint::new(head.origin.clone(), head.new.size, head.new.hash);
    let signed = checkpoint.sign_all(keys, time).map_err(|error| failed(&error))?;
    Ok(signed.note().signatures().to_vec())
}

/// A line by each Ed25519 key under a statement.
pub(super) fn statement_lines(keys: &[&SignerKey], statement: &Statement) -> Result<Vec<NoteSignature>, SignerError> {
    let text = statement.text();
    let signs = |key: &&&SignerKey| key.kind() == SignatureType::ED25519;
    let line = |key: &&SignerKey| key.sign_text(&text).map_err(|error| SignerError::Failed(error.to_string()));
    keys.iter().filter(signs).map(line).collect()
}
