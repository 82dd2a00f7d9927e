//! What the reader of high-water files makes of any bytes, and such bytes: for the fuzz targets, which open no file.

use cairn_tree::store::{DatabaseId, LogId};

use super::frame::{self, FRAME, HEADER};
use super::{Marked, Marks};

/// What a file holds, as it would be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Its marks.
    pub marks: Marks,
    /// Where the next commit goes.
    pub end: usize,
    /// Whether bytes of a commit that was cut short stand there or past it.
    pub torn: bool,
}

/// The length of a frame, and of the header before all of them.
pub const LENGTHS: (usize, usize) = (FRAME, HEADER);

/// Reads the bytes of a file of this database; `None` if it would be refused.
#[must_use]
pub fn read_again(bytes: &[u8], database: &DatabaseId) -> Option<Again> {
    if frame::read_header(bytes).ok()?.database != *database {
        return None;
    }
    let frame::Contents { marks, end, torn } = frame::read_frames(bytes, database).ok()?;
    Some(Again { marks, end, torn })
}

/// The bytes of a file with these commits, each with a number and marks.
#[must_use]
pub fn write_again(database: &DatabaseId, commits: &[(u64, Vec<(LogId, Marked)>)]) -> Vec<u8> {
    let frames = commits.iter().map(|(number, marks)| frame::commit(database, *number, marks));
    core::iter::once(frame::header(database)).chain(frames).flatten().collect()
}
