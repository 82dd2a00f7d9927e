//! Courses simulated with time of their own: witnesses of random speed, which fail at random, and heads that come at
//! random. What is published must meet the policy and never shrink, nothing may spin, and at rest everyone has cosigned.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_tree::checkpoint::{Checkpoint, Origin, SignedCheckpoint, Timestamp};
use cairn_tree::cosignature::cosign;
use cairn_tree::hash::Hash;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};

use super::*;

const PACE: Pace = Pace {
    round: Duration::from_millis(10),
    recosign: Duration::from_secs(100),
    fail_open: Duration::from_secs(5),
    backoff: Duration::from_secs(8),
};
const ORIGIN: &str = "log.example/simulated";

struct World {
    course: Course,
    policy: Arc<LogPolicy>,
    witnesses: Vec<SignerKey>,
    log: SignerKey,
    begun: Instant,
    now: Instant,
    random: u64,
    /// Answers on their way, by time and number: to which witness, about which head, and whether it cosigns.
    answers: BTreeMap<(Instant, u64), (usize, Arc<Head>, bool)>,
    sent: u64,
    /// The chance of a failure, of 100, per witness.
    failing: Vec<u64>,
    published: Vec<(Instant, Publication)>,
    /// Witnesses that give back the cosignature of this second.
    stopped: Vec<Option<u64>>,
    /// Cosignatures that were no answer.
    refused: u64,
}

fn key(name: &str, kind: SignatureType, seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(name).unwrap(), kind, &[seed; 32]).unwrap()
}

impl World {
    fn new(witnesses: u8, quorum: &str, fail_open: bool, seed: u64) -> Self {
        let log = key(ORIGIN, SignatureType::ED25519, 1);
        let named = |number| key(&format!("w{number}.example"), SignatureType::COSIGNATURE_ED25519, 10 + number);
        let witnesses: Vec<SignerKey> = (0..witnesses).map(named).collect();
        let mut file = String::new();
        let mut names = String::new();
        for (number, witness) in witnesses.iter().enumerate() {
            file += &format!("witness w{number} {} http://127.0.0.1:{}\n", witness.verifier_key(), 1_000 + number);
            names += &format!(" w{number}");
        }
        file += &match quorum {
            "none" => "quorum none\n".to_owned(),
            threshold => format!("group g {threshold}{names}\nquorum g\n"),
        };
        let policy = Arc::new(LogPolicy::parse(file.as_bytes(), fail_open).unwrap());
        let now = Instant::now() + Duration::from_secs(1_000);
        let empty = head(&log, 0);
        let heads = Heads { published: Arc::clone(&empty), newest: empty };
        let backoffs = (0..witnesses.len()).map(|number| Backoff::new(now, seed ^ number as u64)).collect();
        let course = Course::new(Arc::clone(&policy), PACE, backoffs, heads, now);
        let failing = vec![0; witnesses.len()];
        let (answers, published, random) = (BTreeMap::new(), Vec::new(), seed);
        let (stopped, refused) = (vec![None; witnesses.len()], 0);
        Self {
            course,
            policy,
            witnesses,
            log,
            begun: now,
            now,
            random,
            answers,
            sent: 0,
            failing,
            published,
            stopped,
            refused,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    /// A newer head is released.
    fn grow(&mut self, size: u64) {
        self.course.head(head(&self.log, size));
        self.step();
    }

    /// What the task does between two events.
    fn step(&mut self) {
        if let Some(publication) = self.course.publish(self.now) {
            self.take(publication);
        }
        if let Some((head, members)) = self.course.ask(self.now) {
            for number in members {
                let latency = Duration::from_micros(500 + self.below(40_000));
                let cosigns = self.below(100) >= self.failing[number];
                self.sent += 1;
                self.answers.insert((self.now + latency, self.sent), (number, Arc::clone(&head), cosigns));
            }
        }
    }

    fn take(&mut self, publication: Publication) {
        let signed = SignedCheckpoint::parse(&publication.note).unwrap();
        let met = self.policy.policy().verify_with_logs(&signed, &[self.log.verifier_key().clone()]);
        assert!(met.is_ok() || self.policy.fail_open(), "{signed}");
        if let Some((_, before)) = self.published.last() {
            assert!(before.head.size <= publication.head.size, "the checkpoint shrank");
        }
        self.published.push((self.now, publication));
    }

    /// Lets time pass, event by event. Whatever is due is in the future: nothing spins.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut events = 0;
        loop {
            self.step();
            let due = self.course.due(self.now);
            assert!(due.is_none_or(|due| due > self.now), "due {:?} ago", self.now - due.unwrap_or(self.now));
            let answer = self.answers.keys().next().map(|(at, _)| *at);
            let Some(next) = [due, answer].into_iter().flatten().min().filter(|next| *next <= end) else { break };
            events += 1;
            assert!(events < 100_000, "too many events in {time:?}");
            self.now = next;
            while let Some(entry) = self.answers.first_entry().filter(|entry| entry.key().0 <= next) {
                let (number, head, cosigns) = entry.remove();
                self.answer(number, &head, cosigns);
            }
        }
        self.now = end;
        self.step();
    }

    fn answer(&mut self, number: usize, head: &Arc<Head>, cosigns: bool) {
        if !cosigns {
            return self.course.failed(number, self.now);
        }
        let signed = SignedCheckpoint::parse(&head.note).unwrap();
        let verified = signed.verify(&[self.log.verifier_key().clone()]).unwrap();
        let second = self.stopped.get(number).copied().flatten().unwrap_or((self.now - self.begun).as_secs());
        let time = Timestamp::new(1_000_000 + second).unwrap();
        let line = cosign(&verified, &self.witnesses[number], time).unwrap();
        let line = Line { witness: number, own: true, line, time };
        self.refused += u64::from(!self.course.cosigned(number, head.size, vec![line], self.now));
    }

    fn last(&self) -> (u64, usize) {
        let (_, publication) = self.published.last().unwrap();
        let signed = SignedCheckpoint::parse(&publication.note).unwrap();
        (publication.head.size.get(), signed.note().signatures().len() - 1)
    }
}

fn head(log: &SignerKey, size: u64) -> Arc<Head> {
    let root = if size == 0 { Hash::EMPTY_TREE } else { Hash::leaf(&size.to_be_bytes()) };
    let size = TreeSize::new(size).unwrap();
    let signed = Checkpoint::new(Origin::new(ORIGIN).unwrap(), size, root).sign(log).unwrap();
    Arc::new(Head::bare(size, root, signed.encode().into_bytes().into()))
}

#[test]
fn random_courses_publish_what_meets_the_policy_and_come_to_rest() {
    for seed in 0..60 {
        for (quorum, fail_open) in [("1", false), ("2", false), ("3", false), ("2", true), ("none", false)] {
            let mut world = World::new(3, quorum, fail_open, seed);
            world.failing = (0..3).map(|_| world.below(60)).collect();
            let mut size = 0;
            for _ in 0..30 {
                size += 1 + world.below(5);
                world.grow(size);
                let pause = Duration::from_micros(world.below(200_000));
                world.pass(pause);
            }
            world.failing = vec![0; 3];
            world.pass(Duration::from_secs(60));
            assert_eq!(world.last(), (size, 3), "seed {seed}, quorum {quorum}");
        }
    }
}

#[test]
fn a_head_at_rest_gets_newer_cosignatures_and_nothing_else_happens() {
    let mut world = World::new(3, "2", false, 7);
    world.grow(5);
    world.pass(Duration::from_secs(10));
    let (asked, published) = (world.sent, world.published.len());
    world.pass(Duration::from_secs(80));
    assert_eq!((world.sent, world.published.len()), (asked, published));
    world.pass(Duration::from_secs(200));
    assert_eq!(world.sent, asked + 6, "two intervals");
    assert_eq!((world.last(), world.published.len()), ((5, 3), published + 2));
}

#[test]
fn a_dead_witness_beside_a_quorum_is_asked_ever_more_rarely_and_slows_nothing() {
    let mut world = World::new(3, "2", false, 9);
    world.failing = vec![0, 0, 100];
    for size in 1..=50 {
        world.grow(size);
        world.pass(Duration::from_millis(100));
        assert_eq!(world.last().0, size);
    }
    let asked = world.sent;
    world.pass(Duration::from_secs(60));
    assert!(world.sent - asked < 20, "{} attempts in a minute", world.sent - asked);
    world.failing[2] = 0;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.last(), (50, 3));
}

