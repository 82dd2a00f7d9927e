//! A frozen copy: database and high-water as of one moment between two commits, in a folder beside the database.
//!
//! Not here: what becomes of it (`crate::backup`).
//!
//! The pair must open together, and no order of reading two files that change gives that. Were the high-water read first,
//! the database could know of heads that were released since, which that file lacks: refused as an older high-water. Were
//! the database read first, the file could have heads that this database lacks: refused as an older database. So neither
//! is read while it moves: the writer stands still between two commits, everything that it committed is released, and
//! the copy's high-water is written from the marks of that moment. Appends wait meanwhile, for as long as it takes to
//! link tables; rows in memory are written to tables before.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_rocks::RocksStore;
use cairn_tree::store::{DatabaseId, Store as _, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::ailing::{Known, known_damage};
use super::layout::{BindingRow, HeadRow, KeyStatus, LogState, PolicyRow};
use super::open::{OpenError, compare_commits, open_store, read_bindings, read_database, read_head};
use super::sequencer::{FreezeJob, Job};
use super::{Engine, EngineOptions};
use crate::high_water::{HighWater, HighWaterError, Mark, Marks};

/// Where a frozen copy stands in the data folder while it is needed. It keeps tables from being deleted.
const FOLDER: &str = "frozen";

/// What a frozen copy holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frozen {
    /// The database's id, as hexadecimal digits.
    pub database: String,
    /// The number of its last commit.
    pub commit: u64,
    /// Its logs, in order of their ids.
    pub logs: Vec<FrozenLog>,
    /// What was known to be damaged in it, which is in the copy too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
    /// Whether more is damaged than that, or may be: then no words stand for all of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more_damage: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_false(told: &bool) -> bool {
    !*told
}

impl Frozen {
    fn tell(&mut self, Known { words, more }: Known) {
        (self.damage, self.more_damage) = (words, more);
    }
}

