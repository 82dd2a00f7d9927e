//! What was seen of a log from outside, and whether the log still stands by it.
//!
//! The server is not believed: heads count once their signature verifies, receipts once they prove the entry that was
//! sent. What was once shown must hold for ever: an acknowledged entry stays at its index, and every head is the root of
//! a prefix of the one sequence of entries.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use cairn_tree::checkpoint::{LogKeys, SignedCheckpoint, Timestamp};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, Frontier, Root};
use cairn_tree::policy::Trust;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::TreeSize;
use cairn_tree::tile::{BundleCoord, Entries, TileCoord};
use cairn_tree::wire::read::{ConsistencyAnswer, EntryAnswer};

use crate::http::{Connection, Request, Response};
use crate::random::Random;
use crate::server::LogKey;

/// How a log contradicts what it showed. The words say what, where, and against what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Contradiction {
    wrong: Wrong,
    words: String,
}

/// What sort of wrong it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wrong {
    /// An acknowledged entry is not there.
    Lost,
    /// Two heads, or a head and what was acknowledged, can't both be of one log.
    Contradicted,
    /// Bytes were served as good that are not.
    Bytes,
    /// It can't be read at all.
    Unreadable,
}

impl Contradiction {
    fn new(wrong: Wrong, words: impl Into<String>) -> Self {
        Self { wrong, words: words.into() }
    }

    /// What sort of wrong it is.
    #[must_use]
    pub const fn wrong(&self) -> Wrong {
        self.wrong
    }
}

/// Says what contradicts what.
macro_rules! ensure {
    ($condition:expr, $wrong:ident, $($words:tt)+) => {
        if !$condition {
            return Err(Contradiction::new(Wrong::$wrong, format!($($words)+)));
        }
    };
}

/// Everything that one log ever showed.
#[derive(Debug, Clone)]
pub struct Oracle {
    name: String,
    keys: LogKeys,
    /// Entries that the log has vouched for, by index.
    entries: BTreeMap<u64, Vec<u8>>,
    /// Roots that it has signed, by size.
    heads: BTreeMap<u64, Hash>,
    /// The first and the last time that was signed with them, where a key signs one.
    times: BTreeMap<u64, (Timestamp, Timestamp)>,
    /// Heads up to this size have been compared with a larger one by the log's own consistency proofs.
    proven: u64,
}

/// A log's whole content, which hashes to a head.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its size and root.
    pub head: Root,
    /// Its entries.
    pub entries: Vec<Vec<u8>>,
}

