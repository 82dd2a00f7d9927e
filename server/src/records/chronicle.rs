//! Enters what failed a check of integrity into the log that it is about, as a `security.incident` record of the log's own.
//!
//! The line in the file of incidents comes first, and is durable whatever becomes of the record; the record follows, later
//! if the log takes none now: after its repair, after a restart. Of each line there is one record, which its id sees to. No
//! read waits for any of this. Logs that never were to have records get none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_tree::record::class::Class;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::header::Header;
use cairn_tree::record::json::Json;
use cairn_tree::record::kind::{Concerned, INCIDENT, IncidentFault, incident};
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::text::Name;
use cairn_tree::size::LeafIndex;
use tokio::sync::{Notify, watch};

use super::own::{Own, OwnError, OwnRecord, own_object, own_values};
use super::report::EVENT;
use super::tenants::{Home, Homes};
use crate::engine::{AppendError, Engine, Log};
use crate::incidents::{self, Incident};
use crate::limits::REPORTED_INCIDENTS;

/// When it is tried again what a log did not take.
const AGAIN: Duration = Duration::from_secs(30);
/// The entity of what is on record about failed checks.
const ENTITY: &str = "incident";

/// Writes the records.
pub struct Chronicle {
    data: PathBuf,
    engine: Engine,
    own: Arc<Own>,
    homes: Arc<Homes>,
    /// Whoever adds a line tells it.
    told: Arc<Notify>,
}

/// Why there is no record of an incident yet.
enum NotYet {
    /// The log takes nothing now.
    Log,
    /// It can't be told what it is about, or it can't be written.
    This(String),
}

impl Chronicle {
    /// Follows the file of incidents of a data folder.
    #[must_use]
    pub fn new(data: PathBuf, engine: Engine, own: Arc<Own>, homes: Arc<Homes>, told: Arc<Notify>) -> Self {
        Self { data, engine, own, homes, told }
    }

    /// Writes what is to be written, now and whenever something is added, until it is to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut written: BTreeSet<u64> = BTreeSet::new();
        loop {
            let round = async {
                self.write_all(&mut written).await;
                tokio::select! {
                    () = self.told.notified() => {}
                    () = tokio::time::sleep(AGAIN) => {}
                }
            };
            tokio::select! {
                () = round => {}
                _ = stop.wait_for(|stops| *stops) => return,
            }
        }
    }

    async fn write_all(&self, written: &mut BTreeSet<u64>) {
        let data = self.data.clone();
        let read = cairn_listen::spawn_blocking(move || incidents::read(&data)).await;
        let all = match read {
            Ok(Ok(all)) => all,
            Ok(Err(error)) => return tracing::error!(%error, "the incidents can't be read"),
            Err(_) => return,
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut full: BTreeSet<&str> = BTreeSet::new();
        for incident in all.iter().filter(|incident| is_told_of(incident)) {
            let Some(name) = incident.log.as_deref() else { continue };
            let count = counts.entry(name).or_default();
            *count += 1;
            if *count > REPORTED_INCIDENTS || full.contains(name) || written.contains(&incident.number) {
                continue;
            }
            match self.write(name, incident).await {
                Ok(()) => {
                    written.insert(incident.number);
                }
                Err(NotYet::Log) => {
                    full.insert(name);
                }
                Err(NotYet::This(why)) => {
                    tracing::warn!(log = name, number = incident.number, why, "an incident is not on record yet");
                }
            }
        }
    }

    async fn write(&self, name: &str, incident: &Incident) -> Result<(), NotYet> {
        let Some(log) = self.engine.log(name) else { return Ok(()) };
        let (own_tenant, told) = (self.tenant_of(name), incident.clone());
        let reading = log.clone();
        let made = cairn_listen::spawn_blocking(move || record_of(&reading, own_tenant, &told)).await;
        let Some(record) = made.map_err(|error| NotYet::This(error.to_string()))?? else { return Ok(()) };
        match self.own.write(&log, record).await {
            Ok(_) | Err(OwnError::There(_)) => Ok(()),
            Err(error) => match error.append() {
                Some(AppendError::Sealed(_) | AppendError::LogFull) => Ok(()),
                Some(_) => Err(NotYet::Log),
                None => Err(NotYet::This(error.to_string())),
            },
        }
    }

    /// The tenant whose own log it is; else the log's own.
    fn tenant_of(&self, log: &str) -> String {
        let own = self.homes.list().into_iter().find(|(_, home)| matches!(home, Home::Own(other) if other == log));
        own.map_or_else(|| OWN_MODULE.to_owned(), |(tenant, _)| tenant)
    }
}

