//! Look-ups: in the segment that grows, under its lock; then in the segments and runs that there were at that moment.

use std::sync::Arc;

use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::store::Store;

use super::memory::Segment;
use super::print::Print;
use super::search::{Page, Search};
use super::source::Source;
use super::walk::{self, Work};
use super::{Inner, LiveRun, Postings, PostingsError};
use crate::engine::stored::ReadError;

/// What look-ups read besides the segment that grows.
#[derive(Clone)]
struct View {
    runs: Arc<Vec<Arc<LiveRun>>>,
    frozen: Arc<Vec<Arc<Segment>>>,
}

impl Postings {
    /// The size up to which look-ups that begin from now on miss nothing.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn complete_to(&self, source: &dyn Source) -> Result<TreeSize, PostingsError> {
        let (end, _) = self.view(source, &mut Segment::end)?;
        Ok(TreeSize::new(end).unwrap_or(TreeSize::ZERO))
    }

    /// The newest `most` leaves below a size that have a print, newest first.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn newest(
        &self,
        source: &dyn Source,
        print: Print,
        below: TreeSize,
        most: usize,
    ) -> Result<Vec<LeafIndex>, PostingsError> {
        // Each block that is read has something for the page, but for one a run.
        Ok(self.search(source, &[print], below, most, Work::blocks(u64::MAX))?.hits)
    }

    /// The oldest `most` leaves from an index on that have a print, oldest first.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn oldest(
        &self,
        source: &dyn Source,
        print: Print,
        from: LeafIndex,
        most: usize,
    ) -> Result<Vec<LeafIndex>, PostingsError> {
        let from = from.get();
        let found = self.look_up(
            source,
            &mut |active| active.oldest(print, from).take(most).collect::<Vec<_>>(),
            &mut |newest, view| {
                let mut found = Vec::new();
                for live in view.runs.iter().filter(|live| live.run.end > from && live.may_have(print)) {
                    if found.len() < most {
                        walk::oldest(source.store(), self.log, (&live.run, print), from, (&mut found, most))?;
                    }
                }
                let frozen = view.frozen.iter().flat_map(|segment| segment.oldest(print, from));
                let rest = frozen.chain(newest.iter().copied()).take(most - found.len());
                found.extend(rest);
                Ok(found)
            },
        )?;
        Ok(found.into_iter().filter_map(|index| LeafIndex::new(index).ok()).collect())
    }

    /// Leaves below a size that have all of some prints, newest first: at most `most`, and as far as reading about as many
    /// blocks as `work` goes. However little that is, each call gets some way. Of no prints there are none.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn intersect(
        &self,
        source: &dyn Source,
        prints: &[Print],
        below: TreeSize,
        most: usize,
        work: u64,
    ) -> Result<Page, PostingsError> {
        self.search(source, prints, below, most, Work::blocks(work))
    }

    /// The newest leaf that has a print, for each of some prints; what every append asks for stream names and record ids.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn newest_of(&self, source: &dyn Source, prints: &[Print]) -> Result<Vec<Option<LeafIndex>>, PostingsError> {
        self.look_up(
            source,
            &mut |active| prints.iter().map(|print| active.newest(*print)).collect::<Vec<_>>(),
            &mut |active, view| {
                let older = |(print, active): (&Print, &Option<u64>)| match active {
                    Some(index) => Ok(Some(*index)),
                    None => self.newest_in(source.store(), view, *print),
                };
                let found = prints.iter().zip(active).map(older);
                found.map(|index| Ok(index?.and_then(|index| LeafIndex::new(index).ok()))).collect()
            },
        )
    }

    fn newest_in(&self, store: &dyn Store, view: &View, print: Print) -> Result<Option<u64>, ReadError> {
        if let Some(index) = view.frozen.iter().rev().find_map(|segment| segment.newest(print)) {
            return Ok(Some(index));
        }
        for live in view.runs.iter().rev().filter(|live| live.may_have(print)) {
            if let Some(index) = walk::newest(store, self.log, &live.run, print)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn search(
        &self,
        source: &dyn Source,
        prints: &[Print],
        below: TreeSize,
        most: usize,
        work: Work,
    ) -> Result<Page, PostingsError> {
        self.look_up(
            source,
            &mut |active| {
                let mut search = Search::new(prints, below.get(), most, work);
                search.segment(active);
                search
            },
            &mut |search, view| {
                let mut search = search.clone();
                view.frozen.iter().rev().for_each(|segment| search.segment(segment));
                for live in view.runs.iter().rev() {
                    search.run(source.store(), self.log, live)?;
                }
                Ok(search.page())
            },
        )
    }

    /// Looks at the segment that grows, under its lock, then at the rest as it was at that moment. Once more if runs were
    /// merged meanwhile and their rows deleted before they were read. Merges are rare, so this goes round again once at
    /// most but for a reader that is slower than they.
    fn look_up<A, T>(
        &self,
        source: &dyn Source,
        look: &mut dyn FnMut(&Segment) -> A,
        rest: &mut dyn FnMut(&A, &View) -> Result<T, ReadError>,
    ) -> Result<T, PostingsError> {
        loop {
            let (active, view) = self.view(source, look)?;
            match rest(&active, &view) {
                Err(_) if !self.has_all(&view) => {}
                found => return Ok(found.inspect_err(|error| self.doubt(error))?),
            }
        }
    }

    fn view<A>(&self, source: &dyn Source, look: &mut dyn FnMut(&Segment) -> A) -> Result<(A, View), PostingsError> {
        loop {
            self.load(source)?;
            // It may have been unloaded since the line above.
            if let Inner::Loaded(loaded) = &*self.read() {
                let view = View { runs: Arc::clone(&loaded.runs), frozen: Arc::clone(&loaded.frozen) };
                return Ok((look(&loaded.active), view));
            }
        }
    }

    fn has_all(&self, view: &View) -> bool {
        match &*self.read() {
            Inner::Absent { .. } => false,
            Inner::Loaded(loaded) => view.runs.iter().all(|live| loaded.manifest.runs().contains(&live.run)),
        }
    }
}