impl Oracle {
    /// Knows nothing of the log but its key.
    ///
    /// # Panics
    /// If the key is none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn new(log: &LogKey) -> Self {
        let keys = log.vkey.parse().expect("a vkey");
        Self {
            name: log.name.clone(),
            keys,
            entries: BTreeMap::new(),
            heads: BTreeMap::new(),
            times: BTreeMap::new(),
            proven: 0,
        }
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of entries that the log has vouched for.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.entries.len()
    }

    /// The number of different heads that were seen.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads.len()
    }

    /// Learns a head.
    ///
    /// # Errors
    /// [`Contradiction`] if it is not signed, or another was signed at its size.
    pub fn see_head(&mut self, text: &[u8]) -> Result<Root, Contradiction> {
        let signed = SignedCheckpoint::parse(text).map_err(|error| {
            Contradiction::new(Wrong::Bytes, format!("log {}: a head does not parse: {error}", self.name))
        })?;
        self.see_checkpoint(&signed)
    }

    /// Learns a head that has parsed.
    ///
    /// # Errors
    /// As [`Oracle::see_head`].
    pub fn see_checkpoint(&mut self, signed: &SignedCheckpoint) -> Result<Root, Contradiction> {
        let verified = signed.verify(self.keys.as_slice()).map_err(|error| {
            Contradiction::new(Wrong::Bytes, format!("log {}: a head does not verify: {error}", self.name))
        })?;
        let Root { size, hash } = verified.tree();
        let known = *self.heads.entry(size.get()).or_insert(hash);
        ensure!(
            known == hash,
            Contradicted,
            "log {}: two roots were signed at size {size}: {known} and {hash}",
            self.name
        );
        if let Some(time) = verified.time() {
            self.see_time(size.get(), time)?;
        }
        Ok(verified.tree())
    }

    /// What is signed is never older than what a smaller tree was signed with.
    fn see_time(&mut self, size: u64, time: Timestamp) -> Result<(), Contradiction> {
        let (first, last) = self.times.entry(size).or_insert((time, time));
        (*first, *last) = ((*first).min(time), (*last).max(time));
        let smaller = self.times.range(..size).next_back();
        if let Some((other, (_, last))) = smaller.filter(|(_, (_, last))| *last > time) {
            ensure!(
                false,
                Contradicted,
                "log {}: time went back from {last} at size {other} to {time} at {size}",
                self.name
            );
        }
        let larger = self.times.range(size + 1..).next();
        if let Some((other, (first, _))) = larger.filter(|(_, (first, _))| *first < time) {
            ensure!(
                false,
                Contradicted,
                "log {}: time went back from {time} at size {size} to {first} at {other}",
                self.name
            );
        }
        Ok(())
    }

    /// Learns that an entry was acknowledged with this receipt.
    ///
    /// # Errors
    /// [`Contradiction`] if the receipt does not prove it, or its place is another entry's.
    pub fn see_receipt(&mut self, entry: &[u8], receipt: &Receipt) -> Result<(), Contradiction> {
        self.see_checkpoint(receipt.checkpoint())?;
        receipt.verify(entry, &Trust::Log(self.keys.clone())).map_err(|error| {
            Contradiction::new(Wrong::Bytes, format!("log {}: a receipt does not verify: {error}", self.name))
        })?;
        self.see_entry(receipt.index().get(), entry)
    }

    /// Learns that an entry is under a head that was released.
    ///
    /// # Errors
    /// [`Contradiction`] if its place is another entry's.
    pub fn see_entry(&mut self, index: u64, entry: &[u8]) -> Result<(), Contradiction> {
        let known = self.entries.entry(index).or_insert_with(|| entry.to_vec());
        ensure!(known == entry, Contradicted, "log {}: index {index} was given to two entries", self.name);
        Ok(())
    }

    /// Every head that was seen, by size.
    pub fn roots(&self) -> impl Iterator<Item = Root> + '_ {
        let root = |(size, hash): (&u64, &Hash)| Some(Root { size: TreeSize::new(*size).ok()?, hash: *hash });
        self.heads.iter().filter_map(root)
    }

    /// The largest size that was ever signed.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.heads.keys().next_back().copied().unwrap_or(0)
    }

    /// Reads the whole log at `address` as any client may, and compares it with all that was ever seen: its head is no
    /// smaller, its entries hash to its head, every old head is the root of their prefix, every acknowledged entry is
    /// where it was. Proofs are asked for of all heads that are new since the last check, and of some entries.
    ///
    /// # Errors
    /// [`Contradiction`], also when something can't be read.
    pub fn check(&mut self, address: SocketAddr, random: &mut Random) -> Result<Content, Contradiction> {
        let mut reader = Reader::open(address, &self.name)?;
        let smallest = self.newest();
        let head = self.see_head(&reader.get("head")?.body)?;
        let checkpoint = self.see_head(&reader.get("checkpoint")?.body)?;
        for size in [head.size, checkpoint.size] {
            ensure!(size.get() >= smallest, Contradicted, "log {}: the head fell from {smallest} to {size}", self.name);
        }
        let content = reader.content(head)?;
        self.check_content(&content)?;
        self.check_proofs(&mut reader, head)?;
        for _ in 0..SAMPLED_ENTRIES.min(self.entries.len()) {
            let at = random.below(self.entries.len());
            let Some((index, entry)) = self.entries.iter().nth(at).map(|(index, entry)| (*index, entry.clone())) else {
                continue;
            };
            self.check_entry(&mut reader, index, &entry)?;
        }
        Ok(content)
    }

    /// Asks for the proof of every acknowledged entry.
    ///
    /// # Errors
    /// [`Contradiction`] for the first that does not verify.
    pub fn check_every_entry(&mut self, address: SocketAddr) -> Result<(), Contradiction> {
        let mut reader = Reader::open(address, &self.name)?;
        for (index, entry) in self.entries.clone() {
            self.check_entry(&mut reader, index, &entry)?;
        }
        Ok(())
    }

    fn check_content(&self, content: &Content) -> Result<(), Contradiction> {
        let mut heads = self.heads.iter().peekable();
        let mut frontier = Frontier::new();
        for size in 0..=content.entries.len() as u64 {
            while let Some((_, root)) = heads.next_if(|(at, _)| **at == size) {
                let found = frontier.root().hash;
                ensure!(
                    found == *root,
                    Contradicted,
                    "log {}: at size {size} it signed {root}, its entries give {found}",
                    self.name
                );
            }
            if let Some(entry) = content.entries.get(size as usize) {
                let pushed = frontier.push(Hash::leaf(entry), &mut |_, _| {});
                ensure!(pushed.is_ok(), Bytes, "log {}: a tree of {size} entries is full", self.name);
            }
        }
        ensure!(heads.next().is_none(), Contradicted, "log {}: a head is larger than the log", self.name);
        for (index, entry) in &self.entries {
            let found = content.entries.get(*index as usize);
            ensure!(found == Some(entry), Lost, "log {}: acknowledged entry {index} is {found:?}", self.name);
        }
        Ok(())
    }

    fn check_proofs(&mut self, reader: &mut Reader, newest: Root) -> Result<(), Contradiction> {
        let unproven = |size: u64| size >= self.proven.max(1) && size < newest.size.get();
        for (size, root) in self.heads.iter().filter(|(size, _)| unproven(**size)) {
            let target = format!("proof/consistency?from={size}&to={}", newest.size);
            let answer: ConsistencyAnswer = reader.json(&target)?;
            let size = TreeSize::new(*size).map_err(|error| Contradiction::new(Wrong::Bytes, error.to_string()))?;
            let claim = Extension { old: Root { size, hash: *root }, new: newest };
            let verified = answer.proof.verify(&claim);
            ensure!(verified.is_ok(), Bytes, "log {}: {target}: {verified:?}", self.name);
        }
        self.proven = newest.size.get();
        Ok(())
    }

    fn check_entry(&mut self, reader: &mut Reader, index: u64, entry: &[u8]) -> Result<(), Contradiction> {
        let answer: EntryAnswer = reader.json(&format!("entries/{index}"))?;
        ensure!(answer.entry.0 == entry, Bytes, "log {}: acknowledged entry {index} is another", self.name);
        self.see_receipt(entry, &answer.receipt())
    }
}

