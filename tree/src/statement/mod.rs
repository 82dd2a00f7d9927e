//! What a log says about itself, as entries of its own: a change of its keys, its end, and where it comes from.
//!
//! A statement's leaf is a C2SP signed note. Its text is two lines: the format's name, such as `cairn.key/1`, and one
//! object of canonical JSON (RFC 8785). The signature lines are by Ed25519 keys (0x01) named like the log's origin. So a
//! statement can be verified alone, and also as an entry, through the head that covers it. No checkpoint reads as a
//! statement, nor the other way round: a checkpoint's text has at least three lines.
//!
//! Not here: who may make one, and when. A key of type ML-DSA-44 (0x06) signs tree heads only and thus no statement; it
//! vouches for one through the head that covers the entry.

mod key;
mod succession;

use core::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use key::{KeyChain, KeyChainError, KeyChange, KeyStatement};
pub use succession::{End, LinkStatement, SealStatement, SuccessionError};

use crate::checkpoint::Origin;
use crate::note::{NoteBuildError, NoteError, NoteSignature, NoteVerifyError, SignatureType, SignedNote, SignerKey};
use crate::note::{VerifiedNote, VerifierKey};

/// What leaves begin with that only the server itself writes: records and the statements here.
pub const RESERVED: [&str; 4] = ["cairn.record/", "cairn.key/", "cairn.seal/", "cairn.link/"];

/// The first line of a statement about a key.
const KEY: &str = "cairn.key/1";
/// The first line of a log's last entry.
const SEAL: &str = "cairn.seal/1";
/// The first line of the first entry of a log that continues another.
const LINK: &str = "cairn.link/1";

/// The reserved beginning that these bytes have, if any.
#[must_use]
pub fn reserved_prefix(entry: &[u8]) -> Option<&'static str> {
    RESERVED.into_iter().find(|prefix| entry.starts_with(prefix.as_bytes()))
}

/// What a log can say about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// One of its keys begins or ceases to sign its heads.
    Key(KeyStatement),
    /// This is its last entry.
    Seal(SealStatement),
    /// It continues another log.
    Link(LinkStatement),
}

/// A statement with signature lines that nobody has verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    note: SignedNote,
    /// What the note's text says.
    statement: Statement,
}

/// Why bytes are not a statement, or parts do not make one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The note around it is malformed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A key can't sign it.
    #[error(transparent)]
    Build(#[from] NoteBuildError),
    /// The first line names no format of this version.
    #[error("a statement begins with the line {KEY}, {SEAL} or {LINK}")]
    Format,
    /// The second line is not the canonical JSON of that format.
    #[error("the statement's second line: {0}")]
    Json(String),
    /// The parts contradict each other.
    #[error("the statement contradicts itself: {0}")]
    Parts(&'static str),
}

/// Why a statement is not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementVerifyError {
    /// None of the given keys is an Ed25519 key of the statement's log.
    #[error("none of the given keys is an Ed25519 key of {0}; statements are verified with such a key")]
    NoKey(Origin),
    /// A signature is wrong or missing.
    #[error(transparent)]
    Note(#[from] NoteVerifyError),
}

impl Statement {
    /// The log that says it.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        match self {
            Self::Key(statement) => statement.origin(),
            Self::Seal(statement) => statement.origin(),
            Self::Link(statement) => statement.origin(),
        }
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let (format, json) = match self {
            Self::Key(statement) => (KEY, statement.to_json()),
            Self::Seal(statement) => (SEAL, statement.to_json()),
            Self::Link(statement) => (LINK, statement.to_json()),
        };
        format!("{format}\n{json}\n")
    }

    /// Reads the text of a statement's note.
    ///
    /// # Errors
    /// [`StatementError`] for anything that [`Statement::text`] would not have written.
    pub fn parse_text(text: &str) -> Result<Self, StatementError> {
        let (format, rest) = text.split_once('\n').ok_or(StatementError::Format)?;
        let json = rest.strip_suffix('\n').unwrap_or(rest);
        let statement = match format {
            KEY => Self::Key(KeyStatement::parse_json(json)?),
            SEAL => Self::Seal(SealStatement::parse_json(json)?),
            LINK => Self::Link(LinkStatement::parse_json(json)?),
            _ => return Err(StatementError::Format),
        };
        // One statement has one text: other orders, spaces and escapes are refused (RFC 8785).
        if statement.text() == text {
            Ok(statement)
        } else {
            Err(StatementError::Json("it is not canonical".to_owned()))
        }
    }

    /// Signs with keys of type 0x01; at least one.
    ///
    /// # Errors
    /// [`StatementError`] if a key is of another type or another log's.
    pub fn sign(self, keys: &[&SignerKey]) -> Result<SignedStatement, StatementError> {
        if keys.iter().any(|key| !self.origin().is_named(key.name())) {
            return Err(StatementError::Parts("a key that signs it is named after another log"));
        }
        let note = SignedNote::sign(self.text(), keys)?;
        Ok(SignedStatement { note, statement: self })
    }

    /// Puts signature lines to it that were made elsewhere. Nothing is verified.
    ///
    /// # Errors
    /// [`StatementError::Note`] if the note gets too long or has no line.
    pub fn with_signatures(self, signatures: Vec<NoteSignature>) -> Result<SignedStatement, StatementError> {
        Ok(SignedStatement { note: SignedNote::new(self.text(), signatures)?, statement: self })
    }
}

