//! The Cairn server: transparency logs over HTTP.
//!
//! `engine` owns the database and everything that is signed; the rooms around it let callers in, bound what they send,
//! and let nothing out that a released head does not cover. `cosigners` asks witnesses beside it.

pub mod admin;
pub mod auth;
pub mod backup;
#[cfg(feature = "canaries")]
pub mod canary;
pub mod config;
pub mod cosigners;
pub mod engine;
pub mod high_water;
pub mod http;
pub mod incidents;
pub mod limits;
pub mod log_name;
pub mod metrics;
pub mod mirror;
mod names;
mod outward;
pub mod readers;
pub mod records;
pub mod regular;
mod replace;
pub mod signer;
mod summed;