/// Entries whose proofs are asked for in one check.
const SAMPLED_ENTRIES: usize = 8;

/// Reads one log.
struct Reader {
    connection: Connection,
    log: String,
}

impl Reader {
    fn open(address: SocketAddr, log: &str) -> Result<Self, Contradiction> {
        let connection = Connection::open(address);
        let connection =
            connection.map_err(|error| Contradiction::new(Wrong::Unreadable, format!("can't connect: {error}")))?;
        Ok(Self { connection, log: log.to_owned() })
    }

    fn get(&mut self, resource: &str) -> Result<Response, Contradiction> {
        self.ask(resource, Request::get(format!("/logs/{}/{resource}", self.log)))
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, resource: &str) -> Result<T, Contradiction> {
        let request = Request::get(format!("/logs/{}/{resource}", self.log)).with("accept", "application/json");
        let response = self.ask(resource, request)?;
        serde_json::from_slice(&response.body)
            .map_err(|error| Contradiction::new(Wrong::Bytes, format!("log {}: {resource}: {error}", self.log)))
    }

    fn ask(&mut self, resource: &str, request: Request) -> Result<Response, Contradiction> {
        let answer = self.connection.ask(&request);
        let answer = answer.map_err(|error| {
            Contradiction::new(Wrong::Unreadable, format!("log {}: {resource}: {error:?}", self.log))
        })?;
        ensure!(
            answer.status == 200,
            Unreadable,
            "log {}: {resource} is answered {}: {}",
            self.log,
            answer.status,
            answer.text()
        );
        Ok(answer)
    }

    /// All entries under a head, from its bundles; each bundle's leaves are compared with its tile.
    fn content(&mut self, head: Root) -> Result<Content, Contradiction> {
        let mut entries = Vec::new();
        for number in 0.. {
            let Some(bundle) = BundleCoord::in_tree(number, head.size) else { break };
            let tile: TileCoord = bundle.tile();
            let bytes = self.get(&bundle.to_string())?.body;
            let parsed = Entries::parse_bundle(&bytes, bundle.width());
            let parsed = parsed
                .map_err(|error| Contradiction::new(Wrong::Bytes, format!("log {}: {bundle}: {error}", self.log)))?;
            let leaves: Vec<u8> = parsed.leaf_hashes().iter().flat_map(|leaf| *leaf.as_bytes()).collect();
            ensure!(
                self.get(&tile.to_string())?.body == leaves,
                Bytes,
                "log {}: {tile} does not fit {bundle}",
                self.log
            );
            entries.extend(parsed.iter().map(<[u8]>::to_vec));
        }
        Ok(Content { head, entries })
    }
}

impl Content {
    /// Where each entry is; an entry that is there more than once has all its indexes.
    #[must_use]
    pub fn places(&self) -> HashMap<&[u8], Vec<u64>> {
        let mut places: HashMap<&[u8], Vec<u64>> = HashMap::new();
        for (index, entry) in (0..).zip(&self.entries) {
            places.entry(entry).or_default().push(index);
        }
        places
    }
}
