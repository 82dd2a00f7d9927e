//! One TCP stream as hyper sees it: it counts what passes, takes turns with the others, and closes lingering.
//!
//! A server that closes while the peer still sends makes the kernel reset the connection, and the peer may never read the
//! refusal that it was sent. So the sending side is closed first, and what still comes in is dropped, within bounds.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::pace::Pace;
use crate::pulse::Pulse;
use crate::turn::{TURN, Turn, Turns};

/// What the preface of HTTP/2 begins with (RFC 9113, section 3.4) and no request of HTTP/1.1 does.
const HTTP2_PREFACE: &[u8] = b"PRI ";
/// How long a peer may go on sending after it was told that the connection is over.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes that one connection drops before it lets others go on.
const DROPPED: usize = 256 << 10;
/// Bytes of a header that are read at once; few have more.
const HEADER: u64 = 8 << 10;
/// Bytes that are read at once of a header that has more.
const PIECE: usize = 2 << 10;
/// The shortest pause between two turns.
const BREATH: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    pulse: Arc<Pulse>,
    turn: Turn,
    header: Header,
    closing: Closing,
}

/// What paces all connections together.
#[derive(Debug, Clone)]
pub(super) struct Paces {
    dropped: Arc<Pace>,
    endings: Arc<Pace>,
    headers: Arc<Pace>,
    turns: Turns,
}

impl Paces {
    pub(super) fn new(now: Instant) -> Self {
        let [dropped, endings, headers] =
            [Pace::of_dropped(now), Pace::of_endings(now), Pace::of_headers(now)].map(Arc::new);
        Self { dropped, endings, headers, turns: Turns::of_machine() }
    }
}

/// How a header is read that has more than nearly all do.
#[derive(Debug)]
struct Header {
    /// Shared by all connections.
    pace: Arc<Pace>,
    /// Until when nothing is read, because all connections together read enough.
    pause: Option<Pin<Box<Sleep>>>,
}

/// What happens between our last byte and the peer's.
#[derive(Debug)]
struct Closing {
    /// Bytes that may still be dropped.
    left: u64,
    /// Shared by all connections.
    pace: Arc<Pace>,
    /// How fast connections end whose peers still send; shared likewise.
    endings: Arc<Pace>,
    /// Until when such a connection stays as it is.
    held: Option<Pin<Box<Sleep>>>,
    /// When it ends in any case; set once our side is closed.
    end: Option<Pin<Box<Sleep>>>,
    /// Until when nothing is read, because all connections together dropped enough.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>, drain: u64, paces: &Paces) -> Self {
        let Paces { dropped, endings, headers, turns } = paces.clone();
        let header = Header { pace: headers, pause: None };
        let closing = Closing { left: drain, pace: dropped, endings, held: None, end: None, pause: None };
        Self { stream, pulse, turn: turns.begin(), header, closing }
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => {
                self.pulse.written(*bytes);
                self.turn.count(*bytes);
            }
            Poll::Pending => {
                self.turn.pass();
                self.pulse.blocked();
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }
}

impl Header {
    /// Reads on in a long header, at the pace of all of them.
    fn poll_read(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let mut piece = [0; PIECE];
        let most = buf.remaining().min(PIECE);
        let mut piece = ReadBuf::new(piece.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
        buf.put_slice(piece.filled());
        let read = piece.filled().len();
        self.pause = self.pace.spend(read, Instant::now()).map(|until| Box::pin(sleep_until(until)));
        Poll::Ready(Ok(read))
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pulse.unasked() >= HEADER {
            let Self { stream, header, pulse, .. } = self.get_mut();
            let read = ready!(header.poll_read(stream, cx, buf))?;
            pulse.read(read);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if !self.pulse.is_answering() {
            self.turn.begin_anew();
        }
        if self.pulse.nothing_read_yet() && fresh.starts_with(HTTP2_PREFACE) {
            self.pulse.is_http2();
        }
        self.pulse.read(fresh.len());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.turn.poll(cx));
        let some = bytes.get(..TURN).unwrap_or(bytes);
        let written = Pin::new(&mut self.stream).poll_write(cx, some);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Behind empty slices alone, nothing would be written, which reads as a peer that takes no more.
        let empty = slices.iter().take_while(|slice| slice.is_empty()).count();
        let slices = slices.get(empty..).unwrap_or_default();
        let some = of_one_turn(slices);
        if some == 0 {
            return self.poll_write(cx, slices.first().map(|slice| &**slice).unwrap_or_default());
        }
        ready!(self.turn.poll(cx));
        let some = slices.get(..some).unwrap_or(slices);
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, some);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever flushes has nothing more to write for now.
        self.turn.pass();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, pulse, closing, turn, .. } = self.get_mut();
        turn.pass();
        if closing.end.is_none() {
            ready!(closing.poll_held(stream, pulse, cx));
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        closing.poll(stream, cx).map(Ok)
    }
}

