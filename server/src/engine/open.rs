//! Opening a database: what it holds is compared with what was released, then brought to where it would be had it never
//! stopped.
//!
//! Recovery is the normal path: entries past the last released head are re-hashed onto it, signed and marked, exactly as
//! after a commit. What contradicts the high-water is refused, with what to do about it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cairn_rocks::{DatabaseLock, RocksStore};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{Key, KeyRange, Kind, LogId, Store, StoreError};

use super::EngineOptions;
use super::bounds::{COMMIT_ENTRIES, OPENING_TILES, UNRELEASED_COMMITS};
use super::growing::edge_tiles;
use super::head::{Head, LogInfo, Shared, Standing};
use super::index::HashIndex;
use super::keyring::{KeyRing, KeyRingError};
use super::layout::{BindingRow, CheckpointRow, Checkpointed, DatabaseRow, HeadRow, LogState, PolicyRow, RowError};
use super::mend::{SwapError, settle};
use super::published::Publishing;
use super::reader::Reader;
use super::records::{check_unreleased, print_row};
use super::registry::Registry;
use super::replay::replay;
use super::scrub::Place;
use super::sign::sign_head;
use super::stored::{ReadError, Stored, WIDTH};
use crate::high_water::{Decided, HighWater, HighWaterError, Mark, Marks, PolicyMark};
use crate::signer::SignerError;

/// Why a database is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine refused: missing, locked, damaged.
    #[error(transparent)]
    Engine(#[from] cairn_rocks::OpenError),
    /// A repair was decided, and could not be finished.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The high-water file is missing, damaged or foreign.
    #[error(transparent)]
    HighWater(#[from] HighWaterError),
    /// A read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row is damaged.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A log's key is missing, damaged, another one, or can't be asked for.
    #[error(transparent)]
    Keys(#[from] KeyRingError),
    /// The files in the folder are no database of this program, or only half of one.
    #[error("{} holds a database that was never finished; remove it and run init again", .0.display())]
    Unfinished(PathBuf),
    /// Two logs would sign with one key or under one origin.
    #[error("logs {0} and {1} share a key or an origin; every log has its own")]
    SharedKey(String, String),
    /// The database lacks what was released: an old copy, or a lost tail.
    #[error(
        "the database is behind: {what} is at {found}, but {released} was released. It is an older copy, or its tail was \
         lost. Starting it would contradict heads that others hold: restore the newest copy"
    )]
    Behind {
        /// The log or the database.
        what: String,
        /// Where it is.
        found: String,
        /// Where it was.
        released: String,
    },
    /// The high-water file lacks what the database knows was released.
    #[error(
        "the high-water file is older than the database: its last commit is {found}, but {released} was released. It is \
         an older copy, or its tail was lost; restore the one that belongs to this database"
    )]
    OlderHighWater {
        /// Its last commit.
        found: u64,
        /// The commit that it must have.
        released: u64,
    },
    /// The database has other entries than those that were released.
    #[error(
        "log {log} was changed: its root at size {size} is {found}, but {released} was released. Restore a sound copy; \
         fsck names the first bad place"
    )]
    Changed {
        /// The log's name.
        log: String,
        /// The size of the released head.
        size: TreeSize,
        /// The root now.
        found: Hash,
        /// The root then.
        released: Hash,
    },
    /// The high-water file knows nothing of a log that has entries.
    #[error(
        "log {0} has entries, but the high-water file has no record of it; restore the file that belongs to this database"
    )]
    NoMark(String),
    /// The first checkpoint after opening is not signed.
    #[error("log {log}: {error}")]
    Sign {
        /// The log's name.
        log: String,
        /// Why not.
        error: SignerError,
    },
    /// What went wrong before can't be read.
    #[error("the incidents (incidents.jsonl) can't be read: {0}")]
    Incidents(std::io::Error),
    /// A thread can't be started.
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Read(error.into())
    }
}

/// What opening found, before the writer exists.
pub(super) struct Opened {
    pub(super) database: DatabaseRow,
    pub(super) registry: Registry,
    /// Tiles that may still be read.
    tiles_left: usize,
    /// Heads that are signed again or for the first time and whose marks must be durable before they are released, with what
    /// the rows say was decided about each log.
    pub(super) fresh_marks: Vec<(LogId, Mark, Decided)>,
    /// Logs whose unreleased part does not hash to their head, with the rows of that part; and those whose records can't be
    /// looked for.
    pub(super) damaged: Vec<(Arc<Shared>, ReadError, Vec<Key>)>,
}

