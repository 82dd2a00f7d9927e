//! Random journeys of records beside a plain model of them. Requests that are sent together may take effect in any order,
//! but in one: some order of them, one after another, has to explain every answer.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::model::orders;
use super::*;

/// What a request expects of a stream, as a small number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Anything,
    Nothing,
    Seq(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ask {
    records: Vec<(u8, u64, u16, Wish)>,
    key: Option<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Sent together; at most three, since all their orders are tried.
    Record(Vec<Ask>),
    /// Other entries, and so many of them.
    Other(usize),
    Pass(u64),
    Restart,
    /// The store fails in the next commit, whose rows are there or not; then a restart.
    Fail(Ask, bool),
}

fn ask() -> impl Strategy<Value = Ask> {
    let wish = prop_oneof![
        4 => Just(Wish::Anything),
        1 => Just(Wish::Nothing),
        2 => (0_u64..4).prop_map(Wish::Seq),
    ];
    let record = (0_u8..4, 0_u64..40, select(vec![0, 0, 0, 1]), wish);
    (vec(record, 1..5), option::weighted(0.3, 0_u8..3)).prop_map(|(records, key)| Ask { records, key })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(ask(), 1..2).prop_map(Step::Record),
        5 => vec(ask(), 2..4).prop_map(Step::Record),
        2 => select(vec![1, 5, 100]).prop_map(Step::Other),
        2 => select(vec![1, 500, 1_000]).prop_map(Step::Pass),
        2 => Just(Step::Restart),
        1 => (ask(), any::<bool>()).prop_map(|(ask, there)| Step::Fail(ask, there)),
    ]
}

/// What a request was answered, as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// Index, number in the stream, and whether it was there before, of each record.
    Recorded(Vec<(u64, u64, bool)>),
    Mismatch,
    Expectation {
        position: usize,
        tip: Option<(u64, u64)>,
    },
    Id {
        position: usize,
        index: Option<u64>,
    },
}

/// A log of records as lists and maps.
#[derive(Clone, Debug, Default)]
struct Plain {
    size: u64,
    /// The indexes of each object's records.
    streams: HashMap<u8, Vec<u64>>,
    /// Index, object, number and what it says, by id.
    ids: HashMap<u64, (u64, u8, u64, u16)>,
    keys: HashMap<u8, Promise>,
}

#[derive(Clone, Debug)]
struct Promise {
    records: Vec<(u8, u64, u16, Wish)>,
    /// Index, and number in the stream.
    places: Vec<(u64, u64)>,
    expires_ms: u64,
}

impl Plain {
    fn record(&mut self, ask: &Ask, now_ms: u64) -> Answer {
        let kept = ask.key.and_then(|key| self.keys.get(&key)).filter(|kept| kept.expires_ms > now_ms);
        if let Some(kept) = kept {
            if kept.records != ask.records {
                return Answer::Mismatch;
            }
            return Answer::Recorded(kept.places.iter().map(|(index, seq)| (*index, *seq, true)).collect());
        }
        let mut next = self.clone();
        let mut places = Vec::new();
        for (position, (object, id, says, wish)) in ask.records.iter().enumerate() {
            if let Some((index, of, seq, said)) = next.ids.get(id) {
                if (of, said) != (object, says) {
                    return Answer::Id { position, index: (*index < self.size).then_some(*index) };
                }
                places.push((*index, *seq, true));
                continue;
            }
            let length = next.streams.get(object).map_or(0, Vec::len) as u64;
            let holds = match wish {
                Wish::Anything => true,
                Wish::Nothing => length == 0,
                Wish::Seq(seq) => length == seq + 1,
            };
            if !holds {
                let stream = self.streams.get(object);
                let tip = stream.and_then(|stream| Some((stream.len() as u64 - 1, *stream.last()?)));
                return Answer::Expectation { position, tip };
            }
            next.streams.entry(*object).or_default().push(next.size);
            next.ids.insert(*id, (next.size, *object, length, *says));
            places.push((next.size, length, false));
            next.size += 1;
        }
        if let Some(key) = ask.key {
            let places = places.iter().map(|(index, seq, _)| (*index, *seq)).collect();
            next.keys.insert(key, Promise { records: ask.records.clone(), places, expires_ms: now_ms + 1_000 });
        }
        *self = next;
        Answer::Recorded(places)
    }
}

