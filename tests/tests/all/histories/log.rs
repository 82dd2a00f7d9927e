//! The log of generated histories: one tree or, once it lies, two; its keys; its witnesses; and what it has published.

use std::sync::LazyLock;

use cairn_tests::lying::Model;
use cairn_tree::checkpoint::{Checkpoint, LogKeys, SignedCheckpoint};
use cairn_tree::cosignature::Timestamp;
use cairn_tree::hash::Hash;
use cairn_tree::note::{KeyName, NoteSignature, SignatureType, SignerKey};
use cairn_tree::policy::Policy;

use super::witness::{Asking, Mood, Witness};

pub(super) const ORIGIN: &str = "lying.example/log";
/// No log of these histories has more entries.
pub(super) const LARGEST: u64 = 1_500;
/// The second since the Epoch at which all histories begin.
pub(super) const EPOCH: u64 = 1_800_000_000;
/// After so many seconds a head at rest is cosigned anew.
const RECOSIGN: u64 = 15;
/// How many witnesses make the quorum.
pub(super) const QUORUM: usize = 2;

/// The tree that all honest histories are about, grown once.
static TRUNK: LazyLock<Model> = LazyLock::new(|| {
    let mut model = Model::new(ORIGIN, 1);
    model.grow(LARGEST, "entry");
    model
});

/// Which of the two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    One,
    Other,
}

/// A tree that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) side: Side,
    pub(super) size: u64,
}

/// Up to which size the two trees are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fork(pub(super) u64);

impl Fork {
    /// Whether there are two trees at all.
    pub(super) const fn is_real(self) -> bool {
        self.0 < LARGEST
    }

    /// Whether one of the trees is the beginning of the other.
    pub(super) fn agree(self, one: Place, other: Place) -> bool {
        one.side == other.side || one.size.min(other.size) <= self.0
    }
}

/// A signed head, and what this test knows of it.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) place: Place,
    pub(super) signed: SignedCheckpoint,
    /// The times of its cosignatures, by the witness's number.
    pub(super) times: Vec<(usize, u64)>,
}

/// What the log shows of one of its trees at a moment.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) checkpoint: Note,
    pub(super) head: Note,
}

/// A cosignature that is still on its way.
struct Late {
    due: u64,
    witness: usize,
    place: Place,
    line: NoteSignature,
    time: u64,
}

/// The log.
pub(super) struct Log {
    other: Option<Model>,
    sizes: [u64; 2],
    fork: Fork,
    keys: [SignerKey; 3],
    /// Which of the keys sign.
    active: Vec<usize>,
    pub(super) witnesses: Vec<Witness>,
    /// For each witness, which tree it is asked to cosign.
    pub(super) asked_for: [Side; 3],
    late: Vec<Late>,
    /// Everything that was shown of each tree, in order.
    past: [Vec<Shown>; 2],
    known: LogKeys,
}

impl Log {
    pub(super) fn new(size: u64, post_quantum_witness: bool) -> Self {
        let key = |seed, kind| SignerKey::from_seed(KeyName::new(ORIGIN).unwrap(), kind, &[seed; 32]).unwrap();
        let (ed25519, ml_dsa) = (SignatureType::ED25519, SignatureType::COSIGNATURE_ML_DSA_44);
        let keys = [key(1, ed25519), key(2, ed25519), key(3, ml_dsa)];
        let known = LogKeys::new(keys.iter().map(|key| key.verifier_key().clone()).collect()).unwrap();
        let kind =
            |number| if number == 2 && post_quantum_witness { ml_dsa } else { SignatureType::COSIGNATURE_ED25519 };
        let witnesses = (0..3).map(|number| Witness::new(number, kind(number))).collect();
        let mut log = Self {
            other: None,
            sizes: [size, 0],
            fork: Fork(LARGEST),
            keys,
            active: vec![0],
            witnesses,
            asked_for: [Side::One; 3],
            late: Vec::new(),
            past: [Vec::new(), Vec::new()],
            known,
        };
        log.publish(Side::One, 0);
        log
    }

    /// All keys that the log ever has, as everybody knows them.
    pub(super) const fn known_keys(&self) -> &LogKeys {
        &self.known
    }

    pub(super) fn policy(&self) -> Policy {
        let mut file = String::new();
        for (number, witness) in self.witnesses.iter().enumerate() {
            file.push_str(&format!("witness w{number} {}\n", witness.vkey()));
        }
        file.push_str(&format!("group all {QUORUM} w0 w1 w2\nquorum all\n"));
        Policy::parse(file.as_bytes()).unwrap()
    }

    pub(super) fn model(&self, side: Side) -> &Model {
        match (side, &self.other) {
            (Side::Other, Some(other)) => other,
            _ => &TRUNK,
        }
    }

    pub(super) const fn fork(&self) -> Fork {
        self.fork
    }

    pub(super) const fn size(&self, side: Side) -> u64 {
        self.sizes[side as usize]
    }

    /// The place of a head, told by its root.
    pub(super) fn place_of(&self, head: &Checkpoint) -> Option<Place> {
        let size = head.size().get();
        [Side::One, Side::Other].into_iter().map(|side| Place { side, size }).find(|place| {
            size <= self.size(place.side) && self.model(place.side).checkpoint(size).root() == head.root()
        })
    }

    /// What is shown now.
    pub(super) fn shown(&self, side: Side) -> &Shown {
        self.past[side as usize].last().unwrap()
    }

