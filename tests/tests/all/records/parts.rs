//! An auditor reads what each of several logs has of a stream, and follows the stream through all of them; each part is
//! verified by the key of its own log.

use cairn_tests::command::{Ran, cairn};
use cairn_tests::server::cairnd;
use serde_json::{Value, json};

use super::continuing::{created, in_three_logs, seal, update};
use super::integrity::edit;
use super::{Running, json_of, record};

/// Somebody who has the keys of some logs.
struct Auditor<'r> {
    running: &'r Running,
    url: String,
    keys: String,
}

impl<'r> Auditor<'r> {
    /// Of the first of these logs, with the keys of all.
    fn of(running: &'r Running, logs: &[&str]) -> Self {
        let key = |log: &&str| {
            let listed = cairnd(running.data.path(), &["key", "list", log, "--json"]);
            let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
            listed["keys"][0]["vkey"].as_str().unwrap().to_owned()
        };
        let keys = logs.iter().map(key).collect::<Vec<_>>().join(" ");
        Self { running, url: running.server.log_url(logs[0]), keys }
    }

    fn run(&self, object: &str, arguments: &[&str]) -> Ran {
        let (command, rest) = arguments.split_first().unwrap();
        let ground = [*command, "--url", &self.url, "--token", &self.running.data.auditor, "--key", &self.keys];
        let object = ["--tenant", "pb", "--module", "tl", "--entity", "license", "--object", object];
        cairn([&ground[..], &object, rest].concat())
    }

    /// The lines of what is good.
    fn lines(&self, object: &str, arguments: &[&str]) -> Vec<Value> {
        let ran = self.run(object, &[arguments, &["--json"]].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}: {ran:?}");
        ran.json()
    }
}

