//! Records of later versions by their ids: what they say nobody knows here, so neither whose they are. Other records of the
//! stream tell that, or the log, where it is one tenant's own.

use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::size::LeafIndex;

use super::not_good::{NotGood, ReadBack};
use super::reading::{Preceding, Reading};
use crate::engine::Head;
use crate::engine::records::stream_print;
use crate::records::{Located, VerifiedLater};

/// Records of a stream that are asked whose it is, the oldest first.
const NEIGHBOURS: usize = 16;

/// Whose records a request may be about.
pub(super) struct Whose {
    /// The tenant that the request names.
    pub(super) asked: Option<String>,
    /// The tenant whose own log it is.
    pub(super) owner: Option<String>,
}

impl Reading {
    /// The record of a later version that was read, with its place in its stream; `None` if it is none, or nobody's that the
    /// request is good for.
    pub(super) fn later_of(
        &self,
        stored: ReadBack,
        under: &Head,
        whose: &Whose,
    ) -> Result<Option<VerifiedLater>, NotGood> {
        let mut located = self.located(stored, under)?;
        if !located.is_later() || !self.is_for(&located, under, whose)? {
            return Ok(None);
        }
        self.chained(&mut located, under, Preceding::Unknown)?;
        self.later(located).map(Some)
    }

    fn is_for(&self, located: &Located, under: &Head, whose: &Whose) -> Result<bool, NotGood> {
        let tenant = self.tenant_of(located, under)?.or_else(|| whose.owner.clone());
        match tenant {
            Some(tenant) => {
                let is_it = whose.asked.as_ref().is_none_or(|asked| *asked == tenant) && self.tenants.matches(&tenant);
                if is_it {
                    self.shows_of(&tenant);
                }
                Ok(is_it)
            }
            // Whoever may read everybody's may read nobody's.
            None => Ok(whose.asked.is_none() && self.tenants.is_all()),
        }
    }

    /// The tenant of another record of its stream, which has one tenant's only.
    fn tenant_of(&self, located: &Located, under: &Head) -> Result<Option<String>, NotGood> {
        let other = |error: crate::engine::postings::PostingsError| NotGood::Other(error.into());
        let stream = stream_print(&self.prints, located.header().stream);
        let found = self.log.oldest_records(stream, LeafIndex::ZERO, NEIGHBOURS).map_err(other)?;
        for index in found.into_iter().take_while(|index| *index < located.index()) {
            let stored = match self.log.stored_record(&self.head, index) {
                Err(error) if error.is_failure() => return Err(NotGood::Other(error.into())),
                stored => stored.ok().flatten(),
            };
            let record = stored.filter(|stored| matches!(Leaf::classify(&stored.leaf), Ok(Entry::Record(_))));
            let Some(record) = record else { continue };
            // What is wrong with another record is told to whoever reads that one.
            let opened = self.located(Ok(record), under).and_then(|located| self.open(located, under));
            let Ok(opened) = opened else { continue };
            if let Some(object) = opened.record().content().object.disclosed() {
                return Ok(Some(object.tenant.as_str().to_owned()));
            }
        }
        Ok(None)
    }
}
