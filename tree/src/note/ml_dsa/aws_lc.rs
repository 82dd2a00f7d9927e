//! By AWS-LC.

use aws_lc_rs::signature::{KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, PqdsaKeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{Failed, PUBLIC_KEY_BYTES, SEED_BYTES};

/// The length of a signature.
const SIGNATURE_BYTES: usize = 2420;

/// A private key; AWS-LC wipes what it frees.
pub(in crate::note) struct PrivateKey {
    seed: Zeroizing<[u8; SEED_BYTES]>,
    pair: PqdsaKeyPair,
}

/// A public key as it is written: reading it takes AWS-LC no time that could be measured beside a verification.
#[derive(PartialEq, Eq)]
pub(in crate::note) struct PublicKey {
    bytes: [u8; PUBLIC_KEY_BYTES],
}

impl PrivateKey {
    pub(in crate::note) fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, Failed> {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed).map_err(|_| Failed)?;
        Ok(Self { seed: Zeroizing::new(*seed), pair })
    }

    pub(in crate::note) fn seed(&self) -> &[u8] {
        self.seed.as_slice()
    }

    pub(in crate::note) fn public(&self) -> Result<PublicKey, Failed> {
        self.pair.public_key().as_ref().try_into().map(PublicKey::new).map_err(|_| Failed)
    }

    pub(in crate::note) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failed> {
        let mut signature = vec![0; SIGNATURE_BYTES];
        match self.pair.sign(message, &mut signature) {
            Ok(SIGNATURE_BYTES) => Ok(signature),
            _ => Err(Failed),
        }
    }
}

impl PublicKey {
    /// Every string of this length is a key (FIPS 204, algorithm 23), and no two are the same.
    pub(in crate::note) const fn new(bytes: [u8; PUBLIC_KEY_BYTES]) -> Self {
        Self { bytes }
    }

    pub(in crate::note) const fn bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.bytes
    }

    pub(in crate::note) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ML_DSA_44, &self.bytes).verify(message, signature).is_ok()
    }
}
