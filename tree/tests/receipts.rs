//! Receipts: what they prove, and that nothing else passes for a proof (C2SP tlog-proof).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fixture;

use cairn_tree::checkpoint::CheckpointVerifyError;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{InclusionError, InclusionProof};
use cairn_tree::note::SignatureType;
use cairn_tree::policy::{PolicyVerifyError, Trust};
use cairn_tree::receipt::{Receipt, ReceiptVerifyError};
use fixture::{cosigned, entry, head, inclusion, index, receipt, signed, signer, trust_all, trust_log};

#[test]
fn every_entry_of_every_small_tree_has_a_receipt() {
    for size in 1..=20 {
        let checkpoint = signed(size);
        for leaf in 0..size {
            let receipt = receipt(leaf, &checkpoint);
            let text = receipt.to_string();
            let parsed = Receipt::parse(text.as_bytes()).unwrap();
            assert_eq!(parsed, receipt);
            let verified = parsed.verify(&entry(leaf), &trust_log()).unwrap();
            assert_eq!((verified.index(), verified.leaf_hash()), (index(leaf), Hash::leaf(&entry(leaf))));
            assert_eq!(verified.checkpoint().size().get(), size);

            let other = parsed.verify(&entry(leaf + 1), &trust_log()).unwrap_err();
            assert!(matches!(other, ReceiptVerifyError::Inclusion(InclusionError::Root { .. })), "{other}");
            let elsewhere = Receipt::new(index(leaf + 1), parsed.proof().clone(), checkpoint.clone());
            assert!(elsewhere.verify(&entry(leaf), &trust_log()).is_err());
        }
    }
}

#[test]
fn the_text_is_the_one_of_the_specification() {
    let receipt = receipt(2, &signed(4)).with_extra(b"extra data".to_vec()).unwrap();
    let hashes: Vec<String> = inclusion(2, 4).hashes().iter().map(Hash::to_base64).collect();
    let expected = format!(
        "c2sp.org/tlog-proof@v1\nextra ZXh0cmEgZGF0YQ==\nindex 2\n{}\n{}\n\n{}",
        hashes[0],
        hashes[1],
        signed(4)
    );
    assert_eq!(receipt.to_string(), expected);
    let parsed = Receipt::parse(expected.as_bytes()).unwrap();
    assert_eq!(parsed.unauthenticated_extra(), Some(b"extra data".as_slice()));
    assert!(parsed.verify(&entry(2), &trust_log()).is_ok());
}

#[test]
fn a_receipt_corrupted_anywhere_proves_nothing() {
    let trust = trust_all(&[1, 2]);
    let receipt = receipt(5, &cosigned(11, &[1, 2]));
    assert_eq!(receipt.verify(&entry(5), &trust).unwrap().witnesses().len(), 2);
    let text = receipt.to_string().into_bytes();
    let proven = |bytes: &[u8]| Receipt::parse(bytes).is_ok_and(|receipt| receipt.verify(&entry(5), &trust).is_ok());
    for position in 0..text.len() {
        for change in [1, 2, 0x10, 0x20, 0x80] {
            let mut corrupted = text.clone();
            corrupted[position] ^= change;
            assert!(!proven(&corrupted), "byte {position} changed by {change:#x}");
        }
        let mut shorter = text.clone();
        shorter.remove(position);
        assert!(!proven(&shorter), "byte {position} removed");
        assert!(!proven(&text[..position]), "cut at {position}");
    }
}

#[test]
fn a_proof_with_a_hash_changed_added_removed_or_swapped_proves_nothing() {
    let checkpoint = signed(11);
    let hashes = inclusion(5, 11).hashes().to_vec();
    let refused = |hashes: Vec<Hash>| {
        let proof = InclusionProof::from_hashes(hashes).unwrap();
        Receipt::new(index(5), proof, checkpoint.clone()).verify(&entry(5), &trust_log()).is_err()
    };
    for position in 0..hashes.len() {
        let mut changed = hashes.clone();
        changed[position] = Hash::leaf(b"other");
        assert!(refused(changed));
        let mut removed = hashes.clone();
        removed.remove(position);
        assert!(refused(removed));
        let mut swapped = hashes.clone();
        swapped.swap(position, (position + 1) % hashes.len());
        assert!(refused(swapped));
        let mut added = hashes.clone();
        added.insert(position, Hash::leaf(b"other"));
        assert!(refused(added));
    }
}

