//! What a monitor remembers of one log between two runs, in one file that is whole or refused: what was verified, what
//! was being read, what the log signed beside that, and which alarms go on.

use cairn_tree::checkpoint::LogKeys;
use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::wire::keys::StatementAnswer;
use serde::{Deserialize, Serialize};

use super::alarm::{Active, Ledger};
use super::framed::{self, damaged};
use super::keyring::Keyring;
use super::reading::Reading;
use super::round::Known;
use super::state::{self, Shown, State, StateError};
use super::unplaced::{self, Unplaced};

/// What every such file begins with, before the checksum of the rest.
const MAGIC: &str = "cairn.monitor/1 ";

/// The memory of one log.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The log's keys: those that are given, and those that it led to before.
    pub keys: Keyring,
    /// What is known of the log.
    pub known: Known,
    /// The alarms that go on.
    pub ledger: Ledger,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    origin: String,
    state: Option<state::Stored>,
    reading: Option<StoredReading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unplaced: Option<unplaced::Stored>,
    alarms: Vec<Active>,
    /// What the log said about its keys, as far as it was followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statements: Vec<StatementAnswer>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredReading {
    vkey: String,
    #[serde(default)]
    keys: Vec<String>,
    head: String,
    size: u64,
    frontier: Vec<String>,
    shown: Shown,
}

impl Kept {
    /// No memory of a log with these keys.
    #[must_use]
    pub fn nothing(keys: LogKeys) -> Self {
        Self { keys: keys.into(), known: Known::default(), ledger: Ledger::default() }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`StateError::Damaged`] if they cannot be made, which no memory is known to cause.
    pub fn encode(
        keyring: &Keyring,
        state: Option<&State>,
        (reading, unplaced): (Option<&Reading>, &Unplaced),
        ledger: &Ledger,
    ) -> Result<Vec<u8>, StateError> {
        let keys = keyring.all();
        let stored = Stored {
            origin: keys.origin().to_string(),
            state: state.map(|state| state.store(keys)),
            reading: reading.map(|reading| StoredReading {
                vkey: reading.head().key().to_string(),
                keys: state::vkeys(&keys.clone().with_further(reading.head().keys())),
                head: reading.head().signed().encode(),
                size: reading.frontier().size().get(),
                frontier: reading.frontier().hashes().iter().map(Hash::to_base64).collect(),
                shown: reading.shown(),
            }),
            unplaced: unplaced.store(keys),
            alarms: ledger.active().cloned().collect(),
            statements: keyring.statements().to_vec(),
        };
        framed::encode(MAGIC, &stored)
    }

    /// Reads a file back; `given` are the log's keys as the user gives them. Keys that are not given any more are treated as
    /// [`State::decode`] does. Those that the log led to are followed anew, along the signatures of its statements; where
    /// that does not lead on from the keys that are given now, these alone count.
    ///
    /// # Errors
    /// [`StateError`] for every file that [`Kept::encode`] did not write.
    pub fn decode(bytes: &[u8], given: &LogKeys) -> Result<Self, StateError> {
        let stored: Stored = framed::decode(MAGIC, bytes)?;
        if stored.origin != given.origin().as_str() {
            return Err(StateError::OtherLog(stored.origin));
        }
        let given = Keyring::from(given.clone());
        let keyring = given.follow(stored.statements).unwrap_or(given);
        let keys = keyring.all();
        let state = stored.state.as_ref().map(|state| State::restore(state, keys)).transpose()?;
        let reading = stored.reading.as_ref().map(|reading| restore(reading, keys)).transpose()?;
        let unplaced = Unplaced::restore(stored.unplaced.as_ref(), keys)?;
        if let (Some(state), Some(reading)) = (&state, &reading)
            && (reading.head().size() <= state.root().size || reading.frontier().size() < state.root().size)
        {
            return Err(damaged("what was being read is no larger than what was verified"));
        }
        let known = Known { state, reading, unplaced };
        Ok(Self { known, ledger: Ledger::resume(stored.alarms), keys: keyring })
    }

    /// Ends the alarms that stand until somebody has looked into them, because somebody has, and forgets the heads that they
    /// are about; the alarms that ended. What was verified stays.
    pub fn clear(&mut self) -> Vec<Active> {
        let ended = self.ledger.dismiss();
        if !ended.is_empty() {
            self.known = Known { state: self.known.state.take(), ..Known::default() };
        }
        ended
    }
}

fn restore(stored: &StoredReading, keys: &LogKeys) -> Result<Reading, StateError> {
    let keys = state::trusted(&stored.keys, keys)?;
    let head = state::verified(&stored.head, &keys)?.ok_or_else(|| StateError::OtherKey(stored.vkey.clone()))?;
    let size = TreeSize::new(stored.size).map_err(damaged)?;
    let frontier = state::frontier(size, &stored.frontier)?;
    Reading::new(head, frontier, stored.shown).ok_or_else(|| damaged("more was read than there is"))
}
