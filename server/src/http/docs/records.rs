//! The JSON shapes of audit records, for the document alone.

use serde::Serialize;
use utoipa::ToSchema;

/// Something that was done to an object. Members that are not known are refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordRequest {
    /// A UUID of version 7 or 4; drawn if it is absent.
    id: Option<String>,
    /// When it happened, as in RFC 3339 or in milliseconds since 1970; the server's time if it is absent. At most five
    /// minutes after the server's time.
    time: Option<String>,
    /// The id of the record of the same stream that this one corrects.
    replaces: Option<String>,
    /// `tenant`, `module`, `entity`, `id` and `operation` (`create`, `update`, `delete`, `read` or a word of one's own);
    /// perhaps `row`, `category`, `action`.
    object: serde_json::Value,
    /// `id`; perhaps `type`, `roles`, `on_behalf_of`.
    actor: Option<serde_json::Value>,
    /// The persons that the data is about.
    subjects: Option<Vec<String>>,
    /// Any of `reason`, `purpose`, `transaction`, `correlation`, `stream`, `traceparent`, `tracestate`.
    context: Option<serde_json::Value>,
    /// `whole`: `{old?, new?}`; or `fields`: `{JSON Pointer: {old?, new?}}`. Perhaps `schema`: `{uri, version?}`.
    values: Option<serde_json::Value>,
    /// `default`, `values` by JSON Pointer, `attributes` and `external` by name: `public`, `internal`, `restricted` or
    /// `secret`. What no rule names has the `default`, and without one it is `internal`.
    classification: Option<serde_json::Value>,
    /// Free attributes by name.
    attributes: Option<serde_json::Value>,
    /// Digests of data that is kept elsewhere: `name`, `size`, `sha256`; perhaps `media_type`; `class` goes before the
    /// classification.
    external: Option<Vec<serde_json::Value>>,
    /// What the stream can be searched by, should this be its first record.
    topics: Option<Vec<String>>,
    /// The number that the stream's last record must have; null if there must be none.
    expected_seq: Option<u64>,
    /// The leaf hash that the stream's last record must have, as base64; null if there must be none.
    expected_prev: Option<String>,
}

/// What a request brings.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a shape; requests are read by `cairn_tree::wire::record`")]
pub(crate) enum RecordsRequest {
    /// A record that the server seals.
    Plain(Box<RecordRequest>),
    /// An event that its producer has sealed and signed.
    Signed(SignedRequest),
    /// Several of either form, appended together or not at all.
    Batch(Vec<OneRequest>),
}

/// One of several that a request brings.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes a shape; requests are read by `cairn_tree::wire::record`")]
pub(crate) enum OneRequest {
    /// A record that the server seals.
    Plain(Box<RecordRequest>),
    /// An event that its producer has sealed and signed.
    Signed(SignedRequest),
}

/// An event that its producer has sealed and signed (docs/record.md, How it is brought). The token must have been made with
/// the producer's key. Headers say nothing that the event does not.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedRequest {
    /// The event, as canonical JSON (RFC 8785), byte for byte as it was signed: members in order, no space between.
    event: serde_json::Value,
    /// The Ed25519 signature by the key that the event names, as base64url: over `cairn.record/1`, a newline and the event.
    signature: String,
    /// The texts of all disclosures whose digests the event has, each once.
    disclosures: Vec<String>,
    /// What the stream can be searched by, should this be its first record.
    topics: Option<Vec<String>>,
    /// The number that the stream's last record must have; null if there must be none.
    expected_seq: Option<u64>,
    /// The leaf hash that the stream's last record must have, as base64; null if there must be none.
    expected_prev: Option<String>,
}

/// The answer to records.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordsAppended {
    /// What became of each record, in order.
    records: Vec<RecordReceipt>,
    /// The signed checkpoint's text, which the proofs are for.
    checkpoint: String,
    /// true: an earlier request with the same idempotency key had brought them.
    replayed: Option<bool>,
}

/// Where a record is.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordReceipt {
    /// The record's id.
    id: String,
    /// Its index in the log.
    index: u64,
    /// Its leaf hash, as base64.
    leaf_hash: String,
    /// The id of its stream.
    stream: String,
    /// Its number in the stream.
    seq: u64,
    /// The leaf hash of the record before it in the stream, as base64.
    prev: Option<String>,
    /// When it was sequenced.
    time: String,
    /// true: it was there before, by the same request or as the same event.
    replayed: Option<bool>,
    /// The leaf's bytes, which are text.
    leaf: Option<String>,
    /// The inclusion proof in the checkpoint's tree, as base64 hashes.
    proof: Option<Vec<String>>,
}

/// A record as its reader may see it, with what it is verified by.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordBody {
    /// What it says, for those who verify nothing: as it came in, but that each field of `values`, by JSON Pointer, each
    /// attribute and each external digest has its `class`. What is withheld is `{"withheld": true}`, what is erased
    /// `{"erased": INDEX}`. With `stream`, `seq`, `prev`, `server_time`, `late_seconds` (how long after the producer's time
    /// that is) and `by` (the credential that brought it, by the server's word); `replaces`, the id of the record that this
    /// one corrects; `claimed_key`, the id of the key that it names as its producer's: whether that key signed it is for
    /// the reader to verify, by docs/record.md; in the first record of a stream also `stream_name`, perhaps `topics` and `continues`.
    view: serde_json::Value,
    /// The leaf's bytes, which are text.
    leaf: String,
    /// The disclosures of what is shown.
    disclosures: Vec<String>,
    /// The digests of what is withheld.
    withheld: Option<Vec<String>>,
    /// `log`, `index`, `leaf_hash`, `key_id`, `head` (`size` and `root`), `integrityHash` (log, key, algorithm and leaf
    /// hash), perhaps `proof`.
    integrity: serde_json::Value,
    /// With the proof: `index`, `leaf` and `proof` of the record directly before it in its stream.
    before: Option<serde_json::Value>,
}

