//! Checking all records of a log: each is one of this log, with its disclosures or an excuse for what is missing; each
//! stream is whole from its beginning, and the only one of its name; no id comes twice, and time does not go back.
//!
//! Memory is bounded: of a log with more records than are held at a time, the streams and ids are read in several passes,
//! a part of them in each. That the entries hash to the signed root is checked elsewhere.

use std::collections::{HashMap, HashSet};

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::header::Header;
use cairn_tree::record::kind::{RecordKind, Redactions, goes_on};
use cairn_tree::record::later::Later;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::open::{Evidence, IntegrityError, Record};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::time::Time;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::{KeyRange, Kind, Store};

use super::check::{self, Kept};
use super::prints::open_shown;
use super::read::Rows;
use super::secret::{lost, print_row};
use crate::engine::bounds::{FSCK_PENDING, FSCK_RECORDS};
use crate::engine::layout::DisclosuresRow;
use crate::engine::stored::{ReadError, Stored};

/// Whether others bring records to the log while it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Meanwhile {
    /// Whatever is kept past the size is nothing's.
    Nobody,
    /// It is what came since.
    Others,
}

/// Checks the records of a log of this origin, up to a size.
///
/// # Errors
/// The first problem in words.
pub(in crate::engine) fn check_records(
    store: &dyn Store,
    stored: &Stored<'_>,
    origin: &str,
    (size, meanwhile): (TreeSize, Meanwhile),
) -> Result<(), String> {
    let words = |error: ReadError| error.to_string();
    let Some(row) = print_row(store, stored.log()).map_err(words)? else {
        return check_no_record(stored, origin, size).map_err(words);
    };
    let (first, size) = (row.first.min(size.get()), size.get());
    let origin = Origin::new(origin).map_err(|error| error.to_string())?;
    let mut contents = Contents::new(origin, Rows::new(store, stored.log()));
    let parts = (size - first).div_ceil(FSCK_RECORDS).max(1);
    for part in 0..parts {
        let mut streams = Streams::new(part, parts, Rows::new(store, stored.log()));
        let mut problem = Ok(());
        let each = stored.each_entry(first..size, |index, entry| {
            if problem.is_ok() {
                problem = check_entry(index, entry, (part == 0).then_some(&mut contents), &mut streams);
            }
            Ok(())
        });
        each.map_err(words)?;
        problem?;
    }
    contents.finish(store, stored, if meanwhile == Meanwhile::Others { size } else { u64::MAX })
}

/// Checks that a log which was never to have records has none.
fn check_no_record(stored: &Stored<'_>, origin: &str, size: TreeSize) -> Result<(), ReadError> {
    stored.each_entry(0..size.get(), |_, entry| match is_record_of(origin, entry) {
        true => Err(lost(stored.log())),
        false => Ok(()),
    })
}

/// Whether an entry is a record of the log of this origin.
pub(in crate::engine) fn is_record_of(origin: &str, entry: &[u8]) -> bool {
    matches!(Leaf::classify(entry), Ok(Entry::Record(leaf)) if leaf.event().head().log.as_str() == origin)
}

fn check_entry(
    index: LeafIndex,
    entry: &[u8],
    contents: Option<&mut Contents<'_>>,
    streams: &mut Streams,
) -> Result<(), String> {
    let (header, leaf) = match Leaf::classify(entry) {
        Ok(Entry::Record(leaf)) => (Header::of(&leaf, Hash::leaf(entry)), Some(leaf)),
        // Of a later version the place is known, and nothing else.
        Ok(Entry::Opaque) => match Later::decode(index, entry) {
            Ok(later) => (Header::of_later(&later), None),
            Err(_) => return Ok(()),
        },
        Ok(Entry::Raw) => return Ok(()),
        Err(error) => return Err(format!("entry {index} begins like a record, but {error}")),
    };
    contents.map_or(Ok(()), |contents| contents.check(index, entry, (&header, leaf.as_deref())))?;
    streams.check(index, entry, (&header, leaf.as_deref()))
}

