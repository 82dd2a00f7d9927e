//! Reading a request's body: bounded in bytes, in time, and over all requests together.
//!
//! No decompression: a body in a content encoding is refused, so a small body never becomes a large one. Not here: what a
//! body means, and how a refusal is worded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

/// Bytes that all request bodies together, or all answers, may hold in memory.
#[derive(Debug, Clone)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    used: Arc<AtomicUsize>,
    most: usize,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    /// The same, but a quarter of it can't be had: it is left to others.
    #[must_use]
    pub fn but_a_quarter(&self) -> Self {
        Self { used: Arc::clone(&self.used), most: self.most - self.most / 4 }
    }

    /// The bytes that are in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A part of so many bytes, if there is room for it.
    #[must_use]
    pub fn part(&self, bytes: usize) -> Option<Reservation> {
        let mut reservation = self.begin();
        reservation.add(bytes).then_some(reservation)
    }

    /// A part without bytes yet.
    fn begin(&self) -> Reservation {
        Reservation { used: Arc::clone(&self.used), most: self.most, bytes: 0 }
    }

    /// A part of so many bytes while the bound is not reached; the last one may pass it. For what is in memory already.
    #[must_use]
    pub fn last_part(&self, bytes: usize) -> Option<Reservation> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let reservation = Reservation { used: Arc::clone(&self.used), most: self.most, bytes };
        // What does not fit is given back by its drop.
        (before < self.most).then_some(reservation)
    }

    /// Whether the bound is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used() >= self.most
    }

    /// A part of so many bytes, room or not: for what can't be refused any more.
    #[must_use]
    pub fn forced(&self, bytes: usize) -> Reservation {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Reservation { used: Arc::clone(&self.used), most: self.most, bytes }
    }
}

impl Reservation {
    /// How many bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows to hold `received` bytes, and twice as many if there is room, but never more than `whole`. So a body has room
    /// for what has come of it and no more: who declares much and sends nothing takes nothing from others, and one that is
    /// half there finds room for the rest.
    fn hold(&mut self, received: usize, whole: usize) -> bool {
        if received <= self.bytes {
            return true;
        }
        let ahead = received.saturating_mul(2).min(whole).max(received);
        self.add(ahead - self.bytes) || self.add(received - self.bytes)
    }

    fn add(&mut self, bytes: usize) -> bool {
        // Only the counter itself is shared; no other memory hangs on its order.
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        // One request alone always fits, however small the budget was configured.
        if before > 0 && before.saturating_add(bytes) > self.most {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How fast a request's body must come in, and how much of a refused one is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyBounds {
    /// The time for a body, besides what its bytes take at the slowest rate.
    pub time: Duration,
    /// The longest pause in which nothing of it comes in.
    pub pause: Duration,
    /// The slowest rate at which a body may come in.
    pub bytes_per_second: u64,
    /// Bytes of a refused body that are read and dropped, so that its sender gets to read the refusal.
    pub drain_bytes: u64,
}

impl Default for BodyBounds {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(8),
            pause: Duration::from_secs(4),
            bytes_per_second: 64 << 10,
            drain_bytes: 64 << 20,
        }
    }
}

/// A body that was read whole, and its part of the budget.
#[derive(Debug)]
pub struct ReadBody {
    /// The body.
    pub bytes: Bytes,
    /// Held until the request is answered.
    pub reservation: Reservation,
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has a content encoding.
    #[error("request bodies are not decompressed; send the bytes as they are, not as {0}")]
    Encoded(String),
    /// It is larger than is taken.
    #[error("the body is {found}, but at most {most} bytes are taken", found = found.map_or_else(|| "larger".to_owned(), |found| format!("{found} bytes")))]
    TooLarge {
        /// The length that was declared, if one was.
        found: Option<u64>,
        /// The bound.
        most: usize,
    },
    /// All bodies together have reached the budget.
    #[error("the request bodies in memory have reached their bound")]
    NoRoom,
    /// The connection or stream ended within it.
    #[error("it ended before its declared length")]
    Cut,
    /// It came in too slowly.
    #[error("only {received} bytes came in in time")]
    Late {
        /// What came in.
        received: usize,
    },
}

/// Reads a body of at most `most` bytes, as part of `budget`.
///
/// # Errors
/// [`BodyError`]; what is left of the body may then be [drained](drain).
pub async fn read(
    body: &mut Incoming,
    headers: &HeaderMap,
    most: usize,
    budget: &Budget,
    bounds: BodyBounds,
) -> Result<ReadBody, BodyError> {
    refuse_encoding(headers)?;
    let declared = body.size_hint().exact();
    if declared.is_some_and(|length| length > most as u64) {
        return Err(BodyError::TooLarge { found: declared, most });
    }
    let whole = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(most);
    // A full budget is told at once, to clients that wait with the body for a word (RFC 9110, section 10.1.1).
    if whole > 0 && budget.is_full() {
        return Err(BodyError::NoRoom);
    }
    let mut reservation = budget.begin();
    let mut collector = Collector::new(body, bounds);
    while let Some(received) = collector.step().await? {
        if received > most {
            return Err(BodyError::TooLarge { found: None, most });
        }
        if !reservation.hold(received, whole) {
            return Err(BodyError::NoRoom);
        }
    }
    Ok(ReadBody { bytes: collector.finish(), reservation })
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), BodyError> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(()) };
    if encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    Err(BodyError::Encoded(String::from_utf8_lossy(encoding.as_bytes()).into_owned()))
}

/// Reads and drops what is left of a refused body, within bounds.
///
/// On HTTP/2 an answer that comes before the body's end resets the stream, and some clients then lose the answer. On
/// HTTP/1.1 the connection lingers by itself.
pub async fn drain(body: &mut Incoming, bounds: BodyBounds) {
    let end = Instant::now() + bounds.time;
    let mut left = bounds.drain_bytes;
    while left > 0 && !body.is_end_stream() {
        let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await else { return };
        left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
    }
}

