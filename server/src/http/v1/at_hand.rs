//! A stream whose records are all at hand at once, for replays in another order than that of the stream: by the producers'
//! times. They are read page by page, and what they take of the memory for answers is what has been read.
//!
//! All such replays together have half of that memory, so that whatever they take, other answers have the rest; and what has
//! grown large needs one of the places that reports have, of which one token has not all. Not here: replays in the stream's
//! own order, which keep no records (`replays`).

use std::sync::Arc;

use cairn_tree::record::chain::ChainError;
use cairn_tree::record::history::History;
use cairn_tree::record::later::Later;
use cairn_tree::record::open::Record;
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::{LeafIndex, TreeSize};

use super::super::App;
use super::super::answers::Held;
use super::super::problem::{Kind, Problem};
use super::history::{Asked, SeenEntry};
use super::replays::Spent;
use crate::engine::Head;
use crate::limits::{LIST_BYTES, LIST_RECORDS_MOST, REPLAY_BYTES, REPLAY_RECORDS};

/// Records of a stream on their way to be all at hand.
pub(super) struct AtHand {
    stream: Asked,
    records: Vec<Record>,
    later: Vec<Later>,
    /// Bytes of their leaves and disclosures.
    bytes: usize,
    /// What those take of the memory.
    held: Held,
    /// Where the next record is, or some place before it and behind the last one.
    next: LeafIndex,
    complete_to: TreeSize,
    under: Option<Arc<Head>>,
    spent: Spent,
}

/// A stream whose records are at hand.
pub(super) struct Gathered {
    pub(super) id: StreamId,
    pub(super) history: History,
    /// A head whose tree has all of them.
    pub(super) under: Arc<Head>,
    pub(super) complete_to: TreeSize,
    pub(super) spent: Spent,
    /// Until the records are let go of.
    pub(super) held: Held,
}

impl AtHand {
    /// Reads all records of a stream.
    pub(super) async fn gather(app: &Arc<App>, stream: Asked, spent: Spent) -> Result<Gathered, Problem> {
        let held = Held::of(Arc::clone(&app.answers));
        let begin = move || {
            // Before it is read; where its end can't be, that is told where it is.
            if stream.ending().ok().flatten().is_some_and(|(_, last)| last >= REPLAY_RECORDS as u64) {
                return Err(too_long(&held));
            }
            let complete_to = stream.reading.complete_to()?;
            let (records, later, next) = (Vec::new(), Vec::new(), LeafIndex::ZERO);
            Ok::<_, Problem>(Self { stream, records, later, bytes: 0, held, next, complete_to, under: None, spent })
        };
        let mut at_hand = app.read(begin).await?;
        loop {
            if at_hand.bytes > LIST_BYTES {
                at_hand.spent.take_place(app)?;
            }
            let page = move || {
                let done = at_hand.go_on()?;
                Ok::<_, Problem>((at_hand, done))
            };
            let (next, done) = app.read_bundles(page).await?;
            if done {
                return next.finish();
            }
            at_hand = next;
        }
    }

    /// Reads the next page; says whether it was the last one.
    fn go_on(&mut self) -> Result<bool, Problem> {
        let seq = (self.records.len().saturating_add(self.later.len())) as u64;
        let row = self.stream.row_at(self.next, Some(seq), (LIST_RECORDS_MOST, LIST_BYTES), |entry, _| Ok(entry))?;
        if row.records.is_empty() && seq == 0 {
            return Err(Problem::not_found());
        }
        self.under = Some(row.under);
        for entry in row.records {
            // Without it the state is not known from there on.
            let entry = entry.map_err(|problem| {
                let detail = format!("{problem}; the records before it are what they are");
                Problem::new(Kind::Integrity, detail).value(problem.index.to_string())
            })?;
            self.next = LeafIndex::new(entry.index().size_with().get()).map_err(Problem::internal)?;
            self.spent.read = self.spent.read.saturating_add(1);
            self.bytes = self.bytes.saturating_add(bytes_of(&entry));
            match entry {
                SeenEntry::Record(seen) => self.records.push(seen.record),
                SeenEntry::Later(entry) => self.later.push(entry.later),
            }
        }
        if self.records.len().saturating_add(self.later.len()) > REPLAY_RECORDS || self.bytes > most(&self.held) {
            return Err(too_long(&self.held));
        }
        self.held.hold(self.bytes)?;
        Ok(row.next.is_none())
    }

    fn finish(self) -> Result<Gathered, Problem> {
        let wrong = |error: ChainError| Problem::new(Kind::Integrity, error.to_string());
        let under = self.under.ok_or_else(Problem::not_found)?;
        let history = History::with_later(self.records, self.later).map_err(wrong)?;
        let id = history.records().first().map(|record| record.leaf().server().stream);
        let id = id.or_else(|| history.later().first().map(Later::stream)).ok_or_else(Problem::not_found)?;
        Ok(Gathered { id, history, under, complete_to: self.complete_to, spent: self.spent, held: self.held })
    }
}

/// Bytes of records that one history may have.
fn most(held: &Held) -> usize {
    REPLAY_BYTES.min(held.most())
}

fn too_long(held: &Held) -> Problem {
    let detail = "the stream is too long to be replayed by the producers' times; ask by the server's, or read it";
    let bound = format!("at most {REPLAY_RECORDS} records and {} bytes of them", most(held));
    Problem::new(Kind::OutOfRange, detail).field("stream").bound(bound)
}

/// Bytes of the leaf and disclosures.
fn bytes_of(entry: &SeenEntry) -> usize {
    match entry {
        SeenEntry::Record(seen) => seen.leaf.len().saturating_add(seen.disclosures.as_str().len()),
        SeenEntry::Later(later) => later.leaf.len(),
    }
}
