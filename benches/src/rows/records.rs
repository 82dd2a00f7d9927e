//! Batches of 1,000 reference records over HTTP, against raw entries of the same bytes in batches of 1,000 to the same
//! server: what the audit layer costs its callers.

use crate::Settings;
use crate::programs::{Ask, Cores, Loaded, Server, init, load};
use crate::report::{Rounds, Row, median};

/// The connections that batches come by: each holds 1.5 MB in flight.
const BATCHERS: usize = 8;
/// The bytes of a reference record, which a raw entry has here too.
const RECORD_BYTES: usize = 1_579;
/// Entries and records of a batch, as the generator makes them unless told otherwise.
const BATCH: f64 = 1_000.0;

/// Alternates between the two, each on a database of its own. Server and generator share all cores.
///
/// # Errors
/// Whatever one of them says.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Row> {
    let (mut rounds, mut all) = (Rounds::default(), Vec::new());
    for round in 0..settings.rounds {
        let (records, peak) = one(settings, "records")?;
        let (raw, _) = one(settings, "batch")?;
        let (rate, base) = (records.rate_per_s, raw.rate_per_s);
        eprintln!(
            "  round {round}: {rate:.0} records/s, raw {base:.0}, ratio {:.2}; {}; at most {peak:.0} MiB",
            rate / base,
            records.describe()
        );
        rounds.push(rate, base);
        all.push(records);
    }
    let what = "records/s: POST /v1/records, 1,000 of 1.5 KB each, synced and found by all filters, 8 connections, all \
                cores for server and generator; beside it raw entries of the same bytes, 1,000 each";
    let mut row = rounds.row("records over HTTP", what, ">= 50,000/s");
    row.met = Some(row.cairn >= 50_000.0);
    let of = |part: fn(&Loaded) -> f64| median(&all.iter().map(part).collect::<Vec<_>>());
    row.notes.push(format!(
        "p50 of a batch {:.0} ms, p99 {:.0} ms; the server took {:.1} us of processor per record, the generator {:.1} cores",
        of(|one| one.p50_ms),
        of(|one| one.p99_ms),
        of(|one| one.server_us) / BATCH,
        of(|one| one.load_cores)
    ));
    Ok(row)
}

/// One turn; also the most memory that the server took, in MiB.
fn one(settings: &Settings, mode: &'static str) -> anyhow::Result<(Loaded, f64)> {
    let everywhere = Cores { server: None, load: None };
    let data = settings.folder()?;
    let token = init(data.path())?;
    let server = Server::cairn(data.path(), token, &everywhere)?;
    let ask = Ask { mode, connections: BATCHERS, time: settings.time(), size: RECORD_BYTES };
    let loaded = load(&server, ask, &everywhere)?;
    Ok((loaded, server.peak_mib()))
}
