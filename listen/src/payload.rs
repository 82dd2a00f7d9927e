//! The body of an answer: nothing, whole bytes, in one piece or several, a stream of events, or pieces of something that has an end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::body::Reservation;
use crate::pulse::{Busy, Pulse};

/// An answer on its way to hyper.
pub type Answer = Response<Payload>;

/// What an answer carries, and the mark that its request is still at work.
#[derive(Debug)]
pub struct Payload {
    content: Content,
    part: Option<Reservation>,
    busy: Option<Busy>,
    leash: Option<Leash>,
}

/// Cuts the connection that an answer goes over: for whoever makes it piece by piece, and knows that its reader takes a
/// piece too slowly. To end the answer would not do: what was handed on before would wait for the reader.
#[derive(Debug, Clone, Default)]
pub struct Leash(Arc<OnceLock<Arc<Pulse>>>);

impl Leash {
    /// Cuts the connection soon, with all that goes over it.
    pub fn cut(&self) {
        if let Some(pulse) = self.0.get() {
            pulse.overdue();
        }
    }
}

/// The bytes of an answer until the last of them is written, however long hyper queues them for a peer that does not
/// read: so long the request is at work, and its part of the budget is in use.
struct Held {
    bytes: Bytes,
    /// What the pieces of one answer share.
    _whole: Arc<Whole>,
}

struct Whole {
    _part: Option<Reservation>,
    _busy: Busy,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Debug)]
enum Content {
    Empty,
    Whole(Bytes),
    /// In this order; none of them is empty.
    Pieces(VecDeque<Bytes>),
    /// Ends when the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
    /// Ends with `None`, and is cut if the sender is dropped before.
    Ending(mpsc::Receiver<Option<Bytes>>),
}

/// An answer that ends before its end: the connection or the stream is cut, so that its reader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer breaks off")]
pub struct Cut;

impl Payload {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self { content: Content::Empty, part: None, busy: None, leash: None }
    }

    /// All bytes at once.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(bytes.into()), part: None, busy: None, leash: None }
    }

    /// All bytes at once, in pieces that need not be copied into one.
    #[must_use]
    pub fn pieces(pieces: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        let pieces = pieces.into_iter().map(Into::into).filter(|piece: &Bytes| !piece.is_empty());
        Self { content: Content::Pieces(pieces.collect()), part: None, busy: None, leash: None }
    }

    /// Chunks as they come; it ends when the sender is dropped.
    #[must_use]
    pub const fn stream(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { content: Content::Stream(chunks), part: None, busy: None, leash: None }
    }

    /// Pieces of something that has an end, which `None` tells. If the sender is dropped before, the transfer is cut, so that
    /// nobody takes what came for all of it.
    #[must_use]
    pub const fn ending(chunks: mpsc::Receiver<Option<Bytes>>) -> Self {
        Self { content: Content::Ending(chunks), part: None, busy: None, leash: None }
    }

    /// Gives whoever has the leash the connection, once the answer goes over one.
    pub fn tie(&mut self, leash: &Leash) {
        self.leash = Some(leash.clone());
    }

    /// The number of bytes, if it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Empty => Some(0),
            Content::Whole(bytes) => Some(bytes.len() as u64),
            Content::Pieces(pieces) => Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Content::Stream(_) | Content::Ending(_) => None,
        }
    }

    /// Gives the answer its part of the budget.
    pub fn charge(&mut self, part: Reservation) {
        self.part = Some(part);
    }

    /// Keeps the connection marked as busy until the last byte is written, or dropped.
    pub(super) fn hold(mut self, mut busy: Busy) -> Self {
        if let Some(Leash(pulse)) = self.leash.take() {
            // It goes over one connection, once.
            let _ = pulse.set(Arc::clone(busy.pulse()));
        }
        match &mut self.content {
            // Streams stay at work: they may be silent for long.
            Content::Stream(_) | Content::Ending(_) => self.busy = Some(busy),
            Content::Whole(bytes) if !bytes.is_empty() => {
                busy.answering();
                let whole = Arc::new(Whole { _part: self.part.take(), _busy: busy });
                *bytes = Bytes::from_owner(Held { bytes: std::mem::take(bytes), _whole: whole });
            }
            Content::Pieces(pieces) if !pieces.is_empty() => {
                busy.answering();
                let whole = Arc::new(Whole { _part: self.part.take(), _busy: busy });
                for piece in pieces {
                    *piece = Bytes::from_owner(Held { bytes: std::mem::take(piece), _whole: Arc::clone(&whole) });
                }
            }
            Content::Whole(_) | Content::Pieces(_) | Content::Empty => {
                busy.answering();
                self.busy = Some(busy);
            }
        }
        self
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let payload = self.get_mut();
        match &mut payload.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                payload.content = Content::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Content::Stream(chunks) => chunks.poll_recv(cx).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes)))),
            Content::Ending(chunks) => chunks.poll_recv(cx).map(|chunk| match chunk {
                Some(Some(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(None) => {
                    payload.content = Content::Empty;
                    None
                }
                None => Some(Err(Cut)),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Pieces(pieces) => pieces.is_empty(),
            Content::Stream(_) | Content::Ending(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::body::Budget;
    use crate::pulse::Pulse;

    #[tokio::test]
    async fn what_has_an_end_is_cut_without_it() {
        for ends in [true, false] {
            let (sender, chunks) = mpsc::channel(3);
            let mut payload = Payload::ending(chunks);
            sender.send(Some(Bytes::from_static(b"a"))).await.unwrap();
            if ends {
                sender.send(None).await.unwrap();
            }
            drop(sender);
            assert_eq!(&*payload.frame().await.unwrap().unwrap().into_data().unwrap(), b"a");
            let last = payload.frame().await;
            assert!(if ends { last.is_none() } else { matches!(last, Some(Err(Cut))) }, "{last:?}");
        }
    }

    #[test]
    fn a_leash_holds_the_connection_that_the_answer_goes_over() {
        let (leash, pulse) = (Leash::default(), Arc::<Pulse>::default());
        leash.cut();
        let mut payload = Payload::stream(mpsc::channel(1).1);
        payload.tie(&leash);
        let _payload = payload.hold(pulse.begin());
        assert!(!pulse.is_overdue());
        leash.cut();
        assert!(pulse.is_overdue());
    }

    #[tokio::test]
    async fn bytes_that_nobody_reads_stay_counted_after_they_were_handed_on() {
        let all = || [Payload::whole("12345678"), Payload::pieces(["123", "", "45", "678"])];
        for mut payload in all() {
            let (budget, pulse) = (Budget::new(10), Arc::<Pulse>::default());
            assert_eq!(payload.length(), Some(8));
            payload.charge(budget.part(8).unwrap());
            let mut payload = payload.hold(pulse.begin());
            let (mut queued, mut text) = (Vec::new(), Vec::new());
            while let Some(frame) = payload.frame().await {
                queued.push(frame.unwrap().into_data().unwrap());
            }
            assert!(payload.is_end_stream());
            drop(payload);
            while let Some(piece) = queued.pop() {
                text.splice(0..0, piece.iter().copied());
                assert!(budget.part(8).is_none() && pulse.is_answering());
            }
            assert_eq!(text, b"12345678");
            assert!(budget.part(8).is_some() && !pulse.is_answering());
        }
    }
}