#[test]
fn a_log_that_fails_open_publishes_after_its_time_and_no_sooner() {
    let mut world = World::new(2, "2", true, 11);
    world.failing = vec![0, 100];
    world.grow(3);
    world.pass(Duration::from_millis(4_900));
    assert!(world.published.is_empty());
    world.pass(Duration::from_millis(200));
    assert_eq!(world.last(), (3, 1));
    world.pass(Duration::from_secs(60));
    assert_eq!(world.published.len(), 1, "the same is not published again and again");
    world.failing = vec![0, 0];
    world.pass(Duration::from_secs(10));
    assert_eq!(world.last(), (3, 2));
}

#[test]
fn a_witness_at_rest_that_gives_back_its_old_cosignature_has_not_answered() {
    let mut world = World::new(2, "2", false, 13);
    world.grow(5);
    world.pass(Duration::from_secs(1));
    let before = world.published.len();
    world.stopped[1] = Some(0);
    world.pass(Duration::from_secs(350));
    assert_eq!(world.refused, 3, "one in each interval");
    assert!(world.course.members[1].backoff.has_failed() && !world.course.members[0].backoff.has_failed());
    // What the other one cosigned anew is published all the same.
    assert_eq!((world.last(), world.published.len()), ((5, 2), before + 3));
    world.stopped[1] = None;
    world.pass(Duration::from_secs(100));
    assert_eq!(world.refused, 3);
    assert!(!world.course.members[1].backoff.has_failed());
}

#[test]
fn the_same_second_again_is_an_answer_if_it_is_the_same_second() {
    let mut world = World::new(1, "1", false, 15);
    world.course.pace.recosign = Duration::from_millis(300);
    world.grow(5);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.refused, 0);
    assert!(world.sent > 30);
}
