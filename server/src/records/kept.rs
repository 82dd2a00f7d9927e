//! A record's leaf beside what is kept of its disclosures: whether they are its own, what is missing and what is there though
//! it was erased. The same for a read and for the scrubber.
//!
//! Not here: whether the leaf is in the tree (`verify`), and looking for what excuses an absence (`excuse`).

use std::collections::BTreeSet;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::event::Part;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::{Concerned, IncidentFault, RecordKind, Redactions};
use cairn_tree::record::open::{Evidence, IntegrityError, Piece, Record};

use super::verify::{Broken, BrokenPart};
use crate::engine::records::StoredRecord;

/// Missing disclosures of one record that are looked into, to tell what became of them.
const MOST_MISSING: usize = 64;

/// A leaf, and what is kept beside it.
#[derive(Clone, Copy)]
pub(super) struct Kept<'s> {
    /// The log whose record it is.
    pub(super) log: &'s Origin,
    /// The id that the leaf has.
    pub(super) id: RecordId,
    /// Both.
    pub(super) stored: &'s StoredRecord,
}

impl Kept<'_> {
    fn record(&self, redactions: &Redactions, withheld: &[Digest]) -> Result<Record, IntegrityError> {
        let StoredRecord { index, leaf, disclosures } = self.stored;
        Record::open(self.log, *index, leaf, Evidence { disclosures, withheld, redactions })
    }

    /// Opens it, with these excuses.
    pub(super) fn open(&self, redactions: &Redactions) -> Result<Record, Broken> {
        self.record(redactions, &[]).map_err(|error| {
            let mut broken = Broken::of(self.stored.index, &error);
            if let IntegrityError::Missing { digest, .. } = error
                && self.has_others(digest, redactions)
            {
                broken.what = BrokenPart::Disclosure(digest, IncidentFault::Changed);
                broken.words = format!("a disclosure is {}", IncidentFault::Changed.name());
            }
            broken
        })
    }

    /// Whether a disclosure is kept that belongs to no digest, where another is missing: then that one has changed.
    fn has_others(&self, missing: Digest, redactions: &Redactions) -> bool {
        let mut missing = vec![missing];
        while missing.len() < MOST_MISSING {
            match self.record(redactions, &missing) {
                Err(IntegrityError::Missing { digest, .. }) => missing.push(digest),
                Err(IntegrityError::Unreferenced(_)) => return true,
                Ok(_) | Err(_) => return false,
            }
        }
        false
    }

    /// The digests whose disclosures are here though these redaction records name them.
    pub(super) fn named(&self, redactions: &Redactions) -> BTreeSet<Digest> {
        let concerned = Concerned { id: self.id, index: self.stored.index };
        let here = self.stored.disclosures.iter().map(|(digest, _)| digest);
        here.filter(|digest| redactions.of(digest, concerned).is_some()).collect()
    }

    /// The digests whose disclosures are here though they are erased: those that these redaction records name, and what
    /// stands in the lists of values and attributes that they name. None of a redaction record, nor of what may be one: where
    /// the object is gone, and what is left does not open. Nobody is misled by that: with such disclosures it opens for no
    /// reader either, who is told that they are not what the leaf says, and is shown none of them.
    pub(super) fn erased(&self, redactions: &Redactions) -> BTreeSet<Digest> {
        let Ok(record) = self.record(redactions, &[]) else {
            // Such as a field whose list is gone: by what the redaction records name alone.
            let may_be_redaction = self.stored.kind().is_none_or(|kind| kind == RecordKind::Redaction);
            return if may_be_redaction { BTreeSet::new() } else { self.named(redactions) };
        };
        let mut erased: BTreeSet<Digest> = record.still_disclosed().iter().copied().collect();
        let list_is_erased = |part: Part| {
            let list = record.leaf().event().digest(part);
            erased.contains(&list)
        };
        let (values, attributes) = (list_is_erased(Part::Values), list_is_erased(Part::Attributes));
        let within = record.traced().iter().filter(|traced| match traced.piece {
            Piece::Field(_) => values,
            Piece::Attribute(_) | Piece::External(_) => attributes,
            Piece::Part(_) | Piece::Stream | Piece::Topics | Piece::Continues => false,
        });
        erased.extend(within.map(|traced| traced.digest));
        erased
    }

    /// The disclosures without those that are erased; `None` if none is.
    pub(super) fn without_erased(&self, redactions: &Redactions) -> Option<Disclosures> {
        self.without(&self.erased(redactions))
    }

    /// The disclosures without these; `None` if these are none.
    fn without(&self, erased: &BTreeSet<Digest>) -> Option<Disclosures> {
        (!erased.is_empty()).then(|| self.stored.disclosures.filtered(|digest| !erased.contains(digest)))
    }

    /// What of it is to be erased again, for good: what is erased, if all that is left then is what the leaf says. Of a
    /// record that is damaged besides, nothing is taken.
    pub(super) fn returned(&self, redactions: &Redactions) -> BTreeSet<Digest> {
        let erased = self.erased(redactions);
        let Some(disclosures) = self.without(&erased) else { return erased };
        let left = StoredRecord { index: self.stored.index, leaf: self.stored.leaf.clone(), disclosures };
        let opens = Kept { stored: &left, ..*self }.open(redactions).is_ok();
        if opens { erased } else { BTreeSet::new() }
    }
}
