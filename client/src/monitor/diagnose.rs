//! A head was signed that what is served does not lead to: finding out which of the two is the lie, and proving it.

use cairn_tree::checkpoint::VerifiedCheckpoint;
use cairn_tree::size::TreeSize;

use super::evidence::Case;
use super::grow::first_wrong_entry;
use super::reading::Reading;
use super::round::{Monitor, RoundError, contradiction};
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
            Err(error) if error.is_misfit() => self.misfit(head, error.to_string()).into(),
            Err(error) => RoundError::Unverified(error),
        }
    }

    async fn find_contradiction(&mut self, head: &VerifiedCheckpoint) -> Result<Option<Case>, AuditError> {
        let tree = head.tree();
        // 1. Was the tree that the head signs another one at the size that we know?
        let known = [self.reading.as_ref().map(Reading::head), self.state.as_ref().map(State::head)];
        let known: Vec<_> = known.into_iter().flatten().filter(|known| known.size() < tree.size).cloned().collect();
        for known in known {
            if let Some(case) = contradiction(&mut self.reader, &known, head).await? {
                return Ok(Some(case));
            }
        }
        let from = match (&self.reading, &self.state) {
            (Some(reading), _) => reading.frontier().size(),
            (None, Some(state)) => state.root().size,
            (None, None) => TreeSize::ZERO,
        };
        // 2. Then the head extends what we know, and some entry is not the one that it signs.
        let Some(wrong) = first_wrong_entry(&mut self.reader, &self.remote, from, tree).await? else {
            return Ok(None);
        };
        let (leaf, proof) = self.reader.inclusion(wrong.index, tree, Freshness::AnyCache).await?;
        Ok(Some(Case::wrong_entry(head, wrong.index, &wrong.served, leaf, &proof)))
    }
}
