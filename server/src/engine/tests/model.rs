//! Random journeys of the engine beside a plain model of it: lists, maps and no disk.
//!
//! Steps that run at the same time may take effect in any order, but in one: some order of them, one after another, has to
//! explain every answer (linearizability). After each step the logs are verified from outside, as everywhere here.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// One append of a journey: small numbers, so that entries, keys and logs meet again.
#[derive(Clone, Debug)]
struct Ask {
    log: usize,
    entries: Vec<u8>,
    key: Option<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Create {
        log: usize,
        dedup: bool,
    },
    /// Sent together; at most four, since all their orders are tried.
    Append(Vec<Ask>),
    Pass {
        ms: u64,
    },
    Sweep,
    Restart,
    Seal {
        log: usize,
        successor: usize,
    },
}

const LOGS: [&str; 3] = ["a", "b", "c"];

/// A few batches come again and again, as retries do.
fn ask() -> impl Strategy<Value = Ask> {
    let again = select(vec![vec![1], vec![1, 2], vec![3, 3, 4]]);
    let entries = prop_oneof![again, vec(0_u8..12, 1..6)];
    (0..LOGS.len(), entries, option::weighted(0.6, 0_u8..2)).prop_map(|(log, entries, key)| Ask { log, entries, key })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..LOGS.len(), any::<bool>()).prop_map(|(log, dedup)| Step::Create { log, dedup }),
        8 => vec(ask(), 1..2).prop_map(Step::Append),
        5 => vec(ask(), 2..5).prop_map(Step::Append),
        // A promise holds for a thousand.
        3 => select(vec![1, 450, 500, 999, 1_000]).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Sweep),
        2 => Just(Step::Restart),
        1 => (0..LOGS.len(), 0..LOGS.len()).prop_map(|(log, successor)| Step::Seal { log, successor }),
    ]
}

/// What an append was answered, as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Placed { indexes: Vec<u64>, replayed: bool },
    Mismatch,
    Sealed,
}

/// A log as a list.
#[derive(Clone, Debug, Default)]
struct Plain {
    dedup: bool,
    sealed: bool,
    /// What a user appended, or nothing where the log's own statement stands.
    entries: Vec<Option<u8>>,
    keys: HashMap<u8, Promise>,
}

#[derive(Clone, Debug)]
struct Promise {
    entries: Vec<u8>,
    indexes: Vec<u64>,
    expires_ms: u64,
}

impl Plain {
    fn append(&mut self, ask: &Ask, now_ms: u64) -> Answer {
        let kept = ask.key.and_then(|key| self.keys.get(&key)).filter(|kept| kept.expires_ms > now_ms);
        if let Some(kept) = kept {
            if kept.entries != ask.entries {
                return Answer::Mismatch;
            }
            return Answer::Placed { indexes: kept.indexes.clone(), replayed: true };
        }
        if self.sealed {
            return Answer::Sealed;
        }
        let indexes: Vec<u64> = ask.entries.iter().map(|entry| self.place(*entry)).collect();
        if let Some(key) = ask.key {
            let promise =
                Promise { entries: ask.entries.clone(), indexes: indexes.clone(), expires_ms: now_ms + 1_000 };
            self.keys.insert(key, promise);
        }
        Answer::Placed { indexes, replayed: false }
    }

    fn place(&mut self, entry: u8) -> u64 {
        let had = self.dedup.then(|| self.entries.iter().position(|old| *old == Some(entry))).flatten();
        had.unwrap_or_else(|| {
            self.entries.push(Some(entry));
            self.entries.len() - 1
        }) as u64
    }
}

/// The engine, the model beside it, and the time.
struct Pair {
    world: World,
    logs: BTreeMap<usize, Plain>,
    now_ms: u64,
}

