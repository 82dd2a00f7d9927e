//! Opening a database to read that may be damaged, or that `RocksStore::open` refuses: nothing in its folder is changed.
//!
//! A sound one opens as it is. Of another RocksDB is asked for what there is: records of a write-ahead log that can't be
//! read are passed over, and so are tables that are gone; reads of what those held answer errors or find nothing. Where
//! the manifest itself is lost or torn, or tells of a write-ahead log that is gone, tables are listed anew from links to
//! them in a folder of the caller's; a table that then can't be read to its end is left out. So what is read may be of an
//! older moment, or lack rows: whoever reads judges it by something else, as by a signed root.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rocksdb::{Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, Options};
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::OpenError;
use crate::cut;
use crate::family::Family;
use crate::named::Unnamed;
use crate::settings::Settings;
use crate::store::{CURRENT, RocksStore};

/// RocksDB's own lock file, which [`DatabaseLock`] shares with it.
const LOCK: &str = "LOCK";
/// Where tables are made that name the families, in the folder of links.
const NAMING: &str = "naming";
/// What RocksDB names that can't open a table.
const TABLE: &str = ".sst";
/// No key of ours: they begin with a byte that says their format, and go on.
const NO_KEY: [u8; 1] = [0];

/// Keeps everybody else from opening a database, without opening it: RocksDB refuses as long as this lives.
///
/// The lock is the process's, as POSIX has it: this process must not open the database other than to read meanwhile.
#[derive(Debug)]
pub struct DatabaseLock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

impl DatabaseLock {
    /// Takes the lock of the database in `path`.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process has it.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::from_io(path, &error);
        if !path.is_dir() {
            return Err(OpenError::Missing(path.into()));
        }
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
        let file = opened.map_err(failed)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Err(OpenError::Locked(path.into())),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// What could be opened of a database.
pub struct Remains {
    /// To read; commits fail.
    pub store: RocksStore,
    /// Why it does not open as a whole, and what was done about it; `None` if it does.
    pub problem: Option<String>,
    /// Whether rows may be gone without a trace: a write-ahead log, or a table whose name is lost, can't be read to its end.
    /// Reads of other tables that can't be read fail.
    pub lost: bool,
}

impl RocksStore {
    /// Opens the database in `path` to read, and changes nothing there. Commits fail. Somebody who writes to it meanwhile
    /// is not seen.
    ///
    /// # Errors
    /// As [`RocksStore::open`].
    pub fn open_to_read(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        if !path.join(CURRENT).is_file() {
            return Err(OpenError::Missing(path.into()));
        }
        cut::check(path)?;
        let options = settings.database();
        Self::start_to_read(path, settings, &options, &families(path, &options)?)
    }

    /// Opens what can be read of the database in `path`. `scratch` is a folder on the same file system, made here if it is
    /// needed, over one that is there, and to be removed by the caller.
    ///
    /// # Errors
    /// [`OpenError`] if there is nothing that could be read.
    pub fn open_remains(path: &Path, settings: &Settings, scratch: &Path) -> Result<Remains, OpenError> {
        let refusal = if path.join(CURRENT).is_file() {
            Unnamed::of(path).ok().and_then(|found| found.refusal(path))
        } else {
            None
        };
        let is_short = refusal.is_some();
        let whole = match refusal.map_or_else(|| Self::open_to_read(path, settings), Err) {
            Ok(store) => return Ok(Remains { store, problem: None, lost: false }),
            Err(error) => error,
        };
        // One that is torn or damaged is not shown to RocksDB again: it would take what is left for all, and not see tables
        // that are there, or turn in a circle.
        let is_whole = cut::manifest_is_whole(path);
        let listed = if is_whole && !is_short { Self::start_leniently(path, settings).ok() } else { None };
        if let Some(store) = listed {
            let whole = whole.to_string();
            // Whatever the folder is named.
            let is_table = whole.replace(&*path.to_string_lossy(), "").contains(TABLE);
            let (problem, is_cut) = with_logs(path, whole)?;
            return Ok(Remains { store, problem: Some(problem), lost: is_cut || !is_table });
        }
        Self::list_anew(path, settings, scratch, (whole.to_string(), is_whole))
    }

    /// Whether there are tables that the manifest does not name. RocksDB removes them when the database is opened, but to
    /// read: whoever needs them looks before whether the database has everything without them.
    ///
    /// # Errors
    /// [`OpenError`] if the files can't be read.
    pub fn has_unnamed_tables(path: &Path) -> Result<bool, OpenError> {
        Ok(path.join(CURRENT).is_file() && Unnamed::of(path)?.tables > 0)
    }

    /// As [`RocksStore::open_remains`], where `problem` is why the manifest does not name all that there is.
    ///
    /// # Errors
    /// [`OpenError`] if there is nothing that could be read.
    pub fn open_unnamed(
        path: &Path,
        settings: &Settings,
        scratch: &Path,
        problem: String,
    ) -> Result<Remains, OpenError> {
        Self::list_anew(path, settings, scratch, (problem, true))
    }

