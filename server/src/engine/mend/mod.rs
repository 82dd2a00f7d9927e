//! Mending a stopped database that is damaged: everything that can be read is judged by what was signed, what is missing
//! is taken from copies and mirrors that need no trust, and all of it is written into a new database beside the old one.
//!
//! Not here: where copies and mirrors come from (`crate::backup`, `crate::mirror`). Nothing is signed here, and nothing of
//! the damaged database is changed: it is renamed when the new one was verified whole (`swap`), and kept.
//!
//! # What is believed
//!
//! The high-water file says which head each log released last; no more is asked of it than at a start. From that head's
//! root down, each tile and each bundle has a hash that it must have (`crate::engine::judge`), and whoever has bytes with
//! that hash is as good as any other. Tiles, the hash index and the rows by which idempotency keys expire follow from the
//! rest, and are made anew. Bindings, policies, checkpoints and idempotency keys follow from nothing: they are taken along
//! from the damaged database where they can be read, else from a copy, and the report says so. A binding must know of
//! exactly the changes of keys that the log's entries tell of.
//!
//! Where rows may be gone without a trace, as those that stood in a part of the write-ahead log which can't be read, the
//! report says of such rows what it means if they are. Which policy a log has, and whether any, the high-water knows; a log is
//! held of which that one is not found.
//!
//! Entries past the last released head, which nobody was told of, are kept if they are whole, and else let go of.
//!
//! # Who may sign afterwards
//!
//! A log that was halted because of damage, and for no other reason, goes on. One that was halted for good stays so. Where
//! the row that says so is lost, the high-water tells, and the incidents say why: a halt for good is one of them.

mod edge;
mod lacking;
mod log;
mod open;
mod published;
mod report;
mod rest;
mod rows;
mod secret;
mod sink;
mod sources;
mod swap;

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{LogId, Store as _};

use open::Claimed;
pub use open::Mending;
pub use report::{MendedLog, Remedy, Report, Wrong};
pub use secret::Draw;
pub use sources::{Copy, Mirror, Sources};
pub use swap::{RepairLock, SwapError, clear_undecided, settle, sources_folder};

use super::fsck::{Progress, check_all};
use super::layout::{BindingRow, DatabaseRow, HeadRow, LogState, Successor};
use super::open::OpenError;
use super::replay::replay;
use super::scrub::Place;
use super::stored::Stored;
use crate::high_water::Mark;
use lacking::LackingSearch;
use log::{Walk, Walked};
use rest::Rest;
use sink::Sink;
use sources::Parts;

/// Tells how far it is: the log, the entries read, and the entries there are.
type Step<'a> = Progress<'a>;

/// Where the new database stands until it is whole.
const MENDING: &str = "db.mending";
/// Where tables are listed anew whose manifest is lost.
const SALVAGE: &str = "db.salvage";

/// What is said of a log that was halted for good, where nothing else is left that says so.
const NO_REASON: &str = "the high-water file says that it was halted for good; why is lost with incidents.jsonl";