impl SignedStatement {
    /// Reads a leaf.
    ///
    /// # Errors
    /// [`StatementError`] for anything that [`SignedStatement::encode`] would not have written.
    pub fn parse(leaf: &[u8]) -> Result<Self, StatementError> {
        let note = SignedNote::parse(leaf)?;
        let statement = Statement::parse_text(note.unverified_text())?;
        Ok(Self { note, statement })
    }

    /// What it says, which nobody may have signed.
    #[must_use]
    pub const fn unverified(&self) -> &Statement {
        &self.statement
    }

    /// Verifies that at least one of `keys` has signed, and none wrongly. Keys of other logs and of other types than
    /// 0x01 are passed over.
    ///
    /// # Errors
    /// [`StatementVerifyError`].
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<(&Statement, Vec<VerifierKey>), StatementVerifyError> {
        let origin = self.statement.origin();
        let fits = |key: &&VerifierKey| key.kind() == SignatureType::ED25519 && origin.is_named(key.name());
        let keys: Vec<VerifierKey> = keys.iter().filter(fits).cloned().collect();
        if keys.is_empty() {
            return Err(StatementVerifyError::NoKey(origin.clone()));
        }
        let verified: VerifiedNote = self.note.verify(&keys)?;
        Ok((&self.statement, verified.signers().to_vec()))
    }

    /// The leaf's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        self.note.encode()
    }
}

impl fmt::Display for SignedStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// Canonical JSON, for a value whose members are declared in the order of their names and whose numbers are below 2^53:
/// of such, `serde_json` writes what RFC 8785 asks for.
fn canonical(value: &impl Serialize) -> String {
    // Structs of strings, numbers and arrays always serialize.
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, StatementError> {
    serde_json::from_str(json).map_err(|error| StatementError::Json(error.to_string()))
}

/// Reads keys, all of one log.
fn keys_of(origin: &Origin, texts: &[String]) -> Result<Vec<VerifierKey>, StatementError> {
    let key = |text: &String| -> Result<VerifierKey, StatementError> {
        text.parse().map_err(|error| StatementError::Json(format!("a vkey: {error}")))
    };
    let keys = texts.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    check_keys(origin, &keys)?;
    Ok(keys)
}

/// The most keys that a statement lists.
const MAX_KEYS: usize = 16;

fn check_keys(origin: &Origin, keys: &[VerifierKey]) -> Result<(), StatementError> {
    let is_log_key = |key: &VerifierKey| {
        matches!(key.kind(), SignatureType::ED25519 | SignatureType::COSIGNATURE_ML_DSA_44)
            && origin.is_named(key.name())
    };
    let mut earlier: &[VerifierKey] = &[];
    for (count, key) in keys.iter().enumerate() {
        if !is_log_key(key) {
            return Err(StatementError::Parts("it lists a key that can't sign the log's heads"));
        }
        if earlier.contains(key) {
            return Err(StatementError::Parts("it lists a key twice"));
        }
        earlier = keys.get(..=count).unwrap_or_default();
    }
    let signs_notes = keys.iter().any(|key| key.kind() == SignatureType::ED25519);
    match keys.len() {
        0 => Err(StatementError::Parts("it lists no key")),
        count if count > MAX_KEYS => Err(StatementError::Parts("it lists too many keys")),
        _ if !signs_notes => Err(StatementError::Parts("it lists no Ed25519 key")),
        _ => Ok(()),
    }
}

fn texts(keys: &[VerifierKey]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn origin(text: String) -> Result<Origin, StatementError> {
    Origin::new(text).map_err(|error| StatementError::Json(error.to_string()))
}
