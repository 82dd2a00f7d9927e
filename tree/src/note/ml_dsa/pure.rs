//! In portable Rust.

use ml_dsa::{Keypair as _, MlDsa44, Signature, Signer as _, SigningKey, VerifyingKey};

use super::{Failed, PUBLIC_KEY_BYTES, SEED_BYTES};

/// A private key with its expanded form, most of it on the heap; it wipes itself.
pub(in crate::note) struct PrivateKey(SigningKey<MlDsa44>);

/// A public key with what all its verifications need: expanding it takes as long as a verification, and 24 KiB.
pub(in crate::note) struct PublicKey {
    bytes: [u8; PUBLIC_KEY_BYTES],
    expanded: VerifyingKey<MlDsa44>,
}

impl PrivateKey {
    /// Never fails.
    pub(in crate::note) fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, Failed> {
        Ok(Self(SigningKey::from_seed(seed.into())))
    }

    pub(in crate::note) fn seed(&self) -> &[u8] {
        self.0.as_seed()
    }

    /// Never fails.
    pub(in crate::note) fn public(&self) -> Result<PublicKey, Failed> {
        let expanded = self.0.verifying_key();
        Ok(PublicKey { bytes: expanded.encode().into(), expanded })
    }

    pub(in crate::note) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        self.0.try_sign(message).map(|signature| signature.encode().to_vec()).map_err(|_| Failed)
    }
}

impl PublicKey {
    /// Every string of this length is a key (FIPS 204, algorithm 23), and no two are the same.
    pub(in crate::note) fn new(bytes: [u8; PUBLIC_KEY_BYTES]) -> Self {
        Self { bytes, expanded: VerifyingKey::decode(&bytes.into()) }
    }

    pub(in crate::note) const fn bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.bytes
    }

    pub(in crate::note) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::<MlDsa44>::try_from(signature)
            .is_ok_and(|signature| self.expanded.verify_with_context(message, &[], &signature))
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}
