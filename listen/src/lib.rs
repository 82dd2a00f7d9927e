//! The bounded HTTP accept loop that `cairnd`, `cairn witness` and `cairn monitor` share.
//!
//! It bounds connections and what each may cost: how many there are, how long one may be idle, sit in a header, leave a
//! body unsent or an answer unread. It speaks HTTP/1.1 and HTTP/2, with TLS or without, and ends cleanly. It is not a
//! framework: no routes, no errors of its own on the wire, no logs of a tree, no metrics beyond an [`Observer`]; what a
//! request means is the [`Service`]'s. Beside it stand sockets on this machine ([`LocalListener`]), bounded likewise, and what peers
//! may make a service write in its log ([`WarningLimit`]).
//!
//! hyper is used beneath any framework, so that every timeout and bound is set here, and is ours.

mod body;
mod bounds;
mod conduct;
mod connections;
mod lane;
mod listener;
mod local;
mod open_files;
mod pace;
mod payload;
mod pulse;
mod service;
mod share;
mod slow;
mod tls;
mod turn;
mod warnings;
mod wire;

pub use body::{BodyBounds, BodyError, Budget, ReadBody, Reservation, drain, read};
pub use bounds::Bounds;
pub use connections::stopped;
pub use lane::OfCrowd;
pub use listener::Listener;
pub use local::{LocalListener, connect};
pub use open_files::raise_open_files;
pub use payload::{Answer, Leash, Payload};
pub use service::{Observer, Service};
pub use slow::{SlowHandle, SlowLane, give_way, offer_core, spawn_blocking, spawn_blocking_on};
pub use tls::{TlsError, acceptor};
pub use warnings::{ToldAtEnd, WarningLimit};
