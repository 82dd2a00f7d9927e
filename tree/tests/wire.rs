//! The bodies of the HTTP interfaces: their exact forms, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod fixture;

use cairn_tree::hash::Hash;
use cairn_tree::wire::append::{BatchAnswer, BatchRequest, EntryProof, ReceiptJson, Wait};
use cairn_tree::wire::json::{Bytes, leaf_hash_from_query};
use cairn_tree::wire::problem::{Problem, ProblemKind};
use cairn_tree::wire::read::{ConsistencyAnswer, EntryAnswer, EventKind, InclusionAnswer};
use cairn_tree::wire::witness::{AddCheckpoint, Conflict, Cosignatures};
use fixture::{consistency, cosigned, entry, inclusion, index, receipt, signed, size, trust_log};

#[test]
fn a_batch_is_an_object_with_entries_as_base64() {
    let request: BatchRequest = serde_json::from_str(r#"{"entries":["aGk=",""]}"#).unwrap();
    assert_eq!(request.entries, [Bytes(b"hi".to_vec()), Bytes(Vec::new())]);
    assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"entries":["aGk=",""]}"#);
    let refused = [
        r#"{"entries":["aGk"]}"#,
        r#"{"entries":["aGl="]}"#,
        r#"{"entries":["aG k="]}"#,
        r#"{"entries":["aGk=\n"]}"#,
        r#"{"entries":["_-8="]}"#,
        r#"{"entries":[1]}"#,
        r#"{"entries":null}"#,
        r#"{"entries":["aGk="],"more":1}"#,
        r#"{"entries":["aGk="],"entries":["aGk="]}"#,
        r#"{"entry":["aGk="]}"#,
        r#"{"entries":["aGk="]} x"#,
        r#"["aGk="]"#,
    ];
    for body in refused {
        assert!(serde_json::from_str::<BatchRequest>(body).is_err(), "{body}");
    }
}

#[test]
fn a_receipt_and_its_json_twin_say_the_same() {
    let checkpoint = signed(11);
    let plain = receipt(5, &checkpoint);
    let leaf_hash = Hash::leaf(&entry(5));
    for receipt in [plain.clone(), plain.with_extra(b"more".to_vec()).unwrap()] {
        let json = serde_json::to_string(&ReceiptJson::new(&receipt, leaf_hash)).unwrap();
        let parsed: ReceiptJson = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed.leaf_hash, leaf_hash);
        let back = parsed.into_receipt().unwrap();
        assert_eq!(back, receipt);
        assert!(back.verify(&entry(5), &trust_log()).is_ok());
    }
    let value = serde_json::to_value(ReceiptJson::new(&receipt(5, &checkpoint), leaf_hash)).unwrap();
    let members: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["checkpoint", "index", "leaf_hash", "proof"]);
    assert_eq!(value["index"], 5);
    assert_eq!(value["leaf_hash"], leaf_hash.to_base64());
    assert_eq!(value["proof"][0], inclusion(5, 11).hashes()[0].to_base64());
    assert_eq!(value["checkpoint"], checkpoint.to_string());
}

