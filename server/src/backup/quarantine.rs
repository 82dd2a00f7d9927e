//! The quarantine and the persister's configuration in a backup.
//!
//! Messages come and go while a server runs, and the copy must have each that the frozen database says is there. So their
//! files are linked, once before the database is frozen and once after: what left in between is among the first, what came
//! in between among the second. Of one that is in the copy though its records are too, a further try makes nothing new.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::make::files_in;
use super::{BackupError, Extra, copy};
use crate::records::capture::{Persister, QUARANTINE_FOLDER_NAME};

/// Where the links stand in the data folder while they are needed.
const LINKS: &str = "quarantine.frozen";
/// Where files stand in a backup that stood outside the folder of the configuration.
pub const OUTSIDE: &str = "persister-outside";

/// The files of the quarantine, held while they are copied.
#[derive(Debug)]
pub struct LinkedQuarantine {
    from: PathBuf,
    links: PathBuf,
}

impl LinkedQuarantine {
    /// Links what is in the quarantine of a data folder.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn begin(data: &Path) -> Result<Self, BackupError> {
        remove_links(data)?;
        let linked = Self { from: data.join(QUARANTINE_FOLDER_NAME), links: data.join(LINKS) };
        linked.go_on()?;
        Ok(linked)
    }

    /// Links what came since.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn go_on(&self) -> Result<(), BackupError> {
        if !self.from.is_dir() {
            return Ok(());
        }
        copy::make_folder(&self.links)?;
        for Extra { from, path: name } in files_in(&self.from, "")? {
            // What has no name yet was told to nobody.
            if name.ends_with(".new") || !from.is_file() {
                continue;
            }
            match fs::hard_link(&from, self.links.join(name)) {
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
                linked => linked.map_err(BackupError::io(&from))?,
            }
        }
        Ok(())
    }

    /// What belongs to the backup.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn extras(&self) -> Result<Vec<Extra>, BackupError> {
        if self.links.is_dir() { files_in(&self.links, QUARANTINE_FOLDER_NAME) } else { Ok(Vec::new()) }
    }
}

impl Drop for LinkedQuarantine {
    fn drop(&mut self) {
        // What stays is removed by the next backup, and by the next start.
        let _ = copy::remove_folder(&self.links);
    }
}

/// Removes what a backup left that was cut short: a message that is dropped must not stay there.
///
/// # Errors
/// [`BackupError::Io`].
pub fn remove_links(data: &Path) -> Result<(), BackupError> {
    copy::remove_folder(&data.join(LINKS))
}

/// The files of a persister's configuration, at their places beside the configuration `config`; those that stand elsewhere
/// in a folder of their own. What is not there any more is told.
#[must_use]
pub fn persister_files(config: &Path, places: &[PathBuf]) -> (Vec<Extra>, Vec<PathBuf>) {
    let beside = config.parent().unwrap_or(Path::new(""));
    let (mut extras, mut absent) = (Vec::new(), Vec::new());
    for (number, place) in places.iter().enumerate() {
        let Ok(files) = Persister::files(core::slice::from_ref(place)) else {
            absent.push(place.clone());
            continue;
        };
        for from in files {
            let inside = from.strip_prefix(beside).ok().and_then(plain);
            let name = || from.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let path = inside.unwrap_or_else(|| format!("{OUTSIDE}/{number}/{}", name()));
            if !extras.iter().any(|extra: &Extra| extra.path == path) {
                extras.push(Extra { from, path });
            }
        }
    }
    (extras, absent)
}

/// A path that leads down and nowhere else, with forward slashes.
fn plain(path: &Path) -> Option<String> {
    let part = |part: Component<'_>| match part {
        Component::Normal(name) => name.to_str().map(str::to_owned),
        _ => None,
    };
    let parts = path.components().filter(|part| *part != Component::CurDir).map(part);
    parts.collect::<Option<Vec<String>>>().filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_places_and_never_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let (data, other) = (folder.path().join("data"), folder.path().join("other"));
        for place in [data.join("persister/a"), other.clone()] {
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("x.yml"), b"x").unwrap();
        }
        let places = ["persister/a", "./persister/a/x.yml", "../other", "gone.yml"].map(|place| data.join(place));
        let (extras, absent) = persister_files(&data.join("cairnd.toml"), &places);
        let paths: Vec<&str> = extras.iter().map(|extra| extra.path.as_str()).collect();
        assert_eq!(paths, ["persister/a/x.yml", "persister-outside/2/x.yml"]);
        assert_eq!(absent, [data.join("gone.yml")]);
    }

    #[test]
    fn what_leaves_while_it_is_copied_is_in_the_copy() {
        let data = tempfile::tempdir().unwrap();
        let linked = LinkedQuarantine::begin(data.path()).unwrap();
        assert!(linked.extras().unwrap().is_empty());
        let quarantine = data.path().join(QUARANTINE_FOLDER_NAME);
        fs::create_dir(&quarantine).unwrap();
        fs::write(quarantine.join("1.message"), b"one").unwrap();
        fs::write(quarantine.join("3.message.new"), b"torn").unwrap();
        let linked = LinkedQuarantine::begin(data.path()).unwrap();
        fs::remove_file(quarantine.join("1.message")).unwrap();
        fs::write(quarantine.join("2.message"), b"two").unwrap();
        linked.go_on().unwrap();
        let extras = linked.extras().unwrap();
        let paths: Vec<&str> = extras.iter().map(|extra| extra.path.as_str()).collect();
        assert_eq!(paths, ["quarantine/1.message", "quarantine/2.message"]);
        assert_eq!(fs::read(&extras[0].from).unwrap(), b"one");
        drop(linked);
        assert!(!data.path().join(LINKS).exists());
    }
}
