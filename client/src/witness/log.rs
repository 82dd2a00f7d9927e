//! One log as the witness knows it: its keys, whether it is listed, and the newest head that was cosigned.
//!
//! A record of it is the unit that is written. Removing a log leaves its record, so that nothing that was cosigned is ever
//! forgotten.

use std::sync::{Arc, OnceLock};

use cairn_tree::checkpoint::{
    AvowedCheckpoint, CheckpointError, CheckpointVerifyError, LogKeys, LogKeysError, Origin, SignedCheckpoint,
    Timestamp, TimestampError, VerifiedCheckpoint,
};
use cairn_tree::cosignature::CosignatureError;
use cairn_tree::merkle::Root;
use cairn_tree::note::{NoteError, VerifierKey, VerifierKeyError};
use serde::{Deserialize, Serialize};

use super::fork::Fork;
use super::keys::Cosigners;
use crate::fetch::{LogUrl, LogUrlError};
use crate::monitor::Prefix;

/// One log. Never changed in place: a change is another value.
#[derive(Debug, Clone)]
pub struct Log {
    /// The log's identity.
    pub origin: Origin,
    /// The keys that are trusted for it.
    pub keys: Vec<VerifierKey>,
    /// Where it is, if that was told: proofs are asked for there. Nothing that is cosigned depends on it.
    pub url: Option<LogUrl>,
    /// Whether it is watched. A log that was removed keeps its record.
    pub listed: bool,
    /// The newest head that was cosigned.
    pub last: Option<Arc<Cosigned>>,
    /// What the log has signed against itself. Then nothing is cosigned for it any more, ever.
    pub fork: Option<Arc<Fork>>,
}

/// A head that was cosigned at a time.
#[derive(Debug)]
pub struct Cosigned {
    head: VerifiedCheckpoint,
    time: Timestamp,
    /// The head with the log's lines and ours. It follows from the head, the time and our keys, so it is not written down;
    /// after a start the ML-DSA-44 line, which is made with randomness, is another one for the same head and time.
    shown: OnceLock<Shown>,
}

/// The texts that are given out for a cosigned head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The cosignature lines: the answer to `add-checkpoint`.
    pub lines: Arc<str>,
    /// The whole checkpoint with the log's lines and ours.
    pub checkpoint: Arc<str>,
}

