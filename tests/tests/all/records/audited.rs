//! The commands of auditors against a real server: what they print, and that they agree with the server.

use cairn_tests::command::{Ran, cairn};
use cairn_tests::server::cairnd;
use serde_json::{Value, json};

use super::{Running, record};

/// A server with some records, and an auditor's command line.
struct Audit {
    running: Running,
}

impl Audit {
    fn start() -> Self {
        let running = Running::start();
        running.brought(&record("pb", "PB-1", "create"));
        running.brought(&json!([record("pb", "PB-2", "create"), record("jk", "PB-1", "create")]));
        let mut changed = record("pb", "PB-1", "update");
        changed["values"] = json!({"fields": {"/status": {"old": "APPLIED", "new": "APPROVED"}}});
        changed.as_object_mut().unwrap().remove("classification");
        running.brought(&changed);
        let mut noted = record("pb", "PB-3", "create");
        noted["context"] = json!({"stream": "night", "transaction": "TX-9", "correlation": "c-1"});
        noted["topics"] = json!(["export"]);
        running.brought(&noted);
        Self { running }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&self.running.data.auditor, arguments)
    }

    fn run_with(&self, token: &str, arguments: &[&str]) -> Ran {
        let url = format!("http://{}/logs/main", self.running.server.address());
        let key = &self.running.data.main.vkey;
        let (command, rest) = arguments.split_first().unwrap();
        cairn([&[*command, "--json", "--url", &url, "--token", token, "--key", key], rest].concat())
    }

    /// What a command prints that must succeed: its lines, and the summary.
    fn good(&self, arguments: &[&str]) -> (Vec<Value>, Value) {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}: {ran:?}");
        let mut lines = ran.json();
        let summary = lines.pop().unwrap();
        assert_eq!(summary["verified"], true);
        (lines, summary)
    }
}

const FIRST: [&str; 8] = ["--tenant", "pb", "--module", "tl", "--entity", "license", "--object", "PB-1"];

#[test]
fn searches_find_what_matches_page_by_page() {
    let audit = Audit::start();
    let found = |further: &[&str]| {
        let (lines, summary) = audit.good(&[&["search", "--up-to", "secret"], further].concat());
        let indexes: Vec<u64> = lines.iter().map(|line| line["index"].as_u64().unwrap()).collect();
        (indexes, summary["more"].as_bool().unwrap())
    };
    assert_eq!(found(&["--tenant", "pb"]), (vec![4, 3, 1, 0], false));
    assert_eq!(found(&["--tenant", "pb", "--limit", "3"]), (vec![4, 3, 1], true));
    assert_eq!(found(&["--tenant", "pb", "--object", "PB-1", "--operation", "create"]), (vec![0], false));
    assert_eq!(found(&["--tenant", "pb", "--transaction", "TX-9", "--correlation", "c-1"]), (vec![4], false));
    assert_eq!(found(&["--tenant", "pb", "--topic", "export"]), (vec![4], false));
    assert_eq!(found(&["--tenant", "jk", "--subject", "person:4711", "--actor", "8a1f"]), (vec![2], false));
    assert_eq!(found(&["--tenant", "pb", "--until", "2001-01-01T00:00:00Z"]), (vec![], false));
    // The server wants to know whose records are meant, and what it says comes through.
    let vague = audit.run(&["search"]);
    assert!(vague.code == 1 && vague.stderr.contains("say whose records"), "{vague:?}");
    let stranger = audit.running.new_token(&["--rights", "read", "--tenants", "up"]);
    let refused = audit.run_with(&stranger, &["search", "--tenant", "pb"]);
    assert!(refused.code == 1 && refused.stderr.contains("not good for its tenant"), "{refused:?}");
    let producer = audit.running.new_token(&["--rights", "append"]);
    let refused = audit.run_with(&producer, &["search", "--tenant", "pb"]);
    assert!(refused.code == 1 && refused.stderr.contains("right `read` is needed"), "{refused:?}");
}

