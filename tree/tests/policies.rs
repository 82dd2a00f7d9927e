//! Trust policies: what the file may say (C2SP tlog-policy), and which checkpoints meet it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fixture;

use cairn_tree::checkpoint::{Checkpoint, CheckpointVerifyError, LogKeys, LogKeysError, Origin, SignedCheckpoint};
use cairn_tree::cosignature::CosignatureError;
use cairn_tree::hash::Hash;
use cairn_tree::note::{NoteVerifyError, SignatureType, SignerKey};
use cairn_tree::policy::{Policy, PolicyError, PolicyFault, PolicyVerifyError, Shortfall, Trust};
use fixture::{LOG, log_key as log, signer, size, witness_key as witness};

/// A head of the log, cosigned by the witnesses with these numbers.
fn cosigned(witnesses: &[u8]) -> SignedCheckpoint {
    fixture::cosigned(7, witnesses)
}

/// The specification's example: two of three X and one of three Y. `W1` to `W3` stand for X, `W4` to `W6` for Y.
fn example() -> String {
    let mut file = format!("# The example of the specification\nlog {}\n\n", log().verifier_key());
    for (number, name) in (1..).zip(["X1", "X2", "X3", "Y1", "Y2", "Y3"]) {
        file += &format!("witness {name} {}\n", witness(number).verifier_key());
    }
    file += "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n";
    file + "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
}

#[test]
fn the_example_of_the_specification_needs_two_x_and_one_y() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    // Every subset of the six witnesses.
    for subset in 0..64u8 {
        let cosigners: Vec<u8> = (1..=6).filter(|number| subset & (1 << (number - 1)) != 0).collect();
        let (x, y) = ((subset & 0b111).count_ones(), (subset >> 3).count_ones());
        let says_who = |name: &str| {
            (1..).zip(policy.witnesses()).any(|(n, one)| cosigners.contains(&n) && one.name().to_str() == Some(name))
        };
        assert_eq!(policy.is_met_by(|one| one.name().to_str().is_some_and(says_who)), x >= 2 && y >= 1);
        match policy.verify(&cosigned(&cosigners)) {
            Ok(met) => {
                assert!(x >= 2 && y >= 1, "{cosigners:?} should not be enough");
                assert_eq!(met.witnesses().len(), cosigners.len());
            }
            Err(PolicyVerifyError::Quorum(_)) => assert!(x < 2 || y < 1, "{cosigners:?} should be enough"),
            Err(other) => panic!("{cosigners:?}: {other}"),
        }
    }
}

#[test]
fn a_quorum_that_is_not_met_says_what_is_missing() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let Err(PolicyVerifyError::Quorum(missing)) = policy.verify(&cosigned(&[1, 4])) else { panic!("not refused") };
    assert_eq!(
        missing.to_string(),
        "the quorum is not met: group X-and-Y has 1 of 2; group X-witnesses has 1 of 2; no cosignature by witness X2; \
         no cosignature by witness X3"
    );
}

/// Whoever has two keys is two witnesses: each line of the policy counts for itself.
#[test]
fn ml_dsa_witnesses_count_beside_ed25519_ones() {
    let (ed25519, ml_dsa) = (witness(1), fixture::ml_dsa_witness_key(1));
    let keys = [ed25519.verifier_key(), ml_dsa.verifier_key()];
    let file = |quorum: &str| {
        let [old, new] = keys;
        format!(
            "log {}\nwitness old {old}\nwitness new {new}\ngroup G {quorum} old new\nquorum G\n",
            log().verifier_key()
        )
    };
    let both = Policy::parse(file("all").as_bytes()).unwrap();
    let either = Policy::parse(file("any").as_bytes()).unwrap();
    let (only_old, only_new) = (cosigned(&[1]), fixture::cosigned_with(7, &[fixture::ml_dsa_witness_key(1)]));
    let with_both = fixture::cosigned_with(7, &[ed25519, ml_dsa]);

    assert_eq!(both.verify(&with_both).unwrap().witnesses().len(), 2);
    assert_eq!(either.verify(&only_new).unwrap().witnesses()[0].name.to_str(), Some("new"));
    assert!(either.verify(&only_old).is_ok());
    assert!(either.verify(&cosigned(&[])).is_err());
    for (one, missing) in [(only_old, "new"), (only_new, "old")] {
        let Err(PolicyVerifyError::Quorum(lacks)) = both.verify(&one) else { panic!("not refused") };
        let named =
            |shortfall: &&Shortfall| matches!(shortfall, Shortfall::Witness { name } if name.to_str() == Some(missing));
        assert!(lacks.shortfalls.iter().any(|shortfall| named(&shortfall)), "{lacks}");
    }
}

