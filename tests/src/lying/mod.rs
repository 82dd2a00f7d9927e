//! A log over HTTP that is honest until it is told to lie: the adversary of the client's tests.
//!
//! It serves the surface that clients read, from memory, on loopback. It is no server to imitate: it has no limits, no
//! durability and no access rules.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "support for tests: whatever fails here fails the test"
)]

mod answer;
mod model;
mod server;
mod trail;
mod v1;

pub use answer::{Answer, Lie};
pub use model::Model;
pub use server::LyingLog;
pub use trail::{Stored, Trail};