#[test]
fn a_batch_is_answered_by_its_run_or_by_each_index() {
    let checkpoint = signed(11);
    let run = BatchAnswer::at(vec![index(3), index(4), index(5)], checkpoint.clone()).unwrap();
    assert_eq!(run, BatchAnswer::run(index(3), 3, checkpoint.clone()).unwrap());
    let text = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(serde_json::to_string(&run).unwrap(), format!(r#"{{"first":3,"count":3,"checkpoint":{text}}}"#));
    assert_eq!(run.indexes().collect::<Vec<_>>(), [index(3), index(4), index(5)]);

    let scattered = BatchAnswer::at(vec![index(7), index(3)], checkpoint.clone()).unwrap();
    let json = serde_json::to_string(&scattered).unwrap();
    assert_eq!(json, format!(r#"{{"first":7,"count":2,"checkpoint":{text},"indexes":[7,3]}}"#));
    assert_eq!(serde_json::from_str::<BatchAnswer>(&json).unwrap(), scattered);

    let proof =
        |leaf| EntryProof { index: index(leaf), leaf_hash: Hash::leaf(&entry(leaf)), proof: inclusion(leaf, 11) };
    let with_receipts = scattered.clone().with_receipts(vec![proof(7), proof(3)]).unwrap();
    let json = serde_json::to_string(&with_receipts).unwrap();
    let parsed: BatchAnswer = serde_json::from_str(&json).unwrap();
    for (receipt, leaf) in parsed.receipts().zip([7, 3]) {
        assert!(receipt.verify(&entry(leaf), &trust_log()).is_ok());
    }
    assert!(scattered.clone().with_receipts(vec![proof(3), proof(7)]).is_err());
    assert!(scattered.with_receipts(vec![proof(7)]).is_err());

    let refused = [
        r#"{"first":3,"count":0,"checkpoint":TEXT}"#,
        r#"{"first":3,"count":-1,"checkpoint":TEXT}"#,
        r#"{"first":3,"count":1.0,"checkpoint":TEXT}"#,
        r#"{"first":"3","count":1,"checkpoint":TEXT}"#,
        r#"{"first":3,"count":9223372036854775807,"checkpoint":TEXT}"#,
        r#"{"first":3,"count":18446744073709551615,"checkpoint":TEXT}"#,
        r#"{"first":9223372036854775807,"count":1,"checkpoint":TEXT}"#,
        r#"{"first":3,"count":2,"checkpoint":TEXT,"indexes":[3]}"#,
        r#"{"first":3,"count":1,"checkpoint":TEXT,"indexes":[4]}"#,
        r#"{"first":3,"count":1,"checkpoint":TEXT,"receipts":[]}"#,
        r#"{"first":3,"count":1,"checkpoint":"log.example/main\n"}"#,
    ];
    for body in refused {
        assert!(serde_json::from_str::<BatchAnswer>(&body.replace("TEXT", &text)).is_err(), "{body}");
    }
}

#[test]
fn proofs_are_bounded_while_they_are_read() {
    let hash = Hash::leaf(b"x").to_base64();
    let hashes = |count| vec![hash.as_str(); count].join(r#"",""#);
    let consistency = |count| format!(r#"{{"from":1,"to":2,"proof":["{}"]}}"#, hashes(count));
    assert!(serde_json::from_str::<ConsistencyAnswer>(&consistency(64)).is_ok());
    assert!(serde_json::from_str::<ConsistencyAnswer>(&consistency(65)).is_err());
    let inclusion = |count| format!(r#"{{"index":1,"leaf_hash":"{hash}","size":2,"proof":["{}"]}}"#, hashes(count));
    assert!(serde_json::from_str::<InclusionAnswer>(&inclusion(63)).is_ok());
    assert!(serde_json::from_str::<InclusionAnswer>(&inclusion(64)).is_err());
}

#[test]
fn an_entry_is_answered_with_what_proves_it() {
    let answer = EntryAnswer {
        index: index(5),
        leaf_hash: Hash::leaf(&entry(5)),
        entry: Bytes(entry(5)),
        proof: inclusion(5, 11),
        checkpoint: signed(11),
    };
    let parsed: EntryAnswer = serde_json::from_str(&serde_json::to_string(&answer).unwrap()).unwrap();
    assert_eq!(parsed, answer);
    assert!(parsed.receipt().verify(&parsed.entry.0, &trust_log()).is_ok());
}

#[test]
fn a_leaf_hash_in_a_query_is_hexadecimal_or_base64() {
    let hash = Hash::leaf(b"x");
    assert_eq!(leaf_hash_from_query(&hash.to_string()), Ok(hash));
    assert_eq!(leaf_hash_from_query(&hash.to_base64()), Ok(hash));
    for text in ["", "00", &hash.to_string().to_uppercase(), &hash.to_base64().replace('=', "")] {
        assert!(leaf_hash_from_query(text).is_err(), "{text}");
    }
}

#[test]
fn names_are_read_as_they_are_written() {
    assert_eq!(Wait::parse("integrated"), Some(Wait::default()));
    assert_eq!(Wait::parse("witnessed"), Some(Wait::Witnessed));
    assert_eq!(Wait::parse("Witnessed"), None);
    for kind in EventKind::ALL {
        assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
    }
}

#[test]
fn a_problem_names_field_value_and_bound() {
    let problem = Problem::new(ProblemKind::TooLarge, "the entry is too large")
        .with_field("entry")
        .with_value("70000")
        .with_bound("at most 65535 bytes");
    let json = concat!(
        r#"{"type":"urn:cairn:problem:too-large","title":"The request is too large","status":413,"#,
        r#""detail":"the entry is too large","field":"entry","value":"70000","bound":"at most 65535 bytes"}"#
    );
    assert_eq!(serde_json::to_string(&problem).unwrap(), json);
    let parsed: Problem = serde_json::from_str(json).unwrap();
    assert_eq!(parsed, problem);
    assert_eq!(parsed.kind(), Some(ProblemKind::TooLarge));

    let foreign: Problem = serde_json::from_str(r#"{"error":"no"}"#).unwrap();
    assert_eq!((foreign.kind(), &*foreign.uri), (None, "about:blank"));
    let long = problem.with_value(&"\u{e4}".repeat(100));
    assert_eq!(long.value.unwrap().len(), Problem::MAX_VALUE_BYTES);
}

#[test]
fn each_kind_of_problem_has_its_own_type() {
    for (number, kind) in ProblemKind::ALL.iter().enumerate() {
        assert_eq!(ProblemKind::from_uri(kind.uri()), Some(*kind));
        assert!(!ProblemKind::ALL[..number].iter().any(|other| other.slug() == kind.slug()));
        assert!((400..600).contains(&kind.status()));
    }
    assert_eq!(ProblemKind::TooLarge.slug(), "too-large");
}

#[test]
fn a_witness_is_asked_with_old_size_proof_and_checkpoint() {
    let request = AddCheckpoint::new(size(6), consistency(6, 11), signed(11)).unwrap();
    let text = request.to_string();
    assert!(text.starts_with("old 6\n"));
    assert_eq!(AddCheckpoint::parse(text.as_bytes()).unwrap(), request);

    let hash = Hash::leaf(b"x").to_base64();
    let with_lines = |count| format!("old 6\n{}\n{}", format!("{hash}\n").repeat(count), signed(11));
    assert!(AddCheckpoint::parse(with_lines(63).as_bytes()).is_ok());
    let no_old = "the first line must be \"old\", a space and a size";
    let decimal = "the size must be a decimal number without sign or leading zeros";
    let cases: &[(String, &str)] = &[
        (String::new(), no_old),
        (text.replace("old 6", "Old 6"), no_old),
        (text.replace("old 6", "old\t6"), no_old),
        (text.replace("old 6", "6"), no_old),
        (text.replace("old 6", "old 06"), decimal),
        (text.replace("old 6", "old -6"), decimal),
        (text.replace("old 6", "old 6 "), decimal),
        (text.replace("old 6", "old 6\r"), decimal),
        (text.replace("old 6", "old 9223372036854775808"), "the size must be at most 9223372036854775807"),
        (with_lines(64), "a proof must have at most 63 lines"),
        (with_lines(1).replacen("=\n", "\n", 1), "proof line 1: a hash must be canonical padded base64"),
        ("old 6\n".into(), "a blank line must stand between the proof and the checkpoint"),
        (format!("{text}x"), "the checkpoint: the last signature line must end in a newline"),
    ];
    for (body, reason) in cases {
        assert_eq!(AddCheckpoint::parse(body.as_bytes()).unwrap_err().to_string(), *reason, "{body}");
    }
}

#[test]
fn a_witness_answers_lines_or_the_size_it_has() {
    let lines = cosigned(11, &[1, 2]).note().signatures()[1..].to_vec();
    let answer = Cosignatures::new(lines).unwrap();
    let text = answer.to_string();
    assert_eq!(Cosignatures::parse(text.as_bytes()).unwrap(), answer);
    for body in ["", "\n", text.trim_end(), &format!("{text}\n"), &format!("\n{text}"), &text.replace('\n', "\r\n")] {
        assert!(Cosignatures::parse(body.as_bytes()).is_err(), "{body}");
    }

    assert_eq!(Conflict::parse(b"20852014\n").unwrap(), Conflict { size: size(20_852_014) });
    assert_eq!(Conflict { size: size(0) }.to_string(), "0\n");
    for body in ["", "\n", "1", "01\n", "1\n\n", " 1\n", "1\r\n", "-1\n", "9223372036854775808\n"] {
        assert!(Conflict::parse(body.as_bytes()).is_err(), "{body}");
    }
}
