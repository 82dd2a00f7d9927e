//! Sizes and indexes: how many leaves a tree has, and which leaf is meant. All conversions between them stand here.
//!
//! Both are bounded by 2^63 - 1, so that no sum or product in the tree's arithmetic overflows. (Up to 2^62 leaves a
//! consistency proof has at most the 63 lines of C2SP tlog-witness, `add-checkpoint`; beyond that it can have 64.)

use core::fmt;

/// The largest tree size and one past the largest index: 2^63 - 1.
const MAX: u64 = i64::MAX as u64;

/// The number of leaves of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeSize(u64);

/// The zero-based position of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(u64);

/// Why a number is not a size or an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// The text is not ASCII decimal digits without leading zeros.
    #[error("must be a decimal number without sign or leading zeros")]
    NotDecimal,
    /// The number is past the bound.
    #[error("must be at most {MAX}")]
    TooLarge,
}

/// A number of things in words: `1 entry`, `2 entries`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl TreeSize {
    /// The empty tree.
    pub const ZERO: Self = Self(0);
    /// The largest tree that is supported.
    pub const MAX: Self = Self(MAX);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] past [`TreeSize::MAX`].
    pub const fn new(size: u64) -> Result<Self, SizeError> {
        if size > MAX { Err(SizeError::TooLarge) } else { Ok(Self(size)) }
    }

    /// The number of leaves.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads the one decimal text of a size, as checkpoints carry it (C2SP tlog-checkpoint, note text, line 2).
    ///
    /// # Errors
    /// [`SizeError`] for anything that `Display` would not have written.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        decimal(text).and_then(Self::new)
    }

    /// Whether a tree of this size has a leaf at `index`.
    #[must_use]
    pub const fn contains(self, index: LeafIndex) -> bool {
        index.0 < self.0
    }

    /// The index that the next leaf will get.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] if the tree is full.
    pub const fn next_index(self) -> Result<LeafIndex, SizeError> {
        LeafIndex::new(self.0)
    }

    /// The size after `count` more leaves.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] past [`TreeSize::MAX`].
    pub const fn plus(self, count: u64) -> Result<Self, SizeError> {
        match self.0.checked_add(count) {
            Some(size) => Self::new(size),
            None => Err(SizeError::TooLarge),
        }
    }
}

impl LeafIndex {
    /// The first leaf.
    pub const ZERO: Self = Self(0);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`SizeError::TooLarge`] for an index that no tree of at most [`TreeSize::MAX`] leaves has.
    pub const fn new(index: u64) -> Result<Self, SizeError> {
        if index >= MAX { Err(SizeError::TooLarge) } else { Ok(Self(index)) }
    }

    /// The position.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads the one decimal text of an index, as receipts carry it (C2SP tlog-proof, format).
    ///
    /// # Errors
    /// [`SizeError`] for anything that `Display` would not have written.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        decimal(text).and_then(Self::new)
    }

    /// The size of the smallest tree that has this leaf.
    #[must_use]
    pub const fn size_with(self) -> TreeSize {
        TreeSize(self.0 + 1)
    }
}

fn decimal(text: &str) -> Result<u64, SizeError> {
    let canonical = text == "0" || !text.starts_with('0');
    if text.is_empty() || !canonical || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SizeError::NotDecimal);
    }
    text.parse().map_err(|_| SizeError::TooLarge)
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
