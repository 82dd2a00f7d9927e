//! What an operator asks about the life of a log: its keys, and its end.

use super::operator::{Operator, line, new_key};
use super::{KeyLine, KeysLine, LogLine, Reply};
use crate::engine::{KeyStatus, Log, Terms};
use crate::log_name::LogName;
use crate::signer::KeyType;

impl Operator {
    /// Adds a key of this type.
    pub(super) async fn rotate_key(&self, name: &str, kind: KeyType) -> Result<Reply, String> {
        let log = self.log(name)?;
        let new = new_key(&log.info().origin, kind)?;
        self.engine.rotate_key(name, new).await.map_err(|error| error.to_string())?;
        Ok(Reply::Keys(keys(&log)))
    }

    /// Retires the oldest key of this type.
    pub(super) async fn retire_key(&self, name: &str, kind: KeyType) -> Result<Reply, String> {
        let log = self.log(name)?;
        self.engine.retire_key(name, kind).await.map_err(|error| error.to_string())?;
        Ok(Reply::Keys(keys(&log)))
    }

    pub(super) fn keys(&self, name: &str) -> Result<Reply, String> {
        Ok(Reply::Keys(keys(&self.log(name)?)))
    }

    /// Ends a log and lets another go on, which is made like it unless it is there.
    pub(super) async fn seal(&self, name: &str, successor: String) -> Result<Reply, String> {
        let old = self.log(name)?;
        let successor = LogName::new(successor).map_err(|error| error.to_string())?;
        let there = self.engine.log(&successor).map(|log| log.info().origin.clone());
        let origin = there.unwrap_or_else(|| self.origin_prefix.origin(&successor));
        // As many keys as the old log has, of the same types.
        let types = old.vkeys().into_iter().filter_map(|key| key.parse().ok()).map(|key| KeyType::of(&key));
        let mut kinds: Vec<KeyType> = Vec::new();
        types.for_each(|kind| {
            if !kinds.contains(&kind) {
                kinds.push(kind)
            }
        });
        let keys = kinds.into_iter().map(|kind| new_key(&origin, kind)).collect::<Result<_, _>>()?;
        let info = old.info();
        let terms = Terms {
            name: successor.clone(),
            origin,
            private: info.private,
            open_append: info.open_append,
            dedup: info.dedup,
            hash_index: info.hash_index,
        };
        self.engine.seal(name, terms, keys).await.map_err(|error| error.to_string())?;
        let lines: Vec<LogLine> = vec![line(&old), line(&self.log(&successor)?)];
        Ok(Reply::Logs(lines))
    }
}

fn keys(log: &Log) -> KeysLine {
    let key = |key: crate::engine::KeyEntry| {
        let status = match key.status {
            KeyStatus::Active => "active",
            KeyStatus::Retired => "retired",
        };
        KeyLine { vkey: key.vkey, status: status.to_owned(), first_size: key.first_size }
    };
    KeysLine { log: log.info().name.to_string(), keys: log.keys().into_iter().map(key).collect() }
}
