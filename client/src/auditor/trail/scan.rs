//! Completeness of a history: every leaf up to a signed tree is read and hashed, and none that bears the stream's id may
//! be missing from the history.
//!
//! It needs no right to any value, since leaves are the log's entries. It proves nothing about another stream of the same
//! name: whose a stream is that begins elsewhere in the log is said by its disclosures alone. How many begin is counted.

use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Frontier, Root};
use cairn_tree::record::header::Header;
use cairn_tree::record::history::Entered;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::stream::StreamId;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::BundleCoord;
use futures_util::StreamExt as _;

use super::error::TrailError;
use super::{Trail, Whole};
use crate::auditor::AuditError;
use crate::bounds::TILE_WIDTH;
use crate::fetch::{FetchError, Freshness, Remote};

/// What records of any version begin with.
const RECORD: &[u8] = b"cairn.record/";
/// What the leaf of a stream's first record has, and no other's.
const FIRST: &str = "\"prev\":null";

/// What was scanned of a log, looking for one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The tree over all entries that were read.
    pub frontier: Frontier,
    /// How many records of the stream there were, the first ones of its history.
    pub records: u64,
    /// The leaf hash of the last of them.
    pub last: Option<Hash>,
    /// How many other streams began.
    pub others: u64,
}

/// What a scan has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// All that is known now.
    pub known: Known,
    /// How many entries were read for it this time.
    pub read: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self { frontier: Frontier::new(), records: 0, last: None, others: 0 }
    }
}

