//! Batches of 1,000 records, appended to the engine without HTTP, against raw entries of the same bytes: what the audit
//! layer costs.

use std::sync::Arc;

use crate::Settings;
use crate::engine::{Appender, HashIndex, Until};
use crate::payload::Payload;
use crate::report::{Rounds, Row, median};

/// Records that are read together.
const DISPERSED: u64 = 1_000;

/// Alternates between the two.
///
/// # Errors
/// Whatever one of them says.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Row> {
    let payload = Arc::new(Payload::new(u64::from(std::process::id())));
    let (mut rounds, mut waits) = (Rounds::default(), Vec::new());
    let mut notes = Vec::new();
    for round in 0..settings.rounds {
        let folder = settings.folder()?;
        let appender = Appender::create(folder.path(), HashIndex::Without)?;
        let appended = appender.append_records(Until::Elapsed(settings.time()))?;
        let commits = appender.commits().describe(appended.elapsed);
        appender.settle();
        // The second time what was read is in memory, as far as it may be.
        let read = [appender.read_dispersed(DISPERSED)?, appender.read_dispersed(DISPERSED)?];
        let [cold, warm] = read.map(|time| time.as_secs_f64() * 1e3);
        let of = appender.size();
        drop(appender);
        let folder = settings.folder()?;
        let raw = Appender::create(folder.path(), HashIndex::Without)?;
        let raw = raw.append(&payload, Until::Elapsed(settings.time()))?.rate();
        let rate = appended.rate();
        waits.push(appended.wait(0.99).as_secs_f64() * 1e3);
        eprintln!("  round {round}: {rate:.0} records/s, raw {raw:.0}, ratio {:.2}; {commits}", rate / raw);
        rounds.push(rate, raw);
        let read = format!("{DISPERSED} of {of} records read and opened on one core: {cold:.0} ms, again {warm:.0} ms");
        eprintln!("    {read}");
        notes = vec![commits, read];
    }
    let what = "records/s: batches of 1,000 reference records, 16 at a time, no HTTP; beside it raw entries of 300 B";
    let mut row = rounds.row("engine records", what, ">= 50,000/s");
    row.met = Some(row.cairn >= 50_000.0);
    notes.push(format!("p99 of a batch {:.1} ms", median(&waits)));
    row.notes = notes;
    Ok(row)
}
