//! Evidence that could not be written to a file, and is to be written later: when there is room on the disk again, or its
//! folder.

use std::collections::VecDeque;

use crate::bounds;
use crate::monitor::{Alarm, Evidence};

/// What waits, oldest first; at most [`bounds::UNWRITTEN`].
#[derive(Debug, Default)]
pub(super) struct Unwritten(VecDeque<(Alarm, Evidence)>);

impl Unwritten {
    /// Lets evidence wait. If too much waits, the oldest testimony is given up, and a fork only for another fork.
    pub(super) fn add(&mut self, alarm: Alarm, evidence: Evidence) {
        self.0.push_back((alarm, evidence));
        if self.0.len() > bounds::UNWRITTEN {
            let oldest = self.0.iter().position(|(alarm, _)| !alarm.is_final()).unwrap_or(0);
            self.0.remove(oldest);
        }
    }

    /// Whether evidence of this alarm waits.
    pub(super) fn has(&self, alarm: Alarm) -> bool {
        self.0.iter().any(|(waiting, _)| *waiting == alarm)
    }

    /// How much waits.
    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// All that waits; what fails again is to be added again.
    pub(super) fn take(&mut self) -> VecDeque<(Alarm, Evidence)> {
        core::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::checkpoint::LogKeys;

    use super::*;
    use crate::monitor::{Case, Observation};

    fn evidence(at: usize) -> Evidence {
        let keys: LogKeys = include_str!("../../../../tests/vectors/evidence/log.vkey").parse().unwrap();
        let case = Case::Misfit { previous: None, head: String::new(), fault: at.to_string() };
        Evidence::new(case, Observation { keys: &keys, url: String::new(), at: String::new(), transcript: Vec::new() })
    }

    #[test]
    fn a_fork_is_given_up_last() {
        let mut waiting = Unwritten::default();
        waiting.add(Alarm::Fork, evidence(0));
        (1..=bounds::UNWRITTEN).for_each(|number| waiting.add(Alarm::Misfit, evidence(number)));
        assert_eq!((waiting.count(), waiting.has(Alarm::Fork)), (bounds::UNWRITTEN as u64, true));
        let taken = waiting.take();
        assert_eq!((taken[0].1.clone(), taken[1].1.clone()), (evidence(0), evidence(2)), "the oldest testimony");
        (0..=bounds::UNWRITTEN).for_each(|number| waiting.add(Alarm::Fork, evidence(number)));
        assert_eq!(waiting.take()[0].1, evidence(1));
    }
}
