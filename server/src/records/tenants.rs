//! Which log has a tenant's records: `tenants.json` in the data directory names those that have a log of their own.
//!
//! Every other tenant is at home in the default log: the first that the database got, or what continues it. One whose streams
//! are about to go on in a log of its own is read where they were, and nobody brings records of it until all are linked
//! (`crate::admin`). Not here: who may see that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwap;
use cairn_tree::store::LogId;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard, OwnedRwLockReadGuard, RwLock, RwLockWriteGuard};

use super::table::{Table, TableError};
use crate::auth::Tenants;
use crate::engine::{Engine, Log, ReadError};
use crate::limits::TENANTS;

/// The file's name.
pub const FILE_NAME: &str = "tenants.json";

/// The logs of tenants.
pub struct Homes {
    table: Table<BTreeMap<String, Home>>,
    named: ArcSwap<BTreeMap<String, Home>>,
    /// Shared by requests from when they have looked for their log until it has their records; alone, nobody is on his way.
    door: Arc<RwLock<()>>,
    turns: Mutex<()>,
    /// Whether logs that tenants with a log of their own had before have records of them: that never changes.
    held: std::sync::Mutex<HashMap<(LogId, String), bool>>,
    /// Earlier logs of which something can't be read, as was said.
    unreadable: std::sync::Mutex<BTreeSet<LogId>>,
}

/// Where a tenant that is not at home in the default log is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Home {
    /// In the log of this name, its own.
    Own(String),
    /// On its way from one to the other.
    Moving(Move),
}

/// The way from the log that has a tenant's streams to the one where they are to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The name of the log that has them.
    pub from: String,
    /// The name of the log where they go on.
    pub to: String,
}

/// That its holder is on his way to a log.
pub type Admission = OwnedRwLockReadGuard<()>;

/// Why the logs of tenants can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HomesError {
    /// The file can't be read or written.
    #[error(transparent)]
    Table(TableError),
    /// It is not what this program wrote.
    #[error(
        "{0}; put it back, from the newest backup for one (if you changed it yourself, see Small files in docs/operations.md)"
    )]
    Damaged(TableError),
    /// There are as many as are supported.
    #[error("there are already {TENANTS} tenants with logs of their own")]
    TooMany,
}

impl From<TableError> for HomesError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Damaged { .. } => Self::Damaged(error),
            error => Self::Table(error),
        }
    }
}

impl Homes {
    /// Reads the file of a data directory; one that is not there names nobody.
    ///
    /// # Errors
    /// [`HomesError`].
    pub fn open(data: &Path) -> Result<Self, HomesError> {
        let table = Table::of(data, FILE_NAME);
        let named = ArcSwap::from_pointee(table.read()?);
        let (held, unreadable) = Default::default();
        Ok(Self { table, named, door: Arc::default(), turns: Mutex::new(()), held, unreadable })
    }

    /// Whether the file of a data directory can be read, if there is one.
    ///
    /// # Errors
    /// [`HomesError`].
    pub fn check(data: &Path) -> Result<(), HomesError> {
        Self::open(data).map(drop)
    }

    /// Gives a file of an earlier version its digest, once it is known to fit the logs.
    ///
    /// # Errors
    /// [`HomesError`].
    pub fn add_sum(&self) -> Result<(), HomesError> {
        Ok(self.table.add_sum()?)
    }

