//! The newest records of all logs: which stream each is the head of, and which ids they have. So the writer decides about
//! nearly every record from memory, and readers need not look for what stands here.
//!
//! Bounded by a number of records, which take as many bytes each: for each one too many, the oldest makes room. What they
//! take is taken with the first of them, and does not grow. A log's horizon is the index from which
//! on nothing of it is missing here. What is not here stands before the horizon, and what somebody has found out about the
//! log up to the horizon or beyond is therefore true still. Records stand here from when they are placed: their commit
//! follows, or the log is halted and forgotten, or the process ends.

use std::collections::{HashMap, VecDeque};

use cairn_tree::hash::Hash;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::LogId;

use crate::engine::bounds::NEWEST_RECORDS;
use crate::engine::postings::Print;
use crate::engine::tables::table_bytes;

/// The last record of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamTip {
    /// The stream.
    pub stream: StreamId,
    /// The record's number in it.
    pub seq: Seq,
    /// The record's leaf hash.
    pub leaf: Hash,
    /// Where it is in the log.
    pub index: LeafIndex,
}

/// A record that has an id already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Earlier {
    /// Where it is.
    pub(in crate::engine) index: LeafIndex,
    /// A hash of its event.
    pub(in crate::engine) event: Hash,
}

/// A record that was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct NewRecord {
    /// The print of its stream's name.
    pub(in crate::engine) name: Print,
    pub(in crate::engine) id: RecordId,
    /// A hash of its event.
    pub(in crate::engine) event: Hash,
    pub(in crate::engine) tip: StreamTip,
}

/// What a record is forgotten by.
type Aged = (LogId, LeafIndex, Print, RecordId);

/// The newest records.
pub(in crate::engine) struct Newest {
    most: usize,
    tips: HashMap<(LogId, Print), StreamTip>,
    ids: HashMap<(LogId, RecordId), Earlier>,
    /// Oldest first.
    order: VecDeque<Aged>,
    horizons: HashMap<LogId, u64>,
}

impl Default for Newest {
    fn default() -> Self {
        Self::with_room(NEWEST_RECORDS)
    }
}

impl Newest {
    fn with_room(most: usize) -> Self {
        let (tips, ids, order, horizons) = (HashMap::new(), HashMap::new(), VecDeque::new(), HashMap::new());
        Self { most, tips, ids, order, horizons }
    }

    /// The last record of the stream with this name, if it stands here.
    pub(in crate::engine) fn tip(&self, log: LogId, name: &Print) -> Option<StreamTip> {
        self.tips.get(&(log, *name)).copied()
    }

    /// The record with this id, if it stands here.
    pub(in crate::engine) fn earlier(&self, log: LogId, id: &RecordId) -> Option<Earlier> {
        self.ids.get(&(log, *id)).copied()
    }

    /// The log's horizon; `None` if nothing is known of it yet.
    pub(in crate::engine) fn horizon(&self, log: LogId) -> Option<u64> {
        self.horizons.get(&log).copied()
    }

    /// The bytes that it takes, and those that it ever takes.
    pub(in crate::engine) fn bytes(&self) -> (usize, usize) {
        let tips = table_bytes::<((LogId, Print), StreamTip)>(self.places());
        let ids = table_bytes::<((LogId, RecordId), Earlier)>(self.places());
        let most = tips + ids + self.room() * size_of::<Aged>();
        (if self.order.capacity() > 0 { most } else { 0 }, most)
    }

    /// From here on all records of a log are added. `size` is what it has now; returns its horizon.
    pub(in crate::engine) fn begin(&mut self, log: LogId, size: u64) -> u64 {
        if self.order.capacity() == 0 {
            self.tips.reserve(self.places());
            self.ids.reserve(self.places());
            self.order.reserve_exact(self.room());
        }
        *self.horizons.entry(log).or_insert(size)
    }

    /// One more is there for as long as it takes to forget the oldest.
    const fn room(&self) -> usize {
        self.most + 1
    }

    /// A table in which places are taken and left all the time is put in order where it stands, as long as no more than half
    /// of it is in use; else it would double. That would be copied while all who write wait, and hardly be used.
    const fn places(&self) -> usize {
        2 * self.room()
    }

