//! Reading what no run has from the log's records, before the first look-up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::manifest::Manifest;
use super::memory::Segment;
use super::source::Source;
use super::{Inner, Loaded, Postings, PostingsError, SOURCE_LEAVES, Sizes, live_runs};
use crate::engine::stored::ReadError;

/// How often what was released while the log was read is read without the lock, before it is under the lock.
const ROUNDS: usize = 4;

impl Postings {
    /// Reads the manifest, and the postings that no run has, up to the released head's size. Comes before every look-up.
    ///
    /// Leaves released meanwhile are not missed: [`Postings::insert`] waits for the same lock, and the size is asked under
    /// it once more. Nor is a run that is made meanwhile: its manifest is durable before the lock is taken to install it.
    pub(super) fn load(&self, source: &dyn Source) -> Result<(), PostingsError> {
        if self.is_loaded() {
            return Ok(());
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_loaded() {
            self.try_load(source)?;
        }
        Ok(())
    }

    pub(super) fn is_loaded(&self) -> bool {
        matches!(&*self.read(), Inner::Loaded(_))
    }

    /// Loads, unless runs were made meanwhile of what it has read.
    fn try_load(&self, source: &dyn Source) -> Result<(), PostingsError> {
        let begun = Manifest::read(source.store(), self.log, self.first).inspect_err(|error| self.doubt(error))?;
        let (indexed, size) = (begun.end(), source.size().get());
        if size.saturating_sub(indexed) > self.sizes.most_unread() {
            if !self.is_stuck() {
                self.upkeep.due.push(self.log);
            }
            return Err(self.behind(indexed, size));
        }
        let mut reading = Reading { frozen: Vec::new(), active: Segment::new(indexed) };
        // Nearly all is read before the lock is taken: whoever releases heads waits for it.
        for _ in 0..ROUNDS {
            reading.read(source, &self.sizes)?;
        }
        let mut inner = self.write();
        let manifest = Manifest::read(source.store(), self.log, self.first)?;
        if manifest.end() != indexed {
            return Ok(());
        }
        reading.read(source, &self.sizes)?;
        let Reading { frozen, active } = reading;
        let runs = Arc::new(live_runs(&manifest, &[]));
        let mut loaded = Loaded { manifest, runs, frozen: Arc::new(frozen), active };
        // What one start had to read, the next must not read again.
        if loaded.active.end() - loaded.active.start() >= self.sizes.reload_leaves {
            loaded.freeze();
        }
        {
            let mut read_from = self.read_from.lock().unwrap_or_else(PoisonError::into_inner);
            let from = if self.anew.load(Ordering::Relaxed) { self.first } else { indexed };
            *read_from = (read_from.0 + 1, from);
        }
        *inner = Inner::Loaded(loaded);
        // Its runs have no filters yet.
        self.upkeep.due.push(self.log);
        Ok(())
    }
}

struct Reading {
    frozen: Vec<Arc<Segment>>,
    active: Segment,
}

impl Reading {
    /// Reads on, to the newest released head.
    fn read(&mut self, source: &dyn Source, sizes: &Sizes) -> Result<(), ReadError> {
        while read_on(source, sizes, &mut self.active)? {
            let next = Segment::behind(&self.active);
            self.frozen.push(Arc::new(core::mem::replace(&mut self.active, next)));
        }
        Ok(())
    }
}

/// Reads postings into a segment until it is full, or to the newest released head; true if it is full.
pub(super) fn read_on(source: &dyn Source, sizes: &Sizes, segment: &mut Segment) -> Result<bool, ReadError> {
    let mut postings = Vec::new();
    loop {
        if sizes.is_full(segment) {
            return Ok(true);
        }
        let (from, size) = (segment.end(), source.size().get());
        if from >= size {
            return Ok(false);
        }
        let end = size.min(from.saturating_add(SOURCE_LEAVES));
        postings.clear();
        let unlike = source.postings(from..end, &mut postings)?;
        segment.add(end, &postings);
        if let Some(index) = unlike {
            segment.distrust(index);
        }
    }
}
