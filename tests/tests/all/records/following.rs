//! Following a stream: each record once, in order, verified, as far as its reader may see it; resumed after whatever cut.

use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Event, Request};
use cairn_tests::server::{Data, PATIENCE, cairnd};
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::policy::Trust;
use cairn_tree::store::{KeyRange, Kind, LogId};
use cairn_tree::wire::v1::{RecordAnswer, StreamHeadEvent, VerifiedEntry};
use serde_json::{Value, json};

use super::{Running, json_of, record, telling};

/// A reader of one stream.
struct Follower(Connection);

impl Follower {
    fn open(running: &Running, token: &str, object: &str, last: Option<u64>) -> Self {
        let mut request = Request::get(events(object)).with("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.with("last-event-id", last.to_string());
        }
        Self::of(running, &request)
    }

    fn of(running: &Running, request: &Request) -> Self {
        let mut connection = Connection::open(running.server.address()).unwrap();
        assert_eq!(connection.ask_stream(request).unwrap(), 200);
        Self(connection)
    }

    fn next(&mut self) -> Option<Event> {
        self.0.next_event().unwrap()
    }

    /// The next event, which must be the record with this number.
    fn record(&mut self, seq: u64) -> (Value, RecordAnswer) {
        let Event { kind, id, data } = self.next().unwrap();
        assert_eq!((kind.as_str(), id), ("record", Some(seq + 1)), "{data}");
        let answer: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(answer["record"]["view"]["seq"], seq);
        (answer, RecordAnswer::parse(data.as_bytes()).unwrap())
    }

    /// The next event, which must stand in the place of a record.
    fn problem(&mut self, seen: u64) -> Value {
        let Event { kind, id, data } = self.next().unwrap();
        assert_eq!((kind.as_str(), id), ("problem", Some(seen)), "{data}");
        assert!(!data.contains("Ada"));
        serde_json::from_str(&data).unwrap()
    }

    /// The next event, which must say that this is all.
    fn head(&mut self, seen: u64, size: u64) {
        let Event { kind, id, data } = self.next().unwrap();
        assert_eq!((kind.as_str(), id), ("head", Some(seen)), "{data}");
        let head = StreamHeadEvent::parse(data.as_bytes()).unwrap();
        assert_eq!((head.seen, head.complete_to.get()), (seen, size));
        assert!(head.checkpoint.unverified().size() >= head.complete_to);
    }
}

fn events(object: &str) -> String {
    format!("/v1/streams/entity/pb/tl/license/{object}/events")
}

#[test]
fn a_follower_gets_each_record_as_the_history_gives_it() {
    let running = Running::start();
    running.brought(&json!([record("pb", "1", "create"), record("pb", "2", "create"), record("pb", "1", "update")]));
    let mut new_only = Follower::open(&running, &running.data.auditor, "1", None);
    new_only.head(2, 3);
    let whole = Request::get(format!("{}?from_seq=0&proof=1", events("1")));
    let mut whole = Follower::of(&running, &whole.with("authorization", format!("Bearer {}", running.data.auditor)));
    let trust = || Trust::Log(LogKeys::new(vec![running.data.main.vkey.parse().unwrap()]).unwrap());
    for seq in 0..2 {
        let (_, answer) = whole.record(seq);
        let (verified, _) = answer.verify(&trust()).unwrap();
        let VerifiedEntry::Record(verified) = verified else { panic!("a record of a later version") };
        assert_eq!(verified.before, seq > 0, "the one before comes along");
    }
    whole.head(2, 3);
    // A record of another stream wakes nobody here; one of this stream both.
    running.brought(&record("pb", "2", "update"));
    running.brought(&record("pb", "1", "delete"));
    let (_, answer) = whole.record(2);
    answer.verify(&trust()).unwrap();
    whole.head(3, 5);
    let (followed, _) = new_only.record(2);
    let history = running.shown("/v1/streams/entity/pb/tl/license/1?from_seq=2");
    assert_eq!(followed["record"], history["records"][0]);
}

#[test]
fn a_follower_that_comes_back_misses_nothing_across_a_restart_too() {
    let running = Running::start();
    let auditor = running.data.auditor.clone();
    for operation in ["create", "update", "update"] {
        running.brought(&record("pb", "1", operation));
    }
    let mut cut = Follower::open(&running, &auditor, "1", Some(1));
    cut.record(1);
    drop(cut);
    running.brought(&record("pb", "1", "update"));
    let mut again = Follower::open(&running, &auditor, "1", Some(2));
    again.record(2);
    again.record(3);
    again.head(4, 4);
    let running = running.restarted();
    assert_eq!(again.next(), None, "the stream ends with the server");
    running.brought(&json!([record("pb", "1", "update"), record("pb", "1", "delete")]));
    let mut later = Follower::open(&running, &auditor, "1", Some(4));
    later.record(4);
    later.record(5);
    later.head(6, 6);
    for bad in ["7", "x", "-1", "18446744073709551615"] {
        let answer = running.ask_with(&auditor, Request::get(events("1")).with("last-event-id", bad));
        assert_eq!((answer.status, &json_of(&answer)["field"]), (400, &json!("last-event-id")), "{bad}");
    }
}

