//! The files of an outbox's folder besides what stands in them: whose they are, which segments are there, and how another
//! one is made so that a crash leaves it whole or not there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::entry::Begin;
use super::super::segment::{Segment, new_path_of, number_of, path_of};
use super::binding::{BINDING, Binding, TEMPORARY};
use super::error::StoreError;

/// Whoever may enter the folder may read names and wait for files: it is its owner's alone, whoever made it.
pub(super) fn close_to_others(folder: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(folder).map_err(StoreError::io(folder))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let closed = fs::set_permissions(folder, fs::Permissions::from_mode(mode & 0o700));
    closed.map_err(|error| StoreError::Open { path: folder.to_owned(), mode, error })?;
    tracing::warn!(folder = %folder.display(), mode = format!("{mode:o}"), "others could enter the outbox; its mode is 0700 now");
    Ok(())
}

/// Makes a segment: under another name, then said to be there, then under its name.
pub(super) fn make_segment(folder: &Path, binding: &mut Binding, begin: Begin) -> Result<Segment, StoreError> {
    let number = binding.newest + 1;
    let (fresh, path) = (new_path_of(folder, number), path_of(folder, number));
    let no_room = |error| {
        // Nothing of it counts yet; one that stays behind is removed by the next start, or here before the next try.
        let _ = fs::remove_file(&fresh);
        StoreError::NoRoom { path: fresh.clone(), error }
    };
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(StoreError::Io { path: fresh, error });
    }
    let segment = Segment::create(&fresh, binding.id, number, begin).map_err(no_room)?;
    sync_folder(folder)?;
    // From here on it counts, whether its name follows now or at the next start.
    let next = Binding { newest: number, ..*binding };
    next.write(folder)?;
    *binding = next;
    fs::rename(&fresh, &path).map_err(StoreError::io(&path))?;
    sync_folder(folder)?;
    Ok(segment)
}

/// Does what a crash may have left undone when the newest segment was made.
pub(super) fn finish_making(folder: &Path, newest: u64) -> Result<(), StoreError> {
    let failed = StoreError::io;
    for file in fs::read_dir(folder).map_err(failed(folder))? {
        let file = file.map_err(failed(folder))?;
        if file.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(file.path()).map_err(failed(&file.path()))?;
        }
    }
    let there = segments(folder)?;
    for (number, is_new) in there.iter().copied() {
        let (fresh, path) = (new_path_of(folder, number), path_of(folder, number));
        match is_new {
            true if number == newest && !there.contains(&(number, false)) => {
                fs::rename(&fresh, &path).map_err(StoreError::io(&path))?;
                sync_folder(folder)?;
            }
            true => fs::remove_file(&fresh).map_err(StoreError::io(&fresh))?,
            false if number > newest => {
                let why = format!("{BINDING} beside it says that {newest} is the newest: it is an older copy");
                return Err(StoreError::damaged(&path, why));
            }
            false => {}
        }
    }
    Ok(())
}

/// The segments in a folder, and whether each is still being made.
pub(super) fn segments(folder: &Path) -> Result<BTreeSet<(u64, bool)>, StoreError> {
    let failed = StoreError::io;
    let mut found = BTreeSet::new();
    for file in fs::read_dir(folder).map_err(failed(folder))? {
        let name = file.map_err(failed(folder))?.file_name();
        found.extend(name.to_str().and_then(number_of));
    }
    Ok(found)
}

/// A folder that is no outbox yet is empty, but for what this program leaves there on its way.
pub(super) fn refuse_others(folder: &Path) -> Result<(), StoreError> {
    for file in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let name = file.map_err(StoreError::io(folder))?.file_name();
        let name = name.to_string_lossy();
        let is_own = name.starts_with("outbox.") || name == "lost+found";
        if !is_own || number_of(&name).is_some() {
            return Err(StoreError::NotOne(folder.to_owned()));
        }
    }
    Ok(())
}

/// What was made, renamed or removed in a folder is so after a power loss, too.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))
}

/// A folder that may just have been made is still there after a power loss, and so are those that it is in: their names
/// stand in the folder above each.
pub(super) fn sync_way_to(folder: &Path) -> Result<(), StoreError> {
    let whole = std::path::absolute(folder).map_err(StoreError::io(folder))?;
    for above in whole.ancestors().skip(1) {
        match fs::File::open(above).and_then(|above| above.sync_all()) {
            // One that this user may only pass through has nothing that he made.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::ReadOnlyFilesystem) => {}
            done => done.map_err(StoreError::io(above))?,
        }
    }
    Ok(())
}
