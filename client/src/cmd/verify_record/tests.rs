//! A saved record on the command line: what is said of it, and that whatever is changed is noticed.

use std::fs;
use std::path::Path;

use cairn_tree::checkpoint::{Checkpoint, Origin};
use cairn_tree::cosignature::Timestamp;
use cairn_tree::hash::Hash;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::size::TreeSize;
use serde_json::json;

use super::super::{Output, run};
use super::*;

/// A record of which a field is erased and others are withheld, and the key of its log.
const SAVED: &[u8] = include_bytes!("../../../../tests/fuzz/seeds/record_answer/record");
const KEY: &str = "log.example/logs/test+2f30ffbb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const OTHER_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// What is said of it: all that it says, and why something is not there.
const SAID: &str = r#"verified: record 018bcfe5-6800-7000-8000-000000000000 is entry 0 of log.example/logs/test, in its signed tree of 11 entries; number 0 of its stream; 13 disclosed, 2 withheld, 1 erased
  time         2023-11-14T22:13:20.000000Z by the producer's clock, 2023-11-14T22:13:20.000000Z by the log's
  tenant       pb
  module       tl
  entity       license
  object       L-1
  operation    create
  actor        ann
  subjects     p1
      /fee: 1200.50
      /list: [1,{"a":null}]
      /own~0er: erased, by entry 8   (restricted)
      /phone: withheld   (secret)
  attribute    channel: "web"
  attribute    ip: withheld   (secret)
  data         f, 4 bytes, t, SHA-256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  stream       ["entity","pb","tl","license","L-1"]
  erased by    record 018bcfe5-6800-7000-8000-000000000009, entry 8 of that tree, of 2023-11-14T22:13:29.000000Z
  withheld     by the word of whoever answered: that it is still there is not proven
"#;

/// What the command prints, what it says, and how it ends.
fn verify(folder: &Path, saved: &[u8], arguments: &[&str]) -> (String, String, u8) {
    let file = folder.join("saved.json");
    fs::write(&file, saved).unwrap();
    let given = ["cairn", "verify", "record", file.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let output = Output { stdout: &mut stdout, stderr: &mut stderr, draws_progress: false };
    let mut terminal = Terminal { stdin: &mut std::io::empty(), output };
    let code = run(given.map(Into::into), &mut terminal);
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), code)
}

#[test]
fn a_saved_record_is_verified_offline() {
    let folder = tempfile::tempdir().unwrap();
    let (words, _, code) = verify(folder.path(), SAVED, &["--key", KEY]);
    assert_eq!((words.as_str(), code), (SAID, 0));
    let (json, _, _) = verify(folder.path(), SAVED, &["--key", KEY, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["verified"], &json["withheld"]), (&true.into(), &2.into()));
    assert_eq!(json["view"]["values"]["whole"]["/own~0er"]["erased"], 8);
    assert_eq!((&json["erased_by"][0]["index"], &json["erased_by"][1]), (&8.into(), &serde_json::Value::Null));
}

#[test]
fn what_is_not_the_record_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |saved: &[u8], arguments: &[&str], words: &str| {
        let (_, said, code) = verify(folder.path(), saved, arguments);
        assert!(code == 1 && said.contains(words), "{code}: {said}");
    };
    refused(SAVED, &["--key", OTHER_KEY], "not trusted");
    let text = String::from_utf8(SAVED.to_vec()).unwrap();
    let other_leaf = text.replacen("2023-11-14", "2023-11-15", 1);
    refused(other_leaf.as_bytes(), &["--key", KEY], "not proven");
    refused(text.replace("\"redactions\"", "\"others\"").as_bytes(), &["--key", KEY], "redaction record");
    refused(b"{}", &["--key", KEY], "saved.json: /record");
    // Who may see all that is restricted is told all of it; who may see everything is not.
    let may = |class: &str| verify(folder.path(), SAVED, &["--key", KEY, "--up-to", class]).2;
    assert_eq!(["public", "restricted", "secret"].map(may), [0, 0, 1]);
    let stranger = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    refused(SAVED, &["--key", KEY, "--producer-key", stranger], "not signed");
    // Nobody is trusted by default, and the other command still wants its arguments.
    assert_eq!(verify(folder.path(), SAVED, &[]).2, 2);
    assert_eq!(verify(folder.path(), SAVED, &["--key", KEY, "--up-to", "all"]).2, 2);
}

