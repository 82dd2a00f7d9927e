//! ML-DSA-44 against published vectors, and against those that Go has made (`tests/vectors/ml-dsa`): our keys through our
//! own types, and the algorithms inside them, whose message has no prefix, through the library that we use.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ml_dsa::{ExpandedSigningKey, MlDsa44, Signature, VerifyingKey};
use serde_json::Value;

use super::{SignatureType, SignerKey, VerifierKey, decode_base64};

const KIND: SignatureType = SignatureType::COSIGNATURE_ML_DSA_44;

macro_rules! vectors {
    ($name:literal) => {
        include_str!(concat!("../../../tests/vectors/ml-dsa/", $name)).lines().map(Case::parse)
    };
}

/// A case of the vectors: one line.
struct Case(Value);

impl Case {
    fn parse(line: &str) -> Self {
        Self(serde_json::from_str(line).unwrap())
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        decode_base64(self.0[field].as_str().unwrap()).unwrap()
    }

    fn signer(&self) -> SignerKey {
        SignerKey::from_seed("name".parse().unwrap(), KIND, &self.bytes("seed").try_into().unwrap()).unwrap()
    }
}

#[test]
fn keys_follow_from_their_seeds() {
    let cases: Vec<Case> = vectors!("acvp-keygen.jsonl").chain(vectors!("go-sign.jsonl")).collect();
    assert_eq!(cases.len(), 18);
    for case in cases {
        assert_eq!(case.signer().verifier_key().public_key(), case.bytes("pk"), "{}", case.0["tcId"]);
    }
}

#[test]
fn signatures_are_the_deterministic_ones() {
    let cases: Vec<Case> = vectors!("wycheproof-sign.jsonl").chain(vectors!("go-sign.jsonl")).collect();
    assert!(cases.len() > 15);
    for case in cases {
        let (signer, message, signature) = (case.signer(), case.bytes("msg"), case.bytes("sig"));
        assert_eq!(signer.verifier_key().public_key(), case.bytes("pk"), "{}", case.0["tcId"]);
        assert!(signer.sign_message(&message).unwrap() == signature, "{}", case.0["tcId"]);
        assert!(signer.verifier_key().verifies(&message, &signature), "{}", case.0["tcId"]);
        assert!(!signer.verifier_key().verifies(&[&message[..], b"x"].concat(), &signature), "{}", case.0["tcId"]);
    }
}

#[test]
fn signatures_are_verified_as_wycheproof_has_it() {
    let mut verdicts = [0, 0];
    for case in vectors!("wycheproof-verify.jsonl") {
        let key = VerifierKey::new("name".parse().unwrap(), KIND, &case.bytes("pk"));
        let verified = key.is_ok_and(|key| key.verifies(&case.bytes("msg"), &case.bytes("sig")));
        assert_eq!(verified, case.0["result"] == "valid", "{} {}", case.0["tcId"], case.0["flags"]);
        verdicts[usize::from(verified)] += 1;
    }
    assert!(verdicts.iter().all(|&count| count >= 10), "{verdicts:?}");
}

#[test]
fn the_algorithms_inside_are_those_of_nist() {
    let mut count = 0;
    for case in vectors!("acvp-sigver.jsonl") {
        let key = VerifyingKey::<MlDsa44>::decode(&case.bytes("pk").as_slice().try_into().unwrap());
        let verified = Signature::try_from(case.bytes("signature").as_slice())
            .is_ok_and(|signature| key.verify_internal(&case.bytes("message"), &signature));
        assert_eq!(verified, case.0["testPassed"] == true, "{} {}", case.0["tcId"], case.0["reason"]);
        count += 1;
    }
    #[allow(deprecated, reason = "NIST gives expanded keys without their seeds")]
    for case in vectors!("acvp-siggen.jsonl") {
        let key = ExpandedSigningKey::<MlDsa44>::from_expanded(&case.bytes("sk").as_slice().try_into().unwrap());
        let signature = key.sign_internal(&[&case.bytes("message")], &[0; 32].into());
        assert!(signature.encode().as_slice() == case.bytes("signature"), "{}", case.0["tcId"]);
        count += 1;
    }
    assert_eq!(count, 19);
}
