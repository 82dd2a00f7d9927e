//! The bounds of a record: every length, count and depth that the format or its readers enforce, in one table.
//!
//! Part of the format (`docs/record.md`): a record past them is not accepted, so that readers can rely on them too.

/// The most bytes of a leaf. The parts that vary are the log's origin and nothing else.
pub const MAX_LEAF_BYTES: usize = 4 * 1024;
/// The most bytes of a record's input: one record in the native form, or one event of another.
pub const MAX_INPUT_BYTES: usize = 1024 * 1024;
/// The most bytes of a request's body with any number of records.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// The most records in one request.
pub const MAX_BATCH: usize = 10_000;

/// The most bytes of one disclosure's text.
pub const MAX_DISCLOSURE_BYTES: usize = 1024 * 1024;
/// The most disclosures of one record.
pub const MAX_DISCLOSURES: usize = 4 * 1024;
/// The most bytes of all disclosures of one record.
pub const MAX_DISCLOSED_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of the disclosures of an event, with the tilde after each: room is left for those of the stream's name,
/// topics and continuation, so that any event can be the first of a stream.
pub const MAX_EVENT_DISCLOSED_BYTES: usize = MAX_DISCLOSED_BYTES - 64 * 1024;

/// How deep arrays and objects may nest in any JSON that is read here.
pub const MAX_DEPTH: usize = 64;
/// How deep they may nest in a value, of a field or of an attribute: its disclosure has an array and an object around it.
/// The tokens of a field's pointer count as levels of its value, so that no state nests deeper either.
pub const MAX_VALUE_DEPTH: usize = MAX_DEPTH - 2;
/// The most characters of a number.
pub const MAX_NUMBER_BYTES: usize = 128;
/// The most digits of a number's exponent, zeros in front not counted: so that exponents are machine integers everywhere.
pub const MAX_EXPONENT_DIGITS: usize = 9;
/// The most bytes of a value: of a field, or of an attribute.
pub const MAX_VALUE_BYTES: usize = 256 * 1024;
/// The most fields of the values of one record.
pub const MAX_FIELDS: usize = 2 * 1024;
/// The most rules that classify the fields of one record.
pub const MAX_RULES: usize = 256;
/// The most attributes of one record.
pub const MAX_ATTRIBUTES: usize = 256;
/// The most digests of external data in one record.
pub const MAX_EXTERNAL: usize = 256;
/// The most bytes of a JSON Pointer.
pub const MAX_POINTER_BYTES: usize = 1024;
/// The most reference tokens of the pointer to a field.
pub const MAX_TOKENS: usize = MAX_VALUE_DEPTH;

/// The most bytes of a name or an id: tenant, module, entity, object, action, actor, data subject, transaction, topic.
pub const MAX_NAME_BYTES: usize = 256;
/// The most bytes of an operation.
pub const MAX_OPERATION_BYTES: usize = 64;
/// The most bytes of prose: reason and purpose.
pub const MAX_PROSE_BYTES: usize = 4 * 1024;
/// The most bytes of a URI.
pub const MAX_URI_BYTES: usize = 2 * 1024;
/// The most bytes of a `tracestate` (W3C trace context, section 3.3.1.5, asks that at least so many are passed on).
pub const MAX_TRACESTATE_BYTES: usize = 512;
/// The most roles of an actor.
pub const MAX_ROLES: usize = 64;
/// How long a chain of "on behalf of" may be.
pub const MAX_ON_BEHALF: usize = 4;
/// The most data subjects of a record.
pub const MAX_SUBJECTS: usize = 256;
/// The most topics of a stream.
pub const MAX_TOPICS: usize = 64;
/// The most digests that one redaction record names.
pub const MAX_REDACTED: usize = 1024;

/// The most differences between states, or between old values and a state, that are shown.
pub const MAX_DIFFERENCES: usize = 256;
/// The most bytes of their pointers.
pub const MAX_DIFFERENCES_BYTES: usize = 64 * 1024;

/// The largest integer in what is signed (RFC 8785, section 3.2.2.3: what a double holds exactly).
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
