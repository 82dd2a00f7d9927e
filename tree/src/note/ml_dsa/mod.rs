//! ML-DSA-44 (FIPS 204): the pure variant with an empty context (algorithms 2 and 3), keys from 32-byte seeds.
//!
//! Two implementations of one shape. `pure` is portable Rust, which wasm gets too, and signs deterministically. With the
//! feature `aws-lc`, which the native programs switch on, it is AWS-LC, whose vector code takes a fraction of the time; it
//! signs hedged, with randomness of its own, so that two signatures of one message differ, and both verify. Not here: what
//! is signed, and the texts of keys.

#[cfg(feature = "aws-lc")]
mod aws_lc;
#[cfg(any(test, not(feature = "aws-lc")))]
mod pure;
#[cfg(test)]
mod tests;

#[cfg(feature = "aws-lc")]
pub(super) use aws_lc::{PrivateKey, PublicKey};
#[cfg(not(feature = "aws-lc"))]
pub(super) use pure::{PrivateKey, PublicKey};

/// The length of a seed.
pub(super) const SEED_BYTES: usize = 32;
/// The length of a public key.
pub(super) const PUBLIC_KEY_BYTES: usize = 1312;

/// The library makes no key, or no signature: it has no memory or no randomness, or all its trials failed (FIPS 204,
/// appendix C). Not expected to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;
