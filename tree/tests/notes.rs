//! Signed notes and their keys against published vectors: the example of C2SP signed-note, and the test data of
//! golang.org/x/mod/sumdb/note. What the files are and whence they come stands in `tests/vectors/notes/README.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::slice;

use cairn_tree::note::{KeyName, NoteVerifyError, SignatureType, SignedNote, SignerKey, VerifierKey};

const C2SP_NOTE: &str = include_str!("../../tests/vectors/notes/c2sp-example.note");
const C2SP_VKEY: &str = include_str!("../../tests/vectors/notes/c2sp-example.vkey");
const PETER_NOTE: &str = include_str!("../../tests/vectors/notes/golang-peter.note");
const PETER_VKEY: &str = include_str!("../../tests/vectors/notes/golang-peter.vkey");
const PETER_SKEY: &str = include_str!("../../tests/vectors/notes/golang-peter.skey");
const ENOCH_VKEY: &str = include_str!("../../tests/vectors/notes/golang-enoch.vkey");
const BOTH_NOTE: &str = include_str!("../../tests/vectors/notes/golang-both.note");

fn vkey(text: &str) -> VerifierKey {
    text.trim_end().parse().unwrap()
}

#[test]
fn the_note_of_the_specification_verifies_and_is_written_again() {
    let note = SignedNote::parse(C2SP_NOTE.as_bytes()).unwrap();
    let verified = note.verify(&[vkey(C2SP_VKEY)]).unwrap();
    assert_eq!(verified.text(), "This is an example message.\n");
    assert_eq!(note.encode(), C2SP_NOTE);
    assert_eq!(vkey(C2SP_VKEY).to_string(), C2SP_VKEY.trim_end());
}

#[test]
fn go_signer_keys_sign_the_same_bytes() {
    let key: SignerKey = PETER_SKEY.trim_end().parse().unwrap();
    let expected = SignedNote::parse(PETER_NOTE.as_bytes()).unwrap();
    let signed = SignedNote::sign(expected.unverified_text().to_owned(), &[&key]).unwrap();
    assert_eq!(signed.encode(), PETER_NOTE);
    assert_eq!(key.to_skey().as_str(), PETER_SKEY.trim_end());
    assert_eq!(*key.verifier_key(), vkey(PETER_VKEY));
}

#[test]
fn unknown_signatures_are_ignored_and_known_ones_must_hold() {
    let note = SignedNote::parse(BOTH_NOTE.as_bytes()).unwrap();
    let (peter, enoch) = (vkey(PETER_VKEY), vkey(ENOCH_VKEY));
    assert_eq!(note.verify(slice::from_ref(&peter)).unwrap().signers(), slice::from_ref(&peter));
    assert_eq!(note.verify(&[enoch.clone(), peter.clone()]).unwrap().signers(), [peter.clone(), enoch.clone()]);
    assert_eq!(note.verify(&[vkey(C2SP_VKEY)]).unwrap_err(), NoteVerifyError::NoKnownKey);

    let other_text = BOTH_NOTE.replacen("answer", "cause", 1);
    let forged = SignedNote::parse(other_text.as_bytes()).unwrap();
    let bad = NoteVerifyError::BadSignature(peter.name().clone(), peter.id());
    assert_eq!(forged.verify(&[peter]).unwrap_err(), bad);
}

#[test]
fn a_note_corrupted_anywhere_is_refused() {
    let note = PETER_NOTE.as_bytes();
    let keys = [vkey(PETER_VKEY)];
    let verifies = |bytes: &[u8]| SignedNote::parse(bytes).is_ok_and(|note| note.verify(&keys).is_ok());
    assert!(verifies(note));
    for position in 0..note.len() {
        for bit in 0..8 {
            let mut corrupted = note.to_vec();
            corrupted[position] ^= 1 << bit;
            assert!(!verifies(&corrupted), "bit {bit} of byte {position}");
        }
        assert!(!verifies(&note[..position]), "cut at {position}");
        assert!(position == 0 || !verifies(&note[position..]), "from {position}");
    }
}

