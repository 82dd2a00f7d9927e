//! What the writer must know of a record's stream and id, looked up before it is asked, in what is released and has
//! postings.
//!
//! Each finding says up to which size of the log it is all there is. The writer takes it as long as that is no less than
//! its horizon (`newest`); so what it remembers itself need not be looked up at all.

use std::sync::PoisonError;

use cairn_tree::hash::Hash;
use cairn_tree::record::leaf::Leaf;
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::LeafIndex;

use super::{Earlier, Looked, Prepared, RecordError, StreamTip};
use crate::engine::Log;
use crate::engine::head::Head;
use crate::engine::postings::{PostingsError, Print};
use crate::engine::stored::{ReadError, Stored};

impl Log {
    /// Whether some record's stream or id has to be looked up. What the writer remembers need not be, unless `all`.
    pub(super) fn needs_looks(&self, records: &mut [Prepared], all: bool) -> bool {
        let log = self.shared.info.id;
        let newest = self.running.newest.read().unwrap_or_else(PoisonError::into_inner);
        // It remembers all records that there are.
        let whole = newest.horizon(log) == Some(0);
        let mut needed = false;
        for record in records {
            record.tip.needed = !whole && (all || newest.tip(log, &record.name_print).is_none());
            record.earlier.needed = !whole && !record.fresh_id && (all || newest.earlier(log, &record.id).is_none());
            needed |= record.tip.needed || record.earlier.needed;
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
        let (known_to, found) = self.newest_of(&prints)?;
        let head = self.head();
        let mut found = found.into_iter();
        for record in &mut records {
            if record.tip.needed {
                let found = self.tip(&head, found.next().flatten())?;
                record.tip = Looked { needed: false, known_to, found };
            }
            if record.earlier.needed {
                let found = self.record_at(&head, found.next().flatten())?;
                let found = found.map(|(index, _, leaf)| Earlier { index, event: event_hash(&leaf) });
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
        let (_, found) = self.newest_of(core::slice::from_ref(name))?;
        Ok(self.tip(&self.head(), found.into_iter().next().flatten())?)
    }

    /// The newest record that has each print, and up to which size of the log those are known to be the newest.
    fn newest_of(&self, prints: &[Print]) -> Result<(u64, Vec<Option<LeafIndex>>), PostingsError> {
        let Some((found, source)) = self.source()? else { return Ok((0, vec![None; prints.len()])) };
        // First: what is released meanwhile may be missed.
        let known_to = found.postings.complete_to(&source)?.get();
        Ok((known_to, found.postings.newest_of(&source, prints)?))
    }

    fn tip(&self, head: &Head, index: Option<LeafIndex>) -> Result<Option<StreamTip>, ReadError> {
        let tip = |(index, hash, leaf): (LeafIndex, Hash, Leaf)| {
            let server = leaf.server();
            StreamTip { stream: server.stream, seq: server.place.seq(), leaf: hash, index }
        };
        Ok(self.record_at(head, index)?.map(tip))
    }

    fn record_at(&self, head: &Head, index: Option<LeafIndex>) -> Result<Option<(LeafIndex, Hash, Leaf)>, ReadError> {
        let Some(index) = index else { return Ok(None) };
        let stored = Stored::new(&*self.running.reader.store, self.shared.info.id);
        let damaged = |problem: String| stored.damaged("the record", index.get(), problem);
        let entry = self.entry(head, index)?.ok_or_else(|| damaged("it is past the head".to_owned()))?;
        let leaf = Leaf::decode(&entry).map_err(|error| damaged(error.to_string()))?;
        Ok(Some((index, Hash::leaf(&entry), leaf)))
    }
}

/// The hash that tells events apart.
fn event_hash(leaf: &Leaf) -> Hash {
    Hash::leaf(leaf.event().to_text().as_bytes())
}