/// During a change of keys a policy names the old and the new one, of either type.
#[test]
fn a_policy_with_several_keys_of_a_log_takes_heads_signed_by_any_of_them() {
    let (old, new, ml_dsa) = (log(), signer(LOG, SignatureType::ED25519, 2), fixture::ml_dsa_log_key());
    let keys = [&old, &new, &ml_dsa];
    let lines: String = keys.iter().map(|key| format!("log {}\n", key.verifier_key())).collect();
    let policy = Policy::parse(format!("{lines}quorum none\n").as_bytes()).unwrap();
    let only_old = Policy::parse(format!("log {}\nquorum none\n", old.verifier_key()).as_bytes()).unwrap();
    // Every subset of the keys.
    for subset in 1..8_u8 {
        let signs: Vec<_> = (0..3).filter(|bit| subset & (1 << bit) != 0).map(|bit| keys[bit]).collect();
        let head = fixture::head(7).sign_all(&signs, fixture::time(5)).unwrap();
        assert_eq!(policy.verify(&head).unwrap().checkpoint().keys().len(), signs.len());
        assert_eq!(only_old.verify(&head).is_ok(), subset & 1 == 1, "{subset:03b}");
    }
}

#[test]
fn one_wrong_cosignature_by_a_known_witness_refuses_the_checkpoint() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let good = cosigned(&[1, 2, 3, 4, 5, 6]);
    let other = Checkpoint::new(Origin::new(LOG).unwrap(), size(8), Hash::leaf(b"root"));
    let replayed = good.note().signatures().last().unwrap().clone();
    let forged = other.sign(&log()).unwrap().with_signature(replayed).unwrap();
    let refused = policy.verify(&forged).unwrap_err();
    assert!(matches!(refused, PolicyVerifyError::Cosignature(CosignatureError::BadSignature(..))), "{refused}");
}

#[test]
fn the_log_must_be_one_of_the_policy_and_own_the_origin() {
    let other = signer("log.example/other", SignatureType::ED25519, 2);
    let file = format!("log {}\nquorum none\n", other.verifier_key());
    let policy = Policy::parse(file.as_bytes()).unwrap();
    let refused = policy.verify(&cosigned(&[])).unwrap_err();
    assert_eq!(refused, PolicyVerifyError::Checkpoint(NoteVerifyError::NoKnownKey.into()));

    // The policy's log signs a head that names another log as its origin.
    let text = cosigned(&[]).unverified().text();
    let line = other.sign_text(&text).unwrap();
    let forged = cosigned(&[]).with_signature(line).unwrap();
    let refused = policy.verify(&forged).unwrap_err();
    assert!(matches!(refused, PolicyVerifyError::Checkpoint(CheckpointVerifyError::Origin { .. })), "{refused}");

    let no_logs = Policy::parse(b"quorum none\n").unwrap();
    assert_eq!(no_logs.verify(&cosigned(&[])).unwrap_err(), PolicyVerifyError::NoLogs);
    assert!(no_logs.verify_with_logs(&cosigned(&[]), &[log().verifier_key().clone()]).is_ok());
}