#[test]
fn keys_cut_or_changed_anywhere_are_refused_or_of_another_type() {
    for (text, is_secret) in [(PETER_VKEY.trim_end(), false), (PETER_SKEY.trim_end(), true)] {
        let accepted = |text: &str| match is_secret {
            false => text.parse::<VerifierKey>().is_ok_and(|key| key.kind() == SignatureType::ED25519),
            true => text.parse::<SignerKey>().is_ok(),
        };
        assert!(accepted(text));
        for start in 0..text.len() {
            for end in start..=text.len() {
                assert!(end - start == text.len() || !accepted(&text[start..end]), "{start}..{end}");
            }
            let mut changed = text.as_bytes().to_vec();
            changed[start] += 1;
            assert!(!accepted(core::str::from_utf8(&changed).unwrap()), "byte {start}");
        }
    }
}

/// Each text is Peter's vkey with one thing wrong, and the reason it is refused.
#[test]
fn malformed_verifier_keys_are_refused_with_the_reason() {
    let base64 = "the key must be canonical padded base64 of a signature type and a public key";
    let parts = "a verifier key must be <name>+<id>+<key>";
    let id = "a key id must be 8 lower-case hexadecimal digits";
    let point = "the public key is not a usable Ed25519 point";
    let cases: &[(&str, &str)] = &[
        ("", parts),
        ("name", parts),
        ("name+c74f20a3", parts),
        ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a key name must not be empty"),
        ("a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a key name must not contain ' '"),
        ("a\u{2003}b+c74f20a3+ARpc2Q==", "a key name must not contain '\\u{2003}'"),
        ("a\nb+c74f20a3+ARpc2Q==", "a key name must not contain '\\n'"),
        ("a\0b+c74f20a3+ARpc2Q==", "a key name must not contain '\\0'"),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", id),
        ("PeterNeumann+c74f20a+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", id),
        ("PeterNeumann++c74f20a+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", id),
        ("PeterNeumann+c74f20a3+", base64),
        ("PeterNeumann+c74f20a3+AQ==", "a public key for Ed25519 (0x01) must be 32 bytes, not 0"),
        (
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWAAAA",
            "a public key for Ed25519 (0x01) must be 32 bytes, not 35",
        ),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", base64),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW=", base64),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq_LDE4izWy10TW", base64),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n", base64),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW+", base64),
        (
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "the key id is c74f20a4, but the name and the key give c74f20a3",
        ),
        (
            "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "the key id is c74f20a3, but the name and the key give 94245f47",
        ),
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==", base64),
        // Points: not on the curve; the neutral element, for which anyone can sign; the same, not in its one form.
        ("p+00000000+AQIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", point),
        ("p+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", point),
        ("p+00000000+Ae7///////////////////////////////////////9/", point),
        ("p+00000000+BgAA", "a public key for ML-DSA-44 cosignature (0x06) must be 1312 bytes, not 2"),
    ];
    for (text, reason) in cases {
        assert_eq!(text.parse::<VerifierKey>().unwrap_err().to_string(), *reason, "{text}");
    }
    let long = format!("{}+00000000+AQ==", "n".repeat(256));
    assert_eq!(long.parse::<VerifierKey>().unwrap_err().to_string(), "a key name must be at most 255 bytes, not 256");
    assert!(
        "n".repeat(9_000).parse::<VerifierKey>().unwrap_err().to_string().starts_with("a verifier key must be at most")
    );
}

#[test]
fn keys_of_other_types_are_kept_and_verify_nothing() {
    // The unknown type of Go's tests, whose id is right; an ECDSA key, whose id is derived in another way.
    for text in [
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "transparency.dev+00000001+AjBZMBMGByqGSM49AgE=",
    ] {
        let key = vkey(text);
        assert_eq!(key.to_string(), text);
        let note = SignedNote::parse(PETER_NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify(slice::from_ref(&key)).unwrap_err(), NoteVerifyError::KeyType(key.kind()));
    }
}

