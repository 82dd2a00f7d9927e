//! What excuses that something of a record is absent: redaction records of its log that name it, found by its id, which is
//! that of their object, and each verified itself: its leaf, its place in its stream, and all of its disclosures.
//!
//! Nothing excuses what is absent of a redaction record: it is opened without any.

use std::sync::Arc;

use bytes::Bytes;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::{REDACTION, Redactions};
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::size::{LeafIndex, TreeSize};

use super::verify::{Excuses, Located, Predecessor, Unverified, Verified};
use crate::engine::postings::{Facet, PostingsError, Print, PrintSecret};
use crate::engine::records::{StoredRecord, stream_print};
use crate::engine::{Head, Log};
use crate::limits::{LIST_WORK, REDACTIONS_OF_RECORD};

/// A log under a head, in which redaction records are looked for.
#[derive(Clone, Copy)]
pub struct Ground<'l> {
    /// The log.
    pub log: &'l Log,
    /// Its newest head.
    pub head: &'l Head,
    /// The head that proofs are for.
    pub under: &'l Head,
    /// What its records are found by.
    pub prints: &'l PrintSecret,
}

/// Verifies a record by itself, in the tree of the newest head: its leaf and its disclosures, with what excuses that some
/// are absent.
///
/// # Errors
/// [`Unverified`].
pub fn verified(log: &Log, head: &Head, stored: StoredRecord) -> Result<Verified, Unverified> {
    let located = Located::of(log, head, head, stored)?;
    let Some(prints) = log.print_secret()? else { return located.open(|_, _| Ok(None)) };
    let ground = Ground { log, head, under: head, prints: &prints };
    located.open(|id, lacks| ground.excuses_for(id, lacks, || Ok(ground.newest_redaction()?.is_some())))
}

impl Ground<'_> {
    fn print(&self, facet: Facet, value: &str) -> Print {
        Print::new(self.prints, facet, &[value])
    }

    /// Where the newest redaction record of the log is, whatever it is about.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn newest_redaction(&self) -> Result<Option<LeafIndex>, PostingsError> {
        let prints = [self.print(Facet::Operation, REDACTION), self.print(Facet::Module, OWN_MODULE)];
        Ok(self.log.find_records(&prints, self.head.size, 1, LIST_WORK)?.hits.pop())
    }

    /// What says that something of a record is erased: looked for if something is absent, and in a log with redactions in any
    /// case, since what was erased may be there again.
    ///
    /// # Errors
    /// [`Unverified`].
    pub fn excuses_for(
        &self,
        id: RecordId,
        lacks: bool,
        has_redactions: impl FnOnce() -> Result<bool, PostingsError>,
    ) -> Result<Option<Arc<Excuses>>, Unverified> {
        if !lacks && !has_redactions()? {
            return Ok(None);
        }
        self.excuses(id)
    }

    /// What excuses absences in the record with this id; `None` if nothing does.
    ///
    /// # Errors
    /// [`Unverified`].
    pub fn excuses(&self, id: RecordId) -> Result<Option<Arc<Excuses>>, Unverified> {
        let Ok(origin) = Origin::new(&*self.log.info().origin) else { return Ok(None) };
        // The rarest first: it is asked for first in each run.
        let prints = [
            self.print(Facet::Operation, REDACTION),
            self.print(Facet::Object, &id.to_string()),
            self.print(Facet::Module, OWN_MODULE),
        ];
        let mut excuses = Excuses { redactions: Redactions::new(origin), records: Vec::new() };
        let (mut below, mut read) = (Some(self.under.size), 0);
        while let Some(from) = below.filter(|_| read < REDACTIONS_OF_RECORD) {
            let page = self.log.find_records(&prints, from, REDACTIONS_OF_RECORD - read, LIST_WORK)?;
            below = page.next;
            for index in page.hits {
                read += 1;
                match self.redaction(index, &mut excuses) {
                    Ok(()) => {}
                    Err(Unverified::Broken(broken)) => {
                        tracing::error!(log = %self.log.info().name, %index, words = broken.words, "a redaction record does not count");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((!excuses.records.is_empty()).then(|| Arc::new(excuses)))
    }

    /// Takes up the redaction record at an index, if it is one.
    fn redaction(&self, index: LeafIndex, excuses: &mut Excuses) -> Result<(), Unverified> {
        let Some(stored) = self.log.stored_record(self.head, index)? else { return Ok(()) };
        let mut located = Located::of(self.log, self.head, self.under, stored)?;
        let before = self.before(&located, None)?;
        located.after(before)?;
        let verified = located.open(|_, _| Ok(None))?;
        // What does not count, such as one of another log, excuses nothing.
        if excuses.redactions.take_up(verified.record()).is_ok() {
            excuses.records.push(Arc::new(verified.whole()));
        }
        Ok(())
    }

    /// The record that is directly before another one in its stream, as far as it can be read; it is looked for at `near`
    /// first.
    ///
    /// # Errors
    /// [`Unverified`] if the store failed.
    pub fn before(&self, located: &Located, near: Option<LeafIndex>) -> Result<Predecessor, Unverified> {
        let header = located.header();
        let (Some(prev), Ok(below)) = (header.prev, TreeSize::new(located.index().get())) else {
            return Ok(Predecessor::None);
        };
        // By the hash that the record itself names it is the one, whatever the tree's tiles are.
        let is_named = |entry: &Bytes| Hash::leaf(entry) == prev;
        if let Some(index) = near
            && let Some(entry) = self.entry(index)?.filter(is_named)
        {
            return Ok(Predecessor::Leaf(index, entry));
        }
        let print = stream_print(self.prints, header.stream);
        let found = self.log.find_records(&[print], below, 1, u64::MAX);
        let Some(index) = found.map_err(Unverified::Postings)?.hits.pop() else { return Ok(Predecessor::None) };
        let entry = self.entry(index)?;
        if let Some(entry) = entry.as_ref().filter(|entry| is_named(entry)) {
            return Ok(Predecessor::Leaf(index, entry.clone()));
        }
        let (hash, proof) = self.log.located(self.head, index, self.under.size)?;
        let stands =
            entry.filter(|entry| Hash::leaf(entry) == hash && proof.verify(index, &hash, &self.under.tree()).is_ok());
        Ok(stands.map_or(Predecessor::Hash(index, hash), |entry| Predecessor::Leaf(index, entry)))
    }

    /// An entry, unless it is damaged.
    fn entry(&self, index: LeafIndex) -> Result<Option<Bytes>, Unverified> {
        match self.log.entry(self.head, index) {
            Err(error) if error.is_failure() => Err(error.into()),
            entry => Ok(entry.ok().flatten()),
        }
    }
}
