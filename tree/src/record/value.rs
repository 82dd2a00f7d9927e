//! The bounds of one value, of a field or of an attribute: the same when it is sealed and when it is opened, so that what is
//! sealed can be opened.

use super::bounds::{MAX_VALUE_BYTES, MAX_VALUE_DEPTH};
use super::json::{FaultKind, Json, Read, Reader, Trouble};

/// A value past a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It is too long.
    #[error("longer than {MAX_VALUE_BYTES} bytes")]
    TooLong,
    /// Its arrays and objects nest too deep.
    #[error("nested deeper than {MAX_VALUE_DEPTH}")]
    TooDeep,
}

/// Checks a value.
pub(super) fn check(value: &Json<'_>) -> Result<(), ValueError> {
    if value.as_str().len() > MAX_VALUE_BYTES {
        return Err(ValueError::TooLong);
    }
    if fits(value, 0) { Ok(()) } else { Err(ValueError::TooDeep) }
}

/// Whether a value nests no deeper than one may at the end of a pointer of so many tokens: so that no state that fields
/// make nests deeper than a value may.
pub(super) fn fits(value: &Json<'_>, tokens: usize) -> bool {
    let text = value.as_str();
    let most = MAX_VALUE_DEPTH.saturating_sub(tokens);
    // Each level takes two bytes.
    tokens <= MAX_VALUE_DEPTH && (text.len() < 2 * (most + 1) || depth(text) <= most)
}

/// How deep arrays and objects nest in valid JSON.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Reads a value in a disclosure.
pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Read<Json<'a>> {
    let at = reader.offset();
    let value = reader.json()?;
    match check(&value) {
        Ok(()) => Ok(value),
        Err(ValueError::TooLong) => Err(Trouble::new(at, FaultKind::TooLong(MAX_VALUE_BYTES))),
        Err(ValueError::TooDeep) => Err(Trouble::new(at, FaultKind::Depth(MAX_VALUE_DEPTH))),
    }
}
