//! A data set beside what a record says of it: which files are the same, changed, missing or new.
//!
//! What a record has one digest each of is compared by name. Of a folder that has one digest in all, the files are hashed
//! into a listing anew, beside the one that was kept; without that one it is only known whether all are the same.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::hashing::{Digest, Digests};
use super::listing::{self, Kept, Line};
use super::walk::{Found, Walk};
use super::{AttachError, Attached, Few, Given, How, LeftOut, Place, called, digests, failed, few, kind};
use crate::bounds::NAMED_DIFFERENCES;

/// What a data set is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Against<'a> {
    /// What the record says.
    pub recorded: &'a [Attached],
    /// Files that may be listings.
    pub listings: &'a [PathBuf],
    /// Where listings were kept.
    pub place: &'a Place,
}

/// How a data set differs from what a record says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many files are the same.
    pub same: u64,
    /// Files with other bytes; a folder, if nothing tells which of its files.
    pub changed: Vec<String>,
    /// Files, and folders, that are not there.
    pub missing: Vec<String>,
    /// Files that the record does not have.
    pub new: Vec<String>,
    /// How many more there are, which are not named.
    pub unnamed: u64,
    /// The folders that are not the same, and of which no listing tells what changed; with where one would be looked for.
    pub unlisted: Vec<(String, PathBuf)>,
    /// What was not looked at.
    pub left_out: LeftOut,
}

/// How one file differs.
enum Differs {
    Changed,
    Missing,
    New,
}

impl Comparison {
    /// Whether nothing differs.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty() && self.new.is_empty() && self.unnamed == 0
    }

    fn add(&mut self, how: &Differs, name: String) {
        if self.changed.len() + self.missing.len() + self.new.len() == NAMED_DIFFERENCES {
            self.unnamed += 1;
            return;
        }
        match how {
            Differs::Changed => self.changed.push(name),
            Differs::Missing => self.missing.push(name),
            Differs::New => self.new.push(name),
        }
    }

    /// Compares what a record has one digest each of, by name.
    fn files(&mut self, recorded: &[&Attached], found: &[Attached]) {
        let by_name = |one: &Attached| (one.name.as_str().to_owned(), (one.size, one.sha256));
        let recorded: BTreeMap<_, _> = recorded.iter().map(|one| by_name(one)).collect();
        let mut found: BTreeMap<_, _> = found.iter().map(by_name).collect();
        for (name, one) in recorded {
            match found.remove(&name) {
                Some(other) if other == one => self.same += 1,
                Some(_) => self.add(&Differs::Changed, name),
                None => self.add(&Differs::Missing, name),
            }
        }
        found.into_keys().for_each(|name| self.add(&Differs::New, name));
    }

    /// Compares a folder with its listing, in one pass through both.
    fn folder(&mut self, recorded: &Attached, kept: &mut Kept, found: &mut Digests<'_>) -> Result<(), AttachError> {
        let (folder, same_before) = (recorded.name.as_str(), self.is_same());
        let mut size = 0_u64;
        let within = |name: &[u8]| format!("{folder}{}", String::from_utf8_lossy(name));
        let (mut line, mut file) = (kept.step()?, found.step()?);
        loop {
            match by_path(line.as_ref(), file.as_ref()) {
                None => break,
                Some((Ordering::Less, name)) => {
                    self.add(&Differs::Missing, within(name));
                    line = kept.step()?;
                }
                Some((Ordering::Greater, name)) => {
                    self.add(&Differs::New, within(name));
                    file = found.step()?;
                }
                Some((Ordering::Equal, name)) => {
                    let listed = line.as_ref().map(|line| line.sha256);
                    if listed == file.as_ref().map(|(_, digest)| digest.sha256) {
                        self.same += 1;
                        size += file.as_ref().map_or(0, |(_, digest)| digest.size);
                    } else {
                        self.add(&Differs::Changed, within(name));
                    }
                    (line, file) = (kept.step()?, found.step()?);
                }
            }
        }
        if same_before && self.is_same() && size != recorded.size {
            // No file is another, but the record says so.
            self.add(&Differs::Changed, folder.to_owned());
        }
        Ok(())
    }
}

/// Which of the two comes first, and its path. `Less` is a line without a file.
fn by_path<'n>(line: Option<&'n Line>, file: Option<&'n (Found, Digest)>) -> Option<(Ordering, &'n [u8])> {
    match (line, file) {
        (None, None) => None,
        (Some(line), None) => Some((Ordering::Less, &line.name)),
        (None, Some((found, _))) => Some((Ordering::Greater, &found.name)),
        (Some(line), Some((found, _))) => {
            let order = line.name.cmp(&found.name);
            Some((order, if order == Ordering::Greater { &found.name } else { &line.name }))
        }
    }
}

/// Compares a data set with what a record says of it.
///
/// A folder of which the record has a listing is the one that is given under its name; or, where the record has one such
/// folder and one folder is given, that one, whatever it is called now.
///
/// # Errors
/// [`AttachError`].
pub fn check(paths: &[PathBuf], against: Against<'_>, how: How<'_>) -> Result<Comparison, AttachError> {
    let (listed, files): (Vec<&Attached>, Vec<&Attached>) = against.recorded.iter().partition(|one| one.is_listing);
    let (mut folders, mut others) = (Vec::new(), Vec::new());
    for path in paths {
        match kind(path, how.links)? {
            Given::Folder if !listed.is_empty() => folders.push((format!("{}/", called(path)?), path)),
            _ => others.push(path.clone()),
        }
    }
    let mut comparison = Comparison::default();
    let is_only = listed.len() == 1 && folders.len() == 1;
    for one in listed {
        let name = one.name.as_str();
        match folders.iter().position(|(called, _)| is_only || called == name) {
            Some(place) => listed_folder(&mut comparison, folders.swap_remove(place).1, one, against, how)?,
            None => comparison.add(&Differs::Missing, name.to_owned()),
        }
    }
    others.extend(folders.into_iter().map(|(_, path)| path.clone()));
    let Some(Few { files: found, left_out }) = few(&others, how.links)? else {
        return Err(AttachError::TooManyFound);
    };
    comparison.files(&files, &digests(found, how)?);
    comparison.left_out.join(left_out);
    Ok(comparison)
}

fn listed_folder(
    comparison: &mut Comparison,
    root: &Path,
    recorded: &Attached,
    against: Against<'_>,
    how: How<'_>,
) -> Result<(), AttachError> {
    let name = recorded.name.as_str();
    let mut digests = Digests::new(Walk::new(root, how.links)?, how.hashed);
    let place = against.place.of(name.trim_end_matches('/'), &recorded.sha256);
    // A file that was named must be there; which of them is the listing, its digest says.
    for path in against.listings {
        path.metadata().map_err(failed(path))?;
    }
    let kept = against.listings.iter().chain([&place]).find_map(|path| Kept::open(path, &recorded.sha256).transpose());
    match kept.transpose()? {
        Some(mut kept) => comparison.folder(recorded, &mut kept, &mut digests)?,
        None => match listing::write(root, &mut digests, |_| Ok(())) {
            Ok(summary) if (summary.size, summary.sha256) == (recorded.size, recorded.sha256) => {
                comparison.same += summary.files;
            }
            Ok(_) | Err(AttachError::Empty(_)) => {
                comparison.add(&Differs::Changed, name.to_owned());
                comparison.unlisted.push((name.to_owned(), place));
            }
            Err(error) => return Err(error),
        },
    }
    comparison.left_out.join(digests.into_walk().left_out());
    Ok(())
}
