//! A small stopped database with rows in tables and in the write-ahead log: entries, records, and what those disclose and
//! are found by. What is in its first log stands beside it.

use std::fs;
use std::path::{Path, PathBuf};

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::cairnd;
use cairn_tree::tile::Entries;
use cairn_tree::wire::append::BatchAnswer;
use cairn_tree::wire::media;

use crate::tally::{Finding, Sort, Tally};
use crate::world::World;

/// Entries before the last start, which are in tables, and after it, which are in the write-ahead log.
const IN_TABLES: u64 = 300;
const IN_ALL: u64 = 560;
/// How often each client of the world brings something, before and after.
const ROUNDS: usize = 8;
/// Entries per append.
const BATCH: u64 = 20;
/// Of the high-water's zeros behind its frames, one step of so many bytes is enough.
const FRAMES: usize = 24 << 10;

pub(super) struct Victim {
    pub(super) world: World,
}

/// The file beside a victim that has the entries of its first log.
pub(super) fn truth_beside(victim: &Path) -> PathBuf {
    victim.with_file_name("truth.json")
}

/// The entry of this number; lengths differ.
fn entry(number: u64) -> Vec<u8> {
    let mut entry = format!("entry {number} ").into_bytes();
    entry.extend((0..number % 61).map(|position| (position * number) as u8));
    entry
}

impl Victim {
    pub(super) fn make(folder: &Path, random: Random, tally: &mut Tally) -> Result<Self, Finding> {
        let mut world = World::new(folder, random)?;
        // So that there is a file of settings, which says what by itself changes nothing for the clients of this world.
        let set = cairnd(world.data.path(), &["module", "set", "none", "--tenant", "pb", "--strict", "on"]);
        if set.code != Some(0) {
            return Err(Finding::failed(format!("no settings: {set:?}")));
        }
        for numbers in [0..IN_TABLES, IN_TABLES..IN_ALL] {
            let mut up = world.up()?;
            let mut connection = Connection::open(up.address)?;
            for first in numbers.step_by(BATCH as usize) {
                let entries: Vec<_> = (first..(first + BATCH).min(IN_ALL)).map(entry).collect();
                let Some(oracle) = world.seen.oracles.first_mut() else { continue };
                append(&mut connection, oracle, &world.data.token, &entries)?;
                tally.acked += entries.len() as u64;
            }
            for _ in 0..ROUNDS {
                world.bring(up.address, tally)?;
            }
            let contents = world.check(up.address)?;
            let entries = contents.first().map(|content| content.entries.as_slice()).unwrap_or_default();
            let text = serde_json::to_string(entries).map_err(|error| Finding::failed(error.to_string()))?;
            fs::write(truth_beside(world.data.path()), text)?;
            // What a clean stop may tidy up is to be there too.
            up.process.kill();
        }
        Ok(Self { world })
    }

    pub(super) fn path(&self) -> &Path {
        self.world.data.path()
    }

    pub(super) fn vkey(&self) -> String {
        self.world.data.main.vkey.clone()
    }

    pub(super) fn keep(&mut self) -> Option<PathBuf> {
        self.world.keep()
    }

    /// The files that are read, with how much of each is to be tried. RocksDB's own LOG is for people.
    pub(super) fn files(&self) -> Result<Vec<(PathBuf, usize)>, Finding> {
        let mut files = Vec::new();
        for part in ["", "db", "keys"] {
            for file in fs::read_dir(self.path().join(part))? {
                let file = file?;
                let name = file.file_name().to_string_lossy().into_owned();
                let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
                let length = match name.as_str() {
                    "high-water" => length.min(FRAMES),
                    name if name.starts_with("LOG") || name.starts_with("OPTIONS") => 0,
                    _ => length,
                };
                if file.file_type()?.is_file() {
                    files.push((Path::new(part).join(name), length));
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

fn append(connection: &mut Connection, oracle: &mut Oracle, token: &str, entries: &[Vec<u8>]) -> Result<(), Finding> {
    let bad = |words: String| Finding { sort: Sort::BadBytes, words };
    let mut bytes = Vec::new();
    for entry in entries {
        Entries::encode(entry, &mut bytes).map_err(|error| Finding::failed(error.to_string()))?;
    }
    let request = Request::post("/logs/main/entries?receipts=1", bytes)
        .with("content-type", media::ENTRIES)
        .with("authorization", format!("Bearer {token}"));
    let answer = connection.ask(&request).map_err(|broken| Finding::failed(format!("{broken:?}")))?;
    if answer.status != 200 {
        return Err(Finding::failed(answer.text()));
    }
    let answer: BatchAnswer = serde_json::from_slice(&answer.body).map_err(|error| bad(error.to_string()))?;
    for (entry, receipt) in entries.iter().zip(answer.receipts()) {
        oracle.see_receipt(entry, &receipt)?;
    }
    Ok(())
}
