//! Gossip: who follows a log shows others the newest head that it verified, and looks at theirs, so that a log can't
//! show each of them another tree.
//!
//! A head stands under `<prefix>/gossip/<origin hash>/checkpoint`, where the origin hash is that of C2SP tlog-witness,
//! "Monitor Retrieval Mechanism" (which keeps its own path, for what a witness cosigned). Only configured logs are shown
//! and pulled, one head of each, and a head counts only if one of the log's keys has signed it: a peer can't lie, it can
//! only show what the log signed. What is shown on is verified as a whole, and carries the log's signatures alone.
//!
//! Not here: comparing a pulled head with what is known (`monitor::Follower::hear`, or `monitor::contradiction` for
//! others), and accepting connections.

mod board;
mod pull;

pub use board::{Board, path};
pub use pull::{Peer, Pulled, Tally, backoff};