#[test]
fn a_long_history_comes_in_pieces_and_whole() {
    let running = Running::start();
    let mut first = vec![record("pb", "1", "create")];
    first.extend((1..200).map(|_| record("pb", "1", "update")));
    running.brought(&json!(first));
    let mut follower = Follower::open(&running, &running.data.auditor, "1", Some(0));
    (0..200).for_each(|seq| drop(follower.record(seq)));
    follower.head(200, 200);
}

#[test]
fn a_follower_sees_what_its_token_may_see_and_no_foreign_stream() {
    let running = Running::start();
    running.brought(&record("pb", "1", "create"));
    let token = running.new_token(&["--rights", "read,disclose:internal", "--tenants", "pb"]);
    let (answer, _) = Follower::open(&running, &token, "1", Some(0)).record(0);
    assert_eq!(answer["record"]["view"]["values"]["whole"]["/owner"]["withheld"], true);
    assert!(!answer.to_string().contains("Ada"));
    let foreign = running.new_token(&["--rights", "read", "--tenants", "ka"]);
    let ask = |token: &str, target: String| telling(&running.ask_with(token, Request::get(target)));
    let absent = ask(&foreign, "/v1/streams/entity/nowhere/tl/license/1/events".into());
    assert_eq!((absent.0, &absent), (404, &ask(&foreign, events("1"))));
    assert_eq!(ask(&token, events("9")).0, 404, "a stream without records is not there");
    let contradicting = Request::get(events("1")).with("x-tenant-id", "ka");
    assert_eq!(running.ask_with(&running.data.auditor, contradicting).status, 400);
    let blind = running.new_token(&["--rights", "append,disclose:secret"]);
    assert_eq!(ask(&blind, events("1")).0, 403);
}

#[test]
fn a_stream_ends_with_its_token() {
    let running = Running::start_with(|data| data.set_limit("event_heartbeat_seconds", 1));
    running.brought(&record("pb", "1", "create"));
    let tokens = [(); 2].map(|()| running.new_token(&["--rights", "read"]));
    let mut followers = tokens.each_ref().map(|token| Follower::open(&running, token, "1", None));
    followers.iter_mut().for_each(|follower| follower.head(1, 1));
    let id = tokens[0].split('_').nth(1).unwrap();
    assert_eq!(cairnd(running.data.path(), &["token", "revoke", id]).code, Some(0));
    // At a heartbeat, without any record.
    assert_eq!(followers[0].next(), None);
    running.brought(&record("pb", "1", "update"));
    followers[1].record(1);
}

#[test]
fn one_token_leaves_places_for_others() {
    let running = Running::start_with(|data| data.set_limit("stream_followers", 4));
    running.brought(&record("pb", "1", "create"));
    let (one, other) = (&running.data.auditor, running.new_token(&["--rights", "read"]));
    let held = [(); 2].map(|()| Follower::open(&running, one, "1", None));
    let ask = |token: &str| running.ask_with(token, Request::get(events("1")));
    let refused = ask(one);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(json_of(&refused)["type"], "urn:cairn:problem:rate-limited");
    let mut others = Follower::open(&running, &other, "1", None);
    others.head(1, 1);
    assert_eq!(ask(&other).status, 429, "the last one is for whoever has none");
    let third = running.new_token(&["--rights", "read"]);
    let last = Follower::open(&running, &third, "1", None);
    let full = ask(&third);
    assert_eq!((full.status, full.header("retry-after")), (503, Some("1")));
    drop(last);
    drop(held);
    // The server learns of it when it next looks.
    while Connection::open(running.server.address())
        .unwrap()
        .ask_stream(&Request::get(events("1")).with("authorization", format!("Bearer {one}")))
        .unwrap()
        != 200
    {}
}

#[test]
fn of_a_thousand_followers_those_alone_are_woken_whose_stream_got_a_record() {
    let running = Running::start();
    let names: Vec<String> = (0..1_000).map(|number| format!("PB-{number}")).collect();
    running.brought(&names.iter().map(|name| record("pb", name, "create")).collect());
    let mut followers: Vec<Follower> =
        names.iter().map(|name| Follower::open(&running, &running.data.auditor, name, None)).collect();
    followers.iter_mut().for_each(|follower| follower.head(1, 1_000));
    running.brought(&names.iter().step_by(100).map(|name| record("pb", name, "update")).collect());
    for follower in followers.iter_mut().step_by(100) {
        follower.record(1);
        follower.head(2, 1_010);
    }
    // Whoever was woken before would have seen a head of 1,010 in between.
    running.brought(&names.iter().map(|name| record("pb", name, "update")).collect());
    for (number, follower) in followers.iter_mut().enumerate() {
        let seq = if number % 100 == 0 { 2 } else { 1 };
        let (answer, _) = follower.record(seq);
        assert_eq!(answer["record"]["view"]["object"]["id"], names[number]);
        follower.head(seq + 1, 2_010);
    }
}

