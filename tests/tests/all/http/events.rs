//! The event stream: every entry and head once, in order, resumable, and over when the server stops.

use cairn_tests::http::{Connection, Event, Request};
use cairn_tests::server::cairnd;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::wire::read::{EntryEvent, HeadEvent};

use super::Running;

struct Stream(Connection);

impl Stream {
    fn open(running: &Running, target: &str, last: Option<&str>) -> Self {
        let mut connection = Connection::open(running.server.address()).unwrap();
        let mut request = Request::get(target);
        if let Some(last) = last {
            request = request.with("last-event-id", last);
        }
        assert_eq!(connection.ask_stream(&request).unwrap(), 200);
        Self(connection)
    }

    fn next(&mut self) -> Option<Event> {
        self.0.next_event().unwrap()
    }

    fn entry(&mut self, index: u64, bytes: &[u8]) {
        let Event { kind, id, data } = self.next().unwrap();
        assert_eq!((kind.as_str(), id), ("entry", Some(index + 1)), "{data}");
        let event: EntryEvent = serde_json::from_str(&data).unwrap();
        assert_eq!((event.index.get(), event.leaf_hash), (index, Hash::leaf(bytes)));
        assert_eq!(event.entry.unwrap().0, bytes);
    }

    fn head(&mut self, size: u64) {
        let Event { kind, id, data } = self.next().unwrap();
        assert_eq!((kind.as_str(), id), ("head", Some(size)), "{data}");
        let event: HeadEvent = serde_json::from_str(&data).unwrap();
        let unverified: &SignedCheckpoint = &event.checkpoint;
        assert_eq!((event.size.get(), unverified.unverified().size().get()), (size, size));
    }
}

#[test]
fn entries_come_before_the_head_that_has_them() {
    let running = Running::start();
    let mut stream = Stream::open(&running, "/logs/main/events", None);
    stream.head(0);
    for index in 0..3_u64 {
        let entry = format!("entry {index}");
        running.add("main", entry.as_bytes());
        stream.entry(index, entry.as_bytes());
        stream.head(index + 1);
    }
}

#[test]
fn a_reader_that_comes_back_misses_nothing_and_gets_nothing_twice() {
    let running = Running::start();
    let large = vec![b'x'; 60_000];
    for entry in [b"a".as_slice(), &large, &large, b"d"] {
        running.add("main", entry);
    }
    let mut stream = Stream::open(&running, "/logs/main/events", Some("1"));
    stream.entry(1, &large);
    stream.entry(2, &large);
    stream.entry(3, b"d");
    stream.head(4);
    let mut from_start = Stream::open(&running, "/logs/main/events?start=0", None);
    from_start.entry(0, b"a");
    let mut caught_up = Stream::open(&running, "/logs/main/events?start=0", Some("4"));
    caught_up.head(4);
    for bad in ["5", "x", "-1", "18446744073709551615"] {
        let mut connection = Connection::open(running.server.address()).unwrap();
        let answer = connection.ask(&Request::get("/logs/main/events").with("last-event-id", bad)).unwrap();
        assert_eq!(answer.status, 400, "{bad}");
        assert!(answer.text().contains("\"field\":\"last-event-id\""), "{bad}: {}", answer.text());
    }
}

#[test]
fn streams_are_bounded_in_number_and_end_with_the_server() {
    let running = Running::start_with(|data| data.set_limit("event_streams", 4));
    let mut streams = [(); 2].map(|()| Stream::open(&running, "/logs/main/events", None));
    streams.iter_mut().for_each(|stream| stream.head(0));
    let over = running.get("/logs/main/events");
    assert_eq!((over.status, over.header("retry-after")), (503, Some("1")));
    running.server.terminate();
    for stream in &mut streams {
        assert_eq!(stream.next(), None);
    }
    let mut server = running.server;
    assert_eq!(server.ended().code, Some(0));
}

#[test]
fn a_stream_of_a_private_log_ends_when_its_token_is_revoked() {
    let running = Running::start_with(|data| drop(data.create_log("secret", &["--private"])));
    let made = cairnd(running.data.path(), &["token", "create", "--rights", "read", "--logs", "secret", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let mut connection = Connection::open(running.server.address()).unwrap();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let request = Request::get("/logs/secret/events").with("authorization", bearer);
    assert_eq!(connection.ask_stream(&request).unwrap(), 200);
    let mut stream = Stream(connection);
    stream.head(0);
    running.add("secret", b"seen");
    stream.entry(0, b"seen");
    stream.head(1);
    let id = made["id"].as_str().unwrap();
    assert_eq!(cairnd(running.data.path(), &["token", "revoke", id]).code, Some(0));
    running.add("secret", b"not for them");
    assert_eq!(stream.next(), None);
}
