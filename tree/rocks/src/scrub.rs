//! Reading the tables again in portions, past what memory remembers of them.
//!
//! Reads of rows meet whatever block is in memory already, and a block that was good when it was read says nothing of the
//! disk. Once [`RocksStore::forget_blocks`] has been called, each block that is read afterwards, by anybody, came from the
//! file since.
//!
//! Past a block that can't be read, the next key that can is looked for: each bad block is told, and what stands behind it
//! is read.

use std::fs::{self, File};

use cairn_tree::store::StoreError;
use rustix::fs::{Advice, fadvise};

use crate::error::on_read;
use crate::family::Family;
use crate::settings::verified;
use crate::store::RocksStore;

/// A portion of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The bytes that were read.
    pub bytes: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<Place>,
    /// What could not be read, which ended the portion: [`StoreError::Corrupt`] names the table and the block.
    pub bad: Option<StoreError>,
}

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

    /// Reads rows from `place` on, of about `most` bytes, up to the first block that can't be read. Blocks whose rows have
    /// all been written over since are read too.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the family is not open; what can't be read is in what is returned.
    pub fn read_some(&self, place: &Place, most: u64) -> Result<Swept, StoreError> {
        let family = Family::ALL.get(place.family).filter(|family| !self.absent.contains(family));
        let past_family = Some(place.past_family()).filter(|place| place.family().is_some());
        let Some(family) = family else { return Ok(Swept { bytes: 0, next: past_family, bad: None }) };
        let mut options = verified();
        options.fill_cache(false);
        let mut iterator = self.db.raw_iterator_cf_opt(self.family(*family)?, options);
        iterator.seek(&place.from);
        let (mut read, mut last) = (0_u64, place.from.clone());
        while let Some((key, value)) = iterator.item() {
            if read >= most {
                let next = Some(Place { family: place.family, from: key.to_vec() });
                return Ok(Swept { bytes: read, next, bad: None });
            }
            read = read.saturating_add((key.len() + value.len()) as u64);
            last.clear();
            last.extend_from_slice(key);
            iterator.next();
        }
        let Err(error) = iterator.status() else { return Ok(Swept { bytes: read, next: past_family, bad: None }) };
        let bad = on_read(error);
        let past = next_past(&last, |key| {
            iterator.seek(key);
            iterator.status().err().map(on_read).as_ref() != Some(&bad)
        });
        let next = past.map_or(past_family, |from| Some(Place { family: place.family, from }));
        Ok(Swept { bytes: read, next, bad: Some(bad) })
    }

    /// Reads every block of every table, as [`RocksStore::read_all`] does, and names all that can't be read, but for those
    /// past so many; whether there are more.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a family is not open.
    pub fn bad_blocks(&self, most: usize) -> Result<(Vec<StoreError>, bool), StoreError> {
        let (mut found, mut next) = (Vec::new(), Some(Place::default()));
        while let Some(place) = next {
            let swept = self.read_some(&place, u64::MAX)?;
            if swept.bad.is_some() && found.len() == most {
                return Ok((found, true));
            }
            found.extend(swept.bad);
            next = swept.next;
        }
        Ok((found, false))
    }
}

/// So many bytes of a key tell blocks apart: those of a key with a number, and most of those behind it.
const TOLD_APART: usize = 24;

/// About the first key after one that is past whatever can't be read there: found by doubling the step, and then by halving.
/// `None` if there is none.
fn next_past(bad: &[u8], mut is_past: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut low = [0; TOLD_APART];
    low.iter_mut().zip(bad).for_each(|(to, from)| *to = *from);
    let bits = 8 * TOLD_APART;
    let step = (0..bits).find(|bit| plus(low, *bit).is_some_and(|key| is_past(&key)))?;
    let start = low;
    // The largest step that is not past it, bit by bit; the one before the step that was found is none.
    if let Some(half) = step.checked_sub(1) {
        low = plus(start, half)?;
        for bit in (0..half).rev() {
            low = plus(low, bit).filter(|key| !is_past(key)).unwrap_or(low);
        }
    }
    plus(low, 0).map(Vec::from)
}

/// The number of a key, with this bit added; `None` past the last.
fn plus(mut key: [u8; TOLD_APART], bit: usize) -> Option<[u8; TOLD_APART]> {
    let mut carry = 1_u16 << (bit % 8);
    for byte in key.iter_mut().rev().skip(bit / 8) {
        carry += u16::from(*byte);
        *byte = carry as u8;
        carry >>= 8;
        if carry == 0 {
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_a_bad_block_is_found_wherever_it_ends() {
        let key = |number: u128| [&number.to_be_bytes()[..], &[0; 8]].concat();
        for (bad, end) in [(0, 1), (5, 6), (5, 7), (5, 4_000), (1 << 70, (1 << 70) + (1 << 33) + 12_345)] {
            let mut tried = 0;
            let found = next_past(&key(bad), |key| {
                tried += 1;
                u128::from_be_bytes(*key.first_chunk().unwrap()) >= end
            });
            assert_eq!(found, Some(key(end)), "{bad} to {end}");
            assert!(tried <= 2 * 8 * TOLD_APART, "{tried}");
        }
        assert_eq!(next_past(&[0xff; 30], |_| true), None);
        assert_eq!(next_past(&[], |_| false), None);
        assert_eq!(next_past(&[], |_| true), Some([&[0; 23][..], &[1]].concat()));
    }

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