#[test]
fn of_the_keys_of_several_logs_those_of_the_records_log_count() {
    let folder = tempfile::tempdir().unwrap();
    let both = format!("{OTHER_KEY} {KEY}");
    for further in [&[][..], &["--log", "test"], &["--log", "log.example/logs/test"]] {
        let (words, said, code) = verify(folder.path(), SAVED, &[&["--key", &both], further].concat());
        assert_eq!((words.as_str(), said.as_str(), code), (SAID, "", 0), "{further:?}");
    }
    // It is in another log than the one that is meant, or in none of them.
    let (_, said, code) = verify(folder.path(), SAVED, &["--key", &both, "--log", "PeterNeumann"]);
    assert!(code == 1 && said.contains("not trusted"), "{said}");
    let (_, said, code) = verify(folder.path(), SAVED, &["--key", &both, "--log", "main"]);
    assert!(code == 2 && said.contains("no key of the log main is given"), "{said}");
    let elsewhere =
        String::from_utf8(SAVED.to_vec()).unwrap().replace("log.example/logs/test", "log.example/logs/else");
    let (_, said, code) = verify(folder.path(), elsewhere.as_bytes(), &["--key", &both]);
    assert!(code == 1 && said.contains("no key of the log log.example/logs/else is given"), "{said}");
}

#[test]
fn the_data_that_a_record_speaks_of_is_hashed_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("f"), "test").unwrap();
    let check = || verify(folder.path(), SAVED, &["--key", KEY, "--attach", data.to_str().unwrap()]);
    let (words, _, code) = check();
    assert!(code == 0 && words.ends_with("1 file is unchanged\n"), "{words}");
    fs::write(data.join("f"), "Test").unwrap();
    fs::write(data.join("g"), "").unwrap();
    let (_, said, code) = check();
    assert!(code == 1 && said.contains("changed: f\nnew: g\n0 files are unchanged"), "{said}");
    fs::remove_file(data.join("f")).unwrap();
    assert!(check().1.contains("missing: f\nnew: g"), "{:?}", check());
}

/// Each place of a document where a text or a number stands, what is there for people alone left out.
fn scalars(value: &serde_json::Value, at: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            members.iter().filter(|(name, _)| *name != "view").for_each(|(name, value)| {
                scalars(value, format!("{at}/{name}"), found);
            });
        }
        serde_json::Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(n, value)| scalars(value, format!("{at}/{n}"), found));
        }
        _ => found.push(at),
    }
}

/// The text with another letter or digit in the place of one.
fn changed(text: &str, nth: usize) -> String {
    let letters: Vec<usize> =
        text.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()).map(|(at, _)| at).collect();
    let at = letters[nth * letters.len() / 7];
    let other = if text[at..].starts_with('0') { "1" } else { "0" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

#[test]
fn whatever_is_changed_of_a_saved_record_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let saved: serde_json::Value = serde_json::from_slice(SAVED).unwrap();
    let refused = |other: &serde_json::Value, what: &str| {
        let (words, said, code) = verify(folder.path(), &serde_json::to_vec(other).unwrap(), &["--key", KEY]);
        assert!(
            code == 1 && words.is_empty() && said.starts_with("cairn: not verified: "),
            "{what}: {code} {words}{said}"
        );
    };
    let mut places = Vec::new();
    scalars(&saved, String::new(), &mut places);
    assert!(places.len() > 40, "{places:?}");
    for place in &places {
        for nth in 0..7 {
            let mut other = saved.clone();
            let value = other.pointer_mut(place).unwrap();
            *value = match &*value {
                serde_json::Value::String(text) => changed(text, nth).into(),
                number => (number.as_u64().unwrap() + 1 + nth as u64).into(),
            };
            refused(&other, place);
        }
        // What stands in a list is left out.
        let (list, element) = place.rsplit_once('/').unwrap();
        if let (Some(list), Ok(n)) = (saved.pointer(list).filter(|list| list.is_array()), element.parse::<usize>()) {
            let mut short = list.as_array().unwrap().clone();
            short.remove(n);
            let mut other = saved.clone();
            *other.pointer_mut(place.rsplit_once('/').unwrap().0).unwrap() = short.into();
            refused(&other, place);
        }
    }
    // What is there for people alone is not looked at, and not shown.
    let mut other = saved.clone();
    other["record"]["view"] = serde_json::json!({"values": "forged"});
    let (words, _, code) = verify(folder.path(), &serde_json::to_vec(&other).unwrap(), &["--key", KEY]);
    assert_eq!((words.as_str(), code), (SAID, 0));
}

const LICENCES: &str = "log.example/logs/licences";

