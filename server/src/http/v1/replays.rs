//! The states of a stream at some points. Where each record acts where it stands, the records pass through the replay page by
//! page and are not kept, however many there are; what a replay keeps is bounded, and one that takes long has one of the
//! places that reports have. Corrected views, and those by the producers' times, need the whole history at hand.

use std::sync::Arc;

use cairn_tree::record::chain::ChainError;
use cairn_tree::record::replay::{Passing, Replayed, View, replay};
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::{MAX_STATES, Point};

use super::super::Ask;
use super::super::places::Party;
use super::super::problem::{Kind, Problem};
use super::history::Asked;
use crate::auth::Right;
use crate::engine::Head;
use crate::limits::{LIST_BYTES, LIST_RECORDS_MOST, REPLAY_BYTES, REPLAY_RECORDS};

/// What a stream's records make of its objects.
pub(super) struct Replays {
    pub(super) id: StreamId,
    /// At each of the points.
    pub(super) at: Vec<Replayed>,
    /// A head whose tree has all of the records.
    pub(super) under: Arc<Head>,
    pub(super) complete_to: TreeSize,
}

/// Replays a stream up to each of some points.
pub(super) async fn replays(ask: &Ask<'_>, stream: Asked, points: Vec<Point>) -> Result<Replays, Problem> {
    let passing = |point: &Point| if point.view == View::AsRecorded { Passing::new(point.until) } else { None };
    let Some(passing) = points.iter().map(passing).collect::<Option<Vec<_>>>() else {
        return ask.read_large(move || held(&stream, &points)).await;
    };
    let begin = move || Passage::begin(stream, passing);
    let (mut passage, mut place) = (ask.read(begin).await?, None);
    loop {
        if passage.seen > REPLAY_RECORDS as u64 && place.is_none() {
            let token = ask.credential(Right::Read)?.id;
            place = Some(ask.app.reports.take(Party::Token(token))?);
        }
        let page = move || {
            let done = passage.go_on()?;
            Ok::<_, Problem>((passage, done))
        };
        // Between two pages others have their turn, and whoever has gone away ends it.
        let (next, done) = ask.read_large(page).await?;
        if done {
            return next.finish();
        }
        passage = next;
    }
}

fn held(stream: &Asked, points: &[Point]) -> Result<Replays, Problem> {
    let complete_to = stream.reading.complete_to()?;
    let whole = stream.whole()?;
    let at = points.iter().map(|point| replay(&whole.history, point.view, point.until)).collect();
    Ok(Replays { id: whole.id, at, complete_to: complete_to.min(whole.under.size), under: whole.under })
}

/// Records on their way through some replays.
struct Passage {
    stream: Asked,
    points: Vec<Passing>,
    seen: u64,
    /// Where the next record is, or some place before it and behind the last one.
    next: LeafIndex,
    complete_to: TreeSize,
    under: Option<Arc<Head>>,
}

impl Passage {
    fn begin(stream: Asked, points: Vec<Passing>) -> Result<Self, Problem> {
        let complete_to = stream.reading.complete_to()?;
        Ok(Self { stream, points, seen: 0, next: LeafIndex::ZERO, complete_to, under: None })
    }

    /// Lets the next page pass; says whether it was the last one that matters.
    fn go_on(&mut self) -> Result<bool, Problem> {
        let row = self.stream.row_at(self.next, self.seen, (LIST_RECORDS_MOST, LIST_BYTES))?;
        if row.records.is_empty() && self.seen == 0 {
            return Err(Problem::not_found());
        }
        for entry in row.records {
            // Without it the state is not known from there on.
            let entry = entry.map_err(|problem| {
                let detail = format!("{problem}; the records before it are what they are");
                Problem::new(Kind::Integrity, detail).value(problem.index.to_string())
            })?;
            let wrong = |error: ChainError| Problem::new(Kind::Integrity, error.to_string());
            self.points.iter_mut().try_for_each(|passing| passing.enter(entry.entered())).map_err(wrong)?;
            self.next = LeafIndex::new(entry.index().size_with().get()).map_err(Problem::internal)?;
            self.seen = self.seen.saturating_add(1);
        }
        self.under = Some(row.under);
        let (bytes, flags): (usize, usize) =
            (self.points.iter().map(Passing::bytes).sum(), self.points.iter().map(Passing::flags).sum());
        if bytes > REPLAY_BYTES || flags > MAX_STATES {
            let detail = "the stream's states are too large to be told in one answer; read its records";
            let bound = format!("at most {REPLAY_BYTES} bytes of states and ids, and {MAX_STATES} flags");
            return Err(Problem::new(Kind::OutOfRange, detail).field("stream").bound(bound));
        }
        Ok(row.next.is_none() || self.points.iter().all(Passing::is_over))
    }

    fn finish(self) -> Result<Replays, Problem> {
        let id = self.points.first().and_then(Passing::stream).ok_or_else(Problem::not_found)?;
        let under = self.under.ok_or_else(Problem::not_found)?;
        let at = self.points.into_iter().map(Passing::finish).collect();
        Ok(Replays { id, at, complete_to: self.complete_to.min(under.size), under })
    }
}
