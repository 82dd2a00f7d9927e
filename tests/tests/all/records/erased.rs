//! What is erased: an absence that a redaction record of the log names is told as such, with that record; every other one is
//! an error. An erased name begins no second stream.

use cairn_rocks::{RocksStore, Settings};
use cairn_tests::server::{Data, cairnd};
use cairn_tree::note::VerifierKey;
use cairn_tree::policy::Trust;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::draft::Content;
use cairn_tree::record::kind::{Concerned, redaction};
use cairn_tree::record::parts::Context;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::{Batch, Key, Kind, LogId, Store as _};
use cairn_tree::wire::v1::RecordAnswer;
use cairnd::engine::records::{erased_name, name_print};
use cairnd::records::OwnRecord;
use serde_json::Value;

use super::{Running, json_of, record, written};

/// Takes all disclosures of the record at an index away, which is alone in its row.
pub(super) fn erase(data: &Data, index: u64) {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    let key = Key::numbered(LogId::new(1), Kind::Disclosures, index);
    assert!(store.get(&key).unwrap().is_some(), "the fault did not fire");
    let mut batch = Batch::new();
    batch.delete(key);
    store.commit(batch).unwrap();
}

/// The row of disclosures whose last record is at this index, in a database that nobody has open.
pub(super) fn row_of(data: &Data, last: u64) -> Option<Vec<u8>> {
    let store = RocksStore::open(&data.path().join("db"), &Settings::default()).unwrap();
    store.get(&Key::numbered(LogId::new(1), Kind::Disclosures, last)).unwrap()
}

pub(super) fn name_of(object: &str) -> StreamName<'static> {
    let name = |text: &str| Name::new(text.to_owned()).unwrap();
    StreamName::Entity { tenant: name("pb"), module: name("tl"), entity: name("license"), object: name(object) }
}

/// Has the log say that these digests of a record are erased, and where that record is.
pub(super) fn redact(data: &Data, (id, index): (&str, u64), digests: &[Digest], name: &StreamName<'static>) -> u64 {
    written(data, async |own, log| {
        let concerned = Concerned { id: id.parse().unwrap(), index: LeafIndex::new(index).unwrap() };
        let (object, values) = redaction(Name::new("pb").unwrap(), concerned, digests).unwrap();
        let secret = log.print_secret().unwrap().unwrap();
        let (text, _) = erased_name(&secret, &name_print(&secret, name));
        let context = Context { correlation: Some(Name::new(text).unwrap()), ..Context::default() };
        let (context, values) = (Some(context), Some(values));
        let content = Content { object, actor: None, subjects: None, context, values, attributes: None };
        own.write(log, OwnRecord::new(content)).await.unwrap().index.get()
    })
}

/// What says that something of a record is erased, and the id of that.
pub(super) fn redaction_of(running: &Running, id: &str) -> (Value, String) {
    let redaction = running.shown(&format!("/v1/records/{id}"))["redactions"][0].clone();
    let leaf = redaction["leaf"].as_str().unwrap().lines().nth(1).unwrap();
    let leaf: Value = serde_json::from_str(leaf).unwrap();
    let own = leaf["event"]["id"].as_str().unwrap().to_owned();
    (redaction, own)
}

/// The digests of all that a record discloses.
pub(super) fn digests(record: &Value) -> Vec<Digest> {
    record["disclosures"].as_array().unwrap().iter().map(|text| Digest::of(text.as_str().unwrap())).collect()
}

fn trust(running: &Running) -> Trust {
    let key: VerifierKey = running.data.main.vkey.parse().unwrap();
    Trust::Log(key.try_into().unwrap())
}

