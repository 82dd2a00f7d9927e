//! The newest states of streams, which records of some modules are judged against before they are appended.
//!
//! A state is made of verified records alone: each is opened and proven to be in the tree, and the chain of the stream is
//! checked from its first one on. It is kept within a bound of bytes, so that for the next record only what came since
//! has to be read; and only that of objects whose records are judged. A stream that goes on from one of another log of the
//! database begins with the states of that one, whose last record must be the one that it names.
//!
//! States are out of the cache while records act on them, so that nothing is copied as long as one at a time asks for those
//! of a stream ([`super::turns`]); whoever else asks meanwhile reads them anew. Not here: the judgement ([`super::strict`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::chain::Chain;
use cairn_tree::record::history::Entered;
use cairn_tree::record::later::Later;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::replay::Ongoing;
use cairn_tree::record::stream::{StreamHead, StreamName};
use cairn_tree::size::LeafIndex;
use cairn_tree::store::LogId;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::excuse::verified;
use super::settings::{ModuleSettings, Settings};
use super::turns::Turns;
use super::verify::{Broken, Unverified};
use crate::engine::postings::{PostingsError, Print};
use crate::engine::records::{StoredRecord, StreamTip, name_print};
use crate::engine::{Cached, Engine, Head, Log, ReadError};
use crate::limits::{LIST_BYTES, STATE_CACHE_BYTES, STATE_RECORDS, STATE_STREAM_BYTES};

/// Records that are looked up at once.
const CHUNK: usize = 256;
/// What a stream's entry in the cache takes beside its states.
const ENTRY_BYTES: u64 = 512;
/// What a module's name takes beside its bytes.
const MODULE_BYTES: usize = 64;
/// How many streams may go on from one another.
const PARTS: usize = 8;
/// About as many streams as there is room for.
const STREAMS: usize = 32_768;

/// The newest states that are known of streams.
pub struct States {
    cache: Cache<(LogId, Print), Known, Weight>,
    turns: Arc<Turns>,
}

/// Where states are read from.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// The logs.
    pub engine: &'s Engine,
    /// Which modules ask something of their records.
    pub settings: &'s Settings,
}

/// The states of a stream, and the record up to which all have acted on them.
#[derive(Clone, Default)]
pub struct Known {
    states: Arc<Ongoing>,
    chain: Option<Chain>,
    passed: Passed,
    /// How often settings had changed when they were last looked at.
    changes: u64,
    /// They take more than is kept; so nobody reads all of them again for each record.
    too_large: bool,
}

/// The modules of records that are not judged, and so did not act.
#[derive(Clone, Default)]
struct Passed {
    modules: BTreeSet<Box<str>>,
    bytes: usize,
}

/// What a stream begins with that goes on from another one.
struct Before {
    states: Arc<Ongoing>,
    passed: Passed,
}

/// Why the states of a stream are not known.
#[derive(Debug, thiserror::Error)]
pub enum Unknowable {
    /// A record of it can't be read or verified.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// Its records can't be found.
    #[error(transparent)]
    Postings(#[from] PostingsError),
    /// There is more to read than one request may; the next one goes on from there.
    #[error("the stream's records are being read: {0} so far")]
    Behind(u64),
    /// They are more than is kept of one stream.
    #[error("the states of the stream take more than {STATE_STREAM_BYTES} bytes")]
    TooLarge,
}

#[derive(Clone)]
struct Weight;

impl Weighter<(LogId, Print), Known> for Weight {
    fn weight(&self, _: &(LogId, Print), known: &Known) -> u64 {
        ENTRY_BYTES.saturating_add(known.bytes() as u64)
    }
}

impl Default for States {
    fn default() -> Self {
        let mut options = OptionsBuilder::new();
        // One shard, so that the largest states that are kept have room in it.
        options.estimated_items_capacity(STREAMS).weight_capacity(STATE_CACHE_BYTES as u64).shards(1);
        // Both capacities were given, so that the defaults are never needed.
        let cache = match options.build() {
            Ok(options) => {
                Cache::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(STREAMS, STATE_CACHE_BYTES as u64, Weight),
        };
        Self { cache, turns: Arc::default() }
    }
}

impl States {
    /// How full it is.
    #[must_use]
    pub fn cached(&self) -> Cached {
        Cached { name: "states", used: self.cache.weight(), capacity: self.cache.capacity() }
    }