#[test]
fn histories_are_whole_and_complete_and_replayed_as_the_server_does() {
    let audit = Audit::start();
    let (lines, summary) = audit.good(&[&["history", "--complete"], &FIRST[..]].concat());
    assert_eq!(lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((&summary["complete"], &summary["read"], &summary["others"]), (&json!("proven"), &json!(5), &json!(3)));
    let (lines, _) = audit.good(&["history", "--tenant", "pb", "--stream", "night"]);
    assert_eq!(lines[0]["view"]["stream_name"], json!(["named", "pb", "night"]));

    let (lines, summary) = audit.good(&[&["replay"], &FIRST[..]].concat());
    assert_eq!((&lines[0]["document"]["status"], &summary["compared"]), (&json!("APPROVED"), &json!(true)));
    let (lines, summary) =
        audit.good(&[&["replay", "--view", "corrected", "--by", "producer_time"], &FIRST[..]].concat());
    assert_eq!((&lines[0]["document"]["iban"], &summary["compared"]), (&json!("DE02"), &json!(true)));
    let (lines, summary) = audit.good(&[&["diff", "--from", "0"], &FIRST[..]].concat());
    assert_eq!((lines.len(), &lines[0]["pointer"], &summary["compared"]), (1, &json!("/status"), &json!(true)));
    let (lines, summary) = audit.good(&[&["diff", "--to", "2100-01-01T00:00:00Z"], &FIRST[..]].concat());
    assert_eq!((lines.len(), &summary["compared"]), (1, &json!(true)));
}

#[test]
fn who_may_see_less_is_told_less_and_no_lie() {
    let audit = Audit::start();
    let token = audit.running.new_token(&["--rights", "read,disclose:internal"]);
    let arguments = |up_to: &'static str| [&["history", "--up-to", up_to], &FIRST[..]].concat();
    let seen = audit.run_with(&token, &arguments("internal"));
    assert_eq!((seen.code, &seen.json()[0]["withheld"]), (0, &json!(2)), "{seen:?}");
    assert!(!seen.stdout.contains("DE02") && !seen.stdout.contains("Ada"), "{seen:?}");
    let refused = audit.run_with(&token, &arguments("restricted"));
    assert!(refused.code == 1 && refused.stderr.contains("withheld from a reader who may see it"), "{refused:?}");
    // What is not shown is not known, and both sides say the same of it.
    let replayed = audit.run_with(&token, &[&["replay"], &FIRST[..]].concat());
    let lines = replayed.json();
    assert_eq!((replayed.code, &lines[0]["unknown"]["/iban"]), (0, &json!({"withheld": true})), "{replayed:?}");
    assert_eq!(lines.last().unwrap()["compared"], true);
}

#[test]
fn whoever_reads_says_why_and_for_whom_and_that_is_on_record() {
    let audit = Audit::start();
    let set = cairnd(audit.running.data.path(), &["tenant", "set", "pb", "--reads", "full"]);
    assert_eq!(set.code, Some(0), "{set:?}");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let object = &FIRST[2..];
    let why = ["--purpose", "complaint 12", "--on-behalf-of", "clerk:7", "--trace-id", "T-1", "--traceparent", trace];
    let why = [&why[..], &["--tracestate", "vendor=1", "--tenant", "pb"]].concat();
    for command in ["search", "history", "replay", "diff"] {
        audit.good(&[&[command][..], &why[..], object].concat());
    }
    let reads = ["search", "--tenant", "pb", "--operation", "cairn.read", "--actor", "clerk:7"];
    let (found, _) = audit.good(&[&reads[..], &["--all"]].concat());
    // The search, three histories, a state and a comparison.
    assert_eq!(found.len(), 6, "{found:?}");
    for mut read in found {
        // The stream of the day's reads.
        assert!(read["view"]["context"].as_object_mut().unwrap().remove("stream").is_some(), "{read}");
        let context =
            json!({"purpose": "complaint 12", "correlation": "T-1", "traceparent": trace, "tracestate": "vendor=1"});
        assert_eq!((&read["view"]["context"], &read["view"]["actor"]["id"]), (&context, &json!("clerk:7")));
    }
    // What no record can say is refused before anything is asked.
    let before = audit.running.size();
    for (flag, text) in [("--purpose", "two\nlines"), ("--on-behalf-of", "a\u{1}"), ("--traceparent", "00-0-0-00")] {
        let refused = audit.run(&[&["search", "--tenant", "pb"][..], &[flag, text]].concat());
        assert!(refused.code == 2 && refused.stderr.contains(&format!("cairn: {flag}, or ")), "{refused:?}");
    }
    assert_eq!(audit.running.size(), before);
}
