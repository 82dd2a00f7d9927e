//! Requests to the real server, against a bare one that is asked in the same way.

use std::sync::Arc;

use crate::Settings;
use crate::bare_http::{self, Bodies};
use crate::engine::{Appender, Until};
use crate::payload::Payload;
use crate::programs::{Ask, ENTRY_BYTES, Loaded, Server, bare_batches, init, load};
use crate::report::{Rounds, Row, median};

/// The connections that batches and reads come by.
const CONNECTIONS: usize = 64;
/// The connections that batches come by: each holds 300 KB in flight.
const BATCHERS: usize = 16;

/// Single durable appends, each answered with its index.
pub(crate) fn singles(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let (data, empty) = (settings.folder()?, settings.folder()?);
    let token = init(data.path())?;
    let cairn = Server::cairn(data.path(), token, &settings.cores())?;
    let bare = Server::bare(empty.path(), Bodies::Dropped, &settings.cores())?;
    let synced = Server::bare(empty.path(), Bodies::Synced, &settings.cores())?;
    let mut rows = Vec::new();
    for connections in [64, 512] {
        let ask = Ask { mode: "single", connections, time: settings.time(), size: ENTRY_BYTES };
        let seen = alternate(settings, &cairn, &bare, ask)?;
        let what = format!("appends/s: POST add, 300 B, synced, {connections} connections");
        let mut row = seen.row(&format!("add, {connections} connections"), &what, ">= 0.75, p99 < 50 ms");
        row.met = Some(row.ratio >= Some(0.75) && seen.p99() < 50.0);
        rows.push(row);
        let seen = alternate(settings, &cairn, &synced, ask)?;
        let what =
            format!("the same; bare: one write and one fdatasync for all bodies that wait, {connections} connections");
        rows.push(seen.row(&format!("add beside one sync, {connections} connections"), &what, "(for information)"));
    }
    let ask = Ask { mode: "receipt", connections: CONNECTIONS, time: settings.time(), size: ENTRY_BYTES };
    let seen = alternate(settings, &cairn, &bare, ask)?;
    let what = format!("appends/s: POST entries, 300 B, synced, JSON receipt, {CONNECTIONS} connections");
    rows.push(seen.row("entries, JSON receipt", &what, "(for information)"));
    Ok(rows)
}

/// Batches of 1,000, answered without a receipt for each entry.
pub(crate) fn batches(settings: &Settings) -> anyhow::Result<Row> {
    let (mut rounds, mut loads) = (Rounds::default(), Vec::new());
    let cores = settings.cores();
    for round in 0..settings.rounds {
        let data = settings.folder()?;
        let token = init(data.path())?;
        let cairn = Server::cairn(data.path(), token, &cores)?;
        let loaded = load(
            &cairn,
            Ask { mode: "batch", connections: BATCHERS, time: settings.time(), size: ENTRY_BYTES },
            &cores,
        )?;
        let peak = cairn.peak_mib();
        drop(cairn);
        let folder = settings.folder()?;
        let bare = bare_batches(folder.path(), PER_COMMIT, settings.time(), &cores)?;
        let ratio = loaded.rate_per_s / bare;
        eprintln!(
            "  round {round}: {:.0} entries/s, bare RocksDB {bare:.0}, ratio {ratio:.2}; {}; at most {peak:.0} MiB",
            loaded.rate_per_s,
            loaded.describe()
        );
        rounds.push(loaded.rate_per_s, bare);
        loads.push(loaded);
    }
    let what = "entries/s: POST entries, 1,000 x 300 B each, synced, 16 connections; bare: a synced RocksDB WriteBatch";
    let mut row = rounds.row("batches over HTTP", what, ">= 300,000/s or 0.7");
    row.met = Some(row.cairn >= 300_000.0 || row.ratio >= Some(0.7));
    row.notes.push(median_of("Cairn", &loads));
    Ok(row)
}

/// Entries per commit of the bare RocksDB: what sixteen callers of 1,000 can have in flight in whole bundles.
const PER_COMMIT: f64 = 8_192.0;

