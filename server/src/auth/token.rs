//! One token: its text, its digest, and what is kept of it.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::producer_key::ProducerKeyText;
use super::rights::Rights;
use super::selector::{Selector, Tenants};

/// What every token's text begins with, so that scanners for leaked secrets can find it.
const PREFIX: &str = "cairn_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

/// A token's public name: 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId([u8; ID_BYTES]);

/// A text that is no token id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token id is {} lower-case hexadecimal digits", 2 * ID_BYTES)]
pub struct TokenIdError;

impl TokenId {
    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = TokenIdError;

    fn from_str(text: &str) -> Result<Self, TokenIdError> {
        let canonical = text.len() == 2 * ID_BYTES && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = canonical.then(|| u64::from_str_radix(text, 16).ok()).flatten().ok_or(TokenIdError)?;
        let [_, _, id @ ..] = number.to_be_bytes();
        Ok(Self(id))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenIdError;

    fn try_from(text: String) -> Result<Self, TokenIdError> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

/// What a caller presents: `cairn_<id>_<secret>`. Shown once, when it is made.
pub struct TokenText {
    id: TokenId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl TokenText {
    /// The random bytes that a new token is made of.
    pub const RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

    /// Makes a token of fresh random bytes.
    #[must_use]
    pub fn from_random(random: [u8; Self::RANDOM_BYTES]) -> Self {
        let mut id = [0; ID_BYTES];
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        let (first, rest) = random.split_at(ID_BYTES);
        id.copy_from_slice(first);
        secret.copy_from_slice(rest);
        Self { id: TokenId(id), secret }
    }

    /// Reads a token's text; accepts only what [`TokenText::reveal`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        let length = URL_SAFE_NO_PAD.decode_slice(secret, bytes.as_mut_slice()).ok()?;
        (length == SECRET_BYTES).then_some(Self { id: id.parse().ok()?, secret: bytes })
    }

    /// The public name.
    #[must_use]
    pub const fn id(&self) -> TokenId {
        self.id
    }

    /// The whole text, secret included.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}_{}", self.id, URL_SAFE_NO_PAD.encode(*self.secret)))
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(*self.secret).into()
    }
}

/// What a token is to allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTerms {
    /// What the operator calls it.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// On which logs.
    pub logs: Selector,
    /// On the records of which tenants.
    #[serde(default)]
    pub tenants: Tenants,
    /// The keys that its producer signs events with.
    #[serde(default)]
    pub producer_keys: Vec<ProducerKeyText>,
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its public name.
    pub id: TokenId,
    /// What the operator calls it.
    pub name: String,
    /// What it allows.
    pub rights: Rights,
    /// On which logs.
    #[serde(rename = "logs")]
    pub selector: Selector,
    /// On the records of which tenants. A token of a time before there were records has none.
    #[serde(default, skip_serializing_if = "Tenants::is_none")]
    pub tenants: Tenants,
    /// The keys that its producer signs events with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub producer_keys: Vec<ProducerKeyText>,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: u64,
    /// SHA-256 of the secret, in base64url.
    digest: Digest,
}

impl Token {
    /// What is kept of a new token.
    #[must_use]
    pub fn new(text: &TokenText, terms: TokenTerms, created_ms: u64) -> Self {
        let TokenTerms { name, rights, logs: selector, tenants, producer_keys } = terms;
        let digest = Digest(text.digest());
        Self { id: text.id, name, rights, selector, tenants, producer_keys, created_ms, digest }
    }

    /// Whether `text` is this token, compared in constant time.
    #[must_use]
    pub fn is(&self, text: &TokenText) -> bool {
        self.id == text.id && bool::from(self.digest.0.ct_eq(&text.digest()))
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| "a token's digest must be base64url without padding")?;
        bytes.try_into().map(Self).map_err(|_| "a token's digest must be 32 bytes")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        URL_SAFE_NO_PAD.encode(digest.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back_and_its_secret_is_not_in_what_is_kept() {
        let text = TokenText::from_random(std::array::from_fn(|i| i as u8));
        let again = TokenText::parse(&text.reveal()).unwrap();
        let [rights, logs, tenants] = ["read,disclose:internal", "main", "pb,pb.*"];
        let (rights, logs, tenants) = (rights.parse().unwrap(), logs.parse().unwrap(), tenants.parse().unwrap());
        let terms = TokenTerms { name: "laptop".into(), rights, logs, tenants, producer_keys: vec![] };
        let kept = Token::new(&text, terms, 5);
        assert!(kept.is(&again));
        assert_eq!(text.id().to_string(), "000102030405");
        let json = serde_json::to_string(&kept).unwrap();
        assert!(!json.contains(&URL_SAFE_NO_PAD.encode(*text.secret)));
        assert_eq!(serde_json::from_str::<Token>(&json).unwrap(), kept);
    }
}