    /// What was shown so many publications ago, or at first.
    pub(super) fn shown_before(&self, side: Side, steps: usize) -> &Shown {
        let past = &self.past[side as usize];
        &past[past.len().saturating_sub(1 + steps)]
    }

    pub(super) fn past(&self, side: Side) -> &[Shown] {
        &self.past[side as usize]
    }

    /// Grows another tree out of this one, at a size that it had.
    pub(super) fn split(&mut self, at: u64, size: u64, now: u64) {
        let mut other = TRUNK.cut(at);
        other.grow(size, "other");
        self.other = Some(other);
        (self.fork, self.sizes[1]) = (Fork(at), size);
        self.publish(Side::Other, now);
    }

    pub(super) fn append(&mut self, side: Side, count: u64, now: u64) {
        if side == Side::Other && self.other.is_none() {
            return;
        }
        let size = (self.size(side) + count).min(LARGEST);
        if let (Side::Other, Some(other)) = (side, &mut self.other) {
            other.grow(size, "other");
        }
        self.sizes[side as usize] = size;
        self.publish(side, now);
    }

    /// Which keys sign from now on.
    pub(super) fn sign_with(&mut self, active: &[usize]) {
        self.active = active.to_vec();
    }

    /// Signs any head with the log's own keys.
    pub(super) fn sign(&self, head: &Checkpoint, now: u64) -> SignedCheckpoint {
        let keys: Vec<&SignerKey> = self.active.iter().map(|&key| &self.keys[key]).collect();
        head.sign_all(&keys, Timestamp::new(EPOCH + now).unwrap()).unwrap()
    }

    /// A head of a tree's size with a root that belongs to nothing.
    pub(super) fn forged(&self, place: Place) -> Checkpoint {
        let head = self.model(place.side).checkpoint(place.size);
        Checkpoint::new(head.origin().clone(), head.size(), Hash::leaf(head.root().as_bytes()))
    }

    /// Signs the newest head of a tree and has it cosigned by whoever is asked for that tree.
    fn publish(&mut self, side: Side, now: u64) {
        let place = Place { side, size: self.size(side) };
        let signed = self.sign(&self.model(side).checkpoint(place.size), now);
        let mut head = Note { place, signed, times: Vec::new() };
        for number in 0..self.witnesses.len() {
            let delay = match self.witnesses[number].mood {
                Mood::Dead { until } if now < until => continue,
                Mood::Late { by, until } if now < until => by,
                _ => 0,
            };
            // A log that lies tries its luck with every witness.
            let is_asked = self.asked_for[number] == side || side == Side::Other;
            let Some((line, time)) = is_asked.then(|| self.cosign(number, &head, now)).flatten() else { continue };
            if delay > 0 {
                self.late.push(Late { due: now + delay, witness: number, place, line, time });
            } else {
                head.add(number, line, time);
            }
        }
        let last = self.past[side as usize].last().map(|shown| shown.checkpoint.clone());
        // A log that lies shows what it has; an honest one waits for the quorum.
        let has_quorum = head.times.len() >= QUORUM;
        let checkpoint = if has_quorum { head.clone() } else { last.unwrap_or_else(|| head.clone()) };
        let checkpoint = if side == Side::Other { head.clone() } else { checkpoint };
        self.past[side as usize].push(Shown { checkpoint, head });
    }

    fn cosign(&mut self, number: usize, head: &Note, now: u64) -> Option<(NoteSignature, u64)> {
        let model = match (head.place.side, &self.other) {
            (Side::Other, Some(other)) => other,
            _ => &TRUNK,
        };
        let asking = Asking { model, keys: &self.known, fork: self.fork, wall: EPOCH + now };
        let witness = &mut self.witnesses[number];
        let line = witness.ask(head.place, &head.signed, &asking)?;
        Some((line, EPOCH + now + witness.ahead))
    }

    /// What happens by itself as time goes by.
    pub(super) fn tick(&mut self, now: u64) {
        let (due, late) = core::mem::take(&mut self.late).into_iter().partition(|late| late.due <= now);
        self.late = late;
        let due: Vec<Late> = due;
        for Late { witness, place, line, time, .. } in due {
            let mut shown = self.shown(place.side).clone();
            // What the log has grown past is of no use any more.
            if shown.head.place == place {
                shown.head.add(witness, line, time);
                if shown.head.times.len() >= QUORUM {
                    shown.checkpoint = shown.head.clone();
                }
                self.past[place.side as usize].push(shown);
            }
        }
        if now.is_multiple_of(RECOSIGN) {
            self.publish(Side::One, now);
            if self.other.is_some() {
                self.publish(Side::Other, now);
            }
        }
    }
}

impl Note {
    fn add(&mut self, witness: usize, line: NoteSignature, time: u64) {
        self.signed = self.signed.clone().with_signature(line).unwrap();
        self.times.retain(|(number, _)| *number != witness);
        self.times.push((witness, time));
    }

    /// The newest time that a whole quorum attests, by cosignatures made no later than this.
    pub(super) fn attested_before(&self, latest: u64) -> Option<u64> {
        let mut times: Vec<u64> = self.times.iter().map(|(_, time)| *time).filter(|time| *time <= latest).collect();
        times.sort_unstable();
        times.len().checked_sub(QUORUM).map(|place| times[place])
    }
}
