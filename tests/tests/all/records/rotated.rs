//! A log of records that is sealed and goes on in another: what was brought before is still to be read.

use cairn_tests::server::cairnd;

use super::{Running, json_of, record};

#[test]
fn records_of_a_sealed_log_are_read_from_it_and_new_ones_from_its_successor() {
    let running = Running::start();
    let id = |brought: serde_json::Value| brought["records"][0]["id"].as_str().unwrap().to_owned();
    let first = id(running.brought(&record("pb", "1", "create")));
    for command in [&["log", "create", "after"][..], &["log", "seal", "main", "--successor", "after"]] {
        let ended = cairnd(running.data.path(), command);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let second = id(running.brought(&record("pb", "2", "create")));
    // By their ids both are found, whether the tenant is named or not.
    for (id, log) in [(&first, "/main"), (&second, "/after")] {
        for target in [format!("/v1/records/{id}"), format!("/v1/records/{id}?tenant=pb")] {
            let shown = running.shown(&target);
            assert!(shown["record"]["integrity"]["log"].as_str().unwrap().ends_with(log), "{shown}");
        }
    }
    // Each log answers for its own part, and says which it is.
    let found = |query: &str| {
        let page = running.shown(&format!("/v1/records?tenant=pb{query}"));
        let objects = page["records"].as_array().unwrap().iter();
        objects.map(|record| record["view"]["object"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (found(""), found("&log=main"), found("&log=after")),
        (vec!["2".into()], vec!["1".into()], vec!["2".into()])
    );
    assert_eq!(running.shown("/v1/streams/entity/pb/tl/license/1?log=main")["records"].as_array().unwrap().len(), 1);
    let running = running.restarted();
    assert_eq!(running.read("/v1/streams/entity/pb/tl/license/1").status, 404);
    assert_eq!(
        running.shown("/v1/streams/entity/pb/tl/license/1/state?log=main")["states"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(json_of(&running.read("/v1/records?tenant=pb&log=other"))["status"], 404);
}

/// Whoever rotates logs every day does it for years.
#[test]
fn logs_are_sealed_and_continued_as_often_as_one_likes() {
    let running = Running::start();
    let first = running.brought(&record("pb", "1", "create"));
    let mut log = "main".to_owned();
    for number in 1..=70 {
        let next = format!("m{number}");
        let ended = cairnd(running.data.path(), &["log", "seal", &log, "--successor", &next]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        log = next;
    }
    let last = running.brought(&record("pb", "2", "create"));
    let running = running.restarted();
    for (brought, log) in [(first, "/main"), (last, "/m70")] {
        let id = brought["records"][0]["id"].as_str().unwrap();
        for target in [format!("/v1/records/{id}"), format!("/v1/records/{id}?tenant=pb")] {
            let shown = running.shown(&target);
            assert!(shown["record"]["integrity"]["log"].as_str().unwrap().ends_with(log), "{shown}");
        }
    }
    running.brought(&record("pb", "3", "create"));
}
