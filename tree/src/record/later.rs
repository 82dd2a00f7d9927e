//! Leaves of later versions, as far as this one can follow them: their place in the chain of their stream, and nothing of
//! what they say.
//!
//! All later versions keep what is read here (`docs/record.md`, Later versions). Other members are not looked at.

use super::bounds::MAX_LEAF_BYTES;
use super::id::RecordId;
use super::json::{FaultKind, Kind, Read, Reader, Trouble};
use super::leaf::{HEADER, LeafError, PREFIX};
use super::server_part::Seq;
use super::stream::StreamId;
use super::time::Time;
use crate::checkpoint::Origin;
use crate::hash::Hash;
use crate::size::LeafIndex;

/// More members than are passed over in an object of a leaf.
const MEMBERS: usize = 256;
/// The most digits of a version.
const VERSION_DIGITS: usize = 9;

/// A record of a later version in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    index: LeafIndex,
    hash: Hash,
    log: Origin,
    id: RecordId,
    stream: StreamId,
    seq: Seq,
    prev: Option<Hash>,
    time: Time,
}

impl Later {
    /// Reads the entry at an index; the caller has proven, or proves, that it has these bytes.
    ///
    /// # Errors
    /// [`LeafError`] for an entry that is no record of a later version.
    pub fn decode(index: LeafIndex, entry: &[u8]) -> Result<Self, LeafError> {
        if entry.len() > MAX_LEAF_BYTES {
            return Err(LeafError::TooLong(entry.len()));
        }
        let json = second_line(entry).ok_or(LeafError::Malformed { at: 0, expected: "a record of a later version" })?;
        let malformed = LeafError::Malformed { at: entry.len() - json.len() - 1, expected: "what all versions have" };
        let ((log, id), server) = Reader::read(json, MAX_LEAF_BYTES, read).map_err(|_| malformed)?;
        let Server { stream, seq, prev, time } = server;
        if prev.is_none() != (seq == Seq::FIRST) {
            return Err(LeafError::Place);
        }
        Ok(Self { index, hash: Hash::leaf(entry), log, id, stream, seq, prev, time })
    }

    /// Where it is in its log.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        self.index
    }

    /// The leaf hash of the bytes that were read.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The log that it is meant for.
    #[must_use]
    pub const fn log(&self) -> &Origin {
        &self.log
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        self.id
    }

    /// Its stream.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// Its number in the stream.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The leaf hash of the record before; `None` if it is the first.
    #[must_use]
    pub const fn prev(&self) -> Option<Hash> {
        self.prev
    }

    /// When it was sequenced.
    #[must_use]
    pub const fn time(&self) -> Time {
        self.time
    }
}

/// The second line of a leaf whose first line is that of a later version: 2, 3, and so on, without zeros in front.
fn second_line(entry: &[u8]) -> Option<&[u8]> {
    let rest = entry.strip_prefix(PREFIX.as_bytes())?;
    let (version, json) = rest.split_at_checked(rest.iter().position(|byte| *byte == b'\n')?)?;
    let is_number = version.iter().all(u8::is_ascii_digit) && !version.starts_with(b"0");
    let json = json.strip_prefix(b"\n")?.strip_suffix(b"\n")?;
    let is_later = (1..=VERSION_DIGITS).contains(&version.len()) && !entry.starts_with(HEADER.as_bytes());
    (is_number && is_later && !json.contains(&b'\n')).then_some(json)
}

struct Server {
    stream: StreamId,
    seq: Seq,
    prev: Option<Hash>,
    time: Time,
}

fn read(reader: &mut Reader<'_>) -> Read<((Origin, RecordId), Server)> {
    let start = reader.offset();
    let (mut event, mut server) = (None, None);
    reader.object(MEMBERS, |reader, name, _| {
        match &*name {
            "event" => event = Some(read_event(reader)?),
            "server" => server = Some(read_server(reader)?),
            _ => drop(reader.json()?),
        }
        Ok(())
    })?;
    let missing = |name| move || Trouble::missing(start, name);
    Ok((event.ok_or_else(missing("event"))?, server.ok_or_else(missing("server"))?))
}

fn read_event(reader: &mut Reader<'_>) -> Read<(Origin, RecordId)> {
    let start = reader.offset();
    let (mut log, mut id) = (None, None);
    reader.object(MEMBERS, |reader, name, _| {
        match &*name {
            "log" => log = Some(parsed(reader, |text| Origin::new(text).ok())?),
            "id" => id = Some(parsed(reader, |text| text.parse().ok())?),
            _ => drop(reader.json()?),
        }
        Ok(())
    })?;
    let missing = |name| move || Trouble::missing(start, name);
    Ok((log.ok_or_else(missing("log"))?, id.ok_or_else(missing("id"))?))
}

fn read_server(reader: &mut Reader<'_>) -> Read<Server> {
    let start = reader.offset();
    let (mut stream, mut seq, mut prev, mut time) = (None, None, None, None);
    reader.object(MEMBERS, |reader, name, at| {
        match &*name {
            "stream" => stream = Some(parsed(reader, |text| text.parse().ok())?),
            "seq" => {
                let number = Seq::new(reader.integer()?);
                seq = Some(number.map_err(|_| Trouble::new(at, FaultKind::Rule("must be below 2^53")))?);
            }
            "prev" if reader.kind()? == Kind::Null => {
                reader.null()?;
                prev = Some(None);
            }
            "prev" => prev = Some(Some(parsed(reader, |text| Hash::from_base64(text).ok())?)),
            "time" => time = Some(parsed(reader, |text| Time::parse_canonical(text).ok())?),
            _ => drop(reader.json()?),
        }
        Ok(())
    })?;
    let missing = |name| move || Trouble::missing(start, name);
    Ok(Server {
        stream: stream.ok_or_else(missing("stream"))?,
        seq: seq.ok_or_else(missing("seq"))?,
        prev: prev.ok_or_else(missing("prev"))?,
        time: time.ok_or_else(missing("time"))?,
    })
}

fn parsed<T>(reader: &mut Reader<'_>, parse: impl FnOnce(&str) -> Option<T>) -> Read<T> {
    let at = reader.offset();
    parse(&reader.string()?).ok_or(Trouble::new(at, FaultKind::Rule("must be formed as in all versions")))
}