/// A figure of the server's.
fn figure(running: &Running, name: &str) -> u64 {
    let metrics = running.ask(Request::get("/metrics"));
    metrics.figure(name).unwrap_or_else(|| panic!("no {name} in {}", metrics.text())) as u64
}

/// What followers leave unread is bounded, whatever there is to read, and holds up nobody else.
#[test]
fn followers_who_take_nothing_are_bounded_in_memory_and_let_go() {
    const BOUND: u64 = 64 << 20;
    let running = Running::start_with(|data| {
        data.set_limit("follower_bytes", BOUND);
        data.set_limit("write_stall_seconds", 1);
    });
    let mut large = record("pb", "1", "create");
    for field in 0..8 {
        large["values"]["whole"]["new"][format!("large{field}")] = json!("x".repeat(120_000));
    }
    let length = large.to_string().len() as u64;
    // More than the kernel takes for anybody.
    for _ in 0..16 {
        running.brought(&large);
        large["object"]["operation"] = json!("update");
    }
    let before = running.server.resident();
    let many: Vec<Follower> = (0..150).map(|_| Follower::open(&running, &running.data.auditor, "1", Some(0))).collect();
    let other = running.new_token(&["--rights", "read,disclose:secret"]);
    let (mut most, mut rounds) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cut = figure(&running, "cairn_http_connections_cut_total");
        if cut >= 20 {
            break;
        }
        assert!(Instant::now() < deadline, "{cut} are cut off, of those who take nothing");
        let held = figure(&running, "cairn_follower_bytes");
        assert!(held <= BOUND, "{held}");
        most = most.max(held);
        // Far less than all that there is for them, whatever the machine's allocator keeps.
        let grown = running.server.resident().saturating_sub(before);
        assert!(grown < 150 * 16 * length / 2, "{grown}");
        rounds += 1;
        if rounds % 8 == 1 {
            Follower::open(&running, &other, "1", Some(15)).record(15);
            running.brought(&record("pb", "2", "note"));
        }
    }
    assert!(most > 2 << 20, "{most}: they had something to take");
    drop(many);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = figure(&running, "cairn_followers{of=\"streams\"}");
        if left == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} are followed still, who are gone");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(figure(&running, "cairn_follower_bytes"), 0);
}

/// What is stored of a record and is not what was signed is told under the record's number, and what comes after it is sent.
#[test]
fn a_follower_is_told_what_cannot_be_verified_and_gets_what_comes_after_it() {
    // Of the last one nobody but the server has told.
    for (bad, of) in [(0, 3), (1, 3), (2, 3), (1, 2)] {
        let running = Running::start();
        for operation in ["create", "update", "update"].into_iter().take(of) {
            running.brought(&record("pb", "1", operation));
        }
        let change = |data: &Data| super::integrity::edit(data, bad, |row| *row.last_mut().unwrap() ^= 1);
        let running = running.restarted_after(change);
        for seen in 0..=of as u64 {
            let mut follower = Follower::open(&running, &running.data.auditor, "1", Some(seen));
            for number in seen..of as u64 {
                if number != bad {
                    follower.record(number);
                    continue;
                }
                let problem = follower.problem(number + 1);
                assert_eq!((&problem["type"], &problem["index"]), (&json!("urn:cairn:problem:integrity"), &json!(bad)));
                assert_eq!((&problem["part"], problem["digest"].as_str().unwrap().len()), (&json!("disclosure"), 43));
            }
            // The log has an incident by then.
            let Event { kind, id, data } = follower.next().unwrap();
            assert_eq!((kind.as_str(), id), ("head", Some(of as u64)), "{data}");
        }
    }
}

/// A leaf that is not what was signed is of no stream any more: what was there is missed by its number.
#[test]
fn a_follower_passes_a_leaf_that_is_not_what_was_signed() {
    let running = Running::start_with(|data| data.set_limit("scrub_bytes_per_second", 0));
    let all: Vec<Value> = (0..300).map(|_| record("pb", "1", "update")).collect();
    running.brought(&json!(all));
    let row = KeyRange::numbers(LogId::new(1), Kind::BundlePart, 0..256);
    let running = running.restarted_after(|data| {
        super::found::edit(data, &row, |row| {
            let stream = row.windows(10).position(|bytes| bytes == b"\"stream\":\"").expect("its stream");
            row[stream + 12] = if row[stream + 12] == b'A' { b'B' } else { b'A' };
        });
    });
    // The index is made of what is there, and does not find it. Whether the one after it can still be read then, or is refused
    // with its bundle, is a matter of time.
    let mut follower = Follower::open(&running, &running.data.auditor, "1", Some(0));
    let missing = follower.problem(1);
    assert_eq!((&missing["part"], &missing["index"]), (&json!("chain"), &json!(1)), "{missing}");
    let mut again = Follower::open(&running, &running.data.auditor, "1", Some(1));
    for follower in [&mut follower, &mut again] {
        follower.problem(2);
        for seen in 3..=300 {
            let Event { kind, id, data } = follower.next().unwrap();
            assert_eq!(id, Some(seen), "{data}");
            assert!(kind == "record" || seen <= 256 && kind == "problem", "{kind} {data}");
        }
    }
}
