//! The small files of a data folder, opened as the server opens them: what it accepts with a digest it accepts without, and
//! the other way round; what it writes of it is read as the same, and with one bit changed it is refused.

#![allow(clippy::panic, reason = "a broken expectation is a finding, told by a panic")]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cairnd::auth::TokenFile;
use cairnd::backup::Digest;
use cairnd::records::{Homes, SETTINGS_FILE_NAME, Settings, TENANTS_FILE_NAME};

const TOKENS: &str = "tokens.json";
/// What stands before the digest, and behind it.
const HEAD: &str = "{\"sha256\":\"";
const BEHIND: &str = "\",";

/// The first byte names the file, the rest is what it says.
pub(crate) fn small_files(bytes: &[u8]) -> bool {
    thread_local! {
        static FOLDER: tempfile::TempDir = folder();
    }
    let Some((first, body)) = bytes.split_first() else { return false };
    let names = [TOKENS, TENANTS_FILE_NAME, SETTINGS_FILE_NAME];
    let Some(name) = names.get(usize::from(*first) % names.len()) else { return false };
    FOLDER.with(|folder| file(folder.path(), name, body))
}

/// In memory, if the system has such a place: nothing here is about what lasts.
fn folder() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let beside = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::tempdir_in(beside).unwrap_or_else(|error| panic!("a folder: {error}"))
}

fn file(folder: &Path, name: &str, body: &[u8]) -> bool {
    let path = folder.join(name);
    let accepts = |bytes: &[u8]| {
        write(&path, bytes);
        opens(folder, name)
    };
    let is_good = accepts(body);
    if let Some(rest) = body.strip_prefix(b"{").filter(|_| !body.starts_with(HEAD.as_bytes())) {
        let summed = [HEAD.as_bytes(), Digest::of(rest).to_string().as_bytes(), BEHIND.as_bytes(), rest].concat();
        assert_eq!(accepts(&summed), is_good, "{name}: a right digest changes what is accepted");
        if is_good {
            write(&path, body);
        }
    }
    if !is_good {
        return false;
    }
    let written = written(folder, name);
    assert!(accepts(&written), "{name}: what was written is not read");
    assert_eq!(self::written(folder, name), written, "{name}: it is read as another");
    let place = body.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let mut changed = written;
    let bit = place % (8 * changed.len()).max(1);
    if let Some(byte) = changed.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    assert!(!accepts(&changed), "{name}: one bit makes another file");
    true
}

fn write(path: &Path, bytes: &[u8]) {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(bytes)).unwrap_or_else(|error| panic!("{error}"));
}

fn opens(folder: &Path, name: &str) -> bool {
    match name {
        TOKENS => TokenFile::of(folder).load().is_ok(),
        TENANTS_FILE_NAME => Homes::open(folder).is_ok(),
        _ => Settings::open(folder).is_ok(),
    }
}

/// The file as the server writes it, with its digest.
fn written(folder: &Path, name: &str) -> Vec<u8> {
    let done = match name {
        TOKENS => TokenFile::of(folder).load_and_add_sum().map(drop).map_err(|error| error.to_string()),
        TENANTS_FILE_NAME => Homes::open(folder).and_then(|homes| homes.add_sum()).map_err(|error| error.to_string()),
        _ => Settings::open(folder).and_then(|settings| settings.add_sum()).map_err(|error| error.to_string()),
    };
    done.unwrap_or_else(|error| panic!("{name}: {error}"));
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{error}"))
}