    /// A log that was to have records, and is nobody's: the file that says whose they are is gone, or an older one. Served
    /// like that, they would be found by nobody, and their streams begun anew in the default log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn stray(&self, engine: &Engine) -> Result<Option<Log>, ReadError> {
        let logs = engine.logs();
        let named = self.list().into_iter().flat_map(|(_, home)| match home {
            Home::Own(log) => vec![log],
            Home::Moving(way) => vec![way.from, way.to],
        });
        let named: Vec<String> = named.collect();
        let default = logs.iter().min_by_key(|log| log.info().id);
        let firsts = logs.iter().filter(|log| named.iter().any(|name| *log.info().name == **name)).chain(default);
        let known: BTreeSet<LogId> = firsts.flat_map(|first| chain(&logs, first)).map(|log| log.info().id).collect();
        for log in logs.iter().filter(|log| !known.contains(&log.info().id)) {
            if log.was_to_have_records()? {
                return Ok(Some(log.clone()));
            }
        }
        Ok(None)
    }

    /// The name of a tenant's own log, if it has one.
    #[must_use]
    pub fn own(&self, tenant: &str) -> Option<String> {
        match self.named.load().get(tenant) {
            Some(Home::Own(log)) => Some(log.clone()),
            _ => None,
        }
    }

    /// The way that a tenant is on, if it is.
    #[must_use]
    pub fn moving(&self, tenant: &str) -> Option<Move> {
        match self.named.load().get(tenant) {
            Some(Home::Moving(way)) => Some(way.clone()),
            _ => None,
        }
    }

    /// Each tenant that is not at home in the default log, or will not be.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Home)> {
        self.named.load().iter().map(|(tenant, home)| (tenant.clone(), home.clone())).collect()
    }

    /// Lets a request look for its log; it is let go of when the log has the records.
    pub async fn admit(&self) -> Admission {
        Arc::clone(&self.door).read_owned().await
    }

    /// Lets one tenant after another be given a home.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().await
    }

    /// Waits until nobody is on his way to a log, and lets nobody look for one until it is let go of.
    pub async fn close(&self) -> RwLockWriteGuard<'_, ()> {
        self.door.write().await
    }

    /// Gives a tenant a home, durably, and from then on. Whoever asks has the [`turn`](Self::turn).
    ///
    /// # Errors
    /// [`HomesError`]; then nothing has changed.
    pub fn set(&self, tenant: String, home: Home) -> Result<(), HomesError> {
        let mut tenants = BTreeMap::clone(&self.named.load());
        if tenants.len() >= TENANTS && !tenants.contains_key(&tenant) {
            return Err(HomesError::TooMany);
        }
        tenants.insert(tenant, home);
        self.table.replace(&tenants)?;
        self.named.store(tenants.into());
        Ok(())
    }

    /// The logs that may have records of a tenant: the one that they go to first, then those that it continues, and the
    /// default one with those before it, where they may have been before.
    #[must_use]
    pub fn each_of(&self, engine: &Engine, tenant: &str) -> Vec<Log> {
        let logs = engine.logs();
        // Nobody is called so: the default log.
        let mut firsts: Vec<&Log> = [tenant, ""].into_iter().filter_map(|tenant| self.first(&logs, tenant)).collect();
        // Most often both are the default one: its logs are followed once.
        firsts.dedup_by_key(|log| log.info().id);
        let mut known = HashSet::new();
        let each = firsts.into_iter().flat_map(|first| chain(&logs, first).into_iter().rev());
        each.filter(|log| known.insert(log.info().id)).cloned().collect()
    }

    /// The logs that may have records of all these tenants and get none of them any more, the newest first, where their
    /// records go to this log; if they go to several, those that may have records of all.
    #[must_use]
    pub fn before(&self, engine: &Engine, tenants: &[String], log: Option<&Log>) -> Vec<Log> {
        let is_first = log.is_some_and(|log| log.predecessor().is_none());
        let Some((tenant, others)) = tenants.split_first() else { return Vec::new() };
        if is_first && tenants.iter().all(|tenant| self.own(tenant).is_none()) {
            return Vec::new();
        }
        let same = |one: &Log, other: &Log| one.info().id == other.info().id;
        let mut logs = self.each_of(engine, tenant);
        logs.retain(|other| {
            log.is_none_or(|log| !same(log, other))
                && tenants.iter().any(|tenant| self.held(other, tenant) != Some(false))
        });
        for tenant in others {
            let each = self.each_of(engine, tenant);
            logs.retain(|log| each.iter().any(|other| same(log, other)));
        }
        logs
    }

    /// Whether a log has records of this tenant alone: it is the tenant's own, or continues that.
    #[must_use]
    pub fn is_alone(&self, engine: &Engine, tenant: &str, log: &Log) -> bool {
        let logs = engine.logs();
        let first = self.own(tenant).and_then(|_| self.first(&logs, tenant));
        first.is_some_and(|first| chain(&logs, first).iter().any(|other| other.info().id == log.info().id))
    }

    /// Whether a log that a tenant's records go to no more has some, if that is known.
    #[must_use]
    pub fn held(&self, log: &Log, tenant: &str) -> Option<bool> {
        // The names of other tenants are as many as callers think of.
        self.own(tenant)?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&(log.info().id, tenant.to_owned())).copied()
    }

    /// Remembers that for a tenant that has a log of its own.
    pub fn set_held(&self, log: &Log, tenant: &str, held: bool) {
        if self.own(tenant).is_some() {
            let mut known = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert((log.info().id, tenant.to_owned()), held);
        }
    }

    /// Remembers that something of a log can't be read; whether that is new.
    pub(super) fn note_unreadable(&self, log: &Log) -> bool {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(log.info().id)
    }

    /// The log that has the records of a tenant; none in a database without logs.
    #[must_use]
    pub fn of(&self, engine: &Engine, tenant: &str) -> Option<Log> {
        let logs = engine.logs();
        chain(&logs, self.first(&logs, tenant)?).pop().cloned()
    }

    /// The log that a tenant's records went to before any other continued it.
    fn first<'l>(&self, logs: &'l [Log], tenant: &str) -> Option<&'l Log> {
        match self.own(tenant) {
            Some(name) => logs.iter().find(|log| *log.info().name == *name),
            None => logs.iter().min_by_key(|log| log.info().id),
        }
    }

    /// The log of this name or origin, if it may have records of a tenant; without one, the log that they go to.
    #[must_use]
    pub fn named_or_of(&self, engine: &Engine, tenant: &str, named: Option<&str>) -> Option<Log> {
        let Some(named) = named else { return self.of(engine, tenant) };
        let is_it = |log: &Log| *log.info().name == *named || *log.info().origin == *named;
        self.each_of(engine, tenant).into_iter().find(is_it)
    }

    /// The logs that may have records of any of these tenants, those that were continued behind those that continue them.
    #[must_use]
    pub fn each_of_any(&self, engine: &Engine, tenants: &Tenants) -> Vec<Log> {
        let newest = self.of_any(engine, tenants);
        let logs = engine.logs();
        newest.iter().chain(leading_to(&logs, &newest)).cloned().collect()
    }

    /// The logs that have the records of any of these tenants.
    #[must_use]
    pub fn of_any(&self, engine: &Engine, tenants: &Tenants) -> Vec<Log> {
        if tenants.is_none() {
            return Vec::new();
        }
        let own = self.list().into_iter().map(|(tenant, _)| tenant).filter(|tenant| tenants.matches(tenant));
        // Nobody is called so: the default log.
        let mut logs: Vec<Log> = own.chain([String::new()]).filter_map(|tenant| self.of(engine, &tenant)).collect();
        logs.sort_by_key(|log| log.info().id);
        logs.dedup_by_key(|log| log.info().id);
        logs
    }
}

