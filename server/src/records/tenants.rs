//! Which log has a tenant's records: `tenants.json` in the data directory names those that have a log of their own.
//!
//! Every other tenant is at home in the default log: the first that the database got, or what continues it. Not here: who
//! may see that.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::table::{Table, TableError};
use crate::auth::Tenants;
use crate::engine::{Engine, Log};
use crate::limits::TENANTS;

/// The file's name.
pub const FILE_NAME: &str = "tenants.json";
/// The most logs that continue one another and are followed.
const SUCCESSORS: usize = 64;

/// The logs of tenants.
pub struct Homes {
    table: Table<BTreeMap<String, String>>,
    /// Each tenant's log, by name.
    named: ArcSwap<BTreeMap<String, String>>,
    editing: Mutex<()>,
}

/// Why the logs of tenants can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HomesError {
    /// The file can't be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// There are as many as are supported.
    #[error("there are already {TENANTS} tenants with logs of their own")]
    TooMany,
}

impl Homes {
    /// Reads the file of a data directory; one that is not there names nobody.
    ///
    /// # Errors
    /// [`HomesError`].
    pub fn open(data: &Path) -> Result<Self, HomesError> {
        let table = Table::of(data, FILE_NAME);
        let named = ArcSwap::from_pointee(table.read()?);
        Ok(Self { table, named, editing: Mutex::new(()) })
    }

    /// The name of a tenant's own log, if it has one.
    #[must_use]
    pub fn own(&self, tenant: &str) -> Option<String> {
        self.named.load().get(tenant).cloned()
    }

    /// Each tenant that has a log of its own, with its name.
    #[must_use]
    pub fn list(&self) -> Vec<(String, String)> {
        self.named.load().iter().map(|(tenant, log)| (tenant.clone(), log.clone())).collect()
    }

    /// Gives a tenant a log of its own, durably, and from then on.
    ///
    /// # Errors
    /// [`HomesError`]; then nothing has changed.
    pub fn add(&self, tenant: String, log: String) -> Result<(), HomesError> {
        let _one_at_a_time = self.editing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tenants = BTreeMap::clone(&self.named.load());
        if tenants.len() >= TENANTS {
            return Err(HomesError::TooMany);
        }
        tenants.insert(tenant, log);
        self.table.replace(&tenants)?;
        self.named.store(tenants.into());
        Ok(())
    }

    /// The log that has the records of a tenant; none in a database without logs.
    #[must_use]
    pub fn of(&self, engine: &Engine, tenant: &str) -> Option<Log> {
        let logs = engine.logs();
        let log = match self.own(tenant) {
            Some(name) => logs.iter().find(|log| *log.info().name == *name)?,
            None => logs.iter().min_by_key(|log| log.info().id)?,
        };
        Some(last(&logs, log).clone())
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

/// The log that continues this one, or the one that continues that.
fn last<'l>(logs: &'l [Log], mut log: &'l Log) -> &'l Log {
    for _ in 0..SUCCESSORS {
        let Some(successor) = log.successor() else { break };
        let Some(next) = logs.iter().find(|log| log.info().origin == successor.origin) else { break };
        log = next;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_keep_their_logs_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let homes = Homes::open(folder.path()).unwrap();
        assert_eq!((homes.own("pb"), homes.list()), (None, vec![]));
        homes.add("pb".into(), "pb".into()).unwrap();
        homes.add("Größe".into(), "other".into()).unwrap();
        let again = Homes::open(folder.path()).unwrap();
        assert_eq!((again.own("pb"), again.own("Größe")), (Some("pb".into()), Some("other".into())));
        assert_eq!(again.list(), homes.list());
        std::fs::write(folder.path().join(FILE_NAME), b"{\"format\":2,\"tenants\":{}}").unwrap();
        assert!(matches!(Homes::open(folder.path()), Err(HomesError::Table(TableError::Damaged { .. }))));
    }
}
