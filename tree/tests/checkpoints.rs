//! Checkpoints: what a log signs, with Ed25519, with ML-DSA-44 or with both, and its readers verify.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fixture;

use std::slice;

use cairn_tree::checkpoint::{
    Checkpoint, CheckpointSignError, CheckpointVerifyError, LogKeys, LogKeysError, Origin, SignedCheckpoint,
    VerifiedCheckpoint,
};
use cairn_tree::cosignature::cosign;
use cairn_tree::hash::Hash;
use cairn_tree::note::{NoteVerifyError, SignatureType, SignedNote, SignerKey};
use fixture::{LOG, TIME, head, log_key, ml_dsa_log_key, ml_dsa_witness_key, signed, signer, size, time, verified};

/// A note with this text, signed by the log.
fn signed_text(text: &str) -> SignedCheckpoint {
    let note = SignedNote::sign(text.to_owned(), &[&log_key()]).unwrap();
    SignedCheckpoint::parse(note.encode().as_bytes()).unwrap()
}

fn verify(checkpoint: &SignedCheckpoint) -> Result<VerifiedCheckpoint, CheckpointVerifyError> {
    checkpoint.verify(&[log_key().verifier_key().clone()])
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
}

/// Signed with both keys; each of them alone is enough to a reader, and both are told.
#[test]
fn a_head_signed_with_both_types_verifies_with_either_key_and_with_both() {
    let (ed25519, ml_dsa) = (log_key(), ml_dsa_log_key());
    let text = head(7).sign_all(&[&ed25519, &ml_dsa], time(TIME)).unwrap().encode();
    let both = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    let (first, second) = (ed25519.verifier_key().clone(), ml_dsa.verifier_key().clone());

    let verified = both.verify(slice::from_ref(&first)).unwrap();
    assert_eq!((verified.keys(), verified.time()), (slice::from_ref(&first), None));
    let verified = both.verify(slice::from_ref(&second)).unwrap();
    assert_eq!((verified.keys(), verified.time()), (slice::from_ref(&second), Some(time(TIME))));
    let verified = both.verify(&[second.clone(), first.clone()]).unwrap();
    assert_eq!((verified.keys(), verified.time()), (&[first.clone(), second.clone()][..], Some(time(TIME))));
    assert_eq!(verified.key(), &first);

    // One that knows both keys takes a head that only one of them signed.
    let only_ml_dsa = head(7).sign_all(&[&ml_dsa], time(5)).unwrap();
    assert_eq!(only_ml_dsa.verify(&[first.clone(), second.clone()]).unwrap().keys(), slice::from_ref(&second));
    assert_eq!(signed(7).verify(&[second.clone(), first]).unwrap().time(), None);
    assert_eq!(signed(7).verify(&[second]).unwrap_err(), NoteVerifyError::NoKnownKey.into());
}

#[test]
fn one_wrong_signature_of_a_known_key_refuses_the_head_whatever_the_other_key_says() {
    let (ed25519, ml_dsa) = (log_key(), ml_dsa_log_key());
    let keys = [ed25519.verifier_key().clone(), ml_dsa.verifier_key().clone()];
    for (signs, forged) in [(&ed25519, &ml_dsa), (&ml_dsa, &ed25519)] {
        let of_another_head = head(8).sign_all(&[forged], time(TIME)).unwrap().note().signatures()[0].clone();
        let head = head(7).sign_all(&[signs], time(TIME)).unwrap().with_signature(of_another_head).unwrap();
        assert!(head.verify(slice::from_ref(signs.verifier_key())).is_ok());
        let refused = head.verify(&keys).unwrap_err();
        assert!(matches!(refused, CheckpointVerifyError::Note(NoteVerifyError::BadSignature(..))), "{refused}");
    }
}

#[test]
fn an_ml_dsa_signature_is_bound_to_its_origin_name_and_time() {
    let ml_dsa = ml_dsa_log_key();
    assert_eq!(head(7).sign_all(&[&ml_dsa], time(0)).unwrap_err(), CheckpointSignError::NoTime);
    assert!(matches!(head(7).sign(&ml_dsa), Err(CheckpointSignError::Key(_))));
    assert!(head(7).sign_all(&[], time(TIME)).is_err());
    let other = signer("log.example/other", SignatureType::COSIGNATURE_ML_DSA_44, 1);
    assert!(matches!(head(7).sign_all(&[&other], time(TIME)), Err(CheckpointSignError::Origin { .. })));

    // The same secret under the name of a witness is another key, whose cosignature does not speak for the log.
    let witness = ml_dsa_witness_key(1);
    let cosigned = signed(7).with_signature(cosign(&verified(7), &witness, time(TIME)).unwrap()).unwrap();
    let refused = cosigned.verify(slice::from_ref(witness.verifier_key())).unwrap_err();
    assert!(matches!(refused, CheckpointVerifyError::Origin { .. }), "{refused}");

    let line = head(7).sign_all(&[&ml_dsa], time(TIME)).unwrap().note().signatures()[0].clone();
    assert_eq!(line.signature().len(), 8 + 2420);
    assert_eq!(line.signature()[..8], TIME.to_be_bytes());
    let moved = Checkpoint::new(Origin::new("log.example/other").unwrap(), size(7), head(7).root());
    let forged =
        SignedCheckpoint::parse(SignedNote::new(moved.text(), vec![line]).unwrap().encode().as_bytes()).unwrap();
    let refused = forged.verify(slice::from_ref(ml_dsa.verifier_key())).unwrap_err();
    assert!(matches!(refused, CheckpointVerifyError::Note(NoteVerifyError::BadSignature(..))), "{refused}");
}