impl Trail {
    /// Proves that a history is complete, up to the size that the server claims it for: no other entry of the log up to
    /// there is a record of the stream. What was scanned before is not read again. `progress` is told how many entries
    /// were read, and of how many.
    ///
    /// # Errors
    /// [`TrailError`].
    pub async fn complete(
        &mut self,
        whole: &Whole,
        known: Known,
        parallel: usize,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Scanned, TrailError> {
        whole.check()?;
        let tree = self.ground.root_at(whole.complete_to).await?;
        self.check_known(&known, whole, tree).await?;
        let from = known.frontier.size().get();
        let mut report = |read: u64| progress(read, tree.size.get().saturating_sub(from));
        for freshness in [Freshness::AnyCache, Freshness::PastCaches] {
            let sought = Sought { stream: whole.stream, tree: tree.size, freshness };
            let scanned = scan(&self.remote, sought, known.frontier.clone(), parallel, &mut report).await?;
            if scanned.frontier.root() != tree {
                // What does not fit may be a cache's fault; the log itself decides.
                continue;
            }
            let others = known.others + scanned.others;
            let (records, last) = compare(&scanned, &known, whole)?;
            let known = Known { frontier: scanned.frontier, records, last, others };
            return Ok(Scanned { known, read: tree.size.get() - from });
        }
        Err(TrailError::Scanned("the log's entries do not give its signed root (cairn fsck says where)"))
    }

    /// Checks that what was scanned before is the beginning of this log and of this history.
    async fn check_known(&mut self, known: &Known, whole: &Whole, tree: Root) -> Result<(), TrailError> {
        let part = known.frontier.root();
        if part.size == TreeSize::ZERO {
            return Ok(());
        }
        if part.size > tree.size {
            return Err(TrailError::Scanned("it is of a larger tree"));
        }
        if self.ground.root_at(part.size).await? != part {
            return Err(TrailError::Scanned("it is not of the tree that the log had at that size"));
        }
        let place = known.records.checked_sub(1).and_then(|last| usize::try_from(last).ok());
        let last = place.and_then(|last| whole.history.entered().nth(last)).map(|entered| hash_of(&entered));
        if last != known.last {
            return Err(TrailError::Scanned("the history does not begin with the records that were found"));
        }
        Ok(())
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
struct Sought {
    stream: StreamId,
    tree: TreeSize,
    freshness: Freshness,
}

/// A record of the stream among the log's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sighting {
    index: LeafIndex,
    seq: Seq,
}

/// What entries in a row hold.
#[derive(Default)]
struct Read {
    hashes: Vec<Hash>,
    sightings: Vec<Sighting>,
    others: u64,
    disguised: Option<LeafIndex>,
}

/// The same of all that were read, with the tree over them.
struct AllRead {
    frontier: Frontier,
    sightings: Vec<Sighting>,
    others: u64,
    disguised: Option<LeafIndex>,
}

async fn scan(
    remote: &Arc<Remote>,
    sought: Sought,
    frontier: Frontier,
    parallel: usize,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<AllRead, TrailError> {
    let from = frontier.size().get();
    let mut all = AllRead { frontier, sightings: Vec::new(), others: 0, disguised: None };
    let bundles = (from / TILE_WIDTH..sought.tree.get().div_ceil(TILE_WIDTH))
        .filter_map(|number| BundleCoord::in_tree(number, sought.tree));
    // Each bundle is fetched and hashed by a task of its own, so that all cores hash; the order is kept.
    let mut reads = futures_util::stream::iter(bundles)
        .map(|coord| tokio::spawn(read(Arc::clone(remote), coord, sought, from)))
        .buffered(parallel.max(1));
    while let Some(joined) = reads.next().await {
        let interrupted = |error: &dyn core::fmt::Display| AuditError::Interrupted(error.to_string());
        let read = joined.map_err(|error| interrupted(&error))??;
        all.frontier.extend(&read.hashes, &mut |_, _| {}).map_err(|error| interrupted(&error))?;
        all.sightings.extend(read.sightings);
        all.others += read.others;
        all.disguised = all.disguised.or(read.disguised);
        // No history is longer, so that a log can't fill our memory.
        if all.sightings.len() > crate::bounds::HISTORY_RECORDS {
            return Err(TrailError::TooLong);
        }
        progress(all.frontier.size().get() - from);
    }
    Ok(all)
}

/// Reads a bundle's entries from an index on.
async fn read(remote: Arc<Remote>, coord: BundleCoord, sought: Sought, from: u64) -> Result<Read, TrailError> {
    let bundle = remote.bundle(coord, sought.freshness).await?;
    let entries = bundle.entries().map_err(|error| FetchError::Malformed {
        url: format!("{}/{coord}", remote.url()),
        fault: error.to_string(),
    })?;
    let mut read = Read::default();
    let id = sought.stream.to_string();
    for (index, entry) in (coord.start()..).zip(&entries).skip_while(|(index, _)| *index < from) {
        read.hashes.push(Hash::leaf(entry));
        if !entry.starts_with(RECORD) {
            continue;
        }
        let Ok(text) = core::str::from_utf8(entry) else { continue };
        let bears_id = text.contains(&id);
        if !bears_id && !text.contains(FIRST) {
            continue;
        }
        let index = LeafIndex::new(index).map_err(|error| AuditError::Interrupted(error.to_string()))?;
        match Header::decode(index, entry) {
            Ok(Header { stream, seq, .. }) if stream == sought.stream => read.sightings.push(Sighting { index, seq }),
            Ok(Header { seq: Seq::FIRST, .. }) => read.others += 1,
            Err(_) if bears_id => read.disguised = read.disguised.or(Some(index)),
            _ => {}
        }
    }
    Ok(read)
}

/// Compares what was seen with the history; says how many records there are in all, and the leaf hash of the last.
fn compare(all: &AllRead, known: &Known, whole: &Whole) -> Result<(u64, Option<Hash>), TrailError> {
    if let Some(index) = all.disguised {
        return Err(TrailError::Disguised(index));
    }
    let new = usize::try_from(known.records).unwrap_or(usize::MAX);
    let mut rest = whole.history.entered().skip(new);
    let (mut records, mut last) = (known.records, known.last);
    for Sighting { index, seq } in &all.sightings {
        match rest.next() {
            Some(entered) if entered.index() == *index => {
                records += 1;
                last = Some(hash_of(&entered));
            }
            _ => return Err(TrailError::LeftOut { index: *index, seq: *seq }),
        }
    }
    // Each record of the history was proven to be in the tree, so that it was met unless it is past the size.
    match rest.next() {
        Some(entered) if entered.index().get() < whole.complete_to.get() => {
            Err(TrailError::Scanned("the log's entries do not have all records of the history"))
        }
        _ => Ok((records, last)),
    }
}

fn hash_of(entered: &Entered<'_>) -> Hash {
    match entered {
        Entered::Record(record) => record.hash(),
        Entered::Later(later) => later.hash(),
    }
}
