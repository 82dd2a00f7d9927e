//! What was promised for an idempotency key: the same indexes for the same entries, until it expires.
//!
//! A key's row is written in the batch that writes its entries, so that a retry is exact after any crash. A second row,
//! ordered by time, lets the sweep find what has expired without reading every key.

use std::collections::BTreeSet;

use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store};

use super::append::IdempotencyKey;
use super::bounds::SWEEP_ROWS;
use super::layout::IdempotencyRow;
use super::stored::ReadError;

/// The bytes of a digest.
const DIGEST: usize = 32;
/// The bytes of a time and a digest.
const TIMED: usize = 8 + DIGEST;

/// The key of the row of an idempotency key.
pub(super) fn row_key(log: LogId, key: &IdempotencyKey) -> Key {
    Key::suffixed(log, Kind::Idempotency, key.digest())
}

/// The key of the row that remembers when it expires.
pub(super) fn expiry_key(log: LogId, key: &IdempotencyKey, expires_ms: u64) -> Key {
    timed(log, key.digest(), expires_ms)
}

/// The same, from the key of the row of an idempotency key; `None` if it is none.
pub(super) fn expiry_of(row: &Key, expires_ms: u64) -> Option<Key> {
    Some(timed(row.log(), row.suffix().try_into().ok()?, expires_ms))
}

fn timed(log: LogId, of: &[u8; DIGEST], expires_ms: u64) -> Key {
    let mut suffix = [0; TIMED];
    let (time, digest) = suffix.split_at_mut(TIMED - DIGEST);
    time.copy_from_slice(&expires_ms.to_be_bytes());
    digest.copy_from_slice(of);
    Key::suffixed(log, Kind::Expiry, &suffix)
}

/// Reads the row of an idempotency key, unless it has expired.
pub(super) fn decode(row: Option<&[u8]>, now_ms: u64) -> Result<Option<IdempotencyRow>, ReadError> {
    let Some(row) = row else { return Ok(None) };
    let row = IdempotencyRow::decode(row)?;
    Ok((row.expires_ms > now_ms).then_some(row))
}

/// What a sweep of one log found.
pub(super) struct Expired {
    /// The rows that may be deleted.
    pub(super) rows: Vec<Key>,
    /// Whether there may be more.
    pub(super) more: bool,
}

/// The rows of `log` that may be deleted at `now_ms`, at most one sweep's worth.
///
/// A key that was used anew after it expired has a newer expiry; then only the old time's row is deleted. So it is where
/// the key's row is damaged.
pub(super) fn expired(store: &dyn Store, log: LogId, now_ms: u64) -> Result<Expired, ReadError> {
    let old = KeyRange::numbers(log, Kind::Expiry, 0..now_ms);
    let times: Vec<Key> = store.scan(&old, SWEEP_ROWS)?.into_iter().map(|(expiry, _)| expiry).collect();
    let digest = |expiry: &Key| expiry.suffix().last_chunk::<DIGEST>().copied().unwrap_or_default();
    // A key that expired, was used anew and expired again stands here twice, and is to be deleted once.
    let keys: BTreeSet<Key> =
        times.iter().map(|expiry| Key::suffixed(log, Kind::Idempotency, &digest(expiry))).collect();
    let keys: Vec<Key> = keys.into_iter().collect();
    let found = store.get_many(&keys)?;
    let more = times.len() == SWEEP_ROWS;
    let forgotten = keys.into_iter().zip(found).filter(|(_, row)| matches!(decode(row.as_deref(), now_ms), Ok(None)));
    let rows = times.into_iter().chain(forgotten.map(|(key, _)| key)).collect();
    Ok(Expired { rows, more })
}