/// Why a database is not mended. The damaged one is as it was, unless [`MendError::has_changed_nothing`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// It can't be read at all, or does not fit its high-water file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database is elsewhere, where no other can take its place.
    #[error(
        "{} is a symbolic link; a repair puts another folder in the database's place, and would leave this one where it points. \
         Put the folder itself there, and repair it then", .0.display()
    )]
    Linked(PathBuf),
    /// A copy is of another database.
    #[error("{0} is of another database")]
    OtherDatabase(String),
    /// Neither it nor any copy says which database it is.
    #[error("the database's own row can't be read: {0}; name a backup of it with --from")]
    NoDatabaseRow(String),
    /// Something is missing.
    #[error("not everything that is missing was found")]
    NotMendable,
    /// What was made is not as it must be: the machine itself is not sound.
    #[error("log {log} did not come out as it must: {problem}. Look at this machine's memory and disk")]
    Unsound {
        /// The log, or what stands for the database.
        log: String,
        /// What is wrong.
        problem: String,
    },
    /// A secret that is lost can't be drawn anew.
    #[error("the system gives no randomness: {0}")]
    NoRandomness(String),
    /// The new database can't be written.
    #[error("the new database can't be written: {0}")]
    Write(String),
    /// Appends are refused for the same reason.
    #[error("the disk has too little room left for a second copy: {free} bytes, and the reserve is {reserve}")]
    DiskReserve {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// The same, before anything was written.
    #[error(
        "the disk has too little room for a second copy of the database, which takes about {needed} bytes: {free} are free, and the reserve is {reserve}"
    )]
    NoRoom {
        /// Bytes that the damaged database has.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// A folder beside the database could not be made or removed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The new database could not be given the old one's name.
    #[error(transparent)]
    Swap(#[from] SwapError),
}

impl MendError {
    /// Whether the damaged database is still in its place, and stays there.
    #[must_use]
    pub fn has_changed_nothing(&self) -> bool {
        !matches!(self, Self::Swap(SwapError::Unfinished { .. } | SwapError::Odd { .. }))
    }
}

/// A log's head that everything is judged by.
#[derive(Debug, Clone, Copy)]
struct Target {
    signed: Root,
    time_ms: u64,
}

impl Mending {
    /// Reads everything, and says what is damaged and what would become of it. Nothing is changed.
    ///
    /// # Errors
    /// [`MendError`].
    pub fn survey(&self, step: &mut Progress<'_>) -> Result<Report, MendError> {
        let mut report = self.opening.clone();
        for (log, bindings) in &self.logs {
            self.log(*log, bindings, (&mut report, None), step)?;
        }
        // Last, so that damage under a log's own rows is told as that log's: what no log reads any more.
        if self.remains.problem.is_none()
            && let Err(error) = self.remains.store.read_all()
        {
            report.add(None, (Place::Tables, error.to_string()), Remedy::Made);
        }
        Ok(report)
    }

    /// Makes the new database, verifies it, and puts it in the place of the old one, which is kept under the name that is
    /// returned.
    ///
    /// # Errors
    /// [`MendError`], which says whether anything was changed.
    pub fn mend(&self, report: &Report, now_ms: u64, step: &mut Progress<'_>) -> Result<PathBuf, MendError> {
        if report.is_missing {
            return Err(MendError::NotMendable);
        }
        self.check_room()?;
        if let Err(error) = self.make(step) {
            // The reason comes first; what can't be removed is removed by the next repair.
            let _ = fs::remove_dir_all(self.options.data.join(MENDING));
            return Err(error);
        }
        Ok(swap::swap(&self.options.data, report.incidents(now_ms), now_ms)?)
    }

    /// That there is room for as much as the damaged database has: what it lost comes besides, what was overwritten in it is
    /// left out.
    fn check_room(&self) -> Result<(), MendError> {
        let path = self.options.database_path();
        let on_io = |error| MendError::Io { path: path.clone(), error };
        let mut needed = 0_u64;
        for file in fs::read_dir(&path).map_err(on_io)? {
            needed = needed.saturating_add(file.and_then(|file| file.metadata()).map_err(on_io)?.len());
        }
        let no_room = |low: crate::engine::disk::BelowReserve| {
            let (free, reserve) = (low.free, low.reserve);
            MendError::NoRoom { needed, free, reserve }
        };
        self.disk().check_for(needed).map_err(no_room)
    }

    fn make(&self, step: &mut Progress<'_>) -> Result<(), MendError> {
        let path = self.options.data.join(MENDING);
        remove(&path)?;
        let mut sink = Sink::create(&path, &self.options.settings, self.disk())?;
        let mut report = Report::default();
        for (log, bindings) in &self.logs {
            self.log(*log, bindings, (&mut report, Some(&mut sink)), step)?;
        }
        if report.is_missing {
            // It was there a moment ago.
            return Err(MendError::NotMendable);
        }
        // Last: a database without it was never finished.
        sink.put(DatabaseRow::key(), self.mended_row().encode())?;
        sink.flush()?;
        drop(sink);
        self.verify(&path, &report, step)
    }

    /// Reads and hashes the new database as `fsck` does, and compares it with the high-water.
    fn verify(&self, path: &std::path::Path, report: &Report, step: &mut Progress<'_>) -> Result<(), MendError> {
        let store = cairn_rocks::RocksStore::open(path, &self.options.settings).map_err(OpenError::from)?;
        for finding in check_all(&store, &self.mended_row(), &self.marks, step)? {
            if let Some(problem) = finding.problem.filter(|_| finding.damaged) {
                return Err(MendError::Unsound { log: finding.log, problem });
            }
            let is_told = |log: &MendedLog| log.log == finding.log && log.size == finding.size;
            if !report.logs.iter().any(is_told) {
                let problem = format!("it has size {}", finding.size);
                return Err(MendError::Unsound { log: finding.log, problem });
            }
        }
        Ok(())
    }

    fn log(
        &self,
        log: LogId,
        bindings: &[Claimed],
        (report, mut sink): (&mut Report, Option<&mut Sink>),
        step: &mut Progress<'_>,
    ) -> Result<(), MendError> {
        let Some(Claimed { binding: first, .. }) = bindings.first() else { return Ok(()) };
        let (name, store) = (first.name.to_string(), &self.remains.store);
        let parts = Parts::new(store, &self.sources, Stored::new(store, log), &first.origin);
        let row = self.head_row(log, &name, report);
        let target = self.target(&parts.own, row.as_ref(), log, &name)?;
        let size = target.signed.size;
        if let Some(row) = row.as_ref().filter(|row| row.size > size) {
            let place = Place::Tail { first: size.get(), end: row.size.get() };
            let found = "they were committed but not released, and are not whole".to_owned();
            report.add(Some(&name), (place, found), Remedy::Dropped("let go of: nobody was told of them"));
        }
        let walk = Walk {
            parts: &parts,
            name: &name,
            signed: target.signed,
            report: &mut *report,
            sink: sink.as_deref_mut(),
            step: &mut *step,
        };
        let search = self.in_part.then(|| LackingSearch::new(&first.origin)).flatten();
        let Some(walked) = walk.run(search)? else {
            report.logs.push(MendedLog { log: name, size, ended: None, lifted: false, held: false });
            return Ok(());
        };
        let Some(binding) = self.binding(bindings, &walked, report) else { return Ok(()) };
        let binding = &*self.with_successor(binding, report);
        let (state, lifted) = self.state(log, row.as_ref(), (&walked, binding), report);
        let (binding_key, head_key) = (BindingRow::key(log), HeadRow::key(log));
        if let Some(sink) = &mut sink {
            sink.put(binding_key, binding.encode())?;
            sink.put(head_key, self.mended_head(target, &walked, state.clone()).encode())?;
        }
        let (in_part, lost, draw) = (self.in_part, self.lost, self.draw);
        let (records, changed, lacking) = (walked.records, &walked.changed, &walked.lacking);
        let rest = Rest {
            parts: &parts,
            log,
            binding,
            size,
            records,
            changed,
            lacking,
            decided: self.marks.decided(log),
            in_part,
            lost,
            draw,
            report: &mut *report,
            sink,
        };
        let held = rest.run()?.is_held;
        let ended = match state {
            LogState::Open => None,
            LogState::Sealed => Some("sealed".to_owned()),
            LogState::Halted(reason) => Some(format!("halted: {reason}")),
        };
        report.logs.push(MendedLog { log: name, size, ended, lifted, held });
        Ok(())
    }

    /// The head that everything of a log is judged by: the last that was released, or one that came to be durable behind
    /// it and is whole.
    fn target(&self, own: &Stored<'_>, row: Option<&HeadRow>, log: LogId, name: &str) -> Result<Target, MendError> {
        let mark = match self.marks.get(log) {
            Some(mark) => mark,
            // Made, but its empty head was never marked: nobody has seen it.
            None if row.is_none_or(|row| row.size == TreeSize::ZERO) => {
                let time_ms = row.map_or(0, |row| row.time_ms);
                Mark { size: TreeSize::ZERO, root: Hash::EMPTY_TREE, time_ms }
            }
            None => return Err(OpenError::NoMark(name.to_owned()).into()),
        };
        let released = Target { signed: Root { size: mark.size, hash: mark.root }, time_ms: mark.time_ms };
        let Some(row) = row.filter(|row| row.size >= mark.size) else { return Ok(released) };
        let time_ms = row.time_ms.max(mark.time_ms);
        if row.size == mark.size {
            return Ok(Target { time_ms, ..released });
        }
        let grown = own.growing(mark.size).and_then(|mut tree| {
            let is_released = tree.root() == mark.root;
            replay(own, &mut tree, row.size, &mut |_| {})?;
            Ok(is_released && tree.root() == row.root)
        });
        let signed = Root { size: row.size, hash: row.root };
        Ok(if grown == Ok(true) { Target { signed, time_ms } } else { released })
    }

    /// The damaged database's own, if it can be read.
    fn head_row(&self, log: LogId, name: &str, report: &mut Report) -> Option<HeadRow> {
        let problem = match self.remains.store.get(&HeadRow::key(log)) {
            Ok(Some(row)) => match HeadRow::decode(&row) {
                Ok(row) => return Some(row),
                Err(error) => error.to_string(),
            },
            Ok(None) => "it is gone".to_owned(),
            Err(error) => error.to_string(),
        };
        report.add(Some(name), (Place::Rows("head"), problem), Remedy::Made);
        None
    }

    /// The binding that knows of exactly the changes of keys that the entries tell of.
    fn binding<'b>(&self, bindings: &'b [Claimed], walked: &Walked, report: &mut Report) -> Option<&'b BindingRow> {
        let fits = |claimed: &Claimed| claimed.binding.statements == walked.key_statements;
        let Some(position) = bindings.iter().position(fits) else {
            let name = bindings.first().map(|claimed| claimed.binding.name.as_str());
            let found = format!("none that can be read knows of the changes of keys at {:?}", walked.key_statements);
            report.add(name, (Place::Rows("binding"), found), Remedy::Missing);
            return None;
        };
        let Claimed { from, binding } = bindings.get(position)?;
        if let Some(from) = from {
            let found = if position == 0 { "it can't be read" } else { "it is an older one" };
            report.add(Some(&binding.name), (Place::Rows("binding"), found.to_owned()), Remedy::From(from.clone()));
        }
        Some(binding)
    }

    /// The same, with the log that continues it: that one has begun, and says so, even if the row that names it is lost. Of
    /// a log that ended without an entry of its own nothing else tells.
    fn with_successor<'b>(&self, binding: &'b BindingRow, report: &mut Report) -> Cow<'b, BindingRow> {
        let has_begun = |log: LogId| self.marks.get(log).is_some_and(|mark| mark.size > TreeSize::ZERO);
        let continues = |claimed: &&Claimed| claimed.binding.predecessor.as_ref() == Some(&binding.name);
        let mut begun = self.logs.iter().filter(|(log, _)| has_begun(*log));
        let next = begun.find_map(|(_, bindings)| bindings.iter().find(continues));
        let Some(Claimed { binding: next, .. }) = next.filter(|_| binding.successor.is_none()) else {
            return Cow::Borrowed(binding);
        };
        let found = format!("it does not name {}, which continues the log", next.origin);
        report.add(Some(&binding.name), (Place::Rows("binding"), found), Remedy::Made);
        let mut named = binding.clone();
        named.successor = Some(Successor { name: next.name.clone(), origin: next.origin.clone() });
        Cow::Owned(named)
    }

    /// Whether the log goes on, and whether it did not before.
    fn state(
        &self,
        log: LogId,
        row: Option<&HeadRow>,
        (walked, binding): (&Walked, &BindingRow),
        report: &mut Report,
    ) -> (LogState, bool) {
        let of_copy = || {
            let rows = self.sources.copies.iter().filter_map(|copy| copy.store.get(&HeadRow::key(log)).ok().flatten());
            rows.filter_map(|row| HeadRow::decode(&row).ok()).next()
        };
        let is_certain = row.is_some() && !self.in_part;
        let known = row.cloned().or_else(of_copy);
        let told = self
            .incidents
            .iter()
            .rfind(|incident| incident.event == "halted" && incident.log.as_deref() == Some(binding.name.as_str()));
        let decided = self.marks.decided(log);
        if !is_certain && decided.is_none() && self.incidents_have_gaps() {
            let found = "whether it was halted for good can't be known: incidents.jsonl is damaged as well".to_owned();
            report.add(Some(&binding.name), (Place::Rows("head"), found), Remedy::Missing);
        }
        if let Some((LogState::Halted(reason), false)) = known.as_ref().map(|row| (&row.state, row.mendable)) {
            return (LogState::Halted(reason.clone()), false);
        }
        let was_halted = decided.is_some_and(|decided| decided.halted);
        if was_halted {
            let found = "the high-water file says that the log was halted for good, and it does not".to_owned();
            report.add(Some(&binding.name), (Place::Rows("head"), found), Remedy::Made);
        }
        match told {
            Some(told) if was_halted || !is_certain => return (LogState::Halted(told.found.clone()), false),
            None if was_halted => return (LogState::Halted(NO_REASON.to_owned()), false),
            _ => {}
        }
        if walked.is_sealed {
            return (LogState::Sealed, false);
        }
        if let Some(successor) = &binding.successor {
            return (LogState::Halted(format!("continued by {}", successor.origin)), false);
        }
        (LogState::Open, known.is_some_and(|row| matches!(row.state, LogState::Halted(_))))
    }

    fn mended_head(&self, target: Target, walked: &Walked, state: LogState) -> HeadRow {
        let Target { signed: Root { size, hash: root }, time_ms } = target;
        let (commit, nodes) = (self.mended_row().commit, Some(walked.tree.nodes()));
        HeadRow { commit, state, size, root, time_ms, stale: (0, 0), nodes, mendable: false }
    }

    /// A commit behind all that there were.
    fn mended_row(&self) -> DatabaseRow {
        let commit = self.database.commit.max(self.marks.commit()) + 1;
        DatabaseRow { commit, ..self.database }
    }
}

fn remove(path: &std::path::Path) -> Result<(), MendError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(MendError::Io { path: path.into(), error }),
        _ => Ok(()),
    }
}
