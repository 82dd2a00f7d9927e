//! Indexes that were made of damaged disclosures: what they may miss is said with every search, until it is mended.

use std::process::Command;

use cairn_tests::http::Request;
use cairn_tests::server::{Data, Ended, cairnd, program, run};
use serde_json::{Value, json};

use super::erased::{digests, erase, name_of, redact};
use super::integrity::edit;
use super::{Running, json_of, record};

const SEARCH: &str = "/v1/records?tenant=pb&module=tl";

fn command(data: &Data, name: &str, more: &[&str]) -> Ended {
    run(Command::new(program("cairnd")).arg(name).arg("--data").arg(data.path()).args(more))
}

fn indexes(page: &Value) -> Vec<u64> {
    page["records"].as_array().unwrap().iter().map(|one| one["integrity"]["index"].as_u64().unwrap()).collect()
}

#[test]
fn a_search_names_the_records_that_its_index_lacks_until_they_are_mended() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    let ids: Vec<String> = ["1", "2", "3", "4"]
        .map(|object| running.brought(&record("pb", object, "create"))["records"][0]["id"].as_str().unwrap().to_owned())
        .into();
    let all = digests(&running.shown(&format!("/v1/records/{}", ids[3]))["record"]);
    assert_eq!(running.shown(SEARCH).get("except"), None);
    let backups = running.data.path().with_extension("backups");
    let backups = backups.to_str().unwrap().to_owned();
    let running = running.restarted_after(|data| {
        // What was erased is missed by no search.
        redact(data, (&ids[3], 3), &all, &name_of("4"));
        erase(data, 3);
        assert_eq!(command(data, "backup", &["--to", &backups]).code, Some(0));
        // No row at all can be read of this one.
        edit(data, 1, |row| row.truncate(row.len() - 1));
        let ended = cairnd(data.path(), &["index", "rebuild"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("searches may miss 1 record, of which what they say is damaged: 1"), "{ended:?}");
        let ended = cairnd(data.path(), &["index", "rebuild", "--json"]);
        let line: Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
        assert_eq!(line["damaged"], json!([1]), "{ended:?}");
    });
    for _ in 0..2 {
        let page = running.shown(SEARCH);
        assert_eq!((indexes(&page), &page["except"], &page["complete_to"]), (vec![2, 0], &json!([1]), &json!(5)));
        let nothing = running.shown("/v1/records?tenant=pb&object=2");
        assert_eq!((indexes(&nothing), &nothing["except"]), (vec![], &json!([1])));
        let report = running.shown("/v1/reports?tenant=pb&module=tl&by=module");
        assert_eq!(
            (&report["records"], &report["except"], &report["complete"]),
            (&json!(2), &json!([1]), &json!(false))
        );
        // Its stream and its id find it all the same.
        assert_eq!(running.read(&format!("/v1/records/{}", ids[1])).status, 500);
    }
    let running = running.restarted_after(|data| {
        let ended = command(data, "repair", &["--from", &backups]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    });
    let page = running.shown(SEARCH);
    assert_eq!((indexes(&page), page.get("except")), (vec![2, 1, 0], None), "{page}");
    assert_eq!(running.shown("/v1/reports?tenant=pb&module=tl&by=module")["complete"], json!(true));
    running.server.stop();
    running.data.assert_sound();
}

#[test]
fn nobody_is_told_of_another_tenants_damaged_records() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    for (tenant, object, operation) in
        [("pb", "2", "create"), ("pb", "2", "update"), ("mh", "9", "create"), ("mh", "8", "create")]
    {
        running.brought(&record(tenant, object, operation));
    }
    let running = running.restarted_after(|data| {
        for bad in [1, 3] {
            edit(data, bad, |row| row.truncate(row.len() - 1));
        }
        let ended = cairnd(data.path(), &["index", "rebuild"]);
        assert!(ended.stdout.contains("of which what they say is damaged: 1 3\n"), "{ended:?}");
    });
    // Of the one that is alone in its stream nobody can tell whose it is.
    for (tenant, except) in [("pb", json!([1, 3])), ("mh", json!([3]))] {
        let page = running.shown(&format!("/v1/records?tenant={tenant}"));
        assert_eq!((&page["except"], &page["complete_to"]), (&except, &json!(4)), "{tenant}");
        let report = running.shown(&format!("/v1/reports?tenant={tenant}"));
        assert_eq!(report["except"], except, "{tenant}");
    }
}

/// Of several logs of a tenant an index alone says nothing.
#[test]
fn the_search_of_digit_says_in_which_log_is_what_it_may_miss() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    ["1", "2", "3"].into_iter().for_each(|object| drop(running.brought(&record("pb", object, "create"))));
    let made = cairnd(running.data.path(), &["tenant", "create", "pb", "--log", "own", "--continue"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    ["1", "2"].into_iter().for_each(|object| drop(running.brought(&record("pb", object, "update"))));
    let running = running.restarted_after(|data| {
        edit(data, 1, |row| row.truncate(row.len() - 1));
        assert_eq!(cairnd(data.path(), &["index", "rebuild"]).code, Some(0));
    });
    for (object, logs) in [("1", &["own", "main"][..]), ("2", &["own"])] {
        let search = format!("/audit-service/log/v1/_search?tenantId=pb&objectId={object}");
        let answer = running.ask_with(&running.data.auditor, Request::post(search, r#"{"RequestInfo":{}}"#));
        let told = json_of(&answer);
        assert_eq!((answer.status, &told["except"]), (200, &json!([{"log": "localhost/logs/main", "index": 1}])));
        // Those that link the two are of no table.
        let rows = told["AuditLogs"].as_array().unwrap().iter().filter(|row| !row["userUUID"].is_null());
        let found: Vec<&str> =
            rows.map(|row| row["integrityHash"].as_str().unwrap().split("::").next().unwrap()).collect();
        assert_eq!(found, logs.iter().map(|log| format!("localhost/logs/{log}")).collect::<Vec<_>>(), "{told}");
    }
}