    /// Who has which stream to itself.
    #[must_use]
    pub const fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// The states of a stream as they are under the log's newest head, or after it. Whoever asks has its turn.
    ///
    /// # Errors
    /// [`Unknowable`].
    pub fn of(
        &self,
        source: Source<'_>,
        (log, print): (&Log, Print),
        name: &StreamName<'_>,
    ) -> Result<Known, Unknowable> {
        self.part_of(source, (log, print), name, PARTS)
    }

    /// The states of a stream at its head; none if it is not in this database.
    ///
    /// # Errors
    /// [`Unknowable`].
    pub fn at(
        &self,
        source: Source<'_>,
        head: &StreamHead,
        name: &StreamName<'_>,
    ) -> Result<Option<Arc<Ongoing>>, Unknowable> {
        Ok(self.earlier(source, head, name, PARTS)?.map(|before| before.states))
    }

    fn part_of(
        &self,
        source: Source<'_>,
        (log, print): (&Log, Print),
        name: &StreamName<'_>,
        parts: usize,
    ) -> Result<Known, Unknowable> {
        let key = (log.info().id, print);
        let mut known = self.cache.remove(&key).map(|(_, known)| known).unwrap_or_default();
        known.look_at(source.settings, name);
        let followed = match known.too_large {
            true => Err(Unknowable::TooLarge),
            false => self.follow(&mut known, source, (log, print), name, parts),
        };
        if matches!(followed, Err(Unknowable::TooLarge)) {
            known = Known { too_large: true, changes: known.changes, ..Known::default() };
        }
        // What acted before an error acted all the same.
        self.cache.insert(key, known.clone());
        if followed? { Ok(known) } else { Err(Unknowable::Behind(known.chain.as_ref().map_or(0, records_of))) }
    }

    /// Lets what came since act, some of it; whether that was all.
    fn follow(
        &self,
        known: &mut Known,
        source: Source<'_>,
        (log, print): (&Log, Print),
        name: &StreamName<'_>,
        parts: usize,
    ) -> Result<bool, Unknowable> {
        let head = log.head();
        let begins = |head: &StreamHead| self.earlier(source, head, name, parts);
        let following = Following { log, head: &head, print, name, settings: source.settings, begins: &begins };
        let mut read = 0;
        loop {
            let (count, more) = known.go_on(&following)?;
            read += count;
            if known.bytes() > STATE_STREAM_BYTES {
                return Err(Unknowable::TooLarge);
            }
            if !more || read >= STATE_RECORDS {
                return Ok(!more);
            }
        }
    }

    /// The states of the stream whose head another one names that goes on from it; none if it is not in this database.
    fn earlier(
        &self,
        source: Source<'_>,
        head: &StreamHead,
        name: &StreamName<'_>,
        parts: usize,
    ) -> Result<Option<Before>, Unknowable> {
        let logs = source.engine.logs();
        let log = logs.iter().find(|log| log.info().origin == head.log.as_str());
        let (Some(log), Some(parts)) = (log, parts.checked_sub(1)) else { return Ok(None) };
        let Some(secret) = log.print_secret()? else { return Ok(None) };
        let known = self.part_of(source, (log, name_print(&secret, name)), name, parts)?;
        let is_it = |tip: &StreamTip| (tip.stream, tip.seq, tip.leaf) == (head.stream, head.seq, head.leaf);
        let is_it = known.tip().is_some_and(|tip| is_it(&tip));
        Ok(is_it.then_some(Before { states: known.states, passed: known.passed }))
    }
}

/// Gives the states that a stream begins with, by the head that it goes on from.
type Begins<'b> = &'b dyn Fn(&StreamHead) -> Result<Option<Before>, Unknowable>;

/// A stream that is followed up to a head.
struct Following<'f> {
    log: &'f Log,
    head: &'f Head,
    print: Print,
    name: &'f StreamName<'f>,
    settings: &'f Settings,
    begins: Begins<'f>,
}

/// How many records a chain has.
fn records_of(chain: &Chain) -> u64 {
    chain.last().map_or(0, |last| last.seq.get() + 1)
}

impl Known {
    /// The states.
    #[must_use]
    pub const fn states(&self) -> &Arc<Ongoing> {
        &self.states
    }

    /// The last record that acted on them.
    #[must_use]
    pub fn tip(&self) -> Option<StreamTip> {
        let chain = self.chain.as_ref()?;
        let (head, last) = (chain.head()?, chain.last()?);
        Some(StreamTip { stream: head.stream, seq: last.seq, leaf: last.hash, index: last.index })
    }

