//! The body of an answer: nothing, whole bytes, or a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::pulse::Busy;

/// An answer on its way to hyper.
pub(crate) type Answer = Response<Payload>;

/// What an answer carries, and the mark that its request is still at work.
#[derive(Debug)]
pub(crate) struct Payload {
    content: Content,
    busy: Option<Busy>,
}

#[derive(Debug)]
enum Content {
    Empty,
    Whole(Bytes),
    /// Ends when the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl Payload {
    pub(crate) const fn empty() -> Self {
        Self { content: Content::Empty, busy: None }
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self { content: Content::Whole(bytes.into()), busy: None }
    }

    pub(crate) const fn stream(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { content: Content::Stream(chunks), busy: None }
    }

    /// The number of bytes, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Empty => Some(0),
            Content::Whole(bytes) => Some(bytes.len() as u64),
            Content::Stream(_) => None,
        }
    }

    /// Keeps the connection marked as busy until this payload is taken or dropped.
    pub(super) fn hold(mut self, mut busy: Busy) -> Self {
        if !matches!(self.content, Content::Stream(_)) {
            busy.answering();
        }
        self.busy = Some(busy);
        self
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let payload = self.get_mut();
        match &mut payload.content {
            Content::Empty => Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                payload.content = Content::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Stream(chunks) => chunks.poll_recv(cx).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
