//! Following one log: each head must extend the last, each entry must be the one that was signed.
//!
//! The heads are judged, the entries are re-hashed, and what contradicts a signature becomes evidence. Time comes in by
//! parameter; where the state is kept and how long to wait between rounds is for the caller.

mod diagnose;
mod evidence;
mod grow;
mod reading;
mod round;
mod stale;
mod state;

pub use evidence::{Case, Evidence, EvidenceError, Misplaced, Observation, Prefix, Weight};
pub use reading::Reading;
pub use round::{Depth, Effort, KeysError, Known, Monitor, Round, RoundError, Stale, contradiction};
pub use stale::StaleTimer;
pub use state::{Shown, State, StateError};