/// How many slices, from the first on, one turn has room for.
fn of_one_turn(slices: &[IoSlice<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |slice: &&IoSlice<'_>| {
        bytes += slice.len();
        bytes <= TURN
    };
    slices.iter().take_while(fits).count()
}

impl Closing {
    /// A peer that sends what nobody asked for is not told at once that the connection is over: it would come again at
    /// once, and a few dozen of them a few thousand times in a second. So such connections end at a pace that all of them
    /// share; where too many wait for that, or more is sent than is dropped, they end without courtesy. Who sends
    /// nothing is not held up.
    fn poll_held(&mut self, stream: &mut TcpStream, pulse: &Pulse, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(held) = &mut self.held {
            return held.as_mut().poll(cx);
        }
        let now = Instant::now();
        let (mut scratch, crowded) = ([0; 512], self.pace.is_exhausted(now));
        let mut buf = ReadBuf::new(&mut scratch);
        let read = Pin::new(stream).poll_read(cx, &mut buf);
        let sends = match read {
            Poll::Ready(_) => !buf.filled().is_empty(),
            Poll::Pending => pulse.read_in_vain() >= HEADER,
        };
        let hold = sends && self.left > 0 && !self.endings.is_exhausted(now);
        if crowded || (sends && !hold) {
            self.left = 0;
        }
        let until = if hold { self.endings.spend(1, now) } else { None };
        let held = self.held.insert(Box::pin(sleep_until(until.unwrap_or(now))));
        if until.is_none() { Poll::Ready(()) } else { held.as_mut().poll(cx) }
    }

    /// Reads and drops, until the peer is done or gone, or has had its bytes or its time.
    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut scratch = [0; 8192];
        loop {
            let now = Instant::now();
            if self.left == 0 || end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let mut dropped = 0;
            while dropped < DROPPED {
                let mut buf = ReadBuf::new(&mut scratch);
                match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                    Poll::Ready(Ok(())) if !buf.filled().is_empty() => dropped += buf.filled().len(),
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if dropped == 0 => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            self.left = self.left.saturating_sub(dropped as u64);
            // Also without a wait the task yields after each turn, so that a fast sender does not keep its thread.
            let until = self.pace.spend(dropped, now).unwrap_or(now);
            self.pause = Some(Box::pin(sleep_until(until.max(now + BREATH))));
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// hyper takes an answer of which nothing is written for a connection that is over.
    #[tokio::test]
    async fn empty_slices_before_one_larger_than_a_turn_are_no_empty_write() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut wire = Wire::new(stream, Arc::new(Pulse::default()), 0, &Paces::new(Instant::now()));
        let large = vec![7; 2 * TURN];
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            peer.read_to_end(&mut read).await.map(|_| read)
        });
        let mut sent = 0;
        for slices in [[&[][..], &large], [&[1][..], &large], [&large, &[][..]], [&[][..], &[1]]] {
            let slices = slices.map(IoSlice::new);
            let written = poll_fn(|cx| Pin::new(&mut wire).poll_write_vectored(cx, &slices)).await.unwrap();
            assert!((1..=TURN).contains(&written), "{written}");
            sent += written;
        }
        let none = [IoSlice::new(&[]), IoSlice::new(&[])];
        assert_eq!(poll_fn(|cx| Pin::new(&mut wire).poll_write_vectored(cx, &none)).await.unwrap(), 0);
        drop(wire);
        assert_eq!(reading.await.unwrap().unwrap().len(), sent);
    }

    #[tokio::test(start_paused = true)]
    async fn where_too_much_is_sent_only_who_sends_waits_for_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let paces = Paces::new(Instant::now());
        let shut = async |sends: bool| {
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            if sends {
                peer.write_all(&[7; 600]).await.unwrap();
                stream.readable().await.unwrap();
            }
            let mut wire = Wire::new(stream, Arc::new(Pulse::default()), 1 << 20, &paces);
            let begun = Instant::now();
            wire.shutdown().await.unwrap();
            begun.elapsed()
        };
        // As many as are free in a row.
        paces.endings.spend(125, Instant::now());
        paces.dropped.spend(1 << 30, Instant::now());
        assert!(shut(false).await < BREATH);
        let waits = [shut(true).await, shut(true).await];
        assert!(waits.iter().all(|wait| (4..=10).contains(&wait.as_millis())), "{waits:?}");
        // More wait than may.
        paces.endings.spend(500, Instant::now());
        assert!(shut(true).await < BREATH);
    }
}