/// Who names the log beside the policy, trusts that log alone, and the policy for its witnesses.
#[test]
fn a_log_named_beside_the_policy_takes_the_place_of_the_policys_own() {
    let policy = Policy::parse(example().as_bytes()).unwrap();
    let trust = |key: &SignerKey| Trust::Witnessed {
        log: LogKeys::try_from(key.verifier_key().clone()).unwrap(),
        policy: policy.clone(),
    };
    let head = cosigned(&[1, 2, 4]);
    assert_eq!(trust(&log()).verify(&head).unwrap().witnesses().len(), 3);
    assert!(matches!(trust(&log()).verify(&cosigned(&[1, 2])), Err(PolicyVerifyError::Quorum(_))));
    let other = signer(LOG, SignatureType::ED25519, 2);
    assert!(matches!(trust(&other).verify(&head), Err(PolicyVerifyError::Checkpoint(_))));
    assert!(trust(&log()).needs_witnesses());

    assert_eq!(Trust::Policy(policy.clone()).log_keys(), trust(&log()).log_keys());
    let two_logs = format!(
        "log {}\nlog {}\nquorum none\n",
        log().verifier_key(),
        signer("b", SignatureType::ED25519, 3).verifier_key()
    );
    let two_logs = Trust::Policy(Policy::parse(two_logs.as_bytes()).unwrap());
    assert!(matches!(two_logs.log_keys(), Err(LogKeysError::Names(..))));
    assert!(!two_logs.needs_witnesses());
}

#[test]
fn white_space_comments_and_opaque_octets_are_allowed() {
    let key = log().verifier_key().to_string();
    let (first, second) = (witness(1).verifier_key().to_string(), witness(2).verifier_key().to_string());
    let mut file = format!("\t # a comment: \t\u{e9}\n  \t\nlog\t{key}\t \thttps://log.example/\u{e9} \n").into_bytes();
    // Two names that only a reader of Unicode would hold to be one, and one that is not UTF-8.
    file.extend_from_slice(format!(" witness K {first}\nwitness \u{212a} {second}\n").as_bytes());
    file.extend_from_slice(b"group \xff\xfe all K \xe2\x84\xaa\nquorum \xff\xfe\n#the end\n");
    let policy = Policy::parse(&file).unwrap();
    assert_eq!(policy.witnesses().len(), 2);
    assert_eq!(policy.logs()[0].url().unwrap().to_str(), Some("https://log.example/\u{e9}"));
    assert_eq!(Policy::parse(&policy.encode()).unwrap(), policy);
    assert!(policy.verify(&cosigned(&[1, 2])).is_ok());
    assert!(policy.verify(&cosigned(&[1])).is_err());
}

