//! Which records' postings could not be made, right after all of them were made anew: of a database that nobody serves.
//!
//! The same is told by a server to whoever searches (`unfound`).

use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::kind::{REDACTION, Redactions};
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::open::{Evidence, IntegrityError, Record};
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::size::{LeafIndex, TreeSize};

use super::found::Unserved;
use super::prints::partial_print;
use super::read::Rows;
use crate::engine::bounds::UNFOUND_LOOKS;
use crate::engine::postings::{Facet, Postings, PostingsError, Print, Upkeep};
use crate::engine::stored::{ReadError, Stored};

/// The records that lack something which no redaction record excuses, in order.
pub(in crate::engine) fn damaged_records(
    source: &Unserved<'_>,
    origin: &str,
    first: LeafIndex,
) -> Result<Vec<LeafIndex>, String> {
    let origin = Origin::new(origin).map_err(|error| error.to_string())?;
    let postings = Postings::absent(source.log, first, Arc::new(Upkeep::default()));
    let mut look = Look { source, postings, redactions: Redactions::new(origin) };
    look.find().map_err(|error| error.to_string())
}

struct Look<'l> {
    source: &'l Unserved<'l>,
    postings: Postings,
    redactions: Redactions,
}

impl Look<'_> {
    fn find(&mut self) -> Result<Vec<LeafIndex>, PostingsError> {
        let (partial, mut damaged) = (partial_print(self.source.secret), Vec::new());
        let mut next = Some(LeafIndex::ZERO);
        let mut has_redactions = false;
        while let Some(from) = next {
            let found = self.postings.oldest(self.source, partial, from, UNFOUND_LOOKS)?;
            next = found
                .last()
                .filter(|_| found.len() == UNFOUND_LOOKS)
                .and_then(|last| LeafIndex::new(last.get().saturating_add(1)).ok());
            if !found.is_empty() && !has_redactions {
                self.take_redactions()?;
                has_redactions = true;
            }
            for index in found {
                if !self.is_excused(index)? {
                    damaged.push(index);
                }
            }
        }
        Ok(damaged)
    }

    /// Takes up all redaction records that are good themselves.
    fn take_redactions(&mut self) -> Result<(), PostingsError> {
        let print = |facet, value: &str| Print::new(self.source.secret, facet, &[value]);
        let prints = [print(Facet::Operation, REDACTION), print(Facet::Module, OWN_MODULE)];
        let mut below = Some(self.source.root.size);
        while let Some(from) = below {
            let page = self.postings.intersect(self.source, &prints, from, UNFOUND_LOOKS, u64::MAX)?;
            below = page.next.filter(|next| *next > TreeSize::ZERO);
            for index in page.hits {
                let nothing = Redactions::new(self.redactions.log().clone());
                if let Some(Ok(record)) = self.open(index, &nothing)? {
                    // What does not count excuses nothing.
                    let _ = self.redactions.take_up(&record);
                }
            }
        }
        Ok(())
    }

    fn is_excused(&self, index: LeafIndex) -> Result<bool, ReadError> {
        // Of a later version nothing else is known to anybody.
        Ok(self.open(index, &self.redactions)?.is_none_or(|opened| opened.is_ok()))
    }

    /// Opens a record; none if the entry is of a later version.
    fn open(
        &self,
        index: LeafIndex,
        redactions: &Redactions,
    ) -> Result<Option<Result<Record, IntegrityError>>, ReadError> {
        let (store, log) = (self.source.store, self.source.log);
        let disclosures = match Rows::new(store, log).disclosures(index) {
            Err(error) if error.is_failure() => return Err(error),
            kept => kept.unwrap_or_else(|_| cairn_tree::record::disclosure::Disclosures::none()),
        };
        let mut opened = None;
        Stored::new(store, log).each_entry(index.get()..index.get().saturating_add(1), |index, entry| {
            if !matches!(Leaf::classify(entry), Ok(Entry::Opaque)) {
                let evidence = Evidence { disclosures: &disclosures, withheld: &[], redactions };
                opened = Some(Record::open(redactions.log(), index, entry, evidence));
            }
            Ok(())
        })?;
        Ok(opened)
    }
}
