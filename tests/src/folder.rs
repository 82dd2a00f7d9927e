//! Folders of databases as an operator handles them: copied, compared.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Copies a folder with what is in it, modes included, as `cp -r` does. Sockets are left out, and what a running server
/// removes meanwhile.
///
/// # Errors
/// What the system says.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for file in fs::read_dir(from)? {
        let file = file?;
        let target = to.join(file.file_name());
        let Ok(kind) = file.file_type() else { continue };
        if kind.is_dir() {
            copy(&file.path(), &target)?;
        } else if kind.is_file() {
            match fs::copy(file.path(), target) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
