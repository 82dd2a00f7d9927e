//! What the writer must know of a record's stream and id, looked up before it is asked, in what is released and has
//! postings.
//!
//! Each finding says up to which size of the log it is all there is. The writer takes it as long as that is no less than
//! its horizon (`newest`); so what it remembers itself need not be looked up at all.
//!
//! A stream is found by its name, and its last record by the stream's id: of some records the name may be erased, or never
//! known here. Only where a log has such records is that a second look. A name that is erased from all of them is told by
//! the redaction record that erased it.

use std::sync::PoisonError;

use bytes::Bytes;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::header::Header;
use cairn_tree::record::kind::{REDACTION, Redactions, redacts};
use cairn_tree::record::leaf::Leaf;
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::LeafIndex;

use super::prints::{erased_name, partial_print, stream_print};
use super::{Earlier, Looked, Prepared, RecordError, StreamTip};
use crate::engine::Log;
use crate::engine::head::Head;
use crate::engine::postings::{Facet, PostingsError, Print, PrintSecret};
use crate::engine::stored::{ReadError, Stored};

/// Records that are compared with what the writer remembers, before it may go on.
const REMEMBERED_AT_ONCE: usize = 16;

impl Log {
    /// Whether some record's stream or id has to be looked up. What the writer remembers need not be, unless `all`.
    pub(super) fn needs_looks(&self, records: &mut [Prepared], all: bool) -> bool {
        let log = self.shared.info.id;
        let mut needed = false;
        // The writer waits for whoever has this, and the writer decides: what it remembers may be different a moment later.
        for records in records.chunks_mut(REMEMBERED_AT_ONCE) {
            let newest = self.running.newest.read().unwrap_or_else(PoisonError::into_inner);
            // It remembers all records that there are.
            let whole = newest.horizon(log) == Some(0);
            for record in records {
                record.tip.needed = !whole && (all || newest.tip(log, &record.name_print).is_none());
                record.earlier.needed =
                    !whole && !record.fresh_id && (all || newest.earlier(log, &record.id).is_none());
                needed |= record.tip.needed || record.earlier.needed;
            }
        }
        needed
    }

