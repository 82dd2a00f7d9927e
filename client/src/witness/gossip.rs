//! What a witness gossips: the newest head that it verified of each log that it watches, with the log's signatures alone.
//!
//! A witness cosigns what it verifies, so these are the heads of the retrieval path without its own lines. Not here:
//! looking at what others show, which monitors do.

use std::sync::Arc;

use cairn_listen::{Answer, Payload};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use super::serve::Room;
use super::{OriginHash, Witness};

/// The heads of a witness, for its peers.
pub struct Shelf(Arc<Witness>);

impl Shelf {
    /// The heads of this witness.
    #[must_use]
    pub const fn new(witness: Arc<Witness>) -> Self {
        Self(witness)
    }
}

impl Room for Shelf {
    fn get(&self, path: &str) -> Option<Answer> {
        let hash = path.strip_prefix("gossip/")?.strip_suffix("/checkpoint").and_then(OriginHash::parse)?;
        let head = self.0.rumour(hash)?;
        let mut answer = Response::new(Payload::whole(head));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        // Who gossips wants the newest.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(answer)
    }
}
