//! The bounds of the accept loop, in one table.

use std::time::Duration;

use crate::body::BodyBounds;

/// What connections may cost. The defaults suit a service on a public network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections; past them, a connection gets the service's refusal.
    pub connections: usize,
    /// Connections over the limit that are being refused; past them, new ones wait in the kernel's queue.
    pub refused_connections: usize,
    /// Until a request's header, or a TLS handshake, must be complete. Whole seconds.
    pub header_time: Duration,
    /// How long a connection may stay open without a request. Whole seconds.
    pub idle_time: Duration,
    /// Until a reader that takes nothing of its answer is cut off. Whole seconds.
    pub write_stall_time: Duration,
    /// How long a clean stop waits for requests in flight.
    pub shutdown_time: Duration,
    /// How fast a request's body must come in, and how much of a refused one is read.
    pub body: BodyBounds,
    /// Bytes of a request's header; also the largest read buffer of an HTTP/1.1 connection.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub header_fields: usize,
    /// Concurrent streams of one HTTP/2 connection.
    pub h2_streams: u32,
    /// Streams of one HTTP/2 connection that its client may reset before the server saw them through.
    pub h2_resets: usize,
    /// Bytes that one HTTP/2 connection may send ahead of the handlers.
    pub h2_window_bytes: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 8_192,
            refused_connections: 256,
            header_time: Duration::from_secs(8),
            idle_time: Duration::from_secs(75),
            write_stall_time: Duration::from_secs(8),
            shutdown_time: Duration::from_secs(30),
            body: BodyBounds::default(),
            header_bytes: 64 << 10,
            header_fields: 64,
            h2_streams: 128,
            h2_resets: 64,
            h2_window_bytes: 1 << 20,
        }
    }
}
