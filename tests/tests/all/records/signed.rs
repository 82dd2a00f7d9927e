//! Events that their producers signed: taken from whoever has the key, kept with the signature, and changed by nobody.

use std::cell::Cell;

use cairn_tests::http::Request;
use cairn_tree::checkpoint::Origin;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Salt;
use cairn_tree::record::event::{After, Event, EventHead};
use cairn_tree::record::id::RecordId;
use cairn_tree::record::signature::ProducerSigner;
use cairn_tree::record::time::Time;
use cairn_tree::wire::record::native::{NativeInput, parse};
use serde_json::{Value, json};

use super::{Running, json_of, post, record};

const NOW: u64 = 1_767_225_600_000;

/// What somebody does to an event on its way.
type Change<'c> = &'c dyn Fn(&mut Value);

/// What a producer sends, with salts and a signature of its own.
pub(super) fn signed(running: &Running, signer: &ProducerSigner, number: u8, after: Option<After>) -> Value {
    sealed(running, signer, (number, after), &record("pb", "1", "update"))
}

fn sealed(running: &Running, signer: &ProducerSigner, (number, after): (u8, Option<After>), record: &Value) -> Value {
    let body = record.to_string();
    let input = parse(body.as_bytes()).unwrap().remove(0);
    let NativeInput::Plain(input) = input else { panic!("it is plain") };
    let time = Time::from_millis(NOW).unwrap();
    let head = EventHead {
        log: Origin::new(running.data.main.vkey.split('+').next().unwrap()).unwrap(),
        id: RecordId::v7(time, [number; 10]),
        replaces: None,
        time,
        key: Some(signer.key().id()),
        after,
    };
    let next = Cell::new(0);
    let salt = || {
        next.set(next.get() + 1);
        Salt::new([number, next.get(), 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7])
    };
    let sealed = input.content.seal(head, salt).unwrap();
    let signature = signer.sign(sealed.text()).unwrap();
    let event: Value = serde_json::from_slice(sealed.text().as_bytes()).unwrap();
    let disclosures: Vec<&str> = sealed.disclosures().iter().map(|(_, text)| text).collect();
    json!({"event": event, "signature": String::from_utf8_lossy(&signature.to_text()), "disclosures": disclosures})
}

#[test]
fn a_signed_event_is_taken_from_its_producer_and_kept_as_it_is() {
    let running = Running::start();
    let signer = ProducerSigner::from_seed(&[7; 32]);
    let key = base64url(signer.key().as_bytes());
    let token = running.new_token(&["--rights", "append", "--producer-key", &key]);
    let event = signed(&running, &signer, 1, None);
    let unknown = running.bring(&event);
    assert_eq!((unknown.status, &json_of(&unknown)["pointer"]), (422, &json!("/event/key")), "{}", unknown.text());
    let answer = running.ask_with(&token, post(&event));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let again = running.ask_with(&token, post(&event));
    assert_eq!(json_of(&again)["records"][0]["replayed"], true);
    let id = json_of(&answer)["records"][0]["id"].as_str().unwrap().to_owned();
    let shown = running.shown(&format!("/v1/records/{id}"));
    let leaf = shown["record"]["leaf"].as_str().unwrap();
    assert!(leaf.contains(event["signature"].as_str().unwrap()) && leaf.contains(&event["event"].to_string()));
    // What it says of its place is an expectation.
    let early = running.ask_with(&token, post(&signed(&running, &signer, 2, Some(After::Nothing))));
    assert_eq!((early.status, &json_of(&early)["stream_head"]["seq"]), (409, &json!(0)), "{}", early.text());
    assert_eq!(running.size(), 1);
}

