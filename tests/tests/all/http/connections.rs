//! Slow, many, rude and old connections: each is answered or closed in time, and the others don't notice.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request};
use cairn_tests::server::Data;

use super::Running;

/// More than any limit set here, less than it takes to lose patience.
const LONG: Duration = Duration::from_secs(20);

fn short_times(data: &Data) {
    for (limit, seconds) in
        [("header_seconds", 1), ("idle_seconds", 2), ("body_seconds", 1), ("write_stall_seconds", 2)]
    {
        data.set_limit(limit, seconds);
    }
}

fn raw(running: &Running, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(running.server.address()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// Everything until the server closes. A reset counts as the end; what came before it is kept.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("neither data nor an end: {error}"),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn half_requests_and_idle_connections_are_closed() {
    let running = Running::start_with(short_times);
    let begun = Instant::now();
    let half_header = "GET /logs/main/head HTTP/1.1\r\nhost: x\r\n";
    let whole = format!("{half_header}\r\n");
    for start in ["", "G", half_header, "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let said = rest(&mut raw(&running, start.as_bytes()));
        assert!(!said.starts_with("HTTP/1.1 200"), "{start:?}: {said}");
    }
    assert!(rest(&mut raw(&running, whole.as_bytes())).starts_with("HTTP/1.1 200"));
    let again = format!("{whole}GET /");
    assert!(rest(&mut raw(&running, again.as_bytes())).starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() >= Duration::from_secs(5), "a limit of a second closed earlier");
    assert!(running.get("/metrics").text().contains("cairn_http_connections_cut_total"));
}

#[test]
fn a_body_that_does_not_come_is_answered_408() {
    let running = Running::start_with(short_times);
    let token = &running.data.token;
    let header = format!("POST /logs/main/add HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    for body in ["content-length: 10\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let said = rest(&mut raw(&running, format!("{header}{body}").as_bytes()));
        assert!(said.starts_with("HTTP/1.1 408") && said.contains("urn:cairn:problem:timeout"), "{said}");
        assert!(
            said.contains("\"field\":\"body\",\"value\":\"3\",\"bound\":\"1 s, and 65536 bytes per second\""),
            "{said}"
        );
    }
    assert_eq!(running.get("/logs/main/head").text().lines().nth(1), Some("0"));
}

#[test]
fn a_reader_that_stops_reading_is_cut_off() {
    let running = Running::start_with(short_times);
    let entry = vec![b'x'; 60_000];
    for _ in 0..60 {
        running.add("main", &entry);
    }
    // Megabytes that nobody reads fill the kernel's buffers; then the server waits, and cuts.
    let one = "GET /logs/main/entries HTTP/1.1\r\nhost: x\r\n\r\n";
    let stalled = raw(&running, one.repeat(8).as_bytes());
    let cut = |text: &str| text.lines().any(|line| line == "cairn_http_connections_cut_total 1");
    let begun = Instant::now();
    while !cut(&running.get("/metrics").text()) {
        assert!(begun.elapsed() < LONG, "the connection was not cut");
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    drop(stalled);
}

#[test]
fn answers_that_nobody_reads_are_bounded_and_small_ones_go_on() {
    let running = Running::start_with(|data| data.set_limit("answers_in_flight_bytes", 1 << 20));
    let entry = vec![b'x'; 60_000];
    for _ in 0..60 {
        running.add("main", &entry);
    }
    assert_eq!(running.get("/logs/main/entries").status, 200, "one answer alone always fits");
    // The kernel's buffers take some; what then waits in the server's memory is more than its bound.
    let one = "GET /logs/main/entries HTTP/1.1\r\nhost: x\r\n\r\n";
    let stalled = raw(&running, one.repeat(8).as_bytes());
    let begun = Instant::now();
    let refused = loop {
        assert!(begun.elapsed() < LONG, "memory for answers has no bound");
        let answer = running.get("/logs/main/entries");
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.text().contains("the answers in memory have reached their bound"), "{}", refused.text());
    let said = running.server.stderr();
    let line = said.lines().find(|line| line.contains("the answers in memory")).unwrap();
    assert!(line.contains(" WARN ") && !said.contains(" ERROR "), "{said}");
    for small in ["/logs/main/head", "/logs/main/proof/inclusion?index=3", "/logs/main/tile/0/000.p/60"] {
        assert_eq!(running.get(small).status, 200, "{small}");
    }
    assert_eq!(running.add("main", b"appends go on"), 60);
    drop(stalled);
    while running.get("/logs/main/entries").status != 200 {
        assert!(begun.elapsed() < 2 * LONG, "the memory was not given back");
    }
}

#[test]
fn connections_over_the_limit_are_answered_503_and_places_become_free() {
    let running = Running::start_with(|data| data.set_limit("connections", 3));
    let address = running.server.address();
    let mut held: Vec<_> = (0..3).map(|_| Connection::open(address).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(connection.ask(&Request::get("/healthz")).unwrap().status, 200);
    }
    let over = Connection::open(address).unwrap().ask(&Request::get("/healthz")).unwrap();
    assert_eq!((over.status, over.header("retry-after"), over.header("connection")), (503, Some("1"), Some("close")));
    assert!(over.text().contains("urn:cairn:problem:busy"), "{}", over.text());
    // Also when it is about to send a large body.
    let large = Connection::open(address).unwrap().ask(&Request::post("/logs/main/add", vec![0; 4 << 20])).unwrap();
    assert_eq!(large.status, 503);
    for connection in &mut held {
        assert_eq!(connection.ask(&Request::get("/healthz")).unwrap().status, 200);
    }
    held.clear();
    let begun = Instant::now();
    while Connection::open(address).unwrap().ask(&Request::get("/healthz")).unwrap().status != 200 {
        assert!(begun.elapsed() < LONG, "no place became free");
    }
}

/// Thousands that connect and say nothing would else keep everybody out until each has had its time.
#[test]
fn connections_that_never_ask_give_way_to_those_that_do() {
    let running = Running::start_with(|data| data.set_limit("connections", 8));
    let asked = Request::get("/healthz");
    let mut kept = Connection::open(running.server.address()).unwrap();
    assert_eq!(kept.ask(&asked).unwrap().status, 200);
    let silent: Vec<_> = (0..7).map(|_| raw(&running, b"")).collect();
    let begun = Instant::now();
    while Connection::open(running.server.address()).unwrap().ask(&asked).unwrap().status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(6), "they kept their places");
    }
    assert_eq!(kept.ask(&asked).unwrap().status, 200, "who has asked stays");
    for mut stream in silent {
        assert_eq!(rest(&mut stream), "");
    }
}

