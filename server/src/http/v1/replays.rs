//! The states of a stream at some points. The records pass through the replay page by page and are not kept, however many
//! there are: once where each acts where it stands, and twice where corrections act in the places of what they correct. What
//! a replay keeps is bounded, and one that takes long has one of the places that reports have. Replays by the producers'
//! times need the whole history at hand (`at_hand`).
//!
//! No record behind all of the points is needed where each acts where it stands: whether it is good makes no difference, and
//! by number none is read. A correction may stand anywhere, so that the corrected view needs every record.
//!
//! The parts of a stream in several logs act one after another, each in its own order.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_tree::record::chain::ChainError;
use cairn_tree::record::replay::{
    Acting, Correcting, Corrections, Flag, LastLogs, ObjectKey, Ongoing, Passing, Replayed, State, Until, View,
    replay_over,
};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::stream::StreamId;
use cairn_tree::record::time::Time;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::{EarlierPart, MAX_STATES, Point};

use super::super::answers::Growing;
use super::super::places::{Party, Place};
use super::super::problem::{Kind, Problem};
use super::super::{App, Ask};
use super::at_hand::{AtHand, Gathered};
use super::bodies::checkpoint;
use super::history::{Asked, SeenEntry};
use super::parts::{Parts, before};
use super::size::Size;
use crate::auth::{Right, TokenId};
use crate::engine::Head;
use crate::limits::{LIST_BYTES, LIST_RECORDS_MOST, REPLAY_BYTES, REPLAY_RECORDS};

/// What a stream's records make of its objects.
pub(super) struct Replays {
    pub(super) id: StreamId,
    /// At each of the points.
    pub(super) at: Vec<Replayed>,
    /// At each of the points, the log of the last record of those objects on which none of this log has acted.
    pub(super) logs: Vec<LastLogs>,
    /// The parts of the stream in other logs, the nearest first.
    pub(super) earlier: Vec<EarlierPart>,
    /// A head whose tree has all of the records.
    pub(super) under: Arc<Head>,
    pub(super) complete_to: TreeSize,
    /// What all of that takes of the memory for answers, until it is told.
    pub(super) room: Growing,
}

/// The newest states of some objects.
pub(in crate::http) struct Newest {
    pub(in crate::http) states: BTreeMap<ObjectKey, State>,
    /// What they take of the memory for answers.
    _room: Growing,
}

/// A part of a stream, replayed up to each of some points.
struct Ended {
    id: StreamId,
    at: Vec<(Ongoing, Vec<Flag>)>,
    under: Arc<Head>,
    complete_to: TreeSize,
    spent: Spent,
}

/// What a replay has taken so far, its parts all together.
pub(super) struct Spent {
    /// How many records it has read.
    pub(super) read: u64,
    /// Whose replay it is, and one of the places that reports have, once those are many.
    token: TokenId,
    place: Option<Place>,
    room: Growing,
    /// How much of the room the earlier parts keep.
    before: usize,
}

impl Spent {
    /// Nothing yet.
    fn nothing(app: &App, token: TokenId) -> Self {
        Self { read: 0, token, place: None, room: Growing::of(Arc::clone(&app.answers)), before: 0 }
    }

    /// With the place that one needs who goes on after so many records.
    fn go_on(&mut self, app: &App) -> Result<(), Problem> {
        if self.read > REPLAY_RECORDS as u64 { self.take_place(app) } else { Ok(()) }
    }

    /// With the place that one needs who takes much, unless he has it.
    pub(super) fn take_place(&mut self, app: &App) -> Result<(), Problem> {
        if self.place.is_none() {
            self.place = Some(app.reports.take(Party::Token(self.token))?);
        }
        Ok(())
    }

    /// Makes room for so many bytes of a part.
    fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        self.room.hold(self.before.saturating_add(bytes))
    }

    /// Refuses what can't be told in one answer, or takes more than all answers together may: however long its asker waits.
    fn bound(&self, kept: Size) -> Result<(), Problem> {
        let Size { told, own, flags } = kept;
        if told <= REPLAY_BYTES && self.before.saturating_add(own) <= self.room.most() && flags <= MAX_STATES {
            return Ok(());
        }
        let detail = "the stream's states are too large to be told in one answer; read its records";
        let most = REPLAY_BYTES.min(self.room.most());
        let bound = format!("at most {most} bytes of states and ids, and {MAX_STATES} flags");
        Err(Problem::new(Kind::OutOfRange, detail).field("stream").bound(bound))
    }

    /// Keeps what a part that was replayed takes.
    fn settle(&mut self, at: &[(Ongoing, Vec<Flag>)]) {
        self.room.settle(self.before.saturating_add(Size::of(at).own));
        self.before = self.room.bytes();
    }
}

