//! The secret that a log's prints are keyed with. It follows from nothing; but what is made with it does, but for one thing:
//! a redaction record that erased a stream's name tells of it by its print, and that is signed.
//!
//! So a row that is lost comes from a copy that has it, whichever: it is drawn once, and never changed. Where none has, another
//! is drawn. All postings are left out by a repair, and made again from the records.

use cairn_tree::store::Store as _;

use super::MendError;
use super::report::Remedy;
use super::rest::Rest;
use crate::engine::postings::{PrintRow, PrintSecret};
use crate::engine::records::SECRET;

/// Draws random bytes that nobody can foresee; or says why there are none.
pub type Draw = fn(&mut [u8]) -> Result<(), String>;

/// What it means that the secret is another one.
const ANOTHER: &str = "another is drawn, and what records are found by is made again with it. A stream whose name was erased is not \
                       known by that name any more: a record that is brought under it begins another stream. If that must not \
                       be, name a backup that was made since the log's first record (--from)";

impl Rest<'_, '_> {
    /// The row of the prints. Of a log without records none is needed: the first one brings it.
    pub(super) fn secret(&mut self) -> Result<(), MendError> {
        let key = PrintRow::key(self.log);
        let own = match self.parts.own_store.get(&key) {
            Ok(None) => Err("it is gone".to_owned()),
            Ok(Some(row)) => PrintRow::decode(&row).ok_or_else(|| "it is not one that this program writes".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let problem = match own {
            Ok(row) => return self.put_secret(row),
            Err(problem) => problem,
        };
        let Some((first, _)) = self.records else { return Ok(()) };
        // One of later than the first record is none that was made before it.
        let fits = |row: &PrintRow| row.first <= first;
        let of_copy = |copy: &super::Copy| {
            let row = copy.store.get(&key).ok().flatten()?;
            Some((copy.name.clone(), PrintRow::decode(&row).filter(fits)?))
        };
        if let Some((name, row)) = self.parts.copies().find_map(of_copy) {
            self.tell(SECRET, problem, Remedy::From(name));
            return self.put_secret(row);
        }
        self.tell(SECRET, problem, Remedy::Dropped(ANOTHER));
        if self.sink.is_none() {
            return Ok(());
        }
        let mut random = [0; PrintSecret::LEN];
        (self.draw)(&mut random).map_err(MendError::NoRandomness)?;
        self.put_secret(PrintRow { secret: PrintSecret::new(random), first })
    }

    /// One that speaks of entries that were never released, and are let go of, speaks of those that come instead.
    fn put_secret(&mut self, row: PrintRow) -> Result<(), MendError> {
        let row = PrintRow { first: row.first.min(self.size.get()), ..row };
        self.put(PrintRow::key(self.log), row.encode())
    }
}
