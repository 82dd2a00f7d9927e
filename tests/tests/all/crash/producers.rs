//! Producers: they append, verify what they get for it, and ask again with the same key when the server went away.

use std::collections::VecDeque;
use std::sync::Arc;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::random::Random;
use cairn_tree::hash::Hash;
use cairn_tree::receipt::Receipt;
use cairn_tree::tile::Entries;
use cairn_tree::wire::append::{BatchAnswer, BatchRequest, ReceiptJson};
use cairn_tree::wire::json::Bytes;
use cairn_tree::wire::{header, media};

use super::load::{Log, Stage};

/// How a producer appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One entry, for its receipt as JSON.
    Json,
    /// One entry, for its receipt as text.
    Proof,
    /// One entry, for its index alone.
    Add,
    /// A batch of length-prefixed entries, for a receipt of each.
    Batch,
    /// A batch as JSON, for its place alone.
    JsonBatch,
}

/// What a producer does when an append ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Asks again with the same idempotency key until there is an answer.
    Retry,
    /// Never asks again: the entries may be there or not, but only all of them, and only once.
    Abandon,
}

pub(crate) struct Producer {
    pub(crate) stage: Arc<Stage>,
    pub(crate) log: usize,
    pub(crate) number: usize,
    pub(crate) way: Way,
    pub(crate) then: Then,
    pub(crate) random: Random,
}

/// What a producer did.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Every entry that was ever sent, in its batch, with whether it was acknowledged.
    pub(crate) batches: Vec<(Vec<Vec<u8>>, bool)>,
    /// Batches that were sent again after no answer came.
    pub(crate) retried: usize,
    /// Batches that were sent again although they had been acknowledged.
    pub(crate) repeated: usize,
    /// Whether the end came while an answer was still to be had.
    pub(crate) unanswered: bool,
}

/// An append that is or was under way.
#[derive(Clone)]
struct Pending {
    entries: Vec<Vec<u8>>,
    key: Option<String>,
    /// Where the entries are, once that is known.
    indexes: Option<Vec<u64>>,
}

/// Acknowledged batches that are remembered for asking again.
const REMEMBERED: usize = 64;
/// The contents that producers of a log without duplicates choose from.
const CONTENTS: usize = 4_000;

impl Producer {
    /// Appends until the end, and then until nothing is pending.
    pub(crate) fn run(mut self) -> Story {
        let mut story = Story::default();
        let mut acknowledged: VecDeque<Pending> = VecDeque::new();
        let mut pending: Option<Pending> = None;
        let mut sent = 0;
        while let Some(address) = self.stage.address() {
            let Ok(mut connection) = Connection::open(address) else {
                self.stage.wait_while_up(address, RECONNECT);
                continue;
            };
            while connection.is_reusable() {
                if pending.is_none() && self.stage.is_ended() {
                    return story;
                }
                let mut append = match pending.take() {
                    Some(append) => append,
                    // Now and then something that has an answer already.
                    None if !acknowledged.is_empty() && self.random.one_in(20) => {
                        story.repeated += 1;
                        acknowledged[self.random.below(acknowledged.len())].clone()
                    }
                    None => {
                        sent += 1;
                        self.next(sent)
                    }
                };
                let answer = self.stage.append(&mut connection, &self.request(&append));
                let log = &self.stage.logs[self.log];
                match answer {
                    Ok(answer) if answer.status == 200 => {
                        let known = append.indexes.is_some();
                        self.way.learn(log, &mut append, &answer);
                        if !known {
                            story.batches.push((append.entries.clone(), true));
                        }
                        if append.key.is_some() && !known {
                            acknowledged.push_back(append);
                            while acknowledged.len() > REMEMBERED {
                                acknowledged.pop_front();
                            }
                        }
                        self.stage.ack();
                    }
                    // Full, or stopping: nothing is known of the append.
                    Ok(answer) if answer.status == 503 => pending = self.broken(append, &mut story),
                    Ok(answer) => {
                        panic!("log {}: an append is answered {}: {}", log.name, answer.status, answer.text())
                    }
                    Err(_) => pending = self.broken(append, &mut story),
                }
            }
            if pending.is_none() && self.stage.is_ended() {
                return story;
            }
        }
        story.unanswered = pending.is_some();
        story
    }

    fn broken(&self, append: Pending, story: &mut Story) -> Option<Pending> {
        if append.key.is_none() {
            story.batches.push((append.entries, false));
            return None;
        }
        story.retried += 1;
        Some(append)
    }

