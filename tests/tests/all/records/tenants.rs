//! Tenants with logs of their own, and those that share the default one.

use cairn_tests::http::Request;
use cairn_tests::server::cairnd;
use serde_json::{Value, json};

use super::{Running, json_of, post, record, telling};

fn create(running: &Running, arguments: &[&str]) -> Value {
    let ended = cairnd(running.data.path(), &[&["tenant", "create", "--json"], arguments].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_tenant_gets_its_own_log_and_tokens_and_the_default_log_has_no_more_of_it() {
    let running = Running::start();
    running.brought(&record("ka", "1", "create"));
    let made = create(&running, &["pb"]);
    assert_eq!((&made["tenant"], &made["log"]["name"]), (&json!("pb"), &json!("pb")));
    let (producer, auditor) = (made["producer_token"].as_str().unwrap(), made["auditor_token"].as_str().unwrap());
    let answer = running.ask_with(producer, post(&record("pb", "1", "create")));
    assert_eq!((answer.status, &json_of(&answer)["records"][0]["index"]), (200, &json!(0)), "{}", answer.text());
    // The token of `init` is good for all tenants still, and their records go where they belong.
    assert_eq!(running.brought(&record("pb", "1", "update"))["records"][0]["seq"], 1);
    // With the record of the creation.
    assert_eq!(running.size(), 2);
    let running = running.restarted();
    let found = running.ask_with(auditor, Request::get("/v1/records?object=1"));
    assert_eq!(json_of(&found)["records"].as_array().unwrap().len(), 2, "{}", found.text());
    let origin = json_of(&found)["records"][0]["integrity"]["log"].clone();
    assert_eq!(origin, made["log"]["origin"]);
    let id = json_of(&found)["records"][0]["view"]["id"].as_str().unwrap().to_owned();
    assert_eq!(running.read(&format!("/v1/records/{id}")).status, 200, "found in whichever log it is");
    let mixed = running.bring(&json!([record("ka", "2", "create"), record("pb", "2", "create")]));
    assert_eq!((mixed.status, &json_of(&mixed)["pointer"]), (422, &json!("/1/object/tenant")));
    let foreign = running.ask_with(producer, Request::get("/v1/records?tenant=ka"));
    let absent = running.ask_with(producer, Request::get("/v1/records?tenant=nowhere"));
    assert_eq!((foreign.status, telling(&foreign)), (404, telling(&absent)));
    let listed = cairnd(running.data.path(), &["tenant", "list"]).stdout;
    assert_eq!(listed, "pb  log pb  reads off\n");
    running.server.stop();
    running.data.assert_sound();
}

#[test]
fn a_tenant_is_created_once_and_before_its_first_record() {
    let running = Running::start();
    running.brought(&record("ka", "1", "create"));
    create(&running, &["Größe 7", "--log", "seven"]);
    for (arguments, words) in [
        (&["ka"][..], "holds records of \"ka\""),
        (&["Größe 7", "--log", "eight"], "has a log already: seven"),
        (&["other", "--log", "main"], "there is a log \"main\" already"),
        (&["Größe 8"], "choose another with --log"),
        (&["a,b"], "comma"),
        (&[""], "must not be empty"),
    ] {
        let ended = cairnd(running.data.path(), &[&["tenant", "create"], arguments].concat());
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
    assert_eq!(running.bring(&record("Größe 7", "1", "create")).status, 200);
    // With the record of the creation.
    assert_eq!(running.size(), 2);
}

/// Without the file nobody would find the tenant's records, and its streams would begin again in the default log.
#[test]
fn nothing_is_served_that_nobody_knows_whose_it_is() {
    let running = Running::start();
    create(&running, &["pb"]);
    let id = running.brought(&record("pb", "1", "create"))["records"][0]["id"].as_str().unwrap().to_owned();
    let mut taken = Vec::new();
    let running = running.restarted_after(|data| {
        let file = data.path().join("tenants.json");
        taken = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let ended = data.try_serve().err().unwrap();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("log pb has records, and "), "{ended:?}");
        let asked = cairnd(data.path(), &["tenant", "create", "ka"]);
        assert_eq!(asked.code, Some(1), "{asked:?}");
        std::fs::write(&file, &taken).unwrap();
    });
    assert_eq!(running.read(&format!("/v1/records/{id}")).status, 200);
}
