//! Audit records under load: what clients ask for, and what a log owes to those who were told that their records are in it.

mod ledger;
mod proven;
mod recorder;

pub(crate) use ledger::Ledger;
pub(crate) use recorder::{Asked, Recorder, Way};
