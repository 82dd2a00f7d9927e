//! A database that was filled over HTTP, made anew or kept from a run before.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::fs::{Advice, fadvise};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::http::Client;
use super::sown::Sown;
use crate::Settings;
use crate::programs::{Cores, Server, Tokens, init_with_reader};

/// Connections that records come by.
const FILLERS: usize = 6;
/// Records of a batch.
const BATCH: usize = 1_000;
/// What a filler waits when the server has no room.
const PAUSE: Duration = Duration::from_millis(50);
/// A server that uses less of a core over [`LOOK`] is at rest.
const AT_REST: f64 = 0.15;
const LOOK: Duration = Duration::from_secs(2);
/// The longest that is waited for that.
const PATIENCE: Duration = Duration::from_secs(300);

/// A filled database.
pub(super) struct Filled {
    pub(super) data: PathBuf,
    pub(super) tokens: Tokens,
    /// How it was filled, if it was now.
    pub(super) told: String,
    /// Removes it, unless it is kept.
    _folder: Option<TempDir>,
}

/// What is remembered of a database that is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    records: u64,
    tokens: Tokens,
}

impl Filled {
    /// One with so many records.
    ///
    /// # Errors
    /// Whatever the server says, or that another one is kept there.
    pub(super) fn get(settings: &Settings, cores: &Cores) -> anyhow::Result<Self> {
        let folder = if settings.keep.is_none() { Some(settings.folder()?) } else { None };
        let path = settings.keep.as_deref().or(folder.as_ref().map(TempDir::path)).context("a folder")?;
        let (data, note) = (path.join("data"), path.join("filled.json"));
        if let Ok(text) = fs::read(&note) {
            let kept: Kept = serde_json::from_slice(&text)?;
            let (there, asked) = (kept.records, settings.records);
            anyhow::ensure!(there == asked, "{} has {there} records, not {asked}", path.display());
            return Ok(Self { data, tokens: kept.tokens, told: "kept from a run before".to_owned(), _folder: folder });
        }
        fs::create_dir_all(path)?;
        let tokens = init_with_reader(&data)?;
        let told = fill(&data, &tokens, settings.records, cores)?;
        let kept = Kept { records: settings.records, tokens };
        fs::write(&note, serde_json::to_vec(&kept)?)?;
        Ok(Self { data, tokens: kept.tokens, told, _folder: folder })
    }

    /// Its server.
    pub(super) fn serve(&self, cores: &Cores) -> anyhow::Result<Server> {
        Server::cairn(&self.data, self.tokens.reader.clone(), cores)
    }

    /// GiB on disk.
    pub(super) fn gib(&self) -> anyhow::Result<f64> {
        let mut bytes = 0;
        for file in fs::read_dir(self.data.join("db"))? {
            bytes += file?.metadata().map_or(0, |file| file.len());
        }
        Ok(bytes as f64 / f64::from(1 << 30))
    }

    /// Tells the kernel to keep none of its files in memory. One that is merged away meanwhile is passed over.
    pub(super) fn forget(&self) -> anyhow::Result<()> {
        for file in fs::read_dir(self.data.join("db"))? {
            let Ok(file) = File::open(file?.path()) else { continue };
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
        Ok(())
    }
}

/// Fills a new database, and waits until its server is at rest.
fn fill(data: &Path, tokens: &Tokens, records: u64, cores: &Cores) -> anyhow::Result<String> {
    let server = Server::cairn(data, tokens.producer.clone(), cores)?;
    let (sown, next, begun) = (Sown::new(records), AtomicU64::new(0), Instant::now());
    let filler = || -> anyhow::Result<()> {
        let mut client = Client::connect(server.origin(), &tokens.producer)?;
        loop {
            let first = next.fetch_add(BATCH as u64, Ordering::Relaxed);
            if first >= records {
                return Ok(());
            }
            let lines = sown.lines(first, BATCH);
            loop {
                let answered = client.post("/v1/records?receipts=0", "application/x-ndjson", lines.as_bytes())?;
                match answered.status {
                    200 => break,
                    503 => sleep(PAUSE),
                    other => anyhow::bail!("records: {other} {}", String::from_utf8_lossy(answered.body)),
                }
            }
            if first.is_multiple_of(1_000_000) {
                eprintln!("  {first} records after {:.0} s", begun.elapsed().as_secs_f64());
            }
        }
    };
    scope(|scope| {
        let fillers: Vec<_> = (0..FILLERS).map(|_| scope.spawn(filler)).collect();
        fillers.into_iter().try_for_each(|filler| filler.join().unwrap_or_else(|_| anyhow::bail!("a filler panicked")))
    })?;
    let filled = begun.elapsed();
    rest(&server);
    let (rate, rested) = (records as f64 / filled.as_secs_f64(), (begun.elapsed() - filled).as_secs_f64());
    Ok(format!("filled over HTTP at {rate:.0} records/s, at rest {rested:.0} s later"))
}

/// Waits until a server has merged what it merges.
pub(super) fn rest(server: &Server) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let before = server.used();
        sleep(LOOK);
        if server.used() - before < AT_REST * LOOK.as_secs_f64() {
            return;
        }
    }
}
