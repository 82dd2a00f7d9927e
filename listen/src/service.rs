//! What the accept loop asks of the service behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;

use crate::payload::Answer;

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Never fails: what goes wrong is an answer too.
    fn answer(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> impl Future<Output = Answer> + Send;

    /// What a connection over the limit is told: to come again later. The connection is closed after it.
    fn refusal(&self, request: &Request<Incoming>) -> Answer;

    /// Whether an answer found no room in memory since this was last asked; then readers that take theirs in drops are
    /// let go.
    fn take_pressed(&self) -> bool {
        false
    }
}

/// Counts what happens to connections. Every method is called on a hot path: no locks, no waiting.
pub trait Observer: Send + Sync + 'static {
    /// A connection was opened.
    fn opened(&self) {}
    /// An opened connection has ended.
    fn closed(&self) {}
    /// A connection came over the limit.
    fn refused(&self) {}
    /// A connection was cut off, because it did nothing for too long.
    fn cut(&self) {}
}

/// Counts nothing.
impl Observer for () {}