/// Each text is Peter's skey with one thing wrong. The messages never repeat the secret.
#[test]
fn malformed_signer_keys_are_refused_and_secrets_are_never_shown() {
    let good = PETER_SKEY.trim_end();
    let secret = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let cases = [
        (good.replace("PRIVATE", "PUBLIC"), "a signer key must be PRIVATE+KEY+<name>+<id>+<key>"),
        (good.replace("c74f20a3", "C74F20A3"), "a key id must be 8 lower-case hexadecimal digits"),
        (good.replace("c74f20a3", "c74f20a4"), "the key id is c74f20a4, but the name and the key give c74f20a3"),
        (good.replace("PeterNeumann", ""), "a key name must not be empty"),
        (
            good.replace(secret, "AQ=="),
            "the key must be canonical padded base64 of a signature type and a 32-byte seed",
        ),
        (format!("{good}\n"), "the key must be canonical padded base64 of a signature type and a 32-byte seed"),
        (good.replace("+AY", "+Ao"), "cannot sign with a key for ECDSA (0x02)"),
        (good.replace("+AY", "+GY"), "cannot sign with a key for unknown (0x19)"),
    ];
    for (text, reason) in cases {
        let refused = text.parse::<SignerKey>().unwrap_err();
        assert_eq!(refused.to_string(), reason, "{text}");
    }
    let key: SignerKey = good.parse().unwrap();
    assert_eq!(format!("{key:?}"), format!("SignerKey(of {})", PETER_VKEY.trim_end()));
}

/// Each text is Peter's note with one thing wrong, and the reason it is refused.
#[test]
fn malformed_notes_are_refused_with_the_reason() {
    let (text, line) = PETER_NOTE.rsplit_once("\n\n").unwrap();
    let no_signatures = "a note must be a text, a blank line and signature lines";
    let first_line = "signature line 1 must be an em dash, a key name and base64, with single spaces between them";
    let first_base64 = "signature line 1: the signature must be canonical padded base64";
    let cases = [
        (String::new(), no_signatures.to_owned()),
        (format!("{text}\n"), no_signatures.into()),
        (format!("{text}\n\n"), no_signatures.into()),
        (format!("{text}\n{line}"), no_signatures.into()),
        (format!("\n{line}"), no_signatures.into()),
        (format!("{text}\n\n{}", line.trim_end()), "the last signature line must end in a newline".into()),
        (format!("{text}\n\n{line}\n"), no_signatures.into()),
        (format!("{text}\n\n{line}Unexpected line.\n"), first_line.replace('1', "2")),
        (PETER_NOTE.replace('\u{2014}', "--"), first_line.into()),
        (PETER_NOTE.replace('\u{2014}', "\u{2013}"), first_line.into()),
        (PETER_NOTE.replace("\u{2014} ", "\u{2014}"), first_line.into()),
        (PETER_NOTE.replace("\u{2014} ", " \u{2014} "), first_line.into()),
        (PETER_NOTE.replace("\u{2014} ", "\u{2014}  "), "signature line 1: a key name must not be empty".into()),
        (PETER_NOTE.replace("Neumann ", "Neumann  "), first_base64.into()),
        (
            PETER_NOTE.replace("PeterNeumann ", "Peter+Neumann "),
            "signature line 1: a key name must not contain '+'".into(),
        ),
        (
            PETER_NOTE.replace("PeterNeumann ", "a\u{a0}b "),
            "signature line 1: a key name must not contain '\\u{a0}'".into(),
        ),
        (PETER_NOTE.replace("nAM=\n", "nAM\n"), first_base64.into()),
        (PETER_NOTE.replace("nAM=\n", "nAN=\n"), first_base64.into()),
        (PETER_NOTE.replace("nAM=\n", "nAM= \n"), first_base64.into()),
        (
            format!("{text}\n\n\u{2014} k AAAAAA==\n"),
            "signature line 1: a key id and a signature must be 5 to 8196 bytes, not 4".into(),
        ),
        (
            format!("{text}\n\n\u{2014} k AA==\n"),
            "signature line 1: a key id and a signature must be 5 to 8196 bytes, not 1".into(),
        ),
        (
            PETER_NOTE.replace('\n', "\r\n"),
            "a note must not contain control characters; the first is at offset 56".into(),
        ),
        (format!("\t{PETER_NOTE}"), "a note must not contain control characters; the first is at offset 0".into()),
        (format!("{PETER_NOTE}\0"), "a note must not contain control characters; the first is at offset 210".into()),
    ];
    for (note, reason) in cases {
        assert_eq!(SignedNote::parse(note.as_bytes()).unwrap_err().to_string(), reason, "{note}");
    }
    let not_utf8 = [b"\xff", PETER_NOTE.as_bytes()].concat();
    assert_eq!(
        SignedNote::parse(&not_utf8).unwrap_err().to_string(),
        "a note must be UTF-8; the first bad byte is at offset 0"
    );
}