/// The states that a stream begins with, if a part of it was before.
type Base = Option<Arc<Ongoing>>;

/// Replays a stream up to each of some points, after its parts in other logs, if they are to act.
pub(super) async fn replays(
    ask: &Ask<'_>,
    stream: Asked,
    points: Vec<Point>,
    with_earlier: bool,
) -> Result<Replays, Problem> {
    let app = Arc::clone(ask.app);
    let Parts { mut earlier, this, unread } = ask.read(move || Parts::of(&app, stream, with_earlier)).await?;
    let mut bases: Vec<Base> = vec![None; points.len()];
    let (mut told, mut logs) = (Vec::new(), vec![LastLogs::default(); points.len()]);
    let mut spent = Spent::nothing(ask.app, ask.credential(Right::Read)?.id);
    told.extend(unread.map(|head| EarlierPart { head, checkpoint: None }));
    // The oldest is the last of them.
    while let Some((part, head)) = earlier.pop() {
        let points = points.iter().copied().map(before).collect();
        let Ended { at, under, spent: so_far, .. } = one(ask.app, part, (points, bases), spent).await?;
        spent = so_far;
        for (logs, (ongoing, _)) in logs.iter_mut().zip(&at) {
            logs.enter(ongoing, &head.log);
        }
        bases = at.into_iter().map(|(ongoing, _)| Some(Arc::new(ongoing))).collect();
        told.push(EarlierPart { head, checkpoint: Some(checkpoint(&under)?) });
    }
    let Ended { id, at, under, complete_to, spent } = one(ask.app, this, (points, bases), spent).await?;
    let mut replayed = Vec::with_capacity(at.len());
    for (logs, (ongoing, flags)) in logs.iter_mut().zip(at) {
        logs.end(&ongoing);
        replayed.push(ongoing.replayed(flags));
    }
    told.reverse();
    Ok(Replays { id, at: replayed, logs, earlier: told, under, complete_to, room: spent.room })
}

/// What parts of one history, the oldest first, make of their objects, whether they name each other or not.
pub(in crate::http) async fn newest(
    app: &Arc<App>,
    token: TokenId,
    parts: Vec<Asked>,
) -> Result<Option<Newest>, Problem> {
    let point = Point { until: Until::End, view: View::AsRecorded };
    let (mut base, mut spent): (Base, _) = (None, Spent::nothing(app, token));
    for part in parts {
        let Ended { at, spent: so_far, .. } = one(app, part, (vec![point], vec![base]), spent).await?;
        (base, spent) = (at.into_iter().next().map(|(ongoing, _)| Arc::new(ongoing)), so_far);
    }
    let states = base.and_then(Arc::into_inner).map(|ongoing| ongoing.replayed(Vec::new()).states);
    Ok(states.map(|states| Newest { states, _room: spent.room }))
}

/// Replays one part of a stream.
async fn one(
    app: &Arc<App>,
    stream: Asked,
    (points, bases): (Vec<Point>, Vec<Base>),
    mut spent: Spent,
) -> Result<Ended, Problem> {
    // Who finds no room by himself need not come again.
    spent.bound(Size::of_bytes(1))?;
    let Some(way) = Way::of(&points, &bases) else {
        spent.go_on(app)?;
        let gathered = AtHand::gather(app, stream, spent).await?;
        return app.read_bundles(move || by_history(gathered, &points, &bases)).await;
    };
    let untils = points.into_iter().map(|point| point.until).collect();
    spent.hold(1)?;
    let mut passage = app.read(move || Passage::begin(stream, way, untils, spent)).await?;
    loop {
        passage.spent.go_on(app)?;
        let page = move || {
            let done = passage.go_on()?;
            Ok::<_, Problem>((passage, done))
        };
        // Between two pages others have their turn, and whoever has gone away ends it.
        let (next, done) = app.read_bundles(page).await?;
        if done {
            return next.finish();
        }
        passage = next;
    }
}

