//! Reports: counts and listings, in both forms, as far as their reader may see, and known to be whole or not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::PATIENCE;
use serde_json::{Value, json};

use super::{Running, json_of, record, telling};

fn by_actor(object: &str, module: &str, actor: &str, operation: &str) -> Value {
    let mut record = record("pb", object, operation);
    record["object"]["module"] = json!(module);
    record["actor"] = json!({"id": actor});
    record
}

/// Five records of two modules and two actors, and one of nobody.
fn filled() -> Running {
    let running = Running::start();
    let mut nobodys = record("pb", "4", "create");
    nobodys.as_object_mut().unwrap().remove("actor");
    running.brought(&json!([
        by_actor("1", "tl", "ann", "create"),
        by_actor("1", "tl", "ann", "update"),
        by_actor("2", "tl", "bob", "create"),
        by_actor("3", "pt", "ann", "create"),
        by_actor("3", "pt", "ann", "delete"),
        nobodys,
        record("ka", "1", "create"),
    ]));
    running
}

fn counts(report: &Value, of: &[&str]) -> BTreeMap<String, u64> {
    let group = |group: &Value| {
        let said: Vec<String> = of.iter().map(|name| group[name].to_string()).collect();
        (said.join(" "), group["records"].as_u64().unwrap())
    };
    report["groups"].as_array().unwrap().iter().map(group).collect()
}

fn expected<const N: usize>(groups: [(&str, u64); N]) -> BTreeMap<String, u64> {
    groups.into_iter().map(|(said, records)| (said.to_owned(), records)).collect()
}

#[test]
fn records_are_counted_by_what_is_asked_for() {
    let running = filled();
    let report = running.shown("/v1/reports?tenant=pb&by=module,actor");
    let groups = expected([("\"tl\" \"ann\"", 2), ("\"tl\" \"bob\"", 1), ("\"pt\" \"ann\"", 2), ("\"tl\" null", 1)]);
    assert_eq!(counts(&report, &["module", "actor"]), groups);
    assert_eq!((&report["records"], &report["complete"]), (&json!(6), &json!(true)));
    assert_eq!((&report["complete_to"], &report["by"]), (&json!(7), &json!(["module", "actor"])));
    assert!(report["checkpoint"].as_str().unwrap().contains("\n7\n"));
    let by_operation = running.shown("/v1/reports?tenant=pb&by=operation&module=pt");
    assert_eq!(counts(&by_operation, &["operation"]), expected([("\"create\"", 1), ("\"delete\"", 1)]));
    let usual = running.shown("/v1/reports?tenant=pb");
    assert_eq!(usual["by"], json!(["module", "actor", "day"]));
    let day = usual["groups"][0]["day"].as_str().unwrap().to_owned();
    assert_eq!(usual["groups"][0]["oldest"].as_str().unwrap()[..10], day);
    let none = running.shown("/v1/reports?tenant=pb&until=2020-01-01T00:00:00Z");
    assert_eq!((&none["groups"], &none["records"], &none["complete"]), (&json!([]), &json!(0), &json!(true)));
    let all = running.shown("/v1/reports?tenant=pb&by=tenant&from=2020-01-01T00:00:00Z&until=2199-01-01T00:00:00Z");
    assert_eq!(counts(&all, &["tenant"]), expected([("\"pb\"", 6)]));
}

