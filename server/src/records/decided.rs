//! What operators decided for tenants and modules, as the logs have it on record: the newest `cairn.set` record of each. The
//! file of settings is a copy of that, which whoever can write to the disk can change or remove without a trace; so at each
//! start it is compared, and made to say what is on record.
//!
//! The record comes before the file's change (`crate::admin`), so that this also finishes what a crash cut short. Not here:
//! what a setting does.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_tree::record::open::{OpenValues, Record};
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::text::Name;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::LogId;
use tokio::sync::watch;

use super::excuse::verified;
use super::settings::{ModuleSettings, ReadAudit, Settings, SettingsChange, SettingsError, TenantSettings};
use super::tenants::Homes;
use super::verify::Unverified;
use crate::engine::postings::{Facet, PostingsError, Print};
use crate::engine::{Clock, Engine, Log};
use crate::incidents::Incident;
use crate::limits::{LIST_BYTES, LIST_WORK};

/// The operation of a record of a setting.
pub const SET: &str = "cairn.set";
/// The entity of what is decided for a tenant.
pub const OF_TENANT: &str = "tenant-settings";
/// The entity of what is decided for a module.
pub const OF_MODULE: &str = "module-settings";
/// Records that are looked up at once.
const CHUNK: usize = 256;
/// When it is tried again to read what is on record, while indexes are being built.
const AGAIN: Duration = Duration::from_secs(5);

/// What became of comparisons, for whoever watches.
#[derive(Debug, Default)]
pub struct Comparisons {
    restored: AtomicU64,
    in_doubt: AtomicBool,
}

/// What compares the file of settings with the logs.
pub struct Comparison {
    /// What is in force.
    pub settings: Arc<Settings>,
    /// The logs.
    pub engine: Engine,
    /// Which of them has which tenant.
    pub homes: Arc<Homes>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Why settings were not compared.
#[derive(Debug, thiserror::Error)]
pub enum NotCompared {
    /// What is on record can't be found yet.
    #[error(transparent)]
    Postings(#[from] PostingsError),
    /// The file can't be written.
    #[error("settings are not as the logs have them on record, and can't be restored: {0}")]
    Settings(#[from] SettingsError),
    /// There is no file, and what it said can't be told for sure.
    #[error(
        "settings.json is gone, and what it said can't be read from the log: {0}; put the newest backup's settings.json back, or \
         mend the log with: cairnd repair"
    )]
    Lost(String),
}

/// What the logs have on record.
#[derive(Default)]
struct OnRecord {
    changes: Vec<SettingsChange>,
    /// Why it may not be all.
    doubt: Option<String>,
}

/// Whose setting it is: the tenant, what it is decided for, and its name.
type Key = (String, String, String);

impl Comparisons {
    /// How many settings were restored since the start.
    #[must_use]
    pub fn restored(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    /// Whether nobody knows that the settings are those on record.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }
}

impl Comparison {
    /// Compares now; if that can't be done yet, nobody waits for it.
    ///
    /// # Errors
    /// [`NotCompared`] if the database should not be used so.
    pub fn at_start(&self) -> Result<(), NotCompared> {
        self.settings.comparisons().in_doubt.store(true, Ordering::Relaxed);
        match self.once() {
            Err(NotCompared::Postings(error)) => {
                tracing::warn!(%error, "settings are not compared with what is on record yet");
                Ok(())
            }
            done => done,
        }
    }

    /// Compares again and again, until it was done or is to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let compared = Arc::new(self);
        while compared.settings.comparisons().in_doubt() {
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                _ = stop.wait_for(|stops| *stops) => return,
            }
            let again = Arc::clone(&compared);
            // A change that is on its way is on record before it is in the file.
            let _nobody_decides = compared.settings.turn().await;
            match cairn_listen::spawn_blocking(move || again.once()).await {
                Ok(Ok(())) => return,
                Ok(Err(NotCompared::Postings(_))) => {}
                Ok(Err(error)) => return tracing::error!(%error, "settings can't be compared"),
                Err(_) => return,
            }
        }
    }

    fn once(&self) -> Result<(), NotCompared> {
        let OnRecord { changes, doubt } = self.on_record()?;
        let comparisons = self.settings.comparisons();
        let unlike = self.settings.unlike(&changes)?;
        comparisons.in_doubt.store(doubt.is_some(), Ordering::Relaxed);
        match doubt {
            _ if unlike.is_empty() => {
                self.settings.add_sum()?;
                comparisons.in_doubt.store(false, Ordering::Relaxed);
            }
            Some(doubt) if self.settings.was_there() => {
                tracing::error!(doubt, ?unlike, "settings are not as the logs seem to have them, and stay as they are");
                self.note(&format!("in doubt: {}: {doubt}", unlike.join(", ")));
            }
            Some(doubt) => return Err(NotCompared::Lost(doubt)),
            None => {
                self.settings.restore(&changes)?;
                comparisons.restored.fetch_add(unlike.len() as u64, Ordering::Relaxed);
                tracing::error!(?unlike, "settings.json was not as the logs have it on record, and was restored");
                self.note(&format!("restored: {}", unlike.join(", ")));
            }
        }
        Ok(())
    }

