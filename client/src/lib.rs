//! The Cairn client: append entries, verify receipts and proofs, follow a log and keep evidence against it.
//!
//! It trusts nothing that it has not verified, and the types say which is which: [`fetch`] gets what a log serves and
//! returns it unverified; [`auditor`] turns it into knowledge, given the log's key; [`producer`] and [`monitor`] build
//! on that, and [`gossip`] lets those who follow one log compare what they were shown. [`cmd`] is the command line on
//! top. [`attach`] hashes the data sets that audit records speak of. [`load`] measures and verifies nothing.
//!
//! Server and client meet in `cairn_tree::wire` and in HTTP only; nothing here knows how a log is stored.

pub mod attach;
pub mod auditor;
pub mod bounds;
pub mod cache;
pub mod cmd;
pub mod fetch;
pub mod files;
pub mod gossip;
pub mod load;
pub mod monitor;
pub mod outbox;
pub mod producer;
mod sector;
pub mod witness;