/// Whoever verifies a history in one log is told that it began in another, and what he replays is compared with the same.
#[test]
fn auditors_are_told_where_a_stream_was_before() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    let made = created(&running, &["--continue"]);
    running.brought(&update("1", "APPLIED", "PAID"));
    let auditor = Auditor::of(&running, &["pb"]);
    let ran = auditor.run("1", &["history"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for words in [
        "; by its own word it goes on from record 1 of the stream ",
        "in localhost/logs/main, with the leaf hash ",
        ": --earlier reads that part too, and verifies that it ends so; 2 things that do not fit are told of this part alone",
        "! updated though it was not there, as far as this part of the stream alone tells",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {ran:?}");
    }
    let told = auditor.lines("1", &["history"]).pop().unwrap();
    let before = running.shown("/v1/streams/entity/pb/tl/license/1?log=main");
    let last = &before["records"][1]["integrity"];
    let continues = &told["continues"];
    assert_eq!((&continues["log"], &continues["leaf_hash"]), (&json!("localhost/logs/main"), &last["leaf_hash"]));
    assert_eq!((&continues["seq"], &continues["stream"]), (&json!(1), &before["stream"]), "{told}");
    let replayed = auditor.lines("1", &["replay"]);
    let [state, .., summary] = &replayed[..] else { panic!("{replayed:?}") };
    assert_eq!((&state["document"], &summary["compared"]), (&json!({"status": "PAID"}), &json!(true)));
    assert_eq!(auditor.lines("1", &["diff"]).pop().unwrap()["compared"], true);
    // The other log is verified by its own key, and by no other.
    let own = ["--token", made["auditor_token"].as_str().unwrap()];
    let both = Auditor::of(&running, &["pb", "main"]);
    for further in [&["--earlier"][..], &["--log", "main"]] {
        let told = both.lines("1", &[&["history"], &own[..], further].concat());
        assert_eq!(told.last().unwrap()["complete"], "claimed", "the tenant's own auditor follows it, too: {told:?}");
    }
    let refused = auditor.run("1", &["history", "--earlier"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("no key of the log localhost/logs/main is given"),
        "{refused:?}"
    );
}

#[test]
fn a_stream_is_followed_through_all_of_its_logs() {
    let (running, paid) = in_three_logs();
    // The object is there already, as the earlier logs know.
    running.brought(&record("pb", "2", "create"));
    let auditor = Auditor::of(&running, &["later", "pb", "main"]);
    for further in [&[][..], &["--complete"]] {
        let lines = auditor.lines("1", &[&["history", "--earlier"], further].concat());
        let parts: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "history").collect();
        let told: Vec<_> =
            parts.iter().map(|part| (part["origin"].as_str().unwrap(), part["continues"]["ending"].as_str())).collect();
        let (main, pb, later) = ("localhost/logs/main", "localhost/logs/pb", "localhost/logs/later");
        assert_eq!(told, [(main, None), (pb, Some("said")), (later, Some("sealed"))], "{lines:?}");
        assert!(lines.iter().all(|line| line["flags"] == Value::Null), "{lines:?}");
        let proven = if further.is_empty() { "claimed" } else { "proven" };
        assert!(parts.iter().all(|part| part["complete"] == proven), "{parts:?}");
    }
    let ran = auditor.run("1", &["history", "--earlier", "--last", "2"]);
    assert!(
        ran.stdout.contains("of the part in localhost/logs/pb, which ends with that and is in a log that is sealed")
    );
    assert_eq!(ran.stdout.matches("\n    entry ").count(), 2, "{ran:?}");
    // What is replayed is what the server says, at any point and in each view.
    for further in [
        &[][..],
        &["--view", "corrected"],
        &["--at", &paid],
        &["--at", &paid, "--by", "producer_time"],
        &["--seq", "0"],
    ] {
        let lines = auditor.lines("1", &[&["replay", "--earlier"], further].concat());
        assert_eq!(lines.last().unwrap()["compared"], true, "{lines:?}");
        let status = if further.contains(&"--at") { "PAID" } else { "EXPIRED" };
        assert_eq!(lines[0]["document"]["status"], status, "{lines:?}");
    }
    let changed = auditor.lines("1", &["diff", "--earlier", "--from", &paid]);
    assert_eq!((&changed[0]["old"], &changed[0]["new"]), (&json!("PAID"), &json!("EXPIRED")), "{changed:?}");
    assert_eq!(changed[1]["compared"], true);
    // A flag that only the earlier parts explain, and one that an earlier part has itself.
    let lines = auditor.lines("2", &["replay", "--earlier"]);
    let flags: Vec<_> = lines.iter().filter(|line| line["kind"] == "flag").collect();
    assert_eq!((&flags[0]["log"], &flags[0]["of"]), (&json!("localhost/logs/main"), &Value::Null), "{lines:?}");
    assert_eq!((&flags[1]["flag"], &flags[1]["of"]), (&json!("create-on-live"), &json!("earlier_parts")), "{lines:?}");
    let ran = auditor.run("2", &["history", "--earlier"]);
    let words = "! created though it was there already, by what is in an earlier part of the stream";
    assert!(ran.code == 0 && ran.stdout.contains(words), "{ran:?}");
    assert_eq!(auditor.lines("2", &["replay"]).iter().filter(|line| line["kind"] == "flag").count(), 0);
}

/// One of the logs is asked for what it has, whichever one stands in the address.
#[test]
fn each_log_is_asked_for_its_own_part() {
    let (running, _) = in_three_logs();
    for address in ["later", "pb", "main"] {
        let mut logs = vec![address, "later", "pb", "main"];
        logs.dedup();
        let logs: Vec<&str> = logs
            .iter()
            .enumerate()
            .filter(|(place, log)| *place == 0 || **log != address)
            .map(|(_, log)| *log)
            .collect();
        let auditor = Auditor::of(&running, &logs);
        for (log, records, status) in [("later", 1, "EXPIRED"), ("pb", 2, "APPROVED"), ("main", 3, "PAID")] {
            let origin = format!("localhost/logs/{log}");
            for name in [log, &origin] {
                let history = auditor.lines("1", &["history", "--log", name, "--complete"]);
                assert_eq!((history.len(), &history[records]["origin"]), (records + 1, &json!(origin)), "{history:?}");
                let replayed = auditor.lines("1", &["replay", "--log", name]);
                let told = (&replayed[0]["document"]["status"], &replayed.last().unwrap()["compared"]);
                assert_eq!(told, (&json!(status), &json!(true)), "{replayed:?}");
                let found = auditor.lines("1", &["search", "--log", name]);
                assert_eq!(found.last().unwrap()["records"], records, "{found:?}");
            }
        }
        let diff = auditor.lines("1", &["diff", "--log", "main", "--from", "0"]);
        assert_eq!((&diff[0]["new"], &diff[1]["compared"]), (&json!("PAID"), &json!(true)), "{diff:?}");
        // From the middle on, all that is before.
        let lines = auditor.lines("1", &["history", "--log", "pb", "--earlier"]);
        let parts: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "history").collect();
        assert_eq!((parts.len(), &parts[1]["origin"]), (2, &json!("localhost/logs/pb")), "{lines:?}");
    }
    // Another tenant's token is told nothing of any of them.
    let other = running.new_token(&["--rights", "read", "--tenants", "ka"]);
    let auditor = Auditor::of(&running, &["main", "pb", "later"]);
    for further in [&["--log", "main"][..], &["--log", "pb"], &["--earlier"]] {
        let ran = auditor.run("1", &[&["history", "--token", &other], further].concat());
        assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran:?}");
    }
}

