//! Signed notes: parsing, verifying, building (C2SP signed-note, format and signatures).
//!
//! [`SignedNote`] is unverified, whatever its signatures say; [`VerifiedNote`] comes only from
//! [`SignedNote::verify`]. What parses is written again byte for byte.

use core::fmt;

use super::key::VerifierKey;
use super::name::{KeyId, KeyName, KeyNameError, SignatureType};
use super::signer::{SignError, SignerKey};
use super::{decode_base64, encode_base64, find_control};

/// What begins a signature line: an em dash and a space.
const LINE_PREFIX: &str = "\u{2014} ";

/// One signature line: who claims to have signed, and the signature's bytes. Unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    id: KeyId,
    /// At least one byte, at most [`NoteSignature::MAX_BYTES`].
    signature: Vec<u8>,
}

/// A note that parsed; nothing is known yet about its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    /// Ends in a newline; has no control characters but newlines.
    text: String,
    /// At least one, at most [`SignedNote::MAX_SIGNATURES`].
    signatures: Vec<NoteSignature>,
}

/// A note that at least one known key has signed, and no known key has signed wrongly.
#[derive(Debug, Clone)]
pub struct VerifiedNote {
    note: SignedNote,
    /// The known keys whose signatures were verified, each once; never empty.
    signers: Vec<VerifierKey>,
}

/// Why bytes are not a signed note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note is longer than [`SignedNote::MAX_BYTES`].
    #[error("a note must be at most {max} bytes, not {0}", max = SignedNote::MAX_BYTES)]
    TooLong(usize),
    /// The note is not UTF-8.
    #[error("a note must be UTF-8; the first bad byte is at offset {0}")]
    Utf8(usize),
    /// There is an ASCII control character other than the newline.
    #[error("a note must not contain control characters; the first is at offset {0}")]
    Control(usize),
    /// The text does not end in a newline.
    #[error("the text of a note must end in a newline")]
    TextEnd,
    /// There is no blank line between a text and signature lines.
    #[error("a note must be a text, a blank line and signature lines")]
    NoSignatures,
    /// The last line has no newline.
    #[error("the last signature line must end in a newline")]
    LineEnd,
    /// There are more than [`SignedNote::MAX_SIGNATURES`] lines.
    #[error("a note must have at most {max} signatures", max = SignedNote::MAX_SIGNATURES)]
    TooManySignatures,
    /// A line is not an em dash, a name and base64.
    #[error("signature line {0} must be an em dash, a key name and base64, with single spaces between them")]
    Line(usize),
    /// A line's key name is none.
    #[error("signature line {line}: {error}")]
    Name {
        /// The line, counted from one.
        line: usize,
        /// What is wrong with the name.
        error: KeyNameError,
    },
    /// A line's base64 is not canonical.
    #[error("signature line {0}: the signature must be canonical padded base64")]
    Base64(usize),
    /// A line's signature is too short or too long.
    #[error("signature line {line}: a key id and a signature must be 5 to {max} bytes, not {found}",
        max = NoteSignature::MAX_BYTES + KeyId::LEN)]
    SignatureLength {
        /// The line, counted from one.
        line: usize,
        /// The length with the key id.
        found: usize,
    },
}

/// Why a note that parsed is not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteVerifyError {
    /// A key was given that does not sign bare note text.
    #[error("a key for {0} does not sign the text of a note")]
    KeyType(SignatureType),
    /// None of the signatures is by a known key.
    #[error("the note has no signature by a known key")]
    NoKnownKey,
    /// Two different known keys share a name and an id, so that a signature could be by either.
    #[error("two known keys share the name {0} and the id {1}")]
    Ambiguous(KeyName, KeyId),
    /// A signature by a known key is wrong, which makes the whole note worthless.
    #[error("the signature by the known key {0}+{1} is wrong")]
    BadSignature(KeyName, KeyId),
}

