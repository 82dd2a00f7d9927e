//! What failed a check of integrity when it was read: one line in the file of incidents per digest or leaf, however often
//! it is read, across restarts too. A bad leaf, tile or chain halts its log, if a second look finds it bad as well.
//!
//! Not here: the records of it in the log, which follow the lines (`chronicle`).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use cairn_tree::record::digest::Digest;
use cairn_tree::size::LeafIndex;
use tokio::sync::Notify;

use super::verify::{Broken, BrokenPart};
use crate::engine::{Clock, Log, ReadError};
use crate::incidents::{self, Incident, Incidents};
use crate::limits::REPORTED_INCIDENTS;

/// What the lines here say happened.
pub(super) const EVENT: &str = "integrity";
/// What the lines about disclosures say that were erased and are there again.
const RETURNED: &str = "returned";

/// Reports what can't be verified.
pub struct Reporter {
    incidents: Arc<Incidents>,
    clock: Arc<dyn Clock>,
    /// What was reported: the log, and the digest or the index.
    known: Mutex<BTreeSet<(String, String)>>,
    told: Arc<Notify>,
    read: ReadFindings,
}

/// What reads were the first to tell of, since the start: a line each.
#[derive(Debug, Default)]
struct ReadFindings {
    disclosures: AtomicU64,
    others: AtomicU64,
}

impl Reporter {
    /// Goes on from what the file of a data folder says.
    ///
    /// # Errors
    /// If there is a file that can't be read.
    pub fn open(data: &Path, incidents: Arc<Incidents>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let known =
            incidents::read(data)?.into_iter().filter(|incident| incident.event == EVENT).filter_map(|incident| {
                let what = incident.expected.or(incident.first.map(|index| index.to_string()))?;
                Some((incident.log?, what))
            });
        let known = Mutex::new(known.take(REPORTED_INCIDENTS).collect());
        Ok(Self { incidents, clock, known, told: Arc::default(), read: ReadFindings::default() })
    }

    /// Is told when there is a new line, so that its record is written.
    #[must_use]
    pub fn told(&self) -> Arc<Notify> {
        Arc::clone(&self.told)
    }

    /// Reports something of a log that a read has found, unless it was reported before.
    pub fn report(&self, log: &Log, broken: &Broken) {
        match broken.what {
            BrokenPart::Disclosure(..) => {
                self.write_down_read(log, broken);
            }
            BrokenPart::Leaf => self.suspect(log, broken.index),
            BrokenPart::Chain { not_found_from } => {
                // One that was told of before has halted the log before: what is signed so stays so, after a repair too.
                let is_new = self.write_down_read(log, broken);
                match not_found_from {
                    Some(from) => drop(log.suspect_from(from, broken.index, self.clock.now_ms())),
                    None if is_new => {
                        log.halt_contradicting(format!("the record at {}: {}", broken.index, broken.words));
                    }
                    None => {}
                }
            }
        }
    }

    /// Reports a disclosure that the scrubber has found; true if it was not reported before.
    pub(super) fn scrubbed(&self, log: &Log, broken: &Broken) -> bool {
        self.write_down(&log.info().name, broken)
    }

    /// How many disclosures reads were the first to find bad, since the start.
    #[must_use]
    pub fn read_disclosures(&self) -> u64 {
        self.read.disclosures.load(Relaxed)
    }

    /// How many lines there are since the start because of reads. Damage that halted a log is not among them, which the
    /// engine counts.
    #[must_use]
    pub fn read_findings(&self) -> u64 {
        self.read_disclosures() + self.read.others.load(Relaxed)
    }