/// This log, the one that continues it, and so on.
fn chain<'l>(logs: &'l [Log], first: &'l Log) -> Vec<&'l Log> {
    let Some(mut next) = log_after(first) else { return vec![first] };
    let of_origin: HashMap<&str, &'l Log> = logs.iter().map(|log| (log.info().origin.as_str(), log)).collect();
    let mut chain = vec![first];
    // However often logs are rotated; in a circle, which there never is, each of them would come once.
    while let Some(log) = of_origin.get(&*next).filter(|_| chain.len() < logs.len()) {
        chain.push(*log);
        let Some(after) = log_after(log) else { break };
        next = after;
    }
    chain
}

/// The logs that these continue, and that those continue, and so on.
fn leading_to<'l>(logs: &'l [Log], newest: &'l [Log]) -> Vec<&'l Log> {
    let mut before: HashMap<String, Vec<&'l Log>> = HashMap::new();
    for log in logs {
        if let Some(after) = log_after(log) {
            before.entry(after).or_default().push(log);
        }
    }
    let (mut found, mut ends): (Vec<&'l Log>, Vec<&'l Log>) = (Vec::new(), newest.iter().collect());
    while let Some(end) = ends.pop() {
        for log in before.remove(end.info().origin.as_str()).unwrap_or_default() {
            found.push(log);
            ends.push(log);
        }
    }
    found
}

/// The origin of the log that continues this one.
fn log_after(log: &Log) -> Option<String> {
    log.successor().map(|successor| successor.origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_keep_their_logs_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        // As it is written without a tenant on its way.
        let text = r#"{"format":1,"tenants":{"pb":"pb"}}"#;
        std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
        let homes = Homes::open(folder.path()).unwrap();
        assert_eq!((homes.own("pb"), homes.own("ka")), (Some("pb".into()), None));
        homes.set("Größe".into(), Home::Own("other".into())).unwrap();
        let way = Move { from: "main".into(), to: "ka".into() };
        homes.set("ka".into(), Home::Moving(way.clone())).unwrap();
        let again = Homes::open(folder.path()).unwrap();
        assert_eq!((again.own("pb"), again.own("Größe")), (Some("pb".into()), Some("other".into())));
        assert_eq!((again.own("ka"), again.moving("ka")), (None, Some(way)));
        assert_eq!(again.list(), homes.list());
        homes.set("ka".into(), Home::Own("ka".into())).unwrap();
        assert_eq!((homes.own("ka"), homes.moving("ka")), (Some("ka".into()), None));
        for text in [r#"{"format":2,"tenants":{}}"#, r#"{"format":1,"tenants":{"pb":{"from":"a","to":"b","by":"c"}}}"#]
        {
            std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
            assert!(matches!(Homes::open(folder.path()), Err(HomesError::Damaged(_))));
        }
    }

    #[tokio::test]
    async fn the_door_closes_when_nobody_is_on_his_way() {
        let folder = tempfile::tempdir().unwrap();
        let homes = Arc::new(Homes::open(folder.path()).unwrap());
        let (one, other) = (homes.admit().await, homes.admit().await);
        let closing = tokio::spawn({
            let homes = Arc::clone(&homes);
            async move { drop(homes.close().await) }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!closing.is_finished());
        drop(other);
        closing.await.unwrap();
        drop(homes.admit().await);
    }
}