#[test]
fn who_sends_too_much_still_gets_to_read_the_refusal() {
    let running = Running::start();
    let (address, token) = (running.server.address(), format!("Bearer {}", running.data.token));
    for (request, status) in [
        (
            Request::post("/logs/main/entries", vec![0; 40 << 20])
                .with("content-type", "application/vnd.cairn.entries"),
            413,
        ),
        (Request::post("/logs/main/add", vec![0; 40 << 20]), 413),
        (Request::post("/logs/absent/add", vec![0; 40 << 20]), 404),
    ] {
        let answer = Connection::open(address).unwrap().ask(&request.with("authorization", token.clone())).unwrap();
        assert_eq!(answer.status, status);
    }
    let chunked = format!(
        "POST /logs/main/add HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ntransfer-encoding: chunked\r\n\r\n14000\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x14000)
    );
    let mut stream = raw(&running, chunked.as_bytes());
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
}

/// What is no request never reaches the routes: the HTTP library answers it, shortly, and the connection ends. The API's
/// description says so.
#[test]
fn what_is_no_request_is_answered_without_a_body_and_closed() {
    let running = Running::start();
    let long = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(200));
    let requests = [("nonsense\r\n\r\n", 400), ("GET /healthz HTTP/9.9\r\n\r\n", 400), (&long, 431), (&many, 431)];
    for (request, status) in requests {
        let mut stream = TcpStream::connect(running.server.address()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        // It may close before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let said = rest(&mut stream);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {said}");
        assert!(said.ends_with("\r\n\r\n") && said.contains("connection: close"), "{status}: {said}");
    }
    assert!(running.get("/openapi.json").text().contains("answered 400 or 431 without a body"));
}

