//! What a repair begins with: the locks, whatever can be opened of the damaged database, and which logs there are.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use cairn_rocks::{DatabaseLock, Remains, RocksStore};
use cairn_tree::store::{KeyRange, Kind, LogId, Store as _};

use super::report::{Remedy, Report};
use super::rows::scan_past;
use super::secret::Draw;
use super::sources::Sources;
use super::swap::{RepairLock, settle_locked};
use super::{MendError, SALVAGE, remove};
use crate::engine::EngineOptions;
use crate::engine::disk::Disk;
use crate::engine::layout::{BindingRow, DatabaseRow};
use crate::engine::open::OpenError;
use crate::engine::scrub::Place;
use crate::high_water::{HighWater, Marks};
use crate::incidents::{self, Incident};

/// A log's binding, and whose it is.
pub(super) struct Claimed {
    /// `None`: the damaged database's own.
    pub(super) from: Option<String>,
    pub(super) binding: BindingRow,
}

/// A damaged database that nobody else has open as long as this lives.
pub struct Mending {
    pub(super) options: EngineOptions,
    pub(super) sources: Sources,
    pub(super) remains: Remains,
    pub(super) marks: Marks,
    pub(super) database: DatabaseRow,
    /// Every log, with its binding: the damaged database's own, and those of the copies, with their names.
    pub(super) logs: Vec<(LogId, Vec<Claimed>)>,
    pub(super) incidents: Vec<Incident>,
    /// Whether rows may be older than the newest, or gone without a trace: it could be opened in part only, or lacks commits
    /// that were released.
    pub(super) in_part: bool,
    /// Whether rows may be gone that nothing else tells of: it lacks commits, or what may have held some can't be read.
    pub(super) lost: bool,
    pub(super) draw: Draw,
    /// What was found so far.
    pub(super) opening: Report,
    _database: DatabaseLock,
    _repair: Arc<RepairLock>,
}

impl Mending {
    /// Finishes an earlier repair that was decided, takes the database's lock, and opens what can be opened, to read. Secrets
    /// that are lost are drawn from `draw`. The sources were opened under the lock of this folder's repairs.
    ///
    /// # Errors
    /// [`MendError`] if the database is in use, or nothing of it can be read.
    pub fn open(
        options: EngineOptions,
        sources: Sources,
        draw: Draw,
        repair: Arc<RepairLock>,
    ) -> Result<Self, MendError> {
        settle_locked(&options.data)?;
        let path = options.database_path();
        if path.is_symlink() {
            return Err(MendError::Linked(path));
        }
        let lock = DatabaseLock::take(&path).map_err(OpenError::from)?;
        let salvage = options.data.join(SALVAGE);
        remove(&salvage)?;
        let remains = RocksStore::open_remains(&path, &options.settings, &salvage);
        // The reason comes first; what can't be removed is removed by the next repair.
        let remains = remains.inspect_err(|_| drop(remove(&salvage))).map_err(OpenError::from)?;
        let (mut opening, mut remains) = (told(&remains), remains);
        let mut database = database_row(&remains.store, &sources, &mut opening)?;
        let (_, marks) = HighWater::open(&options.high_water_path(), database.id).map_err(OpenError::from)?;
        if let Some((found, row)) = unnamed(&options, &salvage, (&remains, &database, &marks)) {
            (opening, remains, database) = (told(&found), found, row);
        }
        if marks.commit() < database.released {
            let (found, released) = (marks.commit(), database.released);
            return Err(OpenError::OlderHighWater { found, released }.into());
        }
        let is_behind = database.commit < marks.commit();
        if is_behind {
            let (found, released) = (database.commit, marks.commit());
            let found = format!("they are behind: they have commit {found}, but {released} was released");
            opening.add(None, (Place::Tables, found), Remedy::Made);
        }
        let (in_part, lost) = (is_behind || remains.problem.is_some(), is_behind || remains.lost);
        let logs = bindings(&remains, in_part, &sources, &database, &mut opening);
        let on_io = |error| MendError::Io { path: options.data.clone(), error };
        let incidents = incidents::read(&options.data).map_err(on_io)?;
        let mut this = Self {
            options,
            sources,
            remains,
            marks,
            database,
            logs,
            incidents,
            in_part,
            lost,
            draw,
            opening,
            _database: lock,
            _repair: repair,
        };
        this.look_for_lost_logs();
        this.count_logs();
        Ok(this)
    }

    /// A log that released a head has a binding.
    fn look_for_lost_logs(&mut self) {
        for (log, mark) in self.marks.iter() {
            if self.logs.iter().all(|(known, _)| *known != log) {
                let found =
                    format!("that of log number {log}, which has released a head of size {}, is gone", mark.size);
                self.opening.add(None, (Place::Rows("binding"), found), Remedy::Missing);
            }
        }
    }

    /// Ids are never used twice.
    fn count_logs(&mut self) {
        let known = self.logs.iter().map(|(log, _)| *log).chain(self.marks.iter().map(|(log, _)| log));
        let next = known.map(|log| log.get().saturating_add(1)).max().unwrap_or(1);
        self.database.next_log = self.database.next_log.max(LogId::new(next));
    }