    /// Keeps it where it outlives this process.
    fn note(&self, found: &str) {
        if let Err(error) = self.engine.incidents().add(Incident::settings(found, self.clock.now_ms())) {
            tracing::error!(%error, "the incident can't be written down");
        }
    }

    fn on_record(&self) -> Result<OnRecord, PostingsError> {
        let mut doubt = None;
        let mut by_log: BTreeMap<LogId, BTreeMap<Key, SettingsChange>> = BTreeMap::new();
        for log in self.engine.logs() {
            let (changes, unsure) = newest(&log)?;
            by_log.insert(log.info().id, changes);
            doubt = doubt.or(unsure);
        }
        let mut changes = Vec::new();
        let keys: std::collections::BTreeSet<&Key> = by_log.values().flat_map(BTreeMap::keys).collect();
        for key in keys {
            // Where the tenant's records are now, first.
            let mut logs = self.homes.each_of(&self.engine, &key.0).into_iter();
            changes.extend(logs.find_map(|log| by_log.get(&log.info().id)?.get(key).cloned()));
        }
        Ok(OnRecord { changes, doubt })
    }
}

/// The newest setting of each tenant and module in a log, and why there may be others.
fn newest(log: &Log) -> Result<(BTreeMap<Key, SettingsChange>, Option<String>), PostingsError> {
    let (mut newest, mut doubt) = (BTreeMap::new(), None);
    let Some(prints) = log.print_secret()? else { return Ok((newest, doubt)) };
    let head = log.head();
    let wanted = [(Facet::Operation, SET), (Facet::Module, OWN_MODULE)];
    let wanted = wanted.map(|(facet, value)| Print::new(&prints, facet, &[value]));
    let mut below = Some(head.size);
    while let Some(from) = below {
        let page = log.find_records(&wanted, from, CHUNK, LIST_WORK)?;
        below = page.next;
        let stored = log.stored_records(&head, &page.hits, LIST_BYTES)?;
        if let Some(left) = page.hits.get(stored.len()) {
            below = Some(left.size_with());
        }
        for (index, stored) in page.hits.iter().zip(stored) {
            let record = stored.map_err(|unreadable| Unverified::Read(unreadable.error));
            let record = record.and_then(|stored| Ok(verified(log, &head, stored)?.into_record()));
            match record.map_err(|error| error.to_string()).and_then(|record| setting(&record)) {
                Ok(Some((key, change))) => drop(newest.entry(key).or_insert(change)),
                Ok(None) => {}
                Err(words) => drop(doubt.get_or_insert_with(|| in_doubt(log, *index, &words))),
            }
        }
    }
    Ok((newest, doubt))
}

fn in_doubt(log: &Log, index: LeafIndex, words: &str) -> String {
    format!("the record of a setting at {index} in the log {} says nothing: {words}", log.info().name)
}

/// What a record says was decided, and for whom; none if it is about something else.
fn setting(record: &Record) -> Result<Option<(Key, SettingsChange)>, String> {
    let object = record.content().object.disclosed().ok_or("its object is not shown")?;
    if object.module.as_str() != OWN_MODULE || object.operation.as_str() != SET {
        return Ok(None);
    }
    let values = record.content().values.disclosed().and_then(Option::as_ref).ok_or("its values are not shown")?;
    let switch = |pointer: &'static str| match member(values, pointer)? {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(pointer),
    };
    let tenant = object.tenant.clone();
    let change = match object.entity.as_str() {
        OF_TENANT => {
            let reads = member(values, "/reads")?.trim_matches('"');
            let reads = reads.parse::<ReadAudit>().map_err(|error| error.to_string())?;
            SettingsChange::Tenant { tenant, to: TenantSettings { reads } }
        }
        OF_MODULE => {
            let to = ModuleSettings { strict: switch("/strict")?, old_must_match: switch("/old_must_match")? };
            SettingsChange::Module { tenant, module: Name::clone(&object.id), to }
        }
        _ => return Ok(None),
    };
    let key = [&object.tenant, &object.entity, &object.id].map(|name| name.as_str().to_owned());
    let [tenant, entity, id] = key;
    Ok(Some(((tenant, entity, id), change)))
}

/// The JSON of a member that is shown.
fn member<'v>(values: &'v OpenValues, pointer: &'static str) -> Result<&'v str, &'static str> {
    let field = values.fields().iter().find(|(other, _)| other.as_str() == pointer);
    let shown = field.and_then(|(_, field)| field.content.disclosed()?.new.as_ref());
    shown.map(|json| json.as_str()).ok_or(pointer)
}