/// One log of a frozen copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenLog {
    /// Its number in the database.
    pub id: u32,
    /// Its name within the server.
    pub name: String,
    /// The origin line of its checkpoints.
    pub origin: String,
    /// `open`, `sealed`, or `halted: ` and why.
    pub state: String,
    /// The size of its last released head.
    pub size: u64,
    /// The root at that size, as base64.
    pub root: String,
    /// When that head was made, in milliseconds since the epoch.
    pub time_ms: u64,
    /// The keys that sign its heads, as C2SP vkeys.
    pub vkeys: Vec<String>,
    /// The signed head; absent where no server could be asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The witness policy in force, as its file says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Why there is no frozen copy.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The store could not be written or linked.
    #[error("the copy could not be made: {0}")]
    Store(#[from] StoreError),
    /// The copy's high-water file could not be written.
    #[error(transparent)]
    HighWater(#[from] HighWaterError),
    /// The folder could not be made or cleared.
    #[error("{}: {error}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A stopped database does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Appends are refused for the same reason.
    #[error("the disk has too little room left for a copy: {free} bytes, and the reserve is {reserve}")]
    DiskReserve {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// The server is going down, or very busy.
    #[error("the server is stopping or busy; try again")]
    Stopping,
}

impl Engine {
    /// Makes a frozen copy of the open database. Another one that is still there is removed.
    ///
    /// # Errors
    /// [`FreezeError`].
    pub async fn freeze(&self) -> Result<Frozen, FreezeError> {
        let low = |low: super::disk::BelowReserve| FreezeError::DiskReserve { free: low.free, reserve: low.reserve };
        self.inner.disk.check().map_err(low)?;
        // Goes with the job: whoever asked may be killed before the writer comes to it, and the next one asks at once.
        let turn = Arc::clone(&self.inner.freezing).lock_owned().await;
        let folder = fresh_folder(&self.inner.data)?;
        let rocks = Arc::clone(&self.inner.rocks);
        let flushed = cairn_listen::spawn_blocking(move || rocks.flush()).await;
        flushed.map_err(|_| FreezeError::Stopping)??;
        let (reply, answer) = oneshot::channel();
        let (rocks, registry) = (Arc::clone(&self.inner.rocks), Arc::clone(&self.inner.registry));
        let (into, database) = (folder, self.inner.database);
        let make = move |commit: u64, marks: &Marks| {
            let _turn = turn;
            if reply.is_closed() {
                return;
            }
            let made = write(&rocks, &into, database, marks);
            let logs = || registry.all().iter().map(|log| of_served(log, marks)).collect();
            // Whoever asked may have gone; the next copy removes this one.
            let frozen = || Frozen {
                database: database.to_string(),
                commit,
                logs: logs(),
                damage: Vec::new(),
                more_damage: false,
            };
            let _ = reply.send(made.map(|()| sorted(frozen())));
        };
        let job = Job::Freeze(Box::new(FreezeJob { make: Box::new(make) }));
        self.inner.sequencer.submit(job).map_err(|_| FreezeError::Stopping)?;
        let mut frozen = answer.await.map_err(|_| FreezeError::Stopping)??;
        let running = Arc::clone(&self.inner);
        let known = cairn_listen::spawn_blocking(move || {
            let logs: Vec<_> =
                running.registry.all().iter().map(|log| (log.info.id, log.info.name.to_string())).collect();
            let mut known = known_damage(&*running.rocks, &running.data, &logs);
            // Its incident may not have come to be written.
            if let Some((_, first)) = running.damage.told().filter(|_| known.words.is_empty()) {
                known.words.push(format!("the database: {first}"));
                known.more = true;
            }
            known
        });
        frozen.tell(known.await.map_err(|_| FreezeError::Stopping)?);
        Ok(frozen)
    }
}

/// Makes a frozen copy of a database that no server has open. Nothing is signed.
///
/// # Errors
/// [`FreezeError`]; a database and a high-water file that do not belong together are refused.
pub fn freeze_stopped(options: &EngineOptions) -> Result<Frozen, FreezeError> {
    let store = open_store(options)?;
    let database = read_database(&store, options.data.clone())?;
    let (_, marks) = HighWater::open(&options.high_water_path(), database.id).map_err(OpenError::from)?;
    compare_commits(&database, &marks)?;
    let mut frozen = read_frozen(&store, &marks)?;
    let bindings = read_bindings(&store, &database)?;
    let logs: Vec<_> = bindings.into_iter().map(|(id, binding)| (id, binding.name.to_string())).collect();
    frozen.tell(known_damage(&store, &options.data, &logs));
    let folder = fresh_folder(&options.data)?;
    write(&store, &folder, database.id, &marks)?;
    Ok(frozen)
}

/// Where the frozen copy of a data folder stands.
#[must_use]
pub fn frozen_folder(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

/// Removes a frozen copy that is not needed any more.
///
/// # Errors
/// What the system says.
pub fn remove_frozen(data: &Path) -> io::Result<()> {
    match fs::remove_dir_all(frozen_folder(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What a database and its high-water say of themselves.
pub(super) fn read_frozen(store: &RocksStore, marks: &Marks) -> Result<Frozen, OpenError> {
    let database = read_database(store, PathBuf::new())?;
    let mut logs = Vec::new();
    for (id, binding) in read_bindings(store, &database)? {
        let row = read_head(store, id, &binding.name)?;
        let mark = marks.get(id).unwrap_or(Mark { size: row.size, root: row.root, time_ms: row.time_ms });
        let policy = store.get(&PolicyRow::key(id))?.map(|row| PolicyRow::decode(&row)).transpose()?;
        let policy =
            policy.and_then(|row| row.current.said()).map(|text| String::from_utf8_lossy(&text.text).into_owned());
        logs.push(of_stopped(id.get(), binding, &row, mark, policy));
    }
    let damage = Vec::new();
    Ok(sorted(Frozen { database: database.id.to_string(), commit: database.commit, logs, damage, more_damage: false }))
}

fn of_stopped(id: u32, binding: BindingRow, row: &HeadRow, mark: Mark, policy: Option<String>) -> FrozenLog {
    let active = binding.keys.iter().filter(|key| key.status == KeyStatus::Active);
    FrozenLog {
        id,
        vkeys: active.map(|key| key.vkey.clone()).collect(),
        name: binding.name.to_string(),
        origin: binding.origin,
        state: described(&row.state),
        size: mark.size.get(),
        root: mark.root.to_base64(),
        time_ms: mark.time_ms,
        head: None,
        policy,
    }
}

fn of_served(log: &super::head::Shared, marks: &Marks) -> FrozenLog {
    let (head, standing) = (log.head(), log.standing());
    let policy = log.publishing.policy().map(|policy| String::from_utf8_lossy(policy.file()).into_owned());
    let mark = marks.get(log.info.id);
    let mark = mark.unwrap_or(Mark { size: head.size, root: head.root, time_ms: head.time_ms });
    FrozenLog {
        id: log.info.id.get(),
        name: log.info.name.to_string(),
        origin: log.info.origin.clone(),
        state: described(&log.state()),
        size: mark.size.get(),
        root: mark.root.to_base64(),
        time_ms: mark.time_ms,
        vkeys: standing.keys().iter().map(ToString::to_string).collect(),
        head: (head.size == mark.size).then(|| String::from_utf8_lossy(&head.note).into_owned()),
        policy,
    }
}

fn described(state: &LogState) -> String {
    match state {
        LogState::Open => "open".to_owned(),
        LogState::Sealed => "sealed".to_owned(),
        LogState::Halted(reason) => format!("halted: {reason}"),
    }
}

fn sorted(mut frozen: Frozen) -> Frozen {
    frozen.logs.sort_by_key(|log| log.id);
    frozen
}

fn fresh_folder(data: &Path) -> Result<PathBuf, FreezeError> {
    let folder = frozen_folder(data);
    let failed = |error| FreezeError::Io { path: folder.clone(), error };
    remove_frozen(data).map_err(failed)?;
    DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
    Ok(folder)
}

fn write(store: &RocksStore, folder: &Path, database: DatabaseId, marks: &Marks) -> Result<(), FreezeError> {
    store.checkpoint(&folder.join("db"))?;
    HighWater::write_copy(&folder.join("high-water"), database, marks)?;
    Ok(())
}
