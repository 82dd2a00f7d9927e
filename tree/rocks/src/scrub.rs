//! Reading the tables again in portions, past what memory remembers of them.
//!
//! Reads of rows meet whatever block is in memory already, and a block that was good when it was read says nothing of the
//! disk. Once [`RocksStore::forget_blocks`] has been called, each block that is read afterwards, by anybody, came from the
//! file since.

use std::fs::{self, File};

use cairn_tree::store::StoreError;
use rustix::fs::{Advice, fadvise};

use crate::error::on_read;
use crate::family::Family;
use crate::settings::verified;
use crate::store::RocksStore;

/// How far a sweep over all tables is. Text, so that it can be kept over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    family: usize,
    from: Vec<u8>,
}

/// A text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in the tables")]
pub struct PlaceError;

impl Place {
    /// The name of what is read next; `None` at the end.
    #[must_use]
    pub fn family(&self) -> Option<&'static str> {
        Family::ALL.get(self.family).map(|family| family.name())
    }

    /// Past everything that is left of this family: where one of its blocks can't be read, nobody knows what follows.
    #[must_use]
    pub fn past_family(&self) -> Self {
        Self { family: self.family + 1, from: Vec::new() }
    }
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:", self.family)?;
        self.from.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::str::FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (family, digits) = text.split_once(':').ok_or(PlaceError)?;
        let family: usize = family.parse().map_err(|_| PlaceError)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if family > Family::ALL.len() || !rest.is_empty() {
            return Err(PlaceError);
        }
        let byte = |pair: &[u8; 2]| {
            let pair =
                core::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(PlaceError)
        };
        Ok(Self { family, from: pairs.iter().map(byte).collect::<Result<_, _>>()? })
    }
}

impl RocksStore {
    /// Lets go of every table block in memory, and asks the system to let go of its own copies. Rows in memory that are
    /// not in tables yet stay.
    pub fn forget_blocks(&self) {
        let (cache, bytes) = &self.cache;
        let mut cache = cache.clone();
        cache.set_capacity(0);
        cache.set_capacity(*bytes);
        // A hint: a system that keeps its pages still gives back what it read from the disk once.
        for file in fs::read_dir(self.db.path()).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|extension| extension == "sst")
                && let Ok(table) = File::open(path)
            {
                let _ = fadvise(&table, 0, None, Advice::DontNeed);
            }
        }
    }

    /// Reads rows from `place` on, of about `most` bytes, and says how many bytes it read and where it stopped; `None` at
    /// the end. Blocks whose rows have all been written over since are read too.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the table and the block; [`Place::past_family`] is where to go on.
    pub fn read_some(&self, place: &Place, most: u64) -> Result<(u64, Option<Place>), StoreError> {
        let Some(family) = Family::ALL.get(place.family) else { return Ok((0, None)) };
        let mut options = verified();
        options.fill_cache(false);
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(*family)?, options);
        iterator.seek(&place.from);
        let mut read = 0_u64;
        while let Some((key, value)) = iterator.item() {
            if read >= most {
                return Ok((read, Some(Place { family: place.family, from: key.to_vec() })));
            }
            read = read.saturating_add((key.len() + value.len()) as u64);
            iterator.next();
        }
        iterator.status().map_err(on_read)?;
        let next = place.past_family();
        Ok((read, next.family().is_some().then_some(next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_does() {
        for place in
            [Place::default(), Place { family: 4, from: vec![0, 0xff, 7] }, Place { family: 6, from: Vec::new() }]
        {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "0", "7:", "x:00", "0:0", "0:+f", "-1:00"] {
            assert_eq!(text.parse::<Place>(), Err(PlaceError), "{text}");
        }
    }
}
