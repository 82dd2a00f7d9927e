//! The records that a log has acknowledged, and whether an auditor still finds all of them: by id, in the histories of
//! their streams, and by what they say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use cairn_tests::oracle::{Content, Oracle};
use cairn_tests::random::Random;
use cairn_tests::server::PATIENCE;
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::hash::Hash;
use cairn_tree::policy::Trust;
use cairn_tree::record::chain::Chain;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::leaf::{Entry as LeafEntry, Leaf};
use cairn_tree::record::open::Record;
use cairn_tree::record::stream::StreamId;
use cairn_tree::wire::v1::AppendedAnswer;

use super::Asked;
use super::proven::{Reader, transaction};
use crate::tally::{Finding, Sort};
use crate::world::LOOK;

/// Records that were looked at before and are looked at again in one check, by their ids.
const SAMPLED: usize = 6;
/// The same at the end of a world.
const SAMPLED_AT_LAST: usize = 150;
/// Records per page of a history.
const PAGE: usize = 200;
/// Records per page of a search.
const FOUND: usize = 60;

/// What one log showed of one tenant's records.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    tenant: String,
    log: String,
    token: String,
    trust: Trust,
    /// By index.
    acked: BTreeMap<u64, Kept>,
    streams: BTreeMap<String, Stream>,
    /// Ids of records that were refused.
    refused: HashSet<String>,
    /// Where the record is that names a transaction.
    transactions: HashMap<String, u64>,
    /// Transactions that two records name.
    twice: BTreeSet<String>,
    /// Acknowledged since the last check.
    unchecked: Vec<u64>,
}

/// A record that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    id: RecordId,
    stream: String,
    seq: u64,
    leaf: Hash,
    transaction: String,
    object: String,
    actor: String,
}

/// What was seen of a stream.
#[derive(Debug, Clone, Default)]
struct Stream {
    id: Option<StreamId>,
    /// The indexes of acknowledged records, by their numbers.
    acked: BTreeMap<u64, u64>,
    /// All of it that was read so far.
    chain: Option<Chain>,
}

fn contradiction(words: String) -> Finding {
    Finding { sort: Sort::Contradiction, words }
}

fn lost(words: String) -> Finding {
    Finding { sort: Sort::Lost, words }
}

