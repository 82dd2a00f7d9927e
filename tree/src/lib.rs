//! The pure core of Cairn: everything that a log, a client, a monitor or a witness must agree on.
//!
//! Nothing here is asynchronous, reads a clock, makes randomness, or touches files or the network; the crate checks for
//! `wasm32-unknown-unknown`. (With the feature `aws-lc`, which native programs switch on, a library in C signs with
//! ML-DSA-44, and takes the randomness that FIPS 204 recommends for it from the operating system.) Modules use only what stands before them in this list; `merkle` never sees `tile`, and
//! `note` sees neither.

pub mod hash;
pub mod size;

pub mod merkle;

pub mod tile;

pub mod note;

pub mod checkpoint;
pub mod cosignature;
pub mod policy;
pub mod receipt;

pub mod statement;

pub mod record;

pub mod wire;

pub mod store;
