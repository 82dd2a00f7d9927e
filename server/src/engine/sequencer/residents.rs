//! The logs that the writer has at hand, bounded: those written to least recently make room.

use std::collections::HashMap;

use cairn_tree::store::LogId;

use super::track::Track;
use crate::engine::bounds::RESIDENT_LOGS;

#[derive(Default)]
pub(super) struct Residents {
    tracks: HashMap<LogId, Resident>,
    clock: u64,
}

struct Resident {
    track: Track,
    used: u64,
}

impl Residents {
    pub(super) fn get_mut(&mut self, log: LogId) -> Option<&mut Track> {
        self.clock += 1;
        let resident = self.tracks.get_mut(&log)?;
        resident.used = self.clock;
        Some(&mut resident.track)
    }

    pub(super) fn insert(&mut self, log: LogId, track: Track) {
        self.clock += 1;
        self.tracks.insert(log, Resident { track, used: self.clock });
    }

    pub(super) fn remove(&mut self, log: LogId) {
        self.tracks.remove(&log);
    }

    /// Lets go of the least recently used logs if there are too many: a quarter of them at once, so that this is rare.
    /// Called between commits only, when no track holds anything that is not written.
    pub(super) fn trim(&mut self) -> Vec<Track> {
        if self.tracks.len() <= RESIDENT_LOGS {
            return Vec::new();
        }
        let mut ages: Vec<(u64, LogId)> = self.tracks.iter().map(|(log, resident)| (resident.used, *log)).collect();
        ages.sort_unstable();
        let leaving = self.tracks.len() - RESIDENT_LOGS * 3 / 4;
        let ids = ages.into_iter().take(leaving).map(|(_, log)| log);
        ids.filter_map(|log| self.tracks.remove(&log)).map(|resident| resident.track).collect()
    }
}
