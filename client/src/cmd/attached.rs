//! What commands that bring records know of `--attach`: which data, of which class, what becomes of links, and where listings are kept.

use std::path::{Path, PathBuf};

use cairn_tree::record::class::Class;
use clap::Args;

use super::failure::Failure;
use super::reader::class;
use super::terminal::Output;
use crate::attach::{self, AttachError, DataSet, How, LeftOut, Links, Place};
use crate::fetch::shown;

/// What is attached.
#[derive(Debug, Args)]
pub(super) struct AttachOptions {
    /// Data that is kept elsewhere, of which the record shall have name, size and SHA-256: a file, or all files of a
    /// folder. If there are more than 256 files, each folder has one digest, that of its listing, which is kept.
    #[arg(long, value_name = "FILE|DIR")]
    attach: Vec<PathBuf>,
    /// What becomes of symbolic links in it.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    links: Links,
    /// The folder in which listings are kept, of `sha256sum` lines [default: beside the saved record].
    #[arg(long, value_name = "DIR")]
    listings: Option<PathBuf>,
    /// Who may see these digests, names and sizes: `public`, `internal`, `restricted` or `secret` [default: what the
    /// record's classification says, else internal].
    #[arg(long, value_name = "CLASS", value_parser = class)]
    pub(super) attach_class: Option<Class>,
}

impl AttachOptions {
    /// Hashes the data. `save` is where the record will be kept.
    pub(super) fn data_set(&self, save: Option<&Path>, output: &mut Output<'_>) -> Result<DataSet, Failure> {
        let place = match (&self.listings, save) {
            (Some(folder), _) => Some(Place::Within(folder.clone())),
            (None, Some(record)) => Some(Place::Beside(record.to_owned())),
            (None, None) => None,
        };
        let set = hashing(self.links, output, |how| attach::data_set(&self.attach, place.as_ref(), how))?;
        say_left_out(&set.left_out, output);
        Ok(set)
    }
}

/// Does what takes as long as the data is large, and shows how far it is.
pub(super) fn hashing<T>(
    links: Links,
    output: &Output<'_>,
    work: impl FnOnce(How<'_>) -> Result<T, AttachError>,
) -> Result<T, Failure> {
    let bar = output.bytes("hashed");
    let done = work(How { links, hashed: &|bytes| bar.inc(bytes) });
    bar.finish_and_clear();
    done.map_err(|error| Failure::Usage(error.to_string()))
}

/// Whether there is none to tell of.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
pub(super) const fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Says what was not looked at.
pub(super) fn say_left_out(left_out: &LeftOut, output: &mut Output<'_>) {
    for path in &left_out.first {
        output.say(format_args!("cairn: left out: the link {}", shown(&path.to_string_lossy())));
    }
    let more = left_out.count - left_out.first.len();
    if more > 0 {
        output.say(format_args!("cairn: left out: {more} more links"));
    }
}