#[test]
fn a_signed_event_that_was_touched_is_refused() {
    let running = Running::start();
    let signer = ProducerSigner::from_seed(&[7; 32]);
    let token = running.new_token(&["--rights", "append", "--producer-key", &base64url(signer.key().as_bytes())]);
    let good = signed(&running, &signer, 1, None);
    let touched = |change: &dyn Fn(&mut Value)| {
        let mut event = good.clone();
        change(&mut event);
        let answer = running.ask_with(&token, post(&event));
        (answer.status, json_of(&answer)["pointer"].as_str().unwrap_or_default().to_owned())
    };
    let cases: [(Change<'_>, &str); 5] = [
        (&|event| event["event"]["time"] = json!("2025-12-31T00:00:00.000000Z"), "/signature"),
        (&|event| drop(event["disclosures"].as_array_mut().unwrap().pop()), "/disclosures"),
        (&|event| event["disclosures"][0] = json!("WyJhIiwxXQ"), "/disclosures"),
        (&|event| event["actor"] = json!({"id": "me"}), "/actor"),
        (&|event| event["event"]["log"] = json!("elsewhere/logs/main"), "/event/log"),
    ];
    for (number, (change, pointer)) in cases.into_iter().enumerate() {
        assert_eq!(touched(change), (422, pointer.to_owned()), "case {number}");
    }
    assert_eq!(running.ask_with(&token, post(&good)).status, 200);
    let other = Request::get("/v1/records?tenant=pb");
    assert_eq!(json_of(&running.ask_with(&running.data.auditor, other))["records"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_header_says_of_a_signed_event_is_in_it_or_refuses_it() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const SPAN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01";
    const OTHER: &str = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let running = Running::start();
    let signer = ProducerSigner::from_seed(&[7; 32]);
    let token = running.new_token(&["--rights", "append", "--producer-key", &base64url(signer.key().as_bytes())]);
    let silent = signed(&running, &signer, 1, None);
    for (header, value) in [("x-purpose", "licensing"), ("traceparent", TRACE), ("x-trace-id", "t-1")] {
        let answer = running.ask_with(&token, post(&silent).with(header, value));
        let problem = json_of(&answer);
        let told = (answer.status, &problem["field"], &problem["pointer"]);
        assert_eq!(told, (422, &json!(header), &json!("/event/context")), "{}", answer.text());
        assert!(problem["detail"].as_str().unwrap().contains("leave the header out, or sign it"), "{problem}");
    }
    assert_eq!(running.size(), 0);
    let mut says = record("pb", "1", "update");
    says["context"] = json!({"purpose": "licensing", "traceparent": TRACE, "correlation": "t-1"});
    let event = sealed(&running, &signer, (2, None), &says);
    for (header, value) in [("x-purpose", "curiosity"), ("traceparent", OTHER), ("x-trace-id", "t-2")] {
        let answer = running.ask_with(&token, post(&event).with(header, value));
        assert_eq!((answer.status, &json_of(&answer)["field"]), (400, &json!(header)), "{}", answer.text());
    }
    let same = [("x-purpose", "licensing"), ("traceparent", SPAN), ("x-trace-id", "t-1"), ("x-tenant-id", "pb")];
    for (number, (header, value)) in same.into_iter().enumerate() {
        let answer = running.ask_with(&token, post(&event).with(header, value));
        let replayed = json_of(&answer)["records"][0]["replayed"] == true;
        assert_eq!((answer.status, replayed), (200, number > 0), "{}", answer.text());
    }
    let trace_id = post(&event).with("x-trace-id", &TRACE[3..35]);
    assert_eq!(running.ask_with(&token, trace_id).status, 200, "that of its trace context");
    assert_eq!(running.size(), 1);
}

/// The producer seals what is the log's own by himself, with all digests right, and signs it.
#[test]
fn a_signed_event_about_what_is_the_logs_own_is_refused() {
    let running = Running::start();
    let signer = ProducerSigner::from_seed(&[7; 32]);
    let token = running.new_token(&["--rights", "append", "--producer-key", &base64url(signer.key().as_bytes())]);
    for (module, operation, refused) in [
        ("cairn", "update", true),
        ("tl", "cairn.read", true),
        ("tl", "security.incident", true),
        ("tl", "record.redaction", true),
        ("tl", "update", false),
    ] {
        let mut event = signed(&running, &signer, 1, None);
        let salt = "BwcHBwcHBwcHBwcHBwcHBw";
        let object = format!(
            r#"["{salt}",{{"entity":"license","id":"1","module":"{module}","operation":"{operation}","tenant":"pb"}}]"#
        );
        let disclosure = base64url(object.as_bytes());
        let old = event["event"]["object"][0]["..."].as_str().unwrap().to_owned();
        event["event"]["object"][0]["..."] = json!(Digest::of(&disclosure).to_string());
        let texts = event["disclosures"].as_array_mut().unwrap();
        texts.retain(|text| Digest::of(text.as_str().unwrap()).to_string() != old);
        texts.push(json!(disclosure));
        let text = Event::parse(event["event"].to_string().as_bytes()).unwrap().to_text();
        event["signature"] = json!(String::from_utf8_lossy(&signer.sign(&text).unwrap().to_text()));
        let answer = running.ask_with(&token, post(&event));
        assert_eq!(answer.status, if refused { 422 } else { 200 }, "{module} {operation}: {}", answer.text());
        assert_eq!(answer.text().contains("the log's own"), refused, "{}", answer.text());
    }
    assert_eq!(running.size(), 1);
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect::<Vec<_>>();
    let digit = |bits: &[u8]| {
        let number = (0..6).fold(0, |number, at| number << 1 | usize::from(bits.get(at).copied().unwrap_or(0)));
        char::from(DIGITS[number])
    };
    bits.chunks(6).map(digit).collect()
}

/// One key in sixty-four: its text begins as an option does.
#[test]
fn a_key_that_begins_with_a_hyphen_is_a_key() {
    let running = Running::start();
    let mut keys = (0..=u8::MAX).map(|seed| ProducerSigner::from_seed(&[seed; 32]));
    let signer = keys.find(|signer| base64url(signer.key().as_bytes()).starts_with('-')).unwrap();
    let token = running.new_token(&["--rights", "append", "--producer-key", &base64url(signer.key().as_bytes())]);
    assert_eq!(running.ask_with(&token, post(&signed(&running, &signer, 1, None))).status, 200);
}