/// Opens the store, once a repair that was decided is finished.
pub(super) fn open_store(options: &EngineOptions) -> Result<RocksStore, OpenError> {
    settle(&options.data)?;
    let path = options.database_path();
    // Opening removes them. A crash leaves such tables, and has no need of them; a manifest that lost its last records does.
    if RocksStore::has_unnamed_tables(&path)? {
        look_first(options)?;
    }
    Ok(RocksStore::open(&path, &options.settings)?)
}

/// That a database has what was released, without anything being removed.
fn look_first(options: &EngineOptions) -> Result<(), OpenError> {
    let path = options.database_path();
    // Whoever else has it open makes tables, and names them later.
    let _lock = DatabaseLock::take(&path)?;
    let store = match RocksStore::open_to_read(&path, &options.settings) {
        // What a crash leaves is dropped when it is opened.
        Err(cairn_rocks::OpenError::Corrupt { .. } | cairn_rocks::OpenError::Foreign { .. }) => return Ok(()),
        store => store?,
    };
    let Some(row) = store.get(&DatabaseRow::key())? else {
        return Err(OpenError::Behind {
            what: "the database".to_owned(),
            found: "no commit at all".to_owned(),
            released: "more, in tables that its manifest does not name,".to_owned(),
        });
    };
    let database = DatabaseRow::decode(&row)?;
    let (_, marks) = HighWater::open(&options.high_water_path(), database.id)?;
    compare_commits(&database, &marks)
}

/// Reads the database's row.
pub(super) fn read_database(store: &dyn Store, folder: PathBuf) -> Result<DatabaseRow, OpenError> {
    let row = store.get(&DatabaseRow::key())?.ok_or(OpenError::Unfinished(folder))?;
    Ok(DatabaseRow::decode(&row)?)
}

/// Every log's id and binding, in order of their ids.
pub(super) fn read_bindings(store: &dyn Store, database: &DatabaseRow) -> Result<Vec<(LogId, BindingRow)>, OpenError> {
    let mut bindings = Vec::new();
    let mut range = KeyRange::all(LogId::DATABASE, Kind::Binding);
    loop {
        let rows = store.scan(&range, SCAN_ROWS)?;
        let Some((last, _)) = rows.last() else { return Ok(bindings) };
        let next = Key::numbered(LogId::DATABASE, Kind::Binding, last.number().unwrap_or(u64::MAX).saturating_add(1));
        for (key, row) in &rows {
            let id = key.number().and_then(|number| u32::try_from(number).ok());
            let id = id.ok_or_else(|| RowError { row: "binding", problem: format!("key {key:?}") })?;
            bindings.push((LogId::new(id), BindingRow::decode(row, &database.id)?));
        }
        range = KeyRange::from_key(next);
    }
}

/// Rows per scan at start.
const SCAN_ROWS: usize = 1_000;

/// Reads a log's head row.
pub(super) fn read_head(store: &dyn Store, log: LogId, name: &str) -> Result<HeadRow, OpenError> {
    let gone = || OpenError::Behind {
        what: format!("log {name}"),
        found: "no head at all".to_owned(),
        released: "at least its empty head".to_owned(),
    };
    let row = store.get(&HeadRow::key(log))?.ok_or_else(gone)?;
    Ok(HeadRow::decode(&row)?)
}

/// Compares the commits that the database and the high-water know of.
pub(super) fn compare_commits(database: &DatabaseRow, marks: &Marks) -> Result<(), OpenError> {
    #[cfg(feature = "canaries")]
    if crate::canary::has_no_high_water() {
        return Ok(());
    }
    if database.commit < marks.commit() {
        return Err(OpenError::Behind {
            what: "the database".to_owned(),
            found: format!("commit {}", database.commit),
            released: format!("commit {}", marks.commit()),
        });
    }
    if marks.commit() < database.released {
        return Err(OpenError::OlderHighWater { found: marks.commit(), released: database.released });
    }
    Ok(())
}

