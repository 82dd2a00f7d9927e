//! The process that opens damaged copies: it reads flips on its standard input, shows each to the engine, and says on its
//! standard output what came of it. It may die of one; whoever asked then knows of which.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cairn_rocks::Settings;
use cairn_tests::oracle::Oracle;
use cairn_tests::server::LogKey;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, Frontier, Growth, Root};
use cairn_tree::receipt::Receipt;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{BundleCoord, Entries, TileCoord};
use cairnd::engine::records::id_print;
use cairnd::engine::{
    AppendError, Engine, EngineOptions, EntryBatch, Head, Log, LogState, PoolBounds, SystemClock, Unobserved,
};

use super::victim::truth_beside;
use super::{Flip, Outcome};

/// Sizes from which proofs are asked for, and the whole.
const PROVEN: [u64; 4] = [1, 200, 256, 300];
/// Entries whose proofs are asked for, and the last.
const ENTRIES: [u64; 5] = [0, 255, 256, 299, 300];
/// Records that are looked for in one attempt.
const LOOKED_FOR: usize = 24;
/// What is appended.
const NEXT: &[u8] = b"the entry after all others";

/// Answers flips until there are no more.
///
/// # Errors
/// What the system says.
pub fn run(victim: &Path, vkey: &str) -> io::Result<()> {
    let truth = Truth::new(serde_json::from_slice(&fs::read(truth_beside(victim))?)?, vkey);
    let files = read(victim)?;
    let image = victim.with_file_name("engine");
    for line in io::stdin().lock().lines() {
        let flip: Flip = serde_json::from_str(&line?)?;
        if image.exists() {
            fs::remove_dir_all(&image)?;
        }
        for part in ["", "db", "keys"] {
            fs::create_dir_all(image.join(part))?;
        }
        for (name, bytes, permissions) in &files {
            fs::write(image.join(name), bytes)?;
            fs::set_permissions(image.join(name), permissions.clone())?;
        }
        flip.inflict(&image)?;
        let outcome = truth.attempt(&image).unwrap_or_else(|wrong| wrong);
        println!("{}", serde_json::to_string(&outcome)?);
        io::stdout().flush()?;
    }
    Ok(())
}

type Kept = (PathBuf, Vec<u8>, fs::Permissions);

/// All files that the engine may read.
fn read(victim: &Path) -> io::Result<Vec<Kept>> {
    let mut files = Vec::new();
    for part in ["", "db", "keys"] {
        for file in fs::read_dir(victim.join(part))? {
            let (file, name) = {
                let file = file?;
                (file.path(), file.file_name())
            };
            if file.is_file() && !name.to_string_lossy().starts_with("LOG") {
                files.push((Path::new(part).join(name), fs::read(&file)?, fs::metadata(&file)?.permissions()));
            }
        }
    }
    Ok(files)
}

/// What the log has shown, all of which follows from its entries.
struct Truth {
    /// The entries, and the one that is appended.
    entries: Vec<Vec<u8>>,
    /// The size of the log.
    size: u64,
    /// Those that are records.
    records: Vec<(LeafIndex, RecordId)>,
    roots: Vec<Hash>,
    oracle: Oracle,
}

/// Counts reads that answered an error; what they answer otherwise must be right.
#[derive(Default)]
struct Reads {
    errors: usize,
}

impl Reads {
    fn good<T, E>(&mut self, read: Result<T, E>) -> Option<T> {
        self.errors += usize::from(read.is_err());
        read.ok()
    }
}

fn bad(words: impl Into<String>) -> Outcome {
    Outcome::BadBytes(words.into())
}

fn size(number: u64) -> Result<TreeSize, Outcome> {
    TreeSize::new(number).map_err(|error| Outcome::Failed(error.to_string()))
}

impl Truth {
    fn new(mut entries: Vec<Vec<u8>>, vkey: &str) -> Self {
        let size = entries.len() as u64;
        let record = |(index, entry): (u64, &Vec<u8>)| match Leaf::classify(entry) {
            Ok(Entry::Record(leaf)) => Some((LeafIndex::new(index).ok()?, leaf.event().head().id)),
            _ => None,
        };
        let records = (0..).zip(&entries).filter_map(record).collect();
        entries.push(NEXT.to_vec());
        let mut frontier = Frontier::new();
        let mut roots = vec![frontier.root().hash];
        for entry in &entries {
            // Far from full.
            let _ = frontier.push(Hash::leaf(entry), &mut |_, _| {});
            roots.push(frontier.root().hash);
        }
        let oracle = Oracle::new(&LogKey { name: "main".to_owned(), vkey: vkey.to_owned() });
        Self { entries, size, records, roots, oracle }
    }

