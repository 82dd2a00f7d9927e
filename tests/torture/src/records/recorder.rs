//! What brings records: alone and in batches, under idempotency keys and under ids of their own, expecting the head of a
//! stream that nobody else writes to, and that of one that others write to as well.

use std::collections::HashMap;

use cairn_tests::http::Request;
use cairn_tests::random::Random;
use cairn_tree::wire::{header, media};
use serde_json::{Value, json};

/// Objects that all clients of a tenant write about.
const SHARED: usize = 3;
/// Most records in a batch.
const BATCH: usize = 6;
/// Most characters of a value.
const VALUE: usize = 300;

/// How records are brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One, under an idempotency key; the server draws its id.
    Keyed,
    /// Several of several streams, under their ids, or under a key.
    Batch,
    /// One under its id, for the head of its stream that it expects.
    Expecting,
}

/// A record that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct AskedRecord {
    /// The path of its stream below `/v1/streams/`.
    pub(crate) stream: String,
    /// Its id, unless the server draws it.
    pub(crate) id: Option<String>,
    /// The transaction that it names: no other record does.
    pub(crate) transaction: String,
    pub(crate) object: String,
    pub(crate) actor: String,
}

/// Records that are asked for together.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    key: Option<String>,
    body: String,
    pub(crate) records: Vec<AskedRecord>,
    /// Whether others may have been faster.
    contended: bool,
}

/// Thinks of records.
#[derive(Debug)]
pub(crate) struct Recorder {
    number: usize,
    tenant: String,
    way: Way,
    random: Random,
    sent: u64,
    /// The next number of each stream whose head it expects.
    next: HashMap<String, Option<u64>>,
}

impl Asked {
    /// Without the token.
    pub(crate) fn request(&self) -> Request {
        let request = Request::post("/v1/records", self.body.clone()).with("content-type", media::JSON);
        match &self.key {
            Some(key) => request.with(header::IDEMPOTENCY_KEY, key.clone()),
            None => request,
        }
    }
}

impl Recorder {
    pub(crate) fn new(number: usize, tenant: &str, way: Way, random: Random) -> Self {
        Self { number, tenant: tenant.to_owned(), way, random, sent: 0, next: HashMap::new() }
    }

    /// The next records.
    pub(crate) fn next(&mut self) -> Asked {
        self.sent += 1;
        let count = if self.way == Way::Batch { 1 + self.random.below(BATCH) } else { 1 };
        let has_ids = match self.way {
            Way::Keyed => false,
            Way::Batch => self.random.one_in(2),
            Way::Expecting => true,
        };
        let contended = self.way == Way::Expecting && self.random.one_in(3);
        let (records, values): (Vec<_>, Vec<_>) =
            (0..count).map(|position| self.record(position, has_ids, contended)).unzip();
        let key = (!has_ids).then(|| format!("recorder-{}-{}", self.number, self.sent));
        Asked { key, body: Value::Array(values).to_string(), records, contended }
    }

    /// Whether an answer of 409 may be: then the head that it tells is expected the next time.
    pub(crate) fn conflict(&mut self, asked: &Asked, body: &[u8]) -> bool {
        let told: Option<Value> = serde_json::from_slice(body).ok();
        let head = told.as_ref().and_then(|told| told.get("stream_head"));
        let (true, Some(head), Some(record)) = (asked.contended, head, asked.records.first()) else { return false };
        let seq = head.get("seq").and_then(Value::as_u64);
        self.next.insert(record.stream.clone(), seq);
        true
    }

    fn record(&mut self, position: usize, has_ids: bool, contended: bool) -> (AskedRecord, Value) {
        let (tenant, actor) = (self.tenant.clone(), format!("recorder-{}", self.number));
        let own = self.way == Way::Expecting && !contended;
        let object = if own { actor.clone() } else { format!("shared-{}", self.random.below(SHARED)) };
        let named = self.way != Way::Expecting && self.random.one_in(4);
        let stream = match named {
            true => format!("named/{tenant}/channel"),
            false => format!("entity/{tenant}/torture/thing/{object}"),
        };
        let transaction = format!("{actor}-{}-{position}", self.sent);
        let text = "v".repeat(self.random.below(VALUE));
        let mut value = json!({
            "object": {"tenant": tenant, "module": "torture", "entity": "thing", "id": object, "operation": "note"},
            "actor": {"id": actor},
            "subjects": [format!("person:{}", self.random.below(9))],
            "context": {"transaction": transaction, "correlation": format!("{actor}-{}", self.sent)},
            "values": {"whole": {"new": {"text": text, "number": self.sent, "secret": "s"}}},
            "classification": {"values": {"/secret": "secret"}},
        });
        let mut put = |place: &str, member: Value| {
            if let Some(slot) = value.pointer_mut(place).and_then(Value::as_object_mut) {
                slot.insert(if place.is_empty() { "id" } else { "stream" }.to_owned(), member);
            }
        };
        let low = (self.number as u64) << 40 | self.sent << 8 | position as u64;
        let id = has_ids.then(|| format!("01939f5a-7c00-7a3b-8c4d-{low:012x}"));
        if let Some(id) = &id {
            put("", id.as_str().into());
        }
        if named {
            put("/context", "channel".into());
        }
        if let (Way::Expecting, Some(members)) = (self.way, value.as_object_mut()) {
            let next = self.next.entry(stream.clone()).or_insert(None);
            members.insert("expected_seq".to_owned(), next.map_or(Value::Null, Value::from));
            // Right if it is taken; a conflict says better.
            *next = Some(next.map_or(0, |seq| seq + 1));
        }
        (AskedRecord { stream, id, transaction, object, actor }, value)
    }
}