#[test]
fn the_checkpoint_must_be_of_the_log_and_meet_the_policy() {
    let receipt = receipt(5, &cosigned(11, &[1]));
    assert!(receipt.verify(&entry(5), &trust_all(&[1])).is_ok());
    let refused = receipt.verify(&entry(5), &trust_all(&[1, 2])).unwrap_err();
    assert!(matches!(refused, ReceiptVerifyError::Checkpoint(PolicyVerifyError::Quorum(_))), "{refused}");

    // The same key under another name, and a head that names another log: both are refused.
    let renamed = signer("log.example/other", SignatureType::ED25519, 1);
    let trust_renamed = Trust::Log(renamed.verifier_key().clone().try_into().unwrap());
    assert!(receipt.verify(&entry(5), &trust_renamed).is_err());
    let forged = signed(11).with_signature(renamed.sign_text(&head(11).text()).unwrap()).unwrap();
    let forged = Receipt::new(index(5), inclusion(5, 11), forged);
    let refused = forged.verify(&entry(5), &trust_renamed).unwrap_err();
    let by_origin = ReceiptVerifyError::Checkpoint(PolicyVerifyError::Checkpoint(CheckpointVerifyError::Origin {
        origin: head(11).origin().clone(),
        key: renamed.name().clone(),
    }));
    assert_eq!(refused, by_origin);
}

#[test]
fn an_empty_tree_proves_no_entry() {
    let receipt = Receipt::new(index(0), inclusion(0, 1), signed(0));
    assert!(receipt.verify(&entry(0), &trust_log()).is_err());
}

/// Each text is the good one with one thing wrong, and the reason it is refused.
#[test]
fn malformed_receipts_are_refused_with_the_reason() {
    let hash = Hash::leaf(b"x").to_base64();
    let checkpoint = signed(4).to_string();
    let good = format!("c2sp.org/tlog-proof@v1\nindex 2\n{hash}\n{hash}\n\n{checkpoint}");
    assert!(Receipt::parse(good.as_bytes()).is_ok());
    let header = "the first line must be c2sp.org/tlog-proof@v1";
    let no_index = "the line after the header and the extra data must be \"index\", a space and a number";
    let decimal = "the index must be a decimal number without sign or leading zeros";
    let extra = "the extra data must be canonical padded base64 of at least one byte";
    let hash_line = "proof line 1: a hash must be canonical padded base64";
    let blank = "a blank line must stand between the proof and the checkpoint";
    let long = format!("{hash}\n").repeat(64);
    let cases: &[(String, &str)] = &[
        (String::new(), header),
        (good.replace("@v1", "@v2"), header),
        (good.replacen("@v1\n", "@v1\r\n", 1), header),
        (format!("\n{good}"), header),
        (good.replace("index 2\n", ""), no_index),
        (good.replace("index 2", "Index 2"), no_index),
        (good.replace("index 2", "index\t2"), no_index),
        (good.replace("index 2", "index2"), no_index),
        (good.replace("index 2", "extra AA=="), no_index),
        (good.replace("index 2", "index 2\nextra AA=="), hash_line),
        (good.replace("index 2", "index 02"), decimal),
        (good.replace("index 2", "index +2"), decimal),
        (good.replace("index 2", "index  2"), decimal),
        (good.replace("index 2", "index 2 "), decimal),
        (good.replace("index 2", "index 2\r"), decimal),
        (good.replace("index 2", "index "), decimal),
        (good.replace("index 2", "index 9223372036854775807"), "the index must be at most 9223372036854775807"),
        (good.replace("index 2", "index 99999999999999999999"), "the index must be at most 9223372036854775807"),
        (good.replace("index 2", "extra \nindex 2"), extra),
        (good.replace("index 2", "extra AA\nindex 2"), extra),
        (good.replace("index 2", "extra AB==\nindex 2"), extra),
        (good.replace("index 2", "extra AA== \nindex 2"), extra),
        (good.replacen(&hash, hash.trim_end_matches('='), 1), hash_line),
        (good.replacen(&hash, "AA==", 1), "proof line 1: a hash must be 32 bytes, not 1"),
        (
            good.replacen(&format!("{hash}\n\n"), &format!("{hash}\n"), 1),
            "proof line 3: a hash must be canonical padded base64",
        ),
        (good.replacen(&format!("{hash}\n"), &long, 1), "an inclusion proof has at most 63 hashes, not 64"),
        ("c2sp.org/tlog-proof@v1\nindex 2\n".into(), blank),
        ("c2sp.org/tlog-proof@v1\nindex 2".into(), no_index),
        (
            format!("c2sp.org/tlog-proof@v1\nindex 2\n\n\n{checkpoint}"),
            "the checkpoint: an origin must be 1 to 255 bytes without control characters",
        ),
        (format!("{good}\n"), "the checkpoint: a note must be a text, a blank line and signature lines"),
        (good.trim_end().into(), "the checkpoint: the last signature line must end in a newline"),
    ];
    for (text, reason) in cases {
        assert_eq!(Receipt::parse(text.as_bytes()).unwrap_err().to_string(), *reason, "{text}");
    }
    let mut not_utf8 = good.into_bytes();
    not_utf8.push(0xff);
    assert_eq!(Receipt::parse(&not_utf8).unwrap_err().to_string(), "a receipt must be UTF-8");
    let too_long = vec![b'a'; Receipt::MAX_BYTES + 1];
    assert!(Receipt::parse(&too_long).unwrap_err().to_string().starts_with("a receipt must be at most"));
}
