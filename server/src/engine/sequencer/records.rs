//! Records: what each one's place in its stream is, and its leaf.
//!
//! Decided in the order of the queue against what was placed before, of this commit and of those on their way (`newest`),
//! then against what its handler had looked up. The records of one request are set up one after another, each on the ones
//! before it, and only when all of them are in order does any of this become known: a refused request leaves no trace.
//! Nothing is parsed and nothing is read here.
//!
//! What is told rests on what was placed before, which may not be released yet. So every answer but the plainest refusals
//! leaves behind the commits before it, as an answer to a retry does.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use cairn_tree::record::bounds::MAX_LEAF_BYTES;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::leaf::{LeafError, assemble};
use cairn_tree::record::server_part::{LaterSeq, Place, Seq, ServerPart};
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::LogId;
use tokio::sync::oneshot;

use super::admit::{Group, Now, Promised, Refusal, admissible};
use super::job::RecordJob;
use super::writer::Writer;
use crate::engine::append::AppendError;
use crate::engine::batch::Making;
use crate::engine::head::Shared;
use crate::engine::layout::{LogState, Placement};
use crate::engine::postings::{Print, PrintSecret};
use crate::engine::records::{
    Earlier, Looked, NewRecord, Newest, Prepared, RecordAnswer, RecordError, Sequenced, StreamTip, Told, stream_print,
};
use crate::engine::stored::Stored;

/// About how long a leaf is.
const LEAF_BYTES: usize = 900;

/// A request of records that is decided. Its answer leaves behind the commits before it.
pub(super) struct AdmittedRecords {
    pub(super) log: Arc<Shared>,
    pub(super) outcome: RecordOutcome,
    pub(super) reply: oneshot::Sender<RecordAnswer>,
}

/// What became of it.
pub(super) enum RecordOutcome {
    /// Each record has its place, and is to be found by these prints.
    Placed { told: Vec<Told>, prints: Vec<(Print, LeafIndex)> },
    /// An earlier request with its idempotency key has these places.
    Replayed(Placement),
    /// Refused, because of the record at this index if there is one.
    Refused(RecordError, Option<LeafIndex>),
    /// The writer does not remember enough.
    Again(Vec<Prepared>),
}

impl RecordOutcome {
    /// The last index that it rests on, so that it may be told only under a head that covers it.
    pub(super) fn rests_on(&self) -> Option<LeafIndex> {
        match self {
            Self::Placed { told, .. } => told.iter().map(Told::index).max(),
            Self::Replayed(placement) => placement.indexes().max(),
            Self::Refused(_, index) => *index,
            Self::Again(_) => None,
        }
    }

    /// The answer, under the log's newest head; none if that does not cover what it rests on, so that nobody may be told.
    pub(super) fn answer(self, log: &Shared) -> Option<RecordAnswer> {
        let head = log.head();
        if self.rests_on().is_some_and(|index| !head.size.contains(index)) {
            return match log.state() {
                // The writer may have halted the log for a later commit, or for this one.
                LogState::Halted(reason) => Some(RecordAnswer::Refused(AppendError::Halted(reason).into())),
                LogState::Open | LogState::Sealed => None,
            };
        }
        Some(match self {
            Self::Placed { told, .. } => RecordAnswer::Recorded { told, head, replayed: false },
            Self::Replayed(placement) => {
                let told = placement.indexes().map(Told::Before).collect();
                RecordAnswer::Recorded { told, head, replayed: true }
            }
            Self::Refused(error, _) => RecordAnswer::Refused(error),
            Self::Again(records) => RecordAnswer::Again(records),
        })
    }
}

/// Why the records of a request are not set up.
enum Unset {
    Refused(RecordError, Option<LeafIndex>),
    Again,
}

