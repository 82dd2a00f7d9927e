//! What the scrubber asks about records: whether what is kept of each belongs to its leaf, as a read asks it, and whether
//! something is there again that was erased.
//!
//! A finding is a read's: a line in the file of incidents per digest, and a record in the log; nothing is halted. What looks
//! bad is read a second time, past all caches, and with the excuses that there are by then.

use core::ops::Range;
use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::header::Header;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::{Redactions, redacts};
use cairn_tree::record::open::Record;
use cairn_tree::size::LeafIndex;

use super::excuse::{Ground, verified};
use super::kept::Kept;
use super::report::Reporter;
use super::verify::{Broken, BrokenPart, Excuses, Unverified};
use crate::engine::postings::PostingsError;
use crate::engine::records::StoredRecord;
use crate::engine::{CheckRecords, Checked, Head, Log, ProofError};

/// Looks through records for the scrubber.
pub struct RecordScrub {
    reporter: Arc<Reporter>,
}

/// One log on its way through.
struct Look<'l> {
    log: &'l Log,
    origin: Origin,
    reporter: &'l Reporter,
    checked: Checked,
}

impl RecordScrub {
    /// Tells of what it finds by this reporter.
    #[must_use]
    pub fn new(reporter: Arc<Reporter>) -> Self {
        Self { reporter }
    }
}

impl CheckRecords for RecordScrub {
    fn check(&self, log: &Log, range: Range<u64>) -> Checked {
        let Ok(origin) = Origin::new(&*log.info().origin) else { return Checked::default() };
        let mut look = Look { log, origin, reporter: &self.reporter, checked: Checked::default() };
        let (mut suspects, mut redactions) = (Vec::new(), Vec::new());
        let nothing = Redactions::new(look.origin.clone());
        let read = log.each_record(range, &mut |stored| {
            look.checked.records += 1;
            look.checked.bytes += stored.disclosures.as_str().len() as u64;
            let Ok(header) = Header::decode(stored.index, &stored.leaf) else { return };
            match (Kept { log: &look.origin, id: header.id, stored: &stored }).open(&nothing) {
                Ok(record) if redacts(&record).is_some() => redactions.push(record),
                Ok(_) => {}
                Err(_) => suspects.push(stored.index),
            }
        });
        if let Err(error) = read {
            look.checked.unreadable.push(error.to_string());
        }
        suspects.retain(|index| look.news(*index).is_some());
        if !suspects.is_empty() {
            // Nobody is told of what is bad once only.
            log.forget_blocks();
            suspects.into_iter().for_each(|index| look.tell(index));
        }
        redactions.iter().for_each(|record| look.redaction(record));
        look.checked
    }
}

impl Look<'_> {
    /// What is wrong with the disclosures of a record, as a read finds it, if that is not known. Leaves are judged by what was
    /// signed, elsewhere.
    fn news(&mut self, index: LeafIndex) -> Option<Broken> {
        let broken = self.broken(index)?;
        let is_news = matches!(broken.what, BrokenPart::Disclosure(..)) && !self.reporter.knows(self.log, &broken);
        is_news.then_some(broken)
    }

    /// Tells of it.
    fn tell(&mut self, index: LeafIndex) {
        if let Some(broken) = self.news(index) {
            self.checked.findings += u64::from(self.reporter.scrubbed(self.log, &broken));
        }
    }

    /// What is wrong with a record, as far as that can be told.
    fn broken(&mut self, index: LeafIndex) -> Option<Broken> {
        let head = self.log.head();
        let stored = match self.log.stored_record(&head, index) {
            Ok(stored) => stored?,
            Err(error) => {
                self.unread(index, &error, error.is_failure());
                return None;
            }
        };
        match verified(self.log, &head, stored) {
            Ok(_) => None,
            Err(Unverified::Broken(broken)) => Some(broken),
            // Whether something excuses it is not known before the indexes are there: the next pass tells.
            Err(Unverified::Postings(PostingsError::Behind { .. })) => None,
            Err(error) => {
                let is_failure = match &error {
                    Unverified::Read(error) | Unverified::Postings(PostingsError::Read(error)) => error.is_failure(),
                    Unverified::Proof(ProofError::Read(error)) => error.is_failure(),
                    _ => false,
                };
                self.unread(index, &error, is_failure);
                None
            }
        }
    }

    fn unread(&mut self, index: LeafIndex, error: &dyn core::fmt::Display, is_failure: bool) {
        if is_failure {
            self.checked.unreadable.push(format!("record {index}: {error}"));
        }
    }

    /// Sees to it that what a redaction record names is gone.
    fn redaction(&mut self, record: &Record) {
        let mut redactions = Redactions::new(self.origin.clone());
        if redactions.take_up(record).is_err() {
            return;
        }
        let head = self.log.head();
        let target = redacts(record).and_then(|index| self.log.stored_record(&head, index).ok().flatten());
        let Some(stored) = target else { return };
        let Ok(header) = Header::decode(stored.index, &stored.leaf) else { return };
        let kept = Kept { log: &self.origin, id: header.id, stored: &stored };
        if kept.named(&redactions).is_empty() {
            return;
        }
        // With all that name it: only they together may say why something else is absent. Each must be what was signed.
        let erased = match self.excuses(&head, header.id) {
            Ok(excuses) => excuses.map(|excuses| kept.returned(&excuses.redactions)).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(log = %self.log.info().name, index = %stored.index, %error, "what was erased is there, and is not erased again before the next pass");
                return;
            }
        };
        if erased.is_empty() {
            return;
        }
        erased.iter().for_each(|digest| self.reporter.returned(self.log, stored.index, *digest));
        self.checked.returned += erased.len() as u64;
        let StoredRecord { index, .. } = stored;
        if let Err(error) = self.log.erase(index, &erased) {
            tracing::error!(log = %self.log.info().name, %index, %error, "what was erased can't be erased again");
        }
    }

    fn excuses(&self, head: &Head, id: RecordId) -> Result<Option<Arc<Excuses>>, Unverified> {
        let Some(prints) = self.log.print_secret()? else { return Ok(None) };
        Ground { log: self.log, head, under: head, prints: &prints }.excuses(id)
    }
}
