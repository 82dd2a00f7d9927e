//! JSON Pointers (RFC 6901), as names of fields.

use core::fmt;
use std::borrow::Cow;

use super::fault::push_token;
use crate::record::bounds::MAX_POINTER_BYTES;

/// A JSON Pointer: empty for the whole document, or reference tokens with a slash before each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer<'a>(Cow<'a, str>);

/// Why a text is no JSON Pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It is longer than it may be.
    #[error("a JSON Pointer must be at most {MAX_POINTER_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// It does not begin with a slash.
    #[error("a JSON Pointer is empty or begins with a slash")]
    Slash,
    /// A tilde stands before something else than 0 or 1.
    #[error("in a JSON Pointer a tilde is followed by 0 or 1")]
    Tilde,
}

impl<'a> Pointer<'a> {
    /// The whole document.
    pub const ROOT: Pointer<'static> = Pointer(Cow::Borrowed(""));

    /// Checks a text (RFC 6901, section 3).
    ///
    /// # Errors
    /// [`PointerError`].
    pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, PointerError> {
        let text = text.into();
        if text.len() > MAX_POINTER_BYTES {
            return Err(PointerError::TooLong(text.len()));
        }
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PointerError::Slash);
        }
        if text.contains('~') && text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(PointerError::Tilde);
        }
        Ok(Self(text))
    }

    /// The pointer to a member or an element of what this one points to.
    ///
    /// # Errors
    /// [`PointerError::TooLong`].
    pub fn child(&self, token: &str) -> Result<Pointer<'static>, PointerError> {
        let mut text = String::with_capacity(self.0.len() + token.len() + 1);
        text.push_str(&self.0);
        push_token(&mut text, token);
        if text.len() > MAX_POINTER_BYTES { Err(PointerError::TooLong(text.len())) } else { Ok(Pointer(text.into())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Pointer<'static> {
        Pointer(Cow::Owned(self.0.into_owned()))
    }

    /// The reference tokens, unescaped (RFC 6901, section 4: `~1` first, then `~0`).
    pub fn tokens(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').skip(1).map(|token| {
            if token.contains('~') {
                Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(token)
            }
        })
    }

    /// How many reference tokens it has.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.0.bytes().filter(|byte| *byte == b'/').count()
    }

    /// Whether this one is `other`, or points to something within what `other` points to.
    #[must_use]
    pub fn is_within(&self, other: &Pointer<'_>) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
