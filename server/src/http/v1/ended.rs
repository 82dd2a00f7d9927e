//! Where a stream says that it goes on in another log: no record comes after that one.

use cairn_tree::record::kind::{CONTINUED, goes_on};
use cairn_tree::size::LeafIndex;

use super::super::problem::Problem;
use super::not_good::NotGood;
use super::reading::Reading;
use crate::engine::postings::{Facet, Print};
use crate::limits::LIST_WORK;
use crate::records::{Broken, Unverified, verified};

/// Records of a stream that may say so, which are looked at.
const ENDINGS: usize = 16;

impl Reading {
    /// Where the first record of a stream is that says so, if one does. One that can't be verified is told of in its place.
    ///
    /// However many pages that takes, it is little: nobody brings records of that operation, which is the log's own, so that
    /// there is one of each stream that was given another log. A page goes on from one of those to the next, whatever the
    /// stream has in between, and runs that have none of them are passed over.
    pub(super) fn ended(&self, stream: Print) -> Result<Option<LeafIndex>, Problem> {
        // The rarer first: few runs have it.
        let prints = [Print::new(&self.prints, Facet::Operation, &[CONTINUED]), stream];
        let (mut hits, mut below) = (Vec::new(), Some(self.head.size));
        // A page may have none, and the next one some.
        while let Some(from) = below.filter(|_| hits.len() < ENDINGS) {
            let page = self.log.find_records(&prints, from, ENDINGS - hits.len(), LIST_WORK)?;
            hits.extend(page.hits);
            below = page.next;
        }
        for index in hits.into_iter().rev() {
            let stored = self.log.stored_record(&self.head, index);
            let stored = match stored {
                Err(error) if error.is_failure() => return Err(error.into()),
                stored => stored.ok().flatten(),
            };
            let Some(stored) = stored else { continue };
            match verified(&self.log, &self.head, stored) {
                Ok(verified) if goes_on(verified.record()).is_some() => return Ok(Some(index)),
                Ok(_) => {}
                Err(error) if error.is_of_what_is_stored() => {}
                // Whether the stream goes on elsewhere is not known: nothing after it passes for good.
                Err(error) => return Err(self.told(error).into()),
            }
        }
        Ok(None)
    }

    /// What is wrong with a record that comes after it.
    pub(super) fn past_the_end(&self, index: LeafIndex) -> NotGood {
        let words = "it comes after the record that says that its stream goes on in another log";
        self.told(Unverified::Broken(Broken::chain(index, Some(index), words)))
    }
}
