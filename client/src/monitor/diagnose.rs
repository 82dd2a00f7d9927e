//! A head was signed that what is served does not lead to: finding out which of the two is the lie, and proving it.

use cairn_tree::checkpoint::VerifiedCheckpoint;
use cairn_tree::size::TreeSize;

use super::evidence::Case;
use super::grow::first_wrong_entry;
use super::round::{Monitor, RoundError};
use super::state::State;
use crate::auditor::AuditError;
use crate::fetch::{FetchError, Freshness};

impl Monitor {
    /// The reason why a signed head could not be reached from what was known. Everything is asked for past caches.
    pub(super) async fn diagnose(&mut self, head: &VerifiedCheckpoint) -> RoundError {
        match self.find_contradiction(head).await {
            Ok(Some(case)) => case.into(),
            Ok(None) => RoundError::Unverified(AuditError::Fetch(FetchError::Malformed {
                url: self.remote.url().to_string(),
                fault: "the entries did not lead to the signed head, but do so now".to_owned(),
            })),
            Err(error) if error.is_misfit() => Case::Misfit {
                previous: self.state.as_ref().map(|state| state.head().signed().encode()),
                head: head.signed().encode(),
                fault: error.to_string(),
            }
            .into(),
            Err(error) => RoundError::Unverified(error),
        }
    }

    async fn find_contradiction(&mut self, head: &VerifiedCheckpoint) -> Result<Option<Case>, AuditError> {
        let tree = head.tree();
        let mut from = TreeSize::ZERO;
        // 1. Was the tree that the head signs another one at the size that we know?
        if let Some(state) = self.state.clone().filter(|state| state.root().size > TreeSize::ZERO) {
            let known = state.root();
            let then = self.reader.root_at(known.size, tree, Freshness::PastCaches).await?;
            if then != known {
                let proof = self.reader.consistency(known.size, tree, Freshness::AnyCache).await?;
                return Ok(Some(Case::fork(State::head(&state), head, then.hash, &proof)));
            }
            from = known.size;
        }
        // 2. Then the head extends what we know, and some entry is not the one that it signs.
        let Some(wrong) = first_wrong_entry(&mut self.reader, &self.remote, from, tree).await? else {
            return Ok(None);
        };
        let (leaf, proof) = self.reader.inclusion(wrong.index, tree, Freshness::AnyCache).await?;
        Ok(Some(Case::wrong_entry(head, wrong.index, &wrong.served, leaf, &proof)))
    }
}