/// One record.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordAnswer {
    /// The record.
    record: RecordBody,
    /// The redaction records by which something of it is erased, each with its proof.
    redactions: Option<Vec<RecordBody>>,
    /// The signed checkpoint's text, which the proof is for.
    checkpoint: String,
}

/// A page of records.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordsAnswer {
    /// The id of the stream, if it is the history of one.
    stream: Option<String>,
    /// The records, in the order that the route states. One that can't be verified is not given out: in its place stands
    /// only `problem`, with `type`, `title`, `detail`, `index`, `part` (`disclosure`, `leaf` or `chain`), and of a disclosure
    /// its `digest` and `fault` (`missing`, `changed` or `malformed`). One of a later version is there without disclosures.
    records: Vec<RecordBody>,
    /// The redaction records by which something of these records is erased, each with its proof.
    redactions: Option<Vec<RecordBody>>,
    /// Of a history: from the record at this index on nobody says that none is missing, since the chain is broken there.
    broken_from: Option<u64>,
    /// The signed checkpoint's text, which the proofs are for.
    checkpoint: String,
    /// The size of the log up to which the pages together are complete.
    complete_to: u64,
    /// Of a search: except perhaps the records at these indexes. What they say is damaged, or was when the indexes were
    /// made of it, so that only their ids and streams find them. Absent if there are none.
    except: Option<Vec<u64>>,
    /// The cursor of the next page; absent if there is none.
    next: Option<String>,
}

/// A report: how many records there are of each kind, or which.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReportAnswer {
    /// Whose records.
    tenant: String,
    /// What is counted by.
    by: Option<Vec<String>>,
    /// Each group: what its records have in common (`null` where they say nothing, `{"withheld":true}` or
    /// `{"erased":true}`), `records`, and the server's times `oldest` and `newest`.
    groups: Option<Vec<serde_json::Value>>,
    /// With `show=records`, each record, newest first: `index`, `id`, `seq`, `server_time`, `time`, what it says of object
    /// and actor, `leaf_hash`.
    listed: Option<Vec<serde_json::Value>>,
    /// How many records were counted or listed.
    records: Option<u64>,
    /// How many could not be verified: each stands as `{"problem":{...}}` among the others, and is in no number.
    unverified: Option<u64>,
    /// The size of the log up to which the server says that nothing is left out.
    complete_to: Option<u64>,
    /// Records before that which may be left out all the same, by their indexes; absent if there are none.
    except: Option<Vec<u64>>,
    /// When the head was made that was read.
    as_of: Option<String>,
    /// A signed checkpoint's text, of that size at least.
    checkpoint: Option<String>,
    /// Why the report breaks off.
    problem: Option<serde_json::Value>,
    /// Whether all of it is here.
    complete: bool,
}

/// What the records of a stream make of its objects.
#[derive(Serialize, ToSchema)]
pub(crate) struct StateAnswer {
    /// The stream's id.
    stream: String,
    /// Up to where the records act: `seq`, `time` or `producer_time`, and the `view`.
    at: serde_json::Value,
    /// Each object's, and each row's: `object`, `life` (`live`, `ended` or unknown), `lives` (how many have begun), `last`
    /// (the number of the last record that acted on it), `last_log` (its log, if that is an earlier one), perhaps
    /// `document`, and in `unknown` where that is not known.
    states: Vec<serde_json::Value>,
    /// What does not fit together: `seq`, `index`, `flag` (a word), and what it is about: `pointers` into the document, with
    /// `more` if there are others than these, or `replaces`, the id of a record.
    flags: Vec<serde_json::Value>,
    /// Why nobody knows whether there are other objects.
    others: Option<serde_json::Value>,
    /// A signed checkpoint's text, of a tree that has all of these records.
    checkpoint: String,
    /// The size of the log up to which the stream is complete.
    complete_to: u64,
    /// The parts of the stream in other logs before this one, the nearest first: `log`, `stream`, `seq` and `leaf` of the
    /// last record there, and a `checkpoint` of that log if its records acted. Without one they did not: read them there.
    earlier: Option<Vec<serde_json::Value>>,
}

/// What changed between two points of a stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiffAnswer {
    /// The stream's id.
    stream: String,
    /// The first point.
    from: serde_json::Value,
    /// The second.
    to: serde_json::Value,
    /// Each object that differs: `object`, and `differences` with `pointer`, `old`, `new`, `certain` each; `more` is true if
    /// it differs in more places than are listed.
    objects: Vec<serde_json::Value>,
    /// A signed checkpoint's text, of a tree that has all of these records.
    checkpoint: String,
    /// The size of the log up to which the stream is complete.
    complete_to: u64,
    /// The parts of the stream in other logs before this one, the nearest first: `log`, `stream`, `seq` and `leaf` of the
    /// last record there, and a `checkpoint` of that log if its records acted. Without one they did not: read them there.
    earlier: Option<Vec<serde_json::Value>>,
}
