//! Notes, keys and checkpoints against the crates `signed_note` and `tlog_tiles`, over the fuzz targets' seeds and some
//! thousand changes of each: both accept the same texts, read the same from them, and verify the same signatures. Where
//! they differ, the reason stands here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod changes;

use cairn_tree::checkpoint::{Checkpoint, CheckpointError, Origin};
use cairn_tree::note::{
    KeyNameError, NoteError, NoteVerifyError, SignatureType, SignedNote, SignerKey, SignerKeyError, VerifierKey,
    VerifierKeyError,
};
use cairn_tree::size::SizeError;
use changes::{Numbers, seeds};
use signed_note::{Note, NoteError as OtherError, StandardSigner, StandardVerifier, Verifier, VerifierList};

const CHANGES: usize = 3_000;

const VKEYS: [&str; 4] = [
    include_str!("../../vectors/notes/c2sp-example.vkey"),
    include_str!("../../vectors/notes/golang-peter.vkey"),
    include_str!("../../vectors/notes/golang-enoch.vkey"),
    include_str!("../../vectors/proof/log.vkey"),
];

/// Every seed of a target, and changes of each.
fn inputs(target: &str, mut visit: impl FnMut(&[u8])) {
    let seeds = seeds(target);
    let mut numbers = Numbers::new();
    for seed in &seeds {
        visit(seed);
        for _ in 0..CHANGES {
            let mut bytes = seed.clone();
            for _ in 0..=numbers.below(2) {
                numbers.change(&mut bytes, &seeds);
            }
            visit(&bytes);
        }
    }
}

#[test]
fn notes_are_read_and_verified_alike() {
    let ours: Vec<VerifierKey> = VKEYS.iter().map(|key| key.trim_end().parse().unwrap()).collect();
    let theirs = VKEYS.iter().map(|key| Box::new(StandardVerifier::new(key.trim_end()).unwrap()) as Box<dyn Verifier>);
    let theirs = VerifierList::new(theirs.collect());
    let (mut read, mut verified, mut forged) = (0, 0, 0);
    inputs("note", |bytes| {
        let (our, their) = (SignedNote::parse(bytes), Note::from_bytes(bytes));
        let (our, their) = match (our, their) {
            (Ok(our), Ok(their)) => (our, their),
            (Err(_), Err(_)) => return,
            // The bound on names is ours.
            (Err(NoteError::Name { error: KeyNameError::TooLong(_), .. }), Ok(_)) => return,
            (our, their) => panic!("{}: {our:?}, {their:?}", bytes.escape_ascii()),
        };
        read += 1;
        assert_eq!(our.unverified_text().as_bytes(), their.text());
        assert_eq!(our.encode().as_bytes(), their.to_bytes());
        match (our.verify(&ours), their.verify(&theirs)) {
            (Ok(our), Ok((their, _))) => {
                verified += 1;
                let our = our.signers().iter().map(|key| (key.name().to_string(), *key.id().as_bytes()));
                let their = their.iter().map(|line| (line.name().to_owned(), line.id().to_be_bytes()));
                assert!(our.eq(their));
            }
            (Err(NoteVerifyError::NoKnownKey), Err(OtherError::UnverifiedNote)) => {}
            (Err(NoteVerifyError::BadSignature(our, _)), Err(OtherError::InvalidSignature { name, .. })) => {
                forged += 1;
                assert_eq!(our.as_str(), name);
            }
            // Of two lines by one key, we verify both, they the first only.
            (Err(NoteVerifyError::BadSignature(name, _)), Ok(_)) => {
                assert!(our.signatures().iter().filter(|line| *line.name() == name).count() > 1);
            }
            (our, their) => panic!("{}: {our:?}, {their:?}", bytes.escape_ascii()),
        }
    });
    assert!(read > 1_000 && verified > 100 && forged > 100, "{read} read, {verified} verified, {forged} forged");
}

#[test]
fn keys_are_read_alike() {
    let mut read = 0;
    inputs("keys", |bytes| {
        let Ok(text) = core::str::from_utf8(bytes) else { return };
        match (text.parse::<VerifierKey>(), StandardVerifier::new(text)) {
            (Ok(our), Ok(their)) => {
                read += 1;
                assert_eq!((our.name().as_str(), *our.id().as_bytes()), (their.name(), their.key_id().to_be_bytes()));
            }
            (Err(_), Err(_)) => {}
            // They know one type only.
            (Ok(our), Err(_)) => assert_ne!(our.kind(), SignatureType::ED25519),
            // They take ids in capitals, control characters and any length in names, and points that sign for nobody.
            (Err(VerifierKeyError::Id | VerifierKeyError::Name(_) | VerifierKeyError::Point), Ok(_)) => {}
            (our, Ok(_)) => panic!("{text}: {our:?}"),
        }
        match (text.parse::<SignerKey>(), StandardSigner::new(text)) {
            (Ok(our), Ok(their)) => {
                read += 1;
                let our = our.sign_text("a text\n").unwrap();
                assert_eq!(our.signature(), signed_note::Signer::sign(&their, b"a text\n").unwrap());
            }
            (Err(_), Err(_)) => {}
            (Ok(our), Err(_)) => assert_ne!(our.kind(), SignatureType::ED25519),
            (Err(SignerKeyError::Id | SignerKeyError::Name(_)), Ok(_)) => {}
            (Err(our), Ok(_)) => panic!("{text}: {our:?}"),
        }
    });
    assert!(read > 10, "{read} read");
}

#[test]
fn checkpoints_are_read_alike() {
    let mut read = 0;
    inputs("checkpoint", |bytes| {
        let Ok(note) = SignedNote::parse(bytes) else { return };
        let text = note.unverified_text();
        match (Checkpoint::parse_text(text), tlog_tiles::Checkpoint::from_bytes(text.as_bytes())) {
            (Ok(our), Ok(their)) => {
                read += 1;
                assert_eq!(our.origin().as_str(), their.origin());
                assert_eq!(our.size().get(), their.size());
                assert_eq!(our.root().as_bytes(), &their.hash().0);
                let extensions: String = our.extensions().iter().map(|line| format!("{line}\n")).collect();
                assert_eq!(extensions, their.extension());
                assert_eq!(our.text().as_bytes(), their.to_bytes());
            }
            (Err(_), Err(_)) => {}
            // The bounds are ours.
            (Err(CheckpointError::Size(SizeError::TooLarge) | CheckpointError::TooManyExtensions), Ok(_)) => {}
            (Err(CheckpointError::Origin), Ok(their)) => assert!(their.origin().len() > Origin::MAX_BYTES),
            (our, their) => panic!("{text}: {our:?}, {their:?}"),
        }
    });
    assert!(read > 1_000, "{read} read");
}