/// What the records disclose.
struct Contents<'a> {
    rows: Rows<'a>,
    redactions: Redactions,
    time: Option<Time>,
    /// Those that lack something, which a later record may excuse.
    pending: Vec<LeafIndex>,
    /// Records of which something is kept.
    kept: u64,
    /// The streams that go on in another log, as far as so many are remembered.
    ended: HashSet<u128>,
}

impl<'a> Contents<'a> {
    fn new(origin: Origin, rows: Rows<'a>) -> Self {
        Self {
            rows,
            redactions: Redactions::new(origin),
            time: None,
            pending: Vec::new(),
            kept: 0,
            ended: HashSet::new(),
        }
    }

    /// Checks one record.
    fn check(
        &mut self,
        index: LeafIndex,
        entry: &[u8],
        (header, leaf): (&Header, Option<&Leaf>),
    ) -> Result<(), String> {
        let time = header.time;
        if self.time.is_some_and(|before| time < before) {
            return Err(format!("record {index} was sequenced at {time}, before an earlier one"));
        }
        self.time = Some(time);
        if header.log != *self.redactions.log() {
            return Err(format!("record {index} is of the log {}", header.log));
        }
        if leaf.is_none() {
            // What is kept of it is its own matter.
            self.rows.disclosures(index).map_err(|error| error.to_string())?;
            self.kept += u64::from(self.rows.has(index));
            return Ok(());
        }
        let record = self.open(index, entry)?;
        if record.is_none() {
            if self.pending.len() >= FSCK_PENDING {
                return Err(format!("more than {FSCK_PENDING} records lack disclosures, the last of them {index}"));
            }
            self.pending.push(index);
        }
        let stream = half(header.stream.digest().as_bytes());
        if self.ended.contains(&stream) {
            return Err(format!(
                "record {index} is in a stream whose record before says that it goes on in another log"
            ));
        }
        if record.as_ref().is_some_and(|record| goes_on(record).is_some()) && self.ended.len() < ENDED {
            self.ended.insert(stream);
        }
        let kind = record.as_ref().and_then(|record| record.content().object.disclosed()).map(RecordKind::of);
        if let (Some(record), Some(RecordKind::Redaction)) = (&record, kind) {
            self.redactions.take_up(record).map_err(|error| format!("record {index}: {error}"))?;
        }
        Ok(())
    }

    /// Opens a record; none if it lacks something.
    fn open(&mut self, index: LeafIndex, entry: &[u8]) -> Result<Option<Record>, String> {
        let disclosures = self.rows.disclosures(index).map_err(|error| error.to_string())?;
        self.kept += u64::from(self.rows.has(index));
        let evidence = Evidence { disclosures: &disclosures, withheld: &[], redactions: &self.redactions };
        match Record::open(self.redactions.log(), index, entry, evidence) {
            Ok(record) => Ok(Some(record)),
            Err(IntegrityError::Missing { .. }) => Ok(None),
            Err(error) => Err(format!("record {index}: {error}")),
        }
    }

    /// Checks those that lacked something, now that all redaction records are known, and that nothing else is kept before `end`.
    fn finish(mut self, store: &dyn Store, stored: &Stored<'_>, end: u64) -> Result<(), String> {
        let kept = self.kept;
        for index in core::mem::take(&mut self.pending) {
            let range = index.get()..index.get().saturating_add(1);
            let (mut opened, mut is_changed) = (Ok(None), None);
            let each = stored.each_entry(range, |index, entry| {
                opened = self.open(index, entry);
                if matches!(opened, Ok(None)) {
                    is_changed = match check::kept(index, entry, &self.rows.disclosures(index)?, &self.redactions) {
                        Kept::Changed(digest) => Some(digest),
                        Kept::Whole | Kept::Lacks(_) => None,
                    };
                }
                Ok(())
            });
            each.map_err(|error| error.to_string())?;
            match (opened?, is_changed) {
                (Some(_), _) => {}
                (None, Some(digest)) => {
                    return Err(format!(
                        "a disclosure of record {index} was changed: what is there has the digest {digest}, which is none of \
                         the record's"
                    ));
                }
                (None, None) => {
                    return Err(format!(
                        "record {index} lacks disclosures, and no redaction record says that they were erased"
                    ));
                }
            }
        }
        let there = count(store, stored, end).map_err(|error| error.to_string())?;
        if there != kept {
            return Err(format!("there are disclosures of {there} records, but {kept} records have any"));
        }
        Ok(())
    }
}

