//! Cosignatures of both types, Ed25519 and ML-DSA-44: what a witness says about a head, and nothing else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fixture;

use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::cosignature::{CosignatureError, CosignerKey, Timestamp, cosign};
use cairn_tree::note::{NoteSignature, SignatureType, SignedNote, SignerKey, VerifierKey};
use cairn_tree::receipt::Receipt;
use fixture::{
    TIME, cosigned_with, head, log_key, ml_dsa_log_key, ml_dsa_witness_key, signed, signer, time, verified, witness_key,
};
use proptest::prelude::*;

/// A key of each type, and the length of its signatures without the time.
fn both() -> [(SignerKey, usize); 2] {
    [(witness_key(1), 64), (ml_dsa_witness_key(1), 2420)]
}

fn cosigner(key: &SignerKey) -> CosignerKey {
    CosignerKey::new(key.verifier_key().clone()).unwrap()
}

fn line(key: &SignerKey, at: u64) -> NoteSignature {
    cosign(&verified(7), key, time(at)).unwrap()
}

/// The line with these bytes after the key id, on a checkpoint.
fn with_bytes(on: &SignedCheckpoint, line: &NoteSignature, signature: &[u8]) -> SignedCheckpoint {
    let bytes = [line.id().as_bytes().as_slice(), signature].concat();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    SignedCheckpoint::parse(format!("{on}\u{2014} {} {base64}\n", line.name()).as_bytes()).unwrap()
}

#[test]
fn a_cosignature_is_bound_to_head_time_and_key() {
    for ((key, length), other) in both().into_iter().zip([witness_key(2), ml_dsa_witness_key(2)]) {
        let line = line(&key, TIME);
        assert_eq!(line.signature().len(), 8 + length);
        assert_eq!(line.signature()[..8], TIME.to_be_bytes());
        assert_eq!(cosigner(&key).verify(&signed(7)).unwrap(), None);
        assert_eq!(cosigner(&key).verify_line(&signed(7), &line).unwrap(), Some(time(TIME)));
        assert_eq!(cosigner(&other).verify_line(&signed(7), &line).unwrap(), None);
        let replayed = cosigner(&key).verify_line(&signed(8), &line).unwrap_err();
        assert!(matches!(replayed, CosignatureError::BadSignature(..)), "{replayed}");

        let mut later = line.signature().to_vec();
        later[7] += 1;
        let refused = cosigner(&key).verify(&with_bytes(&signed(7), &line, &later)).unwrap_err();
        assert!(matches!(refused, CosignatureError::BadSignature(..)), "{refused}");
    }
    // The Ed25519 message is the specification's, not the bare text: neither passes for the other.
    let message = format!("cosignature/v1\ntime {TIME}\n{}", head(7).text());
    let bare = signer("w1.example", SignatureType::ED25519, 101);
    assert_eq!(bare.sign_text(&message).unwrap().signature(), &line(&witness_key(1), TIME).signature()[8..]);
    // The ML-DSA-44 message names the cosigner: another name with the same secret signs something else.
    let renamed = signer("m9.example", SignatureType::COSIGNATURE_ML_DSA_44, 101);
    assert_eq!(renamed.verifier_key().public_key(), ml_dsa_witness_key(1).verifier_key().public_key());
    let moved = line(&renamed, TIME);
    let under_the_first_name = with_bytes(&signed(7), &line(&ml_dsa_witness_key(1), TIME), moved.signature());
    let refused = cosigner(&ml_dsa_witness_key(1)).verify(&under_the_first_name).unwrap_err();
    assert!(matches!(refused, CosignatureError::BadSignature(..)), "{refused}");
}

#[test]
fn a_checkpoint_cosigned_with_ed25519_corrupted_anywhere_is_refused() {
    refuse_corruptions(&witness_key(1), 1);
}

/// A prime step, so that every place in a base64 group and every bit is met.
#[test]
fn a_checkpoint_cosigned_with_ml_dsa_corrupted_anywhere_is_refused() {
    refuse_corruptions(&ml_dsa_witness_key(1), 7);
}

/// Flips each `step`-th bit of the text, and cuts it there.
fn refuse_corruptions(key: &SignerKey, step: usize) {
    let text = cosigned_with(7, std::slice::from_ref(key)).encode().into_bytes();
    let log = [log_key().verifier_key().clone()];
    let cosigner = cosigner(key);
    let accepted = |bytes: &[u8]| {
        SignedCheckpoint::parse(bytes)
            .is_ok_and(|signed| signed.verify(&log).is_ok() && matches!(cosigner.verify(&signed), Ok(Some(_))))
    };
    assert!(accepted(&text));
    for bit in (0..text.len() * 8).step_by(step) {
        let mut corrupted = text.clone();
        corrupted[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepted(&corrupted), "bit {bit}");
        assert!(!accepted(&text[..bit / 8]), "cut at {}", bit / 8);
    }
}

#[test]
fn extension_lines_are_covered_by_ed25519_cosignatures_and_not_by_ml_dsa_ones() {
    let text = format!("{}one\n", head(7).text());
    let extended = SignedNote::sign(text, &[&log_key()]).unwrap();
    let extended = SignedCheckpoint::parse(extended.encode().as_bytes()).unwrap();
    let verified = extended.verify(&[log_key().verifier_key().clone()]).unwrap();
    for (key, _) in both() {
        let line = cosign(&verified, &key, time(5)).unwrap();
        assert_eq!(cosigner(&key).verify_line(&extended, &line).unwrap(), Some(time(5)));
        let covers = key.kind() == SignatureType::COSIGNATURE_ED25519;
        assert_eq!(cosigner(&key).verify_line(&signed(7), &line).is_err(), covers);
    }
}

