//! What the journal of an outbox says: entries, several to a commit. Bytes only; what follows from them stands in
//! [`super::state`].
//!
//! An entry is its kind (a byte), the length of what follows (four bytes, big-endian like all numbers), and its fields in
//! the order in which they stand below; texts and lists have their length or count in front. The checksums are those of
//! the sectors around it.

use cairn_tree::record::id::RecordId;
use cairn_tree::record::time::Time;

use super::event::Stream;

/// The number of a batch in its outbox, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BatchNumber(pub(super) u64);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A segment begins.
    Begin(Begin),
    /// A batch is to be delivered; or, again under its number, it stands here now and no longer where it stood before.
    Put(Put),
    /// The log has it, verified.
    Delivered(BatchNumber),
    /// The log will never take it as it is.
    Refused(BatchNumber, Refusal),
    /// It is to be tried again although it was refused.
    Retried(BatchNumber),
    /// Its producer gave it up, for this reason; a record of that is the batch with the second number, if there is one.
    Dropped(BatchNumber, Time, Option<BatchNumber>, String),
    /// Segments before this one are not needed any more.
    Cut(u64),
}

/// The first entry of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begin {
    /// The version of the format.
    pub(super) format: u32,
    /// The first segment that was needed then.
    pub(super) first: u64,
    /// How many commits the segment before this one has.
    pub(super) before: u64,
    /// The number of the next batch.
    pub(super) next: u64,
    /// The length of the segment, so that a file that was cut is told from a short one.
    pub(super) length: u64,
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Put {
    pub(super) number: BatchNumber,
    /// What the idempotency key is made of.
    pub(super) key: [u8; 16],
    /// When it was appended.
    pub(super) at: Time,
    /// Whether it is the record of a drop.
    pub(super) is_drop: bool,
    pub(super) ids: Vec<RecordId>,
    pub(super) streams: Vec<Stream>,
    pub(super) body: Vec<u8>,
}

/// The answer of a log that will not take a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When it came.
    pub at: Time,
    /// Its HTTP status.
    pub status: u16,
    /// What it says, fit to be shown.
    pub words: String,
}

/// The version of the format that is written here.
pub(super) const FORMAT: u32 = 1;

/// The bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what stands there is no entry of this version")]
pub(super) struct NoEntry;

impl Entry {
    const fn kind(&self) -> u8 {
        match self {
            Self::Begin(_) => 1,
            Self::Put(_) => 2,
            Self::Delivered(_) => 3,
            Self::Refused(..) => 4,
            Self::Retried(_) => 5,
            Self::Dropped(..) => 6,
            Self::Cut(_) => 7,
        }
    }

    /// Appends the entry.
    pub(super) fn push(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.kind());
        let length_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        match self {
            Self::Begin(Begin { format, first, before, next, length }) => {
                bytes.extend_from_slice(&format.to_be_bytes());
                [first, before, next, length].into_iter().for_each(|number| number64(bytes, *number));
            }
            Self::Put(Put { number, key, at, is_drop, ids, streams, body }) => {
                number64(bytes, number.0);
                bytes.extend_from_slice(key);
                number64(bytes, at.micros());
                bytes.push(u8::from(*is_drop));
                number32(bytes, ids.len());
                ids.iter().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
                number32(bytes, streams.len());
                streams.iter().for_each(|stream| bytes.extend_from_slice(&stream.0));
                number32(bytes, body.len());
                bytes.extend_from_slice(body);
            }
            Self::Delivered(number) | Self::Retried(number) => number64(bytes, number.0),
            Self::Refused(number, Refusal { at, status, words }) => {
                number64(bytes, number.0);
                number64(bytes, at.micros());
                bytes.extend_from_slice(&status.to_be_bytes());
                text(bytes, words);
            }
            Self::Dropped(number, at, record, reason) => {
                number64(bytes, number.0);
                number64(bytes, at.micros());
                // No batch has the number 0.
                number64(bytes, record.map_or(0, |record| record.0));
                text(bytes, reason);
            }
            Self::Cut(first) => number64(bytes, *first),
        }
        let length = u32::try_from(bytes.len() - length_at - 4).unwrap_or(u32::MAX);
        if let Some(place) = bytes.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Reads all entries of a commit, each with its place in the commit's payload and the length of that.
    pub(super) fn read_all(payload: &[u8]) -> Result<Vec<(Self, usize, usize)>, NoEntry> {
        let mut entries = Vec::new();
        let mut rest = Rest(payload);
        while !rest.0.is_empty() {
            let start = payload.len() - rest.0.len();
            let kind = rest.byte()?;
            let content = rest.counted()?;
            entries.push((Self::read(kind, content)?, start, content.len() + 5));
        }
        Ok(entries)
    }

