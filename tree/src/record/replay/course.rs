//! How far a replay has come through which records pass and are not kept: the states so far, what was odd, and whether any
//! further record matters. Both ways of such a replay have one: `passing`, and `correcting`.
//!
//! Not here: what is known of the records themselves (`known`), and the producers' times, which need another order.

use std::sync::Arc;

use super::known::Flags;
use super::places::server_time;
use super::{Flag, Oddity, Ongoing, Replayed, Until};
use crate::record::history::Entered;

/// How far a replay has come.
#[derive(Debug, Clone)]
pub struct Course {
    until: Until,
    ongoing: Ongoing,
    flags: Flags,
    is_over: bool,
}

impl Course {
    /// Begins with the states of another stream, or with none; `None` for the producers' times.
    pub(super) fn over(base: Option<Arc<Ongoing>>, until: Until) -> Option<Self> {
        let begins = !matches!(until, Until::ProducerTime(_));
        let ongoing = base.map_or_else(Ongoing::default, Ongoing::over);
        begins.then(|| Self { until, ongoing, flags: Flags::default(), is_over: false })
    }

    /// Whether the place of a record counts; once one does not, none after it does.
    pub(super) fn reaches(&mut self, at: Entered<'_>) -> bool {
        let reaches = self.until.has(at);
        self.is_over |= !reaches;
        reaches
    }

    /// Lets a record act in a place, whose own oddity is noted first.
    pub(super) fn act(&mut self, at: Entered<'_>, oddity: Option<Oddity>, acting: Entered<'_>) {
        oddity.into_iter().for_each(|oddity| self.flags.push(at, oddity));
        self.ongoing.enter(acting).into_iter().for_each(|oddity| self.flags.push(acting, oddity));
    }

    /// Whether no further record matters: numbers rise, and the server's times never fall.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// About how many bytes are kept: of the states, and of what was odd.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.ongoing.bytes().saturating_add(self.flags.bytes)
    }

    /// The same without the states that it stands on.
    #[must_use]
    pub const fn own_bytes(&self) -> usize {
        self.ongoing.own_bytes().saturating_add(self.flags.bytes)
    }

    /// How many things were odd.
    #[must_use]
    pub const fn flags(&self) -> usize {
        self.flags.list.len()
    }

    /// The states, on which others may go on, and what was odd.
    #[must_use]
    pub fn end(self) -> (Ongoing, Vec<Flag>) {
        (self.ongoing, self.flags.list)
    }

    /// The states.
    #[must_use]
    pub fn finish(self) -> Replayed {
        let (ongoing, flags) = self.end();
        ongoing.replayed(flags)
    }
}

impl Until {
    /// Whether a record acts, by its number or the server's time.
    pub(super) fn has(self, entered: Entered<'_>) -> bool {
        match self {
            Self::End => true,
            Self::Seq(seq) => entered.seq() <= seq,
            Self::ServerTime(time) | Self::ProducerTime(time) => server_time(entered) <= time,
        }
    }
}