#[test]
fn records_are_listed_newest_first_without_values() {
    let running = filled();
    let report = running.shown("/v1/reports?tenant=pb&show=records&actor=ann");
    let listed = report["listed"].as_array().unwrap();
    let indexes: Vec<u64> = listed.iter().map(|record| record["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [4, 3, 1, 0]);
    assert_eq!((&listed[0]["object"], &listed[0]["operation"]), (&json!("3"), &json!("delete")));
    assert!(!report.to_string().contains("Ada"));
    let id = listed[0]["id"].as_str().unwrap();
    let shown = running.shown(&format!("/v1/records/{id}"));
    assert_eq!(shown["record"]["integrity"]["leaf_hash"], listed[0]["leaf_hash"]);
}

#[test]
fn a_spreadsheet_gets_texts_and_never_formulas() {
    let running = Running::start();
    let evil = "=cmd|' /C calc'!A0";
    running.brought(&json!([by_actor("1", "tl", evil, "create"), by_actor("2", "a,\"b\"", "-1", "create")]));
    let ask = |query: &str, accept: &'static str| {
        let request = Request::get(format!("/v1/reports?tenant=pb&{query}")).with("accept", accept);
        running.ask_with(&running.data.auditor, request)
    };
    let answer = ask("by=actor,module", "text/csv");
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let text = answer.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], "row,actor,actor_is,module,records,oldest,newest,total,complete_to,as_of,note");
    assert!(lines[1].starts_with("group,\"'-1\",shown,\"a,\"\"b\"\"\",1,20"), "{text}");
    assert!(lines[2].starts_with("group,\"'=cmd|' /C calc'!A0\",shown,\"tl\",1,20"), "{text}");
    assert!(lines[3].starts_with("complete,,,,,,,2,2,20"), "{text}");
    assert_eq!(lines[4..], [""]);
    let columns = lines[0].matches(',').count();
    for line in [lines[2], lines[3]] {
        assert_eq!(line.matches(',').count(), columns, "{line}");
    }
    let listed = ask("show=records&format=csv", "application/json").text();
    assert!(listed.starts_with("row,index,id,seq,server_time,time,tenant,"), "{listed}");
    assert!(listed.contains(",\"'=cmd|' /C calc'!A0\",shown,") && listed.contains("\r\ncomplete,"), "{listed}");
    assert_eq!(json_of(&ask("format=json", "text/csv"))["complete"], true);
    assert_eq!(ask("", "image/png").status, 406);
}

#[test]
fn who_may_not_read_gets_no_report() {
    let running = filled();
    let foreign = running.new_token(&["--rights", "read", "--tenants", "ka,ka.*"]);
    let ask = |token: &str, target: &str| telling(&running.ask_with(token, Request::get(target)));
    let absent = ask(&foreign, "/v1/reports?tenant=nowhere");
    assert_eq!((absent.0, &absent), (404, &ask(&foreign, "/v1/reports?tenant=pb")));
    assert_eq!(ask(&foreign, "/v1/reports").0, 400, "say whose records");
    let blind = running.new_token(&["--rights", "append,disclose:secret"]);
    assert_eq!(ask(&blind, "/v1/reports?tenant=pb").0, 403);
    assert_eq!(running.ask(Request::get("/v1/reports?tenant=pb")).status, 401);
    for (query, field) in [
        ("by=colour", "by"),
        ("by=actor,actor", "by"),
        ("by=", "by"),
        ("show=everything", "show"),
        ("show=records&by=day", "by"),
        ("format=xlsx", "format"),
        ("from=yesterday", "from"),
        ("cursor=x", "query"),
    ] {
        let answer = running.read(&format!("/v1/reports?tenant=pb&{query}"));
        assert_eq!((answer.status, &json_of(&answer)["field"]), (400, &json!(field)), "{query}");
    }
}

/// A report that is longer than what is written before its reader takes anything; each token makes one at a time.
fn long(limits: &[(&str, u64)]) -> Running {
    let running = Running::start_with(|data| {
        data.set_limit("reports", 2);
        limits.iter().for_each(|(name, value)| data.set_limit(name, *value));
    });
    let name = "n".repeat(250);
    for batch in 0..40 {
        let record = |number| by_actor(&format!("{batch}-{number}"), &name, &name, &name[..64]);
        running.brought(&(0..500).map(record).collect());
    }
    running
}

/// Asks until the place of the report before is free.
fn once_free(running: &Running) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = running.read("/v1/reports?tenant=pb&until=2020-01-01T00:00:00Z");
        if answer.status != 429 {
            break;
        }
        assert!(Instant::now() < deadline, "the place stays taken: {}", answer.text());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_long_report_is_streamed_and_one_that_is_cut_is_known_to_be() {
    let running = long(&[("write_stall_seconds", 1)]);
    let request = || {
        let request = Request::get("/v1/reports?tenant=pb&show=records&format=csv");
        request.with("authorization", format!("Bearer {}", running.data.auditor))
    };
    let whole = running.ask(request());
    assert_eq!((whole.status, whole.header("transfer-encoding")), (200, Some("chunked")));
    let text = whole.text();
    assert_eq!(text.lines().filter(|line| line.starts_with("record,")).count(), 20_000);
    assert!(text.lines().last().unwrap().starts_with("complete,"), "the last row");
    once_free(&running);
    // Whoever takes nothing is cut off, and what came has neither the last row nor the last chunk.
    let mut slow = Connection::open(running.server.address()).unwrap();
    assert_eq!(slow.ask_stream(&request()).unwrap(), 200);
    let busy = running.read("/v1/reports?tenant=pb");
    assert_eq!((busy.status, busy.header("retry-after")), (429, Some("1")));
    once_free(&running);
    let (mut rows, mut last) = (0, String::new());
    while let Ok(Some(line)) = slow.next_line() {
        rows += 1;
        last = line;
    }
    assert!(rows < 20_000 && !last.starts_with("complete,"), "{rows}: {last}");
    // Whoever goes away stops the work.
    let mut gone = Connection::open(running.server.address()).unwrap();
    assert_eq!(gone.ask_stream(&request()).unwrap(), 200);
    drop(gone);
    once_free(&running);
}