impl NoteSignature {
    /// The longest signature, without the key id. The longest assigned one (ML-DSA-44 with its time) has 2,428 bytes;
    /// signed-note warns of nearly 5,000.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// A line by `key`; this crate's own signatures are never empty and never too long.
    pub(super) fn by_key(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self { name: key.name().clone(), id: key.id(), signature }
    }

    /// The name of the key that the line claims.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key that the line claims.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The signature's bytes after the key id.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether the line claims to be by this key.
    #[must_use]
    pub fn claims(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == *key.name()
    }

    /// Reads one or more signature lines, each with its newline, as they end a note and as a witness answers them.
    ///
    /// # Errors
    /// [`NoteError`] names the first line that is wrong.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, NoteError> {
        if text.len() > SignedNote::MAX_BYTES {
            return Err(NoteError::TooLong(text.len()));
        }
        if text.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        let lines = text.strip_suffix('\n').ok_or(NoteError::LineEnd)?;
        let mut signatures = Vec::new();
        for (number, line) in (1..).zip(lines.split('\n')) {
            if number > SignedNote::MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(Self::parse_line(number, line)?);
        }
        Ok(signatures)
    }

    fn parse_line(number: usize, line: &str) -> Result<Self, NoteError> {
        let rest = line.strip_prefix(LINE_PREFIX).ok_or(NoteError::Line(number))?;
        let (name, base64) = rest.split_once(' ').ok_or(NoteError::Line(number))?;
        let name = KeyName::new(name).map_err(|error| NoteError::Name { line: number, error })?;
        let bytes = decode_base64(base64).ok_or(NoteError::Base64(number))?;
        let length = NoteError::SignatureLength { line: number, found: bytes.len() };
        let (id, signature) = bytes.split_first_chunk::<{ KeyId::LEN }>().ok_or(length)?;
        if signature.is_empty() || signature.len() > Self::MAX_BYTES {
            return Err(length);
        }
        Ok(Self { name, id: KeyId::new(*id), signature: signature.to_vec() })
    }
}

/// The line without its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_bytes().as_slice(), &self.signature].concat();
        write!(f, "{LINE_PREFIX}{} {}", self.name, encode_base64(&bytes))
    }
}