/// Compares everything with the marks.
pub(super) fn open_logs(
    reader: &Reader,
    database: DatabaseRow,
    marks: &Marks,
    keys: &KeyRing,
) -> Result<Opened, OpenError> {
    let store = &*reader.store;
    compare_commits(&database, marks)?;
    let bindings = read_bindings(store, &database)?;
    if let Some((log, mark)) = marks.iter().find(|(log, _)| bindings.iter().all(|(id, _)| id != log)) {
        return Err(OpenError::Behind {
            what: format!("log number {log}"),
            found: "no binding".to_owned(),
            released: format!("size {}", mark.size),
        });
    }
    let registry = Registry::default();
    let mut opened =
        Opened { database, registry, tiles_left: OPENING_TILES, fresh_marks: Vec::new(), damaged: Vec::new() };
    let mut owners: HashMap<Vec<u8>, String> = HashMap::new();
    for (id, binding) in bindings {
        let own: Vec<_> = binding.public_keys().chain([binding.origin.clone().into_bytes()]).collect();
        for one in own {
            if let Some(other) = owners.insert(one, binding.name.to_string()) {
                return Err(OpenError::SharedKey(other, binding.name.to_string()));
            }
        }
        let signer = keys.signer(&binding)?;
        open_log(reader, &mut opened, id, Standing { binding, signer }, marks)?;
    }
    Ok(opened)
}

fn open_log(
    reader: &Reader,
    opened: &mut Opened,
    id: LogId,
    standing: Standing,
    marks: &Marks,
) -> Result<(), OpenError> {
    let store = &*reader.store;
    let info = LogInfo::from_binding(id, &standing.binding);
    let row = read_head(store, id, &info.name)?;
    let stored = Stored::new(store, id);
    let (mark, before) = (marks.get(id), marks.decided(id).unwrap_or_default());
    #[cfg(feature = "canaries")]
    let mark = match crate::canary::has_no_high_water() {
        true => Some(Mark { size: row.size, root: row.root, time_ms: row.time_ms }),
        false => mark,
    };
    let mark = match mark {
        Some(mark) => mark,
        // Made, but the server ended before its empty head was marked: nobody has seen it.
        None if row.size == TreeSize::ZERO => Mark { size: row.size, root: Hash::EMPTY_TREE, time_ms: row.time_ms },
        None => return Err(OpenError::NoMark(info.name.to_string())),
    };
    let is_over = compare(&info, &row, mark, before)?;
    // From the tiles as long as that is not for too many; a log that is not read so is compared before it is used.
    let left = opened.tiles_left.checked_sub(edge_tiles(mark.size));
    opened.tiles_left = left.unwrap_or(opened.tiles_left);
    let believed = left.is_none() && is_as_released(&stored, &row, mark)?;
    let grown = if believed { Ok(()) } else { grow(store, &stored, &info, &row, mark)? };
    let (publishing, policy, checkpoint) = read_publishing(store, id, &standing.binding, (mark.size, before))?;
    let decided = Decided { policy, halted: is_over, checkpoint: checkpoint.max(before.checkpoint) };
    let (size, root, time_ms) = match &grown {
        // Its witnesses are asked before anything larger than what was released is signed.
        Ok(()) if publishing.is_held() => (mark.size, mark.root, mark.time_ms),
        Ok(()) => (row.size, row.root, row.time_ms.max(mark.time_ms)),
        Err(ReadError::Store(StoreError::Io(_))) => return grown.map_err(OpenError::from),
        Err(_) => (mark.size, mark.root, mark.time_ms),
    };
    let lost = lost_secret(store, id)?;
    let index = info.hash_index.then(|| HashIndex::absent(id));
    let unsigned = Head { size, root, time_ms, note: Bytes::new(), edge: None };
    let mut shared = Shared::new(id, standing, unsigned, index, row.state.clone());
    shared.publishing = publishing;
    let shared = Arc::new(shared);
    sign_again(reader, &shared, Root { size: mark.size, hash: mark.root })?;
    opened.registry.insert(Arc::clone(&shared));
    match grown {
        Ok(()) if matches!(row.state, LogState::Open | LogState::Sealed) => {
            opened.fresh_marks.push((id, Mark { size, root, time_ms }, decided));
            // It ends with that head, which is sound.
            opened.damaged.extend(lost.map(|error| (shared, error, Vec::new())));
        }
        Ok(()) => opened.fresh_marks.push((id, mark, decided)),
        Err(error) if matches!(row.state, LogState::Open | LogState::Sealed) => {
            opened.fresh_marks.push((id, mark, decided));
            // Damaged rows that can't be listed are not in the way of a halt.
            let undo = unless_failed(unreleased_rows(&stored, mark.size, row.size))?.unwrap_or_default();
            opened.damaged.push((shared, error, undo));
        }
        // It is halted already, for this reason or another. Its unfinished bundle has no tile that would tell what is wrong.
        Err(error) => {
            opened.fresh_marks.push((id, mark, decided));
            tracing::error!(log = %shared.info.name, %error, "a halted log is damaged");
            let tail = Place::Bundle { number: mark.size.get() / WIDTH };
            shared.damage.add(Some(tail), error.to_string());
        }
    }
    Ok(())
}

