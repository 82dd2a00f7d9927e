//! What the server writes about itself: read back like any record, told from producers' by its writer, and forged by
//! nobody.

use cairn_tests::http::Request;
use cairn_tests::server::Data;
use cairn_tree::record::class::Class;
use cairn_tree::record::json::Json;
use cairn_tree::record::text::Name;
use cairnd::records::{OwnError, OwnRecord, own_object, own_values};
use serde_json::{Value, json};

use super::{Running, json_of, record, written};

/// That something about `pb` was set.
fn setting(object: &str) -> OwnRecord {
    let object = own_object(Name::new("pb").unwrap(), "setting", object.to_owned(), "cairn.set").unwrap();
    let values = own_values(Class::Public, [("reads", Json::string("full")), ("times", Json::parse(b"7").unwrap())]);
    OwnRecord::about(object, Some(values.unwrap()))
}

#[test]
fn a_record_of_the_servers_own_is_read_back_as_any_other() {
    let running = Running::start();
    let by = |running: &Running, target: &str| {
        let shown = running.shown(target);
        let records = shown["records"].as_array().unwrap().clone();
        let leaf = |record: &Value| {
            let leaf: &str = record["leaf"].as_str().unwrap().split_once('\n').unwrap().1;
            let leaf = leaf.split('\n').next().unwrap();
            serde_json::from_str::<Value>(leaf).unwrap()["server"]["by"].as_str().unwrap().to_owned()
        };
        (records.iter().map(leaf).collect::<Vec<_>>(), records)
    };
    running.brought(&record("pb", "1", "create"));
    let running = running.restarted_after(|data| {
        let first = written(data, async |own, log| own.write(log, setting("reads")).await.unwrap());
        assert_eq!((first.index.get(), first.seq.get()), (1, 0));
        let both = vec![setting("reads"), setting("reads")];
        let both = written(data, async |own, log| own.write_all(log, both).await.unwrap());
        assert_eq!(both.iter().map(|one| one.seq.get()).collect::<Vec<_>>(), [1, 2]);
    });
    let (server, records) = by(&running, "/v1/records?tenant=pb&module=cairn&operation=cairn.set");
    assert_eq!((records.len(), server[0] == server[1], server[0] == server[2]), (3, true, true));
    let values = &records[0]["view"]["values"]["whole"];
    assert_eq!((&values["/reads"]["new"], &values["/times"]["new"]), (&json!("full"), &json!(7)));
    assert_eq!(running.shown("/v1/streams/entity/pb/cairn/setting/reads")["records"].as_array().unwrap().len(), 3);
    let (producer, _) = by(&running, "/v1/records?tenant=pb&module=tl");
    assert_ne!(producer[0], server[0], "the server is no token");
    running.server.stop();
    running.data.assert_sound();
}

#[test]
fn what_is_written_once_is_there_once_and_what_is_not_its_own_never() {
    let Running { data, server, _folder } = Running::start();
    server.stop();
    let data = &data;
    let once = || setting("reads").once(&["settings", "7"]);
    assert_eq!(written_after(data, once()), Ok(0));
    assert_eq!(written_after(data, once()), Err(OwnError::There(cairn_tree::size::LeafIndex::ZERO)));
    assert_eq!(written_after(data, setting("reads").once(&["settings", "8"])), Ok(1));
    let mut object = own_object(Name::new("pb").unwrap(), "license", "1".to_owned(), "create").unwrap();
    object.module = Name::new("tl").unwrap();
    assert_eq!(written_after(data, OwnRecord::about(object, None)), Err(OwnError::NotOwn));
    let none = written(data, async |own, log| own.write_all(log, Vec::new()).await);
    assert_eq!(none, Err(OwnError::Count(0)));
}

fn written_after(data: &Data, record: OwnRecord) -> Result<u64, OwnError> {
    written(data, async |own, log| own.write(log, record).await.map(|sequenced| sequenced.index.get()))
}

#[test]
fn no_form_of_input_takes_what_is_the_logs_own() {
    let running = Running::start();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut record = record("pb", "1", "create");
        change(&mut record);
        record
    };
    let native = [
        with(&|record| record["object"]["module"] = json!("cairn")),
        with(&|record| record["object"]["tenant"] = json!("cairn")),
        with(&|record| record["object"]["operation"] = json!("cairn.read")),
        with(&|record| record["object"]["operation"] = json!("security.incident")),
        with(&|record| record["object"]["operation"] = json!("record.redaction")),
        with(&|record| record["context"] = json!({"stream": "cairn.reads.2026-01-01"})),
        with(&|record| record["attributes"] = json!({"cairn.reads": 1})),
    ];
    for record in &native {
        let lines = Request::post("/v1/records", format!("{record}\n")).with("content-type", "application/x-ndjson");
        for answer in [running.bring(record), running.ask_with(&running.data.token, lines)] {
            assert_eq!(answer.status, 422, "{record}: {}", answer.text());
            assert!(answer.text().contains("the log's own"), "{record}: {}", answer.text());
            assert!(json_of(&answer)["pointer"].as_str().is_some_and(|pointer| pointer.len() > 1), "{record}");
        }
        let event = json!({
            "specversion": "1.0", "id": "1", "source": "/here", "type": "record", "datacontenttype": "application/json",
            "data": record,
        });
        let event =
            Request::post("/v1/records", event.to_string()).with("content-type", "application/cloudevents+json");
        let answer = running.ask_with(&running.data.token, event);
        assert_eq!(answer.status, 422, "{record}: {}", answer.text());
    }
    for operation in ["cairn.read", "security.incident", "record.redaction"] {
        // As extensions of the event, which say what the object is.
        let event = json!({
            "specversion": "1.0", "id": "1", "source": "/here", "type": "record", "subject": "1", "tenant": "pb",
            "module": "tl", "operation": operation, "data": {"fee": 1},
        });
        let request = Request::post("/v1/records", event.to_string());
        let answer =
            running.ask_with(&running.data.token, request.with("content-type", "application/cloudevents+json"));
        assert!(answer.status == 422 && answer.text().contains("the log's own"), "{operation}: {}", answer.text());
    }
    let row = [
        ("module", "cairn"),
        ("tenantId", "cairn"),
        ("operationType", "cairn.read"),
        ("operationType", "security.incident"),
        ("operationType", "record.redaction"),
    ];
    for (name, value) in row {
        let mut row = json!({
            "userUUID": "u-1", "module": "tl", "tenantId": "pb", "changeDate": 7, "entityName": "e", "objectId": "1",
            "keyValueMap": {"a": 1}, "operationType": "CREATE",
        });
        row[name] = json!(value);
        let body = json!({"RequestInfo": {"authToken": running.data.token}, "AuditLogs": [row]});
        let answer = running.ask(Request::post("/audit-service/log/v1/_create", body.to_string()));
        assert_eq!((answer.status, &json_of(&answer)["Errors"][0]["code"]), (400, &json!("EG_AUDIT_LOGS_CREATE_ERR")));
    }
    let leaf = Request::post("/logs/main/add", "cairn.record/1\n{}");
    assert_eq!(running.ask_with(&running.data.token, leaf).status, 422);
    assert_eq!(running.size(), 0);
}
