//! What was promised for an idempotency key, as the store has it: for logs that the records of whoever asks go to no more,
//! so that nothing of it is on its way. Where it may be, the writer is asked (`append`).

use cairn_tree::hash::Hash;

use super::{Promised, Recorded};
use crate::engine::idempotency;
use crate::engine::stored::ReadError;
use crate::engine::{IdempotencyKey, Log};

impl Log {
    /// The records that came with an idempotency key which has not expired at this time. What the key is bound to is asked
    /// for only if there are some: where many logs are looked into, most have none.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn promised(
        &self,
        key: &IdempotencyKey,
        now_ms: u64,
        bound: impl FnOnce() -> [u8; 32],
    ) -> Result<Option<Promised>, ReadError> {
        let key = idempotency::row_key(self.shared.info.id, key);
        let row = self.running.reader.store.get(&key)?;
        let Some(promise) = idempotency::decode(row.as_deref(), now_ms)? else { return Ok(None) };
        let head = self.head();
        // The log was halted before it released them: they are none.
        if !promise.placement.indexes().all(|index| head.size.contains(index)) {
            return Ok(None);
        }
        if promise.leaves != Hash::new(bound()) {
            return Ok(Some(Promised::OtherBody));
        }
        let records = promise.placement.indexes().map(|index| self.sequenced(&head, index));
        let records = records.collect::<Result<_, _>>()?;
        Ok(Some(Promised::Records(Recorded { records, head, replayed: true })))
    }
}
