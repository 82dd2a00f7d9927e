//! What a failing disk does to the high-water file: each call that the file makes of it fails once.

use std::io;
use std::sync::{Arc, Mutex};

use super::frame::SECTOR;
use super::tests::{Commit, DATABASE, Place, SMALL, append_all, commit, log, mark, marks_after};
use super::*;

/// What the next calls of the disk do.
#[derive(Debug, Default)]
struct Plan {
    calls: usize,
    /// The number of the call that goes wrong.
    at: usize,
    fault: Option<Fault>,
    fired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The call fails and does nothing.
    Error(io::ErrorKind),
    /// A write writes half and then the disk is full; any other call fails.
    HalfThenFull,
    /// A write writes a part only, and all goes on: no error.
    Short,
}

/// The real disk, but for one call.
#[derive(Debug, Clone)]
struct FaultyDisk(Arc<Mutex<Plan>>);

impl FaultyDisk {
    fn new(at: usize, fault: Fault) -> Self {
        Self(Arc::new(Mutex::new(Plan { at, fault: Some(fault), ..Plan::default() })))
    }

    /// The fault, if this call is the one.
    fn call(&self) -> Option<Fault> {
        let mut plan = self.0.lock().unwrap();
        plan.calls += 1;
        let fault = plan.fault.filter(|_| plan.calls - 1 == plan.at);
        plan.fired |= fault.is_some();
        fault
    }

    fn call_or_fail(&self) -> io::Result<()> {
        match self.call() {
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::HalfThenFull) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Short) | None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn DiskFile>,
    disk: FaultyDisk,
}

impl Disk for FaultyDisk {
    fn resolve(&mut self, path: &Path) -> io::Result<PathBuf> {
        // No call that reads or writes the file, so it is not counted.
        RealDisk.resolve(path)
    }

    fn open(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call_or_fail()?;
        Ok(Box::new(FaultyFile { file: RealDisk.open(path)?, disk: self.clone() }))
    }

    fn create(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call_or_fail()?;
        Ok(Box::new(FaultyFile { file: RealDisk.create(path)?, disk: self.clone() }))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.call_or_fail()?;
        RealDisk.rename(from, to)
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        self.call_or_fail()?;
        RealDisk.sync_directory(path)
    }
}

impl DiskFile for FaultyFile {
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        self.disk.call_or_fail()?;
        self.file.read(limit)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.disk.call() {
            None => self.file.write_at(bytes, offset),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Short) => self.file.write_at(&bytes[..bytes.len().div_ceil(3)], offset),
            Some(Fault::HalfThenFull) => {
                // Whole sectors, as a disk writes them.
                let end = (offset as usize + bytes.len() / 2) / SECTOR * SECTOR;
                let half = end.saturating_sub(offset as usize).min(bytes.len());
                write_all_at(self.file.as_mut(), &bytes[..half], offset)?;
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.call_or_fail()?;
        self.file.sync_data()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.disk.call_or_fail()?;
        self.file.sync_all()
    }
}

/// Opens the file on a disk with one fault and appends until it strikes. Returns the commits that were acknowledged, and
/// whether there was an error.
fn append_on(disk: &FaultyDisk, place: &Place, commits: &[Commit]) -> (Vec<Commit>, bool) {
    let mut acknowledged = Vec::new();
    let opened = HighWater::open_on(Box::new(disk.clone()), &place.path(), DATABASE, SMALL);
    let Ok((mut file, _)) = opened else { return (acknowledged, true) };
    for (number, marks) in commits {
        if let Err(error) = file.append(*number, marks) {
            assert!(matches!(error, HighWaterError::Io { .. }), "{error}");
            let next = file.append(number + 1_000, &[(log(1), mark(5_000))]);
            assert!(matches!(next, Err(HighWaterError::Failed(_))), "a file that failed once refuses: {next:?}");
            return (acknowledged, true);
        }
        acknowledged.push((*number, marks.clone()));
    }
    (acknowledged, false)
}

/// Each call of the disk fails once, in opening, extending, appending and compacting: what was acknowledged is there.
#[test]
fn a_disk_that_fails_anywhere_loses_nothing_that_was_acknowledged() {
    let commits: Vec<_> = (2..30).map(|number| commit(number, 1 + (number % 6) as u32)).collect();
    let faults = [
        Fault::Error(io::ErrorKind::Other),
        Fault::Error(io::ErrorKind::StorageFull),
        Fault::HalfThenFull,
        Fault::Error(io::ErrorKind::Interrupted),
        Fault::Short,
    ];
    for fault in faults {
        let mut errors = 0;
        for at in 0.. {
            let place = Place::new();
            append_all(&mut place.create(), &[commit(1, 2)]);
            let disk = FaultyDisk::new(at, fault);
            let (acknowledged, failed) = append_on(&disk, &place, &commits);
            if !disk.0.lock().unwrap().fired {
                assert!(!failed);
                assert_eq!(acknowledged.len(), commits.len());
                break;
            }
            errors += usize::from(failed);
            let mut history = vec![commit(1, 2)];
            history.extend(acknowledged.iter().cloned());
            let found = place.marks();
            // The commit that failed may be there or not; it was not released.
            let unknown = commits.get(acknowledged.len()).filter(|_| failed);
            let with_unknown = unknown.map(|commit| marks_after(&[history.clone(), vec![commit.clone()]].concat()));
            assert!(
                found == marks_after(&history) || Some(&found) == with_unknown.as_ref(),
                "{fault:?} in call {at}: {found:?} after {} commits",
                acknowledged.len()
            );
            let number = commits[commits.len() - 1].0 + 1;
            append_all(&mut place.open().unwrap().0, &[commit(number, 1)]);
            assert_eq!(place.marks().commit(), number, "{fault:?} in call {at}: the next start goes on");
        }
        match fault {
            Fault::Short => assert_eq!(errors, 0, "a short write is gone on with"),
            _ => assert!(errors > 10, "{fault:?} was seen {errors} times only"),
        }
    }
}

#[test]
fn a_disk_that_fails_while_the_file_is_made_leaves_no_file_that_opens_wrongly() {
    for at in 0.. {
        let place = Place::new();
        let disk = FaultyDisk::new(at, Fault::HalfThenFull);
        let made = HighWater::create_on(Box::new(disk.clone()), &place.path(), DATABASE, SMALL);
        if !disk.0.lock().unwrap().fired {
            assert!(made.is_ok() && at > 3, "the file takes more than {at} calls");
            break;
        }
        assert!(matches!(made, Err(HighWaterError::Io { .. })), "call {at}");
        match place.open() {
            Ok((_, marks)) => assert_eq!(marks, Marks::default()),
            Err(error) => assert!(matches!(error, HighWaterError::Missing(_)), "call {at}: {error}"),
        }
    }
}

/// Frames that were read may stand in the system's memory alone: no head is released on their strength before a sync.
#[test]
fn what_was_read_is_synced_before_anything_builds_on_it() {
    let place = Place::new();
    append_all(&mut place.create(), &[commit(1, 2)]);
    // Opening, reading, writing again what was read, and the sync.
    let disk = FaultyDisk::new(3, Fault::Error(io::ErrorKind::Other));
    let opened = HighWater::open_on(Box::new(disk.clone()), &place.path(), DATABASE, SMALL);
    assert!(matches!(opened, Err(HighWaterError::Io { action: "synced", .. })), "{opened:?}");
    assert!(disk.0.lock().unwrap().fired);
    assert_eq!(place.marks(), marks_after(&[commit(1, 2)]));
}