    /// Opens a damaged copy. An error is an outcome that must never be.
    fn attempt(&self, image: &Path) -> Result<Outcome, Outcome> {
        let options = EngineOptions {
            data: image.to_owned(),
            high_water: None,
            pool: PoolBounds { requests: 64, bytes: 1 << 20 },
            idempotency_ms: 86_400_000,
            disk_reserve: 0,
            signer: None,
            settings: Settings { block_cache: 1 << 20, memtables: 1 << 20, open_files: 64, background_jobs: 1 },
        };
        let Ok(engine) = Engine::open(&options, Arc::new(SystemClock), Arc::new(Unobserved)) else {
            return Ok(Outcome::Refused);
        };
        let outcome = self.judge(&engine);
        engine.close();
        outcome
    }

    fn judge(&self, engine: &Engine) -> Result<Outcome, Outcome> {
        let log = engine.log("main").ok_or_else(|| Outcome::Lost("the log is gone".to_owned()))?;
        let mut reads = Reads::default();
        let head = log.head();
        self.check_head(&head)?;
        self.check_tree(&log, &head, &mut reads)?;
        self.check_proofs(&log, &head, &mut reads)?;
        self.check_records(&log, &head, &mut reads)?;
        let appended = self.append(&log, &mut reads)?;
        let newest = log.head();
        self.check_head(&newest)?;
        self.check_proofs(&log, &newest, &mut reads)?;
        let is_halted = matches!(log.state(), LogState::Halted(_));
        Ok(match appended {
            _ if is_halted => Outcome::Halted,
            true if reads.errors == 0 => Outcome::Sound,
            _ => Outcome::Errors,
        })
    }

    /// A head is signed, covers what was acknowledged, and is the root of the right entries.
    fn check_head(&self, head: &Head) -> Result<(), Outcome> {
        let seen = self.oracle.clone().see_head(&head.note).map_err(|wrong| bad(wrong.to_string()))?;
        let expected = self.roots.get(seen.size.get() as usize);
        if seen.size.get() < self.size {
            return Err(Outcome::Lost(format!("the head is at {}", seen.size)));
        }
        if expected != Some(&seen.hash) || seen.size != head.size || seen.hash != head.root {
            return Err(bad(format!("a head of size {} has another root", seen.size)));
        }
        Ok(())
    }

    fn check_tree(&self, log: &Log, head: &Head, reads: &mut Reads) -> Result<(), Outcome> {
        let size = size(self.size)?;
        for coord in (0..).map_while(|number| BundleCoord::in_tree(number, size)) {
            let expected = self.entries.get(coord.start() as usize..coord.end() as usize).unwrap_or_default();
            if let Some(bundle) = reads.good(log.bundle(head, coord)) {
                let bundle = bundle.ok_or_else(|| Outcome::Lost(format!("{coord} is gone")))?;
                let found = Entries::parse_bundle(&bundle, coord.width()).map_err(|error| bad(error.to_string()))?;
                if !found.iter().eq(expected.iter().map(Vec::as_slice)) {
                    return Err(bad(format!("{coord} has other entries")));
                }
            }
            if let Some(tile) = reads.good(log.tile(head, coord.tile())) {
                let tile = tile.ok_or_else(|| Outcome::Lost(format!("{} is gone", coord.tile())))?;
                let leaves: Vec<u8> = expected.iter().flat_map(|entry| *Hash::leaf(entry).as_bytes()).collect();
                if tile != leaves {
                    return Err(bad(format!("{} has other hashes", coord.tile())));
                }
            }
        }
        if let Some(upper) = TileCoord::in_tree(1, 0, size)
            && let Some(Some(tile)) = reads.good(log.tile(head, upper))
            && tile.get(..32).unwrap_or_default()
                != self.roots.get(256).map(|root| &root.as_bytes()[..]).unwrap_or_default()
        {
            return Err(bad(format!("{upper} has other hashes")));
        }
        Ok(())
    }

