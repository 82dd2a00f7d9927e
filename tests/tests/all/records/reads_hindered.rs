//! Reads of records where putting them on record is hard: after crashes, by many readers beside each other and by one who
//! reads too fast, on a disk that is nearly full and in a halted log. Not here: what of a read is on record (`reads`).

use std::process::Command;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, PATIENCE, cairnd, program, run};
use serde_json::json;

use super::reads::{bring, digit, new, set, trail};
use super::{Running, json_of};

/// Whoever may read can't fill a log by reading.
#[test]
fn a_token_reads_no_faster_than_its_reads_may_be_put_on_record() {
    let running = Running::start_with(|data| {
        data.set_limit("audited_reads_in_a_row", 4);
        data.set_limit("audited_reads_per_second", 1);
    });
    let id = bring(&running, "pb", "1");
    set(&running.data, "pb", "metadata");
    let listed = "/v1/records?tenant=pb";
    let targets = [listed.to_owned(), format!("/v1/records/{id}?tenant=pb")];
    let other = running.new_token(&["--rights", "read", "--tenants", "pb"]);
    for target in targets.iter().cycle().take(4) {
        assert_eq!(running.ask_with(&other, Request::get(target)).status, 200, "as many in a row");
    }
    // One read that goes on record sixteen times; what it takes beyond those in a row is made up for first, however fast the
    // machine is.
    (1..=15).for_each(|number| set(&running.data, &format!("t{number:02}"), "metadata"));
    let absent = "/v1/records/01939f5a-7c00-7a3b-8c4d-5e6f708192a3";
    let before = running.size();
    assert_eq!((running.read(absent).status, running.size()), (404, before + 16));
    for target in targets.iter().map(String::as_str).chain([absent]) {
        let refused = running.read(target);
        let problem = json_of(&refused);
        assert_eq!((refused.status, &problem["type"]), (429, &json!("urn:cairn:problem:rate-limited")), "{problem}");
        let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=16).contains(&after), "{after}");
        assert!(!refused.text().contains("license"), "{problem}");
    }
    // As DIGIT's service tells everything.
    let search = digit("_search?objectId=1&tenantId=pb", &json!({"RequestInfo": {}}));
    let answer = running.ask_with(&running.data.auditor, search);
    assert_eq!((answer.status, &json_of(&answer)["Errors"][0]["code"]), (400, &json!("EG_AUDIT_LOGS_SEARCH_ERR")));
    assert_eq!(running.size(), before + 16, "what is refused is not on record, for no tenant");
    // Others are answered, and so is whoever reads what is not on record.
    let third = running.new_token(&["--rights", "read", "--tenants", "pb"]);
    assert_eq!(running.ask_with(&third, Request::get(listed)).status, 200);
    (0..50).for_each(|_| assert_eq!(running.read("/v1/records?tenant=ka").status, 200));
    let metrics = running.ask(Request::get("/metrics"));
    let count = |outcome: &str| {
        let name = format!("cairn_audited_reads_total{{reads=\"metadata\",outcome=\"{outcome}\"}}");
        metrics.figure(&name).unwrap()
    };
    let counts = (count("written"), count("failed"), count("refused"));
    assert_eq!(counts, (f64::from(4 + 16 + 1), 0.0, 4.0), "{}", metrics.text());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = running.read(listed);
        if answer.status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "its turns do not come back: {} {}", answer.status, answer.text());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_read_that_was_answered_is_on_record_after_any_crash() {
    let mut running = Running::start();
    bring(&running, "pb", "1");
    set(&running.data, "pb", "full");
    for count in 1..4 {
        running.shown("/v1/records?tenant=pb&module=tl");
        let Running { data, server, _folder } = running;
        server.kill();
        data.assert_sound();
        let server = data.serve();
        running = Running { data, server, _folder };
        let full = trail(&running, "pb").iter().filter(|read| new(read, "/reads") == "full").count();
        assert_eq!(full, count);
    }
}

