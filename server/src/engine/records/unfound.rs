//! Which records a search may miss: of those that lack something, or are of a later version, the postings know the id and the
//! stream, and perhaps nothing of what they say.
//!
//! Where that was erased, there is nothing to be found. Where it is damaged, and the postings were made of it, whoever
//! searches is told which records these are. Who can tell one from the other is asked once for each such record; what was
//! erased stays so. Repairing the records makes the postings anew, and none is left.

use std::sync::{MutexGuard, PoisonError};

use cairn_tree::size::{LeafIndex, TreeSize};

use super::found::Found;
use super::prints::partial_print;
use crate::engine::Log;
use crate::engine::bounds::{UNFOUND_LISTED, UNFOUND_LOOKS};
use crate::engine::postings::PostingsError;

/// What was found out about such records.
#[derive(Debug, Default)]
pub(in crate::engine) struct Settled {
    /// How often the postings had been loaded then.
    loads: u64,
    /// Of those before this one it is known.
    to: u64,
    /// Those among them that a search may miss, in order.
    except: Vec<LeafIndex>,
}

/// How far searches miss nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completeness {
    /// Up to this size of the log, and
    pub to: TreeSize,
    /// except these, in order.
    pub except: Vec<LeafIndex>,
}

impl Log {
    /// The size up to which a search that begins from now on misses nothing, and the records before it of which that is not
    /// so. `is_excused` says of a record that lacks something whether it was erased, or nobody could find it by more.
    ///
    /// # Errors
    /// [`PostingsError`], or whatever `is_excused` fails with.
    pub fn completeness<E: From<PostingsError>>(
        &self,
        is_excused: &dyn Fn(LeafIndex) -> Result<bool, E>,
    ) -> Result<Completeness, E> {
        let size = self.head().size;
        let Some((found, source)) = self.source().map_err(PostingsError::from)? else {
            // There is no record yet.
            return Ok(Completeness { to: size, except: Vec::new() });
        };
        let to = found.postings.complete_to(&source)?;
        let mut settled = found.settled();
        let (loads, from) = found.postings.read_from();
        if settled.loads != loads {
            // What was read anew may lack more than before.
            settled.loads = loads;
            settled.to = settled.to.min(from);
            let known = settled.to;
            settled.except.retain(|index| index.get() < known);
        }
        // A redaction record may have come since.
        let mut except = Vec::with_capacity(settled.except.len());
        for index in &settled.except {
            if !is_excused(*index)? {
                except.push(*index);
            }
        }
        // Whole or not at all: what could not be read just now is none the less damaged.
        settled.except = except;
        let begin = LeafIndex::new(settled.to).unwrap_or(LeafIndex::ZERO);
        let next = found.postings.oldest(&source, partial_print(&found.secret), begin, UNFOUND_LOOKS)?;
        let is_last = next.len() < UNFOUND_LOOKS;
        for index in next {
            if !is_excused(index)? {
                if settled.except.len() >= UNFOUND_LISTED {
                    // From the first that is not listed on, nothing is claimed.
                    return Ok(settled.up_to(index.get()));
                }
                tracing::warn!(log = %self.info().name, %index, "what a record says is damaged: nothing of it finds it");
                settled.except.push(index);
            }
            settled.to = index.get().saturating_add(1);
        }
        if is_last {
            settled.to = settled.to.max(to.get());
        }
        // What is left of very many is looked at by the next search.
        Ok(settled.up_to(settled.to.min(to.get())))
    }
}

impl Settled {
    fn up_to(&self, size: u64) -> Completeness {
        let to = TreeSize::new(size).unwrap_or(TreeSize::ZERO);
        Completeness { to, except: self.except.iter().copied().filter(|index| to.contains(*index)).collect() }
    }
}

impl Found {
    fn settled(&self) -> MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
