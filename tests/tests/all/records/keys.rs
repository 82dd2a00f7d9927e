//! Answers about records of a log whose keys change: each names the key that signs its head, and verifies under that alone.

use cairn_tests::http::Request;
use cairn_tests::server::cairnd;
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::policy::Trust;
use cairn_tree::wire::v1::RecordAnswer;
use serde_json::{Value, json};

use super::{Running, json_of, record};

#[test]
fn an_answer_names_the_key_that_signs_its_head_also_after_the_first_was_retired() {
    let running = Running::start();
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let told = |arguments: &[&str]| {
        let ended = cairnd(running.data.path(), arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        serde_json::from_str::<Value>(&ended.stdout).unwrap()
    };
    let verified_under = |vkey: &str| {
        let answer = running.read(&format!("/v1/records/{id}"));
        let named = json_of(&answer)["record"]["integrity"]["key_id"].as_str().unwrap().to_owned();
        assert_eq!(named, vkey.split('+').nth(1).unwrap());
        let trust = Trust::Log(LogKeys::new(vec![vkey.parse().unwrap()]).unwrap());
        RecordAnswer::parse(&answer.body).unwrap().verify(&trust).unwrap();
        let search = json!({"RequestInfo": {}}).to_string();
        let search = Request::post("/audit-service/log/v1/_search?objectId=1&tenantId=pb", search);
        let rows = json_of(&running.ask_with(&running.data.auditor, search));
        assert_eq!(rows["AuditLogs"][0]["integrityHash"].as_str().unwrap().split("::").nth(1), Some(&*named));
    };
    verified_under(&running.data.main.vkey);
    told(&["key", "rotate", "main", "--json"]);
    let keys = told(&["key", "rotate", "main", "--retire", "--json"]);
    let active = keys["keys"].as_array().unwrap().iter().find(|key| key["status"] == "active").unwrap();
    let vkey = active["vkey"].as_str().unwrap();
    assert_ne!(vkey, running.data.main.vkey);
    verified_under(vkey);
    running.server.stop();
    running.data.assert_sound();
}
