//! Leaves that no sequencer of this version makes: of a later version, which are carried as they are, and in contradiction
//! to others, which halt the log.

use cairn_tests::http::Request;
use cairn_tests::server::{Data, cairnd};
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::draft::Content;
use cairn_tree::record::kind::continued;
use cairnd::engine::EntryBatch;
use cairnd::records::OwnRecord;
use serde_json::Value;

use super::erased::name_of;
use super::{Running, json_of, record, written};

/// Puts a leaf into the log as it is, while nobody serves it.
fn put(data: &Data, leaf: &str) {
    let batch = EntryBatch::from_entries([leaf.as_bytes()]).unwrap();
    written(data, async |_, log| log.append(batch.clone(), None).await.unwrap());
}

/// The leaf of a record of a history, and its hash.
fn leaf_of(history: &Value, number: usize) -> (String, String) {
    let leaf = history["records"][number]["leaf"].as_str().unwrap().to_owned();
    let hash = Hash::leaf(leaf.as_bytes()).to_base64();
    (leaf, hash)
}

/// The leaf that would follow this one, in another version, with this hash of the one before it.
fn next(leaf: &str, version: &str, (seq, prev): (u64, &str)) -> String {
    let mut json: Value = serde_json::from_str(leaf.lines().nth(1).unwrap()).unwrap();
    json["event"]["id"] = format!("01939f5a-7c00-7a3b-8c4d-5e6f708192a{seq}").into();
    json["server"]["seq"] = seq.into();
    json["server"]["prev"] = prev.into();
    // Sorted, and without white space.
    format!("cairn.record/{version}\n{json}\n")
}

#[test]
fn a_record_of_a_later_version_is_carried_in_its_place() {
    let running = Running::start();
    let path = "/v1/streams/entity/pb/tl/license/1";
    running.brought(&record("pb", "1", "create"));
    running.brought(&record("pb", "1", "update"));
    let (leaf, hash) = leaf_of(&running.shown(path), 1);
    let running = running.restarted_after(|data| {
        put(data, &next(&leaf, "2", (2, &hash)));
        data.assert_sound();
    });
    let check = |running: &Running, count: usize| {
        let history = running.shown(&format!("{path}?proof=1"));
        let records = history["records"].as_array().unwrap();
        assert_eq!((records.len(), history.get("broken_from")), (count, None), "{history}");
        let later = &records[2];
        assert_eq!((&later["view"]["later_version"], &later["view"]["seq"]), (&true.into(), &2.into()));
        assert_eq!((later["disclosures"].as_array().unwrap().len(), &later["before"]["index"]), (0, &1.into()));
        // What it did nobody knows.
        let state = running.shown(&format!("{path}/state"));
        assert!(state["flags"].as_array().unwrap().iter().any(|flag| flag["index"] == 2), "{state}");
        // By its id as well, for whoever may read its stream.
        let id = "01939f5a-7c00-7a3b-8c4d-5e6f708192a2";
        let found = running.shown(&format!("/v1/records/{id}?tenant=pb"));
        assert_eq!(
            (&found["record"]["view"]["later_version"], &found["record"]["leaf"]),
            (&true.into(), &later["leaf"])
        );
        assert_eq!(found["record"]["before"]["index"], 1);
        let receipt = running.shown(&format!("/v1/records/{id}/receipt"));
        assert_eq!(receipt["index"], 2);
        for tenant in ["ka", "pb.amritsar"] {
            assert_eq!(running.read(&format!("/v1/records/{id}?tenant={tenant}")).status, 404);
        }
        let foreign = running.new_token(&["--rights", "read", "--tenants", "ka,ka.*"]);
        let asked = Request::get(format!("/v1/records/{id}"));
        assert_eq!(running.ask_with(&foreign, asked).status, 404);
    };
    check(&running, 3);
    // The stream goes on from it.
    let brought = &running.brought(&record("pb", "1", "update"))["records"][0];
    assert_eq!(brought["seq"], 3);
    check(&running, 4);
    let running = running.restarted();
    check(&running, 4);
    assert_eq!(running.shown("/v1/records?tenant=pb&object=1")["records"].as_array().unwrap().len(), 3);
    running.server.stop();
    running.data.assert_sound();
}

