//! Reading a request's body: bounded in bytes, in time, and over all requests together.
//!
//! No decompression: a body in a content encoding is refused, so a small body never becomes a large one.

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

use super::problem::{Kind, Problem};
use crate::limits::Limits;

/// Bytes that all request bodies together, or all answers, may hold in memory.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    used: Arc<AtomicUsize>,
    most: usize,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Self { used: Arc::default(), most }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: usize) -> Result<Reservation, Problem> {
        self.part(bytes).ok_or_else(full)
    }

    /// A part of so many bytes, if there is room for it.
    pub(crate) fn part(&self, bytes: usize) -> Option<Reservation> {
        let mut reservation = Reservation { used: Arc::clone(&self.used), most: self.most, bytes: 0 };
        reservation.add(bytes).then_some(reservation)
    }

    /// A part of so many bytes, room or not: for what can't be refused any more.
    pub(crate) fn forced(&self, bytes: usize) -> Reservation {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Reservation { used: Arc::clone(&self.used), most: self.most, bytes }
    }
}

impl Reservation {
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        self.add(bytes).then_some(()).ok_or_else(full)
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

/// A body that was read whole, and its part of the budget.
#[derive(Debug)]
pub(crate) struct ReadBody {
    pub(crate) bytes: Bytes,
    /// Held until the request is answered.
    pub(crate) reservation: Reservation,
}

/// What is wrong with a body that is larger than `most`.
pub(crate) struct Bound {
    /// What the body is called in the problem.
    pub(crate) field: &'static str,
    pub(crate) most: usize,
}

/// Reads a body of at most `bound.most` bytes.
pub(crate) async fn read(
    body: &mut Incoming,
    headers: &HeaderMap,
    bound: Bound,
    budget: &Budget,
    limits: &Limits,
) -> Result<ReadBody, Problem> {
    refuse_encoding(headers)?;
    let too_large = |found: String| Problem::too_large(bound.field, found, bound.most, "bytes");
    let declared = body.size_hint().exact();
    if let Some(length) = declared.filter(|length| *length > bound.most as u64) {
        return Err(too_large(length.to_string()));
    }
    let mut reservation = budget.reserve(declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0))?;
    let mut collector = Collector::new(body, declared, limits);
    while let Some(received) = collector.step().await? {
        if received > bound.most {
            return Err(too_large(format!("more than {}", bound.most)));
        }
        if received > reservation.bytes {
            let more = received - reservation.bytes;
            reservation.grow(more)?;
        }
    }
    Ok(ReadBody { bytes: collector.finish(), reservation })
}

fn full() -> Problem {
    Problem::busy("the request bodies in memory have reached their bound")
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(()) };
    if encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let value = String::from_utf8_lossy(encoding.as_bytes());
    let detail = "content-encoding: request bodies are not decompressed; send the bytes as they are";
    Err(Problem::new(Kind::UnsupportedType, detail).field("content-encoding").value(value).bound("identity"))
}

/// Reads and drops what is left of a refused body, within bounds.
///
/// On HTTP/2 an answer that comes before the body's end resets the stream, and some clients then lose the answer. On
/// HTTP/1.1 the connection lingers instead (`wire`).
pub(crate) async fn drain(body: &mut Incoming, limits: &Limits) {
    let end = Instant::now() + limits.body_time();
    let mut left = limits.drain_bytes();
    while left > 0 && !body.is_end_stream() {
        let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await else { return };
        left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
    }
}

/// Frames on their way into one piece; a body of a single frame is not copied.
struct Collector<'a> {
    body: &'a mut Incoming,
    capacity: usize,
    first: Bytes,
    rest: BytesMut,
    deadline: Deadline,
}

impl<'a> Collector<'a> {
    fn new(body: &'a mut Incoming, declared: Option<u64>, limits: &Limits) -> Self {
        let capacity = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        Self { body, capacity, first: Bytes::new(), rest: BytesMut::new(), deadline: Deadline::new(limits) }
    }

    /// Reads one frame; the bytes so far, or `None` at the end.
    async fn step(&mut self) -> Result<Option<usize>, Problem> {
        let received = self.received();
        let frame = match timeout_at(self.deadline.at(received), self.body.frame()).await {
            Ok(frame) => frame,
            Err(_) => return Err(self.deadline.problem(received)),
        };
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|_| Problem::new(Kind::Malformed, "body: it ended before its declared length"))?;
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
            self.rest.reserve(self.capacity.max(self.first.len() + data.len()));
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&data);
    }

    fn received(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

/// A fixed time, and what the bytes so far take at the slowest rate that is allowed.
struct Deadline {
    start: Instant,
    fixed: Duration,
    bytes_per_second: u64,
}

impl Deadline {
    fn new(limits: &Limits) -> Self {
        Self { start: Instant::now(), fixed: limits.body_time(), bytes_per_second: limits.body_bytes_per_second() }
    }

    fn at(&self, received: usize) -> Instant {
        self.start + self.fixed + Duration::from_secs(received as u64 / self.bytes_per_second)
    }

    fn problem(&self, received: usize) -> Problem {
        let (seconds, rate) = (self.fixed.as_secs(), self.bytes_per_second);
        let detail = format!("body: only {received} bytes came in in time");
        Problem::new(Kind::Timeout, detail)
            .field("body")
            .value(received.to_string())
            .bound(format!("{seconds} s, and {rate} bytes per second"))
            .closing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back_and_one_request_always_fits() {
        let budget = Budget::new(100);
        let large = budget.reserve(1_000).unwrap();
        assert_eq!(budget.reserve(1).unwrap_err().kind(), Kind::Busy);
        drop(large);
        let mut half = budget.reserve(50).unwrap();
        let rest = budget.reserve(50).unwrap();
        assert_eq!(half.grow(1).unwrap_err().kind(), Kind::Busy);
        drop(rest);
        half.grow(1).unwrap();
        assert_eq!(budget.used(), 51);
        drop(half);
        assert_eq!(budget.used(), 0);
    }
}
