//! Which records a search may miss: of those that lack something, or are of a later version, the postings know the id and the
//! stream, and perhaps nothing of what they say.
//!
//! Where that was erased, there is nothing to be found. Where it is damaged, and the postings were made of it, whoever
//! searches is told which records these are. Who can tell one from the other is asked once for each such record; what was
//! erased stays so. Repairing the records makes the postings anew, and none is left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use cairn_tree::record::kind::REDACTION;
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::size::{LeafIndex, TreeSize};

use super::prints::partial_print;
use crate::engine::Log;
use crate::engine::bounds::{UNFOUND_LISTED, UNFOUND_LOOKS, UNFOUND_WORK};
use crate::engine::postings::{Facet, PostingsError, Print};

/// What is known of the records of a log that the postings may not find.
#[derive(Debug, Default)]
pub(in crate::engine) struct Unfound {
    /// Never held while anything is read.
    settled: Mutex<Settled>,
    /// Held by whoever looks into more of them; nobody waits for it.
    turn: Mutex<()>,
}

/// What was found out about such records.
#[derive(Debug, Clone, Default)]
struct Settled {
    /// How often the postings had been loaded then.
    loads: u64,
    /// Of those before this one it is known.
    to: u64,
    /// Those among them that a search may miss, in order, and whose they are, as far as anybody can tell.
    except: Vec<(LeafIndex, Option<Arc<str>>)>,
    /// The newest redaction record when they were looked into: before there is another, none of them is erased.
    redaction: Option<LeafIndex>,
}

/// What is the matter with a record that the postings know too little of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It was erased, or nobody could find it by more.
    Excused,
    /// It is damaged: a record of this tenant, if that can be told.
    Damaged(Option<Arc<str>>),
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
    /// The size up to which a search for records of a tenant that begins from now on misses nothing, and the records before it
    /// of which that is not so: its own, and those of which nobody can tell whose they are. `lack` says what is the matter
    /// with a record that lacks something.
    ///
    /// One caller at a time asks it; the others are told what is known already, up to the first record that nothing is
    /// known of.
    ///
    /// # Errors
    /// [`PostingsError`], or whatever `lack` fails with.
    pub fn completeness<E: From<PostingsError>>(
        &self,
        tenant: &str,
        lack: &dyn Fn(LeafIndex) -> Result<Lack, E>,
    ) -> Result<Completeness, E> {
        let size = self.head().size;
        let Some((found, source)) = self.source().map_err(PostingsError::from)? else {
            // There is no record yet.
            return Ok(Completeness { to: size, except: Vec::new() });
        };
        let to = found.postings.complete_to(&source)?;
        let turn = found.unfound.turn();
        let mut settled = found.unfound.settled().clone();
        settled.read_anew(found.postings.read_from());
        let begin = LeafIndex::new(settled.to).unwrap_or(LeafIndex::ZERO);
        let most = if turn.is_some() { UNFOUND_LOOKS } else { 1 };
        let next = found.postings.oldest(&source, partial_print(&found.secret), begin, most)?;
        if turn.is_none() {
            let known = next.first().map_or(to.get(), |index| index.get());
            return Ok(settled.up_to(known.min(to.get()), tenant));
        }
        let looked = self.look_into(&mut settled, &next, lack);
        let is_last = next.len() < UNFOUND_LOOKS;
        if is_last && matches!(looked, Ok(None)) {
            settled.to = settled.to.max(to.get());
        }
        // What was found out before a failure is known from here on.
        found.unfound.settled().clone_from(&settled);
        // What is left of very many is looked at by the next search.
        let end = looked?.unwrap_or(settled.to);
        Ok(settled.up_to(end.min(to.get()), tenant))
    }

    /// Looks into records that lack something, and once more into those that were damaged if they may have been erased since.
    /// Gives the first that there is no room for, from which on nothing is claimed.
    fn look_into<E: From<PostingsError>>(
        &self,
        settled: &mut Settled,
        next: &[LeafIndex],
        lack: &dyn Fn(LeafIndex) -> Result<Lack, E>,
    ) -> Result<Option<u64>, E> {
        if settled.except.is_empty() && next.is_empty() {
            return Ok(None);
        }
        let redaction = self.newest_redaction()?;
        if redaction.is_none_or(|newest| newest != settled.redaction) {
            let mut except = Vec::with_capacity(settled.except.len());
            for (index, _) in &settled.except {
                if let Lack::Damaged(tenant) = lack(*index)? {
                    except.push((*index, tenant));
                }
            }
            // Whole or not at all: what could not be read just now is none the less damaged.
            settled.except = except;
            settled.redaction = redaction.flatten();
        }
        for index in next {
            if let Lack::Damaged(tenant) = lack(*index)? {
                if settled.except.len() >= UNFOUND_LISTED {
                    return Ok(Some(index.get()));
                }
                tracing::warn!(log = %self.info().name, %index, "what a record says is damaged: nothing of it finds it");
                settled.except.push((*index, tenant));
            }
            settled.to = index.get().saturating_add(1);
        }
        Ok(None)
    }

    /// Where the newest record is that may be a redaction record, if there is one; `None` if that takes too long to tell.
    fn newest_redaction(&self) -> Result<Option<Option<LeafIndex>>, PostingsError> {
        let Some((found, _)) = self.source()? else { return Ok(Some(None)) };
        let print = |facet, value: &str| Print::new(&found.secret, facet, &[value]);
        let prints = [print(Facet::Operation, REDACTION), print(Facet::Module, OWN_MODULE)];
        let page = self.find_records(&prints, self.head().size, 1, UNFOUND_WORK)?;
        let newest = page.hits.first().copied();
        Ok((newest.is_some() || page.next.is_none()).then_some(newest))
    }
}

impl Unfound {
    fn settled(&self) -> MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn to look into more; `None` if another one has it.
    fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Settled {
    /// Takes note of how often the postings were loaded, and from where on.
    fn read_anew(&mut self, (loads, from): (u64, u64)) {
        if self.loads != loads {
            // What was read anew may lack more than before.
            self.loads = loads;
            self.to = self.to.min(from);
            let known = self.to;
            self.except.retain(|(index, _)| index.get() < known);
        }
    }

    fn up_to(&self, size: u64, tenant: &str) -> Completeness {
        let to = TreeSize::new(size).unwrap_or(TreeSize::ZERO);
        let may_be_its = |owner: &Option<Arc<str>>| owner.as_deref().is_none_or(|owner| owner == tenant);
        let except = self.except.iter().filter(|(index, owner)| to.contains(*index) && may_be_its(owner));
        Completeness { to, except: except.map(|(index, _)| *index).collect() }
    }
}