/// A stream whose last record says that it goes on in another log has no record behind that one.
#[test]
fn what_comes_after_a_streams_last_word_is_flagged_by_everybody() {
    let running = Running::start();
    let path = "/v1/streams/entity/pb/tl/license/1";
    running.brought(&record("pb", "1", "create"));
    let stream = running.shown(path)["stream"].as_str().unwrap().to_owned();
    let running = running.restarted_after(|data| {
        written(data, async |own, log| {
            let other = Origin::new("log.example/logs/other").unwrap();
            let (object, context, values) = continued(&name_of("1"), &other, stream.parse().unwrap()).unwrap();
            let (actor, subjects, attributes) = (None, None, None);
            let content = Content { object, actor, subjects, context, values: Some(values), attributes };
            own.write(log, OwnRecord::new(content)).await.unwrap()
        });
        data.assert_sound();
    });
    assert_eq!(running.shown(path).get("broken_from"), None);
    let late = running.brought(&record("pb", "1", "update"))["records"][0]["id"].as_str().unwrap().to_owned();
    running.brought(&record("pb", "2", "create"));
    for from in [0, 2] {
        let history = running.shown(&format!("{path}?from_seq={from}"));
        let problem = &history["records"][2 - from]["problem"];
        assert_eq!(
            (&problem["part"], &problem["index"], &history["broken_from"]),
            (&"chain".into(), &2.into(), &2.into())
        );
        assert!(problem["detail"].as_str().unwrap().contains("goes on in another log"), "{history}");
    }
    assert_eq!(running.read(&format!("{path}/state")).status, 500);
    // By itself it is what it is, and the log goes on.
    assert_eq!(running.shown(&format!("/v1/records/{late}"))["record"]["view"]["seq"], 2);
    running.brought(&record("pb", "2", "update"));
    let Running { data, server, _folder } = running;
    assert_eq!(server.stop().code, Some(0));
    let ended = cairnd(data.path(), &["fsck"]);
    assert!(ended.code == Some(1) && ended.stdout.contains("goes on in another log"), "{ended:?}");
}

#[test]
fn leaves_that_contradict_each_other_halt_the_log_once() {
    let running = Running::start();
    let path = "/v1/streams/entity/pb/tl/license/1";
    running.brought(&record("pb", "1", "create"));
    running.brought(&record("pb", "1", "update"));
    let (leaf, _) = leaf_of(&running.shown(path), 1);
    let other = Hash::leaf(b"another").to_base64();
    let running = running.restarted_after(|data| put(data, &next(&leaf, "1", (2, &other))));
    assert_eq!(running.bring(&record("pb", "2", "create")).status, 200, "nobody has looked");
    let history = running.shown(path);
    assert_eq!(history["records"][2]["problem"]["part"], "chain", "{history}");
    assert_eq!((&history["broken_from"], &history["records"][1]["view"]["seq"]), (&2.into(), &1.into()));
    let refused = running.bring(&record("pb", "2", "update"));
    assert_eq!((refused.status, &json_of(&refused)["type"]), (503, &"urn:cairn:problem:log-halted".into()));
    assert_eq!(running.read(&format!("{path}/state")).status, 500);
    assert_eq!(running.shown("/v1/streams/entity/pb/tl/license/2")["records"].as_array().unwrap().len(), 1);
    // What is signed stays so: it is told once, and halts no log that an operator has looked at.
    let file = std::fs::read_to_string(running.data.path().join("incidents.jsonl")).unwrap();
    assert_eq!(file.lines().filter(|line| line.contains("\"kind\":\"chain\"")).count(), 1, "{file}");
}