impl Ledger {
    /// Knows nothing but the key of the log, and a token that reads all of the tenant.
    pub(crate) fn new(tenant: &str, log: &str, keys: &LogKeys, token: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            log: log.to_owned(),
            token: token.to_owned(),
            trust: Trust::Log(keys.clone()),
            acked: BTreeMap::new(),
            streams: BTreeMap::new(),
            refused: HashSet::new(),
            transactions: HashMap::new(),
            twice: BTreeSet::new(),
            unchecked: Vec::new(),
        }
    }

    /// The log's name.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Learns from an answer that these records are in the log, and gives their number.
    pub(crate) fn acknowledged(&mut self, asked: &Asked, body: &[u8], oracle: &mut Oracle) -> Result<u64, Finding> {
        let log = self.log.clone();
        let bad = |words: String| Finding { sort: Sort::BadBytes, words: format!("log {log}: a receipt: {words}") };
        let answer = AppendedAnswer::parse(body).map_err(|error| bad(error.to_string()))?;
        answer.verify(&self.trust).map_err(|error| bad(error.to_string()))?;
        if answer.records.len() != asked.records.len() {
            return Err(bad(format!("of {} for {} records", answer.records.len(), asked.records.len())));
        }
        for (told, wanted) in answer.records.iter().zip(&asked.records) {
            let (Some(receipt), Some(leaf)) = (told.receipt(&answer.checkpoint), &told.receipt) else {
                return Err(bad("without a proof".to_owned()));
            };
            oracle.see_receipt(leaf.leaf.as_bytes(), &receipt)?;
            if wanted.id.as_ref().is_some_and(|id| *id != told.id.to_string()) {
                return Err(bad(format!("of {} for {wanted:?}", told.id)));
            }
            let kept = Kept {
                id: told.id,
                stream: wanted.stream.clone(),
                seq: told.seq.get(),
                leaf: told.leaf_hash,
                transaction: wanted.transaction.clone(),
                object: wanted.object.clone(),
                actor: wanted.actor.clone(),
            };
            self.keep(told.index.get(), told.stream, kept)?;
        }
        Ok(answer.records.len() as u64)
    }

    fn keep(&mut self, index: u64, id: StreamId, kept: Kept) -> Result<(), Finding> {
        let stream = self.streams.entry(kept.stream.clone()).or_default();
        let known = *stream.id.get_or_insert(id);
        if known != id {
            return Err(contradiction(format!("{} is {known} and {id}", kept.stream)));
        }
        let place = *stream.acked.entry(kept.seq).or_insert(index);
        if place != index {
            return Err(contradiction(format!("number {} of {} is at {place} and {index}", kept.seq, kept.stream)));
        }
        self.named(&kept.transaction, index);
        match self.acked.insert(index, kept.clone()) {
            Some(other) if other != kept => Err(contradiction(format!("{index} was given to {other:?} and {kept:?}"))),
            Some(_) => Ok(()),
            None => {
                self.unchecked.push(index);
                Ok(())
            }
        }
    }

    /// Learns where the record is that names a transaction.
    fn named(&mut self, transaction: &str, index: u64) {
        let known = *self.transactions.entry(transaction.to_owned()).or_insert(index);
        if known != index {
            self.twice.insert(transaction.to_owned());
        }
    }

    /// Learns that these records were refused, so that none of them is ever there.
    pub(crate) fn refused(&mut self, asked: &Asked) {
        self.refused.extend(asked.records.iter().filter_map(|record| record.id.clone()));
    }

    /// Looks for what was acknowledged since the last check, by id and in histories, for some of the rest by id, and for
    /// some by what they say. `unverified` is the sort of a server's word that it can't verify what it has.
    pub(crate) fn check(&mut self, address: SocketAddr, random: &mut Random, unverified: Sort) -> Result<(), Finding> {
        self.look(address, random, unverified, SAMPLED)?;
        self.unchecked.clear();
        Ok(())
    }

    /// The same for all that ever was; histories from their beginnings. Nothing is there twice (`exactly`, unless that can't
    /// be asked for), and nothing that was refused.
    pub(crate) fn check_all(
        &mut self,
        (address, content): (SocketAddr, &Content),
        random: &mut Random,
        exactly: bool,
    ) -> Result<(), Finding> {
        self.streams.values_mut().for_each(|stream| stream.chain = None);
        self.look(address, random, Sort::Lost, SAMPLED_AT_LAST)?;
        if let Some(transaction) = self.twice.first().filter(|_| exactly) {
            return Err(contradiction(format!("log {}: two records of {transaction}", self.log)));
        }
        let (mut ids, mut lengths) = (HashSet::new(), HashMap::<StreamId, u64>::new());
        for entry in &content.entries {
            let leaf = Leaf::classify(entry).map_err(|error| contradiction(format!("log {}: {error}", self.log)))?;
            let LeafEntry::Record(leaf) = leaf else { continue };
            let id = leaf.event().head().id;
            if !ids.insert(id) || self.refused.contains(&id.to_string()) {
                return Err(contradiction(format!("log {}: {id} is there twice, or was refused", self.log)));
            }
            *lengths.entry(leaf.server().stream).or_default() += 1;
        }
        for (path, stream) in &self.streams {
            let shown = stream.chain.as_ref().and_then(|chain| chain.last()).map_or(0, |link| link.seq.get() + 1);
            let there = stream.id.and_then(|id| lengths.get(&id).copied()).unwrap_or(0);
            if shown != there {
                let words = format!("log {}: {path} has {there} leaves, and a history of {shown}", self.log);
                return Err(contradiction(words));
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        address: SocketAddr,
        random: &mut Random,
        unverified: Sort,
        sampled: usize,
    ) -> Result<(), Finding> {
        let (token, trust) = (self.token.clone(), self.trust.clone());
        let mut reader = Reader::open(address, &token, &trust, unverified)?;
        let mut indexes = self.unchecked.clone();
        let all: Vec<u64> = self.acked.keys().copied().collect();
        indexes.extend((0..sampled.min(all.len())).filter_map(|_| all.get(random.below(all.len()))));
        for index in indexes {
            self.by_id(&mut reader, index)?;
        }
        for path in self.streams.keys().cloned().collect::<Vec<_>>() {
            self.history(&mut reader, &path)?;
        }
        if let Some(kept) = all.get(random.below(all.len().max(1))).and_then(|index| self.acked.get(index)).cloned() {
            let facets = [
                format!("actor={}", kept.actor),
                format!("object={}", kept.object),
                format!("transaction={}", kept.transaction),
                "operation=note".to_owned(),
            ];
            self.search(&mut reader, facets.get(random.below(facets.len())).map_or("", String::as_str))?;
        }
        Ok(())
    }

    fn by_id(&self, reader: &mut Reader<'_>, index: u64) -> Result<(), Finding> {
        let Some(kept) = self.acked.get(&index) else { return Ok(()) };
        let found = reader.record(&self.tenant, kept.id)?;
        let found = found.ok_or_else(|| lost(format!("log {}: acknowledged record {kept:?} is gone", self.log)))?;
        self.compare(index, &found.record)?;
        if kept.seq > 0 && !found.has_before {
            return Err(Finding::failed(format!("log {}: {} comes without the record before it", self.log, kept.id)));
        }
        Ok(())
    }

    /// That a record is the one that was acknowledged at its index, if one was.
    fn compare(&self, index: u64, record: &Record) -> Result<(), Finding> {
        let Some(kept) = self.acked.get(&index) else { return Ok(()) };
        let object = record.content().object.disclosed().map(|object| object.id.as_str());
        let server = record.leaf().server();
        let id = record.leaf().event().head().id;
        let same = (record.index().get(), record.hash(), id) == (index, kept.leaf, kept.id)
            && server.place.seq().get() == kept.seq
            && object == Some(&kept.object)
            && transaction(record).as_ref() == Some(&kept.transaction);
        if same { Ok(()) } else { Err(contradiction(format!("log {}: {index} was {kept:?}: {record:?}", self.log))) }
    }

    /// Reads on where the last check came to.
    fn history(&mut self, reader: &mut Reader<'_>, path: &str) -> Result<(), Finding> {
        let Some(mut stream) = self.streams.get(path).cloned() else { return Ok(()) };
        let last = stream.chain.as_ref().and_then(|chain| chain.last().copied());
        let from = last.map_or(0, |last| last.seq.get());
        let base = format!("/v1/streams/{path}?limit={PAGE}&proof=1");
        let mut target = format!("{base}&from_seq={from}");
        let newest = stream.acked.values().max().copied();
        let mut first = true;
        loop {
            let page = reader.page(&target)?;
            let page = page.ok_or_else(|| lost(format!("log {}: {path} is gone", self.log)))?;
            // A history never lags: whoever asks sees what was acknowledged.
            if newest.is_some_and(|newest| page.complete_to <= newest) {
                let words = format!("log {}: {path} is said to be whole up to {} only", self.log, page.complete_to);
                return Err(Finding::failed(words));
            }
            for entry in &page.entries {
                let (index, record) = (entry.record.index().get(), &entry.record);
                if let Some(last) = last.filter(|_| core::mem::take(&mut first)) {
                    // What was shown once stays.
                    if (record.index(), record.hash()) != (last.index, last.hash) {
                        return Err(contradiction(format!("log {}: {path} had {last:?}: {record:?}", self.log)));
                    }
                    continue;
                }
                first = false;
                let new = || Chain::new(record.leaf().event().head().log.clone(), record.leaf().server().stream);
                let chain = stream.chain.get_or_insert_with(new);
                let pushed = chain.push_record(record);
                pushed.map_err(|error| contradiction(format!("log {}: {path}: {error}", self.log)))?;
                let seq = record.leaf().server().place.seq().get();
                if stream.acked.get(&seq).is_some_and(|acked| *acked != index) {
                    return Err(contradiction(format!("log {}: number {seq} of {path} is another", self.log)));
                }
                self.compare(index, record)?;
                if let Some(transaction) = transaction(record) {
                    self.named(&transaction, index);
                }
            }
            let Some(next) = page.next else { break };
            target = format!("{base}&cursor={next}");
        }
        let shown = stream.chain.as_ref().and_then(|chain| chain.last()).map(|link| link.seq.get());
        let owed = stream.acked.keys().next_back().copied();
        if owed > shown || (last.is_some() && first) {
            return Err(lost(format!("log {}: {path} ends at {shown:?}, {owed:?} was acknowledged", self.log)));
        }
        self.streams.insert(path.to_owned(), stream);
        Ok(())
    }

    /// One page of what is found by one thing that records say: of those that were acknowledged none is missing, but for
    /// those that the answer itself names.
    fn search(&self, reader: &mut Reader<'_>, facet: &str) -> Result<(), Finding> {
        let target = format!("/v1/records?tenant={}&{facet}&limit={FOUND}&proof=1", self.tenant);
        let newest = self.acked.keys().next_back().copied().unwrap_or(0);
        // How long what is found may lag behind what was acknowledged.
        let deadline = Instant::now() + PATIENCE;
        let page = loop {
            let page = reader.page(&target)?;
            let page = page.ok_or_else(|| lost(format!("log {}: no records of {}", self.log, self.tenant)))?;
            if page.complete_to > newest {
                break page;
            }
            if Instant::now() > deadline {
                let words = format!("log {}: found up to {}, acknowledged up to {newest}", self.log, page.complete_to);
                return Err(Finding::failed(words));
            }
            std::thread::sleep(LOOK);
        };
        let oldest = page.entries.last().filter(|_| page.next.is_some());
        let oldest = oldest.map_or(0, |entry| entry.record.index().get());
        let found: BTreeSet<u64> = page.entries.iter().map(|entry| entry.record.index().get()).collect();
        for entry in &page.entries {
            self.compare(entry.record.index().get(), &entry.record)?;
        }
        let says = |kept: &Kept| match facet.split_once('=') {
            Some(("actor", actor)) => kept.actor == actor,
            Some(("object", object)) => kept.object == object,
            Some(("transaction", transaction)) => kept.transaction == transaction,
            _ => true,
        };
        // A page may be short, or empty, and still have a next one.
        let whole = page.next.is_none() || !page.entries.is_empty();
        let mut owed = self.acked.range(oldest..).filter(|(_, kept)| whole && says(kept));
        match owed.find(|(index, _)| !found.contains(index) && !page.except.contains(index)) {
            Some((index, kept)) => Err(lost(format!("log {}: {facet} does not find {index}, {kept:?}", self.log))),
            None => reader.misses_nothing(&target, &page),
        }
    }
}
