//! Records in the engine, verified from outside: after every step each one that was ever acknowledged is opened, and the
//! chain of its stream followed from its beginning.

mod agreed;
mod crash;
mod fscked;
mod model;
mod refused;
mod reindexed;
mod sequenced;
mod unfound;
mod vectors;

use std::collections::BTreeSet;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::chain::Chain;
use cairn_tree::record::disclosure::{Disclosures, Salt};
use cairn_tree::record::event::{After, EventHead};
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::signature::ProducerSigner;
use cairn_tree::record::stream::{Opening, StreamName};
use cairn_tree::record::time::Time;
use cairn_tree::wire::record::native::{NativeInput, parse};

use super::*;
use crate::engine::postings::{Page, PrintSecret};
use crate::engine::records::{
    BoundBody, Expectation, RecordError, Recorded, Says, Sequenced, Submission, id_print, name_print,
};

/// A record to be made: small numbers, so that ids and streams meet again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    /// The object, and so the stream.
    object: u8,
    /// Its id.
    id: u64,
    /// What it says, and how much of it there is.
    says: u16,
    expected: Expectation,
    /// Signed, and wanted here.
    after: Option<After>,
}

impl Plan {
    fn new(object: u8, id: u64) -> Self {
        Self { object, id, ..Self::default() }
    }
}

fn id(number: u64) -> RecordId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    RecordId::v7(Time::from_millis(1_000_000).unwrap(), random)
}

/// Salts that hang on what they are for only, so that who says the same makes the same event.
fn salts(seed: &str) -> impl FnMut() -> Salt {
    let mut next = Hash::leaf(seed.as_bytes());
    move || {
        next = Hash::leaf(next.as_bytes());
        Salt::new(*next.as_bytes().first_chunk().unwrap())
    }
}

fn producer() -> ProducerSigner {
    ProducerSigner::from_seed(&[9; 32])
}

fn submission(origin: &str, secret: &PrintSecret, plan: &Plan) -> Submission {
    let Plan { object, id: number, says, expected, after } = plan.clone();
    let filler = "x".repeat(usize::from(says) * 40);
    let body = format!(
        r#"{{"object":{{"tenant":"pb","module":"tl","entity":"license","id":"object {object}","operation":"update"}},
        "actor":{{"id":"actor {says}"}},"subjects":["subject {object}"],"context":{{"correlation":"c {number}"}},
        "values":{{"fields":{{"/says":{{"new":"{says} {filler}"}},"/number":{{"new":{number}}}}}}}}}"#
    );
    let Some(NativeInput::Plain(input)) = parse(body.as_bytes()).unwrap().pop() else { panic!("{body}") };
    let time = Time::from_millis(900_000 + number).unwrap();
    let key = after.is_some().then(|| producer().key().id());
    let head = EventHead { log: Origin::new(origin).unwrap(), id: id(number), replaces: None, time, key, after };
    let sealed = input.content.seal(head, salts(&format!("{object} {number} {says} {after:?}"))).unwrap();
    let name = StreamName::of(&input.content.object);
    let opening = Opening::new(&name, None, None, salts(&format!("opening of {name}"))).unwrap();
    let (actor, context) = (input.content.actor.as_ref(), input.content.context.as_ref());
    let says = Says { object: Some(&input.content.object), actor, subjects: input.content.subjects.as_ref(), context };
    Submission {
        event: sealed.text().clone(),
        signature: after.map(|_| producer().sign(sealed.text()).unwrap()),
        disclosures: sealed.disclosures().clone(),
        opening,
        by: Pseudonym::new([5; 16]),
        fresh_id: false,
        stream: name_print(secret, &name),
        id: id_print(secret, id(number)),
        prints: says.prints(secret),
        opening_prints: Vec::new(),
        expected,
    }
}

/// What the oracle knows of an acknowledged record.
#[derive(Clone)]
struct Acked {
    sequenced: Sequenced,
    disclosures: Disclosures,
}

/// A world with records in one log.
struct Archive {
    world: World,
    log: &'static str,
    secret: PrintSecret,
    /// By index.
    acked: BTreeMap<u64, Acked>,
}

/// Records on their way.
type SentRecords = tokio::task::JoinHandle<Result<Recorded, RecordError>>;

impl Archive {
    fn new() -> Self {
        Self::of(World::with_log("main"), "main")
    }

    fn of(world: World, log: &'static str) -> Self {
        let secret = make_secret(&world, log);
        Self { world, log, secret, acked: BTreeMap::new() }
    }

    fn log(&self) -> Log {
        self.world.engine.log(self.log).unwrap()
    }

    fn submissions(&self, plans: &[Plan]) -> Vec<Submission> {
        let origin = self.log().info().origin.clone();
        plans.iter().map(|plan| submission(&origin, &self.secret, plan)).collect()
    }

    fn key(&self, key: &str, body: u8) -> BoundBody {
        BoundBody { key: IdempotencyKey::new(self.log().info().id, "token", key), body: [body; 32] }
    }

    /// Sends records and does not wait for the answer.
    fn send(&self, plans: &[Plan], key: Option<BoundBody>) -> SentRecords {
        let (log, submissions) = (self.log(), self.submissions(plans));
        self.world.runtime.spawn(async move { log.append_records(submissions, key).await })
    }

