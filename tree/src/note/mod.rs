//! Signed notes: text with signature lines, and the keys that make and check them (C2SP signed-note).
//!
//! Not here: what the text of a note means. Checkpoints stand in [`crate::checkpoint`], and the signed message of a
//! cosignature, which is not the note's bare text, stands in [`crate::cosignature`].

pub mod key;
mod ml_dsa;
pub mod name;
pub mod signed;
pub mod signer;

pub use key::{VerifierKey, VerifierKeyError};
pub use name::{KeyId, KeyName, KeyNameError, SignatureType};
pub use signed::{NoteBuildError, NoteError, NoteSignature, NoteVerifyError, SignedNote, VerifiedNote};
pub use signer::{SignError, SignerKey, SignerKeyError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decodes padded standard base64 (RFC 4648, section 4) that has no stray trailing bits, so that one value has one
/// text.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Writes what [`decode_base64`] reads.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The offset of the first ASCII control character other than the newline, which no note may hold (signed-note,
/// format).
pub(crate) fn find_control(text: &str) -> Option<usize> {
    text.bytes().position(|byte| byte < b' ' && byte != b'\n')
}