#[test]
fn times_and_lengths_of_cosignatures_are_bounded() {
    assert!(Timestamp::new(1 << 63).is_err());
    for (key, length) in both() {
        assert_eq!(cosign(&verified(7), &key, Timestamp::ZERO).unwrap_err(), CosignatureError::NoTime);
        let latest = cosign(&verified(7), &key, Timestamp::MAX).unwrap();
        assert_eq!(cosigner(&key).verify_line(&signed(7), &latest).unwrap(), Some(Timestamp::MAX));

        // A line of the witness with another length, or a time past the bound.
        let refused = |bytes: &[u8]| cosigner(&key).verify(&with_bytes(&signed(7), &latest, bytes)).unwrap_err();
        let good = latest.signature();
        let expected = 8 + length;
        for wrong in [&good[..expected - 1], &[good, &[0]].concat(), &good[..1], &[good, good].concat()] {
            let CosignatureError::Length { expected: wanted, found, .. } = refused(wrong) else { unreachable!() };
            assert_eq!((wanted, found), (expected, wrong.len()));
        }
        let past = [&[0x80], &good[1..]].concat();
        assert!(matches!(refused(&past), CosignatureError::Time(_)));
    }
}

/// What `sign-subtree` of another witness would answer for a whole tree: right, and no statement about the newest tree.
#[test]
fn a_cosignature_without_time_is_refused_from_a_witness_and_counts_for_nothing() {
    let answer = include_str!("../../tests/vectors/cosignatures/no-time.checkpoint");
    let checkpoint = SignedCheckpoint::parse(answer.as_bytes()).unwrap();
    let key: VerifierKey = include_str!("../../tests/vectors/cosignatures/witness.vkey").trim_end().parse().unwrap();
    let cosigner = CosignerKey::new(key).unwrap();
    let line = checkpoint.note().signatures().last().unwrap();
    assert!(line.claims(cosigner.verifier_key()));
    assert_eq!(cosigner.verify_line(&checkpoint, line), Err(CosignatureError::NoTime));
    assert_eq!(cosigner.verify(&checkpoint), Ok(None));
}

#[test]
fn the_newest_of_several_cosignatures_counts() {
    for (key, _) in both() {
        let text = format!("{}{}\n{}\n{}\n", signed(7), line(&key, 5), line(&key, 9), line(&key, 7));
        let several = SignedCheckpoint::parse(text.as_bytes()).unwrap();
        assert_eq!(cosigner(&key).verify(&several).unwrap(), Some(time(9)));
        // Added one by one, the later takes the place of the earlier.
        let merged = signed(7).with_signature(line(&key, 5)).unwrap().with_signature(line(&key, 9)).unwrap();
        assert_eq!(merged.note().signatures().len(), 2);
        assert_eq!(cosigner(&key).verify(&merged).unwrap(), Some(time(9)));
    }
}

#[test]
fn only_cosignature_keys_cosign() {
    let refused = cosign(&verified(7), &log_key(), Timestamp::MAX).unwrap_err();
    assert_eq!(refused, CosignatureError::KeyType(SignatureType::ED25519));
    let log = log_key().verifier_key().clone();
    assert_eq!(CosignerKey::new(log).unwrap_err(), CosignatureError::KeyType(SignatureType::ED25519));
    // A log's ML-DSA-44 key is of the type of a cosigner's; only the name tells whom it speaks for.
    assert!(CosignerKey::new(ml_dsa_log_key().verifier_key().clone()).is_ok());
}

/// The most that one checkpoint can hold of the largest kind of line fits into a note and into a receipt.
#[test]
fn a_checkpoint_with_ml_dsa_cosignatures_of_all_witnesses_fits_into_a_receipt() {
    let keys: Vec<SignerKey> = (0..64).map(ml_dsa_witness_key).collect();
    let cosigned = cosigned_with(7, &keys);
    let receipt = fixture::receipt(3, &cosigned).to_string();
    assert!(receipt.len() > 64 * 2420 * 4 / 3);
    assert_eq!(Receipt::parse(receipt.as_bytes()).unwrap().checkpoint(), &cosigned);
    assert!(keys.iter().all(|key| cosigner(key).verify(&cosigned) == Ok(Some(time(TIME)))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever cosigns what and when: the line verifies for exactly that, also after it was written and read.
    #[test]
    fn a_cosignature_says_exactly_what_was_cosigned(
        seed in any::<[u8; 32]>(),
        name in "[a-z]{1,20}(/[a-z0-9.é]{1,20})?",
        seconds in 1..=Timestamp::MAX.seconds(),
        at in 0..20_u64,
        ml_dsa in any::<bool>(),
        flip in any::<prop::sample::Index>(),
    ) {
        let kind =
            if ml_dsa { SignatureType::COSIGNATURE_ML_DSA_44 } else { SignatureType::COSIGNATURE_ED25519 };
        let key = SignerKey::from_seed(name.parse().unwrap(), kind, &seed).unwrap();
        let again: SignerKey = key.to_skey().parse().unwrap();
        let vkey: VerifierKey = key.verifier_key().to_string().parse().unwrap();
        prop_assert_eq!(&vkey, again.verifier_key());
        let line = cosign(&verified(at), &again, time(seconds)).unwrap();
        let read = SignedCheckpoint::parse(signed(at).with_signature(line.clone()).unwrap().encode().as_bytes()).unwrap();
        let cosigner = CosignerKey::new(vkey).unwrap();
        prop_assert_eq!(cosigner.verify(&read), Ok(Some(time(seconds))));
        prop_assert!(cosigner.verify_line(&signed(at + 1), &line).is_err());

        let mut wrong = line.signature().to_vec();
        let bit = flip.index(wrong.len() * 8);
        wrong[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(cosigner.verify(&with_bytes(&signed(at), &line, &wrong)).is_err());
    }
}
