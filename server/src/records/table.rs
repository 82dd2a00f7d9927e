//! What operators decide about tenants, in one small JSON file of the data directory each: `{"format":1,"tenants":...}`, with
//! a digest (`crate::summed`).
//!
//! A file is read whole at the start and replaced as a whole. Not here: what stands in it.

use core::marker::PhantomData;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::regular::{open_regular, read_bounded};
use crate::replace::replace_file;
use crate::summed::{self, Summed};

const FORMAT: u32 = 1;
/// More than the largest number of tenants takes, or of modules.
const FILE_BYTES: u64 = 16 << 20;

/// A file with something about each tenant.
pub(super) struct Table<T> {
    path: PathBuf,
    of: PhantomData<fn() -> T>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<T> {
    format: u32,
    tenants: T,
}

/// Why such a file can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not what this program writes.
    #[error("{path} is damaged: {problem}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It would be longer than what is read.
    #[error("{path} would be longer than {FILE_BYTES} bytes", path = path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

impl<T: Default + Serialize + DeserializeOwned> Table<T> {
    /// The file of this name in a data directory.
    pub(super) fn of(data: &Path, name: &str) -> Self {
        Self { path: data.join(name), of: PhantomData }
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Reads it; one that is not there says nothing about anybody.
    pub(super) fn read(&self) -> Result<T, TableError> {
        self.read_summed().map(|read| read.content)
    }

    /// Gives a file that an earlier version wrote its digest. To be called once it is known to be good.
    pub(super) fn add_sum(&self) -> Result<(), TableError> {
        match self.read_summed()? {
            Summed { content, has_sum: false } if self.is_there() => self.replace(&content),
            _ => Ok(()),
        }
    }

    fn read_summed(&self) -> Result<Summed<T>, TableError> {
        let io = |source| TableError::Io { path: self.path.clone(), source };
        let file = match open_regular(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Summed { content: T::default(), has_sum: false });
            }
            file => file.map_err(io)?,
        };
        let bytes = read_bounded(file, FILE_BYTES).map_err(io)?;
        let damaged = |problem: String| TableError::Damaged { path: self.path.clone(), problem };
        let read = summed::read::<Content<T>>(&bytes).map_err(|error| damaged(error.to_string()))?;
        let Summed { content, has_sum } = read;
        if content.format != FORMAT {
            return Err(damaged(format!("format {}, not {FORMAT}", content.format)));
        }
        Ok(Summed { content: content.tenants, has_sum })
    }

    /// Replaces it, durably; after an error the old one still stands.
    pub(super) fn replace(&self, tenants: &T) -> Result<(), TableError> {
        let io = |source| TableError::Io { path: self.path.clone(), source };
        let content = Content { format: FORMAT, tenants };
        let bytes = summed::to_pretty(&content).map_err(|error| io(error.into()))?;
        if bytes.len() as u64 > FILE_BYTES {
            return Err(TableError::TooLong { path: self.path.clone() });
        }
        replace_file(&self.path, &bytes).map_err(io)
    }
}
