//! The public keys that a credential's producer signs its events with: Ed25519, written as base64url without padding.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cairn_tree::record::signature::ProducerKey;
use serde::{Deserialize, Serialize};

/// A producer's public key, as it is kept and typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProducerKeyText(ProducerKey);

/// A text that is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a producer's key is an Ed25519 public key: the base64url of its 32 bytes, without padding")]
pub struct ProducerKeyTextError;

impl ProducerKeyText {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &ProducerKey {
        &self.0
    }
}

impl FromStr for ProducerKeyText {
    type Err = ProducerKeyTextError;

    fn from_str(text: &str) -> Result<Self, ProducerKeyTextError> {
        let bytes: Vec<u8> = URL_SAFE_NO_PAD.decode(text).map_err(|_| ProducerKeyTextError)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| ProducerKeyTextError)?;
        ProducerKey::new(&bytes).map(Self).map_err(|_| ProducerKeyTextError)
    }
}

impl fmt::Display for ProducerKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl TryFrom<String> for ProducerKeyText {
    type Error = ProducerKeyTextError;

    fn try_from(text: String) -> Result<Self, ProducerKeyTextError> {
        text.parse()
    }
}

impl From<ProducerKeyText> for String {
    fn from(key: ProducerKeyText) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::signature::ProducerSigner;

    use super::*;

    #[test]
    fn a_key_reads_back_and_weak_ones_are_refused() {
        let key = ProducerSigner::from_seed(&[7; 32]).key().clone();
        let text = URL_SAFE_NO_PAD.encode(key.as_bytes());
        let read: ProducerKeyText = text.parse().unwrap();
        assert_eq!((read.key(), read.to_string()), (&key, text.clone()));
        let zero = URL_SAFE_NO_PAD.encode([0; 32]);
        for bad in ["", &text[1..], &format!("{text}="), &zero] {
            assert!(bad.parse::<ProducerKeyText>().is_err(), "{bad}");
        }
    }
}
