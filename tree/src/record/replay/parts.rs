//! A stream that was in several logs, one after another: each part begins with the states that the one before it ends with
//! ([`super::replay_over`]). Here stands what of that belongs to no part alone.
//!
//! Not here: that the parts belong together, which whoever reads them checks.

use std::collections::BTreeMap;

use super::{ObjectKey, Ongoing, Until};
use crate::checkpoint::Origin;

/// The log of each object's last record, where that is one that the stream was in before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastLogs(BTreeMap<ObjectKey, Origin>);

impl LastLogs {
    /// Notes on which objects records acted in the next of the earlier parts, the oldest of which comes first.
    pub fn enter(&mut self, part: &Ongoing, log: &Origin) {
        let acted = part.acted_on().unwrap_or_else(|| part.objects());
        self.0.extend(acted.into_iter().map(|object| (object, log.clone())));
    }

    /// The same of the last part, whose log needs no name.
    pub fn end(&mut self, part: &Ongoing) {
        match part.acted_on() {
            Some(acted) => self.0.retain(|object, _| !acted.contains(object)),
            None => self.0.clear(),
        }
    }

    /// The log of an object's last record; `None` if that is the last part's.
    #[must_use]
    pub fn of(&self, object: &ObjectKey) -> Option<&Origin> {
        self.0.get(object)
    }
}

impl Until {
    /// The point in an earlier part that one of the stream means: a number counts in the last part only.
    #[must_use]
    pub const fn in_earlier_part(self) -> Self {
        match self {
            Self::Seq(_) | Self::End => Self::End,
            Self::ServerTime(_) | Self::ProducerTime(_) => self,
        }
    }
}