impl Pair {
    fn new() -> Self {
        Self { world: World::new(), logs: BTreeMap::new(), now_ms: 1_000_000 }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Create { log, dedup } => self.create(*log, *dedup),
            Step::Append(asks) => self.append(asks),
            Step::Pass { ms } => {
                self.now_ms += ms;
                self.world.clock.set(self.now_ms);
            }
            Step::Sweep => self.world.engine.sweep(),
            Step::Restart => self.world.reopen().unwrap(),
            Step::Seal { log, successor } => self.seal(*log, *successor),
        }
        self.compare();
    }

    fn create(&mut self, log: usize, dedup: bool) {
        let made = self.world.create(Terms { dedup, ..terms(LOGS[log]) }, log as u8);
        assert_eq!(made.is_err(), self.logs.contains_key(&log), "{made:?}");
        self.logs.entry(log).or_insert_with(|| Plain { dedup, ..Plain::default() });
    }

    /// A log that is there and open ends in one that is there, open and empty.
    fn seal(&mut self, log: usize, successor: usize) {
        let open = |log: &usize| self.logs.get(log).is_some_and(|plain| !plain.sealed);
        let empty = self.logs.get(&successor).is_some_and(|plain| plain.entries.is_empty());
        if log == successor || !empty || !open(&log) || !open(&successor) {
            return;
        }
        let keys = vec![signer(LOGS[successor], successor as u8)];
        let sealed = self.world.engine.seal(LOGS[log], terms(LOGS[successor]), keys);
        self.world.runtime.block_on(sealed).unwrap();
        let ended = self.logs.get_mut(&log).unwrap();
        ended.entries.push(None);
        ended.sealed = true;
        self.logs.get_mut(&successor).unwrap().entries.push(None);
    }

    fn append(&mut self, asks: &[Ask]) {
        let asks: Vec<&Ask> = asks.iter().filter(|ask| self.logs.contains_key(&ask.log)).collect();
        let sent: Vec<Sent> = asks.iter().map(|ask| self.send(ask)).collect();
        let answers: Vec<Answer> = sent.into_iter().map(|sent| self.answer(sent)).collect();
        let explained = orders(asks.len()).into_iter().find_map(|order| {
            let mut logs = self.logs.clone();
            let fits = order.iter().all(|number| {
                logs.get_mut(&asks[*number].log).unwrap().append(asks[*number], self.now_ms) == answers[*number]
            });
            fits.then_some(logs)
        });
        self.logs = explained.unwrap_or_else(|| panic!("no order explains {asks:?} -> {answers:?} in {:?}", self.logs));
        for (ask, answer) in asks.iter().zip(&answers) {
            let Answer::Placed { indexes, .. } = answer else { continue };
            let oracle = self.world.oracle.get_mut(LOGS[ask.log]).unwrap();
            oracle.acked.extend(indexes.iter().zip(&ask.entries).map(|(index, entry)| (*index, payload(*entry))));
        }
    }

    fn send(&self, ask: &Ask) -> Sent {
        let entries: Vec<Vec<u8>> = ask.entries.iter().map(|entry| payload(*entry)).collect();
        self.world.send(LOGS[ask.log], &entries, ask.key.map(|key| format!("key {key}")).as_deref())
    }

    fn answer(&self, sent: Sent) -> Answer {
        match self.world.runtime.block_on(sent).unwrap() {
            Ok(appended) => {
                let indexes: Vec<u64> = appended.placement.indexes().map(LeafIndex::get).collect();
                assert!(indexes.iter().all(|index| *index < appended.head.size.get()), "the head covers its entries");
                Answer::Placed { indexes, replayed: appended.replayed }
            }
            Err(AppendError::IdempotencyMismatch) => Answer::Mismatch,
            Err(AppendError::Sealed(_)) => Answer::Sealed,
            Err(other) => panic!("{other}"),
        }
    }

    /// The logs hold what the model holds: no more, no less, and the look-up by hash finds a first index.
    fn compare(&mut self) {
        for (log, plain) in self.logs.clone() {
            self.world.check(LOGS[log]);
            let handle = self.world.engine.log(LOGS[log]).unwrap();
            let head = handle.head();
            assert_eq!(head.size.get(), plain.entries.len() as u64, "size of {}", LOGS[log]);
            for (index, entry) in (0..).zip(&plain.entries) {
                let Some(entry) = entry else { continue };
                let bytes = handle.entry(&head, LeafIndex::new(index).unwrap()).unwrap().unwrap();
                assert_eq!(bytes, payload(*entry), "entry {index} of {}", LOGS[log]);
                let found = handle.find(&head, &Hash::leaf(&bytes)).unwrap().unwrap().get();
                assert_eq!(plain.entries[found as usize], Some(*entry), "look-up of entry {index}");
                assert!(!plain.dedup || found == index, "entry {index} is a duplicate of {found}");
            }
        }
    }
}

fn payload(entry: u8) -> Vec<u8> {
    vec![b'a' + entry; usize::from(entry) * 40]
}

/// All orders of `count` things.
pub(super) fn orders(count: usize) -> Vec<Vec<usize>> {
    let shorter = if count == 0 { return vec![Vec::new()] } else { orders(count - 1) };
    let insert = |order: &Vec<usize>, place: usize| {
        let mut longer = order.clone();
        longer.insert(place, count - 1);
        longer
    };
    shorter.iter().flat_map(|order| (0..count).map(move |place| insert(order, place))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// `PROPTEST_CASES` makes more of them; a failing journey is made shorter and printed.
    #[test]
    fn every_journey_is_one_that_the_model_explains(steps in vec(step(), 1..30)) {
        let mut pair = Pair::new();
        pair.take(&Step::Create { log: 0, dedup: false });
        for step in &steps {
            pair.take(step);
        }
    }
}