/// Inclusion proofs and full tiles of a log that has [`Settings::entries`].
pub(crate) fn reads(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let data = settings.folder()?;
    let token = init(data.path())?;
    let payload = Arc::new(Payload::new(u64::from(std::process::id())));
    let appender = Appender::open(data.path(), "main")?;
    appender.append(&payload, Until::Size(settings.entries))?;
    appender.settle();
    let size = appender.size();
    drop(appender);
    let cairn = Server::cairn(data.path(), token, &settings.cores())?;
    let proof = cairn.get(&format!("proof/inclusion?index={}&size={size}", size / 3))?;
    let answers = settings.folder()?;
    bare_http::prepare(answers.path(), &cairn.get("checkpoint")?, &proof)?;
    let bare = Server::bare(answers.path(), Bodies::Dropped, &settings.cores())?;
    let mut rows = Vec::new();
    let ask = Ask { mode: "proof", connections: CONNECTIONS, time: settings.time(), size: ENTRY_BYTES };
    let what = format!("GET proof/inclusion per s, random of {size} entries; bare: {} constant bytes", proof.len());
    let mut row = alternate(settings, &cairn, &bare, ask)?.row("inclusion proofs", &what, ">= 0.8");
    row.met = Some(row.ratio >= Some(0.8));
    rows.push(row);
    let ask = Ask { mode: "tile", ..ask };
    let what = format!("GET tile/0/N per s, random full tiles of {size} entries; bare: 8,192 constant bytes");
    let mut row = alternate(settings, &cairn, &bare, ask)?.row("tiles", &what, ">= 0.9");
    row.met = Some(row.ratio >= Some(0.9));
    rows.push(row);
    Ok(rows)
}

/// What the rounds of one row saw.
struct Seen {
    cairn: Vec<Loaded>,
    bare: Vec<Loaded>,
}

/// Asks Cairn and the bare server in turn. One round that is not counted comes first.
fn alternate(settings: &Settings, cairn: &Server, bare: &Server, ask: Ask) -> anyhow::Result<Seen> {
    let cores = settings.cores();
    let warm = Ask { time: WARM_UP, ..ask };
    load(cairn, warm, &cores)?;
    load(bare, warm, &cores)?;
    let mut seen = Seen { cairn: Vec::new(), bare: Vec::new() };
    for round in 0..settings.rounds {
        let (ours, theirs) = (load(cairn, ask, &cores)?, load(bare, ask, &cores)?);
        let ratio = ours.rate_per_s / theirs.rate_per_s;
        eprintln!("  round {round}: {:.0}/s, bare {:.0}/s, ratio {ratio:.2}", ours.rate_per_s, theirs.rate_per_s);
        eprintln!("    Cairn: {}\n    bare: {}", ours.describe(), theirs.describe());
        seen.cairn.push(ours);
        seen.bare.push(theirs);
    }
    Ok(seen)
}

/// How long a server is asked before anything is measured.
const WARM_UP: std::time::Duration = std::time::Duration::from_secs(1);

impl Seen {
    fn p99(&self) -> f64 {
        median(&self.cairn.iter().map(|one| one.p99_ms).collect::<Vec<_>>())
    }

    fn row(&self, name: &str, what: &str, target: &str) -> Row {
        let mut rounds = Rounds::default();
        for (cairn, bare) in self.cairn.iter().zip(&self.bare) {
            rounds.push(cairn.rate_per_s, bare.rate_per_s);
        }
        let mut row = rounds.row(name, what, target);
        row.notes = vec![median_of("Cairn", &self.cairn), median_of("bare", &self.bare)];
        row
    }
}

impl Loaded {
    pub(crate) fn describe(&self) -> String {
        median_words(&|part| part(self))
    }
}

fn median_of(name: &str, loads: &[Loaded]) -> String {
    let words = median_words(&|part| median(&loads.iter().map(part).collect::<Vec<_>>()));
    format!("{name}: {words}")
}

fn median_words(of: &dyn Fn(fn(&Loaded) -> f64) -> f64) -> String {
    format!(
        "p50 {:.2} ms, p99 {:.2} ms; server {:.1} us of processor per request and {:.2} cores, generator {:.2} cores",
        of(|one| one.p50_ms),
        of(|one| one.p99_ms),
        of(|one| one.server_us),
        of(|one| one.server_cores),
        of(|one| one.load_cores),
    )
}
