//! Breaks the real server in every way that a machine can, again and again, and checks from outside what became of what
//! it had promised.
//!
//! A *kind* is a sort of fault. It is tried in *worlds*: a fresh database with clients, which is broken many times over
//! and looked at by an oracle that stands outside of it (`cairn_tests::oracle`): every acknowledged entry is there, byte
//! for byte, and every head that was ever seen is of one history. Audit records have a ledger besides, which looks for them as
//! an auditor does (`records`). A fault counts only where it was seen to happen.
//!
//! Not here: damage that is refused by rules of its own (`tests/all/crash`), overload, and parsers (`tests/fuzz`).

pub mod kinds;
mod load;
mod parties;
mod records;
mod run;
pub mod tally;
mod world;

pub use kinds::bitflip::worker as bitflip_worker;
pub use run::{Plan, run};