/// Replays one part of a stream by its whole history.
fn by_history(gathered: Gathered, points: &[Point], bases: &[Base]) -> Result<Ended, Problem> {
    let Gathered { id, history, under, complete_to, mut spent, held } = gathered;
    let replayed = |(point, base): (&Point, &Base)| replay_over(base.clone(), &history, point.view, point.until);
    let at: Vec<(Ongoing, Vec<Flag>)> = points.iter().zip(bases).map(replayed).collect();
    drop((history, held));
    spent.bound(Size::of(&at))?;
    spent.settle(&at);
    Ok(Ended { id, at, complete_to: complete_to.min(under.size), under, spent })
}

/// What records do on their way.
enum Way {
    /// Each acts where it stands.
    Recorded(Vec<Passing>),
    /// They tell which of them correct others, for replays up to these points, each with what it begins with.
    Learning(Box<Corrections>, Vec<(Until, Base)>),
    /// They act where they belong, after all have told.
    Corrected(Arc<Corrections>, Vec<Correcting>),
}

impl Way {
    /// The way to some points, from what the stream begins with at each; `None` if the records can't pass one after another.
    fn of(points: &[Point], bases: &[Base]) -> Option<Self> {
        let by_producer = |point: &Point| matches!(point.until, Until::ProducerTime(_));
        if points.iter().any(by_producer) {
            return None;
        }
        let begun = points.iter().zip(bases).map(|(point, base)| (point, base.clone()));
        if points.iter().all(|point| point.view == View::Corrected) {
            return Some(Self::Learning(Box::default(), begun.map(|(point, base)| (point.until, base)).collect()));
        }
        let passing = |(point, base): (&Point, Base)| match point.view {
            View::AsRecorded => Passing::over(base, point.until),
            View::Corrected => None,
        };
        begun.map(passing).collect::<Option<_>>().map(Self::Recorded)
    }

    /// What is kept on it.
    fn kept(&self) -> Size {
        match self {
            Self::Recorded(points) => {
                let size = |point: &Passing| Size {
                    told: point.bytes(),
                    own: point.own_bytes(),
                    flags: point.course().flags(),
                };
                points.iter().map(size).sum()
            }
            Self::Learning(corrections, _) => Size::of_bytes(corrections.bytes()),
            Self::Corrected(corrections, points) => {
                let size = |point: &Correcting| {
                    let course = point.course();
                    Size { told: course.bytes(), own: course.own_bytes(), flags: course.flags() }
                };
                points.iter().map(size).chain([Size::of_bytes(corrections.bytes())]).sum()
            }
        }
    }

    /// Whether records act on it, rather than tell what is to act.
    const fn acts(&self) -> bool {
        !matches!(self, Self::Learning(..))
    }

    /// Whether nothing that comes matters.
    fn is_over(&self) -> bool {
        match self {
            Self::Recorded(points) => points.iter().all(|point| point.course().is_over()),
            Self::Learning(..) => false,
            Self::Corrected(_, points) => points.iter().all(|point| point.course().is_over()),
        }
    }
}

/// Records on their way through some replays.
struct Passage {
    stream: Asked,
    way: Way,
    /// The points.
    untils: Vec<Until>,
    /// The number of the next record.
    seq: u64,
    /// Where the next record is, or some place before it and behind the last one.
    next: LeafIndex,
    complete_to: TreeSize,
    under: Option<Arc<Head>>,
    spent: Spent,
}

impl Passage {
    fn begin(stream: Asked, way: Way, untils: Vec<Until>, spent: Spent) -> Result<Self, Problem> {
        let complete_to = stream.reading.complete_to()?;
        Ok(Self { stream, way, untils, seq: 0, next: LeafIndex::ZERO, complete_to, under: None, spent })
    }

    /// Lets the next page pass; says whether it was the last one that matters.
    fn go_on(&mut self) -> Result<bool, Problem> {
        let row = self.stream.row_at(self.next, Some(self.seq), (self.most(), LIST_BYTES), |entry, _| Ok(entry))?;
        if row.records.is_empty() && self.seq == 0 {
            return Err(Problem::not_found());
        }
        self.under = Some(Arc::clone(&row.under));
        for entry in row.records {
            if self.way.is_over() {
                return Ok(true);
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(problem) if self.is_past(self.stream.time_of(&problem, &row.under)?) => return Ok(true),
                // Without it the state is not known from there on.
                Err(problem) => {
                    let detail = format!("{problem}; the records before it are what they are");
                    return Err(Problem::new(Kind::Integrity, detail).value(problem.index.to_string()));
                }
            };
            self.enter(&entry)?;
            self.next = LeafIndex::new(entry.index().size_with().get()).map_err(Problem::internal)?;
            self.seq = self.seq.saturating_add(1);
            self.spent.read = self.spent.read.saturating_add(1);
        }
        let kept = self.way.kept();
        self.spent.bound(kept)?;
        self.spent.hold(kept.own)?;
        Ok((row.next.is_none() && !self.passes_again()) || self.way.is_over() || self.is_past(None))
    }