    fn check_proofs(&self, log: &Log, head: &Head, reads: &mut Reads) -> Result<(), Outcome> {
        let new = Root { size: head.size, hash: head.root };
        for number in PROVEN.into_iter().chain([self.size]) {
            let old = size(number)?;
            let hash = *self.roots.get(number as usize).ok_or_else(|| bad("no root"))?;
            let growth = Growth { from: old, to: head.size };
            if let Some(proof) = reads.good(log.consistency(head, growth)) {
                let claim = Extension { old: Root { size: old, hash }, new };
                proof.verify(&claim).map_err(|error| bad(format!("from {old}: {error}")))?;
            }
        }
        for number in ENTRIES.into_iter().chain([self.size - 1]) {
            let index = LeafIndex::new(number).map_err(|error| Outcome::Failed(error.to_string()))?;
            let (entry, proof) = (log.entry(head, index), log.inclusion(head, index, head.size));
            let (Some(entry), Some(proof)) = (reads.good(entry), reads.good(proof)) else { continue };
            let entry = entry.ok_or_else(|| Outcome::Lost(format!("entry {number} is gone")))?;
            let checkpoint = cairn_tree::checkpoint::SignedCheckpoint::parse(&head.note);
            let checkpoint = checkpoint.map_err(|error| bad(error.to_string()))?;
            let expected = self.entries.get(number as usize).map(Vec::as_slice).unwrap_or_default();
            let receipt = Receipt::new(index, proof, checkpoint);
            let seen = self.oracle.clone().see_receipt(expected, &receipt);
            seen.map_err(|wrong| bad(wrong.to_string()))?;
            if entry != expected {
                return Err(bad(format!("entry {number} is another")));
            }
        }
        Ok(())
    }

    /// Records open with what is disclosed of them, or it shows that they don't; and they are found by their ids.
    fn check_records(&self, log: &Log, head: &Head, reads: &mut Reads) -> Result<(), Outcome> {
        let indexes: Vec<LeafIndex> = self.records.iter().map(|(index, _)| *index).collect();
        let origin = Origin::new(log.info().origin.clone()).map_err(|error| Outcome::Failed(error.to_string()))?;
        let redactions = Redactions::new(origin.clone());
        let stored = reads.good(log.stored_records(head, &indexes, usize::MAX)).unwrap_or_default();
        for (index, stored) in indexes.iter().zip(stored) {
            let Some(stored) = reads.good(stored) else { continue };
            if self.entries.get(index.get() as usize).is_none_or(|entry| *entry != stored.leaf) {
                return Err(bad(format!("record {index} has another leaf")));
            }
            let evidence = Evidence { disclosures: &stored.disclosures, withheld: &[], redactions: &redactions };
            // Whoever shows it opens it like this, and tells what is wrong with it.
            reads.good(Record::open(&origin, *index, &stored.leaf, evidence));
        }
        let Some(secret) = reads.good(log.print_secret()) else { return Ok(()) };
        let secret = secret.ok_or_else(|| Outcome::Lost("what records are found by is gone".to_owned()))?;
        let step = self.records.len().div_ceil(LOOKED_FOR).max(1);
        for (index, id) in self.records.iter().step_by(step) {
            let found = log.find_records(&[id_print(&secret, *id)], head.size, 1, u64::MAX);
            if reads.good(found).is_some_and(|found| found.hits != [*index]) {
                return Err(Outcome::Lost(format!("record {index} is not found by its id")));
            }
        }
        Ok(())
    }

    /// Whether the log took another entry.
    fn append(&self, log: &Log, reads: &mut Reads) -> Result<bool, Outcome> {
        let mut encoded = Vec::new();
        Entries::encode(NEXT, &mut encoded).map_err(|error| Outcome::Failed(error.to_string()))?;
        let batch = EntryBatch::from_encoded(Bytes::from(encoded), 1);
        let batch = batch.map_err(|error| Outcome::Failed(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Outcome::Failed(error.to_string()))?;
        match runtime.block_on(log.append(batch, None)) {
            Ok(appended) => {
                self.check_head(&appended.head)?;
                Ok(true)
            }
            Err(AppendError::Halted(_) | AppendError::Stopping(_)) => {
                reads.errors += 1;
                Ok(false)
            }
            Err(other) => Err(Outcome::Failed(other.to_string())),
        }
    }
}