    pub(super) fn disk(&self) -> Disk {
        Disk::new(vec![self.options.data.clone()], self.options.disk_reserve)
    }

    /// Whether some incidents can't be read: they are counted.
    pub(super) fn incidents_have_gaps(&self) -> bool {
        !(1..).zip(&self.incidents).all(|(number, incident): (u64, _)| number == incident.number)
    }
}

impl Drop for Mending {
    fn drop(&mut self) {
        // Links to tables; what can't be removed is removed by the next repair.
        let _ = remove(&self.options.data.join(SALVAGE));
    }
}

/// A report of what of a database could be opened.
fn told(remains: &Remains) -> Report {
    let mut opening = Report::default();
    if let Some(problem) = &remains.problem {
        opening.add(None, (Place::Tables, problem.clone()), Remedy::Made);
    }
    opening
}

/// What is found when tables are listed anew that the manifest does not name, with the database's own row: where the database
/// opens, is behind what was released, and is less so with them.
fn unnamed(
    options: &EngineOptions,
    salvage: &Path,
    (remains, database, marks): (&Remains, &DatabaseRow, &Marks),
) -> Option<(Remains, DatabaseRow)> {
    let path = options.database_path();
    let is_behind = remains.problem.is_none() && database.commit < marks.commit();
    if !is_behind || !RocksStore::has_unnamed_tables(&path).ok()? {
        return None;
    }
    let problem = "the manifest does not name all tables that are there, and what it names is behind".to_owned();
    let found = RocksStore::open_unnamed(&path, &options.settings, salvage, problem).ok()?;
    let row = DatabaseRow::decode(&found.store.get(&DatabaseRow::key()).ok()??).ok()?;
    (row.id == database.id && row.commit > database.commit).then_some((found, row))
}

/// Which database it is, by its own row or that of a copy.
fn database_row(store: &RocksStore, sources: &Sources, report: &mut Report) -> Result<DatabaseRow, MendError> {
    let read = |store: &RocksStore| match store.get(&DatabaseRow::key()) {
        Ok(Some(row)) => DatabaseRow::decode(&row).map_err(|error| error.to_string()),
        Ok(None) => Err("it is gone".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let own = read(store);
    let copied = || sources.copies.iter().find_map(|copy| Some((copy.name.clone(), read(&copy.store).ok()?)));
    let row = match own {
        Ok(row) => row,
        Err(problem) => {
            let Some((name, row)) = copied() else { return Err(MendError::NoDatabaseRow(problem)) };
            report.add(None, (Place::Rows("database's own row"), problem), Remedy::From(name));
            row
        }
    };
    let is_other = |copy: &&super::Copy| read(&copy.store).is_ok_and(|other| other.id != row.id);
    match sources.copies.iter().find(is_other) {
        Some(other) => Err(MendError::OtherDatabase(other.name.clone())),
        None => Ok(row),
    }
}

/// All bindings that can be read, the damaged database's own first. One that only a copy has counts where others of the
/// damaged database can't be read.
fn bindings(
    remains: &Remains,
    in_part: bool,
    sources: &Sources,
    database: &DatabaseRow,
    report: &mut Report,
) -> Vec<(LogId, Vec<Claimed>)> {
    let mut found: BTreeMap<LogId, Vec<Claimed>> = BTreeMap::new();
    let mut problem = in_part.then(|| "they may be gone".to_owned());
    let range = KeyRange::all(LogId::DATABASE, Kind::Binding);
    let own = scan_past::<Infallible>(&remains.store, range.clone(), &mut |key, row| {
        let id = key.number().and_then(|number| u32::try_from(number).ok());
        match (id, BindingRow::decode(&row, &database.id)) {
            (Some(id), Ok(binding)) => found.entry(LogId::new(id)).or_default().push(Claimed { from: None, binding }),
            (_, Err(error)) => problem = Some(error.to_string()),
            (None, Ok(_)) => problem = Some(format!("one has the key {key:?}")),
        }
        Ok(())
    });
    let gap = own.unwrap_or_default().into_iter().next().map(|gap| gap.problem);
    if let Some(gap) = &gap {
        let name = sources.copies.first().map_or_else(|| Remedy::Missing, |copy| Remedy::From(copy.name.clone()));
        report.add(None, (Place::Rows("bindings of logs"), gap.clone()), name);
    }
    let is_sound = gap.or(problem).is_none();
    for copy in &sources.copies {
        // What of a copy can't be read, it does not have.
        let _ = scan_past::<Infallible>(&copy.store, range.clone(), &mut |key, row| {
            let id = key.number().and_then(|number| u32::try_from(number).ok()).map(LogId::new);
            if let (Some(id), Ok(binding)) = (id, BindingRow::decode(&row, &database.id))
                && (!is_sound || found.contains_key(&id))
            {
                found.entry(id).or_default().push(Claimed { from: Some(copy.name.clone()), binding });
            }
            Ok(())
        });
    }
    found.into_iter().collect()
}
