//! The HTTP surface: whatever bytes a connection brings, every answer is well formed, no answer is a failure of the
//! server's own, nothing of a private log leaves, and the log goes on with a head that verifies and only grows.
//!
//! The real routes on the real engine, in this process and on loopback; a connection for each input.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a broken expectation is a finding, told by a panic")]

mod answer;
mod server;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use self::answer::{Answer, answers};
use self::server::{SECRET_ENTRY, Server};

/// How long the server says nothing before it is taken to have said everything: it waits for more of the input, or
/// streams events.
const QUIET: Duration = Duration::from_millis(5);
/// No answer to one connection is longer.
const LONGEST: u64 = 256 << 20;

/// The body of the target; an input counts as accepted if it was answered with a 2xx.
pub(crate) fn surface(bytes: &[u8]) -> bool {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(Server::start);
    let said = exchange(server, bytes);
    assert!(!contains(&said, SECRET_ENTRY), "a private entry left");
    let answers = answers(&said);
    for answer in &answers {
        check(answer);
    }
    server.check();
    answers.iter().any(|answer| (200..300).contains(&answer.status))
}

/// Sends everything, and reads until the server has closed or has nothing more to say.
fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).expect("a connection to the server");
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    let reading = stream.try_clone().expect("a second handle");
    let (mut said, sent) = (Vec::new(), Vec::from(bytes));
    // Beside the reading: the server may answer and close before it has read everything.
    let writing = std::thread::spawn(move || drop(stream.write_all(&sent)));
    // Quiet, or a reset where the server closed on bytes that it did not read: what came before stays in `said`.
    let _ended = reading.take(LONGEST).read_to_end(&mut said);
    drop(writing.join());
    said
}

fn check(answer: &Answer<'_>) {
    let status = answer.status;
    assert!(status < 500 || status == 503, "{}", answer.head);
    assert!(status != 503 || answer.header("retry-after").is_some(), "{}", answer.head);
    let Some(kind) = answer.header("content-type").filter(|_| status >= 400) else {
        return;
    };
    assert_eq!(kind, "application/problem+json", "{}", answer.head);
    // A HEAD has none.
    let Some(body) = answer.body else { return };
    let problem: serde_json::Value = serde_json::from_slice(body).expect("a problem is JSON");
    assert_eq!(problem["status"], u64::from(status), "{problem}");
    assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
