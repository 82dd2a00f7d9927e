//! What is known to be damaged in a database, in words: logs that are halted for it, and findings that nobody has mended.
//!
//! Not here: looking for damage (`scrub`, `fsck`).

use std::path::Path;

use cairn_rocks::RocksStore;
use cairn_tree::store::LogId;

use super::open::read_head;
use crate::incidents::{self, Incident, open_findings};

/// Most logs of which it is told; past them their number.
const TOLD: usize = 32;

/// What is known of these logs, and of what belongs to none, by their head rows and the incidents of the data folder.
pub(super) fn known_damage(store: &RocksStore, data: &Path, logs: &[(LogId, String)]) -> Vec<String> {
    let incidents = match incidents::read(data) {
        Ok(incidents) => incidents,
        Err(error) => return vec![format!("incidents.jsonl can't be read, so nobody knows: {error}")],
    };
    let of_none = finding(&incidents, None).map(|found| format!("the database: {found}"));
    let of_logs = logs.iter().filter_map(|(id, name)| {
        let found = finding(&incidents, Some(name)).or_else(|| halted(store, *id, name));
        Some(format!("log {name}: {}", found?))
    });
    let mut known: Vec<String> = of_none.into_iter().chain(of_logs).collect();
    let more = known.len().saturating_sub(TOLD);
    if more > 0 {
        known.truncate(TOLD);
        known.push(format!("and {more} more"));
    }
    known
}

fn finding(incidents: &[Incident], log: Option<&str>) -> Option<String> {
    let mut open = open_findings(incidents, log);
    let first = open.next()?;
    let Incident { kind, found, time_ms, .. } = first;
    let entries = first.first.zip(first.end).map(|(first, end)| format!(" (entries {first} to before {end})"));
    let more = match open.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(format!("{kind}{} found at {time_ms} ms: {found}{more}", entries.unwrap_or_default()))
}

/// What the writer found has no incident; the log's head row says it.
fn halted(store: &RocksStore, id: LogId, name: &str) -> Option<String> {
    match read_head(store, id, name) {
        Ok(row) => row.mendable.then(|| "halted for damage".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}
