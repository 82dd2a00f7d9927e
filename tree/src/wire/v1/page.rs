//! A page of records: of a search, or of a stream's history. Where one can't be verified, what is wrong stands in its place.

use super::answer::RecordBody;
use super::cursor::Cursor;
use super::json::{self, MEMBERS, Object, push_array};
use super::listed::Listed;
use super::{MAX_ANSWER_BYTES, MAX_EXCEPT, MAX_PAGE, MAX_REDACTIONS};
use crate::checkpoint::SignedCheckpoint;
use crate::record::json::canonical::push_integer;
use crate::record::json::{Fault, Reader, Trouble};
use crate::record::stream::StreamId;
use crate::size::{LeafIndex, TreeSize};

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The stream, if the page is of its history, whose records are in the order of their numbers then.
    pub stream: Option<StreamId>,
    /// The records, in the order that the route states.
    pub records: Vec<Listed>,
    /// Of a history: from this record of the page on nobody says that none is missing, since the chain is broken there.
    pub broken_from: Option<LeafIndex>,
    /// The redaction records that say what of them was erased.
    pub redactions: Vec<RecordBody>,
    /// The checkpoint that all proofs are for.
    pub checkpoint: SignedCheckpoint,
    /// The server says that among the leaves of a tree of this size nothing is missing from the listing: it is of this page
    /// and those after it.
    pub complete_to: TreeSize,
    /// Of a search: except perhaps these, which the server's indexes don't find by what they say. Its word as well.
    pub except: Vec<LeafIndex>,
    /// Where the listing goes on; `None` at its end.
    pub next: Option<Cursor>,
}

impl Page {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let length: usize = self.records.iter().map(Listed::length).sum();
        let mut json = Vec::with_capacity(1024 + length);
        self.write(&mut json, |json| push_array(json, &self.records, |json, listed| listed.push(json)));
        json
    }

    /// The body in pieces, with records that were written before ([`Listed::to_json`]), on several cores perhaps, in the
    /// place of the page's own. So they need not be copied to stand in a row.
    #[must_use]
    pub fn to_pieces(&self, mut written: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let (mut before, mut place) = (Vec::with_capacity(1024), 0);
        self.write(&mut before, |json| {
            json.push(b'[');
            place = json.len();
            json.push(b']');
        });
        let after = before.split_off(place);
        if let Some((_, all_but_the_last)) = written.split_last_mut() {
            all_but_the_last.iter_mut().for_each(|text| text.push(b','));
        }
        core::iter::once(before).chain(written).chain(core::iter::once(after)).collect()
    }

    fn write(&self, json: &mut Vec<u8>, records: impl FnOnce(&mut Vec<u8>)) {
        Object::write(json, |page| {
            if let Some(stream) = self.stream {
                page.text("stream", stream);
            }
            page.member("records", records);
            if let Some(index) = self.broken_from {
                page.integer("broken_from", index.get());
            }
            if !self.redactions.is_empty() {
                page.array("redactions", &self.redactions, |json, body| body.push(json));
            }
            page.text("checkpoint", &self.checkpoint);
            page.integer("complete_to", self.complete_to.get());
            if !self.except.is_empty() {
                page.array("except", &self.except, |json, index| push_integer(json, index.get()));
            }
            if let Some(next) = &self.next {
                page.text("next", next);
            }
        });
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Fault`]; nothing is verified yet.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        Reader::read(body, MAX_ANSWER_BYTES, |reader| {
            let start = reader.offset();
            let (mut stream, mut records, mut broken_from, mut redactions) = (None, None, None, Vec::new());
            let (mut checkpoint, mut complete_to, mut except, mut next) = (None, None, Vec::new(), None);
            reader.object(MEMBERS, |reader, name, _| {
                match &*name {
                    "stream" => stream = Some(json::from_text(reader, "must be a stream's id")?),
                    "records" => records = Some(reader.list(MAX_PAGE, Listed::read)?),
                    "broken_from" => broken_from = json::or_null(reader, json::index)?,
                    "redactions" => redactions = reader.list(MAX_REDACTIONS, RecordBody::read)?,
                    "checkpoint" => checkpoint = Some(json::checkpoint(reader)?),
                    "complete_to" => complete_to = Some(json::size(reader)?),
                    "except" => except = reader.list(MAX_EXCEPT, json::index)?,
                    "next" => next = json::or_null(reader, |reader| json::from_text(reader, "must be a cursor"))?,
                    _ => drop(reader.json()?),
                }
                Ok(())
            })?;
            let missing = |name| move || Trouble::missing(start, name);
            Ok(Self {
                stream,
                records: records.ok_or_else(missing("records"))?,
                broken_from,
                redactions,
                checkpoint: checkpoint.ok_or_else(missing("checkpoint"))?,
                complete_to: complete_to.ok_or_else(missing("complete_to"))?,
                except,
                next,
            })
        })
    }
}
