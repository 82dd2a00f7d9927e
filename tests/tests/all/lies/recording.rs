//! A server, or something before it, that answers a record with another one's receipt: whoever brings it refuses.

use cairn_tests::command::{Ran, cairn_with_input};
use cairn_tests::lying::{Lie, LyingLog};

const RECORD: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"PB-17","operation":"update"},
    "context":{"reason":"all is there"},"attributes":{"desk":"4"},
    "external":[{"name":"a.pdf","size":3,"sha256":"abababababababababababababababababababababababababababababababab"}]}"#;

fn record(log: &LyingLog, body: &str, further: &[&str]) -> Ran {
    let (url, key) = (log.url(), log.vkey());
    let arguments = [&["record", "--json", "--url", &url, "--key", &key][..], further, &["-"]].concat();
    cairn_with_input(arguments, body.as_bytes())
}

/// A record in the form in which it is brought, of which a part is another.
fn other(from: &str, to: &str) -> String {
    let other = RECORD.replace(from, to);
    assert_ne!(other, RECORD);
    other
}

#[test]
fn an_earlier_records_receipt_is_not_taken_for_a_new_records() {
    for earlier in [RECORD.to_owned(), other("PB-17", "PB-18")] {
        let log = LyingLog::of_size(3);
        assert_eq!(record(&log, &earlier, &[]).code, 0);
        log.lie("v1/records", Lie::Body(log.last_answer()));
        let ran = record(&log, RECORD, &[]);
        assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran:?}");
        assert!(ran.stderr.contains("entry 3 is another record than was sent"), "{ran:?}");
    }
}

#[test]
fn what_was_put_on_record_in_its_place_is_seen_when_it_is_kept() {
    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
    let with_id = |body: &str| body.replacen('{', &format!("{{\"id\":\"{ID}\","), 1);
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved").to_str().unwrap().to_owned();
    for (put, words) in [
        (RECORD.to_owned(), None),
        (other("all is there", "nothing is there"), Some("another context")),
        (other("\"desk\":\"4\"", "\"desk\":\"5\""), Some("another list of attributes")),
        (other("a.pdf", "b.pdf"), Some("another list of attributes or external digests")),
        (other("\"update\"", "\"update\",\"action\":\"approve\""), Some("another object")),
        (other("\"update\"", "\"update\",\"category\":\"fees\""), Some("another object")),
    ] {
        let log = LyingLog::of_size(0);
        // Somebody on the way put something else under the record's id, and answers with that.
        assert_eq!(record(&log, &with_id(&put), &["--idempotency-key", "other"]).code, 0);
        log.lie_times(1, "v1/records", Lie::Body(log.last_answer()));
        let ran = record(&log, &with_id(RECORD), &["--save", &saved]);
        match words {
            None => assert_eq!(ran.code, 0, "{ran:?}"),
            Some(words) => assert!(ran.code == 1 && ran.stderr.contains(words), "{words}: {ran:?}"),
        }
    }
}