/// A record as somebody has saved it who found it alone in its log, with its disclosures, each with a tilde after it; and
/// the log's key.
fn alone(log: &str, leaf: &str, disclosures: &str) -> (Vec<u8>, String) {
    let key = SignerKey::from_seed(KeyName::new(log).unwrap(), SignatureType::ED25519, &[7; 32]).unwrap();
    let root = Hash::leaf(leaf.as_bytes());
    let head = Checkpoint::new(Origin::new(log).unwrap(), TreeSize::new(1).unwrap(), root);
    let signed = head.sign_all(&[&key], Timestamp::new(1_700_000_000).unwrap()).unwrap();
    let (id, hash) = (key.verifier_key().id().to_string(), root.to_base64());
    let disclosures: Vec<&str> = disclosures.split_terminator('~').collect();
    let integrity = json!({
        "log": log, "index": 0, "leaf_hash": hash, "key_id": id, "head": {"size": 1, "root": hash},
        "integrityHash": format!("{log}::{id}::1::{hash}"), "proof": [],
    });
    let record = json!({"leaf": leaf, "disclosures": disclosures, "integrity": integrity});
    let saved = json!({"record": record, "checkpoint": signed.encode()});
    (saved.to_string().into_bytes(), key.verifier_key().to_string())
}

/// A record of the published vectors.
macro_rules! vector {
    ($name:literal, $kind:literal) => {
        include_str!(concat!("../../../../tests/vectors/record/", $name, ".", $kind))
    };
}

#[test]
fn what_a_record_says_of_others_is_told_as_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let (saved, key) = alone("log.example/logs/zölle", vector!("doors", "leaf"), vector!("doors", "disclosures"));
    let (words, _, code) = verify(folder.path(), &saved, &["--key", &key, "--up-to", "secret"]);
    assert_eq!(code, 0);
    for said in [
        "\n  stream       [\"named\",\"pb\",\"doors\"]\n  topics       access, zutritt ü\n",
        "\n  continues    record 9007199254740991 of the stream 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU in \
         log.example/logs/licences, with the leaf hash 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=, by its own word: that \
         log was not looked at\n",
    ] {
        assert!(words.contains(said), "{words}");
    }
    let (leaf, disclosures) = (vector!("licence-corrected", "leaf"), vector!("licence-corrected", "disclosures"));
    let (saved, key) = alone(LICENCES, leaf, disclosures);
    let (words, _, code) = verify(folder.path(), &saved, &["--key", &key]);
    assert!(code == 0 && words.ends_with(", by its own word: that record was not looked at\n"), "{words}");
    assert!(words.contains("\n  corrects     0"), "{words}");
}

#[test]
fn a_producers_signature_is_verified_with_a_key_and_else_told_as_a_claim() {
    let folder = tempfile::tempdir().unwrap();
    let (leaf, disclosures) = (vector!("licence-changed", "leaf"), vector!("licence-changed", "disclosures"));
    let producer = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let (saved, key) = alone(LICENCES, leaf, disclosures);
    let (words, _, code) = verify(folder.path(), &saved, &["--key", &key, "--producer-key", producer]);
    assert!(code == 0 && words.contains("; signed by kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"), "{words}");
    // The log has another signature on record: that is proven too, and nobody who has the key takes it for good.
    let at = leaf.find("\"signature\":\"").unwrap() + 20;
    let other = if leaf[at..].starts_with('A') { "B" } else { "A" };
    let forged = format!("{}{other}{}", &leaf[..at], &leaf[at + 1..]);
    let (saved, key) = alone(LICENCES, &forged, disclosures);
    let (words, _, code) = verify(folder.path(), &saved, &["--key", &key]);
    assert!(
        code == 0 && words.contains("; claims to be signed by ") && words.contains(", which was not verified"),
        "{words}"
    );
    let (_, said, code) = verify(folder.path(), &saved, &["--key", &key, "--producer-key", producer]);
    assert!(code == 1 && said.contains("the signature of the event is not the one of the key"), "{said}");
}

#[test]
fn of_a_later_version_nothing_is_told_but_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = vector!("licence-changed", "leaf").replacen("cairn.record/1", "cairn.record/2", 1);
    let (saved, key) = alone(LICENCES, &leaf, vector!("licence-changed", "disclosures"));
    let (words, _, code) = verify(folder.path(), &saved, &["--key", &key]);
    let last = "; number 1 of its stream; of a later version, so that nothing else of it is known here\n";
    assert!(code == 0 && words.ends_with(last), "{words}");
    for further in [["--up-to", "secret"], ["--producer-key", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"]] {
        let (_, said, code) = verify(folder.path(), &saved, &[&["--key", &*key][..], &further].concat());
        assert!(
            code == 1 && said.contains("of a later version: whether it is complete, or signed, can't be told"),
            "{said}"
        );
    }
}
