//! A disk under the high-water file whose writes wait or fail when a test says so: what happens meanwhile is then no
//! matter of luck.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use super::*;

/// Opened and shut by a test. It begins open, and is open once the test has let go of it: an engine that waits for it ends.
#[derive(Debug, Default)]
pub(crate) struct Gate(Arc<Post>);

#[derive(Debug, Default)]
struct Post {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    fails: bool,
    waiting: usize,
}

impl Gate {
    /// Opens the file on a disk with this gate.
    pub(crate) fn high_water(&self, path: &Path, database: DatabaseId) -> Result<(HighWater, Marks), HighWaterError> {
        HighWater::open_on(Box::new(GatedDisk(Arc::clone(&self.0))), path, database, BOUNDS)
    }

    /// From now on writes wait.
    pub(crate) fn shut(&self) {
        self.change(|state| state.shut = true);
    }

    /// Waits until a write waits.
    pub(crate) fn wait_for_write(&self) {
        let state = self.0.state.lock().unwrap();
        drop(self.0.changed.wait_while(state, |state| state.waiting == 0).unwrap());
    }

    /// Lets the write that waits and all others through.
    pub(crate) fn open(&self) {
        self.change(|state| state.shut = false);
    }

    /// The same, but they fail.
    pub(crate) fn open_to_failure(&self) {
        self.change(|state| (state.shut, state.fails) = (false, true));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Post {
    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.shut).unwrap();
        state.waiting -= 1;
        if state.fails { Err(io::Error::other("on purpose")) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct GatedDisk(Arc<Post>);

impl Disk for GatedDisk {
    fn resolve(&mut self, path: &Path) -> io::Result<PathBuf> {
        RealDisk.resolve(path)
    }

    fn open(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(GatedFile { file: RealDisk.open(path)?, gate: Arc::clone(&self.0) }))
    }

    fn create(&mut self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(GatedFile { file: RealDisk.create(path)?, gate: Arc::clone(&self.0) }))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        RealDisk.sync_directory(path)
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Box<dyn DiskFile>,
    gate: Arc<Post>,
}

impl DiskFile for GatedFile {
    fn read(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        self.file.read(limit)
    }

    /// Not the sync: a copy of the file that is made meanwhile has nothing of what waits, as after a power failure.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.gate.pass()?;
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}
