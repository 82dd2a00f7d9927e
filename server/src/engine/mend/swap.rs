//! Putting the new database in the place of the old one, over any crash.
//!
//! | what stands in the data folder | what it means |
//! |---|---|
//! | `db.mending` alone | a repair that was not decided; the next one, or the next server, removes it |
//! | `repair.json`, `db`, `db.mending` | it is decided: `db.mending` is whole, verified and durable, and `db` is the damaged one |
//! | `repair.json`, `db.mending`, no `db` | the damaged one has been renamed |
//! | `repair.json`, `db`, no `db.mending` | both have been renamed; the incidents may not be written yet |
//! | no `repair.json` | it is done |
//!
//! Once it is decided, whoever opens the database goes on from wherever it stands, before anything is read or signed:
//! appends to the damaged one would be lost with it. Each step is durable before the next begins, and is told from what
//! stands there, so that it may be done by one process and another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cairn_rocks::DatabaseLock;
use cairn_tree::record::time::Time;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::{MENDING, SALVAGE};
use crate::incidents::{self, Incident, Incidents};
use crate::names;
use crate::regular::{open_regular, read_bounded};
use crate::summed;

const DATABASE: &str = "db";
const FILE_NAME: &str = "repair.json";
/// More than the incidents of a repair take.
const FILE_BYTES: u64 = 256 << 20;
const LOCK: &str = "repair.lock";
const FORMAT: u32 = 1;
const SOURCES: &str = "repair.sources";
/// Folders that a repair needs only while it lasts.
const REST: [&str; 3] = [MENDING, SALVAGE, SOURCES];
/// What the name of a database begins with that was replaced.
const DAMAGED: &str = "db.damaged-";
/// Digits of the second, without those of its parts.
const SECONDS: usize = "2026-11-22T06:50:29".len();

/// Why a new database was not put in the place of the old one.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The system refused, before anything was decided.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The system refused, and what is to be is decided.
    #[error(
        "{}: {error}; the mended database is whole, and takes the damaged one's place with the next start, or with: cairnd repair",
        path.display()
    )]
    Unfinished {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody is at it.
    #[error("a repair of {} is under way", .0.display())]
    Busy(PathBuf),
    /// What stands there is not what any step leaves.
    #[error(
        "{} says that {MENDING} is to take the place of {DATABASE}, but {problem}; look at both with: cairnd fsck",
        path.display()
    )]
    Odd {
        /// The state file.
        path: PathBuf,
        /// What is odd.
        problem: String,
    },
    /// Somebody has the damaged database open.
    #[error(transparent)]
    Locked(#[from] cairn_rocks::OpenError),
}

/// What was decided.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    format: u32,
    /// The name that the damaged database gets.
    damaged: String,
    /// What is to be written down.
    incidents: Vec<Incident>,
}