/// Each reader makes the log grow under the others.
#[test]
fn readers_beside_each_other_are_all_answered_and_all_on_record() {
    const READERS: u64 = 8;
    const EACH: u64 = 25;
    let running = Running::start();
    let id = bring(&running, "pb", "1");
    set(&running.data, "pb", "full");
    let before = running.size();
    let targets = [
        "/v1/records?tenant=pb&module=tl".to_owned(),
        "/v1/records?tenant=pb&actor=nobody".to_owned(),
        format!("/v1/records/{id}"),
        "/v1/streams/entity/pb/tl/license/1?proof=1".to_owned(),
        "/v1/streams/entity/pb/tl/license/1/state".to_owned(),
    ];
    let (address, auditor) = (running.server.address(), format!("Bearer {}", running.data.auditor));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut connection = Connection::open(address).unwrap();
                for (target, _) in targets.iter().cycle().zip(0..EACH) {
                    let request = Request::get(target).with("authorization", auditor.as_str());
                    let answer = connection.ask(&request).unwrap();
                    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                }
            });
        }
    });
    assert_eq!(running.size(), before + READERS * EACH);
    running.server.stop();
    running.data.assert_sound();
}

/// It tells why, in the words of its own kind, and nothing of any record.
fn refused(answer: &Response, status: u16, why: &str) {
    let problem = json_of(answer);
    assert_eq!((answer.status, &problem["type"]), (status, &json!("urn:cairn:problem:read-unrecorded")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    assert!(answer.header("retry-after").is_some() && !answer.text().contains("license"), "{problem}");
}

#[test]
fn a_disk_that_is_nearly_full_refuses_reads_that_are_to_be_on_record() {
    let running = Running::start();
    let id = bring(&running, "pb", "1");
    set(&running.data, "pb", "metadata");
    let running = running.restarted_after(|data| data.set_limit("disk_reserve_bytes", 1 << 50));
    let targets =
        ["/v1/records?tenant=pb".to_owned(), format!("/v1/records/{id}"), format!("/v1/records/{id}/receipt")];
    let streams = ["", "/state", "/diff"].map(|asked| format!("/v1/streams/entity/pb/tl/license/1{asked}"));
    for target in targets.into_iter().chain(streams) {
        refused(&running.read(&target), 507, "bytes left");
    }
    let search = digit("_search?objectId=1&tenantId=pb", &json!({"RequestInfo": {"apiId": "a"}}));
    let answer = running.ask_with(&running.data.auditor, search);
    let body = json_of(&answer);
    // As that service tells everything.
    assert_eq!((answer.status, &body["Errors"][0]["code"]), (400, &json!("EG_AUDIT_LOGS_SEARCH_ERR")), "{body}");
    assert_eq!((&body["ResponseInfo"]["apiId"], body.get("AuditLogs")), (&json!("a"), None));
    assert!(body["Errors"][0]["message"].as_str().unwrap().contains("bytes left"), "{body}");
    // Whoever wants no record of reads is answered, and so is he who reads what has no disclosures.
    assert_eq!(running.read("/v1/records?tenant=ka").status, 200);
    assert_eq!(running.ask(Request::get("/logs/main/entries/0")).status, 200);
}

#[test]
fn a_halted_log_refuses_reads_that_are_to_be_on_record() {
    let running = Running::start();
    bring(&running, "pb", "1");
    bring(&running, "ka", "1");
    set(&running.data, "pb", "full");
    let folder = running.data.path().parent().unwrap();
    let (backups, restored) = (folder.join("backups"), Data::at(folder.join("restored"), &running.data));
    let ended = cairnd(running.data.path(), &["backup", "--to", backups.to_str().unwrap(), "--with-keys"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // It lacks what may have been signed since.
    let mut restore = Command::new(program("cairnd"));
    restore.args(["restore", "--from"]).arg(&backups).arg("--data").arg(restored.path());
    assert_eq!(run(&mut restore).code, Some(0));
    let Running { server, _folder, .. } = running;
    server.stop();
    let server = restored.serve();
    let running = Running { data: restored, server, _folder };
    refused(&running.read("/v1/records?tenant=pb"), 503, "the log is halted");
    assert_eq!(running.shown("/v1/records?tenant=ka")["records"].as_array().unwrap().len(), 1);
    // A successor takes the trail, as it takes all records from then on.
    let sealed = cairnd(running.data.path(), &["log", "seal", "main", "--successor", "next"]);
    assert_eq!(sealed.code, Some(0), "{sealed:?}");
    assert_eq!(running.read("/v1/records?tenant=pb").status, 200);
    assert_eq!(trail(&running, "pb").len(), 1);
}