impl SignedNote {
    /// The longest note.
    pub const MAX_BYTES: usize = 1024 * 1024;
    /// The most signatures of a note. The specification asks for at least 16; a policy may name 64 witnesses and logs.
    pub const MAX_SIGNATURES: usize = 128;

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError`] for anything that [`SignedNote::encode`] would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = core::str::from_utf8(bytes).map_err(|error| NoteError::Utf8(error.valid_up_to()))?;
        if let Some(offset) = find_control(note) {
            return Err(NoteError::Control(offset));
        }
        // The last blank line is the separator: the text before it may hold blank lines, signature lines cannot.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let signatures = NoteSignature::parse_lines(lines)?;
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// Signs a text with keys of type [`SignatureType::ED25519`].
    ///
    /// # Errors
    /// [`NoteBuildError`] if the text cannot stand in a note, there is no key, or a key is of another type.
    pub fn sign(text: String, keys: &[&SignerKey]) -> Result<Self, NoteBuildError> {
        let signatures = keys.iter().map(|key| key.sign_text(&text)).collect::<Result<_, _>>()?;
        Ok(Self::new(text, signatures)?)
    }

    /// Puts a text and signature lines together. Nothing is verified.
    ///
    /// # Errors
    /// [`NoteError`] if the result would not parse.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        if let Some(offset) = find_control(&text) {
            return Err(NoteError::Control(offset));
        }
        if !text.ends_with('\n') {
            return Err(NoteError::TextEnd);
        }
        Self { text, signatures }.bounded()
    }

    /// Adds a signature line, in the place of an older one by the same key, if there is one. Nothing is verified.
    ///
    /// # Errors
    /// [`NoteError`] if the note gets too long or gets too many signatures.
    pub fn with_signature(mut self, signature: NoteSignature) -> Result<Self, NoteError> {
        let same_key = |old: &&mut NoteSignature| old.id == signature.id && old.name == signature.name;
        match self.signatures.iter_mut().find(same_key) {
            Some(old) => *old = signature,
            None => self.signatures.push(signature),
        }
        self.bounded()
    }

    fn bounded(self) -> Result<Self, NoteError> {
        if self.signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        if self.signatures.len() > Self::MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        match self.encode().len() {
            length if length > Self::MAX_BYTES => Err(NoteError::TooLong(length)),
            _ => Ok(self),
        }
    }

    /// The text, which nobody may have signed: only for finding out which keys to verify with.
    #[must_use]
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The signature lines, unverified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Verifies the note with known keys. Signatures by other keys are ignored; one wrong signature by a known key
    /// refuses the whole note.
    ///
    /// # Errors
    /// [`NoteVerifyError`] says which signature is wrong, or that none is by a known key.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<VerifiedNote, NoteVerifyError> {
        if let Some(key) = keys.iter().find(|key| key.kind() != SignatureType::ED25519) {
            return Err(NoteVerifyError::KeyType(key.kind()));
        }
        let signers = self.signers(keys, |key, signature| key.verifies(self.text.as_bytes(), signature))?;
        Ok(VerifiedNote { note: self.clone(), signers })
    }

    /// Which of the keys signed, each once and at least one; `verifies` tells whether a signature is a key's. What a
    /// signature covers depends on the key's type, so that is for the caller to know.
    pub(crate) fn signers(
        &self,
        keys: &[VerifierKey],
        verifies: impl Fn(&VerifierKey, &[u8]) -> bool,
    ) -> Result<Vec<VerifierKey>, NoteVerifyError> {
        let mut signers: Vec<VerifierKey> = Vec::new();
        for line in &self.signatures {
            let mut claimed = keys.iter().filter(|key| line.claims(key));
            let Some(key) = claimed.next() else { continue };
            if claimed.any(|other| other != key) {
                return Err(NoteVerifyError::Ambiguous(line.name.clone(), line.id));
            }
            if !verifies(key, &line.signature) {
                return Err(NoteVerifyError::BadSignature(line.name.clone(), line.id));
            }
            if !signers.contains(key) {
                signers.push(key.clone());
            }
        }
        if signers.is_empty() { Err(NoteVerifyError::NoKnownKey) } else { Ok(signers) }
    }

    /// The keys that signed, each once and in the order of their lines, whatever else stands in the note: wrong lines are
    /// passed over, those by known keys too. That is against what the specification asks of whoever accepts a note, so
    /// nothing may be accepted for it; see [`crate::checkpoint::avowed`] for what it is good for.
    pub(crate) fn right_signers(
        &self,
        keys: &[VerifierKey],
        verifies: impl Fn(&VerifierKey, &[u8]) -> bool,
    ) -> Vec<VerifierKey> {
        let mut signers: Vec<VerifierKey> = Vec::new();
        for line in &self.signatures {
            let signs = |key: &&VerifierKey| line.claims(key) && verifies(key, &line.signature);
            if let Some(key) = keys.iter().filter(|key| !signers.contains(key)).find(signs) {
                signers.push(key.clone());
            }
        }
        signers
    }

    /// The note's bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        self.to_string()
    }
}

/// Why a note cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteBuildError {
    /// The parts do not make a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A key refuses to sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl VerifiedNote {
    /// The text, signed by every key in [`VerifiedNote::signers`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.note.text
    }

    /// The known keys that signed; at least one.
    #[must_use]
    pub fn signers(&self) -> &[VerifierKey] {
        &self.signers
    }

    /// The note with all its lines, those by unknown keys included.
    #[must_use]
    pub const fn note(&self) -> &SignedNote {
        &self.note
    }
}