    /// Adds a record, the newest of its log.
    pub(in crate::engine) fn add(&mut self, log: LogId, record: NewRecord) {
        let NewRecord { name, id, event, tip } = record;
        self.tips.insert((log, name), tip);
        self.ids.insert((log, id), Earlier { index: tip.index, event });
        self.order.push_back((log, tip.index, name, id));
        while self.order.len() > self.most {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((log, index, name, id)) = self.order.pop_front() else { return };
        if self.tips.get(&(log, name)).is_some_and(|tip| tip.index == index) {
            self.tips.remove(&(log, name));
        }
        self.ids.remove(&(log, id));
        if let Some(horizon) = self.horizons.get_mut(&log) {
            *horizon = (*horizon).max(index.get().saturating_add(1));
        }
    }

    /// Forgets a log whose records may not have come to be.
    pub(in crate::engine) fn forget(&mut self, log: LogId) {
        if self.horizons.remove(&log).is_none() {
            return;
        }
        self.tips.retain(|(of, _), _| *of != log);
        self.ids.retain(|(of, _), _| *of != log);
        self.order.retain(|(of, ..)| *of != log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::postings::{Facet, PrintSecret};
    use cairn_tree::record::digest::Digest;
    use cairn_tree::record::time::Time;

    fn record(number: u64, stream: u64) -> NewRecord {
        let name = Print::new(&PrintSecret::new([1; 16]), Facet::StreamName, &[&stream.to_string()]);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&number.to_be_bytes());
        let id = RecordId::v7(Time::from_micros(0).unwrap(), random);
        let leaf = Hash::leaf(&number.to_be_bytes());
        let index = LeafIndex::new(number).unwrap();
        let stream = StreamId::new(Digest::of(&stream.to_string()));
        NewRecord { name, id, event: leaf, tip: StreamTip { stream, seq: Seq::FIRST, leaf, index } }
    }

    /// Beside a plain list of everything: what is not here stands before the horizon.
    #[test]
    fn nothing_from_the_horizon_on_is_missing() {
        let (one, other) = (LogId::new(1), LogId::new(2));
        let mut newest = Newest::with_room(10);
        assert_eq!((newest.begin(one, 5), newest.begin(other, 0), newest.begin(one, 9)), (5, 0, 5));
        let mut all: Vec<NewRecord> = Vec::new();
        for number in 5..200 {
            let added = record(number, number * number % 17);
            newest.add(one, added);
            all.push(added);
            if number % 7 == 0 {
                newest.add(other, record(number, 1));
            }
            let horizon = newest.horizon(one).unwrap();
            assert!(horizon <= number && newest.order.len() <= 10 && newest.tips.len() <= 10);
            assert!(newest.ids.len() <= 10);
            for stream in 0..17 {
                let name = record(0, stream).name;
                let last = all.iter().rev().find(|record| record.name == name).map(|record| record.tip);
                match newest.tip(one, &name) {
                    Some(tip) => assert_eq!(Some(tip), last),
                    None => assert!(last.is_none_or(|tip| tip.index.get() < horizon), "stream {stream} at {number}"),
                }
            }
            for old in &all {
                let found = newest.earlier(one, &old.id);
                assert_eq!(found.is_some(), old.tip.index.get() >= horizon);
                assert!(found.is_none_or(|found| found == Earlier { index: old.tip.index, event: old.event }));
            }
        }
        assert_eq!(newest.bytes().0, newest.bytes().1);
        newest.forget(one);
        assert_eq!((newest.horizon(one), newest.tip(one, &record(0, 1).name)), (None, None));
        assert!(newest.tip(other, &record(0, 1).name).is_some());
        assert_eq!(newest.begin(one, 200), 200);
    }

    /// As many records as a server remembers, and many times as many since; each of a stream of its own.
    #[test]
    fn what_it_takes_is_taken_once_and_does_not_grow() {
        const MOST: usize = 114_000;
        let (log, mut newest) = (LogId::new(1), Newest::with_room(MOST));
        assert_eq!(newest.bytes().0, 0, "a server without records");
        newest.begin(log, 0);
        let (bytes, most) = newest.bytes();
        assert!(bytes == most && most <= 50 << 20, "{most}");
        let places = |newest: &Newest| (newest.tips.capacity(), newest.ids.capacity(), newest.order.capacity());
        let begun = places(&newest);
        for number in 0..5 * MOST as u64 {
            newest.add(log, record(number, number));
            // Places that were left and are not in order yet do not count, so that these numbers fall and rise.
            let now = places(&newest);
            assert!(now.0 <= begun.0 && now.1 <= begun.1 && now.2 == begun.2, "{now:?} of {begun:?} at {number}");
        }
        assert_eq!((newest.tips.len(), newest.ids.len(), newest.order.len()), (MOST, MOST, MOST));
    }
}