/// A part that has been replayed takes what its states take, however much it might have read.
#[test]
fn a_stream_in_many_logs_is_replayed_by_producer_time() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    let mut log = "main".to_owned();
    for part in 1..6 {
        let next = format!("part{part}");
        seal(&running, &log, &next);
        running.brought(&update("1", "any", &next));
        log = next;
    }
    let stream = "/v1/streams/entity/pb/tl/license/1";
    for view in ["recorded", "corrected"] {
        let state = running.shown(&format!("{stream}/state?by=producer_time&at=2199-01-01T00:00:00Z&view={view}"));
        assert_eq!(state["earlier"].as_array().unwrap().len(), 5, "{state}");
        assert_eq!(state["states"][0]["document"]["status"], "part5", "{state}");
    }
}

/// A large state that parts go on from is in memory once, and counted once, however many parts there are.
#[test]
fn a_large_state_of_a_stream_in_many_logs_is_counted_once() {
    let running = Running::start_with(|data| data.set_limit("answers_in_flight_bytes", 1 << 20));
    let mut large = record("pb", "0", "create");
    for field in 0..4 {
        large["values"]["whole"]["new"][format!("large{field}")] = json!("x".repeat(80_000));
    }
    large["context"] = json!({"stream": "wide"});
    running.brought(&large);
    let mut log = "main".to_owned();
    for part in 1..6 {
        let next = format!("part{part}");
        seal(&running, &log, &next);
        let mut small = record("pb", &part.to_string(), "create");
        small["context"] = json!({"stream": "wide"});
        running.brought(&small);
        log = next;
    }
    let stream = "/v1/streams/named/pb/wide";
    for query in ["", "?view=corrected", "?by=producer_time&at=2199-01-01T00:00:00Z"] {
        let state = running.shown(&format!("{stream}/state{query}"));
        assert_eq!((state["states"].as_array().unwrap().len(), state["earlier"].as_array().unwrap().len()), (6, 5));
    }
}

/// What damages the content of a part's last record makes no secret of what was before it.
#[test]
fn a_damaged_end_of_an_earlier_part_says_nothing_of_what_was_before() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    running.brought(&update("1", "APPLIED", "PAID"));
    let stream = "/v1/streams/entity/pb/tl/license/1";
    let first = running.shown(stream)["records"][0]["view"]["server_time"].as_str().unwrap().to_owned();
    seal(&running, "main", "second");
    running.brought(&update("1", "PAID", "EXPIRED"));
    let running = running.restarted_after(|data| edit(data, 1, |row| *row.last_mut().unwrap() ^= 1));
    let state = running.shown(&format!("{stream}/state?at={first}"));
    assert_eq!(state["states"][0]["document"]["status"], "APPLIED", "{state}");
    assert_eq!(state["earlier"][0]["log"], "localhost/logs/main", "{state}");
    assert_eq!(running.shown(&format!("{stream}/diff?to={first}"))["objects"].as_array().unwrap().len(), 1);
    // Where it matters, the record itself is named.
    for asked in ["state", "state?at=0", "diff", "state?view=corrected"] {
        let refused = running.read(&format!("{stream}/{asked}"));
        let problem = json_of(&refused);
        assert_eq!((refused.status, &problem["value"]), (500, &json!("1")), "{asked}: {problem}");
        assert!(!refused.text().contains("does not end with"), "{asked}: {problem}");
    }
    assert_eq!(running.shown(&format!("{stream}/state?earlier=0"))["states"][0]["document"]["status"], "EXPIRED");
}
