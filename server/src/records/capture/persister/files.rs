//! The files of a configuration: named, or all in a folder, and each within a bound.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use super::super::bounds::{FILE_BYTES, FILES};
use super::{PersisterError, whole};
use crate::regular::{open_regular, read_bounded};

/// The files that are read of these places.
pub(super) fn files(places: &[PathBuf]) -> Result<Vec<PathBuf>, PersisterError> {
    let mut files = Vec::new();
    for place in places {
        let io = |error: std::io::Error| PersisterError(vec![whole(place, error.to_string())]);
        if !fs::metadata(place).map_err(io)?.is_dir() {
            files.push(place.clone());
            continue;
        }
        let mut within = Vec::new();
        for entry in fs::read_dir(place).map_err(io)?.take(16 * FILES) {
            let path = entry.map_err(io)?.path();
            let yaml = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            within.extend(Some(path).filter(|_| yaml && !hidden));
        }
        if within.is_empty() {
            return Err(PersisterError(vec![whole(place, "there is no file that ends with .yml or .yaml")]));
        }
        within.sort();
        files.append(&mut within);
    }
    match files.get(FILES) {
        Some(file) => Err(PersisterError(vec![whole(file, format!("there are more than {FILES} files up to here"))])),
        None => Ok(files),
    }
}

/// The text of one.
pub(super) fn read(file: &FilePath) -> Result<String, String> {
    let read = open_regular(file).and_then(|file| read_bounded(file, FILE_BYTES));
    let bytes = read.map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
