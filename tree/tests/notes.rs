//! Signed notes and their keys against published vectors: the example of C2SP signed-note, and the test data of
//! golang.org/x/mod/sumdb/note. What the files are and whence they come stands in `tests/vectors/notes/README.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::slice;

use cairn_tree::note::{NoteVerifyError, SignedNote, SignerKey, VerifierKey};

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
