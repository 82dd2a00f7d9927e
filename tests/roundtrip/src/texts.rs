//! The text formats: keys, notes, checkpoints, policies, receipts, witness bodies.

use cairn_tree::checkpoint::{Checkpoint, CheckpointVerifyError, LogKeys, SignedCheckpoint};
use cairn_tree::cosignature::{CosignerKey, Timestamp};
use cairn_tree::hash::Hash;
use cairn_tree::note::{NoteSignature, SignatureType, SignedNote, SignerKey, VerifierKey};
use cairn_tree::policy::{Policy, Trust};
use cairn_tree::receipt::Receipt;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::append::ReceiptJson;
use cairn_tree::wire::witness::{AddCheckpoint, Conflict, Cosignatures};

use crate::text;

pub(crate) fn scalars(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let base64 = Hash::from_base64(text).inspect(|hash| assert_eq!(hash.to_base64(), text));
    let hexadecimal = text.parse::<Hash>().inspect(|hash| assert_eq!(hash.to_string(), text));
    let size = TreeSize::parse(text).inspect(|size| assert_eq!(size.to_string(), text));
    let index = LeafIndex::parse(text).inspect(|index| assert_eq!(index.to_string(), text));
    base64.is_ok() || hexadecimal.is_ok() || size.is_ok() || index.is_ok()
}

pub(crate) fn keys(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let verifier = text.parse::<VerifierKey>().inspect(|key| {
        assert_eq!(key.to_string(), text);
        if let Ok(cosigner) = CosignerKey::new(key.clone()) {
            assert_eq!(cosigner.verifier_key(), key);
        }
    });
    let signer = text.parse::<SignerKey>().inspect(|key| {
        assert_eq!(key.to_skey().as_str(), text);
        let public = key.verifier_key().to_string();
        assert_eq!(public.parse::<VerifierKey>().as_ref(), Ok(key.verifier_key()));
        // The name and the id are public, and the rest is at the end.
        let secret = text.get(text.len() - 43..).unwrap_or_default();
        assert!(!format!("{key:?}").contains(secret));
    });
    verifier.is_ok() || signer.is_ok()
}

/// Keys of all kinds, which the seeds use too.
fn known_keys() -> Vec<VerifierKey> {
    const KEYS: [&str; 4] = [
        include_str!("../../vectors/notes/c2sp-example.vkey"),
        include_str!("../../vectors/notes/golang-peter.vkey"),
        include_str!("../../vectors/proof/log.vkey"),
        include_str!("../../vectors/cosignatures/log-ed25519.vkey"),
    ];
    KEYS.iter().filter_map(|key| key.trim_end().parse().ok()).collect()
}

pub(crate) fn note(bytes: &[u8]) -> bool {
    let Ok(note) = SignedNote::parse(bytes) else { return false };
    assert_eq!(note.encode().as_bytes(), bytes);
    let rebuilt = SignedNote::new(note.unverified_text().to_owned(), note.signatures().to_vec());
    assert_eq!(rebuilt.as_ref(), Ok(&note));
    let lines: String = note.signatures().iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(NoteSignature::parse_lines(&lines).as_deref(), Ok(note.signatures()));
    // The first line takes its own place.
    if let Some(first) = note.signatures().first() {
        assert_eq!(note.clone().with_signature(first.clone()).as_ref(), Ok(&note));
    }
    if let Ok(verified) = note.verify(&known_keys()) {
        assert_eq!(verified.text(), note.unverified_text());
        assert!(!verified.signers().is_empty());
    }
    true
}

pub(crate) fn checkpoint(bytes: &[u8]) -> bool {
    let Ok(signed) = SignedCheckpoint::parse(bytes) else { return false };
    assert_eq!(signed.encode().as_bytes(), bytes);
    let checkpoint = signed.unverified();
    assert_eq!(checkpoint.text(), signed.note().unverified_text());
    assert_eq!(Checkpoint::parse_text(&checkpoint.text()).as_ref(), Ok(checkpoint));
    let mut keys = known_keys();
    keys.extend(include_str!("../../vectors/cosignatures/log.vkey").trim_end().parse::<VerifierKey>());
    if let Ok(verified) = signed.verify(&keys) {
        assert!(verified.keys().contains(verified.key()));
        assert!(verified.keys().iter().all(|key| verified.origin().is_named(key.name())));
        let plain = verified.keys().iter().any(|key| key.kind() == SignatureType::ED25519);
        assert!(plain || checkpoint.extensions().is_empty(), "nobody signed the extension lines");
    }
    for key in keys {
        avowed(&signed, &key);
    }
    example_policies().for_each(|policy| apply_example(policy, &signed));
    true
}