    /// The stream whose name has this print, if it has a released record.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn stream_of(&self, name: &Print) -> Result<Option<StreamId>, PostingsError> {
        Ok(self.stream_head(name)?.map(|tip| tip.stream))
    }

    /// Looks up what has to be.
    pub(super) fn look_up(&self, mut records: Vec<Prepared>) -> Result<Vec<Prepared>, RecordError> {
        let wanted = |record: &Prepared| {
            let tip = record.tip.needed.then_some(record.name_print);
            tip.into_iter().chain(record.earlier.needed.then_some(record.id_print))
        };
        let prints: Vec<Print> = records.iter().flat_map(wanted).collect();
        let (known_to, has_partial, found) = self.newest_of(&prints)?;
        let head = self.head();
        let mut found = found.into_iter();
        for record in &mut records {
            if record.tip.needed {
                let by_name = found.next().flatten();
                let found = if has_partial {
                    self.tip_by_id(&head, &record.name_print, by_name)?
                } else {
                    self.tip(&head, by_name)?
                };
                record.tip = Looked { needed: false, known_to, found };
            }
            if record.earlier.needed {
                let found = self.record_at(&head, found.next().flatten())?;
                let found = found.map(|(index, entry)| Earlier { index, event: event_hash(&entry) });
                record.earlier = Looked { needed: false, known_to, found };
            }
        }
        Ok(records)
    }

    /// The last record of the stream whose name has this print, as far as it is released.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn stream_head(&self, name: &Print) -> Result<Option<StreamTip>, PostingsError> {
        let (_, has_partial, found) = self.newest_of(core::slice::from_ref(name))?;
        let (head, found) = (self.head(), found.into_iter().next().flatten());
        if has_partial { self.tip_by_id(&head, name, found) } else { Ok(self.tip(&head, found)?) }
    }

    /// The last record of a stream, by its id: that of the record that its name finds, or that a redaction record tells of.
    fn tip_by_id(
        &self,
        head: &Head,
        name: &Print,
        by_name: Option<LeafIndex>,
    ) -> Result<Option<StreamTip>, PostingsError> {
        let Some((found, source)) = self.source()? else { return Ok(None) };
        let member = match by_name {
            Some(index) => Some(index),
            None => self.erased_member(head, &found.secret, name)?,
        };
        let Some(tip) = self.tip(head, member)? else { return Ok(None) };
        let print = stream_print(&found.secret, tip.stream);
        let newest = found.postings.newest_of(&source, &[print])?.into_iter().next().flatten();
        Ok(self.tip(head, newest)?.filter(|newest| newest.stream == tip.stream).or(Some(tip)))
    }

    /// A record of the stream with this name, which a redaction record erased from all that stood for it.
    fn erased_member(
        &self,
        head: &Head,
        secret: &PrintSecret,
        name: &Print,
    ) -> Result<Option<LeafIndex>, PostingsError> {
        let (text, print) = erased_name(secret, name);
        let operation = Print::new(secret, Facet::Operation, &[REDACTION]);
        let module = Print::new(secret, Facet::Module, &[OWN_MODULE]);
        let hits = self.find_records(&[print, operation, module], head.size, 1, u64::MAX)?.hits;
        let Some(stored) = hits.first().map(|index| self.stored_record(head, *index)).transpose()?.flatten() else {
            return Ok(None);
        };
        let Ok(origin) = Origin::new(&*self.shared.info.origin) else { return Ok(None) };
        let nothing = Redactions::new(origin);
        let evidence = Evidence { disclosures: &stored.disclosures, withheld: &[], redactions: &nothing };
        let damaged = |problem: String| {
            let stored = Stored::new(&*self.running.reader.store, self.shared.info.id);
            PostingsError::from(stored.damaged("the redaction record", hits.first().map_or(0, |at| at.get()), problem))
        };
        // To take it for none would begin a second stream of the name.
        let record = Record::open(nothing.log(), stored.index, &stored.leaf, evidence);
        let record = record.map_err(|error| damaged(error.to_string()))?;
        let context = record.content().context.disclosed().and_then(Option::as_ref);
        let says = context.and_then(|context| context.correlation.as_ref()).is_some_and(|said| said.as_str() == text);
        Ok(redacts(&record).filter(|_| says))
    }

    /// The newest record that has each print, and up to which size of the log those are known to be the newest.
    /// And whether there are records that their stream's name may not find.
    fn newest_of(&self, prints: &[Print]) -> Result<(u64, bool, Vec<Option<LeafIndex>>), PostingsError> {
        let Some((found, source)) = self.source()? else { return Ok((0, false, vec![None; prints.len()])) };
        // First: what is released meanwhile may be missed.
        let known_to = found.postings.complete_to(&source)?.get();
        let asked: Vec<Print> = prints.iter().copied().chain([partial_print(&found.secret)]).collect();
        let mut newest = found.postings.newest_of(&source, &asked)?;
        let partial = newest.pop().flatten();
        Ok((known_to, partial.is_some(), newest))
    }

    fn tip(&self, head: &Head, index: Option<LeafIndex>) -> Result<Option<StreamTip>, ReadError> {
        let Some((index, entry)) = self.record_at(head, index)? else { return Ok(None) };
        let stored = Stored::new(&*self.running.reader.store, self.shared.info.id);
        let header = Header::decode(index, &entry);
        let header = header.map_err(|error| stored.damaged("the record", index.get(), error.to_string()))?;
        Ok(Some(StreamTip { stream: header.stream, seq: header.seq, leaf: header.hash, index }))
    }

    fn record_at(&self, head: &Head, index: Option<LeafIndex>) -> Result<Option<(LeafIndex, Bytes)>, ReadError> {
        let Some(index) = index else { return Ok(None) };
        let stored = Stored::new(&*self.running.reader.store, self.shared.info.id);
        let past = || stored.damaged("the record", index.get(), "it is past the head".to_owned());
        let entry = self.entry(head, index).map_err(|error| error.of_entry(self.shared.info.id, index))?;
        Ok(Some((index, entry.ok_or_else(past)?)))
    }
}

/// The hash that tells events apart. That of a record of a later version is no event's of this one.
fn event_hash(entry: &[u8]) -> Hash {
    Leaf::decode(entry).map_or_else(|_| Hash::leaf(entry), |leaf| Hash::leaf(leaf.event().to_text().as_bytes()))
}