/// What a reader leaves unread of a report is memory as that of any other answer.
#[test]
fn pieces_of_a_report_that_nobody_reads_are_bounded_with_all_answers() {
    let running = long(&[("write_stall_seconds", 5), ("answers_in_flight_bytes", 1 << 20)]);
    let page = || running.read("/v1/records?tenant=pb&limit=1");
    assert_eq!(page().status, 200);
    let mut slow = Connection::open(running.server.address()).unwrap();
    let request = Request::get("/v1/reports?tenant=pb&show=records&format=csv");
    let request = request.with("authorization", format!("Bearer {}", running.data.auditor));
    assert_eq!(slow.ask_stream(&request).unwrap(), 200);
    let until = |status: u16| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = page();
            if answer.status == status {
                return answer;
            }
            assert!(Instant::now() < deadline, "{status} does not come: {}", answer.text());
        }
    };
    assert!(until(503).text().contains("the answers in memory have reached their bound"));
    // The reader is cut off, and with that all of it is free.
    until(200);
    drop(slow);
}

/// More groups than one report has.
#[test]
fn groups_are_bounded_and_the_bound_is_told() {
    let running = Running::start();
    for batch in 0..11 {
        let record = |number: u32| by_actor("1", "tl", &format!("{batch}-{number}"), "note");
        running.brought(&(0..1_000).map(record).collect());
    }
    let answer = running.read("/v1/reports?tenant=pb&by=actor");
    let problem = json_of(&answer);
    let bound = match answer.status {
        400 => problem["bound"].clone(),
        // It took so long that the answer had begun.
        status => {
            assert_eq!((status, &problem["complete"]), (200, &json!(false)));
            problem["problem"]["bound"].clone()
        }
    };
    assert_eq!(bound, "at most 10000 groups");
    assert_eq!(running.shown("/v1/reports?tenant=pb&by=module")["records"], 11_000);
}

/// A bad record is counted by nobody, and hides no other one.
#[test]
fn what_cannot_be_verified_stands_as_a_problem_and_the_report_goes_on() {
    let running = Running::start();
    for object in ["1", "2", "3"] {
        running.brought(&record("pb", object, "create"));
    }
    let running = running.restarted_after(|data| super::integrity::edit(data, 1, |row| *row.last_mut().unwrap() ^= 1));
    // The incident's record comes meanwhile.
    for query in ["module=tl&by=module", "module=tl&show=records"] {
        let report = running.shown(&format!("/v1/reports?tenant=pb&{query}"));
        let rows = report["groups"].as_array().or(report["listed"].as_array()).unwrap();
        let problems: Vec<&Value> = rows.iter().filter_map(|row| row.get("problem")).collect();
        assert_eq!((problems.len(), &problems[0]["index"], &problems[0]["part"]), (1, &json!(1), &json!("disclosure")));
        assert_eq!((&report["records"], &report["unverified"]), (&json!(2), &json!(1)), "{report}");
        assert!(report["complete"] == false && [3, 4].contains(&report["complete_to"].as_u64().unwrap()), "{report}");
        assert!(report["checkpoint"].is_string() && !report.to_string().contains("\"object\":\"2\""), "{report}");
        let csv = running.read(&format!("/v1/reports?tenant=pb&{query}&format=csv"));
        let text = csv.text();
        let lines: Vec<&str> = text.lines().collect();
        let columns = lines[0].matches(',').count();
        let problem = lines.iter().find(|line| line.starts_with("problem,")).unwrap();
        assert!(problem.contains("the record at 1 can't be verified"), "{text}");
        assert_eq!(problem.matches(',').count(), columns, "{text}");
        let last = lines.last().unwrap();
        assert!(
            last.starts_with("incomplete,")
                && [",2,3,20", ",2,4,20"].iter().any(|told| last.contains(told))
                && last.contains("1 record can't be"),
            "{text}"
        );
    }
}
