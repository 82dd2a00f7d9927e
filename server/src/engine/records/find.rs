//! Finding records by their prints. What is found is a candidate only: whoever shows a record opens it, and sees whether it
//! says what was asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use cairn_tree::size::{LeafIndex, TreeSize};

use super::found::{Found, Released};
use super::prints::partial_print;
use crate::engine::Log;
use crate::engine::postings::{Page, PostingsError, Print};
use crate::engine::stored::{ReadError, Stored};

impl Log {
    /// Records below a size that have all of some prints, newest first: at most `most`, and as far as reading about as many
    /// blocks as `work` goes.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn find_records(
        &self,
        prints: &[Print],
        below: TreeSize,
        most: usize,
        work: u64,
    ) -> Result<Page, PostingsError> {
        match self.source()? {
            Some((found, source)) => found.postings.intersect(&source, prints, below, most, work),
            None => Ok(Page { hits: Vec::new(), next: None }),
        }
    }

    /// The newest record that has each of some prints.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn newest_records(&self, prints: &[Print]) -> Result<Vec<Option<LeafIndex>>, PostingsError> {
        match self.source()? {
            Some((found, source)) => found.postings.newest_of(&source, prints),
            None => Ok(vec![None; prints.len()]),
        }
    }

    /// The oldest records from an index on that have a print, oldest first.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn oldest_records(&self, print: Print, from: LeafIndex, most: usize) -> Result<Vec<LeafIndex>, PostingsError> {
        match self.source()? {
            Some((found, source)) => found.postings.oldest(&source, print, from, most),
            None => Ok(Vec::new()),
        }
    }

    /// The newest record of those that are not found by all that they once said, since something of them is not there or they
    /// are of a later version; with a print, if that is given: their ids and their streams find them all the same.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn partly_found(&self, with: Option<Print>) -> Result<Option<LeafIndex>, PostingsError> {
        let Some((found, source)) = self.source()? else { return Ok(None) };
        // The rarer first.
        let prints: Vec<Print> = with.into_iter().chain([partial_print(&found.secret)]).collect();
        let page = found.postings.intersect(&source, &prints, self.head().size, 1, u64::MAX)?;
        Ok(page.hits.first().copied())
    }

    /// The size up to which a search that begins from now on misses nothing.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn indexed_to(&self) -> Result<TreeSize, PostingsError> {
        match self.source()? {
            Some((found, source)) => found.postings.complete_to(&source),
            // There is no record yet.
            None => Ok(self.head().size),
        }
    }

    /// The first entry that is not what the tree has and that nothing is found of, so that whatever is behind it may lack
    /// something; as far as is known.
    #[must_use]
    pub fn unfound_from(&self) -> Option<LeafIndex> {
        let index = self.shared.found.get()?.damaged.load(Relaxed);
        LeafIndex::new(index).ok().filter(|index| self.head().size.contains(*index))
    }

    /// Whether all that the log has is found, as far as is known.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] names the first entry behind which something may be missed.
    pub fn misses_nothing(&self) -> Result<(), ReadError> {
        let Some(index) = self.unfound_from() else { return Ok(()) };
        let log = self.shared.info.id;
        let stored = Stored::new(&*self.running.reader.store, log);
        Err(stored.damaged("the entry", index.get(), "it is not what the tree has").of_entry(log, index))
    }

    /// What the log's records are found by, if it ever was to have records, and what that stands on.
    pub(super) fn source(&self) -> Result<Option<(&Found, Released)>, ReadError> {
        let store = &self.running.reader.store;
        let Some(found) = self.shared.found(&**store, &self.running.upkeep)? else { return Ok(None) };
        let (log, store, rocks) = (Arc::clone(&self.shared), Arc::clone(store), Arc::clone(&self.running.rocks));
        Ok(Some((found, Released { log, store, rocks, secret: found.secret.clone() })))
    }
}
