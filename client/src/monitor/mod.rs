//! Following one log: each head must extend the last, each entry must be the one that was signed.
//!
//! The heads are judged, the entries are re-hashed, and what contradicts a signature becomes evidence. Time comes in by
//! parameter; where the state is kept and how long to wait between rounds is for the caller.

mod age;
mod alarm;
mod diagnose;
mod evidence;
mod follower;
mod framed;
mod grow;
mod kept;
mod keyring;
mod reading;
mod round;
pub mod scanned;
mod stale;
mod state;
mod unplaced;
mod vault;

pub use age::Freshly;
pub use alarm::{Active, Alarm, Ledger};
pub(crate) use evidence::prove_fork;
pub use evidence::{Case, Evidence, EvidenceError, Misplaced, Observation, Prefix, Verdict, Weight};
pub use follower::{Event, Follower, Heard, Now, Rules, Rumour, Step};
pub use kept::Kept;
pub use keyring::Keyring;
pub use reading::Reading;
pub use round::{Depth, Effort, Known, Monitor, Round, RoundError, Stale, contradiction};
pub use stale::StaleTimer;
pub use state::{Shown, State, StateError};
pub use unplaced::{Uncompared, Unplaced};
pub use vault::{Vault, VaultError};