/// Of how many records before `end` there are disclosures.
fn count(store: &dyn Store, stored: &Stored<'_>, end: u64) -> Result<u64, ReadError> {
    let (mut from, mut count) = (0, 0);
    // A row has records of one commit only, which are all before it or none.
    while from < end {
        let range = KeyRange::numbers(stored.log(), Kind::Disclosures, from..end);
        let rows = store.scan(&range, ROWS)?;
        let Some(last) = rows.last().and_then(|(key, _)| key.number()) else { return Ok(count) };
        for (key, row) in rows {
            count += DisclosuresRow::decode(&key, row)?.indexes().count() as u64;
        }
        from = last.saturating_add(1);
    }
    Ok(count)
}

/// Streams that go on in another log that are remembered at a time.
const ENDED: usize = 1 << 20;
/// Rows of disclosures that are read in one go.
const ROWS: usize = 256;

/// The streams, names and ids of one part of all. Of hashes the first half stands for the whole.
struct Streams<'a> {
    part: u64,
    parts: u64,
    rows: Rows<'a>,
    /// The last record of each stream: its number, and its leaf hash.
    tips: HashMap<u128, (u64, u128)>,
    ids: HashSet<u128>,
    /// The names of streams that are shown.
    names: HashSet<u128>,
}

impl<'a> Streams<'a> {
    fn new(part: u64, parts: u64, rows: Rows<'a>) -> Self {
        Self { part, parts, rows, tips: HashMap::new(), ids: HashSet::new(), names: HashSet::new() }
    }

    fn check(
        &mut self,
        index: LeafIndex,
        entry: &[u8],
        (header, leaf): (&Header, Option<&Leaf>),
    ) -> Result<(), String> {
        let id = header.id;
        let number = u128::from_be_bytes(*id.as_bytes());
        if self.is_ours(number) && !self.ids.insert(number) {
            return Err(format!("record {index} has the id {id}, as an earlier one"));
        }
        if let Some(leaf) = leaf.filter(|_| header.seq == Seq::FIRST) {
            self.check_name(index, entry, leaf)?;
        }
        let stream = half(header.stream.digest().as_bytes());
        if !self.is_ours(stream) {
            return Ok(());
        }
        let (seq, prev) = (header.seq.get(), header.prev.map(|prev| half(prev.as_bytes())));
        let before = self.tips.insert(stream, (seq, half(header.hash.as_bytes())));
        let expected = (before.map_or(0, |(seq, _)| seq + 1), before.map(|(_, leaf)| leaf));
        if (seq, prev) == expected {
            return Ok(());
        }
        let expected = expected.0;
        Err(if seq == expected {
            format!("record {index} is number {seq} of its stream, and does not go on from the one before it")
        } else {
            format!("record {index} is number {seq} of its stream, where number {expected} comes next")
        })
    }

    /// Checks that no other stream has the name of the one that a record begins.
    fn check_name(&mut self, index: LeafIndex, entry: &[u8], leaf: &Leaf) -> Result<(), String> {
        let disclosures = self.rows.disclosures(index).map_err(|error| error.to_string())?;
        // What can't be opened is told of where its content is checked.
        let Ok(record) = open_shown(index, entry, leaf, &disclosures) else { return Ok(()) };
        let Some(name) = record.stream().and_then(Shown::disclosed) else { return Ok(()) };
        let name = half(Digest::of(&name.to_string()).as_bytes());
        if self.is_ours(name) && !self.names.insert(name) {
            return Err(format!("record {index} begins a second stream of one name"));
        }
        Ok(())
    }

    fn is_ours(&self, value: u128) -> bool {
        // The last bits of ids are random, whatever stands first.
        value % u128::from(self.parts.max(1)) == u128::from(self.part)
    }
}

/// Half of a hash.
fn half(bytes: &[u8; 32]) -> u128 {
    bytes.first_chunk().map_or(0, |half| u128::from_be_bytes(*half))
}
