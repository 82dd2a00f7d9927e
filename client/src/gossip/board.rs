//! What we show to others: one head per configured log.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use cairn_tree::checkpoint::{Origin, OriginHash, VerifiedCheckpoint};

/// The newest verified head of each log.
#[derive(Debug)]
pub struct Board {
    heads: BTreeMap<OriginHash, RwLock<Option<Shown>>>,
}

#[derive(Debug)]
struct Shown {
    size: u64,
    note: Bytes,
}

/// Where a log's head stands, relative to the prefix.
#[must_use]
pub fn path(origin: &Origin) -> String {
    format!("gossip/{}", OriginHash::of(origin).checkpoint_path())
}

impl Board {
    /// A board for these logs, empty.
    #[must_use]
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Self {
        Self { heads: origins.into_iter().map(|origin| (OriginHash::of(origin), RwLock::new(None))).collect() }
    }

    /// Shows a head, with the log's own signatures alone. A head of another log, or one smaller than what is shown, is
    /// left out.
    pub fn show(&self, head: &VerifiedCheckpoint) {
        let Some(place) = self.heads.get(&OriginHash::of(head.origin())) else { return };
        let note = head.as_ref().bare().signed().encode();
        let size = head.size().get();
        let mut place = place.write().unwrap_or_else(PoisonError::into_inner);
        if place.as_ref().is_none_or(|shown| shown.size < size) {
            *place = Some(Shown { size, note: note.into() });
        }
    }

    /// The head under a path without its leading slash and prefix; `None` if nothing is there.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Bytes> {
        let hash = OriginHash::parse(path.strip_prefix("gossip/")?.strip_suffix("/checkpoint")?)?;
        let place = self.heads.get(&hash)?.read().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().map(|shown| shown.note.clone())
    }
}
