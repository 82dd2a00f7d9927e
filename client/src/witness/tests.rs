//! A witness whose clock a test moves: what it signs, what it refuses, and what it says about that.

use std::sync::atomic::{AtomicU64, Ordering};

use cairn_tree::checkpoint::Checkpoint;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::ConsistencyProof;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::size::TreeSize;

use super::change::Change;
use super::state::StoreId;
use super::*;

/// A time that is set by hand.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Hand {
    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Scene {
    folder: tempfile::TempDir,
    clock: Arc<Hand>,
    witness: Option<(Witness, Closing)>,
}

fn cosigners() -> Cosigners {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(5);
        Ok(())
    };
    Cosigners::generate(&KeyName::new("witness.example/w").unwrap(), fill).unwrap()
}

fn key(log: &str) -> SignerKey {
    SignerKey::from_seed(KeyName::new(log).unwrap(), SignatureType::ED25519, &[1; 32]).unwrap()
}

/// The request for the head of one leaf: the first, and then the same again.
fn request(log: &str, old: u64) -> AddCheckpoint {
    let key = key(log);
    let head = Checkpoint::new(Origin::from(key.name()), TreeSize::new(1).unwrap(), Hash::leaf(b"a leaf"));
    let proof = ConsistencyProof::from_hashes(Vec::new()).unwrap();
    AddCheckpoint::new(TreeSize::new(old).unwrap(), proof, head.sign(&key).unwrap()).unwrap()
}

impl Scene {
    async fn set(logs: &[&str], now: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Store::create(folder.path(), StoreId::new([9; 16]), &cosigners()).unwrap();
        let clock = Arc::<Hand>::default();
        clock.set(now);
        let mut scene = Self { folder, clock, witness: None };
        scene.start();
        for log in logs {
            let keys = vec![key(log).verifier_key().clone()];
            let change = Change::Add { origin: Origin::new(*log).unwrap(), keys, replace: false, url: None };
            scene.witness().change(change).await.unwrap();
        }
        scene
    }

    fn start(&mut self) {
        let store = Store::open(self.folder.path(), &cosigners()).unwrap();
        let clock: Arc<dyn Clock> = self.clock.clone();
        self.witness = Some(Witness::start(self.folder.path(), store, cosigners(), clock, Vec::new()).unwrap());
    }

    fn witness(&self) -> &Witness {
        &self.witness.as_ref().unwrap().0
    }

    fn stop(&mut self) {
        let (witness, closing) = self.witness.take().unwrap();
        drop(witness);
        closing.join().unwrap().unwrap();
    }

    /// The time that is signed for a log at `now`, or by how much the clock is behind.
    async fn at(&self, log: &str, old: u64, now: u64) -> Result<u64, u64> {
        self.clock.set(now);
        match self.witness().add_checkpoint(&request(log, old)).await {
            Verdict::Cosigned(_) => Ok(self.last(log)),
            Verdict::Behind(behind) => Err(behind.seconds),
            other => panic!("{other:?}"),
        }
    }

    fn last(&self, log: &str) -> u64 {
        let hash = OriginHash::of(&Origin::new(log).unwrap());
        self.witness().desk.log(hash).unwrap().last.as_ref().unwrap().time().seconds()
    }

    fn figure(&self, name: &str) -> f64 {
        let witness = self.witness();
        let figures = witness.figures().render(witness.logs(), witness.peers(), witness.now()).unwrap();
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}: {figures}")).parse().unwrap()
    }
}

const YEAR: u64 = 31_536_000;

