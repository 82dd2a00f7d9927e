//! Unpadded base64url (RFC 4648, section 5), strictly: one value has one text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Appends the text of these bytes in ASCII, and tells how long it is.
pub(super) fn push_ascii(text: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let start = text.len();
    let length = (8 * bytes.len()).div_ceil(6);
    text.resize(start + length, 0);
    // As long as it is told to be, so that this does not fail.
    let _written = URL_SAFE_NO_PAD.encode_slice(bytes, text.get_mut(start..).unwrap_or_default());
    length
}

/// The bytes of a text.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Appends the bytes of a text.
pub(super) fn decode_onto(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    URL_SAFE_NO_PAD.decode_vec(text, bytes).ok()
}

/// The bytes of a text of exactly `N` bytes.
pub(super) fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = text.len() == (8 * N).div_ceil(6);
    let decoded = length && URL_SAFE_NO_PAD.decode_slice_unchecked(text, &mut bytes).is_ok_and(|count| count == N);
    decoded.then_some(bytes)
}

/// The text of an array, in ASCII; it has `T` characters, which follows from the number of bytes.
pub(super) fn encode_array<const N: usize, const T: usize>(bytes: &[u8; N]) -> [u8; T] {
    let mut text = [0; T];
    let _written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
    text
}