    fn bytes(&self) -> usize {
        self.states.bytes().saturating_add(self.passed.bytes)
    }

    /// Forgets all if records did not act that would now, or if what was too large may be so no more.
    fn look_at(&mut self, settings: &Settings, name: &StreamName<'_>) {
        let changes = settings.changes();
        if self.changes == changes {
            return;
        }
        if self.too_large || self.passed.modules.iter().any(|module| is_judged(settings, name, module)) {
            *self = Self::default();
        }
        self.changes = changes;
    }

    /// Lets the next records act; how many they were, and whether there may be more.
    fn go_on(&mut self, stream: &Following<'_>) -> Result<(usize, bool), Unknowable> {
        let from = match self.chain.as_ref().and_then(Chain::last) {
            Some(last) => LeafIndex::new(last.index.get().saturating_add(1)).map_err(|_| Unknowable::TooLarge)?,
            None => LeafIndex::ZERO,
        };
        let mut found = stream.log.oldest_records(stream.print, from, CHUNK)?;
        let full = found.len() == CHUNK;
        found.retain(|index| stream.head.size.contains(*index));
        if found.is_empty() {
            return Ok((0, false));
        }
        let stored = stream.log.stored_records(stream.head, &found, LIST_BYTES).map_err(Unverified::Read)?;
        let count = stored.len();
        for stored in stored {
            let stored = stored.map_err(|unreadable| Unverified::Read(unreadable.error))?;
            self.push(stream, stored)?;
        }
        Ok((count, full || count < found.len()))
    }

    /// After an error all is as it was.
    fn push(&mut self, stream: &Following<'_>, stored: StoredRecord) -> Result<(), Unknowable> {
        let Following { log, head, name, .. } = *stream;
        let index = stored.index;
        let broken = |words: &dyn core::fmt::Display| Unverified::Broken(Broken::leaf(index, words));
        let origin = || Origin::new(&*log.info().origin).map_err(|error| broken(&error));
        if matches!(Leaf::classify(&stored.leaf), Ok(Entry::Opaque)) {
            let hash = log.proven(head, index, &head.tree()).map_err(Unverified::Proof)?;
            let hash = hash.ok_or_else(|| broken(&"the tree's stored hashes do not come to its root"))?;
            let later = Later::decode(index, &stored.leaf).map_err(|error| broken(&error))?;
            if hash != Hash::leaf(&stored.leaf) {
                return Err(broken(&"the tree has another leaf in its place").into());
            }
            let chain = match &mut self.chain {
                Some(chain) => chain,
                none => none.insert(Chain::new(origin()?, later.stream())),
            };
            chain.push_later(&later).map_err(|error| broken(&error))?;
            Arc::make_mut(&mut self.states).enter(Entered::Later(&later));
            return Ok(());
        }
        let record = verified(log, head, stored)?.into_record();
        let content = record.content();
        if !name.may_hold(&content.object, &content.context) {
            return Err(broken(&"it is in a stream that it does not belong in").into());
        }
        let continues = record.opening().and_then(|opening| opening.continues.disclosed()?.as_ref());
        let before = continues.map(stream.begins).transpose()?.flatten();
        let chain = match &mut self.chain {
            Some(chain) => chain,
            none => none.insert(Chain::new(origin()?, record.leaf().server().stream)),
        };
        chain.push_record(&record).map_err(|error| broken(&error))?;
        if let Some(before) = before {
            (self.states, self.passed) = (Arc::new(Ongoing::over(before.states)), before.passed);
        }
        match content.object.disclosed().map(|object| object.module.as_str()) {
            Some(module) if !is_judged(stream.settings, name, module) => self.passed.add(module),
            _ => drop(Arc::make_mut(&mut self.states).enter(Entered::Record(&record))),
        }
        Ok(())
    }
}

impl Passed {
    fn add(&mut self, module: &str) {
        if !self.modules.contains(module) {
            self.modules.insert(module.into());
            self.bytes = self.bytes.saturating_add(module.len() + MODULE_BYTES);
        }
    }
}

/// Whether anything is asked of records of a module in a stream.
fn is_judged(settings: &Settings, name: &StreamName<'_>, module: &str) -> bool {
    settings.module(name.tenant().as_str(), module) != ModuleSettings::default()
}

impl From<ReadError> for Unknowable {
    fn from(error: ReadError) -> Self {
        Self::Unverified(error.into())
    }
}
