//! ML-DSA-44 against published vectors, and against those that Go has made (`tests/vectors/ml-dsa`): keys and signatures
//! through every implementation that is built, the keys through our own types as well, and the algorithms inside, whose
//! message has no prefix, through the only library that shows them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use ml_dsa::{ExpandedSigningKey, MlDsa44, Signature, VerifyingKey};
use serde_json::Value;

#[cfg(feature = "aws-lc")]
use super::aws_lc;
use super::pure;
use crate::note::{SignatureType, SignerKey, VerifierKey, decode_base64};

const KIND: SignatureType = SignatureType::COSIGNATURE_ML_DSA_44;

macro_rules! vectors {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/vectors/ml-dsa/", $name)).lines().map(Case::parse)
    };
}

/// The same tests of one implementation.
macro_rules! implementation {
    ($tests:ident, $name:ident) => {
        mod $tests {
            use super::super::$name::{PrivateKey, PublicKey};
            use super::*;

            #[test]
            fn keys_follow_from_their_seeds() {
                keys(|seed| *PrivateKey::from_seed(seed).unwrap().public().unwrap().bytes());
            }

            #[test]
            fn published_signatures_verify_and_so_do_ours() {
                signatures(
                    |seed, message| PrivateKey::from_seed(seed).unwrap().sign(message).unwrap(),
                    |key, message, signature| PublicKey::new(key).verifies(message, signature),
                );
            }

            #[test]
            fn signatures_are_verified_as_wycheproof_has_it() {
                verdicts(|key, message, signature| {
                    key.try_into().is_ok_and(|key| PublicKey::new(key).verifies(message, signature))
                });
            }

            #[test]
            fn a_signature_with_any_part_changed_is_refused() {
                let key = PrivateKey::from_seed(&[3; 32]).unwrap();
                let (public, mut signature) = (key.public().unwrap(), key.sign(b"message").unwrap());
                assert!(public.verifies(b"message", &signature) && !public.verifies(b"massage", &signature));
                for place in (0..signature.len()).step_by(7) {
                    signature[place] ^= 1 << (place % 8);
                    assert!(!public.verifies(b"message", &signature), "a flip at {place}");
                    signature[place] ^= 1 << (place % 8);
                }
                assert!(!public.verifies(b"message", &signature[1..]) && !public.verifies(b"message", &[]));
            }
        }
    };
}

implementation!(portable, pure);
#[cfg(feature = "aws-lc")]
implementation!(by_aws_lc, aws_lc);

/// A case of the vectors: one line.
struct Case(Value);

impl Case {
    fn parse(line: &str) -> Self {
        Self(serde_json::from_str(line).unwrap())
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        decode_base64(self.0[field].as_str().unwrap()).unwrap()
    }

    fn seed(&self) -> [u8; 32] {
        self.bytes("seed").try_into().unwrap()
    }

    fn key(&self) -> [u8; 1312] {
        self.bytes("pk").try_into().unwrap()
    }

    fn signer(&self) -> SignerKey {
        SignerKey::from_seed("name".parse().unwrap(), KIND, &self.seed()).unwrap()
    }
}

fn signed_cases() -> Vec<Case> {
    let cases: Vec<Case> = vectors!("wycheproof-sign.jsonl").chain(vectors!("go-sign.jsonl")).collect();
    assert!(cases.len() > 15);
    cases
}

fn keys(key_of: impl Fn(&[u8; 32]) -> [u8; 1312]) {
    let cases: Vec<Case> = vectors!("acvp-keygen.jsonl").chain(vectors!("go-sign.jsonl")).collect();
    assert_eq!(cases.len(), 18);
    for case in cases {
        assert!(key_of(&case.seed()) == case.key(), "{}", case.0["tcId"]);
    }
}

/// What one implementation signs, the portable one verifies too, whether it signs deterministically or not.
fn signatures(sign: impl Fn(&[u8; 32], &[u8]) -> Vec<u8>, verifies: impl Fn([u8; 1312], &[u8], &[u8]) -> bool) {
    for case in signed_cases() {
        let (key, message, signature) = (case.key(), case.bytes("msg"), case.bytes("sig"));
        assert!(verifies(key, &message, &signature), "{}", case.0["tcId"]);
        assert!(!verifies(key, &[&message[..], b"x"].concat(), &signature), "{}", case.0["tcId"]);
        let ours = sign(&case.seed(), &message);
        assert!(verifies(key, &message, &ours), "{}", case.0["tcId"]);
        assert!(pure::PublicKey::new(key).verifies(&message, &ours), "{}", case.0["tcId"]);
    }
}

fn verdicts(verifies: impl Fn(&[u8], &[u8], &[u8]) -> bool) {
    let mut verdicts = [0, 0];
    for case in vectors!("wycheproof-verify.jsonl") {
        let verified = verifies(&case.bytes("pk"), &case.bytes("msg"), &case.bytes("sig"));
        assert_eq!(verified, case.0["result"] == "valid", "{} {}", case.0["tcId"], case.0["flags"]);
        verdicts[usize::from(verified)] += 1;
    }
    assert!(verdicts.iter().all(|&count| count >= 10), "{verdicts:?}");
}

#[test]
fn the_portable_signatures_are_the_deterministic_ones() {
    for case in signed_cases() {
        let key = pure::PrivateKey::from_seed(&case.seed()).unwrap();
        assert!(key.sign(&case.bytes("msg")).unwrap() == case.bytes("sig"), "{}", case.0["tcId"]);
    }
}

#[test]
fn our_own_types_hold_the_same_keys() {
    for case in signed_cases() {
        let (signer, message) = (case.signer(), case.bytes("msg"));
        let verifier = VerifierKey::new("name".parse().unwrap(), KIND, &case.key()).unwrap();
        assert_eq!(*signer.verifier_key(), verifier, "{}", case.0["tcId"]);
        assert!(verifier.verifies(&message, &case.bytes("sig")), "{}", case.0["tcId"]);
        assert!(verifier.verifies(&message, &signer.sign_message(&message).unwrap()), "{}", case.0["tcId"]);
        assert_eq!(signer.to_skey().parse::<SignerKey>().unwrap().verifier_key(), &verifier, "{}", case.0["tcId"]);
    }
}

/// What two implementations make of each other's signatures.
#[cfg(feature = "aws-lc")]
#[test]
fn aws_lc_and_the_portable_one_verify_each_other() {
    for number in 0..100u8 {
        let (seed, message) = ([number; 32], vec![number; usize::from(number) * 3]);
        let (one, other) = (aws_lc::PrivateKey::from_seed(&seed).unwrap(), pure::PrivateKey::from_seed(&seed).unwrap());
        assert!(one.public().unwrap().bytes() == other.public().unwrap().bytes() && one.seed() == other.seed());
        assert!(one.public().unwrap().verifies(&message, &other.sign(&message).unwrap()));
        assert!(other.public().unwrap().verifies(&message, &one.sign(&message).unwrap()));
    }
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
