//! Checkpoints and cosignatures: what a log signs, its readers verify, and a witness cosigns.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cairn_tree::checkpoint::{Checkpoint, CheckpointSignError, CheckpointVerifyError, Origin, SignedCheckpoint};
use cairn_tree::cosignature::{CosignatureError, CosignerKey, Ed25519Cosigner, Timestamp, cosign};
use cairn_tree::hash::Hash;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::size::TreeSize;

fn signer(name: &str, kind: SignatureType, seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(name).unwrap(), kind, &[seed; 32]).unwrap()
}

fn head(size: u64) -> Checkpoint {
    let root = if size == 0 { Hash::EMPTY_TREE } else { Hash::leaf(&size.to_be_bytes()) };
    Checkpoint::new(Origin::new("log.example/main").unwrap(), TreeSize::new(size).unwrap(), root)
}

#[test]
fn a_signed_head_verifies_with_the_key_named_like_its_origin() {
    let key = signer("log.example/main", SignatureType::ED25519, 1);
    let signed = head(7).sign(&key).unwrap();
    let parsed = SignedCheckpoint::parse(signed.encode().as_bytes()).unwrap();
    assert_eq!(parsed, signed);
    let verified = parsed.verify(&[key.verifier_key().clone()]).unwrap();
    assert_eq!(*verified.checkpoint(), head(7));
    assert_eq!(verified.key(), key.verifier_key());
}

#[test]
fn a_key_with_another_name_neither_signs_nor_verifies() {
    let other = signer("log.example/other", SignatureType::ED25519, 1);
    assert!(matches!(head(7).sign(&other), Err(CheckpointSignError::Origin { .. })));

    let text = head(7).text();
    let line = other.sign_text(&text).unwrap();
    let note = cairn_tree::note::SignedNote::new(text, vec![line]).unwrap();
    let signed = SignedCheckpoint::parse(note.encode().as_bytes()).unwrap();
    let refused = signed.verify(&[other.verifier_key().clone()]).unwrap_err();
    assert!(matches!(refused, CheckpointVerifyError::Origin { .. }));
}

#[test]
fn cosignatures_bind_text_time_and_key() {
    let log = signer("log.example/main", SignatureType::ED25519, 1);
    let witness = signer("witness.example/w1", SignatureType::COSIGNATURE_ED25519, 2);
    let cosigner = Ed25519Cosigner::new(witness.verifier_key().clone()).unwrap();
    let verified = head(7).sign(&log).unwrap().verify(&[log.verifier_key().clone()]).unwrap();
    let time = Timestamp::new(1_679_315_147).unwrap();

    let line = cosign(&verified, &witness, time).unwrap();
    assert_eq!(cosigner.verify(verified.signed()).unwrap(), None);
    let cosigned = verified.signed().clone().with_signature(line.clone()).unwrap();
    assert_eq!(cosigner.verify(&cosigned).unwrap(), Some(time));

    let other = head(8).sign(&log).unwrap().with_signature(line).unwrap();
    assert!(matches!(cosigner.verify(&other), Err(CosignatureError::BadSignature(..))));
    assert!(matches!(cosign(&verified, &log, time), Err(CosignatureError::Signer(_))));
    assert!(matches!(CosignerKey::new(log.verifier_key().clone()), Err(CosignatureError::KeyType(_))));
}
