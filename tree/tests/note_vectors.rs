//! Checkpoints, receipts, policies and witness bodies that others have written: the examples of the C2SP documents, and
//! what Go's packages make (`tests/vectors/{proof,cosignatures}/generate`). What each file is stands in the folders' READMEs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use cairn_tree::checkpoint::{CheckpointVerifyError, SignedCheckpoint, Timestamp};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, InclusionError, Root};
use cairn_tree::note::{SignatureType, SignedNote, SignerKey, VerifierKey};
use cairn_tree::policy::{Policy, PolicyVerifyError, Trust};
use cairn_tree::receipt::{Receipt, ReceiptVerifyError};
use cairn_tree::wire::witness::{AddCheckpoint, Cosignatures};

macro_rules! vector {
    ($path:literal) => {
        include_str!(concat!("../../tests/vectors/", $path))
    };
}

const ENTRY: &[u8] = vector!("proof/entry").as_bytes();

fn log_key() -> VerifierKey {
    vector!("proof/log.vkey").trim_end().parse().unwrap()
}

fn policy() -> Policy {
    Policy::parse(vector!("policy/two-of-three.policy").as_bytes()).unwrap()
}

fn checkpoint(text: &str) -> SignedCheckpoint {
    let checkpoint = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(checkpoint.encode(), text);
    checkpoint
}

#[test]
fn the_examples_of_the_specifications_are_read_and_written_again() {
    let plain = checkpoint(vector!("notes/c2sp-checkpoint.note"));
    let cosigned = checkpoint(vector!("notes/c2sp-cosigned.note"));
    assert_eq!(plain.unverified().origin().as_str(), "example.com/behind-the-sofa");
    assert_eq!(plain.unverified().size().get(), 20_852_163);
    assert_eq!(plain.unverified().root().to_base64(), "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=");
    assert_eq!(plain.unverified(), cosigned.unverified());
    let names: Vec<&str> = cosigned.note().signatures().iter().map(|line| line.name().as_str()).collect();
    assert_eq!(names, ["example.com/behind-the-sofa", "witness.example.com/w1"]);

    let poem = SignedNote::parse(vector!("notes/c2sp-poem.note").as_bytes()).unwrap();
    assert!(poem.unverified_text().ends_with("di sole:\n\ned \u{e8} subito sera.\n"));
    assert_eq!(poem.encode(), vector!("notes/c2sp-poem.note"));
}

#[test]
fn the_witness_exchange_of_the_specification_is_read_and_written_again() {
    let request = AddCheckpoint::parse(vector!("notes/c2sp-add-checkpoint.body").as_bytes()).unwrap();
    assert_eq!((request.old().get(), request.proof().hashes().len()), (20_852_014, 4));
    assert_eq!(request.checkpoint().note().signatures().len(), 2);
    assert_eq!(request.to_string(), vector!("notes/c2sp-add-checkpoint.body"));

    let answer = Cosignatures::parse(vector!("notes/c2sp-add-checkpoint.answer").as_bytes()).unwrap();
    assert_eq!(answer.lines().len(), 3);
    assert_eq!(answer.to_string(), vector!("notes/c2sp-add-checkpoint.answer"));
    // A client may put the answer behind the checkpoint: each line of another key stands there once.
    let merged = answer
        .lines()
        .iter()
        .try_fold(request.checkpoint().clone(), |merged, line| merged.with_signature(line.clone()));
    assert_eq!(merged.unwrap().note().signatures().len(), 5);
}

#[test]
fn checkpoints_of_go_verify_and_ours_are_the_same_bytes() {
    let key: SignerKey = vector!("proof/log.skey").trim_end().parse().unwrap();
    assert_eq!(*key.verifier_key(), log_key());
    for text in [vector!("proof/empty.checkpoint"), vector!("proof/single.checkpoint"), vector!("proof/old.checkpoint")]
    {
        let verified = checkpoint(text).verify(&[log_key()]).unwrap();
        assert_eq!(verified.checkpoint().sign(&key).unwrap().encode(), text);
    }
    let empty = checkpoint(vector!("proof/empty.checkpoint")).verify(&[log_key()]).unwrap();
    assert_eq!(empty.tree(), Root::EMPTY);
}

#[test]
fn cosignatures_of_go_count_the_ml_dsa_one_too() {
    let cosigned = checkpoint(vector!("proof/cosigned.checkpoint"));
    let met = policy().verify(&cosigned).unwrap();
    let counted: Vec<String> = met.witnesses().iter().map(|witness| witness.name.to_string()).collect();
    assert_eq!(counted, ["w1", "w2", "m"]);
    assert!(met.witnesses().iter().all(|witness| witness.time.seconds() > 1_700_000_000));

    let policy = policy();
    let ml_dsa = policy.witnesses().iter().find(|witness| witness.name().as_bytes() == b"m").unwrap();
    assert_eq!(ml_dsa.key().verifier_key().kind(), SignatureType::COSIGNATURE_ML_DSA_44);
    assert_eq!(policy.witnesses()[0].url().unwrap().to_str(), Some("https://w1.example/"));
}

