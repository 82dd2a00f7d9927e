//! Which records lack disclosures that nobody has erased, in a database of which rows may be gone without a trace: a mirror
//! has the entries of such records, and never what they disclose.

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::kind::{RecordKind, Redactions};
use cairn_tree::record::open::{Evidence, IntegrityError, Record};
use cairn_tree::size::LeafIndex;

use crate::engine::bounds::MEND_LACKING_BYTES;
use crate::engine::records::Rows;

/// Looks for them, record by record from the first on.
pub(super) struct LackingSearch {
    redactions: Redactions,
    /// Those that lack something, which a later record may excuse, with their entries.
    pending: Vec<(LeafIndex, Vec<u8>)>,
    bytes: usize,
    is_cut: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// The records, in order.
    pub(super) records: Vec<LeafIndex>,
    /// Whether there may be others: more lack something than are looked at.
    pub(super) is_cut: bool,
}

impl LackingSearch {
    /// None for what is no origin of a log: of such a log there are no records.
    pub(super) fn new(origin: &str) -> Option<Self> {
        let redactions = Redactions::new(Origin::new(origin).ok()?);
        Some(Self { redactions, pending: Vec::new(), bytes: 0, is_cut: false })
    }

    /// Looks at the next record. What of its disclosures can't be read is told of by whoever copies them.
    pub(super) fn take(&mut self, rows: &mut Rows<'_>, index: LeafIndex, entry: &[u8]) {
        match self.open(rows, index, entry) {
            Opened::Whole(record) => {
                let is_redaction = record
                    .content()
                    .object
                    .disclosed()
                    .is_some_and(|object| RecordKind::of(object) == RecordKind::Redaction);
                if is_redaction {
                    // One that says nothing that can be believed excuses nothing.
                    let _ = self.redactions.take_up(&record);
                }
            }
            Opened::Lacks if self.bytes + entry.len() > MEND_LACKING_BYTES => self.is_cut = true,
            Opened::Lacks => {
                self.bytes += entry.len();
                self.pending.push((index, entry.to_vec()));
            }
            Opened::Else => {}
        }
    }

    /// Those that lack something, now that all redaction records are known.
    pub(super) fn finish(mut self, rows: &mut Rows<'_>) -> Lacking {
        let pending = core::mem::take(&mut self.pending).into_iter();
        let lacks = pending.filter(|(index, entry)| matches!(self.open(rows, *index, entry), Opened::Lacks));
        Lacking { records: lacks.map(|(index, _)| index).collect(), is_cut: self.is_cut }
    }

    fn open(&self, rows: &mut Rows<'_>, index: LeafIndex, entry: &[u8]) -> Opened {
        let Ok(disclosures) = rows.disclosures(index) else { return Opened::Else };
        let evidence = Evidence { disclosures: &disclosures, withheld: &[], redactions: &self.redactions };
        match Record::open(self.redactions.log(), index, entry, evidence) {
            Ok(record) => Opened::Whole(Box::new(record)),
            Err(IntegrityError::Missing { .. }) => Opened::Lacks,
            Err(_) => Opened::Else,
        }
    }
}

/// A record and what is kept of it.
enum Opened {
    /// All that was not erased is there.
    Whole(Box<Record>),
    Lacks,
    /// It is of a later version, or what is there is not its own.
    Else,
}