/// That a log's row has what was released and decided; whether it is halted for good.
fn compare(info: &LogInfo, row: &HeadRow, mark: Mark, before: Decided) -> Result<bool, OpenError> {
    let behind =
        |found: String, released: String| OpenError::Behind { what: format!("log {}", info.name), found, released };
    if row.size < mark.size {
        return Err(behind(format!("size {}", row.size), format!("size {}", mark.size)));
    }
    let is_over = matches!(row.state, LogState::Halted(_)) && !row.mendable;
    if before.halted && !is_over {
        return Err(behind("no halt".to_owned(), "a halt for good".to_owned()));
    }
    Ok(is_over)
}

/// What is wrong with what a log's records are found by. Of records that nobody can look for any more, each could come a second
/// time.
fn lost_secret(store: &dyn Store, id: LogId) -> Result<Option<ReadError>, OpenError> {
    Ok(unless_failed(print_row(store, id))?.err())
}

/// What was read, or how it is damaged. If the store failed, nothing is known of it.
fn unless_failed<T>(read: Result<T, ReadError>) -> Result<Result<T, ReadError>, OpenError> {
    match read {
        Err(ReadError::Store(StoreError::Io(problem))) => Err(StoreError::Io(problem).into()),
        read => Ok(read),
    }
}

/// Whether the log ends with its last released head, by its head row and the entries of its unfinished bundle alone.
/// Tiles are compared with the root before they are used: by the writer when it takes the log up, by readers, by `fsck`.
pub(super) fn is_as_released(stored: &Stored<'_>, row: &HeadRow, mark: Mark) -> Result<bool, OpenError> {
    let (true, Some(nodes)) = ((row.size, row.root) == (mark.size, mark.root), row.nodes.clone()) else {
        return Ok(false);
    };
    match stored.root_by(mark.size, nodes) {
        Ok(root) => Ok(root == Some(mark.root)),
        Err(ReadError::Store(StoreError::Io(problem))) => Err(StoreError::Io(problem).into()),
        // What is wrong is told by who looks more closely.
        Err(_) => Ok(false),
    }
}

/// The same from the tiles, and with everything past the released head.
///
/// What can't be read along the tree's right edge halts this log alone: nothing of it can be signed, and other logs have
/// nothing to do with it. What can be read and is another tree than was released is no damage but another history, and
/// refused, unless the log was found damaged before.
fn grow(
    store: &dyn Store,
    stored: &Stored<'_>,
    info: &LogInfo,
    row: &HeadRow,
    mark: Mark,
) -> Result<Result<(), ReadError>, OpenError> {
    let mut tree = match stored.growing(mark.size) {
        Err(ReadError::Store(StoreError::Io(problem))) => return Err(StoreError::Io(problem).into()),
        Err(damage) => return Ok(Err(damage)),
        Ok(tree) => tree,
    };
    if tree.root() != mark.root {
        let (size, found, released) = (mark.size, tree.root(), mark.root);
        if row.mendable {
            return Ok(Err(stored.damaged(
                "the tree at size",
                size.get(),
                format!("its root is {found}, not {released}"),
            )));
        }
        return Err(OpenError::Changed { log: info.name.to_string(), size, found, released });
    }
    // Past the mark nothing was released: damage there halts the log, and its good part stays readable.
    Ok(replay(stored, &mut tree, row.size, &mut |_| {}).and_then(|()| {
        let wrong = stored.damaged("the tree at size", row.size.get(), "its entries do not hash to the head's root");
        let nodes = row.nodes.as_ref().is_none_or(|nodes| *nodes == tree.nodes());
        if tree.root() == row.root && nodes { Ok(()) } else { Err(wrong) }?;
        check_unreleased(stored, store, &info.origin, mark.size.get()..row.size.get())
    }))
}

