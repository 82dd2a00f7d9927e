//! What is known to be damaged in a database, in words: logs that are halted for it, and findings that nobody has mended.
//!
//! An operator may accept damage by its words. So they end with a digest over all of it: what comes later, or once more after
//! a repair, has other words. What is not listed has none.
//!
//! Not here: looking for damage (`scrub`, `fsck`).

use std::path::Path;

use cairn_tree::store::{LogId, Store};

use super::damaged::{MORE, MOST};
use super::layout::LogState;
use super::open::read_head;
use crate::backup::Digest;
use crate::incidents::{self, Incident, open_findings};
use crate::limits::REPORTED_INCIDENTS;

/// Most logs of which it is told; past them their number.
const TOLD: usize = 32;
/// Hexadecimal digits of the digest.
const DIGITS: usize = 16;

/// What is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// One for each log that is told of, and for what belongs to none.
    pub words: Vec<String>,
    /// Whether there is, or may be, damage that the words do not change with.
    pub more: bool,
}

/// A log that the writer halted. What it found has no incident; the head row says it.
struct Halt {
    words: String,
    /// What tells it from another.
    commit: u64,
    reason: String,
}

/// What is known of these logs, and of what belongs to none, by their head rows and the incidents of the data folder.
pub(super) fn known_damage(store: &dyn Store, data: &Path, logs: &[(LogId, String)]) -> Known {
    let incidents = match incidents::read(data) {
        Ok(incidents) => incidents,
        Err(error) => {
            let words = vec![format!("incidents.jsonl can't be read, so nobody knows: {error}")];
            return Known { words, more: true };
        }
    };
    let of_none = told(&incidents, None, None).map(|found| format!("the database: {found}"));
    let of_logs = logs.iter().filter_map(|(id, name)| {
        let found = told(&incidents, Some(name), halt(store, *id, name));
        Some(format!("log {name}: {}", found?))
    });
    let mut words: Vec<String> = of_none.into_iter().chain(of_logs).collect();
    let past = words.len().saturating_sub(TOLD);
    if past > 0 {
        words.truncate(TOLD);
        words.push(format!("and {past} more"));
    }
    let names = logs.iter().map(|(_, name)| Some(name.as_str()));
    let is_full =
        !words.is_empty() && (is_full_of_reads(&incidents) || names.chain([None]).any(|log| is_full(&incidents, log)));
    Known { more: past > 0 || is_full, words }
}

/// Whether findings of a log may have no incident any more.
fn is_full(incidents: &[Incident], log: Option<&str>) -> bool {
    let mut count = 0;
    open_findings(incidents, log).any(|incident| {
        count += 1;
        incident.found == MORE || count >= MOST
    })
}

/// Whether what reads find may have none.
fn is_full_of_reads(incidents: &[Incident]) -> bool {
    incidents.iter().filter(|incident| incident.event == "integrity").count() >= REPORTED_INCIDENTS
}

/// The first of what was found, how much more there is, and the digest over all of it.
fn told(incidents: &[Incident], log: Option<&str>, halt: Option<Halt>) -> Option<String> {
    let digest = digest(open_findings(incidents, log), halt.as_ref());
    let mut open = open_findings(incidents, log);
    let words = match open.next() {
        Some(first) => finding(first, open.count()),
        None => halt?.words,
    };
    Some(format!("{words}, digest {digest}"))
}

fn finding(first: &Incident, more: usize) -> String {
    let Incident { kind, found, time_ms, .. } = first;
    let entries = first.first.zip(first.end).map(|(first, end)| format!(" (entries {first} to before {end})"));
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    format!("{kind}{} found at {time_ms} ms: {found}{more}", entries.unwrap_or_default())
}

/// Over all open findings, and the halt.
fn digest<'a>(findings: impl Iterator<Item = &'a Incident>, halt: Option<&Halt>) -> String {
    let mut all: Vec<_> = findings
        .map(|Incident { number, time_ms, kind, place, level, first, end, found, .. }| {
            format!("{:?}", (number, time_ms, kind, place, level, first, end, found))
        })
        .collect();
    all.extend(halt.map(|Halt { words, commit, reason }| format!("{:?}", (words, commit, reason))));
    let mut digest = Digest::of(all.join("\n").as_bytes()).to_string();
    digest.truncate(DIGITS);
    digest
}