/// Keeps two repairs, or a repair and a start, out of each other's way. Whoever is killed lets go of it.
#[derive(Debug)]
pub struct RepairLock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl RepairLock {
    /// Takes the lock of a data folder.
    ///
    /// # Errors
    /// [`SwapError::Busy`], or what the system says.
    pub fn take(data: &Path) -> Result<Self, SwapError> {
        let path = data.join(LOCK);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(on_io(&path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(SwapError::Busy(data.into())),
            Err(error) => Err(on_io(&path)(error.into())),
        }
    }
}

/// Finishes a repair that was decided and not finished, if there is one. To be called before a database is opened.
///
/// # Errors
/// [`SwapError`]; then the database must not be opened.
pub fn settle(data: &Path) -> Result<(), SwapError> {
    if !data.join(FILE_NAME).exists() {
        return Ok(());
    }
    let _lock = RepairLock::take(data)?;
    settle_locked(data)
}

/// Removes what a repair left that was killed before it was decided, unless one is at work.
///
/// # Errors
/// What the system says.
pub fn clear_undecided(data: &Path) -> io::Result<()> {
    if REST.iter().all(|name| !data.join(name).exists()) {
        return Ok(());
    }
    match RepairLock::take(data) {
        Ok(_lock) if !data.join(FILE_NAME).exists() => remove_rest(data),
        _ => Ok(()),
    }
}

fn remove_rest(data: &Path) -> io::Result<()> {
    for name in REST {
        match fs::remove_dir_all(data.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where whoever repairs may put links to what is in backups; removed with the rest.
#[must_use]
pub fn sources_folder(data: &Path) -> PathBuf {
    data.join(SOURCES)
}

/// The same, for who has the lock.
pub(super) fn settle_locked(data: &Path) -> Result<(), SwapError> {
    let path = data.join(FILE_NAME);
    let bytes = match open_regular(&path).and_then(|file| read_bounded(file, FILE_BYTES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(on_io(&path))?,
    };
    let odd = |problem: String| SwapError::Odd { path: path.clone(), problem };
    let decided: Decided = summed::read(&bytes).map_err(|error| odd(error.to_string()))?.content;
    if decided.format != FORMAT || !is_name(&decided.damaged) {
        return Err(odd(format!("it has format {} and names {:?}", decided.format, decided.damaged)));
    }
    if data.join(DATABASE).is_dir() {
        // Nobody can have opened it since; a server of an earlier version might.
        drop(DatabaseLock::take(&data.join(DATABASE))?);
    }
    finish(data, &decided)
}

/// Decides that the new database, which is verified and closed, takes the place of the old one, and does it. The name that
/// the old one has then.
pub(super) fn swap(data: &Path, incidents: Vec<Incident>, now_ms: u64) -> Result<PathBuf, SwapError> {
    sync_folder(&data.join(MENDING))?;
    sync_folder(data)?;
    let decided = Decided { format: FORMAT, damaged: free_name(data, now_ms), incidents };
    let path = data.join(FILE_NAME);
    let beside = path.with_extension("json.new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&summed::to_line(&decided)?)?;
        file.sync_all()
    };
    write().map_err(on_io(&beside))?;
    // Decided. From here on nothing may be signed on the strength of the damaged database any more.
    fs::rename(&beside, &path).map_err(on_io(&path))?;
    finish(data, &decided)?;
    Ok(data.join(&decided.damaged))
}

fn finish(data: &Path, decided: &Decided) -> Result<(), SwapError> {
    let (database, mending) = (data.join(DATABASE), data.join(MENDING));
    let (damaged, state) = (data.join(&decided.damaged), data.join(FILE_NAME));
    // It may have been decided by whoever was killed before the name was durable.
    sync_folder(data).map_err(unfinished)?;
    // 1. The damaged database has its new name.
    if mending.is_dir() && database.is_dir() {
        rename(&database, &damaged).map_err(unfinished)?;
    }
    // 2. The new one has the old name.
    if mending.is_dir() {
        rename(&mending, &database).map_err(unfinished)?;
    }
    if !database.is_dir() {
        return Err(SwapError::Odd { path: state, problem: "neither is there".to_owned() });
    }
    // A step of whoever was killed may have been done and not be durable.
    sync_folder(data).map_err(unfinished)?;
    // 3. What happened is written down, once.
    write_down(data, &decided.incidents).map_err(on_io(data)).map_err(unfinished)?;
    // 4. What it took is removed. Not as it must be: the next repair removes it too.
    let _ = remove_rest(data);
    // 5. It is done.
    fs::remove_file(&state).map_err(on_io(&state)).map_err(unfinished)?;
    sync_folder(data).map_err(unfinished)
}

/// What fails once it is decided.
fn unfinished(error: SwapError) -> SwapError {
    match error {
        SwapError::Io { path, error } => SwapError::Unfinished { path, error },
        other => other,
    }
}

fn write_down(data: &Path, incidents: &[Incident]) -> io::Result<()> {
    let there = incidents::read(data)?;
    let file = Incidents::open(data)?;
    for incident in incidents {
        if !there.iter().any(|one| Incident { number: incident.number, ..one.clone() } == *incident) {
            file.add(incident.clone())?;
        }
    }
    Ok(())
}

/// A name that tells when, and that nothing has.
fn free_name(data: &Path, now_ms: u64) -> String {
    let text = Time::from_millis(now_ms).map(Time::to_text).unwrap_or([b'0'; Time::TEXT_LEN]);
    let seconds: String =
        text.iter().take(SECONDS).filter(|byte| **byte != b':').map(|byte| char::from(*byte)).collect();
    let name =
        |count: u32| if count == 0 { format!("{DAMAGED}{seconds}Z") } else { format!("{DAMAGED}{seconds}Z-{count}") };
    let mut count = 0;
    while data.join(name(count)).exists() {
        count += 1;
    }
    name(count)
}

fn is_name(name: &str) -> bool {
    name.starts_with(DAMAGED) && !name.contains('/')
}

fn rename(from: &Path, to: &Path) -> Result<(), SwapError> {
    fs::rename(from, to).map_err(on_io(from))?;
    names::sync_name(to).map_err(on_io(to))
}

fn sync_folder(path: &Path) -> Result<(), SwapError> {
    names::sync_folder(path).map_err(on_io(path))
}

fn on_io(path: &Path) -> impl Fn(io::Error) -> SwapError + '_ {
    move |error| SwapError::Io { path: path.into(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with two databases that can be told apart, as a repair leaves it before it decides.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in [DATABASE, MENDING] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("which"), name).unwrap();
        }
        folder
    }

    fn which(data: &Path, name: &str) -> String {
        fs::read_to_string(data.join(name).join("which")).unwrap()
    }

    fn incident(place: u64) -> Incident {
        let damage = crate::engine::Damage {
            place: crate::engine::Place::Bundle { number: place },
            expected: None,
            found: "mended".to_owned(),
        };
        Incident { event: "repaired".to_owned(), ..damage.incident(Some("main"), 7) }
    }

    fn assert_done(data: &Path, damaged: &str) {
        assert_eq!((which(data, DATABASE), which(data, damaged)), (MENDING.to_owned(), DATABASE.to_owned()));
        assert!(!data.join(FILE_NAME).exists() && !data.join(MENDING).exists());
        let numbers: Vec<_> = incidents::read(data).unwrap().iter().map(|one| (one.number, one.place)).collect();
        assert_eq!(numbers, [(1, Some(1)), (2, Some(2))]);
    }

    #[test]
    fn a_swap_is_finished_from_wherever_a_crash_left_it() {
        let done = folder();
        let name = swap(done.path(), vec![incident(1), incident(2)], 1_795_330_227_000).unwrap();
        assert_eq!(name.file_name().unwrap(), "db.damaged-2026-11-22T065027Z");
        assert_done(done.path(), "db.damaged-2026-11-22T065027Z");
        for step in 0..4 {
            let folder = folder();
            let data = folder.path();
            let damaged = free_name(data, 0);
            let decided =
                Decided { format: FORMAT, damaged: damaged.clone(), incidents: vec![incident(1), incident(2)] };
            fs::write(data.join(FILE_NAME), serde_json::to_vec(&decided).unwrap()).unwrap();
            let steps: [&dyn Fn(); 3] = [
                &|| fs::rename(data.join(DATABASE), data.join(&damaged)).unwrap(),
                &|| fs::rename(data.join(MENDING), data.join(DATABASE)).unwrap(),
                &|| assert_eq!(Incidents::open(data).unwrap().add(incident(1)).unwrap(), 1),
            ];
            steps.iter().take(step).for_each(|step| step());
            settle(data).unwrap();
            assert_done(data, &damaged);
            settle(data).unwrap();
            assert_done(data, &damaged);
        }
    }

    #[test]
    fn what_was_not_decided_is_passed_over_and_what_is_odd_is_refused() {
        let folder = folder();
        let data = folder.path();
        settle(data).unwrap();
        assert_eq!(which(data, DATABASE), DATABASE);
        for odd in ["", "{}", r#"{"format":1,"damaged":"../db","incidents":[]}"#] {
            fs::write(data.join(FILE_NAME), odd).unwrap();
            assert!(matches!(settle(data), Err(SwapError::Odd { .. })), "{odd}");
            assert_eq!(which(data, DATABASE), DATABASE);
        }
    }

    #[test]
    fn no_changed_bit_of_what_was_decided_is_followed() {
        let folder = folder();
        let data = folder.path();
        let decided = Decided { format: FORMAT, damaged: free_name(data, 0), incidents: vec![incident(1)] };
        let whole = summed::to_line(&decided).unwrap();
        for bit in 0..8 * whole.len() {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(data.join(FILE_NAME), bad).unwrap();
            assert!(matches!(settle(data), Err(SwapError::Odd { .. })), "bit {bit}");
            assert_eq!(which(data, DATABASE), DATABASE);
        }
        fs::write(data.join(FILE_NAME), whole).unwrap();
        settle(data).unwrap();
        assert_eq!(which(data, DATABASE), MENDING);
    }

    #[test]
    fn a_start_during_a_repair_is_refused() {
        let folder = folder();
        fs::write(folder.path().join(FILE_NAME), "{}").unwrap();
        let _repairing = RepairLock::take(folder.path()).unwrap();
        assert!(matches!(settle(folder.path()), Err(SwapError::Busy(_))));
    }

    #[test]
    fn two_repairs_in_one_second_keep_both_damaged_databases() {
        let folder = folder();
        let first = free_name(folder.path(), 0);
        fs::create_dir(folder.path().join(&first)).unwrap();
        assert_eq!(
            (first.as_str(), free_name(folder.path(), 0).as_str()),
            ("db.damaged-1970-01-01T000000Z", "db.damaged-1970-01-01T000000Z-1")
        );
    }
}
