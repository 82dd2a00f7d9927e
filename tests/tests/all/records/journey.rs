//! A record's way: brought, found, read, and verified by somebody who trusts the log's key and nothing else.

use cairn_tests::http::Request;
use cairn_tree::checkpoint::{LogKeys, Origin};
use cairn_tree::policy::Trust;
use cairn_tree::receipt::Receipt;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::size::LeafIndex;
use serde_json::{Value, json};

use super::{Running, json_of, record};

/// Verifies an answer with one record offline, with the log's key alone.
fn verify(running: &Running, answer: &Value) -> Record {
    let answer = &answer["record"];
    let origin = Origin::new(answer["integrity"]["log"].as_str().unwrap()).unwrap();
    let index = LeafIndex::new(answer["integrity"]["index"].as_u64().unwrap()).unwrap();
    let leaf = answer["leaf"].as_str().unwrap().as_bytes();
    let texts = answer["disclosures"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let disclosures = Disclosures::from_texts(texts).unwrap();
    let withheld = answer["withheld"].as_array().into_iter().flatten();
    let withheld: Vec<_> = withheld.map(|digest| digest.as_str().unwrap().parse().unwrap()).collect();
    let redactions = Redactions::new(origin.clone());
    let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &redactions };
    let record = Record::open(&origin, index, leaf, evidence).unwrap();
    let id = record.leaf().event().head().id;
    let receipt = Request::get(format!("/v1/records/{id}/receipt")).with("accept", "text/plain");
    let receipt = Receipt::parse(&running.ask_with(&running.data.auditor, receipt).body).unwrap();
    let keys = LogKeys::new(vec![running.data.main.vkey.parse().unwrap()]).unwrap();
    receipt.verify(leaf, &Trust::Log(keys)).unwrap();
    record
}

#[test]
fn a_record_is_brought_found_and_verified_offline() {
    let running = Running::start();
    let brought = running.brought(&record("pb", "PB-1", "create"))["records"][0].clone();
    assert_eq!((&brought["index"], &brought["seq"], &brought["prev"]), (&json!(0), &json!(0), &json!(null)));
    let id = brought["id"].as_str().unwrap().to_owned();
    let shown = running.shown(&format!("/v1/records/{id}"));
    let (view, integrity) = (&shown["record"]["view"], &shown["record"]["integrity"]);
    assert_eq!((&integrity["leaf_hash"], &shown["record"]["leaf"]), (&brought["leaf_hash"], &brought["leaf"]));
    let verified = verify(&running, &shown);
    assert_eq!(verified.leaf().event().head().id.to_string(), id);
    assert_eq!(verified.hash().to_base64(), brought["leaf_hash"].as_str().unwrap());
    let object = verified.content().object.disclosed().unwrap();
    assert_eq!((object.tenant.as_str(), object.id.as_str()), ("pb", "PB-1"));
    assert_eq!(view["values"]["whole"]["/iban"], json!({"class": "secret", "new": "DE02"}));
    assert_eq!(view["stream_name"], json!(["entity", "pb", "tl", "license", "PB-1"]));
    let hash = integrity["integrityHash"].as_str().unwrap();
    let parts: Vec<&str> = hash.split("::").collect();
    let key: Vec<&str> = running.data.main.vkey.splitn(3, '+').collect();
    assert_eq!(parts, [key[0], key[1], "1", brought["leaf_hash"].as_str().unwrap()]);
    running.server.stop();
    running.data.assert_sound();
}

#[test]
fn records_of_an_object_are_one_chain() {
    let running = Running::start();
    let first = running.brought(&record("pb", "1", "create"))["records"][0].clone();
    let batch = running.brought(&json!([
        record("pb", "1", "update"),
        record("pb", "2", "create"),
        record("pb", "1", "delete")
    ]));
    let records = batch["records"].as_array().unwrap();
    let seqs: Vec<u64> = records.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 0, 2]);
    assert_eq!(records[0]["prev"], first["leaf_hash"]);
    assert_eq!(records[2]["prev"], records[0]["leaf_hash"]);
    assert_eq!(records[2]["stream"], first["stream"]);
    assert_ne!(records[1]["stream"], first["stream"]);
    for record in records {
        verify(&running, &running.shown(&format!("/v1/records/{}", record["id"].as_str().unwrap())));
    }
}

#[test]
fn what_headers_say_is_recorded() {
    let running = Running::start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = super::post(&record("pb", "1", "create"))
        .with("x-tenant-id", "pb")
        .with("x-purpose", "licensing")
        .with("x-trace-id", "t-17")
        .with("traceparent", trace)
        .with("tracestate", "vendor=1");
    let id = json_of(&running.ask_with(&running.data.token, request))["records"][0]["id"].as_str().unwrap().to_owned();
    let context = running.shown(&format!("/v1/records/{id}"))["record"]["view"]["context"].clone();
    let expected =
        json!({"purpose": "licensing", "correlation": "t-17", "traceparent": trace, "tracestate": "vendor=1"});
    assert_eq!(context, expected);
    let found = running.shown("/v1/records?tenant=pb&correlation=t-17");
    assert_eq!(found["records"][0]["view"]["id"], json!(id));
}