fn halt(store: &dyn Store, id: LogId, name: &str) -> Option<Halt> {
    match read_head(store, id, name) {
        Ok(row) => match row.state {
            LogState::Halted(reason) if row.mendable => {
                Some(Halt { words: "halted for damage".to_owned(), commit: row.commit, reason })
            }
            _ => None,
        },
        Err(error) => Some(Halt { words: error.to_string(), commit: 0, reason: String::new() }),
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::hash::Hash;
    use cairn_tree::size::TreeSize;
    use cairn_tree::store::Batch;
    use cairn_tree::store::memory::MemoryStore;

    use super::*;
    use crate::engine::layout::HeadRow;
    use crate::incidents::Incidents;

    fn head(commit: u64, reason: Option<&str>) -> HeadRow {
        HeadRow {
            commit,
            state: reason.map_or(LogState::Open, |reason| LogState::Halted(reason.to_owned())),
            size: TreeSize::ZERO,
            root: Hash::EMPTY_TREE,
            time_ms: 1,
            stale: (0, 0),
            nodes: None,
            mendable: reason.is_some(),
        }
    }

    fn store(rows: &[(LogId, HeadRow)]) -> MemoryStore {
        let (store, mut batch) = (MemoryStore::new(), Batch::new());
        rows.iter().for_each(|(log, row)| batch.put(HeadRow::key(*log), row.encode()));
        store.commit(batch).unwrap();
        store
    }

    fn incident(event: &str, log: Option<&str>, found: &str) -> Incident {
        let incident = Incident::halted("", found, 7);
        Incident { event: event.to_owned(), log: log.map(str::to_owned), kind: "bundle".to_owned(), ..incident }
    }

    fn logs(count: u32) -> Vec<(LogId, String)> {
        (1..=count).map(|number| (LogId::new(number), format!("log{number}"))).collect()
    }

    #[test]
    fn each_halt_has_words_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let known = |row| known_damage(&store(&[(LogId::new(1), row)]), folder.path(), &logs(1));
        assert_eq!(known(head(5, None)), Known::default());
        let (one, again, other) = (known(head(5, Some("a"))), known(head(9, Some("a"))), known(head(5, Some("b"))));
        assert!(!one.more && one.words[0].starts_with("log log1: halted for damage, digest "), "{one:?}");
        assert_eq!(one, known(head(5, Some("a"))));
        assert!(one != again && one != other && again != other, "{one:?}, {again:?}, {other:?}");
    }

    /// All findings but the first are told by their number alone.
    #[test]
    fn every_open_finding_changes_the_words_and_so_does_the_same_one_after_a_repair() {
        let folder = tempfile::tempdir().unwrap();
        let incidents = Incidents::open(folder.path()).unwrap();
        let mut seen = Vec::new();
        for (event, found) in [
            ("damage", "one"),
            ("damage", "two"),
            ("integrity", "three"),
            ("repaired", ""),
            ("damage", "one"),
            ("damage", "four"),
            ("integrity", "three"),
        ] {
            incidents.add(incident(event, Some("log1"), found)).unwrap();
            for row in [head(5, None), head(6, Some("a")), head(7, Some("a"))] {
                let known = known_damage(&store(&[(LogId::new(1), row)]), folder.path(), &logs(1));
                assert!(!known.more, "{known:?}");
                seen.extend(known.words);
            }
        }
        // After the repair two of the three rows say that it is halted.
        let mut all = seen.clone();
        all.sort();
        all.dedup();
        assert_eq!((all.len(), seen.len()), (20, 20), "{seen:?}");
    }

    #[test]
    fn a_list_that_is_not_whole_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let rows = |count| logs(count).into_iter().map(|(id, _)| (id, head(5, Some("a")))).collect::<Vec<_>>();
        let most = TOLD as u32;
        for (count, told, more) in [(most, TOLD, false), (most + 1, TOLD + 1, true)] {
            let known = known_damage(&store(&rows(count)), folder.path(), &logs(count));
            assert_eq!((known.words.len(), known.more), (told, more));
        }
        let incidents = Incidents::open(folder.path()).unwrap();
        for (found, more) in [("block 1", false), (MORE, true)] {
            incidents.add(incident("damage", None, found)).unwrap();
            assert_eq!(known_damage(&store(&[]), folder.path(), &[]).more, more, "{found}");
        }
        std::fs::remove_file(folder.path().join(incidents::FILE_NAME)).unwrap();
        std::fs::create_dir(folder.path().join(incidents::FILE_NAME)).unwrap();
        assert!(known_damage(&store(&[]), folder.path(), &[]).more, "nobody knows");
    }
}
