//! All tests from outside, in one binary: rooms by what they show.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of tests are tests, although clippy knows only functions that are marked as such"
)]

mod backup;
mod cli;
mod crash;
mod damage;
mod disk;
mod histories;
mod http;
mod incidents;
mod journey;
mod lies;
mod life;
mod monitored;
mod outbox;
mod power;
mod preload;
mod proxies;
mod records;
mod repair;
mod restore;
mod scene;
mod scrub;
mod small_files;
mod tidy;
mod witness;
mod witnesses;
