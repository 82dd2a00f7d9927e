//! Files and their digests: several at a time, told in the order in which they were asked for.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cairn_tree::record::bounds::MAX_INTEGER;
use sha2::{Digest as _, Sha256};

use super::walk::{Found, Walk};
use super::{AttachError, failed};
use crate::bounds::{HASHED_AT_ONCE, HASHING_THREADS};

/// How much of a file is read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Is told of the bytes that were hashed, as they are.
pub type Hashed<'a> = &'a (dyn Fn(u64) + Sync);

/// Length and SHA-256 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// Hashes files; the digests come in the order of the paths.
pub(super) fn all(paths: &[PathBuf], hashed: Hashed<'_>) -> Result<Vec<Digest>, AttachError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut piece, mut done) = (vec![0; PIECE_BYTES], Vec::new());
        while let Some((number, path)) = take(paths, &next) {
            match one(path, &mut piece, hashed) {
                Ok(digest) => done.push((number, digest)),
                Err(error) => {
                    // The others need not begin what nobody will look at.
                    next.store(paths.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(HASHING_THREADS).min(paths.len());
    let mut done = if threads < 2 {
        work()?
    } else {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_fold(Vec::new(), |mut all, worker| {
                all.extend(worker.join().map_err(|_| AttachError::Hashing)??);
                Ok::<_, AttachError>(all)
            })
        })?
    };
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, digest)| digest).collect())
}

/// The next path that nobody has taken.
fn take<'p>(paths: &'p [PathBuf], next: &AtomicUsize) -> Option<(usize, &'p PathBuf)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    paths.get(number).map(|path| (number, path))
}

fn one(path: &Path, piece: &mut [u8], hashed: Hashed<'_>) -> Result<Digest, AttachError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let (mut hasher, mut size) = (Sha256::new(), 0_u64);
    loop {
        let read = file.read(piece).map_err(failed(path))?;
        if read == 0 {
            break;
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        size = size.saturating_add(read as u64);
        hashed(read as u64);
    }
    if size > MAX_INTEGER {
        return Err(AttachError::Size(path.to_owned()));
    }
    Ok(Digest { size, sha256: hasher.finalize().into() })
}

/// The files of a folder with their digests, in the order of the walk.
pub(super) struct Digests<'a> {
    walk: Walk,
    hashed: Hashed<'a>,
    ready: std::vec::IntoIter<(Found, Digest)>,
}

impl<'a> Digests<'a> {
    pub(super) fn new(walk: Walk, hashed: Hashed<'a>) -> Self {
        Self { walk, hashed, ready: Vec::new().into_iter() }
    }

    /// The walk, to ask what it left out.
    pub(super) fn into_walk(self) -> Walk {
        self.walk
    }

    pub(super) fn step(&mut self) -> Result<Option<(Found, Digest)>, AttachError> {
        if let Some(one) = self.ready.next() {
            return Ok(Some(one));
        }
        let mut found: Vec<Found> = self.walk.by_ref().take(HASHED_AT_ONCE).collect::<Result<_, _>>()?;
        let paths: Vec<PathBuf> = found.iter_mut().map(|one| std::mem::take(&mut one.path)).collect();
        let digests = all(&paths, self.hashed)?;
        self.ready = found.into_iter().zip(digests).collect::<Vec<_>>().into_iter();
        Ok(self.ready.next())
    }
}
