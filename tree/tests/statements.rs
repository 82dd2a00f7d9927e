//! What a log says about itself: one text each, verified alone, followed from key to key and from log to log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use cairn_tree::checkpoint::{Checkpoint, Origin, SignedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::note::{SignatureType, SignerKey, VerifierKey};
use cairn_tree::statement::{
    End, KeyChain, KeyChainError, KeyChange, KeyStatement, LinkStatement, SealStatement, SignedStatement, Statement,
    StatementError, StatementVerifyError, SuccessionError, reserved_prefix,
};
use cairn_tree::store::DatabaseId;
use fixture::{LOG, signer, size};

const NEXT: &str = "log.example/next";

fn key(seed: u8) -> SignerKey {
    signer(LOG, SignatureType::ED25519, seed)
}

fn public(keys: &[&SignerKey]) -> Vec<VerifierKey> {
    keys.iter().map(|key| key.verifier_key().clone()).collect()
}

fn change(before: &[&SignerKey], changed: &SignerKey, status: KeyChange) -> Result<KeyStatement, StatementError> {
    let origin = Origin::new(LOG).unwrap();
    let changed = (changed.verifier_key().clone(), status);
    KeyStatement::new(origin, DatabaseId::new([0xab; 16]), size(7), public(before), changed)
}

fn rotation(before: &[&SignerKey], new: &SignerKey) -> SignedStatement {
    let signers: Vec<&SignerKey> = before.iter().copied().chain([new]).collect();
    Statement::Key(change(before, new, KeyChange::Active).unwrap()).sign(&signers).unwrap()
}

fn retirement(before: &[&SignerKey], old: &SignerKey) -> SignedStatement {
    Statement::Key(change(before, old, KeyChange::Retired).unwrap()).sign(before).unwrap()
}

fn head(origin: &str, seed: u8, at: u64) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(Origin::new(origin).unwrap(), size(at), Hash::leaf(&at.to_be_bytes()));
    checkpoint.sign(&signer(origin, SignatureType::ED25519, seed)).unwrap()
}

