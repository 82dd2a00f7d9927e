//! Evidence files: what they prove, what they do not, and that no changed byte passes.

use std::fs;
use std::path::PathBuf;

use cairn::monitor::{Case, Evidence, Misplaced, Observation, Weight};
use cairn_tests::command::cairn;
use cairn_tests::lying::Model;
use cairn_tree::checkpoint::{Checkpoint, LogKeys, Origin, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::ConsistencyProof;
use cairn_tree::note::SignatureType;
use cairn_tree::size::{LeafIndex, TreeSize};

use crate::scene::repository;

const ORIGIN: &str = "lying.example/log";

/// Two logs of one key that agree on their first 200 entries only.
struct Forked {
    one: Model,
    other: Model,
    keys: LogKeys,
}

fn keys_of(model: &Model) -> LogKeys {
    LogKeys::try_from(model.vkey().clone()).unwrap()
}

impl Forked {
    fn new() -> Self {
        let mut one = Model::new(ORIGIN, 1);
        one.grow(200, "entry");
        let mut other = one.clone();
        one.grow(600, "entry");
        other.grow(600, "other");
        let keys = keys_of(&one);
        Self { one, other, keys }
    }

    fn verified(&self, model: &Model, size: u64) -> VerifiedCheckpoint {
        let signed = SignedCheckpoint::parse(model.head(size).as_bytes()).unwrap();
        self.keys.verify(&signed).unwrap()
    }

    /// The fork between `one` at a size and `other` at a larger one.
    fn fork(&self, smaller: u64, larger: u64) -> Case {
        let proof = self.other.consistency(smaller, larger).unwrap();
        let root = self.verified(&self.other, smaller).root();
        Case::fork(&self.verified(&self.one, smaller), &self.verified(&self.other, larger), root, &proof)
    }

    fn evidence(&self, case: Case) -> Evidence {
        Evidence::new(
            case,
            Observation {
                keys: &self.keys,
                url: "http://log.example/logs/lying".to_owned(),
                at: "2026-01-02T03:04:05Z".to_owned(),
                transcript: vec!["2026-01-02T03:04:04Z checkpoint: 600 entries".to_owned()],
            },
        )
    }

    /// Testimony of every kind.
    fn testimonies(&self) -> Vec<Case> {
        let (small, large) = (self.one.head(450), self.one.head(600));
        let mut stranger = Model::new(ORIGIN, 2);
        stranger.grow(3, "entry");
        let index = LeafIndex::new(300).unwrap();
        let leaf = Hash::leaf(self.one.entry(index).unwrap());
        let proof = self.one.inclusion(index, 600).unwrap();
        let wrong_entry = Case::wrong_entry(&self.verified(&self.one, 600), index, b"forged", leaf, &proof);
        let time = |fault| Case::Time {
            head: large.clone(),
            fault,
            now: 1_767_323_045,
            within: 3_600,
            times: vec!["witness.example/w1: 1767300000".to_owned()],
        };
        let resource = cairn::fetch::HeadKind::Head;
        vec![
            Case::Rollback { larger: large.clone(), smaller: small.clone(), resource, seconds: 30 },
            Case::Withheld {
                seen: large.clone(),
                shown: small.clone(),
                peer: "http://peer.example".to_owned(),
                seconds: 30,
            },
            wrong_entry,
            Case::Misfit { previous: Some(small), head: large.clone(), fault: "a tile does not fit".to_owned() },
            Case::Signature { resource, served: stranger.head(3), fault: "no signature by a known key".to_owned() },
            Case::Quorum {
                head: large.clone(),
                fault: "no cosignature".to_owned(),
                policy: "quorum none\n".to_owned(),
            },
            time(Misplaced::TooOld),
            time(Misplaced::FromTheFuture),
        ]
    }

    fn weight(&self, evidence: &Evidence) -> Option<Weight> {
        let read = Evidence::decode(&evidence.encode().unwrap()).unwrap();
        assert_eq!(&read, evidence);
        evidence.check(&self.keys).ok().map(|verdict| verdict.weight)
    }
}

#[test]
fn two_heads_that_contradict_each_other_are_proof_for_anybody() {
    let forked = Forked::new();
    for (smaller, larger) in [(201, 202), (255, 256), (256, 257), (257, 600), (512, 600), (599, 600), (201, 600)] {
        assert_eq!(forked.weight(&forked.evidence(forked.fork(smaller, larger))), Some(Weight::Proven));
    }
    let at_one_size = Case::fork_at_one_size(&forked.verified(&forked.one, 300), &forked.verified(&forked.other, 300));
    assert_eq!(forked.weight(&forked.evidence(at_one_size)), Some(Weight::Proven));
}

#[test]
fn what_an_honest_log_signs_is_no_fork() {
    let forked = Forked::new();
    let refused = |case: Case| assert_eq!(forked.weight(&forked.evidence(case.clone())), None, "{case:?}");
    // Up to 200 entries the two are one log, and growing is no crime.
    refused(forked.fork(150, 600));
    refused(forked.fork(200, 600));
    let (small, large) = (forked.verified(&forked.one, 300), forked.verified(&forked.one, 600));
    refused(Case::fork_at_one_size(&small, &small));
    refused(Case::fork_at_one_size(&small, &large));
    // A proof from a root that the larger tree never had; from the empty tree, of which nothing can be proven; of
    // sizes in the wrong order.
    let (proof, none) = (forked.one.consistency(300, 600).unwrap(), ConsistencyProof::from_hashes(Vec::new()).unwrap());
    let other = forked.verified(&forked.other, 300);
    refused(Case::fork(&small, &large, other.root(), &proof));
    refused(Case::fork(&other, &large, other.root(), &proof));
    let empty = Checkpoint::new(Origin::new(ORIGIN).unwrap(), TreeSize::ZERO, Hash::EMPTY_TREE);
    let empty = SignedCheckpoint::parse(forked.one.sign(&empty).as_bytes()).unwrap();
    let empty = forked.keys.verify(&empty).unwrap();
    refused(Case::fork(&empty, &large, Hash::leaf(b"any"), &none));
    refused(Case::fork(&large, &small, small.root(), &proof));
    refused(Case::fork(&small, &small, other.root(), &none));
}

#[test]
fn heads_of_another_log_prove_nothing() {
    let forked = Forked::new();
    let mut elsewhere = Model::new("elsewhere.example/log", 9);
    elsewhere.grow(300, "entry");
    let signed = SignedCheckpoint::parse(elsewhere.head(300).as_bytes()).unwrap();
    let theirs = keys_of(&elsewhere).verify(&signed).unwrap();
    let case = Case::fork_at_one_size(&forked.verified(&forked.one, 300), &theirs);
    assert!(forked.evidence(case.clone()).check(&forked.keys).is_err());
    assert!(forked.evidence(case).check(&keys_of(&elsewhere)).is_err());
    let fork = forked.evidence(forked.fork(300, 600));
    let refused = fork.check(&keys_of(&elsewhere)).unwrap_err();
    assert!(refused.to_string().contains("about the log lying.example/log"), "{refused}");
    // A head by any of the log's keys counts.
    let both = LogKeys::new(vec![Model::new(ORIGIN, 5).vkey().clone(), forked.one.vkey().clone()]).unwrap();
    assert_eq!(fork.check(&both).map(|verdict| verdict.weight), Ok(Weight::Proven));
}

#[test]
fn every_other_case_is_testimony_and_says_so() {
    let forked = Forked::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence.json");
    for case in forked.testimonies() {
        let evidence = forked.evidence(case);
        assert_eq!(forked.weight(&evidence), Some(Weight::Testimony), "{evidence:?}");
        fs::write(&file, evidence.encode().unwrap()).unwrap();
        let ran = cairn(["evidence", "verify", file.to_str().unwrap(), "--key", &forked.keys.to_string()]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.stdout.starts_with("claimed: ") && ran.stdout.contains("testimony, proves nothing"), "{ran:?}");
        let claims_nothing = matches!(evidence.case(), Case::Signature { .. });
        assert_eq!(ran.stdout.contains("the log signed"), !claims_nothing, "{ran:?}");
        // Not even testimony, if the log never signed it.
        let stranger = Model::new(ORIGIN, 7);
        let judged = evidence.check(&keys_of(&stranger));
        assert!(judged.is_err() || matches!(evidence.case(), Case::Signature { .. }), "{evidence:?}");
    }
}

/// Anybody can make such a file: it must not say that the log signed what it did not.
#[test]
fn a_made_up_signature_case_says_that_anybody_may_have_made_it() {
    let forked = Forked::new();
    let made_up = Model::new(ORIGIN, 2).head(0);
    let mut two_keys = Model::new(ORIGIN, 1);
    two_keys.sign_with(&[(SignatureType::ED25519, 1), (SignatureType::ED25519, 2)]);
    two_keys.grow(3, "entry");
    let spoiled = two_keys.spoiled_head(3);
    let both = LogKeys::new(two_keys.vkeys()).unwrap();
    for (served, keys, words) in [
        (made_up, &forked.keys, "no given key has signed the head, so that anybody may have made it"),
        (spoiled, &both, "one of the log's keys has signed the head, and something else in it is wrong"),
    ] {
        let case = Case::Signature { resource: cairn::fetch::HeadKind::Head, served, fault: "wrong".to_owned() };
        let verdict = forked.evidence(case).check(keys).unwrap();
        assert_eq!((verdict.weight, verdict.shows.contains(words)), (Weight::Testimony, true), "{verdict:?}");
    }
}

/// Whatever bit is changed in what counts, the file proves nothing.
#[test]
fn a_fork_with_any_changed_bit_is_refused() {
    let forked = Forked::new();
    for case in [
        forked.fork(300, 600),
        Case::fork_at_one_size(&forked.verified(&forked.one, 300), &forked.verified(&forked.other, 300)),
    ] {
        let whole = forked.evidence(case).encode().unwrap();
        let start = whole.windows(8).position(|window| window == b"\"case\": ").unwrap();
        let mut refused = 0;
        for place in start..whole.len() - 1 {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[place] ^= 1 << bit;
                let judged = Evidence::decode(&changed).and_then(|it| it.check(&forked.keys));
                let text = String::from_utf8_lossy(&changed);
                assert!(judged.is_err(), "byte {place}, bit {bit}: {judged:?}\n{text}");
                refused += 1;
            }
        }
        for length in 0..whole.len() - 1 {
            assert!(Evidence::decode(&whole[..length]).is_err(), "cut at {length}");
        }
        assert!(refused > 3_000, "{refused}");
    }
}

