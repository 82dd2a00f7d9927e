//! The questions that only a server of Cairn's own answers: appends and proofs, as `cairn_tree::wire` writes them.

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Growth;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::append::{BatchAnswer, Wait};
use cairn_tree::wire::keys::KeysAnswer;
use cairn_tree::wire::read::{ConsistencyAnswer, InclusionAnswer};
use cairn_tree::wire::{media, query};
use serde::de::DeserializeOwned;

use super::error::FetchError;
use super::http::{Answer, Freshness, Request, Upload};
use super::remote::Remote;
use crate::bounds;

/// Which entry a proof is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The entry with this index.
    Index(LeafIndex),
    /// An entry with this leaf hash.
    Leaf(Hash),
}

/// The name of one append: the server answers a retry under the same key with the same indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The answer to a batch that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The answer itself, unverified.
    pub answer: BatchAnswer,
    /// The witnesses were late: the checkpoint is one that only the log has signed.
    pub is_late: bool,
}

impl IdempotencyKey {
    /// A key from 16 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// A key from a moment and random bytes, laid out as a UUID of version 7, so that what is made under it again can have
    /// the same moment.
    #[must_use]
    pub fn drawn(now: Time, random: [u8; 10]) -> Self {
        Self::from_random(*RecordId::v7(now, random).as_bytes())
    }

    /// The moment that the key was drawn at, if it is laid out as a UUID of version 7, with hyphens or without.
    #[must_use]
    pub fn drawn_at(&self) -> Option<Time> {
        let digits: String = self.0.chars().filter(|character| *character != '-').collect();
        let is_hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| is_hex)?;
        let (version, variant) = (bits >> 76 & 0xf, bits >> 62 & 0b11);
        let millis = u64::try_from(bits >> 80).ok().filter(|_| (version, variant) == (7, 0b10))?;
        Time::from_millis(millis).ok()
    }

    /// The key of one of several appends that belong together.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Self {
        Self(format!("{}-{number}", self.0))
    }

    /// A key that the user chose: printable ASCII, at most 128 characters.
    #[must_use]
    pub fn chosen(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }
}

impl core::fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Remote {
    /// Appends a batch of entries in the length-prefixed encoding, and asks for a receipt per entry.
    ///
    /// # Errors
    /// [`FetchError`]. An error never means that nothing was appended; a retry under the same key is exact.
    pub async fn append(&self, batch: Bytes, key: &IdempotencyKey, wait: Wait) -> Result<Taken, FetchError> {
        let answer = self
            .ask(Request {
                path: "entries".to_owned(),
                query: vec![(query::RECEIPTS, "1".to_owned()), (query::WAIT, wait.as_str().to_owned())],
                accept: media::JSON,
                bound: bounds::BATCH_ANSWER_BYTES,
                freshness: Freshness::AnyCache,
                upload: Some(Upload { content_type: media::ENTRIES, body: batch, idempotency_key: key.0.clone() }),
            })
            .await?;
        Ok(Taken { answer: json(&answer)?, is_late: answer.status == 202 })
    }

    /// Asks for an inclusion proof in the newest checkpoint.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn inclusion(&self, wanted: Wanted) -> Result<InclusionAnswer, FetchError> {
        let parameter = match wanted {
            Wanted::Index(index) => (query::INDEX, index.to_string()),
            Wanted::Leaf(hash) => (query::LEAF_HASH, hash.to_string()),
        };
        json(&self.ask_for_proof("proof/inclusion", vec![parameter]).await?)
    }

    /// Asks for a consistency proof.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn consistency(&self, growth: Growth) -> Result<ConsistencyAnswer, FetchError> {
        let sizes = vec![(query::FROM, growth.from.to_string()), (query::TO, growth.to.to_string())];
        json(&self.ask_for_proof("proof/consistency", sizes).await?)
    }

    /// Asks for the log's keys, and what it says about them.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn keys(&self) -> Result<KeysAnswer, FetchError> {
        let request = Request {
            path: "keys".to_owned(),
            query: Vec::new(),
            accept: media::JSON,
            bound: bounds::KEYS_BYTES,
            freshness: Freshness::PastCaches,
            upload: None,
        };
        json(&self.ask(request).await?)
    }

    async fn ask_for_proof(&self, path: &str, query: Vec<(&'static str, String)>) -> Result<Answer, FetchError> {
        self.ask(Request {
            path: path.to_owned(),
            query,
            accept: media::JSON,
            bound: bounds::PROOF_BYTES,
            freshness: Freshness::AnyCache,
            upload: None,
        })
        .await
    }
}

fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, FetchError> {
    serde_json::from_slice(&answer.body).map_err(|error| answer.malformed(error))
}
