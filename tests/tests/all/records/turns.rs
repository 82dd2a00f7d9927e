//! Many who write to one judged stream at once: each has it to itself for as long as it takes.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;

use cairn_tests::http::Connection;
use serde_json::{Value, json};

use super::strict::{fields, of, start};
use super::{Running, post};

/// Nobody looks at the state first, and nobody is refused: not while others write, not after a restart, when the stream is
/// read anew by whoever comes first.
#[test]
fn blind_writers_of_one_object_all_succeed() {
    let running = start(&["--strict", "on", "--old-must-match", "on"]);
    running.brought(&of("1", "create", json!({"whole": {"new": {}}})));
    const WRITERS: usize = 24;
    const ROUNDS: usize = 8;
    let write = |running: &Running, from: usize| {
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (address, token) = (running.server.address(), running.data.token.clone());
                scope.spawn(move || {
                    let mut connection = Connection::open(address).unwrap();
                    for round in from..from + ROUNDS {
                        let update = fields("1", json!({format!("/w{writer}"): {"new": round}}));
                        // Each in its own stream as well, and all of them in another order.
                        let other = of(&format!("own-{writer}-{round}"), "create", Value::Null);
                        let both = if writer % 2 == 0 { json!([other, update]) } else { json!([update, other]) };
                        let request = post(&both).with("authorization", format!("Bearer {token}"));
                        let answer = connection.ask(&request).unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.text());
                    }
                });
            }
        });
    };
    write(&running, 0);
    let running = running.restarted();
    write(&running, ROUNDS);
    let target = "/v1/streams/entity/pb/tl/license/1";
    let shown = running.shown(&format!("{target}?limit=500"));
    let records = shown["records"].as_array().unwrap();
    let seq = |record: &Value| {
        let leaf: Value = serde_json::from_str(record["leaf"].as_str().unwrap().lines().nth(1).unwrap()).unwrap();
        leaf["server"]["seq"].as_u64().unwrap()
    };
    let seqs: Vec<u64> = records.iter().map(seq).collect();
    assert_eq!(seqs, (0..=2 * (WRITERS * ROUNDS) as u64).collect::<Vec<_>>());
    let state = running.shown(&format!("{target}/state"));
    let expected: serde_json::Map<String, Value> =
        (0..WRITERS).map(|writer| (format!("w{writer}"), json!(2 * ROUNDS - 1))).collect();
    assert_eq!((&state["states"][0]["document"], &state["flags"]), (&Value::Object(expected), &json!([])));
    running.server.stop();
    running.data.assert_sound();
}

/// Those who wait go on when somebody who was before them has gone away.
#[test]
fn who_goes_away_keeps_nobody_waiting() {
    let running = start(&["--strict", "on"]);
    running.brought(&of("1", "create", json!({"whole": {"new": {}}})));
    let writing = |stay: bool| {
        let (address, token) = (running.server.address(), running.data.token.clone());
        move || {
            for round in 0..10 {
                let body = fields("1", json!({"/n": {"new": round}}));
                if stay {
                    let request = post(&body).with("authorization", format!("Bearer {token}"));
                    assert_eq!(Connection::open(address).unwrap().ask(&request).unwrap().status, 200);
                } else {
                    let body = body.to_string();
                    let head = format!(
                        "POST /v1/records HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
                         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.write_all((head + &body).as_bytes()).unwrap();
                }
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..12).map(|number| scope.spawn(writing(number % 2 == 0))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    running.brought(&of("1", "delete", Value::Null));
}

/// Each writer counts up what it believes to be there; every one that was taken was right.
#[test]
fn of_many_writers_each_that_is_taken_had_seen_the_state_before_it() {
    let running = start(&["--strict", "on", "--old-must-match", "on"]);
    running.brought(&of("1", "create", json!({"whole": {"new": {"n": 0}}})));
    let own: serde_json::Map<String, Value> = (0..6).map(|n| (format!("/w{n}"), json!({"new": 0}))).collect();
    running.brought(&fields("1", Value::Object(own)));
    let write = |writer: u64| {
        let (address, token) = (running.server.address(), running.data.token.clone());
        move || {
            let mut connection = Connection::open(address).unwrap();
            let mut bring = |body: &Value| {
                let request = post(body).with("authorization", format!("Bearer {token}"));
                connection.ask(&request).unwrap()
            };
            let mut taken = 0;
            for round in 0..12 {
                // Nobody else writes this field: it is taken, however often others come between.
                let field = format!("/w{writer}");
                let answer = bring(&fields("1", json!({field: {"old": round, "new": round + 1}})));
                assert_eq!(answer.status, 200, "{}", answer.text());
                // All write this one.
                let guess = (0..80).find(|guess| {
                    let answer = bring(&fields("1", json!({"/n": {"old": guess, "new": guess + 1}})));
                    assert!([200, 409].contains(&answer.status), "{}", answer.text());
                    answer.status == 200
                });
                taken += u64::from(guess.is_some());
            }
            taken
        }
    };
    let writers: Vec<_> = (0..6).map(|writer| thread::spawn(write(writer))).collect();
    let taken: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    let state = running.shown("/v1/streams/entity/pb/tl/license/1/state");
    assert_eq!((&state["flags"], taken > 0), (&json!([]), true), "{state}");
    let counted = state["states"][0]["document"]["n"].as_u64().unwrap();
    assert_eq!(counted, taken, "{state}");
}
