//! Checkpoints, receipts, policies and witness bodies that others have written: the examples of the C2SP documents, and
//! what Go's packages make (`tests/vectors/proof/generate`). What each file is stands in the folders' READMEs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::cosignature::CosignerKey;
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
fn cosignatures_of_go_count_and_the_ml_dsa_one_does_not_yet() {
    let cosigned = checkpoint(vector!("proof/cosigned.checkpoint"));
    let met = policy().verify(&cosigned).unwrap();
    let counted: Vec<String> = met.witnesses().iter().map(|witness| witness.name.to_string()).collect();
    assert_eq!(counted, ["w1", "w2"]);
    assert!(met.witnesses().iter().all(|witness| witness.time.seconds() > 1_700_000_000));

    let policy = policy();
    let ml_dsa = policy.witnesses().iter().find(|witness| witness.name().as_bytes() == b"m").unwrap();
    assert!(matches!(ml_dsa.key(), CosignerKey::MlDsa44(_)));
    assert_eq!(ml_dsa.key().verifier_key().kind(), SignatureType::COSIGNATURE_ML_DSA_44);
    assert!(cosigned.note().signatures().iter().any(|line| line.claims(ml_dsa.key().verifier_key())));
    assert_eq!(policy.witnesses()[0].url().unwrap().to_str(), Some("https://w1.example/"));
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
        let verified = receipt.verify(ENTRY, &Trust::Log(log_key())).unwrap();
        assert_eq!((verified.index().get(), verified.leaf_hash()), (257, Hash::leaf(ENTRY)));
        let other = receipt.verify(b"entry 256 of the vectors", &Trust::Log(log_key())).unwrap_err();
        assert!(matches!(other, ReceiptVerifyError::Inclusion(InclusionError::Root { .. })));
    }
    let two = Receipt::parse(texts[0].as_bytes()).unwrap().verify(ENTRY, &Trust::Policy(policy())).unwrap();
    assert_eq!(two.witnesses().len(), 2);
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
