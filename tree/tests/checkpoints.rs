//! Checkpoints and cosignatures: what a log signs, its readers verify, and a witness cosigns.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fixture;

use cairn_tree::checkpoint::{
    Checkpoint, CheckpointSignError, CheckpointVerifyError, Origin, SignedCheckpoint, VerifiedCheckpoint,
};
use cairn_tree::cosignature::{CosignatureError, CosignerKey, Ed25519Cosigner, Timestamp, cosign};
use cairn_tree::hash::Hash;
use cairn_tree::note::{NoteVerifyError, SignatureType, SignedNote};
use fixture::{LOG, cosigned, head, log_key, ml_dsa_key, signed, signer, size, verified, witness_key};

/// A note with this text, signed by the log.
fn signed_text(text: &str) -> SignedCheckpoint {
    let note = SignedNote::sign(text.to_owned(), &[&log_key()]).unwrap();
    SignedCheckpoint::parse(note.encode().as_bytes()).unwrap()
}

fn verify(checkpoint: &SignedCheckpoint) -> Result<VerifiedCheckpoint, CheckpointVerifyError> {
    checkpoint.verify(&[log_key().verifier_key().clone()])
}

fn cosigner(number: u8) -> Ed25519Cosigner {
    Ed25519Cosigner::new(witness_key(number).verifier_key().clone()).unwrap()
}

#[test]
fn a_signed_head_verifies_with_the_key_named_like_its_origin() {
    for at in [0, 1, 7] {
        let signed = signed(at);
        let parsed = SignedCheckpoint::parse(signed.encode().as_bytes()).unwrap();
        assert_eq!(parsed, signed);
        let verified = verify(&parsed).unwrap();
        assert_eq!(*verified.checkpoint(), head(at));
        assert_eq!((verified.tree().size, verified.tree().hash), (head(at).size(), head(at).root()));
        assert_eq!(verified.key(), log_key().verifier_key());
    }
}

#[test]
fn a_key_with_another_name_neither_signs_nor_verifies() {
    let other = signer("log.example/other", SignatureType::ED25519, 1);
    assert!(matches!(head(7).sign(&other), Err(CheckpointSignError::Origin { .. })));

    let text = head(7).text();
    let line = other.sign_text(&text).unwrap();
    let note = SignedNote::new(text, vec![line.clone()]).unwrap();
    let only_other = SignedCheckpoint::parse(note.encode().as_bytes()).unwrap();
    let keys = [other.verifier_key().clone(), log_key().verifier_key().clone()];
    assert!(matches!(only_other.verify(&keys), Err(CheckpointVerifyError::Origin { .. })));
    // Beside the log's own, it does no harm.
    let both = signed(7).with_signature(line).unwrap();
    assert_eq!(both.verify(&keys).unwrap().key(), log_key().verifier_key());
}

#[test]
fn a_cosignature_key_does_not_sign_for_a_log() {
    let cosigner = signer(LOG, SignatureType::COSIGNATURE_ED25519, 1);
    assert!(matches!(head(7).sign(&cosigner), Err(CheckpointSignError::Key(_))));
    let refused = signed(7).verify(&[cosigner.verifier_key().clone()]).unwrap_err();
    assert_eq!(refused, NoteVerifyError::KeyType(SignatureType::COSIGNATURE_ED25519).into());
}

#[test]
fn an_empty_tree_has_one_root() {
    let other = Checkpoint::new(Origin::new(LOG).unwrap(), size(0), Hash::leaf(b"not empty"));
    assert_eq!(other.sign(&log_key()).unwrap_err(), CheckpointSignError::EmptyRoot);
    // A log that signs it all the same has signed: that is said only after its signature was verified.
    let signed = signed_text(&other.text());
    assert_eq!(verify(&signed).unwrap_err(), CheckpointVerifyError::EmptyRoot);
    let stranger = signer(LOG, SignatureType::ED25519, 9);
    let refused = signed.verify(&[stranger.verifier_key().clone()]).unwrap_err();
    assert_eq!(refused, NoteVerifyError::NoKnownKey.into());
}

