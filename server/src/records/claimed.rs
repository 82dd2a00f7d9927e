//! Whether the logs that `tenants.json` gives to tenants are there, and have records of those tenants: what can be told
//! from the logs without reading them whole.
//!
//! A tenant's log is made for it alone. So one that has records, none of them of its tenant and one of the first of
//! another's, was given to somebody else: served like that, that one would not find its records. Where an index is being
//! built, or a record can't be read, nothing is said. Not here: logs that are nobody's (`Homes::stray`).

use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::size::LeafIndex;

use super::excuse::verified;
use super::tenants::{Home, Homes};
use crate::engine::postings::{Facet, Print};
use crate::engine::{Engine, Log};
use crate::limits::LIST_BYTES;

/// Records of a log that are looked at.
const FIRST: u64 = 64;

/// What the file says that the logs do not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// There is no such log.
    #[error("tenants.json gives the tenant {tenant:?} a log {log}, and there is none")]
    NoLog {
        /// The tenant.
        tenant: String,
        /// The log's name.
        log: String,
    },
    /// It is another's.
    #[error("tenants.json gives the log {log} to the tenant {tenant:?}, but its records are of {other:?}")]
    Anothers {
        /// The tenant.
        tenant: String,
        /// The log's name.
        log: String,
        /// Whose records it has.
        other: String,
    },
}

impl Homes {
    /// The first tenant whose log can't be its own, if there is one.
    #[must_use]
    pub fn misplaced(&self, engine: &Engine) -> Option<Misplaced> {
        self.list().into_iter().find_map(|(tenant, home)| {
            let (named, own) = match home {
                Home::Own(log) => (vec![log.clone()], Some(log)),
                Home::Moving(way) => (vec![way.from, way.to], None),
            };
            if let Some(log) = named.into_iter().find(|name| engine.log(name).is_none()) {
                return Some(Misplaced::NoLog { tenant, log });
            }
            let log = engine.log(&own?)?;
            let other = other_tenant(&log, &tenant)?;
            Some(Misplaced::Anothers { tenant, log: log.info().name.to_string(), other })
        })
    }
}

/// Whose records a log has, if it has none of this tenant.
fn other_tenant(log: &Log, tenant: &str) -> Option<String> {
    let prints = log.print_secret().ok()??;
    let of_tenant = Print::new(&prints, Facet::Tenant, &[tenant]);
    if !log.oldest_records(of_tenant, LeafIndex::ZERO, 1).ok()?.is_empty() {
        return None;
    }
    let head = log.head();
    let first: Vec<LeafIndex> =
        (0..FIRST.min(head.size.get())).filter_map(|index| LeafIndex::new(index).ok()).collect();
    let stored = log.stored_records(&head, &first, LIST_BYTES).ok()?;
    stored.into_iter().find_map(|stored| {
        let record = verified(log, &head, stored.ok()?).ok()?.into_record();
        let object = record.content().object.disclosed()?;
        // What the server writes about itself stands in any log.
        let other = object.tenant.as_str();
        (other != OWN_MODULE && other != tenant).then(|| other.to_owned())
    })
}