impl Writer {
    /// Decides about a request. Its records are taken out of it.
    pub(super) fn admit_records(
        &mut self,
        group: &mut Group,
        job: &mut RecordJob,
        row: Promised,
        now: &Now,
    ) -> Result<RecordOutcome, Refusal> {
        if let Some(placement) = group.promised(job.bound, row, now)? {
            return Ok(RecordOutcome::Replayed(placement));
        }
        admissible(&job.log, now)?;
        let log = job.log.info.id;
        let store = Arc::clone(&self.parts.store);
        let stored = Stored::new(&*store, log);
        self.bring_to_place(&job.log)?;
        let gone = || stored.damaged("the log, number", u64::from(log.get()), "it is not at hand");
        let track = self.residents.get_mut(log).ok_or_else(gone)?;
        let full = |_| Refusal::Request(AppendError::LogFull);
        track.size().plus(job.records.len() as u64).map_err(full)?;
        let records = core::mem::take(&mut job.records);
        let size = track.size().get();
        let horizon = begin(&self.parts.newest, log, size);
        let micros = track.record_time(now.us);
        let Ok(time) = Time::from_micros(micros) else {
            return Ok(RecordOutcome::Refused(RecordError::Full(0), None));
        };
        // Nobody else changes it, and whoever prepares records reads it meanwhile.
        let newest = self.parts.newest.read().unwrap_or_else(PoisonError::into_inner);
        let at = At { horizon, size, time };
        let mut setting = Setting::new(&newest, (log, &job.secret), at, records.len());
        match records.iter().enumerate().try_for_each(|(position, record)| setting.set(position, record)) {
            Ok(()) => {}
            Err(Unset::Refused(error, index)) => return Ok(RecordOutcome::Refused(error, index)),
            Err(Unset::Again) => return Ok(RecordOutcome::Again(records)),
        }
        // From here on nothing is refused.
        let Setting { made, added, told, prints, .. } = setting;
        drop(newest);
        if let Some(batch) = made.done() {
            track.place(&batch, 0..batch.len()).map_err(full)?;
        }
        let mut newest = self.parts.newest.write().unwrap_or_else(PoisonError::into_inner);
        for Added { record, disclosures } in added {
            track.keep(record.tip.index, micros, disclosures);
            newest.add(log, record);
        }
        drop(newest);
        self.promise(group, &job.log, job.bound, &placement(&told), now);
        Ok(RecordOutcome::Placed { told, prints })
    }
}

/// The horizon of a log; all its records from here on are added.
fn begin(newest: &RwLock<Newest>, log: LogId, size: u64) -> u64 {
    let known = newest.read().unwrap_or_else(PoisonError::into_inner).horizon(log);
    known.unwrap_or_else(|| newest.write().unwrap_or_else(PoisonError::into_inner).begin(log, size))
}

/// Where records are, as an idempotency key remembers it.
fn placement(told: &[Told]) -> Placement {
    let first = told.first().map_or(LeafIndex::ZERO, Told::index);
    let count = u32::try_from(told.len()).unwrap_or(u32::MAX);
    let in_a_row = told.iter().zip(first.get()..).all(|(told, expected)| told.index().get() == expected);
    if in_a_row { Placement::Run { first, count } } else { Placement::Each(told.iter().map(Told::index).collect()) }
}

/// A record that is set up.
struct Added {
    record: NewRecord,
    disclosures: [Bytes; 2],
}

/// Where a request finds its log.
struct At {
    /// From which index on nothing is missing in what is remembered.
    horizon: u64,
    size: u64,
    time: Time,
}

/// The records of one request that are set up so far.
struct Setting<'a> {
    newest: &'a Newest,
    log: LogId,
    secret: &'a PrintSecret,
    at: At,
    tips: HashMap<Print, StreamTip>,
    ids: HashMap<RecordId, Earlier>,
    made: Making,
    added: Vec<Added>,
    told: Vec<Told>,
    prints: Vec<(Print, LeafIndex)>,
}

