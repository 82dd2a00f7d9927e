//! What is derived from a log's secret: keyed hashes (HMAC-SHA-256, RFC 2104), each purpose under a label of its own.
//!
//! Whoever has no key learns nothing from any of them about what was hashed. Not here: where the secret is kept.

use cairn_tree::record::disclosure::Salt;
use cairn_tree::record::id::Pseudonym;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::auth::TokenId;

/// The block of SHA-256, to which HMAC fills up its key with zeros.
const BLOCK: usize = 64;

/// The secret of a database or of a log, as far as records go.
pub struct Secret(Zeroizing<[u8; BLOCK]>);

/// What a keyed hash is for. Each label ends with a newline, so that none is the beginning of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Log,
    By,
    Body,
    Cursor,
    Delivery,
    Server,
    Once,
    NameSalt,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Log => b"cairn.record/1 log\n",
            Self::By => b"cairn.record/1 by\n",
            Self::Body => b"cairn.record/1 body\n",
            Self::Cursor => b"cairn.record/1 cursor\n",
            Self::Delivery => b"cairn.record/1 delivery\n",
            Self::Server => b"cairn.record/1 server\n",
            Self::Once => b"cairn.record/1 once\n",
            Self::NameSalt => b"cairn.record/1 name salt\n",
        }
    }
}

impl Secret {
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// Wraps secret bytes.
    #[must_use]
    pub fn new(bytes: &[u8; Self::LEN]) -> Self {
        let mut block = Zeroizing::new([0; BLOCK]);
        block.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        Self(block)
    }

    /// The secret of the log with this origin, of the secret of its database.
    #[must_use]
    pub fn of_log(&self, origin: &str) -> Self {
        Self::new(&Zeroizing::new(self.hash(Purpose::Log, &[origin.as_bytes()])))
    }

    /// What stands for a token in the leaves of the records that it brought: the same for all of them, and another one in
    /// each log. An operator who has the secret finds the token by trying all.
    #[must_use]
    pub fn pseudonym(&self, token: TokenId) -> Pseudonym {
        Pseudonym::new(beginning(&self.hash(Purpose::By, &[token.as_bytes()])))
    }

    /// What stands for the server itself in the leaves of its own records: no token's, and another one in each log.
    #[must_use]
    pub fn server(&self) -> Pseudonym {
        Pseudonym::new(beginning(&self.hash(Purpose::Server, &[])))
    }

    /// Bits for the id of a record of the server's own that is written once.
    #[must_use]
    pub fn once(&self, parts: &[&[u8]]) -> [u8; 16] {
        beginning(&self.hash(Purpose::Once, parts))
    }

    /// The salt of a stream's name that must be known before the stream begins: nobody else can tell it, and no other stream
    /// of the log has it.
    #[must_use]
    pub fn name_salt(&self, parts: &[&[u8]]) -> Salt {
        Salt::new(beginning(&self.hash(Purpose::NameSalt, parts)))
    }

    /// What an idempotency key is bound to: the request that it came with.
    #[must_use]
    pub fn body(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.hash(Purpose::Body, parts)
    }

    /// What keeps a cursor with the query that it continues.
    #[must_use]
    pub fn cursor(&self, parts: &[&[u8]]) -> [u8; 16] {
        beginning(&self.hash(Purpose::Cursor, parts))
    }

    /// Bits for the id of a record that is known by where it comes from and its id there.
    #[must_use]
    pub fn delivery(&self, parts: &[&[u8]]) -> [u8; 16] {
        beginning(&self.hash(Purpose::Delivery, parts))
    }

    fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new((&*self.0).into());
        mac.update(purpose.label());
        for part in parts {
            // With its length, so that no two lists of parts are the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

fn beginning(hash: &[u8; 32]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str) -> TokenId {
        id.parse().unwrap()
    }

    #[test]
    fn a_pseudonym_is_stable_and_another_one_in_each_log_and_for_each_token() {
        let (one, other) = (Secret::new(&[1; 32]), Secret::new(&[2; 32]));
        let (a, b) = (token("00000000000a"), token("00000000000b"));
        assert_eq!(one.pseudonym(a), Secret::new(&[1; 32]).pseudonym(a));
        assert_ne!(one.pseudonym(a), one.pseudonym(b));
        assert_ne!(one.pseudonym(a), other.pseudonym(a));
        assert_eq!(one.server(), Secret::new(&[1; 32]).server());
        assert_ne!(one.server(), other.server());
    }

    /// HMAC of the label, the id's length in eight bytes, and the id, as Python's standard library has it.
    #[test]
    fn a_pseudonym_is_what_the_page_says() {
        let secret: [u8; 32] = std::array::from_fn(|at| at as u8);
        assert_eq!(Secret::new(&secret).pseudonym(token("000102030405")).to_string(), "_HWrsuik-RBwDtM4sjpVDA");
    }

    #[test]
    fn purposes_and_parts_are_kept_apart() {
        let secret = Secret::new(&[7; 32]);
        assert_ne!(secret.cursor(&[b"ab", b"c"]), secret.cursor(&[b"a", b"bc"]));
        assert_ne!(secret.cursor(&[b"abc"]), secret.delivery(&[b"abc"]));
        assert_ne!(secret.body(&[]), secret.body(&[b""]));
    }
}
