//! `cairn outbox key`: the key that a producer signs with.

use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cairn_tree::record::signature::ProducerSigner;
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::shown;
use crate::cmd::failure::Failure;
use crate::cmd::options::random;
use crate::cmd::terminal::{Form, Terminal};

/// The length of a key's text: the base64url of 32 bytes.
const TEXT_LEN: usize = 43;

/// Show the public half of a producer's key, for `cairnd token create --producer-key`; with --make, make the key first.
#[derive(Debug, Args)]
pub(super) struct Key {
    /// Make the key; the file must not be there yet.
    #[arg(long)]
    make: bool,
    /// The file of the key, which nobody else may read.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct Public {
    key: String,
    id: String,
}

impl Key {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        if self.make {
            make(&self.file)?;
        }
        let signer = read(&self.file)?;
        let key = signer.key();
        let public = Public { key: URL_SAFE_NO_PAD.encode(key.as_bytes()), id: key.id().to_string() };
        terminal.output.print(form, &public)
    }
}

fn make(path: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}", shown(path)));
    let (first, second) = (Zeroizing::new(random()?), Zeroizing::new(random()?));
    let seed = Zeroizing::new([*first, *second].concat());
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*seed));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Reads a producer's key from a file that nobody else may read.
pub(super) fn read(path: &Path) -> Result<ProducerSigner, Failure> {
    let failed = |error: &dyn fmt::Display| Failure::Usage(format!("{}: {error}", shown(path)));
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mode = file.metadata().map_err(|error| failed(&error))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(failed(&format!("others may read it (mode {mode:o}); chmod 600 it")));
    }
    let mut text = Zeroizing::new(String::with_capacity(2 * TEXT_LEN));
    file.take(2 * TEXT_LEN as u64).read_to_string(&mut text).map_err(|error| failed(&error))?;
    let seed = URL_SAFE_NO_PAD.decode(text.trim()).map(Zeroizing::new).ok();
    let seed = seed.and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok()).map(Zeroizing::new);
    let seed = seed.ok_or_else(|| failed(&"a producer's key is the base64url of 32 bytes"))?;
    Ok(ProducerSigner::from_seed(&seed))
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}
