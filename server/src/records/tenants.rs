//! Which log has a tenant's records.
//!
//! A tenant that has no log of its own is at home in the default log: the first that the database got, or what continues
//! it. Not here: who may see that.

use crate::auth::Tenants;
use crate::engine::{Engine, Log};

/// The most logs that continue one another and are followed.
const SUCCESSORS: usize = 64;

/// The log that has the records of a tenant; none in a database without logs.
#[must_use]
pub fn home(engine: &Engine, _tenant: &str) -> Option<Log> {
    let logs = engine.logs();
    let mut log = logs.iter().min_by_key(|log| log.info().id)?;
    for _ in 0..SUCCESSORS {
        let Some(successor) = log.successor() else { break };
        let Some(next) = logs.iter().find(|log| log.info().origin == successor.origin) else { break };
        log = next;
    }
    Some(log.clone())
}

/// The logs that have the records of any of these tenants.
#[must_use]
pub fn homes(engine: &Engine, tenants: &Tenants) -> Vec<Log> {
    if tenants.is_none() { Vec::new() } else { home(engine, "").into_iter().collect() }
}