/// One line each in place of the last line of a file with a log and the witnesses A and B, in a group G.
#[test]
fn what_the_specification_forbids_is_refused_with_its_line() {
    let (a, b) = (witness(1).verifier_key().to_string(), witness(2).verifier_key().to_string());
    let (log_key, c) = (log().verifier_key().to_string(), witness(3).verifier_key().to_string());
    let head = format!("log {log_key}\nwitness A {a}\nwitness B {b}\nwitness C {c}\ngroup G all A B\nquorum G\n");
    assert!(Policy::parse(head.as_bytes()).is_ok());
    let renamed = signer("other.example", SignatureType::ED25519, 1).verifier_key().to_string();
    let same_witness = signer("z.example", SignatureType::COSIGNATURE_ED25519, 101).verifier_key().to_string();
    let fresh = witness(9).verifier_key().to_string();
    let cases: &[(String, &str)] = &[
        (format!("log {renamed}"), "another log has the same public key"),
        (format!("witness Z {same_witness}"), "another witness has the same public key"),
        (format!("witness A {fresh}"), "the name A is already defined"),
        (format!("witness G {fresh}"), "the name G is already defined"),
        (format!("witness none {fresh}"), "the name none is already defined"),
        ("group A any C".into(), "the name A is already defined"),
        ("group none any C".into(), "the name none is already defined"),
        ("group H any A".into(), "A is already a member of a group"),
        ("group H any C C".into(), "C is already a member of a group"),
        ("group H any none".into(), "none cannot be a member"),
        ("group H any H".into(), "the name H is not defined on a line before"),
        ("group H any Z".into(), "the name Z is not defined on a line before"),
        ("group H any".into(), "the line must be: group <name> all|any|<k> <name>..."),
        ("group H".into(), "the line must be: group <name> all|any|<k> <name>..."),
        ("group H 0 C".into(), "the threshold must be all, any or a number from 1 to 1, not 0"),
        ("group H 2 C".into(), "the threshold must be all, any or a number from 1 to 1, not 2"),
        ("group H 01 C".into(), "the threshold must be all, any or a number from 1 to 1, not 01"),
        ("group H +1 C".into(), "the threshold must be all, any or a number from 1 to 1, not +1"),
        ("group H ALL C".into(), "the threshold must be all, any or a number from 1 to 1, not ALL"),
        ("quorum G".into(), "a policy must have only one quorum line"),
        ("quorum none".into(), "a policy must have only one quorum line"),
        ("quorum".into(), "the line must be: quorum <name>"),
        ("quorum A B".into(), "the line must be: quorum <name>"),
        ("log".into(), "the line must be: log <vkey> [<url>]"),
        (format!("log {log_key} url more"), "the line must be: log <vkey> [<url>]"),
        (format!("witness Z {fresh} url more"), "the line must be: witness <name> <vkey> [<url>]"),
        (format!("witness {fresh}"), "the line must be: witness <name> <vkey> [<url>]"),
        (format!("log {fresh}"), "a key for Ed25519 cosignature (0x04) is no log's key"),
        (format!("witness Z {log_key}"), "a key for Ed25519 (0x01) does not cosign"),
        ("Quorum G".into(), "Quorum is none of log, witness, group, quorum"),
        ("quorum G\r".into(), "the octet 0x0d is not allowed"),
        ("# a bell \u{7}".into(), "the octet 0x07 is not allowed"),
        ("# delete \u{7f}".into(), "the octet 0x7f is not allowed"),
        ("log x".into(), "the key is wrong: a verifier key must be <name>+<id>+<key>"),
    ];
    for (line, reason) in cases {
        let file = format!("{head}{line}\n");
        let refused = Policy::parse(file.as_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), format!("line 7: {reason}"), "{line}");
    }
    assert_eq!(Policy::parse(b"").unwrap_err(), PolicyError::NoQuorum);
    assert_eq!(Policy::parse(b"# nothing\n").unwrap_err(), PolicyError::NoQuorum);
    assert_eq!(Policy::parse(b"quorum none").unwrap_err(), PolicyError::NoFinalNewline);
    let undefined = Policy::parse(b"quorum G\n").unwrap_err();
    assert!(matches!(undefined, PolicyError::Line { line: 1, fault: PolicyFault::UnknownName(_) }));
}

#[test]
fn as_many_logs_witnesses_and_groups_as_promised() {
    let mut file = String::new();
    for number in 0..Policy::MAX_LOGS {
        let key = signer(&format!("log{number}.example"), SignatureType::ED25519, u8::try_from(number).unwrap());
        file += &format!("log {}\n", key.verifier_key());
    }
    let mut below = String::from("W0");
    for number in 0..Policy::MAX_WITNESSES {
        file += &format!("witness W{number} {}\n", witness(u8::try_from(number).unwrap()).verifier_key());
        // Each group holds the one before: as deep as it can be.
        if number > 0 {
            file += &format!("group G{number} all {below} W{number}\n");
            below = format!("G{number}");
        }
    }
    file += &format!("group last any {below}\nquorum last\n");
    let policy = Policy::parse(file.as_bytes()).unwrap();
    assert_eq!(Policy::parse(&policy.encode()).unwrap(), policy);

    let extra = signer("extra.example", SignatureType::ED25519, 250);
    let too_many = [
        format!("log {}\n", extra.verifier_key()),
        format!("witness extra {}\n", witness(99).verifier_key()),
        "group extra any last\n".to_owned(),
    ];
    for line in too_many {
        let refused = Policy::parse(format!("{file}{line}").as_bytes()).unwrap_err();
        assert!(matches!(refused, PolicyError::Line { fault: PolicyFault::TooMany { .. }, .. }), "{refused}");
    }
}