#[test]
fn a_statement_has_one_text_and_reads_back() {
    let signed = rotation(&[&key(1)], &key(2));
    let text = signed.encode();
    assert!(text.starts_with("cairn.key/1\n{\"database\":\"abababab"), "{text}");
    assert_eq!(SignedStatement::parse(text.as_bytes()).unwrap(), signed);
    assert_eq!(reserved_prefix(text.as_bytes()), Some("cairn.key/"));
    let others = [
        text.replace("{\"database\"", "{ \"database\""),
        text.replace("\"first_size\":7", "\"first_size\":7.0"),
        text.replace("\"status\":\"active\"", "\"status\":\"retired\""),
        text.replace("\"status\":\"active\"", "\"status\":\"active\",\"x\":1"),
        text.replace("abab", "ABAB"),
        text.replace("cairn.key/1", "cairn.key/2"),
        text.replace("cairn.key/1", "cairn.seal/1"),
        text.replace("}\n", "}\n\n"),
    ];
    for other in others {
        assert_ne!(other, text);
        assert!(SignedStatement::parse(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn it_is_signed_by_a_key_that_is_known_or_not_verified() {
    let signed = rotation(&[&key(1)], &key(2));
    for seed in [1, 2] {
        let (_, signers) = signed.verify(&public(&[&key(seed)])).unwrap();
        assert_eq!(signers, public(&[&key(seed)]));
    }
    assert!(matches!(signed.verify(&public(&[&key(3)])), Err(StatementVerifyError::Note(_))));
    let other_log = signer(NEXT, SignatureType::ED25519, 1);
    assert!(matches!(signed.verify(&public(&[&other_log])), Err(StatementVerifyError::NoKey(_))));
    // One signature line is not another statement's.
    let forged = signed.encode().replace("\"first_size\":7", "\"first_size\":8");
    let forged = SignedStatement::parse(forged.as_bytes()).unwrap();
    assert!(matches!(forged.verify(&public(&[&key(1)])), Err(StatementVerifyError::Note(_))));
    assert!(Statement::Key(change(&[&key(1)], &key(2), KeyChange::Active).unwrap()).sign(&[&other_log]).is_err());
}

#[test]
fn a_change_that_makes_no_sense_is_no_statement() {
    let (one, two) = (key(1), key(2));
    assert!(change(&[&one], &one, KeyChange::Active).is_err());
    assert!(change(&[&one], &two, KeyChange::Retired).is_err());
    // Somebody must sign the next head.
    assert!(change(&[&one], &one, KeyChange::Retired).is_err());
    assert!(change(&[], &one, KeyChange::Active).is_err());
    assert!(change(&[&one, &one], &two, KeyChange::Active).is_err());
    assert!(change(&[&one], &signer(NEXT, SignatureType::ED25519, 2), KeyChange::Active).is_err());
    assert!(change(&[&one], &signer(LOG, SignatureType::COSIGNATURE_ED25519, 2), KeyChange::Active).is_err());
}

#[test]
fn keys_are_followed_from_any_of_them_without_gaps() {
    let (one, two, three) = (key(1), key(2), key(3));
    let told = [
        rotation(&[&one], &two),
        retirement(&[&one, &two], &one),
        rotation(&[&two], &three),
        retirement(&[&two, &three], &two),
    ];
    for first in [&one, &two, &three] {
        let mut chain = KeyChain::new(public(&[first]));
        chain.follow_all(&told).unwrap();
        assert_eq!(chain.active(), public(&[&three]));
        assert!(chain.known().contains(first.verifier_key()));
    }
    // A stranger's key leads nowhere, and its holder can't add to what is known.
    let stranger = key(9);
    let mut chain = KeyChain::new(public(&[&stranger]));
    chain.follow_all(&told).unwrap();
    assert_eq!(chain.active(), public(&[&stranger]));
    let mut chain = KeyChain::new(public(&[&one]));
    chain.follow_all(&told).unwrap();
    let own = Statement::Key(change(&[&three], &stranger, KeyChange::Active).unwrap()).sign(&[&stranger]).unwrap();
    assert!(matches!(chain.follow(&own), Err(KeyChainError::Unsigned(_))));
    // A retired key's holder neither.
    let own = Statement::Key(change(&[&three], &stranger, KeyChange::Active).unwrap()).sign(&[&one]).unwrap();
    assert!(matches!(chain.follow(&own), Err(KeyChainError::Unsigned(_))));
    // And what is missing is noticed.
    let mut chain = KeyChain::new(public(&[&one, &two]));
    let [first, _, third, _] = &told;
    assert_eq!(chain.follow_all([first, third]), Err(KeyChainError::Gap));
}

#[test]
fn a_log_and_its_successor_name_each_other() {
    let old_key = key(1);
    let new_key = signer(NEXT, SignatureType::ED25519, 5);
    let (old, new) = (Origin::new(LOG).unwrap(), Origin::new(NEXT).unwrap());
    let seal = SealStatement::new(old.clone(), new.clone(), public(&[&new_key])).unwrap();
    let signed = Statement::Seal(seal.clone()).sign(&[&old_key]).unwrap();
    assert_eq!(SignedStatement::parse(signed.encode().as_bytes()).unwrap(), signed);
    let final_head = head(LOG, 1, 12);
    let link = LinkStatement::new(new.clone(), public(&[&old_key]), final_head.clone(), End::Sealed).unwrap();
    let signed = Statement::Link(link.clone()).sign(&[&new_key]).unwrap();
    assert_eq!(SignedStatement::parse(signed.encode().as_bytes()).unwrap(), signed);

    let keys = public(&[&old_key]);
    let verified = final_head.verify(&keys).unwrap();
    link.follows(Some(&seal), &verified, &keys).unwrap();
    let later = head(LOG, 1, 13).verify(&keys).unwrap();
    assert!(matches!(link.follows(Some(&seal), &later, &keys), Err(SuccessionError::OtherHead { .. })));
    let third = Origin::new("log.example/third").unwrap();
    let third_key = signer("log.example/third", SignatureType::ED25519, 6);
    let elsewhere = SealStatement::new(old.clone(), third, public(&[&third_key])).unwrap();
    assert!(matches!(link.follows(Some(&elsewhere), &verified, &keys), Err(SuccessionError::Others { .. })));
    let halted = LinkStatement::new(new.clone(), keys.clone(), final_head.clone(), End::Halted).unwrap();
    halted.follows(None, &verified, &keys).unwrap();
    assert_eq!(halted.follows(Some(&seal), &verified, &keys), Err(SuccessionError::NotHalted));
    // A head that the old log's key did not sign.
    let forged = LinkStatement::new(new, keys.clone(), head(LOG, 9, 12), End::Sealed).unwrap();
    assert!(matches!(forged.follows(Some(&seal), &verified, &keys), Err(SuccessionError::Head(_))));
    assert!(SealStatement::new(old.clone(), old.clone(), keys.clone()).is_err());
    assert!(LinkStatement::new(old, keys, final_head, End::Sealed).is_err());
}