impl<'a> Setting<'a> {
    fn new(newest: &'a Newest, (log, secret): (LogId, &'a PrintSecret), at: At, count: usize) -> Self {
        let (tips, ids) = (HashMap::new(), HashMap::new());
        let made = Making::with_capacity(count, LEAF_BYTES);
        let (added, told, prints) = (Vec::with_capacity(count), Vec::with_capacity(count), Vec::new());
        Self { newest, log, secret, at, tips, ids, made, added, told, prints }
    }

    /// Sets up the record at `position` of the request.
    fn set(&mut self, position: usize, record: &Prepared) -> Result<(), Unset> {
        let refused = |error| Unset::Refused(error, None);
        // 1. There is no record of its id, or it is this one.
        if let Some(earlier) = self.earlier(record)? {
            let index = Some(earlier.index).filter(|index| index.get() < self.at.size);
            if earlier.event != record.event_hash {
                return Err(Unset::Refused(RecordError::Id { position, id: record.id, index }, index));
            }
            self.told.push(Told::Before(earlier.index));
            return Ok(());
        }
        // 2. Its stream is where it is expected to be.
        let known = self.tips.get(&record.name_print);
        #[cfg(feature = "canaries")]
        let known = known.filter(|_| !crate::canary::Canary::NoOverlay.sings());
        let tip = match known {
            Some(tip) => Some(*tip),
            None => self.tip_before(record)?,
        };
        let full = |_| refused(RecordError::Full(position));
        let (stream, place) = match tip {
            None => (record.opens, record.first),
            Some(tip) => (tip.stream, Place::After { seq: LaterSeq::after(tip.seq).map_err(full)?, prev: tip.leaf }),
        };
        if !record.expected.holds(tip.as_ref()) || record.event.after().is_some_and(|after| !after.fits(&place)) {
            // Those of the same request that came before it will not be there.
            let tip = self.tip_before(record)?;
            return Err(Unset::Refused(RecordError::Expectation { position, tip }, tip.map(|tip| tip.index)));
        }
        // 3. Its leaf.
        let server = ServerPart { stream, place, time: self.at.time, by: record.by };
        let wrong = |error| refused(RecordError::Leaf { position, error });
        let leaf = assemble(&record.event, &server, record.signature.as_ref()).map_err(wrong)?;
        if leaf.len() > MAX_LEAF_BYTES {
            return Err(wrong(LeafError::TooLong(leaf.len())));
        }
        let index = LeafIndex::new(self.at.size + self.made.len() as u64);
        let index = index.map_err(|_| refused(RecordError::Full(position)))?;
        let hash = self.made.push(&leaf).map_err(|_| refused(RecordError::Full(position)))?;
        let (seq, prev) = (place.seq(), place.prev());
        self.add(record, StreamTip { stream, seq, leaf: hash, index });
        let (id, time) = (record.id, self.at.time);
        self.told.push(Told::New(Sequenced { id, index, leaf: hash, stream, seq, prev, time, replayed: false }));
        Ok(())
    }

    /// Notes what has become of a record.
    fn add(&mut self, record: &Prepared, tip: StreamTip) {
        let is_first = tip.seq == Seq::FIRST;
        let event = record.event_hash;
        self.tips.insert(record.name_print, tip);
        self.ids.insert(record.id, Earlier { index: tip.index, event });
        let opening = if is_first { record.opening.clone() } else { Bytes::new() };
        let new = NewRecord { name: record.name_print, id: record.id, event, tip };
        self.added.push(Added { record: new, disclosures: [record.disclosures.clone(), opening] });
        let opened = if is_first { record.opening_prints.as_slice() } else { &[] };
        let own = [record.name_print, record.id_print, stream_print(self.secret, tip.stream)];
        let all = own.iter().chain(&record.prints).chain(opened);
        self.prints.extend(all.map(|print| (*print, tip.index)));
    }

    /// The record that has the id, of the same request or placed before.
    fn earlier(&self, record: &Prepared) -> Result<Option<Earlier>, Unset> {
        if let Some(earlier) = self.ids.get(&record.id) {
            return Ok(Some(*earlier));
        }
        self.remembered(self.newest.earlier(self.log, &record.id), &record.earlier)
    }

    /// The last record of the stream that was placed before this request.
    fn tip_before(&self, record: &Prepared) -> Result<Option<StreamTip>, Unset> {
        self.remembered(self.newest.tip(self.log, &record.name_print), &record.tip)
    }

    /// What is remembered; or else what was looked up, if that is true still.
    fn remembered<T: Copy>(&self, newest: Option<T>, looked: &Looked<T>) -> Result<Option<T>, Unset> {
        match newest {
            None if looked.known_to >= self.at.horizon => Ok(looked.found),
            None => Err(Unset::Again),
            found => Ok(found),
        }
    }
}