#[test]
fn request_ids_come_back_and_are_made_where_none_came() {
    let running = Running::start();
    let id = |request: Request| running.ask(request).header("x-request-id").unwrap().to_owned();
    assert_eq!(id(Request::get("/healthz").with("x-request-id", "job-7")), "job-7");
    assert_eq!(id(Request::get("/absent").with("x-request-id", "job-8")), "job-8");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    assert_eq!(id(Request::get("/healthz").with("traceparent", parent)), trace);
    let (first, second) = (id(Request::get("/healthz")), id(Request::get("/healthz").with("x-request-id", "a b")));
    assert!(first.len() == 32 && second.len() == 32 && first != second);
}

#[test]
fn a_stop_lets_requests_finish_and_closes_idle_connections() {
    let running = Running::start();
    let token = &running.data.token;
    let mut idle = raw(&running, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    let header =
        format!("POST /logs/main/add HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nexpect: 100-continue\r\n");
    let mut slow = raw(&running, format!("{header}content-length: 5\r\n\r\n").as_bytes());
    // The server asks for the body only when the handler is at work.
    let mut proceed = [0; 25];
    slow.read_exact(&mut proceed).unwrap();
    assert!(proceed.starts_with(b"HTTP/1.1 100 Continue"));
    running.server.terminate();
    let answered = rest(&mut idle);
    assert!(answered.starts_with("HTTP/1.1 200") && answered.ends_with("ok\n"), "{answered}");
    slow.write_all(b"hello").unwrap();
    let said = rest(&mut slow);
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("\r\n\r\n0"), "{said}");
    let mut server = running.server;
    assert_eq!(server.ended().code, Some(0));
    let server = running.data.serve();
    let kept = Connection::open(server.address()).unwrap().ask(&Request::get("/logs/main/entries/0")).unwrap();
    assert_eq!(kept.body, b"hello");
}

/// Frames of HTTP/2 (RFC 9113, section 6) as a client writes them, with headers of literals (RFC 7541, section 6.2.2).
mod frames {
    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    pub(super) const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";
    /// The flag of the last frame of a stream, and that of an answered ping.
    pub(super) const END: u8 = 1;

    /// Headers of a request, after its method's entry of the static table.
    pub(super) fn request(stream: u8, end: u8, (method, path): (u8, &str), authorization: &str) -> Vec<u8> {
        let mut headers = vec![method, 0x86];
        for (name, value) in [(&[4][..], path), (&[1], "x"), (&[15, 8], authorization)] {
            headers.extend_from_slice(name);
            headers.push(u8::try_from(value.len()).unwrap());
            headers.extend_from_slice(value.as_bytes());
        }
        let mut frame = vec![0, 0, u8::try_from(headers.len()).unwrap(), 1, 4 | end, 0, 0, 0, stream];
        frame.append(&mut headers);
        frame
    }
}

/// Reads frames up to one of this kind and stream that is the last.
fn read_up_to(stream: &mut TcpStream, (kind, number): (u8, u8)) {
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).unwrap();
        let [_, high, low, found, flags, .., last] = header;
        stream.read_exact(&mut vec![0; usize::from(high) << 8 | usize::from(low)]).unwrap();
        if (found, last) == (kind, number) && flags & frames::END != 0 {
            return;
        }
    }
}

/// The connection was begun on the threads of crowds, and has gone on with the others since it was answered.
#[test]
fn a_stop_that_can_wait_no_longer_drops_what_is_open_in_silence() {
    let running = Running::start_with(|data| data.set_limit("shutdown_seconds", 1));
    let authorization = format!("Bearer {}", running.data.token);
    let mut late = raw(&running, frames::PREFACE);
    late.write_all(&frames::request(1, frames::END, (0x82, "/healthz"), "none")).unwrap();
    read_up_to(&mut late, (0, 1));
    late.write_all(&frames::request(3, 0, (0x83, "/logs/main/add"), &authorization)).unwrap();
    late.write_all(frames::PING).unwrap();
    read_up_to(&mut late, (6, 0));
    let ended = running.server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopping although some connections are still open"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(running.data.serve().stop().code, Some(0));
}