#[test]
fn cloud_events_and_lines_are_records_too() {
    let running = Running::start();
    let event = json!({"specversion": "1.0", "id": "e-1", "source": "/licences", "type": "licence.applied",
        "subject": "PB-1", "tenant": "pb", "time": "2026-01-01T00:00:00Z", "data": {"fee": 12.50}});
    let ask = |media: &str, body: String| {
        let request = Request::post("/v1/records", body).with("content-type", media);
        let answer = running.ask_with(&running.data.token, request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        json_of(&answer)
    };
    let one = ask("application/cloudevents+json", event.to_string().replace("12.5", "12.50"));
    let one = &one["records"][0];
    assert_eq!(one["index"], 0);
    let other = json!({"specversion": "1.0", "id": "e-2", "source": "/licences", "type": "licence.applied",
        "subject": "PB-1", "tenant": "pb"});
    let both = json!([event, other]).to_string().replace("12.5", "12.50");
    let again = ask("application/cloudevents-batch+json", both);
    assert_eq!(again["records"][0]["id"], one["id"], "delivered again");
    assert_eq!((&again["records"][0]["index"], &again["records"][1]["index"]), (&json!(0), &json!(1)));
    let shown = running.read(&format!("/v1/records/{}", one["id"].as_str().unwrap())).text();
    assert!(shown.contains("12.50"), "numbers are kept as they came: {shown}");
    let lines = format!("{}\n{}\n", record("pb", "7", "create"), record("pb", "7", "update"));
    let lines = ask("application/x-ndjson", lines);
    assert_eq!(lines["records"][1]["seq"], 1);
}

#[test]
fn records_are_found_by_what_they_say_page_by_page() {
    let running = Running::start();
    let mut all = Vec::new();
    for number in 0..7 {
        let mut one = record("pb", &format!("o{}", number % 3), if number < 3 { "create" } else { "update" });
        one["actor"]["id"] = json!(if number % 2 == 0 { "even" } else { "odd" });
        all.push(running.brought(&one)["records"][0]["id"].clone());
    }
    running.brought(&record("ka", "o1", "create"));
    let ids = |found: &Value| -> Vec<Value> {
        found["records"].as_array().unwrap().iter().map(|record| record["view"]["id"].clone()).collect()
    };
    let newest_first = |numbers: &[usize]| numbers.iter().map(|number| all[*number].clone()).collect::<Vec<_>>();
    for (query, expected) in [
        ("", &[6, 5, 4, 3, 2, 1, 0][..]),
        ("&actor=odd", &[5, 3, 1]),
        ("&actor=even&object=o0", &[6, 0]),
        ("&object=o1&operation=update", &[4]),
        ("&subject=person:4711&module=tl&entity=license&operation=create", &[2, 1, 0]),
        ("&actor=nobody", &[]),
        ("&from=2999-01-01T00:00:00Z", &[]),
        ("&until=2001-01-01T00:00:00Z", &[]),
        ("&from=2001-01-01T00:00:00Z&until=2999-01-01T00:00:00Z&actor=odd", &[5, 3, 1]),
    ] {
        let found = running.shown(&format!("/v1/records?tenant=pb{query}"));
        assert_eq!(ids(&found), newest_first(expected), "{query}");
        assert_eq!(found["complete_to"], 8, "{query}");
    }
    let (mut seen, mut target) = (Vec::new(), "/v1/records?tenant=pb&limit=2".to_owned());
    loop {
        let page = running.shown(&target);
        seen.extend(ids(&page));
        assert_eq!(page["complete_to"], 8);
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(running.read(&format!("/v1/records?tenant=ka&limit=2&cursor={next}")).status, 400);
        // What comes meanwhile moves nothing.
        running.brought(&record("pb", "later", "read"));
        target = format!("/v1/records?tenant=pb&limit=2&cursor={next}");
    }
    assert_eq!(seen, newest_first(&[6, 5, 4, 3, 2, 1, 0]));
}

#[test]
fn everything_is_there_after_a_restart() {
    let running = Running::start();
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let before = running.shown(&format!("/v1/records/{id}"))["record"].clone();
    let running = running.restarted();
    let after = running.shown(&format!("/v1/records/{id}"))["record"].clone();
    for part in ["view", "leaf", "disclosures"] {
        assert_eq!(before[part], after[part], "{part}");
    }
    let next = running.brought(&record("pb", "1", "update"))["records"][0].clone();
    assert_eq!((&next["seq"], &next["prev"]), (&json!(1), &before["integrity"]["leaf_hash"]));
    let found = running.shown("/v1/records?tenant=pb&object=1")["records"].clone();
    let by = |number: usize| found[number]["view"]["by"].clone();
    assert_eq!((found.as_array().unwrap().len(), by(0)), (2, by(1)), "one token, one pseudonym");
}

/// What an object was, is, and how it became so.
#[test]
fn an_objects_history_is_replayed_and_compared() {
    let running = Running::start();
    let fields = |operation: &str, fields: Value| {
        let mut one = record("pb", "a/b", operation);
        one["values"] = json!({"fields": fields});
        one["classification"] = json!({});
        one
    };
    running.brought(&record("pb", "a/b", "create"));
    let approved = fields("update", json!({"/status": {"old": "APPLIED", "new": "APPROVED"}, "/fee": {"new": 7.1}}));
    let approved = approved.to_string().replace("7.1", "7.10");
    let approved = Request::post("/v1/records", approved).with("content-type", "application/json");
    assert_eq!(running.ask_with(&running.data.token, approved).status, 200);
    running.brought(&fields("update", json!({"/status": {"old": "APPLIED", "new": "ISSUED"}})));
    let stream = "/v1/streams/entity/pb/tl/license/a%2Fb";
    let history = running.shown(&format!("{stream}?limit=2&proof=1"));
    let numbers = |page: &Value| -> Vec<u64> {
        let records = page["records"].as_array().unwrap().iter();
        records.map(|record| record["view"]["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!((numbers(&history), &history["complete_to"]), (vec![0, 1], &json!(3)));
    assert!(history["records"][0]["integrity"]["proof"].is_array());
    let rest = running.shown(&format!("{stream}?limit=2&cursor={}", history["next"].as_str().unwrap()));
    assert_eq!((numbers(&rest), rest.get("next")), (vec![2], None));
    assert_eq!(numbers(&running.shown(&format!("{stream}?from_seq=1"))), [1, 2]);
    let state = |at: &str| running.shown(&format!("{stream}/state{at}"))["states"][0]["document"].clone();
    assert_eq!(state("?at=0")["status"], "APPLIED");
    let now = running.shown(&format!("{stream}/state"));
    assert_eq!(
        (&now["states"][0]["life"], &now["states"][0]["document"]["status"]),
        (&json!("live"), &json!("ISSUED"))
    );
    let flags = json!([{"seq": 2, "index": 2, "flag": "old-differs", "pointers": ["/status"]}]);
    assert_eq!(now["flags"], flags);
    assert!(running.read(&format!("{stream}/state")).text().contains("7.10"), "numbers are kept as they came");
    let diff = running.shown(&format!("{stream}/diff?from=0&to=1"));
    let differences = json!([
        {"pointer": "/fee", "old": 1200, "new": 7.1, "certain": true},
        {"pointer": "/status", "old": "APPLIED", "new": "APPROVED", "certain": true},
    ]);
    assert_eq!(diff["objects"][0]["differences"], differences);
    let none = running.shown(&format!("{stream}/state?at=1999-01-01T00:00:00Z"));
    assert_eq!(none["states"], json!([]));
    // Who may not see a value does not see it in a state either.
    let public = running.new_token(&["--rights", "read,disclose:public"]);
    let seen = json_of(&running.ask_with(&public, Request::get(format!("{stream}/state"))));
    assert_eq!(seen["states"][0]["document"]["iban"], json!({"withheld": true}));
    for bad in ["?at=x", "?at=-1", "?by=clock", "?view=all", "?at=1&at=2"] {
        assert_eq!(running.read(&format!("{stream}/state{bad}")).status, 400, "{bad}");
    }
    for absent in ["entity/pb/tl/license/other", "named/pb/other", "entity/nowhere/tl/license/1"] {
        assert_eq!(running.read(&format!("/v1/streams/{absent}")).status, 404, "{absent}");
    }
}

#[test]
fn a_named_stream_takes_records_of_many_objects() {
    let running = Running::start();
    let in_channel = |object: &str| {
        let mut one = record("pb", object, "create");
        one["context"] = json!({"stream": "site 7/alarms"});
        one["topics"] = json!(["alarms"]);
        one
    };
    running.brought(&json!([in_channel("1"), in_channel("2"), record("pb", "1", "update")]));
    let page = running.shown("/v1/streams/named/pb/site%207%2Falarms");
    assert_eq!(page["records"].as_array().unwrap().len(), 2);
    assert_eq!(page["records"][0]["view"]["topics"], json!(["alarms"]));
    let found = running.shown("/v1/records?tenant=pb&topic=alarms");
    assert_eq!(found["records"][0]["view"]["stream_name"], json!(["named", "pb", "site 7/alarms"]));
    assert_eq!(running.shown("/v1/streams/entity/pb/tl/license/1")["records"].as_array().unwrap().len(), 1);
}