    /// How many records are read at a time: none behind a point that is a number, if all are.
    fn most(&self) -> usize {
        let number = |until: &Until| match until {
            Until::Seq(seq) => Some(seq.get()),
            _ => None,
        };
        let last = self.untils.iter().map(number).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        let left = last.filter(|_| self.way.acts()).map(|last| last.saturating_sub(self.seq).saturating_add(1));
        left.and_then(|left| usize::try_from(left).ok()).map_or(LIST_RECORDS_MOST, |left| left.min(LIST_RECORDS_MOST))
    }

    /// Whether the next record is behind all points; `time` is the server's, if that is known. Before the first one nobody
    /// knows which stream it is.
    fn is_past(&self, time: Option<Time>) -> bool {
        let is_past = |until: &Until| match until {
            Until::Seq(seq) => self.seq > seq.get(),
            Until::ServerTime(until) => time.is_some_and(|time| time > *until),
            Until::End | Until::ProducerTime(_) => false,
        };
        self.seq > 0 && self.way.acts() && self.untils.iter().all(is_past)
    }

    fn enter(&mut self, entry: &SeenEntry) -> Result<(), Problem> {
        let wrong = |error: ChainError| Problem::new(Kind::Integrity, error.to_string());
        let entered = entry.entered();
        match &mut self.way {
            Way::Recorded(points) => points.iter_mut().try_for_each(|point| point.enter(entered)).map_err(wrong),
            Way::Learning(corrections, _) => corrections.enter(entered).map_err(wrong),
            Way::Corrected(corrections, points) => {
                let correction = match corrections.acting(entered.seq()) {
                    Acting::Correction { seq, index } => {
                        self.spent.read = self.spent.read.saturating_add(1);
                        Some(correction(&self.stream, seq, index)?)
                    }
                    Acting::Itself | Acting::Nothing => None,
                };
                let acting = correction.as_ref().map(SeenEntry::entered);
                points.iter_mut().try_for_each(|point| point.enter(entered, acting)).map_err(wrong)
            }
        }
    }

    /// After the last record: whether all pass once more.
    fn passes_again(&mut self) -> bool {
        let Way::Learning(corrections, points) = &mut self.way else { return false };
        let corrections = Arc::new(std::mem::take(&mut **corrections));
        let correcting = |(until, base): (Until, Base)| Correcting::over(base, Arc::clone(&corrections), until);
        let points = std::mem::take(points).into_iter().filter_map(correcting).collect();
        self.way = Way::Corrected(corrections, points);
        (self.seq, self.next) = (0, LeafIndex::ZERO);
        // What is shown is noted already.
        self.stream.reading = self.stream.reading.clone().unnoted();
        true
    }

    fn finish(mut self) -> Result<Ended, Problem> {
        let under = self.under.ok_or_else(Problem::not_found)?;
        let (id, at): (_, Vec<(Ongoing, Vec<Flag>)>) = match self.way {
            Way::Recorded(points) => {
                let id = points.first().and_then(Passing::stream);
                (id, points.into_iter().map(|point| point.into_course().end()).collect())
            }
            Way::Learning(corrections, _) => (corrections.stream(), Vec::new()),
            Way::Corrected(corrections, points) => {
                (corrections.stream(), points.into_iter().map(|point| point.into_course().end()).collect())
            }
        };
        let id = id.ok_or_else(Problem::not_found)?;
        self.spent.settle(&at);
        Ok(Ended { id, at, complete_to: self.complete_to.min(under.size), under, spent: self.spent })
    }
}

/// The correction that acts in a place, verified as every record is.
fn correction(stream: &Asked, seq: Seq, index: LeafIndex) -> Result<SeenEntry, Problem> {
    let mut row = stream.row_at(index, Some(seq.get()), (1, LIST_BYTES), |entry, _| Ok(entry))?;
    let entry = row.records.pop().ok_or_else(|| Problem::internal("a correction that is not there any more"))?;
    entry.map_err(|problem| Problem::new(Kind::Integrity, problem.to_string()).value(problem.index.to_string()))
}
