//! What servers, clients and witnesses say to each other: the bodies, names and media types of the HTTP interfaces.
//!
//! [`append`] and [`read`] are the HTTP interface of one log, [`problem`] its errors, [`witness`] the C2SP tlog-witness
//! protocol, [`signer`] what a server and the process beside it that has its keys say to each other, [`record`] the forms
//! that audit records come in, [`v1`] what is answered about them. Nothing here speaks HTTP; nothing that is parsed here is verified. [`json`] holds the JSON
//! forms that they share.

pub mod append;
pub mod json;
pub mod keys;
pub mod problem;
pub mod read;
pub mod record;
pub mod signer;
pub mod v1;
pub mod witness;

/// Media types.
pub mod media {
    /// Raw entry bytes, and tiles.
    pub const OCTETS: &str = "application/octet-stream";
    /// Entries in the length-prefixed encoding of a C2SP entry bundle, any number of them.
    pub const ENTRIES: &str = "application/vnd.cairn.entries";
    /// JSON bodies.
    pub const JSON: &str = "application/json";
    /// Problems (RFC 9457).
    pub const PROBLEM: &str = "application/problem+json";
    /// Comma-separated values (RFC 4180), with a header.
    pub const CSV: &str = "text/csv; charset=utf-8; header=present";
    /// A JSON value per line.
    pub const NDJSON: &str = "application/x-ndjson";
    /// A CloudEvent in the JSON format, structured.
    pub const CLOUD_EVENT: &str = "application/cloudevents+json";
    /// An array of them.
    pub const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";
    /// Checkpoints and receipts.
    pub const TEXT: &str = "text/plain; charset=utf-8";
    /// Server-sent events.
    pub const EVENTS: &str = "text/event-stream";
    /// The size that a witness answers with 409 (C2SP tlog-witness, add-checkpoint).
    pub const TLOG_SIZE: &str = "text/x.tlog.size";
}

/// Names of request headers, in lower case.
pub mod header {
    /// The key that makes retries exact (IETF httpapi, idempotency-key-header).
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
    /// Read as [`IDEMPOTENCY_KEY`].
    pub const X_IDEMPOTENCY_KEY: &str = "x-idempotency-key";
    /// The tenant whose records a request is about.
    pub const X_TENANT_ID: &str = "x-tenant-id";
    /// The purpose that records were made for.
    pub const X_PURPOSE: &str = "x-purpose";
    /// The person who reads, where a service asks on its behalf.
    pub const X_ACTOR: &str = "x-actor";
    /// The trace that records belong to, in the words of those who have no trace context.
    pub const X_TRACE_ID: &str = "x-trace-id";
    /// The trace that records belong to (W3C trace context).
    pub const TRACEPARENT: &str = "traceparent";
    /// What goes with it.
    pub const TRACESTATE: &str = "tracestate";
    /// The id of the last event that a client of the event stream saw.
    pub const LAST_EVENT_ID: &str = "last-event-id";
}

/// Names of query parameters.
pub mod query {
    /// When an append is answered: see [`super::append::Wait`].
    pub const WAIT: &str = "wait";
    /// `1`: a batch is answered with a proof for each entry.
    pub const RECEIPTS: &str = "receipts";
    /// The first index of a range of entries.
    pub const START: &str = "start";
    /// The index after the last of a range of entries.
    pub const END: &str = "end";
    /// The index of a leaf.
    pub const INDEX: &str = "index";
    /// The hash of a leaf: see [`super::json::leaf_hash_from_query`].
    pub const LEAF_HASH: &str = "leaf_hash";
    /// The size of the tree that an inclusion proof is for.
    pub const SIZE: &str = "size";
    /// The older size of a consistency proof.
    pub const FROM: &str = "from";
    /// The newer size of a consistency proof.
    pub const TO: &str = "to";
}
