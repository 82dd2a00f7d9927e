//! Batches of 1,000 entries, appended to the engine without HTTP, against a bare RocksDB.

use std::sync::Arc;

use crate::Settings;
use crate::bare_rocks;
use crate::engine::{Appender, HashIndex, Until};
use crate::payload::Payload;
use crate::report::{Rounds, Row, median};

/// Alternates between the two.
///
/// # Errors
/// Whatever one of them says.
pub(crate) fn measure(settings: &Settings, hash_index: HashIndex) -> anyhow::Result<Row> {
    let payload = Arc::new(Payload::new(u64::from(std::process::id())));
    let (mut rounds, mut singly, mut waits) = (Rounds::default(), Vec::new(), Vec::new());
    let mut notes = Vec::new();
    for round in 0..settings.rounds {
        let folder = settings.folder()?;
        let appender = Appender::create(folder.path(), hash_index)?;
        let appended = appender.append(&payload, Until::Elapsed(settings.time()))?;
        let per_commit = appender.commits().entries_per_commit();
        let commits = appender.commits().describe(appended.elapsed);
        drop(appender);
        let bare = bare_rocks::run(settings.folder()?.path(), &payload, per_commit, settings.time())?;
        singly.push(bare_rocks::run(settings.folder()?.path(), &payload, 1_024.0, settings.time() / 2)?);
        let rate = appended.rate();
        waits.push(appended.wait(0.99).as_secs_f64() * 1e3);
        eprintln!("  round {round}: {rate:.0} entries/s, bare {bare:.0}, ratio {:.2}; {commits}", rate / bare);
        rounds.push(rate, bare);
        notes = vec![commits];
    }
    let index = if hash_index == HashIndex::With { "with" } else { "without" };
    let name = format!("engine batches, {index} the hash index");
    let what = "entries/s: batches of 1,000 x 300 B, 16 at a time, no HTTP";
    let mut row = rounds.row(&name, what, ">= 300,000/s or 0.7");
    row.met = Some(row.cairn >= 300_000.0 || row.ratio >= Some(0.7));
    notes.push(format!("p99 of a batch {:.1} ms", median(&waits)));
    notes.push(format!("the bare RocksDB with 1,024 entries per commit: {:.0} entries/s", median(&singly)));
    row.notes = notes;
    Ok(row)
}