    fn answer(&mut self, sent: SentRecords, plans: &[Plan]) -> Result<Recorded, RecordError> {
        let recorded = self.world.runtime.block_on(sent).unwrap()?;
        assert_eq!(recorded.records.len(), plans.len());
        for ((plan, sequenced), submission) in plans.iter().zip(&recorded.records).zip(self.submissions(plans)) {
            assert!(recorded.head.size.contains(sequenced.index), "the head covers its records");
            let mut texts: Vec<String> = submission.disclosures.iter().map(|(_, text)| text.to_owned()).collect();
            if sequenced.seq == Seq::FIRST {
                texts.extend(submission.opening.disclosures().iter().map(|(_, text)| text.to_owned()));
            }
            let disclosures = Disclosures::from_texts(texts.iter().map(String::as_str)).unwrap();
            let sequenced = Sequenced { replayed: false, ..*sequenced };
            let before = self.acked.insert(sequenced.index.get(), Acked { sequenced, disclosures });
            assert!(before.is_none_or(|before| before.sequenced == sequenced), "{plan:?} was told of another place");
        }
        Ok(recorded)
    }

    fn try_record(&mut self, plans: &[Plan], key: Option<BoundBody>) -> Result<Recorded, RecordError> {
        let sent = self.send(plans, key);
        self.answer(sent, plans)
    }

    fn record(&mut self, plans: &[Plan]) -> Recorded {
        let recorded = self.try_record(plans, None).unwrap();
        self.check();
        recorded
    }

    /// What stands on the disk now, opened as after a power failure.
    fn copy(&self) -> Self {
        Self { world: self.world.copy(), log: self.log, secret: self.secret.clone(), acked: self.acked.clone() }
    }

    fn reopen(&mut self) {
        self.world.reopen().unwrap();
        self.check();
    }

    /// Verifies the log from outside, and every record in it: it opens, it is in its place of its stream, which is whole from
    /// its beginning, and it is found; those that were acknowledged are as they were.
    fn check(&mut self) {
        self.world.check(self.log);
        let log = self.log();
        let head = log.head();
        let origin = Origin::new(log.info().origin.clone()).unwrap();
        let mut streams: BTreeMap<_, Chain> = BTreeMap::new();
        let mut time = None;
        let mut ids = BTreeSet::new();
        for index in 0..head.size.get() {
            let at = LeafIndex::new(index).unwrap();
            let entry = log.entry(&head, at).unwrap().unwrap();
            if Leaf::classify(&entry) == Ok(Entry::Raw) {
                assert!(!self.acked.contains_key(&index));
                continue;
            }
            let (record, kept) = opened(&log, &head, index);
            let server = *record.leaf().server();
            let (seq, prev) = (server.place.seq(), server.place.prev());
            let (leaf, stream, now) = (record.hash(), server.stream, server.time);
            // One that nobody was told of, since its answer was lost, is as good as any.
            if let Some(acked) = self.acked.get(&index) {
                let id = record.leaf().event().head().id;
                let told = Sequenced { id, index: at, leaf, stream, seq, prev, time: now, replayed: false };
                assert_eq!(told, acked.sequenced);
                assert!(kept == acked.disclosures, "the disclosures of record {index}");
            }
            assert!(time.is_none_or(|time| time <= now) && now.millis() <= head.time_ms);
            time = Some(now);
            let chain = streams.entry(stream).or_insert_with(|| Chain::new(origin.clone(), stream));
            chain.push_record(&record).unwrap();
            let id = record.leaf().event().head().id;
            assert!(ids.insert(id), "the id {id} is there twice");
            assert_eq!(found(&log, &[id_print(&self.secret, id)]), [at], "record {index} by its id");
        }
        assert!(self.acked.keys().all(|index| *index < head.size.get()));
        for chain in streams.values() {
            let last = chain.last().unwrap();
            let (record, _) = opened(&log, &head, last.index.get());
            let name = StreamName::of(record.content().object.disclosed().unwrap());
            let tip = log.stream_head(&name_print(&self.secret, &name)).unwrap().unwrap();
            assert_eq!((tip.index, tip.seq, tip.leaf), (last.index, last.seq, last.hash));
        }
    }
}

fn make_secret(world: &World, log: &str) -> PrintSecret {
    world.runtime.block_on(world.engine.log(log).unwrap().make_print_secret([3; 16])).unwrap()
}

fn opened(log: &Log, head: &Head, index: u64) -> (Record, Disclosures) {
    let index = LeafIndex::new(index).unwrap();
    let stored = log.stored_record(head, index).unwrap().unwrap();
    let origin = Origin::new(log.info().origin.clone()).unwrap();
    let redactions = Redactions::new(origin.clone());
    let evidence = Evidence { disclosures: &stored.disclosures, withheld: &[], redactions: &redactions };
    (Record::open(&origin, index, &stored.leaf, evidence).unwrap(), stored.disclosures)
}

/// The leaves that have all of these prints, newest first.
fn found(log: &Log, prints: &[crate::engine::postings::Print]) -> Vec<LeafIndex> {
    let Page { hits, next } = log.find_records(prints, log.head().size, 10_000, u64::MAX).unwrap();
    assert_eq!(next, None);
    hits
}