/// Why a head can't be cosigned.
#[derive(Debug, thiserror::Error)]
pub enum CosignError {
    /// A key refuses.
    #[error(transparent)]
    Cosignature(#[from] CosignatureError),
    /// The note gets too long.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Why a record is none that was written here.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is no record.
    #[error("not a record: {0}")]
    Form(#[from] serde_json::Error),
    /// Its origin is none, or its head no checkpoint.
    #[error("the head: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A key is none.
    #[error("a key: {0}")]
    Key(#[from] VerifierKeyError),
    /// The head is not signed by the keys that are said to have signed it.
    #[error("the head: {0}")]
    Head(#[from] CheckpointVerifyError),
    /// The head is another log's.
    #[error("the head is of {0}")]
    OtherLog(Origin),
    /// The time is none.
    #[error("the time: {0}")]
    Time(#[from] TimestampError),
    /// The keys of a fork are not those of one log.
    #[error("the fork: {0}")]
    Keys(#[from] LogKeysError),
    /// Its place is none.
    #[error("the address: {0}")]
    Url(#[from] LogUrlError),
    /// The heads of a fork are not the log's, or don't contradict each other.
    #[error("the fork is none")]
    Fork,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    origin: String,
    listed: bool,
    keys: Vec<String>,
    /// Absent in the records of logs that nobody told the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    head: Option<RecordHead>,
    /// Absent in the records of logs that have signed nothing against themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fork: Option<RecordFork>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordHead {
    note: String,
    /// The keys that signed it: the log's keys may have changed since.
    signers: Vec<String>,
    time: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordFork {
    one: RecordSigned,
    other: RecordSigned,
    /// Absent if both have one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<Prefix>,
    time: u64,
}

/// A head with the keys that signed it: the log's keys may have changed since.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordSigned {
    note: String,
    signers: Vec<String>,
}

impl Log {
    /// A log that was never seen.
    #[must_use]
    pub const fn new(origin: Origin, keys: Vec<VerifierKey>) -> Self {
        Self { origin, keys, url: None, listed: true, last: None, fork: None }
    }

    /// The newest tree that was cosigned.
    #[must_use]
    pub fn tree(&self) -> Option<Root> {
        self.last.as_ref().map(|last| last.head.tree())
    }

    /// The log after its head was cosigned.
    #[must_use]
    pub fn with(&self, cosigned: Arc<Cosigned>) -> Self {
        Self { last: Some(cosigned), ..self.clone() }
    }

    /// No fewer bytes than its record has.
    #[must_use]
    pub fn weight(&self) -> usize {
        // Names and punctuation, and one more byte for each line break of the note.
        const REST: usize = 512;
        let text = |key: &VerifierKey| key.name().as_str().len() + key.public_key().len() * 4 / 3 + 32;
        let keys: usize = self.keys.iter().map(text).sum();
        let head = self
            .last
            .as_ref()
            .map_or(0, |last| last.head.signed().encode().len() + last.head.keys().iter().map(text).sum::<usize>());
        let signed =
            |head: &AvowedCheckpoint| head.signed().encode().len() + head.keys().iter().map(text).sum::<usize>();
        let hashes = |prefix: &Prefix| prefix.consistency.iter().map(|hash| hash.len() + 4).sum::<usize>() + 128;
        let fork = self
            .fork
            .as_ref()
            .map_or(0, |fork| REST + signed(fork.one()) + signed(fork.other()) + fork.prefix().map_or(0, hashes));
        let url = self.url.as_ref().map_or(0, |url| url.to_string().len());
        REST + url + self.origin.as_str().len() + keys + head + fork
    }

    /// The bytes of its record.
    ///
    /// # Errors
    /// [`RecordError::Form`], which no log is known to cause.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let head = self.last.as_ref().map(|last| {
            let RecordSigned { note, signers } = RecordSigned::of(last.head.as_ref());
            RecordHead { note, signers, time: last.time.seconds() }
        });
        let keys = self.keys.iter().map(ToString::to_string).collect();
        let fork = self.fork.as_ref().map(|fork| RecordFork {
            one: RecordSigned::of(fork.one()),
            other: RecordSigned::of(fork.other()),
            prefix: fork.prefix().cloned(),
            time: fork.seconds(),
        });
        let (origin, url) = (self.origin.to_string(), self.url.as_ref().map(ToString::to_string));
        Ok(serde_json::to_vec(&Record { origin, listed: self.listed, keys, url, head, fork })?)
    }

    /// Reads a record, and verifies that the log signed its head.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Record = serde_json::from_slice(bytes)?;
        let origin = Origin::new(record.origin)?;
        let last = record.head.map(|head| Cosigned::decode(head, &origin)).transpose()?;
        let fork = record.fork.map(|fork| fork.decode(&origin)).transpose()?;
        let (last, fork) = (last.map(Arc::new), fork.map(Arc::new));
        let url = record.url.map(|url| LogUrl::parse(&url)).transpose()?;
        Ok(Self { origin, keys: keys(&record.keys)?, url, listed: record.listed, last, fork })
    }
}

impl RecordFork {
    fn decode(&self, origin: &Origin) -> Result<Fork, RecordError> {
        let (one, other) = (self.one.decode(origin)?, self.other.decode(origin)?);
        let fork = match self.prefix.clone() {
            Some(prefix) => Fork::between(one, other, prefix, self.time),
            None => Fork::new(one, other, self.time),
        };
        fork.ok_or(RecordError::Fork)
    }
}

impl RecordSigned {
    fn of(head: &AvowedCheckpoint) -> Self {
        Self { note: head.signed().encode(), signers: head.keys().iter().map(ToString::to_string).collect() }
    }

    fn decode(&self, origin: &Origin) -> Result<AvowedCheckpoint, RecordError> {
        let signed = SignedCheckpoint::parse(self.note.as_bytes())?;
        let head = LogKeys::new(keys(&self.signers)?)?.avowed(&signed).ok_or(RecordError::Fork)?;
        if head.origin() == origin { Ok(head) } else { Err(RecordError::OtherLog(head.origin().clone())) }
    }
}

fn keys(texts: &[String]) -> Result<Vec<VerifierKey>, VerifierKeyError> {
    texts.iter().map(|text| text.parse()).collect()
}

impl Cosigned {
    /// A head that is about to be cosigned at `time`.
    #[must_use]
    pub const fn new(head: VerifiedCheckpoint, time: Timestamp) -> Self {
        Self { head, time, shown: OnceLock::new() }
    }

    /// The head.
    #[must_use]
    pub const fn head(&self) -> &VerifiedCheckpoint {
        &self.head
    }

    /// The time of the cosignatures.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// What is given out for it; made once.
    ///
    /// # Errors
    /// [`CosignError`] if our keys can't sign it.
    pub fn shown(&self, cosigners: &Cosigners) -> Result<Shown, CosignError> {
        if let Some(shown) = self.shown.get() {
            return Ok(shown.clone());
        }
        let mut checkpoint = self.head.signed().clone();
        let mut lines = String::new();
        for line in cosigners.cosign(&self.head, self.time)? {
            lines.push_str(&format!("{line}\n"));
            checkpoint = checkpoint.with_signature(line)?;
        }
        let shown = Shown { lines: lines.into(), checkpoint: checkpoint.encode().into() };
        // Whoever was first has the same, or with a randomized signature as good a one; all get to see the first.
        Ok(self.shown.get_or_init(|| shown).clone())
    }

    fn decode(record: RecordHead, origin: &Origin) -> Result<Self, RecordError> {
        let RecordHead { note, signers, time } = record;
        let head = SignedCheckpoint::parse(note.as_bytes())?.verify(&keys(&signers)?)?;
        if head.origin() != origin {
            return Err(RecordError::OtherLog(head.origin().clone()));
        }
        Ok(Self::new(head, Timestamp::new(time)?))
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::Checkpoint;
    use cairn_tree::hash::Hash;
    use cairn_tree::note::{KeyName, SignatureType, SignerKey};
    use cairn_tree::size::TreeSize;

    use super::*;

    /// A record counts with its signatures and keys: sixteen of the long kind are a hundred times a short head.
    #[test]
    fn a_log_weighs_no_less_than_its_record_and_little_more() {
        let name = KeyName::new("log.example/some/where").unwrap();
        let key = |kind, seed| SignerKey::from_seed(name.clone(), kind, &[seed; 32]).unwrap();
        for long in [0, 1, 15] {
            let mut keys = vec![key(SignatureType::ED25519, 1)];
            keys.extend((0..long).map(|number| key(SignatureType::COSIGNATURE_ML_DSA_44, 10 + number)));
            let trusted: Vec<_> = keys.iter().map(|key| key.verifier_key().clone()).collect();
            let origin = Origin::from(&name);
            let log = Log::new(origin.clone(), trusted.clone());
            let head = Checkpoint::new(origin, TreeSize::new(1_000_000).unwrap(), Hash::leaf(b"any"));
            let time = Timestamp::new(1_700_000_000).unwrap();
            let head = head.sign_all(&keys.iter().collect::<Vec<_>>(), time).unwrap().verify(&trusted).unwrap();
            for log in [log.with(Arc::new(Cosigned::new(head, time))), log] {
                let (record, weight) = (log.encode().unwrap().len(), log.weight());
                assert!((record..record + 1_024).contains(&weight), "{record} bytes weigh {weight}");
            }
        }
    }
}