    fn read(kind: u8, content: &[u8]) -> Result<Self, NoEntry> {
        let mut rest = Rest(content);
        let entry = match kind {
            1 => {
                let format = u32::from_be_bytes(rest.array()?);
                if format != FORMAT {
                    return Err(NoEntry);
                }
                let [first, before, next, length] = [rest.number()?, rest.number()?, rest.number()?, rest.number()?];
                Self::Begin(Begin { format, first, before, next, length })
            }
            2 => Self::Put(Put {
                number: rest.batch()?,
                key: rest.array()?,
                at: rest.time()?,
                is_drop: rest.flag()?,
                ids: rest.list(|rest| RecordId::from_bytes(rest.array()?).map_err(|_| NoEntry))?,
                streams: rest.list(|rest| rest.array().map(Stream))?,
                body: rest.counted()?.to_vec(),
            }),
            3 => Self::Delivered(rest.batch()?),
            4 => {
                let (number, at) = (rest.batch()?, rest.time()?);
                let status = u16::from_be_bytes(rest.array()?);
                Self::Refused(number, Refusal { at, status, words: rest.text()? })
            }
            5 => Self::Retried(rest.batch()?),
            6 => {
                let (number, at, record) = (rest.batch()?, rest.time()?, rest.number()?);
                Self::Dropped(number, at, (record > 0).then_some(BatchNumber(record)), rest.text()?)
            }
            7 => Self::Cut(rest.number()?),
            _ => return Err(NoEntry),
        };
        if rest.0.is_empty() { Ok(entry) } else { Err(NoEntry) }
    }
}

/// Reads what a commit of an outbox's journal says and writes it again, which gives the same bytes; `None` if it says nothing
/// that an outbox would have written.
#[must_use]
pub fn commit_again(payload: &[u8]) -> Option<Vec<u8>> {
    let entries = Entry::read_all(payload).ok()?;
    let mut again = Vec::with_capacity(payload.len());
    entries.iter().for_each(|(entry, ..)| entry.push(&mut again));
    Some(again)
}

fn number64(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_be_bytes());
}

/// Lengths here are of what a request can hold, or bounded otherwise.
fn number32(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number32(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NoEntry> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NoEntry)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NoEntry> {
        self.take(N)?.try_into().map_err(|_| NoEntry)
    }

    fn byte(&mut self) -> Result<u8, NoEntry> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, NoEntry> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(NoEntry),
        }
    }

    fn number(&mut self) -> Result<u64, NoEntry> {
        self.array().map(u64::from_be_bytes)
    }

    fn batch(&mut self) -> Result<BatchNumber, NoEntry> {
        self.number().map(BatchNumber)
    }

    fn time(&mut self) -> Result<Time, NoEntry> {
        Time::from_micros(self.number()?).map_err(|_| NoEntry)
    }

    fn count(&mut self) -> Result<usize, NoEntry> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| NoEntry)
    }

    fn counted(&mut self) -> Result<&'a [u8], NoEntry> {
        let length = self.count()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, NoEntry> {
        String::from_utf8(self.counted()?.to_vec()).map_err(|_| NoEntry)
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Result<T, NoEntry>) -> Result<Vec<T>, NoEntry> {
        let count = self.count()?;
        (0..count).map(|_| each(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Entry> {
        let time = Time::from_millis(1_767_225_600_000).unwrap();
        vec![
            Entry::Begin(Begin { format: FORMAT, first: 1, before: 7, next: 9, length: 4096 }),
            Entry::Put(Put {
                number: BatchNumber(3),
                key: [5; 16],
                at: time,
                is_drop: true,
                ids: vec![RecordId::v7(time, [1; 10]), RecordId::v7(time, [2; 10])],
                streams: vec![Stream([8; 16])],
                body: b"[{},{}]".to_vec(),
            }),
            Entry::Delivered(BatchNumber(3)),
            Entry::Refused(BatchNumber(4), Refusal { at: time, status: 409, words: "no".into() }),
            Entry::Retried(BatchNumber(4)),
            Entry::Dropped(BatchNumber(4), time, Some(BatchNumber(5)), "wrong".into()),
            Entry::Dropped(BatchNumber(5), time, None, String::new()),
            Entry::Cut(2),
        ]
    }

    #[test]
    fn what_is_written_is_read_with_its_place() {
        let mut bytes = Vec::new();
        all().iter().for_each(|entry| entry.push(&mut bytes));
        let read = Entry::read_all(&bytes).unwrap();
        assert_eq!(read.iter().map(|(entry, ..)| entry.clone()).collect::<Vec<_>>(), all());
        for (entry, start, length) in read {
            let mut alone = Vec::new();
            entry.push(&mut alone);
            assert_eq!(bytes[start..start + length], alone);
        }
    }

    #[test]
    fn what_is_cut_or_of_another_version_is_no_entry() {
        for entry in all() {
            let mut bytes = Vec::new();
            entry.push(&mut bytes);
            for length in 1..bytes.len() {
                assert_eq!(Entry::read_all(&bytes[..length]), Err(NoEntry));
            }
            bytes[0] = 8;
            assert_eq!(Entry::read_all(&bytes), Err(NoEntry));
        }
        let mut later = Vec::new();
        Entry::Begin(Begin { format: FORMAT + 1, first: 1, before: 0, next: 1, length: 0 }).push(&mut later);
        assert!(Entry::read_all(&later).is_err());
    }
}