    /// Whether it was reported before.
    pub(super) fn knows(&self, log: &Log, broken: &Broken) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&key(&log.info().name, broken))
    }

    /// Writes down that a disclosure is there again though it was erased, and will be gone. The log gets no record of it.
    pub(super) fn returned(&self, log: &Log, index: LeafIndex, digest: Digest) {
        let log = &*log.info().name;
        let incident = Incident {
            event: RETURNED.to_owned(),
            expected: Some(digest.to_string()),
            ..self.incident(log, index, ("disclosure", "erased before"))
        };
        match self.incidents.add(incident) {
            Ok(number) => {
                tracing::error!(log, index = index.get(), number, "a disclosure that was erased is there again")
            }
            Err(error) => tracing::error!(log, index = index.get(), %error, "an incident can't be written"),
        }
    }

    fn incident(&self, log: &str, index: LeafIndex, (kind, found): (&str, &str)) -> Incident {
        Incident {
            number: 0,
            time_ms: self.clock.now_ms(),
            event: EVENT.to_owned(),
            log: Some(log.to_owned()),
            kind: kind.to_owned(),
            place: None,
            level: None,
            first: Some(index.get()),
            end: Some(index.get().saturating_add(1)),
            expected: None,
            found: found.to_owned(),
        }
    }

    /// A leaf is not what was signed, or can't be read: looks again, which halts the log if it is so.
    pub fn suspect(&self, log: &Log, index: LeafIndex) {
        if log.suspect(index, self.clock.now_ms()) {
            self.told.notify_one();
        } else {
            let words = "it could not be verified".to_owned();
            self.write_down_read(log, &Broken { index, what: BrokenPart::Leaf, words });
        }
    }

    /// What could not be read where records of a log were looked for is looked at again; true if it is damaged, and the log
    /// halted for that.
    pub fn suspect_read(&self, log: &Log, error: &ReadError) -> bool {
        let is_damaged = log.suspect_read(error, self.clock.now_ms());
        if is_damaged {
            self.told.notify_one();
        }
        is_damaged
    }

    /// True if there was no such line before, and there is now.
    fn write_down(&self, log: &str, broken: &Broken) -> bool {
        let (kind, expected, found) = match broken.what {
            BrokenPart::Disclosure(digest, fault) => ("disclosure", Some(digest.to_string()), fault.name()),
            BrokenPart::Leaf => ("leaf", None, "changed"),
            BrokenPart::Chain { .. } => ("chain", None, "broken"),
        };
        let key = key(log, broken);
        // Held while it is written, so that two readers at once report it once.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&key) || known.len() >= REPORTED_INCIDENTS {
            return false;
        }
        let incident = Incident { expected, ..self.incident(log, broken.index, (kind, found)) };
        match self.incidents.add(incident) {
            Ok(number) => {
                tracing::error!(log, index = broken.index.get(), number, kind, found, "a record can't be verified");
                known.insert(key);
                self.told.notify_one();
                true
            }
            // It comes up again with the next read.
            Err(error) => {
                tracing::error!(log, index = broken.index.get(), %error, "an incident can't be written");
                false
            }
        }
    }

    /// The same for what a read has found, which is counted.
    fn write_down_read(&self, log: &Log, broken: &Broken) -> bool {
        let is_new = self.write_down(&log.info().name, broken);
        let counter = match broken.what {
            BrokenPart::Disclosure(..) => &self.read.disclosures,
            BrokenPart::Leaf | BrokenPart::Chain { .. } => &self.read.others,
        };
        counter.fetch_add(u64::from(is_new), Relaxed);
        is_new
    }
}

/// What it is known by: the log, and the digest or the index.
fn key(log: &str, broken: &Broken) -> (String, String) {
    let what = match broken.what {
        BrokenPart::Disclosure(digest, _) => digest.to_string(),
        BrokenPart::Leaf | BrokenPart::Chain { .. } => broken.index.to_string(),
    };
    (log.to_owned(), what)
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::digest::Digest;
    use cairn_tree::record::kind::IncidentFault;
    use cairn_tree::size::LeafIndex;

    use super::*;
    use crate::engine::SystemClock;

    #[test]
    fn each_digest_is_reported_once_across_restarts_too() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let incidents = Arc::new(Incidents::open(folder.path()).unwrap());
            Reporter::open(folder.path(), incidents, Arc::new(SystemClock)).unwrap()
        };
        let broken = |index, what| Broken { index: LeafIndex::new(index).unwrap(), what, words: String::new() };
        let missing = |text: &str| BrokenPart::Disclosure(Digest::of(text), IncidentFault::Missing);
        for _ in 0..2 {
            let reporter = open();
            for _ in 0..3 {
                reporter.write_down("main", &broken(7, missing("a")));
                reporter.write_down("main", &broken(7, missing("b")));
                reporter.write_down("main", &broken(8, BrokenPart::Leaf));
                reporter.write_down("other", &broken(7, missing("a")));
            }
        }
        let all = incidents::read(folder.path()).unwrap();
        let told: Vec<_> = all.iter().map(|one| (one.log.as_deref().unwrap(), one.kind.as_str(), one.first)).collect();
        let disclosure = |log| (log, "disclosure", Some(7));
        assert_eq!(told, [disclosure("main"), disclosure("main"), ("main", "leaf", Some(8)), disclosure("other")]);
        assert_eq!((all[0].expected.clone(), all[0].found.as_str()), (Some(Digest::of("a").to_string()), "missing"));
    }
}