#[test]
fn extension_lines_are_read_and_verified_but_never_signed() {
    let text = format!("{}one\ntwo \u{e9}\n", head(7).text());
    let signed = signed_text(&text);
    assert_eq!(signed.unverified().extensions(), ["one", "two \u{e9}"]);
    assert_eq!(signed.unverified().text(), text);
    let verified = verify(&signed).unwrap();
    assert_eq!(*verified.checkpoint().sign(&log_key()).unwrap().unverified(), head(7));

    // A cosignature covers them.
    let line = cosign(&verified, &witness_key(1), Timestamp::new(5).unwrap()).unwrap();
    let cosigned = signed.with_signature(line.clone()).unwrap();
    assert_eq!(cosigner(1).verify(&cosigned).unwrap(), Some(Timestamp::new(5).unwrap()));
    assert!(cosigner(1).verify_line(&fixture::signed(7), &line).is_err());
}

#[test]
fn a_cosigned_checkpoint_corrupted_anywhere_is_refused() {
    let text = cosigned(7, &[1]).encode().into_bytes();
    let accepted = |bytes: &[u8]| {
        SignedCheckpoint::parse(bytes)
            .is_ok_and(|signed| verify(&signed).is_ok() && matches!(cosigner(1).verify(&signed), Ok(Some(_))))
    };
    assert!(accepted(&text));
    for position in 0..text.len() {
        for bit in 0..8 {
            let mut corrupted = text.clone();
            corrupted[position] ^= 1 << bit;
            assert!(!accepted(&corrupted), "bit {bit} of byte {position}");
        }
        assert!(!accepted(&text[..position]), "cut at {position}");
    }
}

#[test]
fn a_cosignature_is_bound_to_text_time_and_key() {
    let verified = verified(7);
    let time = Timestamp::new(1_679_315_147).unwrap();
    let line = cosign(&verified, &witness_key(1), time).unwrap();
    assert_eq!(line.signature()[..8], 1_679_315_147_u64.to_be_bytes());
    assert_eq!(cosigner(1).verify(verified.signed()).unwrap(), None);
    assert_eq!(cosigner(1).verify_line(verified.signed(), &line).unwrap(), Some(time));
    assert_eq!(cosigner(2).verify_line(verified.signed(), &line).unwrap(), None);
    let replayed = cosigner(1).verify_line(&signed(8), &line).unwrap_err();
    assert!(matches!(replayed, CosignatureError::BadSignature(..)));

    // The message is the specification's, not the bare text: neither passes for the other.
    let message = format!("cosignature/v1\ntime 1679315147\n{}", head(7).text());
    let bare = signer("w1.example", SignatureType::ED25519, 101);
    assert_eq!(bare.sign_text(&message).unwrap().signature(), &line.signature()[8..]);
}

#[test]
fn times_and_lengths_of_cosignatures_are_bounded() {
    assert!(Timestamp::new(1 << 63).is_err());
    let zero = Timestamp::new(0).unwrap();
    assert_eq!(cosign(&verified(7), &witness_key(1), zero).unwrap_err(), CosignatureError::NoTime);
    let latest = cosign(&verified(7), &witness_key(1), Timestamp::MAX).unwrap();
    assert_eq!(cosigner(1).verify_line(&signed(7), &latest).unwrap(), Some(Timestamp::MAX));

    // A line of the witness with another length, or a time past the bound.
    let with_bytes = |change: fn(&mut Vec<u8>)| {
        let mut bytes = [latest.id().as_bytes().as_slice(), latest.signature()].concat();
        change(&mut bytes);
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let text = format!("{}\u{2014} {} {base64}\n", signed(7), latest.name());
        cosigner(1).verify(&SignedCheckpoint::parse(text.as_bytes()).unwrap()).unwrap_err()
    };
    assert!(matches!(with_bytes(|bytes| bytes.truncate(75)), CosignatureError::Length { found: 71, .. }));
    assert!(matches!(with_bytes(|bytes| bytes.push(0)), CosignatureError::Length { found: 73, .. }));
    assert!(matches!(with_bytes(|bytes| bytes.truncate(5)), CosignatureError::Length { found: 1, .. }));
    assert!(matches!(with_bytes(|bytes| bytes[4] = 0x80), CosignatureError::Time(_)));
}