struct Pair {
    archive: Archive,
    plain: Plain,
    now_ms: u64,
}

impl Pair {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Record(asks) => self.record(asks),
            Step::Other(count) => {
                let size = self.plain.size as usize;
                self.archive.world.append("main", &numbered(size..size + count));
                self.plain.size += *count as u64;
            }
            Step::Pass(ms) => {
                self.now_ms += ms;
                self.archive.world.clock.set(self.now_ms);
            }
            Step::Restart => self.archive.reopen(),
            Step::Fail(ask, there) => self.fail(ask, *there),
        }
        self.archive.check();
        assert_eq!(self.archive.log().head().size.get(), self.plain.size);
    }

    fn record(&mut self, asks: &[Ask]) {
        let sent: Vec<SentRecords> = asks.iter().map(|ask| self.send(ask)).collect();
        let answers: Vec<Answer> = sent.into_iter().zip(asks).map(|(sent, ask)| self.answer(sent, ask)).collect();
        let explained = orders(asks.len()).into_iter().find_map(|order| {
            let mut plain = self.plain.clone();
            let fits = order.iter().all(|number| plain.record(&asks[*number], self.now_ms) == answers[*number]);
            fits.then_some(plain)
        });
        self.plain =
            explained.unwrap_or_else(|| panic!("no order explains {asks:?} -> {answers:?} in {:?}", self.plain));
    }

    /// The commit's outcome is unknown until the restart shows it: all of the request, or nothing.
    fn fail(&mut self, ask: &Ask, there: bool) {
        let store = self.archive.world.reopen_faulty();
        let written = if there { Written::Yes } else { Written::No };
        store.arm(Fault { flip: None, unknown: Some(written) });
        let sent = self.send(ask);
        let answer = self.archive.world.runtime.block_on(sent).unwrap();
        if store.fired() == 0 {
            // There was nothing to commit.
            let stopping = matches!(answer, Err(RecordError::Append(AppendError::Stopping(_))));
            assert!(!stopping, "{answer:?}");
        } else {
            assert!(matches!(answer, Err(RecordError::Append(AppendError::Stopping(_)))), "{answer:?}");
            if there {
                self.plain.record(ask, self.now_ms);
            }
        }
        drop(store);
        self.archive.reopen();
    }

    fn plans(ask: &Ask) -> Vec<Plan> {
        let expected = |wish: &Wish| match wish {
            Wish::Anything => Expectation::default(),
            Wish::Nothing => Expectation { seq: Some(None), prev: None },
            Wish::Seq(seq) => Expectation { seq: Some(Some(Seq::new(*seq).unwrap())), prev: None },
        };
        let plan = |(object, id, says, wish): &(u8, u64, u16, Wish)| Plan {
            says: *says,
            expected: expected(wish),
            ..Plan::new(*object, *id)
        };
        ask.records.iter().map(plan).collect()
    }

    fn send(&self, ask: &Ask) -> SentRecords {
        let body = *Hash::leaf(format!("{:?}", ask.records).as_bytes()).as_bytes();
        let key = ask.key.map(|key| BoundBody { body, ..self.archive.key(&format!("key {key}"), 0) });
        self.archive.send(&Self::plans(ask), key)
    }

    fn answer(&mut self, sent: SentRecords, ask: &Ask) -> Answer {
        let index = |index: LeafIndex| index.get();
        match self.archive.answer(sent, &Self::plans(ask)) {
            Ok(recorded) => {
                let place = |one: &Sequenced| (one.index.get(), one.seq.get(), one.replayed);
                Answer::Recorded(recorded.records.iter().map(place).collect())
            }
            Err(RecordError::Append(AppendError::IdempotencyMismatch)) => Answer::Mismatch,
            Err(RecordError::Expectation { position, tip }) => {
                Answer::Expectation { position, tip: tip.map(|tip| (tip.seq.get(), tip.index.get())) }
            }
            Err(RecordError::Id { position, index: at, .. }) => Answer::Id { position, index: at.map(index) },
            Err(other) => panic!("{other}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// `PROPTEST_CASES` makes more of them; a failing journey is made shorter and printed.
    #[test]
    fn every_journey_of_records_is_one_that_the_model_explains(steps in vec(step(), 1..30)) {
        let mut pair = Pair { archive: Archive::new(), plain: Plain::default(), now_ms: 1_000_000 };
        for step in &steps {
            pair.take(step);
        }
    }
}
