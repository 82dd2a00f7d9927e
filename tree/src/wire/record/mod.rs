//! The forms that records come in over HTTP, read and checked: our own, CloudEvents 1.0, and the rows of DIGIT's audit
//! service.
//!
//! Pure parsing: every fault has its JSON Pointer, in a batch with the record's number in front. What a server adds (ids,
//! times, salts) is not here, nor who may append what.

pub mod capture;
pub mod cloudevents;
pub mod digit;
pub mod native;

use crate::hash::Hash;
use crate::record::bounds::{MAX_BATCH, MAX_BODY_BYTES, MAX_INPUT_BYTES};
use crate::record::draft::Content;
use crate::record::id::RecordId;
use crate::record::json::{Fault, FaultKind, Kind, Read, Reader, Trouble};
use crate::record::reserved::Reserved;
use crate::record::server_part::Seq;
use crate::record::stream::Topics;
use crate::record::time::Time;

/// A record as it comes in, to be completed and sealed by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordInput<'a> {
    /// Its id, if the producer gave one.
    pub id: Option<RecordId>,
    /// When it happened, if the producer said so.
    pub time: Option<Time>,
    /// The record that it corrects.
    pub replaces: Option<RecordId>,
    /// What it says.
    pub content: Content<'a>,
    /// What concerns its stream.
    pub stream: StreamInput<'a>,
}

/// What a request says about the stream that a record goes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamInput<'a> {
    /// The stream's topics, should this be its first record.
    pub topics: Option<Topics<'a>>,
    /// The number of the stream's last record; `Some(None)` if there must be no record yet.
    pub expected_seq: Option<Option<Seq>>,
    /// The leaf hash of the stream's last record; `Some(None)` if there must be no record yet.
    pub expected_prev: Option<Option<Hash>>,
}

/// Reads one record, or an array of them.
fn one_or_many<'a, T>(body: &'a [u8], read: impl Fn(&mut Reader<'a>) -> Read<T>) -> Result<Vec<T>, Fault> {
    Reader::read(body, MAX_BODY_BYTES, |reader| match reader.kind()? {
        Kind::Array => reader.list(MAX_BATCH, |reader| bounded(reader, &read)),
        _ => Ok(vec![bounded(reader, &read)?]),
    })
}

/// Reads a record that is no longer than one may be.
fn bounded<'a, T>(reader: &mut Reader<'a>, read: impl Fn(&mut Reader<'a>) -> Read<T>) -> Read<T> {
    let start = reader.offset();
    let record = read(reader)?;
    if reader.offset() - start > MAX_INPUT_BYTES {
        return Err(Trouble::new(start, FaultKind::TooLong(MAX_INPUT_BYTES)));
    }
    Ok(record)
}

/// Reads lines with a record each (NDJSON); empty lines are passed over, and do not count.
fn lines<'a, T>(body: &'a [u8], read: impl Fn(&mut Reader<'a>) -> Read<T>) -> Result<Vec<T>, Fault> {
    let root = &crate::record::json::Pointer::ROOT;
    if body.len() > MAX_BODY_BYTES {
        return Err(Fault::new(root, FaultKind::TextTooLong(MAX_BODY_BYTES)));
    }
    let mut records = Vec::new();
    let is_empty = |line: &&[u8]| line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    for line in body.split(|byte| *byte == b'\n').filter(|line| !is_empty(line)) {
        let number = records.len();
        if number >= MAX_BATCH {
            return Err(Fault::new(root, FaultKind::TooMany(MAX_BATCH)));
        }
        let record = Reader::read(line, MAX_INPUT_BYTES, &read);
        records.push(record.map_err(|fault| fault.below(&format!("/{number}")))?);
    }
    Ok(records)
}

/// What is the log's own is taken from nobody. `within` says where it is in what stands there.
fn refuse(reserved: Option<Reserved>, at: usize, within: impl Fn(Reserved) -> &'static str) -> Read<()> {
    let refused =
        |reserved: Reserved| Trouble::new(at, FaultKind::Words(reserved.to_string())).within(within(reserved));
    reserved.map_or(Ok(()), |reserved| Err(refused(reserved)))
}

/// Where it is in the native form, within the member of the record that it is in.
fn in_member(reserved: Reserved) -> &'static str {
    let pointer = reserved.pointer();
    pointer.get(1..).and_then(|rest| rest.find('/')).and_then(|slash| pointer.get(slash + 1..)).unwrap_or_default()
}

/// Reads a time: text of RFC 3339, or milliseconds since 1970.
fn time(reader: &mut Reader<'_>) -> Read<Time> {
    let at = reader.offset();
    let time = match reader.kind()? {
        Kind::Number => Time::from_millis(reader.integer()?),
        _ => Time::parse(&reader.string()?),
    };
    time.map_err(|error| Trouble::new(at, FaultKind::Words(error.to_string())))
}