fn vectors() -> PathBuf {
    repository().join("tests/vectors/evidence")
}

/// Files that were written once must be judged the same for ever. With `UPDATE_VECTORS=1` in the environment they are
/// written anew, which is right only together with a new version of the format.
#[test]
fn files_of_this_version_are_read_as_ever() {
    let forked = Forked::new();
    let at_one_size = Case::fork_at_one_size(&forked.verified(&forked.one, 300), &forked.verified(&forked.other, 300));
    let mut cases = vec![("fork".to_owned(), forked.fork(300, 600)), ("fork-at-one-size".to_owned(), at_one_size)];
    cases.extend(forked.testimonies().into_iter().map(|case| (case.name().to_owned(), case)));
    let key = vectors().join("log.vkey");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        fs::write(&key, format!("{}\n", forked.keys)).unwrap();
        for (name, case) in &cases {
            fs::write(vectors().join(format!("{name}.json")), forked.evidence(case.clone()).encode().unwrap()).unwrap();
        }
    }
    let keys: LogKeys = fs::read_to_string(key).unwrap().parse().unwrap();
    assert_eq!(fs::read_dir(vectors()).unwrap().count(), cases.len() + 1);
    for (name, case) in cases {
        let bytes = fs::read(vectors().join(format!("{name}.json"))).unwrap();
        let evidence = Evidence::decode(&bytes).unwrap();
        assert_eq!(evidence, forked.evidence(case), "{name}");
        let weight = if name.starts_with("fork") { Weight::Proven } else { Weight::Testimony };
        assert_eq!(evidence.check(&keys).map(|verdict| verdict.weight), Ok(weight), "{name}");
    }
}
