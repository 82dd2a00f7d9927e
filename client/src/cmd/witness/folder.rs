//! A witness's folder as the commands see it: keys and state belong together, and one process has them open.

use std::path::{Path, PathBuf};

use crate::cmd::failure::Failure;
use crate::files::Hold;
use crate::witness::Cosigners;
use crate::witness::state::Store;

/// The folder of the keys, in the witness's folder.
const KEYS: &str = "keys";

/// An opened folder.
pub(super) struct Folder {
    pub(super) cosigners: Cosigners,
    pub(super) store: Store,
    /// Held as long as the state is open.
    pub(super) hold: Hold,
}

pub(super) fn keys_of(folder: &Path) -> PathBuf {
    folder.join(KEYS)
}

impl Folder {
    /// Opens the keys and the state that belongs to them. Neither is of use alone: keys without what they cosigned would
    /// cosign anything, and that is refused.
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let (keys, state) = (keys_of(folder).is_dir(), Store::is_in(folder));
        let shown = folder.display();
        let wrong = match (keys, state) {
            (true, true) => None,
            (false, false) => {
                Some(format!("{shown} holds no witness; make one with: cairn witness init --dir {shown} --name NAME"))
            }
            (true, false) => Some(format!(
                "{shown} has the witness's keys but not its state, which says what they cosigned: put it back, or make a new \
                 witness in another folder"
            )),
            (false, true) => Some(format!(
                "{shown} has the witness's state but not its keys: put them back, or make a new witness in another folder"
            )),
        };
        if let Some(wrong) = wrong {
            return Err(Failure::Usage(wrong));
        }
        let hold = Hold::take(&folder.join("witness"))?;
        let cosigners = Cosigners::read(&keys_of(folder)).map_err(|error| Failure::Usage(error.to_string()))?;
        let store = Store::open(folder, &cosigners).map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(Self { cosigners, store, hold })
    }
}