#[test]
fn what_a_redaction_record_names_is_erased_and_anything_else_is_missing() {
    let running = Running::start();
    let id = |object: &str| {
        running.brought(&record("pb", object, "create"))["records"][0]["id"].as_str().unwrap().to_owned()
    };
    let (good, erased, lost) = (id("1"), id("2"), id("3"));
    let all = digests(&running.shown(&format!("/v1/records/{erased}"))["record"]);
    let mut at = 0;
    let running = running.restarted_after(|data| {
        at = redact(data, (&erased, 1), &all, &name_of("2"));
        erase(data, 1);
        // An erasure that is told of is no damage, nor is what an index still has of it.
        data.assert_sound();
        erase(data, 2);
    });
    let check = |running: &Running| {
        let answer = running.shown(&format!("/v1/records/{erased}"));
        let view = &answer["record"]["view"];
        for part in ["object", "actor", "values", "stream_name"] {
            assert_eq!(view[part], serde_json::json!({"erased": at}), "{part}: {answer}");
        }
        assert_eq!(answer["redactions"].as_array().unwrap().len(), 1);
        // It still verifies offline, by nothing but what is in it.
        let saved = RecordAnswer::parse(answer.to_string().as_bytes()).unwrap();
        let (verified, _) = saved.verify(&trust(running)).unwrap();
        assert_eq!(verified.index().get(), 1);
        let without = RecordAnswer { redactions: Vec::new(), ..saved };
        assert!(without.verify(&trust(running)).is_err());
        // Who may see less sees that as well.
        assert_eq!(running.read(&format!("/v1/records/{erased}/receipt")).status, 200);
        assert_eq!(running.shown(&format!("/v1/records/{good}"))["record"]["view"]["object"]["id"], "1");
        let refused = running.read(&format!("/v1/records/{lost}"));
        assert_eq!((refused.status, &json_of(&refused)["type"]), (500, &"urn:cairn:problem:integrity".into()));
        // Who knows its name finds its history.
        let history = running.shown("/v1/streams/entity/pb/tl/license/2?proof=1");
        assert_eq!(history["records"][0]["view"]["object"]["erased"], at);
        assert_eq!(history["redactions"].as_array().unwrap().len(), 1);
        let state = running.shown("/v1/streams/entity/pb/tl/license/2/state");
        assert_eq!(state["stream"], history["stream"]);
    };
    check(&running);
    let stream = running.shown("/v1/streams/entity/pb/tl/license/2")["stream"].clone();
    // Also once nothing finds it by what it said.
    let rebuilt = running.restarted_after(|data| {
        let ended = cairnd(data.path(), &["index", "rebuild"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    });
    check(&rebuilt);
    // The stream goes on: no second one begins.
    let next = &rebuilt.brought(&record("pb", "2", "update"))["records"][0];
    assert_eq!((&next["stream"], &next["seq"]), (&stream, &1.into()));
    let next = &rebuilt.brought(&record("pb", "2", "update"))["records"][0];
    assert_eq!((&next["stream"], &next["seq"]), (&stream, &2.into()));
    let history = rebuilt.shown("/v1/streams/entity/pb/tl/license/2");
    assert_eq!(history["records"].as_array().unwrap().len(), 3);
    // The one that nothing excuses is damage, and nothing else is.
    let Running { data, server, _folder } = rebuilt;
    assert_eq!(server.stop().code, Some(0));
    let ended = cairnd(data.path(), &["fsck"]);
    assert!(ended.code == Some(1) && ended.stdout.contains("record 2 lacks"), "{ended:?}");
}

/// What a log says is erased is not shown by way of the next one either, though it is still there.
#[test]
fn what_is_erased_stays_so_for_who_reads_the_part_after_it() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    let id = running.brought(&record("pb", "1", "update"))["records"][0]["id"].as_str().unwrap().to_owned();
    let all = digests(&running.shown(&format!("/v1/records/{id}"))["record"]);
    let running = running.restarted_after(|data| {
        redact(data, (&id, 1), &all, &name_of("1"));
    });
    let continued = cairnd(running.data.path(), &["tenant", "create", "pb", "--continue"]);
    assert_eq!(continued.code, Some(0), "{continued:?}");
    running.brought(&record("pb", "1", "update"));
    let state = |query: &str| running.shown(&format!("/v1/streams/entity/pb/tl/license/1/state{query}"));
    let (before, after) = (state("?log=main"), state(""));
    assert_eq!(before["others"], serde_json::json!({"erased": 2}), "{before}");
    assert_eq!((&after["earlier"][0]["log"], &after["others"]), (&"localhost/logs/main".into(), &before["others"]));
}

/// Of a redaction record nothing is erased, whatever another one says.
#[test]
fn a_redaction_record_is_not_redacted() {
    let running = Running::start();
    let brought = running.brought(&record("pb", "1", "create"));
    let id = brought["records"][0]["id"].as_str().unwrap().to_owned();
    let all = digests(&running.shown(&format!("/v1/records/{id}"))["record"]);
    let mut at = 0;
    let running = running.restarted_after(|data| {
        at = redact(data, (&id, 0), &all, &name_of("1"));
        erase(data, 0);
    });
    let (redaction, own) = redaction_of(&running, &id);
    let running = running.restarted_after(|data| {
        redact(data, (&own, at), &digests(&redaction), &name_of("1"));
        erase(data, at);
    });
    // It excuses nothing any more: what it named is missing.
    let refused = running.read(&format!("/v1/records/{id}"));
    assert_eq!((refused.status, &json_of(&refused)["type"]), (500, &"urn:cairn:problem:integrity".into()));
}
