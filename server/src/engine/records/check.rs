//! Whether what is kept of a record's disclosures is its own, by their digests.
//!
//! A disclosure that is not there may have been erased, which only a redaction record tells. One that is there and belongs
//! to no digest of the record has changed. Not here: what a record says, which is for whoever opens it.

use core::ops::Range;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::open::{Evidence, IntegrityError, Record};
use cairn_tree::size::LeafIndex;
use cairn_tree::store::Store;

use super::read::Rows;
use crate::engine::stored::{ReadError, Stored};

/// Missing disclosures of one record that are looked into; of one that lacks more, no more is said.
const MOST_MISSING: usize = 64;

/// What is kept of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum Kept {
    /// All of it, or as much as redaction records leave.
    Whole,
    /// Nothing is there for this digest, and nothing excuses that.
    Lacks(Digest),
    /// This digest is no one's, so that what has it is not what it was.
    Changed(Digest),
}

/// Compares the disclosures of the record at `index` with its leaf.
pub(in crate::engine) fn kept(index: LeafIndex, entry: &[u8], disclosures: &Disclosures, known: &Redactions) -> Kept {
    let mut missing: Vec<Digest> = Vec::new();
    let lacks = |missing: &[Digest]| missing.first().map_or(Kept::Whole, |digest| Kept::Lacks(*digest));
    while missing.len() < MOST_MISSING {
        match Record::open(known.log(), index, entry, Evidence { disclosures, withheld: &missing, redactions: known }) {
            Err(IntegrityError::Missing { digest, .. }) => missing.push(digest),
            Err(IntegrityError::Unreferenced(digest)) => return Kept::Changed(digest),
            // Whatever else may be wrong with it came in like that.
            Ok(_) | Err(_) => break,
        }
    }
    lacks(&missing)
}

/// Whether a record's entry stands beside a disclosure that is none of its own.
pub(in crate::engine) fn discloses_others(index: LeafIndex, entry: &[u8], disclosures: &Disclosures) -> bool {
    let Ok(Entry::Record(leaf)) = Leaf::classify(entry) else { return false };
    let nothing = Redactions::new(leaf.event().head().log.clone());
    matches!(kept(index, entry, disclosures, &nothing), Kept::Changed(_))
}

/// Checks the records in `range`, which nobody was told of yet, so that nothing of them can have been erased.
///
/// # Errors
/// [`ReadError::Damaged`] names the first record whose disclosures are not what it was made with.
pub(in crate::engine) fn check_unreleased(
    stored: &Stored<'_>,
    store: &dyn Store,
    origin: &str,
    range: Range<u64>,
) -> Result<(), ReadError> {
    let Ok(origin) = Origin::new(origin) else { return Ok(()) };
    let nothing = Redactions::new(origin);
    let mut rows = Rows::new(store, stored.log());
    stored.each_entry(range, |index, entry| {
        if !matches!(Leaf::classify(entry), Ok(Entry::Record(_))) {
            return Ok(());
        }
        let wrong = match kept(index, entry, &rows.disclosures(index)?, &nothing) {
            Kept::Whole => return Ok(()),
            Kept::Lacks(digest) => format!("nothing is there for the digest {digest}"),
            Kept::Changed(digest) => format!("one has the digest {digest}, which is none of the record's"),
        };
        Err(stored.damaged("the disclosures of record", index.get(), wrong))
    })
}
