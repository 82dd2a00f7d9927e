//! A batch: the puts and deletes of one commit.

use std::collections::BTreeSet;

use super::Key;

/// The rows that one commit writes and removes. A key stands in it at most once.
#[derive(Debug, Default)]
pub struct Batch {
    puts: Vec<(Key, Vec<u8>)>,
    deletes: Vec<Key>,
}

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// One key was put or deleted twice, so that the outcome would hang on the order.
    #[error("a key stands twice in one batch")]
    Twice(Key),
}

impl Batch {
    /// A batch that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `value` under `key`, over whatever was there.
    pub fn put(&mut self, key: Key, value: Vec<u8>) {
        self.puts.push((key, value));
    }

    /// Removes `key`; a key that is not there is no error.
    pub fn delete(&mut self, key: Key) {
        self.deletes.push(key);
    }

    /// The rows to write.
    #[must_use]
    pub fn puts(&self) -> &[(Key, Vec<u8>)] {
        &self.puts
    }

    /// The keys to remove.
    #[must_use]
    pub fn deletes(&self) -> &[Key] {
        &self.deletes
    }

    /// Whether the batch changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// The rows to write and the keys to remove, without copying them.
    #[must_use]
    pub fn into_parts(self) -> (Vec<(Key, Vec<u8>)>, Vec<Key>) {
        (self.puts, self.deletes)
    }

    /// Checks that no key stands in the batch twice.
    ///
    /// # Errors
    /// [`BatchError::Twice`] with the first such key.
    pub fn check(&self) -> Result<(), BatchError> {
        let mut seen = BTreeSet::new();
        let keys = self.puts.iter().map(|(key, _)| key).chain(&self.deletes);
        for key in keys {
            if !seen.insert(key) {
                return Err(BatchError::Twice(key.clone()));
            }
        }
        Ok(())
    }
}