/// Whether there is to be a record of it.
fn is_told_of(incident: &Incident) -> bool {
    incident.event == EVENT || incident.event == "damage"
}

/// The record of an incident; none in a log that never was to have records.
fn record_of(log: &Log, own_tenant: String, incident: &Incident) -> Result<Option<OwnRecord>, NotYet> {
    let failed = |error: &dyn ToString| NotYet::This(error.to_string());
    if log.print_secret().map_err(|error| failed(&error))?.is_none() {
        return Ok(None);
    }
    let record = match incident.expected.as_deref().and_then(|digest| digest.parse::<Digest>().ok()) {
        Some(digest) if incident.event == EVENT => of_disclosure(log, own_tenant, incident, digest)?,
        _ => of_place(log, own_tenant, incident)?,
    };
    Ok(Some(record))
}

fn of_disclosure(log: &Log, own_tenant: String, told: &Incident, digest: Digest) -> Result<OwnRecord, NotYet> {
    let failed = |error: &dyn ToString| NotYet::This(error.to_string());
    let index = told.first.and_then(|first| LeafIndex::new(first).ok());
    let index = index.ok_or_else(|| failed(&"it names no record"))?;
    let entry = log.entry(&log.head(), index).map_err(|error| failed(&error))?;
    let entry = entry.ok_or_else(|| failed(&"it names no record"))?;
    let id = Header::decode(index, &entry).map_err(|error| failed(&error))?.id;
    let fault = IncidentFault::ALL.into_iter().find(|fault| fault.name() == told.found);
    let fault = fault.unwrap_or(IncidentFault::Changed);
    let tenant = log.tenant_at(index).map_err(|error| failed(&error))?.unwrap_or(own_tenant);
    let tenant = Name::new(tenant).map_err(|error| failed(&error))?;
    let (object, values) = incident(tenant, Concerned { id, index }, digest, fault).map_err(|error| failed(&error))?;
    Ok(OwnRecord::about(object, Some(values)).once(&[INCIDENT, "disclosure", &digest.to_string()]))
}

/// Of a leaf, a chain, or whatever else the log rests on.
fn of_place(log: &Log, own_tenant: String, told: &Incident) -> Result<OwnRecord, NotYet> {
    let failed = |error: &dyn ToString| NotYet::This(error.to_string());
    let tenant = Name::new(own_tenant).map_err(|error| failed(&error))?;
    let name = log.info().name.to_string();
    let object = own_object(tenant, ENTITY, name, INCIDENT).map_err(|error| failed(&error))?;
    let number = |number: u64| Json::parse(number.to_string().as_bytes()).map(Json::into_owned).ok();
    let mut members = vec![("part", Json::string(&told.kind)), ("event", Json::string(&told.event))];
    let numbers = [
        ("number", Some(told.number)),
        ("time_ms", Some(told.time_ms)),
        ("level", told.level.map(u64::from)),
        ("place", told.place),
        ("first", told.first),
        ("end", told.end),
    ];
    members.extend(numbers.into_iter().filter_map(|(name, value)| Some((name, number(value?)?))));
    let values = own_values(Class::Public, members).map_err(|error| failed(&error))?;
    let once = [INCIDENT, &told.event, &told.number.to_string(), &told.time_ms.to_string()];
    Ok(OwnRecord::about(object, Some(values)).once(&once))
}
