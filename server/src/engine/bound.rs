//! The keys that are bound to a database's logs, for who moves them: read without opening any log or signing anything.

use cairn_rocks::RocksStore;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;

use super::EngineOptions;
use super::keyring::KeyRingError;
use super::keys::KeyFile;
use super::layout::KeyStatus;
use super::open::{OpenError, compare_commits, open_store, read_bindings, read_database, read_head};
use crate::high_water::{HighWater, Mark};

/// All bound keys of a database. No server can open it as long as this lives.
pub struct BoundKeys {
    /// The logs, in order of their ids.
    pub logs: Vec<BoundLog>,
    _lock: RocksStore,
}

/// One log.
pub struct BoundLog {
    /// Its name within the server.
    pub name: String,
    /// Its origin.
    pub origin: Origin,
    /// Its keys, oldest first.
    pub keys: Vec<BoundKey>,
    /// The last head that was released: anything larger that its keys signed, nobody has seen.
    pub last: Mark,
}

/// One key of a log.
pub struct BoundKey {
    /// The key.
    pub key: VerifierKey,
    /// Whether it signs.
    pub active: bool,
    /// The name of its files.
    pub file: KeyFile,
}

/// Reads the keys of a database that no server has open.
///
/// # Errors
/// [`OpenError`].
pub fn bound_keys(options: &EngineOptions) -> Result<BoundKeys, OpenError> {
    let store = open_store(options)?;
    let database = read_database(&store, options.data.clone())?;
    let (_, marks) = HighWater::open(&options.high_water_path(), database.id)?;
    compare_commits(&database, &marks)?;
    let mut logs = Vec::new();
    for (id, binding) in read_bindings(&store, &database)? {
        let name = binding.name.to_string();
        let broken = |problem: String| KeyRingError::Binding { log: name.clone(), problem };
        let mut keys = Vec::new();
        for (position, entry) in binding.keys.iter().enumerate() {
            let key: VerifierKey = entry.vkey.parse().map_err(|error| {
                let error: cairn_tree::note::VerifierKeyError = error;
                broken(error.to_string())
            })?;
            let file = KeyFile::of(&binding.name, position, &key);
            keys.push(BoundKey { key, active: entry.status == KeyStatus::Active, file });
        }
        let origin = Origin::new(binding.origin.clone()).map_err(|error| broken(error.to_string()))?;
        let row = read_head(&store, id, &name)?;
        let last = match marks.get(id) {
            Some(mark) => mark,
            // Made, but the server ended before its empty head was marked: nobody has seen it.
            None if row.size == TreeSize::ZERO => Mark { size: row.size, root: Hash::EMPTY_TREE, time_ms: row.time_ms },
            None => return Err(OpenError::NoMark(name)),
        };
        logs.push(BoundLog { name, origin, keys, last });
    }
    Ok(BoundKeys { logs, _lock: store })
}