/// A log's checkpoint, if it has one apart from its head.
pub(super) fn read_checkpoint(
    store: &dyn Store,
    id: LogId,
    binding: &BindingRow,
) -> Result<Option<Checkpointed>, OpenError> {
    // It may have been signed by a key that has retired since.
    let keys: Vec<_> = binding.keys.iter().filter_map(|key| key.vkey.parse().ok()).collect();
    Ok(store.get(&CheckpointRow::key(id))?.map(|row| CheckpointRow::decode(&row, &keys)).transpose()?)
}

/// What the log's witnesses decide about: its policy and its checkpoint; with what the high-water keeps of both. No checkpoint
/// is smaller than one that was published.
fn read_publishing(
    store: &dyn Store,
    id: LogId,
    binding: &BindingRow,
    (released, before): (TreeSize, Decided),
) -> Result<(Publishing, PolicyMark, TreeSize), OpenError> {
    let publishing = Publishing::default();
    let Some(policy) = store.get(&PolicyRow::key(id))? else {
        return Ok((publishing, PolicyMark::Absent, TreeSize::ZERO));
    };
    let checkpoint = read_checkpoint(store, id, binding)?;
    let behind = |found: TreeSize, released: TreeSize, what: &str| OpenError::Behind {
        what: format!("log {}", binding.name),
        found: format!("a {what} of size {found}"),
        released: format!("a checkpoint of size {released}"),
    };
    let mut published = TreeSize::ZERO;
    if let Some(Checkpointed::At(checkpoint)) = &checkpoint {
        published = checkpoint.size;
        if published > released {
            return Err(behind(released, published, "head"));
        }
        if published < before.checkpoint {
            return Err(behind(published, before.checkpoint, "checkpoint"));
        }
    }
    let policy = PolicyRow::decode(&policy)?;
    // Of one that a repair lost it stays known which it was: a backup that has it is found by that.
    let mark = if policy.mark() == PolicyMark::Unknown { before.policy } else { policy.mark() };
    publishing.restore(policy, checkpoint)?;
    Ok((publishing, mark, published))
}

/// Signs the head that a log is opened with: the last that was released, or one that came to be durable just behind it.
fn sign_again(reader: &Reader, shared: &Shared, released: Root) -> Result<(), OpenError> {
    let head = shared.head();
    let (standing, log) = (shared.standing(), shared.info.name.to_string());
    let note = sign_head(&*standing.signer, (shared, reader), released, &head)
        .map_err(|error| OpenError::Sign { log, error })?;
    let Head { size, root, time_ms, .. } = *head;
    shared.heads.send_replace(Arc::new(Head { size, root, time_ms, note, edge: None }));
    Ok(())
}

/// The keys of the entries, tiles and disclosures that only an unreleased head covers.
pub(super) fn unreleased_rows(stored: &Stored<'_>, released: TreeSize, end: TreeSize) -> Result<Vec<Key>, ReadError> {
    // A damaged size may be anything; no commits bring more.
    let most = released.get().saturating_add(UNRELEASED_COMMITS * COMMIT_ENTRIES);
    let (released, end) = (released.get(), end.get().min(most));
    let mut keys: Vec<Key> = (released / WIDTH..end / WIDTH).map(|number| stored.bundle_key(number)).collect();
    keys.extend(stored.piece_firsts(released..end)?.into_iter().map(|first| stored.piece_key(first)));
    keys.extend(stored.keys(Kind::BundlePart, released - released % WIDTH..end - end % WIDTH)?);
    // A row has records of one commit only, so that all of one are released or none.
    keys.extend(stored.keys(Kind::Disclosures, released..end)?);
    for level in 0..8_u8 {
        let full = |size: u64| size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        keys.extend((full(released)..full(end)).filter_map(|number| stored.tile_key(level, number)));
    }
    Ok(keys)
}
