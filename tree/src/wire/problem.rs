//! Errors over HTTP: `application/problem+json` (RFC 9457), and the one table of what can go wrong.
//!
//! A problem names the field, repeats the offending value and tells the bound. Programs branch on its `type`, which is
//! stable, not on its words.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What every problem's `type` begins with.
const TYPE_PREFIX: &str = "urn:cairn:problem:";

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal, $slug:literal, $title:literal;)+) => {
        /// The kinds of problems.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemKind { $($(#[doc = $doc])+ $name,)+ }

        impl ProblemKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// The `type`, a URI.
            #[must_use]
            pub const fn uri(self) -> &'static str {
                match self { $(Self::$name => concat!("urn:cairn:problem:", $slug),)+ }
            }

            /// The title: the same words for each problem of this kind.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

kinds! {
    /// A parameter, header or body that cannot be read.
    Malformed = 400, "malformed", "The request can't be understood";
    /// An index or a size that the log does not have yet.
    OutOfRange = 400, "out-of-range", "The number is out of range";
    /// No or no good token.
    Unauthorized = 401, "unauthorized", "A token is needed";
    /// A good token without the right.
    Forbidden = 403, "forbidden", "The token does not allow this";
    /// The log takes no more entries.
    Sealed = 410, "log-sealed", "The log is sealed";
    /// No such thing, or none that the caller may know of.
    NotFound = 404, "not-found", "There is nothing here";
    /// The route knows other methods only.
    MethodNotAllowed = 405, "method-not-allowed", "The method is not allowed here";
    /// No representation that the caller accepts.
    NotAcceptable = 406, "not-acceptable", "There is no representation of the accepted types";
    /// The body came in too slowly.
    Timeout = 408, "timeout", "The request took too long to come in";
    /// A body, a batch or an entry past its bound.
    TooLarge = 413, "too-large", "The request is too large";
    /// A target past its bound.
    TargetTooLong = 414, "target-too-long", "The request target is too long";
    /// A body of a type, or in an encoding, that is not read here.
    UnsupportedType = 415, "unsupported-type", "The body's type is not supported here";
    /// The key was used for other entries.
    KeyReused = 422, "idempotency-key-reused", "The idempotency key belongs to other entries";
    /// A record that can be read and breaks a rule.
    InvalidRecord = 422, "invalid-record", "A record breaks a rule";
    /// A header and the body say different things.
    Contradiction = 400, "contradiction", "The headers and the body contradict each other";
    /// The stream's head is not the one that the record must come after.
    StreamConflict = 409, "stream-conflict", "The stream has another head";
    /// The operation does not fit the state of its object, and its module is strict.
    StateConflict = 409, "state-conflict", "The record does not fit the state of its object";
    /// The old values are not those that are recorded, and its module asks for that.
    OldDiffers = 409, "old-differs", "The old values are not those that are recorded";
    /// The id is another record's, for ever.
    RecordExists = 409, "record-exists", "The id belongs to another record";
    /// The leaf would read as a record that the server did not make.
    ReservedPrefix = 422, "reserved-prefix", "The entry's first bytes are reserved";
    /// More requests than this caller may make.
    RateLimited = 429, "rate-limited", "There are too many requests";
    /// Header fields past their bound.
    HeadersTooLarge = 431, "headers-too-large", "The request's header fields are too large";
    /// Not the caller's fault.
    Internal = 500, "internal", "The server failed";
    /// What is stored there is not what was signed; nothing of it is given out.
    Damaged = 500, "damaged", "What is stored here is damaged";
    /// What is stored of a record is not what its leaf says; nothing of it is given out.
    Integrity = 500, "integrity", "What is stored of a record can't be verified";
    /// More than can be taken in now.
    Busy = 503, "busy", "The server has all the work it can hold";
    /// The log takes no entries until an operator looked at it.
    Halted = 503, "log-halted", "The log is halted";
    /// The log takes no entries until its witnesses agreed that it goes on from where it was, or its operator said which of
    /// them it has; or it publishes no checkpoint until then.
    Held = 503, "log-held", "The log is held: it takes no appends for now";
    /// Reads are put on record before they are answered, and this one can't be.
    Unrecorded = 503, "read-unrecorded", "The read can't be put on record";
    /// The process is about to end.
    Stopping = 503, "stopping", "The server is stopping";
    /// Too little free space.
    DiskReserve = 507, "disk-reserve", "The server's disk is nearly full";
}