    fn next(&mut self, sent: usize) -> Pending {
        let count = match self.way {
            Way::Json | Way::Proof | Way::Add => 1,
            Way::Batch | Way::JsonBatch => 1 + self.random.below(40),
        };
        let entries = (0..count).map(|position| self.entry(sent, position)).collect();
        let key = (self.then == Then::Retry).then(|| format!("producer-{}-{sent}", self.number));
        Pending { entries, key, indexes: None }
    }

    /// An entry that nobody else writes, or one of few in a log where equal ones are one.
    fn entry(&mut self, sent: usize, position: usize) -> Vec<u8> {
        let mut entry = if self.stage.logs[self.log].dedup {
            format!("content {}", self.random.below(CONTENTS))
        } else {
            format!("producer {} entry {sent} {position}", self.number)
        };
        // Lengths follow from the text, so that equal ones stay equal.
        let length = 20 + Hash::leaf(entry.as_bytes()).as_bytes()[0] as usize;
        while entry.len() < length {
            entry.push('.');
        }
        entry.into_bytes()
    }

    fn request(&self, append: &Pending) -> Request {
        let log = &self.stage.logs[self.log];
        let base = format!("/logs/{}", log.name);
        let encode = |entries: &[Vec<u8>]| {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| Entries::encode(entry, &mut bytes).unwrap());
            bytes
        };
        let mut request = match self.way {
            Way::Add => Request::post(format!("{base}/add"), append.entries[0].clone()),
            Way::Json => Request::post(format!("{base}/entries"), append.entries[0].clone()),
            Way::Proof => {
                Request::post(format!("{base}/entries"), append.entries[0].clone()).with("accept", "text/plain")
            }
            Way::Batch => Request::post(format!("{base}/entries?receipts=1"), encode(&append.entries))
                .with("content-type", media::ENTRIES),
            Way::JsonBatch => {
                let batch = BatchRequest { entries: append.entries.iter().cloned().map(Bytes).collect() };
                Request::post(format!("{base}/entries"), serde_json::to_vec(&batch).unwrap())
                    .with("content-type", media::JSON)
            }
        };
        if let Some(token) = &log.token {
            request = request.with("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = &append.key {
            request = request.with(header::IDEMPOTENCY_KEY, key.clone());
        }
        request
    }
}

/// How long a producer waits before it connects again to a server that refused it.
const RECONNECT: std::time::Duration = std::time::Duration::from_millis(5);

impl Way {
    /// Verifies an answer, and compares it with an earlier one to the same append.
    fn learn(self, log: &Log, append: &mut Pending, answer: &Response) {
        let indexes = match self {
            Self::Json => {
                let json: ReceiptJson = serde_json::from_slice(&answer.body).expect("a receipt as JSON");
                learn_receipt(log, &append.entries[0], &json.into_receipt().expect("a receipt"))
            }
            Self::Proof => learn_receipt(log, &append.entries[0], &Receipt::parse(&answer.body).expect("a receipt")),
            Self::Add => {
                let index: u64 = answer.text().parse().expect("an index");
                log.learn(|oracle| oracle.see_entry(index, &append.entries[0]));
                vec![index]
            }
            Self::Batch | Self::JsonBatch => self.learn_batch(log, append, answer),
        };
        let before = append.indexes.replace(indexes.clone());
        assert!(before.is_none_or(|before| before == indexes), "log {}: a retry got other indexes", log.name);
    }

    fn learn_batch(self, log: &Log, append: &Pending, answer: &Response) -> Vec<u64> {
        let batch: BatchAnswer = serde_json::from_slice(&answer.body).expect("an answer to a batch");
        assert_eq!(batch.count(), append.entries.len() as u64);
        log.learn(|oracle| oracle.see_checkpoint(batch.checkpoint()));
        if self == Self::Batch {
            assert_eq!(batch.receipts().count(), append.entries.len(), "a receipt for each entry");
            for (entry, receipt) in append.entries.iter().zip(batch.receipts()) {
                learn_receipt(log, entry, &receipt);
            }
        }
        let indexes: Vec<u64> = batch.indexes().map(cairn_tree::size::LeafIndex::get).collect();
        for (entry, index) in append.entries.iter().zip(&indexes) {
            log.learn(|oracle| oracle.see_entry(*index, entry));
        }
        indexes
    }
}

fn learn_receipt(log: &Log, entry: &[u8], receipt: &Receipt) -> Vec<u64> {
    log.learn(|oracle| oracle.see_receipt(entry, receipt));
    vec![receipt.index().get()]
}