#[test]
fn the_newest_of_several_cosignatures_counts() {
    let line = |time| cosign(&verified(7), &witness_key(1), Timestamp::new(time).unwrap()).unwrap();
    let text = format!("{}{}\n{}\n{}\n", signed(7), line(5), line(9), line(7));
    let several = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(cosigner(1).verify(&several).unwrap(), Some(Timestamp::new(9).unwrap()));
    // Added one by one, the later takes the place of the earlier.
    let merged = signed(7).with_signature(line(5)).unwrap().with_signature(line(9)).unwrap();
    assert_eq!(merged.note().signatures().len(), 2);
    assert_eq!(cosigner(1).verify(&merged).unwrap(), Some(Timestamp::new(9).unwrap()));
}

#[test]
fn only_cosignature_keys_cosign() {
    let refused = cosign(&verified(7), &log_key(), Timestamp::MAX).unwrap_err();
    assert!(matches!(refused, CosignatureError::Signer(_)));
    let log = log_key().verifier_key().clone();
    assert_eq!(CosignerKey::new(log).unwrap_err(), CosignatureError::KeyType(SignatureType::ED25519));
    let ml_dsa = ml_dsa_key("m.example");
    assert!(Ed25519Cosigner::new(ml_dsa.clone()).is_err());
    let CosignerKey::MlDsa44(kept) = CosignerKey::new(ml_dsa.clone()).unwrap() else { unreachable!("another type") };
    assert_eq!(*kept.verifier_key(), ml_dsa);
}

/// Each text is a good one with one thing wrong, and the reason it is refused.
#[test]
fn malformed_checkpoints_are_refused_with_the_reason() {
    let good = head(7).text();
    let root = head(7).root().to_base64();
    let origin = "an origin must be 1 to 255 bytes without control characters";
    let lines = "a checkpoint must have an origin, a size and a root hash, each on its line";
    let decimal = "the tree size must be a decimal number without sign or leading zeros";
    let base64 = "the root hash: a hash must be canonical padded base64";
    let cases = [
        (String::new(), "the text of a note must end in a newline"),
        ("\n".into(), origin),
        (format!("{LOG}\n"), lines),
        (format!("{LOG}\n7\n"), lines),
        (good.trim_end().into(), "the text of a note must end in a newline"),
        (format!("\n{good}"), origin),
        (good.replace(LOG, &"o".repeat(256)), origin),
        (good.replace(LOG, "a\tb"), "a note must not contain control characters; the first is at offset 1"),
        (good.replace('\n', "\r\n"), "a note must not contain control characters; the first is at offset 16"),
        (good.replace("\n7\n", "\n07\n"), decimal),
        (good.replace("\n7\n", "\n+7\n"), decimal),
        (good.replace("\n7\n", "\n7 \n"), decimal),
        (good.replace("\n7\n", "\n\n"), decimal),
        (good.replace("\n7\n", "\n0x7\n"), decimal),
        (good.replace("\n7\n", "\n\u{667}\n"), decimal),
        (good.replace("\n7\n", "\n9223372036854775808\n"), "the tree size must be at most 9223372036854775807"),
        (good.replace('=', ""), base64),
        (good.replace(&root, &head(7).root().to_string()), "the root hash: a hash must be 32 bytes, not 48"),
        (good.replace(&root, ""), "the root hash: a hash must be 32 bytes, not 0"),
        (good.replace(&root, &format!(" {root}")), base64),
        (format!("{good}\n"), "extension line 1 must not be empty"),
        (format!("{good}a\n\nb\n"), "extension line 2 must not be empty"),
        (format!("{good}{}", "x\n".repeat(65)), "a checkpoint must have at most 64 extension lines"),
    ];
    for (text, reason) in cases {
        assert_eq!(Checkpoint::parse_text(&text).unwrap_err().to_string(), reason, "{text}");
    }
    assert!(Checkpoint::parse_text(&format!("{good}{}", "x\n".repeat(64))).is_ok());
}