/// Frames on their way into one piece; a body of a single frame is not copied.
struct Collector<'a> {
    body: &'a mut Incoming,
    first: Bytes,
    rest: BytesMut,
    start: Instant,
    bounds: BodyBounds,
}

impl<'a> Collector<'a> {
    fn new(body: &'a mut Incoming, bounds: BodyBounds) -> Self {
        Self { body, first: Bytes::new(), rest: BytesMut::new(), start: Instant::now(), bounds }
    }

    /// Reads one frame; the bytes so far, or `None` at the end.
    async fn step(&mut self) -> Result<Option<usize>, BodyError> {
        let received = self.received();
        let frame =
            timeout_at(self.deadline(received), self.body.frame()).await.map_err(|_| BodyError::Late { received })?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|_| BodyError::Cut)?;
        // Trailers have no meaning here.
        if let Ok(data) = frame.into_data() {
            self.push(data);
        }
        Ok(Some(self.received()))
    }

    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = data;
            return;
        }
        if self.rest.is_empty() {
            self.rest.reserve(self.first.len() + data.len());
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&data);
    }

    /// A fixed time, and what the bytes so far take at the slowest rate that is allowed; and no longer than a pause.
    fn deadline(&self, received: usize) -> Instant {
        let rate = self.bounds.bytes_per_second.max(1);
        let end = self.start + self.bounds.time + Duration::from_secs(received as u64 / rate);
        end.min(Instant::now() + self.bounds.pause)
    }

    fn received(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back_and_one_request_always_fits() {
        let budget = Budget::new(100);
        let large = budget.part(1_000).unwrap();
        assert!(budget.part(1).is_none());
        drop(large);
        let mut half = budget.part(50).unwrap();
        let rest = budget.part(50).unwrap();
        assert!(!half.add(1));
        drop(rest);
        assert!(half.add(1));
        assert_eq!((half.bytes(), budget.used()), (51, 51));
        drop(half);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_last_part_may_pass_the_bound_and_none_comes_after_it() {
        let budget = Budget::new(100);
        let first = budget.last_part(99).unwrap();
        assert!(!budget.is_full());
        let last = budget.last_part(50).unwrap();
        assert!(budget.is_full() && budget.last_part(1).is_none());
        assert_eq!(budget.used(), 149);
        drop((first, last));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_body_has_room_for_what_has_come_of_it_and_a_little_ahead() {
        let budget = Budget::new(100);
        let mut body = budget.begin();
        assert!(body.hold(0, 90) && budget.used() == 0, "declared, and nothing came");
        assert!(body.hold(20, 90) && body.bytes() == 40);
        assert!(body.hold(40, 90) && body.bytes() == 40);
        assert!(body.hold(50, 90) && body.bytes() == 90, "never more than was declared");
        let mut other = budget.begin();
        assert!(other.hold(8, 90) && other.bytes() == 8, "no room to hold any ahead");
        assert!(!other.hold(11, 90));
        drop(body);
        assert!(other.hold(11, 90) && other.bytes() == 22);
    }

    /// Sends these pieces of one request, each after its pause, and tells what became of its body, and how much room it
    /// took when the last piece had come.
    async fn sent(pieces: &[(u64, &'static str)], bounds: BodyBounds) -> (Result<usize, BodyError>, usize) {
        use hyper::service::service_fn;
        use hyper_util::rt::TokioIo;
        use tokio::io::AsyncWriteExt as _;

        let (mut client, server) = tokio::io::duplex(1 << 20);
        let (tell, told) = tokio::sync::oneshot::channel();
        let (budget, tell) = (Budget::new(1 << 20), std::sync::Mutex::new(Some(tell)));
        let used = budget.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (budget, tell) = (budget.clone(), tell.lock().unwrap().take().unwrap());
            async move {
                let (parts, mut body) = request.into_parts();
                let read = read(&mut body, &parts.headers, 1 << 20, &budget, bounds).await;
                tell.send(read.map(|read| read.bytes.len())).unwrap();
                Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Empty::<Bytes>::new()))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let serving = tokio::spawn(connection);
        for (pause, piece) in pieces {
            tokio::time::sleep(Duration::from_millis(*pause)).await;
            client.write_all(piece.as_bytes()).await.unwrap();
        }
        // The reader has its turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let held = used.used();
        let read = told.await.unwrap();
        serving.abort();
        (read, held)
    }

    const DECLARED: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 131072\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn what_is_only_declared_takes_no_room_and_is_let_go_after_a_pause() {
        let begun = Instant::now();
        let (read, held) = sent(&[(0, DECLARED)], BodyBounds::default()).await;
        assert_eq!((read, held), (Err(BodyError::Late { received: 0 }), 0));
        assert_eq!(begun.elapsed().as_secs(), 4);
        let (read, held) = sent(&[(0, DECLARED), (0, "abc")], BodyBounds::default()).await;
        assert_eq!((read, held), (Err(BodyError::Late { received: 3 }), 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_has_its_time_and_no_more() {
        let begun = Instant::now();
        let trickle: Vec<(u64, &str)> =
            core::iter::once((0, DECLARED)).chain(core::iter::repeat_n((3_000, "x"), 2)).collect();
        let (read, _) = sent(&trickle, BodyBounds::default()).await;
        assert_eq!((read, begun.elapsed().as_secs()), (Err(BodyError::Late { received: 2 }), 8));
        let whole = [(0, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"), (3_000, "ab"), (3_000, "cd")];
        assert_eq!(sent(&whole, BodyBounds::default()).await.0, Ok(4));
    }
}
