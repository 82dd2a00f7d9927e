//! The logs of a database, by name and by id: what handlers and the writer look them up in.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use cairn_tree::store::LogId;
use tokio::sync::watch;

use super::head::Shared;
use crate::log_name::LogName;

/// All logs; grows when one is made, never shrinks.
#[derive(Default)]
pub(super) struct Registry {
    logs: RwLock<BTreeMap<LogName, Arc<Shared>>>,
    /// Counts changes, of policies too.
    changes: watch::Sender<u64>,
}

impl Registry {
    pub(super) fn get(&self, name: &str) -> Option<Arc<Shared>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn by_id(&self, id: LogId) -> Option<Arc<Shared>> {
        self.all().into_iter().find(|log| log.info.id == id)
    }

    /// In order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn insert(&self, log: Arc<Shared>) {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        logs.insert(log.info.name.clone(), log);
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
