//! Where in the log a stream's record of a number is.

use cairn_tree::record::header::Header;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::WrongPart;

use super::super::problem::{Kind, Problem};
use super::history::Asked;
use crate::engine::postings::Print;
use crate::limits::REPLAY_RECORDS;

/// Records that are counted one by one: some pages of a history.
const COUNTED: usize = 2_048;
/// Damaged records at a stream's end that are counted back over.
const DAMAGED: u64 = 256;

impl Asked {
    /// Where the record with this number is, or would be if there were one: by halves, since numbers rise with indexes.
    pub(super) fn index_of(&self, number: u64) -> Result<LeafIndex, Problem> {
        let stream = self.stream()?;
        let (mut low, mut high) = (0, self.reading.head.size.get());
        if number == 0 {
            return Ok(LeafIndex::ZERO);
        }
        if let Some(index) = self.near_the_start(stream, number)? {
            return Ok(index);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            let below = TreeSize::new(middle + 1).map_err(Problem::internal)?;
            match self.reading.newest(stream, below)? {
                Some(index) => match self.number_at(index)? {
                    Some(found) if found >= number => high = index.get(),
                    Some(_) => low = middle + 1,
                    None => return self.past_damage(stream, number),
                },
                None => low = middle + 1,
            }
        }
        LeafIndex::new(low).map_err(Problem::internal)
    }

    /// The record's place if it is among the first `COUNTED`: reading so many postings costs less than a search by halves.
    /// `None` if a record before it is missing from the index.
    fn near_the_start(&self, stream: Print, number: u64) -> Result<Option<LeafIndex>, Problem> {
        let Some(place) = usize::try_from(number).ok().filter(|place| *place <= COUNTED) else { return Ok(None) };
        let Some(index) = self.nth(stream, place)? else { return Ok(None) };
        Ok((self.number_at(index)? == Some(number)).then_some(index))
    }

    /// Where the record is before which the index has so many of the stream.
    fn nth(&self, stream: Print, place: usize) -> Result<Option<LeafIndex>, Problem> {
        Ok(self.found(stream, LeafIndex::ZERO, place.saturating_add(1))?.get(place).copied())
    }

    /// The number of a record; `None` if what is stored there is damaged.
    pub(super) fn number_at(&self, index: LeafIndex) -> Result<Option<u64>, Problem> {
        match self.reading.log.entry(&self.reading.head, index) {
            Err(error) if error.is_failure() => Err(error.into()),
            entry => {
                let header = entry.ok().flatten().and_then(|entry| Header::decode(index, &entry).ok());
                Ok(header.map(|header| header.seq.get()))
            }
        }
    }

    /// The number of a record; of one that is damaged, by the last one before it that is not. `None` if many before it are.
    pub(super) fn number_before(&self, index: LeafIndex) -> Result<Option<u64>, Problem> {
        let (stream, mut at) = (self.stream()?, index);
        for after in 0..DAMAGED {
            if let Some(number) = self.number_at(at)? {
                return Ok(Some(number.saturating_add(after)));
            }
            let below = TreeSize::new(at.get()).map_err(Problem::internal)?;
            let Some(before) = self.reading.newest(stream, below)? else { return Ok(Some(after)) };
            at = before;
        }
        Ok(None)
    }

    /// The number that the leaf of a record says of which something is bad, if that leaf is what was signed. No stream has more
    /// records than there are entries.
    pub(super) fn signed_number(&self, index: LeafIndex, wrong: WrongPart) -> Result<Option<u64>, Problem> {
        match wrong {
            WrongPart::Disclosure(..) | WrongPart::Chain => {
                Ok(self.number_at(index)?.filter(|number| *number <= index.get()))
            }
            WrongPart::Leaf => Ok(None),
        }
    }

    /// Where the record with this number is, by counting those before it: where some of them can't be read.
    fn past_damage(&self, stream: Print, number: u64) -> Result<LeafIndex, Problem> {
        let place = usize::try_from(number).ok().filter(|place| *place <= REPLAY_RECORDS).ok_or_else(|| {
            let detail = "records before it are damaged, and it is too far on to be counted";
            Problem::new(Kind::Integrity, detail).value(number.to_string())
        })?;
        let past = || LeafIndex::new(self.reading.head.size.get()).map_err(Problem::internal);
        self.nth(stream, place)?.map_or_else(past, Ok)
    }
}