    /// Lists tables anew, in a folder of links; with why, and whether the manifest tells of a write-ahead log that may be gone.
    fn list_anew(
        path: &Path,
        settings: &Settings,
        scratch: &Path,
        (whole, is_whole): (String, bool),
    ) -> Result<Remains, OpenError> {
        let (tables, free) = link_tables(path, scratch)?;
        name_families(scratch, free, settings)?;
        let mut options = lenient(settings);
        options.create_missing_column_families(true);
        DB::repair(&options, scratch).map_err(|error| OpenError::from_rocksdb(path, error))?;
        let store = Self::start_leniently(scratch, settings)?;
        let left_out = fs::read_dir(scratch.join("lost")).into_iter().flatten().flatten();
        let left_out = left_out.filter(|file| is_table(&file.path())).count();
        let problem = format!("{whole}; its tables were listed anew: {left_out} of {tables} could not be read");
        let (problem, is_cut) = with_logs(path, problem)?;
        // A manifest that is whole tells of a write-ahead log that may be gone, or lacks its last records.
        let lost = is_cut || left_out > 0 || is_whole;
        Ok(Remains { store, problem: Some(problem), lost })
    }

    fn start_leniently(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let options = lenient(settings);
        Self::start_to_read(path, settings, &options, &families(path, &options)?)
    }

    fn start_to_read(
        path: &Path,
        settings: &Settings,
        options: &Options,
        families: &[Family],
    ) -> Result<Self, OpenError> {
        let cache = Cache::new_lru_cache(settings.block_cache);
        let descriptors = families
            .iter()
            .map(|family| ColumnFamilyDescriptor::new(family.name(), settings.family(*family, &cache)))
            .collect::<Vec<_>>();
        let db = DB::open_cf_descriptors_read_only(options, path, descriptors, false);
        let db = db.map_err(|error| OpenError::from_rocksdb(path, error))?;
        let mut store = Self::of(db, (cache, settings.block_cache));
        store.absent = Family::ALL.into_iter().filter(|family| !families.contains(family)).collect();
        Ok(store)
    }
}

/// Says of a write-ahead log that can't be read as a whole that it is so, and whether there is one.
fn with_logs(path: &Path, problem: String) -> Result<(String, bool), OpenError> {
    if cut::logs_are_whole(path)? {
        return Ok((problem, false));
    }
    let told = format!("{problem}; its write-ahead log can't be read as a whole: what stood there alone may be gone");
    Ok((told, true))
}

/// The families that are there: older databases lack some, and what is left of one may have lost some.
fn families(path: &Path, options: &Options) -> Result<Vec<Family>, OpenError> {
    let listed = DB::list_cf(options, path).map_err(|error| OpenError::from_rocksdb(path, error))?;
    Ok(Family::ALL.into_iter().filter(|family| listed.iter().any(|name| name == family.name())).collect())
}

/// Passes over what can't be read. Blocks of tables are checked all the same.
fn lenient(settings: &Settings) -> Options {
    let mut options = settings.database();
    options.set_paranoid_checks(false);
    options.set_wal_recovery_mode(DBRecoveryMode::SkipAnyCorruptedRecord);
    // Not to be switched off: opened to read, RocksDB then ends the process over a manifest that tracks any (it would note
    // there that it tracks none, and has nowhere to). One whose logs are not all there is refused, and tables are listed anew.
    options.set_track_and_verify_wals_in_manifest(true);
    options
}

/// Makes a folder with links to the tables and write-ahead logs of a database: how many tables there are, and a number
/// that no file has, nor any after it.
fn link_tables(path: &Path, scratch: &Path) -> Result<(usize, u64), OpenError> {
    let link = || -> io::Result<(usize, u64)> {
        if scratch.exists() {
            fs::remove_dir_all(scratch)?;
        }
        DirBuilder::new().mode(0o700).create(scratch)?;
        let (mut tables, mut free) = (0, 1);
        for file in fs::read_dir(path)? {
            let file: PathBuf = file?.path();
            let is_log = file.extension().is_some_and(|extension| extension == "log");
            if let Some(name) = file.file_name().filter(|_| is_log || is_table(&file)) {
                if !file.is_file() {
                    let name = name.to_string_lossy();
                    return Err(io::Error::other(format!("{name} in it is no file; move that to another place")));
                }
                fs::hard_link(&file, scratch.join(name))?;
                tables += usize::from(!is_log);
                let number = file.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
                free = free.max(number.unwrap_or_default().saturating_add(1));
            }
        }
        Ok((tables, free))
    };
    link().map_err(|error| OpenError::from_io(path, &error))
}

/// Adds a table of each family to a folder of tables, from `free` on, with nothing in it but that a key which is never
/// used is deleted. RocksDB learns from tables which families there are, and passes over what a write-ahead log has for
/// any other: without these, all of a family that no table was written for yet.
fn name_families(scratch: &Path, free: u64, settings: &Settings) -> Result<(), OpenError> {
    let beside = scratch.join(NAMING);
    // A family has the same number in every database: they are all made in the order of `Family::ALL`.
    let store = RocksStore::create(&beside, settings)?;
    for family in Family::ALL {
        let failed = |error| OpenError::from_rocksdb(&beside, error);
        let handle = store.family(family).map_err(|error| OpenError::from_io(&beside, &io::Error::other(error)))?;
        store.db.delete_cf(handle, NO_KEY).map_err(failed)?;
        store.db.flush_cf(handle).map_err(failed)?;
    }
    drop(store);
    let name = || -> io::Result<()> {
        let mut number = free;
        for file in fs::read_dir(&beside)? {
            let file = file?.path();
            if is_table(&file) {
                fs::rename(&file, scratch.join(format!("{number:06}.sst")))?;
                number = number.saturating_add(1);
            }
        }
        fs::remove_dir_all(&beside)
    };
    name().map_err(|error| OpenError::from_io(&beside, &error))
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sst")
}