#[test]
fn heads_of_go_with_two_kinds_of_signatures_verify() {
    let ml_dsa: VerifierKey = vector!("cosignatures/log.vkey").trim_end().parse().unwrap();
    let ed25519: VerifierKey = vector!("cosignatures/log-ed25519.vkey").trim_end().parse().unwrap();
    let time = |seconds| Some(Timestamp::new(seconds).unwrap());
    let alone =
        checkpoint(vector!("cosignatures/ml-dsa.checkpoint")).verify(&[ed25519.clone(), ml_dsa.clone()]).unwrap();
    assert_eq!((alone.key(), alone.time()), (&ml_dsa, time(1_700_000_000)));
    let both = checkpoint(vector!("cosignatures/both.checkpoint"));
    let verified = both.verify(&[ml_dsa.clone(), ed25519.clone()]).unwrap();
    assert_eq!(verified.keys(), [ed25519.clone(), ml_dsa.clone()]);
    assert_eq!(both.verify(std::slice::from_ref(&ml_dsa)).unwrap().time(), time(1_700_000_000));

    let extended = checkpoint(vector!("cosignatures/extended.checkpoint"));
    assert!(extended.verify(&[ed25519]).is_ok());
    let refused = extended.verify(&[ml_dsa]).unwrap_err();
    assert!(matches!(refused, CheckpointVerifyError::UnsignedExtensions(_)), "{refused}");

    // Our own keys come from the same seeds.
    for (skey, vkey) in [
        (vector!("cosignatures/log.skey"), vector!("cosignatures/log.vkey")),
        (vector!("cosignatures/witness.skey"), vector!("cosignatures/witness.vkey")),
    ] {
        let key: SignerKey = skey.trim_end().parse().unwrap();
        assert_eq!(
            (&*key.to_skey(), key.verifier_key().to_string()),
            (&skey.trim_end().to_owned(), vkey.trim_end().into())
        );
    }
}

#[test]
fn receipts_of_go_verify_under_a_policy_with_an_ml_dsa_witness() {
    let policy = vector!("cosignatures/ml-dsa.policy");
    let entry = vector!("cosignatures/entry").as_bytes();
    let receipt = Receipt::parse(vector!("cosignatures/both.tlog-proof").as_bytes()).unwrap();
    let parse = |file: &str| Trust::Policy(Policy::parse(file.as_bytes()).unwrap());
    let verified = receipt.verify(entry, &parse(policy)).unwrap();
    let counted: Vec<&str> = verified.witnesses().iter().filter_map(|witness| witness.name.to_str()).collect();
    assert_eq!(counted, ["old", "new"]);
    assert_eq!(verified.witnesses()[1].time.seconds(), 1_700_000_001);
    assert!(receipt.verify(b"entry 256 of the vectors", &parse(policy)).is_err());

    // Without the ML-DSA-44 line the same policy is not met; the log's ML-DSA-44 key alone is enough for its part.
    let lines = receipt.checkpoint().note().signatures().iter().filter(|line| line.signature().len() != 8 + 2420);
    let note = SignedNote::new(receipt.checkpoint().note().unverified_text().into(), lines.cloned().collect()).unwrap();
    let stripped = Receipt::new(receipt.index(), receipt.proof().clone(), checkpoint(&note.encode()));
    let refused = stripped.verify(entry, &parse(policy)).unwrap_err().to_string();
    assert!(refused.ends_with("group both has 1 of 2; no cosignature by witness new"), "{refused}");
    let (_, without_ed25519_log) = policy.split_once('\n').unwrap();
    assert!(receipt.verify(entry, &parse(without_ed25519_log)).is_ok());
    assert!(stripped.verify(entry, &parse(without_ed25519_log)).is_err());
}

#[test]
fn receipts_of_go_verify_and_are_written_again() {
    let texts = [
        vector!("proof/cosigned.tlog-proof"),
        vector!("proof/extra.tlog-proof"),
        vector!("proof/one-witness.tlog-proof"),
        vector!("proof/last.tlog-proof"),
    ];
    for text in texts {
        let receipt = Receipt::parse(text.as_bytes()).unwrap();
        assert_eq!(receipt.to_string(), text);
        let verified = receipt.verify(ENTRY, &Trust::Log(log_key().try_into().unwrap())).unwrap();
        assert_eq!((verified.index().get(), verified.leaf_hash()), (257, Hash::leaf(ENTRY)));
        let other =
            receipt.verify(b"entry 256 of the vectors", &Trust::Log(log_key().try_into().unwrap())).unwrap_err();
        assert!(matches!(other, ReceiptVerifyError::Inclusion(InclusionError::Root { .. })));
    }
    let two = Receipt::parse(texts[0].as_bytes()).unwrap().verify(ENTRY, &Trust::Policy(policy())).unwrap();
    assert_eq!(two.witnesses().len(), 3);
    let one = Receipt::parse(texts[2].as_bytes()).unwrap().verify(ENTRY, &Trust::Policy(policy())).unwrap_err();
    let ReceiptVerifyError::Checkpoint(PolicyVerifyError::Quorum(missing)) = one else {
        unreachable!("refused for another reason: {one}")
    };
    assert_eq!(
        missing.to_string(),
        "the quorum is not met: group two has 1 of 2; no cosignature by witness w2; no cosignature by witness w3"
    );
}

#[test]
fn a_witness_request_of_go_is_consistent() {
    let request = AddCheckpoint::parse(vector!("proof/add-checkpoint.body").as_bytes()).unwrap();
    assert_eq!(request.to_string(), vector!("proof/add-checkpoint.body"));
    let old = checkpoint(vector!("proof/old.checkpoint")).verify(&[log_key()]).unwrap();
    let new = request.checkpoint().verify(&[log_key()]).unwrap();
    assert_eq!(request.old(), old.size());
    assert_eq!(request.proof().verify(&Extension { old: old.tree(), new: new.tree() }), Ok(()));
}