/// A log can be held to whatever may be trusted, and to nothing that its key has not signed.
fn avowed(signed: &SignedCheckpoint, key: &VerifierKey) {
    let Ok(log) = LogKeys::try_from(key.clone()) else { return };
    let avowed = log.avowed(signed);
    if let Ok(verified) = log.verify(signed) {
        assert_eq!(avowed.as_ref(), Some(verified.as_ref()));
    }
    if let Some(avowed) = avowed {
        assert_eq!((avowed.keys(), avowed.signed()), (core::slice::from_ref(key), signed));
        let right = |line: &&NoteSignature| {
            let alone = SignedNote::new(signed.note().unverified_text().to_owned(), vec![(*line).clone()]);
            let alone = alone.ok().and_then(|note| SignedCheckpoint::parse(note.encode().as_bytes()).ok());
            let error = alone.map(|alone| log.verify(&alone).err());
            // What is wrong with the text itself, no signature mends.
            matches!(
                error,
                Some(None | Some(CheckpointVerifyError::EmptyRoot | CheckpointVerifyError::UnsignedExtensions(_)))
            )
        };
        assert!(signed.note().signatures().iter().any(|line| right(&line)), "no line of it is right");
    }
}

/// Each asks for two witnesses; those of the second have keys of both types.
fn example_policies() -> impl Iterator<Item = Policy> {
    const POLICIES: [&[u8]; 2] = [
        include_bytes!("../../vectors/policy/two-of-three.policy"),
        include_bytes!("../../vectors/cosignatures/ml-dsa.policy"),
    ];
    POLICIES.iter().filter_map(|policy| Policy::parse(policy).ok())
}

fn apply_example(policy: Policy, signed: &SignedCheckpoint) {
    for witness in policy.witnesses() {
        let newest = witness.key().verify(signed).unwrap_or_default();
        assert!(newest.is_none_or(|time| time > Timestamp::ZERO), "no time counts as one");
    }
    let met = Trust::Policy(policy).verify(signed);
    assert!(met.is_err() || met.is_ok_and(|met| met.witnesses().len() >= 2), "too few witnesses were enough");
}

pub(crate) fn policy(bytes: &[u8]) -> bool {
    let Ok(policy) = Policy::parse(bytes) else { return false };
    let written = policy.encode();
    let again = Policy::parse(&written);
    assert_eq!(again.as_ref(), Ok(&policy));
    assert_eq!(again.map(|again| again.encode()).as_ref(), Ok(&written));
    if let Ok(signed) = SignedCheckpoint::parse(include_bytes!("../../vectors/proof/cosigned.checkpoint")) {
        let met = policy.verify(&signed);
        assert!(met.is_err() || !policy.logs().is_empty());
    }
    true
}

pub(crate) fn receipt(bytes: &[u8]) -> bool {
    let Ok(receipt) = Receipt::parse(bytes) else { return false };
    assert_eq!(receipt.to_string().as_bytes(), bytes);
    let twin = ReceiptJson::new(&receipt, Hash::leaf(b"any"));
    assert_eq!(twin.into_receipt().as_ref(), Ok(&receipt));
    for policy in example_policies() {
        if let Ok(verified) = receipt.verify(include_bytes!("../../vectors/proof/entry"), &Trust::Policy(policy)) {
            assert!(verified.checkpoint().size().contains(verified.index()));
        }
    }
    true
}

pub(crate) fn witness(bytes: &[u8]) -> bool {
    let request = AddCheckpoint::parse(bytes).inspect(|body| assert_eq!(body.to_string().as_bytes(), bytes));
    let answer = Cosignatures::parse(bytes).inspect(|body| assert_eq!(body.to_string().as_bytes(), bytes));
    let conflict = Conflict::parse(bytes).inspect(|body| assert_eq!(body.to_string().as_bytes(), bytes));
    request.is_ok() || answer.is_ok() || conflict.is_ok()
}