#[tokio::test]
async fn a_clock_that_was_ahead_signs_nothing_for_that_log_until_it_is_near_that_time_again() {
    let now = 1_700_000_000;
    let mut scene = Scene::set(&["log.example/a", "log.example/b"], now).await;
    assert_eq!(scene.at("log.example/b", 0, now).await, Ok(now));
    // The clock jumps ahead, and one log is cosigned meanwhile.
    assert_eq!(scene.at("log.example/a", 0, now + YEAR).await, Ok(now + YEAR));
    // Set right, it does not sign that time for ever, nor an earlier one.
    assert_eq!(scene.at("log.example/a", 1, now + 5).await, Err(YEAR - 5));
    assert_eq!(scene.last("log.example/a"), now + YEAR, "nothing was signed");
    assert_eq!(scene.at("log.example/b", 1, now + 5).await, Ok(now + 5), "the other log is not concerned");
    let behind = scene.witness().behind().unwrap();
    assert_eq!((behind.0.as_str(), behind.1.seconds), ("log.example/a", YEAR - 5));
    assert_eq!(scene.figure("cairn_witness_clock_refusals_total"), 1.0);
    assert_eq!(scene.figure("cairn_witness_clock_behind_seconds"), (YEAR - 5) as f64);
    // Neither a restart nor removing the log helps, or makes it forget.
    scene.stop();
    scene.start();
    assert_eq!(scene.at("log.example/a", 1, now + 9).await, Err(YEAR - 9));
    // As soon as it may, it goes on: first with the last time, then with the clock's.
    let bound = bounds::CLOCK_BEHIND_SECONDS;
    assert_eq!(scene.at("log.example/a", 1, now + YEAR - bound - 1).await, Err(bound + 1));
    assert_eq!(scene.at("log.example/a", 1, now + YEAR - bound).await, Ok(now + YEAR));
    assert_eq!(scene.witness().behind(), None);
    assert_eq!(scene.at("log.example/a", 1, now + YEAR + 1).await, Ok(now + YEAR + 1));
    assert_eq!(scene.figure("cairn_witness_clock_behind_seconds"), 0.0);
}

#[tokio::test]
async fn a_clock_that_steps_back_a_moment_signs_the_last_time_once_more() {
    let scene = Scene::set(&["log.example/a"], 5_000).await;
    assert_eq!(scene.at("log.example/a", 0, 5_000).await, Ok(5_000));
    assert_eq!(scene.at("log.example/a", 1, 4_990).await, Ok(5_000));
    assert_eq!(scene.witness().behind(), None);
    assert_eq!(scene.at("log.example/a", 1, 5_001).await, Ok(5_001));
}

#[tokio::test]
async fn the_same_head_at_the_same_second_is_cosigned_once_and_answered_alike() {
    let scene = Scene::set(&["log.example/a"], 5_000).await;
    let ask = || async {
        match scene.witness().add_checkpoint(&request("log.example/a", 1)).await {
            Verdict::Cosigned(shown) => shown,
            other => panic!("{other:?}"),
        }
    };
    scene.witness().add_checkpoint(&request("log.example/a", 0)).await;
    let (first, second) = (ask().await, ask().await);
    assert_eq!(first, second);
    assert_eq!(Some(first), scene.witness().checkpoint(OriginHash::of(&Origin::new("log.example/a").unwrap())));
    assert_eq!(scene.figure("cairn_witness_commit_seconds_count"), 2.0, "the log was added, and its head was cosigned");
}

#[tokio::test]
async fn requests_past_the_places_of_a_log_are_told_to_come_again() {
    let scene = Scene::set(&["log.example/a"], 5_000).await;
    let hash = OriginHash::of(&Origin::new("log.example/a").unwrap());
    let taken: Vec<Place<'_>> =
        (0..bounds::QUEUE_PER_LOG).map(|_| Place::take(scene.witness(), hash).unwrap()).collect();
    assert_eq!(scene.witness().add_checkpoint(&request("log.example/a", 0)).await, Verdict::Busy);
    drop(taken);
    assert!(matches!(scene.witness().add_checkpoint(&request("log.example/a", 0)).await, Verdict::Cosigned(_)));
    assert!(scene.witness().waiting.lock().unwrap().is_empty(), "every place is given back");
}