/// ML-DSA-44 signs three lines. A line that somebody added after signing must not be taken for the log's word.
#[test]
fn extension_lines_that_no_signature_covers_refuse_the_head() {
    let (ed25519, ml_dsa) = (log_key(), ml_dsa_log_key());
    let text = format!("{}added\n", head(7).text());
    let line = head(7).sign_all(&[&ml_dsa], time(TIME)).unwrap().note().signatures()[0].clone();
    let extended =
        SignedCheckpoint::parse(SignedNote::new(text.clone(), vec![line]).unwrap().encode().as_bytes()).unwrap();
    let keys = [ed25519.verifier_key().clone(), ml_dsa.verifier_key().clone()];
    let refused = extended.verify(&keys).unwrap_err();
    assert_eq!(refused, CheckpointVerifyError::UnsignedExtensions(Origin::new(LOG).unwrap()));
    // The Ed25519 key signs all lines, for whoever knows it.
    let covered = extended.with_signature(ed25519.sign_text(&text).unwrap()).unwrap();
    assert_eq!(covered.verify(&keys).unwrap().checkpoint().extensions(), ["added"]);
    assert!(covered.verify(&keys[1..]).is_err());
}

#[test]
fn the_keys_of_a_log_share_its_name_and_are_told_apart() {
    let vkey = |key: SignerKey| key.verifier_key().clone();
    let (old, new, ml_dsa) = (vkey(log_key()), vkey(signer(LOG, SignatureType::ED25519, 2)), vkey(ml_dsa_log_key()));
    let keys = LogKeys::new(vec![old.clone(), new.clone(), ml_dsa.clone()]).unwrap();
    assert_eq!((keys.origin().as_str(), keys.as_slice().len()), (LOG, 3));
    assert_eq!(keys.to_string().parse::<LogKeys>().unwrap(), keys);
    assert_eq!(format!("  {old}\t{new}\n\n{ml_dsa} ").parse::<LogKeys>().unwrap(), keys);
    assert!(keys.verify(&signed(7)).is_ok());

    let other = vkey(signer("log.example/other", SignatureType::ED25519, 1));
    let witness = vkey(signer(LOG, SignatureType::COSIGNATURE_ED25519, 1));
    let many = |count: u8| (0..count).map(|seed| vkey(signer(LOG, SignatureType::ED25519, seed))).collect::<Vec<_>>();
    assert!(LogKeys::new(many(16)).is_ok());
    let refused = [
        (vec![], "a log must have a key"),
        (many(17), "a log must have at most 16 keys, not 17"),
        (vec![old.clone(), other], "the keys are of different logs, log.example/main and log.example/other"),
        (vec![old.clone(), witness], "a key for Ed25519 cosignature (0x04) is no log's key"),
    ];
    for (unfit, reason) in refused {
        assert_eq!(LogKeys::new(unfit).unwrap_err().to_string(), reason);
    }
    let few = LogKeys::new(vec![old.clone()]).unwrap();
    let unfit = [
        vkey(signer("log.example/other", SignatureType::ED25519, 2)),
        vkey(signer(LOG, SignatureType::COSIGNATURE_ED25519, 2)),
    ];
    assert_eq!(few.clone().with_further(unfit.iter().chain([&old])), few);
    assert_eq!(few.clone().with_further([&new, &ml_dsa]), keys);
    assert_eq!(few.with_further(&many(17)).as_slice().len(), LogKeys::MAX);
    let twice = LogKeys::new(vec![old.clone(), new, old.clone()]).unwrap_err();
    assert_eq!(twice, LogKeysError::Duplicate(format!("{LOG}+{}", old.id())));
    assert_eq!("".parse::<LogKeys>(), Err(LogKeysError::None));
    assert!(matches!(format!("{old},{old}").parse::<LogKeys>(), Err(LogKeysError::Key(_))));
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
