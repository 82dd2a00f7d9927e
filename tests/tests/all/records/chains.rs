//! What records cost whose log continues many others: whoever brings one with an id or a key is looked for in all of them.
//! A measurement, which is run by hand (`benches/README.md`).

use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::cairnd;
use serde_json::{Value, json};

use super::{Running, post, record};

/// Requests of a kind, of which the middle one counts.
const REQUESTS: u64 = 301;

/// How long one request takes, at the median, on one connection.
fn median(running: &Running, token: &str, request: impl Fn(u64) -> Request, status: u16) -> Duration {
    let mut connection = Connection::open(running.server.address()).unwrap();
    let mut times: Vec<Duration> = (0..REQUESTS)
        .map(|number| {
            let request = request(number).with("authorization", format!("Bearer {token}"));
            let begun = Instant::now();
            let answer = connection.ask(&request).unwrap();
            assert_eq!(answer.status, status, "{}", answer.text());
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn with_id(number: u64) -> Value {
    let mut record = record("pb", &number.to_string(), "create");
    record["id"] = json!(format!("01939f5a-7c00-7a3b-8c4d-{number:012x}"));
    record
}

#[test]
#[ignore = "a measurement: a thousand logs are sealed"]
fn records_in_the_last_of_many_logs() {
    let running = Running::start();
    let (mut log, mut sealed, mut next) = ("main".to_owned(), 0, 0);
    for most in [0, 1, 10, 100, 1_000] {
        while sealed < most {
            running.brought(&with_id(1 << 40 | sealed));
            sealed += 1;
            let successor = format!("log{sealed}");
            let ended = cairnd(running.data.path(), &["log", "seal", &log, "--successor", &successor]);
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
            log = successor;
        }
        let base = next;
        next += 3 * REQUESTS;
        let (producer, auditor) = (&running.data.token, &running.data.auditor);
        let plain = |number: u64| post(&record("pb", &(base + number).to_string(), "create"));
        let by_id = |number: u64| post(&with_id(base + REQUESTS + number));
        let keyed = |number: u64| {
            let number = base + 2 * REQUESTS + number;
            post(&record("pb", &number.to_string(), "create")).with("idempotency-key", number.to_string())
        };
        let absent = |number: u64| {
            Request::get(format!("/v1/records/01939f5a-7c00-7a3b-8c4d-{:012x}", (1_u64 << 44) + base + number))
        };
        let first = median(&running, producer, by_id, 200);
        let times = [
            ("plain", median(&running, producer, plain, 200)),
            ("with an id, at first", first),
            ("with a key", median(&running, producer, keyed, 200)),
            ("absent id, read", median(&running, auditor, absent, 404)),
        ];
        println!("{sealed} sealed logs: {times:?}");
    }
}
