//! Searches: page after page, newest first, each record verified and compared with what was asked for.

use std::collections::BTreeSet;

use cairn_tree::record::server_part::Seq;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::MAX_EXCEPT;

use super::error::TrailError;
use super::filter::Filter;
use super::{Met, Trail};
use crate::bounds;

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How many records, those included that the server could not verify.
    pub records: u64,
    /// The server says that among the leaves of a tree of this size no other record matches.
    pub complete_to: TreeSize,
    /// Except perhaps these, which its indexes don't find by what they say.
    pub except: Vec<LeafIndex>,
    /// Whether there are more.
    pub more: bool,
}

impl Trail {
    /// Looks for at most `most` records, and hands each over once it is verified, or
    /// what the server says is wrong with it.
    ///
    /// # Errors
    /// [`TrailError`], or whatever `each` fails with; what was handed over is good all the same.
    pub async fn search<E: From<TrailError>>(
        &mut self,
        filter: &Filter,
        most: u64,
        each: &mut dyn FnMut(&Met) -> Result<(), E>,
    ) -> Result<Found, E> {
        let (mut records, mut last, mut cursor) = (0, None, None::<String>);
        let (mut complete_to, mut except) = (None::<TreeSize>, BTreeSet::new());
        let mut in_vain = 0;
        loop {
            let room = most.saturating_sub(records);
            let mut query = filter.query();
            query.push(("limit", room.clamp(1, bounds::PAGE_RECORDS as u64).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page = self.records.search(query).await.map_err(TrailError::from)?;
            let found = self.verified(&page).await?;
            complete_to = Some(complete_to.map_or(page.complete_to, |size| size.min(page.complete_to)));
            except.extend(page.except.iter().copied());
            in_vain = if found.is_empty() { in_vain + 1 } else { 0 };
            for met in &found {
                if records == most {
                    break;
                }
                check(filter, met, last)?;
                last = Some(met.index());
                each(met)?;
                records += 1;
            }
            // A page may have more than was asked for.
            let more = page.next.is_some() || found.last().is_some_and(|met| Some(met.index()) != last);
            if !more || records >= most {
                let complete_to = complete_to.unwrap_or(TreeSize::ZERO);
                let except = except.into_iter().take(MAX_EXCEPT).collect();
                return Ok(Found { records, complete_to, except, more });
            }
            if in_vain == bounds::EMPTY_PAGES {
                return Err(TrailError::Empty("page after page of a search that goes on").into());
            }
            cursor = page.next.map(|next| next.to_string());
        }
    }
}

/// Checks that a record is one that was asked for, in its place. Of one that the server can't verify only the place is
/// known.
fn check(filter: &Filter, met: &Met, last: Option<LeafIndex>) -> Result<(), TrailError> {
    let index = met.index();
    if let Some(after) = last.filter(|last| *last <= index) {
        return Err(TrailError::Order { index, after });
    }
    let Met::Record(seen) = met else { return Ok(()) };
    if seen.header().seq != Seq::FIRST && !seen.entry.has_before() {
        return Err(TrailError::NoBefore(index));
    }
    filter.check(seen)
}