#[test]
fn notes_are_bounded_and_take_many_signatures() {
    let key = |seed| {
        let name = KeyName::new(format!("k{seed}.example")).unwrap();
        SignerKey::from_seed(name, SignatureType::ED25519, &[seed; 32]).unwrap()
    };
    let keys: Vec<SignerKey> = (0..128).map(key).collect();
    let signers: Vec<&SignerKey> = keys.iter().collect();
    let note = SignedNote::sign("text\n".into(), &signers).unwrap();
    assert_eq!(SignedNote::parse(note.encode().as_bytes()).unwrap(), note);
    let public: Vec<VerifierKey> = keys.iter().map(|key| key.verifier_key().clone()).collect();
    assert_eq!(note.verify(&public).unwrap().signers().len(), SignedNote::MAX_SIGNATURES);

    let more = key(200).sign_text("text\n").unwrap();
    assert_eq!(
        note.clone().with_signature(more.clone()).unwrap_err().to_string(),
        "a note must have at most 128 signatures"
    );
    let text = format!("{note}{more}\n");
    assert_eq!(SignedNote::parse(text.as_bytes()).unwrap_err().to_string(), "a note must have at most 128 signatures");
    // A second signature by the same key takes the place of the first.
    assert_eq!(note.clone().with_signature(note.signatures()[5].clone()).unwrap(), note);

    let long = format!("{}\n", "x".repeat(SignedNote::MAX_BYTES));
    assert!(SignedNote::sign(long.clone(), &signers).unwrap_err().to_string().starts_with("a note must be at most"));
    assert!(SignedNote::parse(long.as_bytes()).unwrap_err().to_string().starts_with("a note must be at most"));
    assert_eq!(
        SignedNote::sign("text".into(), &signers).unwrap_err().to_string(),
        "the text of a note must end in a newline"
    );
    assert!(SignedNote::sign("text\n".into(), &[]).is_err());
    assert!(SignedNote::sign("te\txt\n".into(), &signers).is_err());
}

#[test]
fn every_signature_of_a_known_key_must_hold_and_keys_must_be_told_apart() {
    let peter = vkey(PETER_VKEY);
    // The same line twice counts once; a second, wrong one by the same key refuses the note.
    let line = PETER_NOTE.lines().last().unwrap();
    let twice = SignedNote::parse(format!("{PETER_NOTE}{line}\n").as_bytes()).unwrap();
    assert_eq!(twice.verify(&[peter.clone(), peter.clone()]).unwrap().signers(), slice::from_ref(&peter));
    let wrong = line.replacen("ZJku", "ZJkv", 1);
    let second_wrong = SignedNote::parse(format!("{PETER_NOTE}{wrong}\n").as_bytes()).unwrap();
    assert!(matches!(second_wrong.verify(slice::from_ref(&peter)), Err(NoteVerifyError::BadSignature(..))));
    // A name or an id alone is not the key.
    for other in [line.replace("PeterNeumann", "Peter"), line.replacen("x08go", "x08gp", 1)] {
        let note = SignedNote::parse(format!("{PETER_NOTE}{other}\n").as_bytes()).unwrap();
        assert!(note.verify(slice::from_ref(&peter)).is_ok());
    }
}

#[test]
fn a_cosignature_key_never_signs_bare_text() {
    let note = SignedNote::parse(PETER_NOTE.as_bytes()).unwrap();
    for kind in [SignatureType::COSIGNATURE_ED25519, SignatureType::COSIGNATURE_ML_DSA_44] {
        let cosigner = SignerKey::from_seed(KeyName::new("w.example").unwrap(), kind, &[3; 32]).unwrap();
        assert!(cosigner.sign_text("text\n").is_err());
        let again: SignerKey = cosigner.to_skey().parse().unwrap();
        assert_eq!(again.verifier_key(), cosigner.verifier_key());
        let vkey = cosigner.verifier_key().to_string();
        assert_eq!(&vkey.parse::<VerifierKey>().unwrap(), cosigner.verifier_key());
        let refused = note.verify(slice::from_ref(cosigner.verifier_key())).unwrap_err();
        assert_eq!(refused, NoteVerifyError::KeyType(kind));
        // The secret is shown by neither.
        let secret = cosigner.to_skey().rsplit('+').next().unwrap().to_owned();
        assert!(!format!("{cosigner:?}{vkey}").contains(&secret));
    }
}