impl ProblemKind {
    /// Reads a problem's `type`.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.uri() == uri)
    }

    /// The last part of the `type`, for metrics and logs.
    #[must_use]
    pub fn slug(self) -> &'static str {
        self.uri().strip_prefix(TYPE_PREFIX).unwrap_or_default()
    }
}

/// A problem document. What follows `detail` are extensions (RFC 9457, section 3.2).
///
/// A reader meets documents of other servers and proxies too: whatever they lack is empty, and what is not known is
/// ignored. The words are the sender's; show them with care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem it is.
    #[serde(rename = "type", default = "blank")]
    pub uri: Cow<'static, str>,
    /// The kind in words.
    #[serde(default)]
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What happened this time.
    #[serde(default)]
    pub detail: String,
    /// The parameter, header or member that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// The offending value, cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The bound that the value breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// What is wrong in a JSON body, as a JSON Pointer (RFC 6901); in a batch it begins with the number of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The head that a stream has in place of the one that was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_head: Option<ActualHead>,
    /// Where old values are not those that are recorded, as JSON Pointers into the object's document: the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Whether there are more of them.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub more_paths: bool,
}

/// The head of a stream, to one whose expectation it does not meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActualHead {
    /// The number of the last record; null if the stream has none.
    pub seq: Option<u64>,
    /// Its leaf hash, as base64.
    pub leaf_hash: Option<String>,
}

/// The type of a problem that says none (RFC 9457, section 4.2.1).
fn blank() -> Cow<'static, str> {
    Cow::Borrowed("about:blank")
}

impl Problem {
    /// How many bytes of an offending value are repeated.
    pub const MAX_VALUE_BYTES: usize = 128;

    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            uri: kind.uri().into(),
            title: kind.title().into(),
            status: kind.status(),
            detail: detail.into(),
            field: None,
            value: None,
            bound: None,
            pointer: None,
            stream_head: None,
            paths: Vec::new(),
            more_paths: false,
        }
    }

    /// The kind, if it is one of ours.
    #[must_use]
    pub fn kind(&self) -> Option<ProblemKind> {
        ProblemKind::from_uri(&self.uri)
    }

    /// Names the parameter, header or member that is wrong.
    #[must_use]
    pub fn with_field(mut self, field: &'static str) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Repeats the offending value, cut to [`Problem::MAX_VALUE_BYTES`] between characters.
    #[must_use]
    pub fn with_value(mut self, value: &str) -> Self {
        let end = (0..=Self::MAX_VALUE_BYTES).rev().find(|&end| value.is_char_boundary(end)).unwrap_or(0);
        self.value = value.get(..end).map(str::to_owned);
        self
    }

    /// Names the place in a JSON body.
    #[must_use]
    pub fn with_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Tells the head that a stream has.
    #[must_use]
    pub fn with_stream_head(mut self, head: ActualHead) -> Self {
        self.stream_head = Some(head);
        self
    }

    /// Tells where old values are not those that are recorded, and whether they are not elsewhere too.
    #[must_use]
    pub fn with_paths(mut self, paths: Vec<String>, more: bool) -> Self {
        (self.paths, self.more_paths) = (paths, more);
        self
    }

    /// Tells the bound.
    #[must_use]
    pub fn with_bound(mut self, bound: impl Into<String>) -> Self {
        self.bound = Some(bound.into());
        self
    }
}
