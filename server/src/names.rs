//! Making names durable: a file or a folder is there after a power loss only once the folder that names it was synced. Not here:
//! what a file holds, which whoever writes it syncs first.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the names in a folder durable.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Makes the name of a file or folder durable, and all others beside it.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}
