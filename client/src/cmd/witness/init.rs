//! `cairn witness init`: new keys, and the empty state that belongs to them.

use core::fmt;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use cairn_tree::note::KeyName;
use clap::Args;
use serde::Serialize;

use super::DirOption;
use super::folder::keys_of;
use crate::cmd::failure::Failure;
use crate::cmd::options::random;
use crate::cmd::terminal::{Form, Terminal};
use crate::witness::Cosigners;
use crate::witness::state::{Store, StoreId};

/// Make a witness: its keys, and the empty record of what it cosigned.
///
/// Prints the verification keys, one Ed25519 and one ML-DSA-44. Give both to whoever is to trust the witness.
#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    dir: DirOption,
    /// The name of its keys: a URL without a scheme, such as witness.example.org/w1.
    #[arg(long, value_name = "KEYNAME")]
    name: String,
}

/// What was made.
#[derive(Serialize)]
struct Made {
    name: String,
    vkeys: Vec<String>,
}

impl Init {
    pub(super) fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let name = KeyName::new(self.name).map_err(|error| Failure::Usage(format!("--name: {error}")))?;
        let folder = &self.dir.folder;
        if Store::is_in(folder) || keys_of(folder).symlink_metadata().is_ok() {
            return Err(Failure::Usage(format!(
                "{} holds a witness already; a witness is never made over another: choose another folder",
                folder.display()
            )));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Failure::Usage(format!("{}: {error}", folder.display())))?;
        match fill(folder, &name) {
            Ok(made) => terminal.output.print(form, &made),
            Err(failure) => {
                // All of it was absent before, so nothing of anybody's is lost.
                let _ = fs::remove_dir_all(keys_of(folder));
                Store::remove(folder);
                Err(failure)
            }
        }
    }
}

fn fill(folder: &Path, name: &KeyName) -> Result<Made, Failure> {
    let fill = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|error| error.to_string());
    let refused = |error: &dyn fmt::Display| Failure::Refused(error.to_string());
    let cosigners = Cosigners::generate(name, fill).map_err(|error| refused(&error))?;
    Store::create(folder, StoreId::new(random()?), &cosigners).map_err(|error| refused(&error))?;
    // Last: keys are there only if the state is.
    cosigners.write(&keys_of(folder)).map_err(|error| refused(&error))?;
    let vkeys = cosigners.verifier_keys().into_iter().map(ToString::to_string).collect();
    Ok(Made { name: name.to_string(), vkeys })
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.vkeys.join("\n"))
    }
}
