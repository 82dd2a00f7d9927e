//! The files of a configuration: named, or all in a folder, and each within a bound.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path as FilePath, PathBuf};

use super::super::bounds::{FILE_BYTES, FILES};
use super::{PersisterError, whole};

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
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    opened.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES { Err(format!("longer than {FILE_BYTES} bytes")) } else { Ok(text) }
}
