//! Where a batch was put, and the row that remembers it for an idempotency key.

use cairn_tree::hash::Hash;
use cairn_tree::size::LeafIndex;

use super::RowError;
use super::fields::Fields;

const ROW: &str = "idempotency";
const VERSION: u8 = 1;

const RUN: u8 = 0;
const EACH: u8 = 1;

/// The indexes that a batch's entries have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// All in a row.
    Run {
        /// The first entry's index.
        first: LeafIndex,
        /// How many entries.
        count: u32,
    },
    /// One by one, because some entries were in the log before.
    Each(Vec<LeafIndex>),
}

impl Placement {
    /// How many entries were placed.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Run { count, .. } => *count as usize,
            Self::Each(indexes) => indexes.len(),
        }
    }

    /// The index of the entry at `position` of the batch.
    #[must_use]
    pub fn index(&self, position: usize) -> Option<LeafIndex> {
        match self {
            Self::Run { first, count } if position < *count as usize => {
                LeafIndex::new(first.get().checked_add(position as u64)?).ok()
            }
            Self::Run { .. } => None,
            Self::Each(indexes) => indexes.get(position).copied(),
        }
    }

    /// The indexes in the batch's order.
    pub fn indexes(&self) -> impl Iterator<Item = LeafIndex> + '_ {
        (0..self.count()).filter_map(|position| self.index(position))
    }
}

/// What an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct IdempotencyRow {
    /// From when on the key may be forgotten, in milliseconds since the epoch.
    pub expires_ms: u64,
    /// A digest of the ordered leaf hashes that came with the key.
    pub leaves: Hash,
    /// Where they were put.
    pub placement: Placement,
}

impl IdempotencyRow {
    /// The bytes: version, expiry, digest, then a run's first and count, or every index.
    #[must_use]
    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.expires_ms.to_be_bytes());
        bytes.extend_from_slice(self.leaves.as_bytes());
        match &self.placement {
            Placement::Run { first, count } => {
                bytes.push(RUN);
                bytes.extend_from_slice(&first.get().to_be_bytes());
                bytes.extend_from_slice(&count.to_be_bytes());
            }
            Placement::Each(indexes) => {
                bytes.push(EACH);
                indexes.iter().for_each(|index| bytes.extend_from_slice(&index.get().to_be_bytes()));
            }
        }
        bytes
    }

    /// Reads what [`IdempotencyRow::encode`] wrote.
    ///
    /// # Errors
    /// [`RowError`] for anything else.
    pub(in crate::engine) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let mut fields = Fields::open(ROW, VERSION, bytes)?;
        let expires_ms = fields.u64()?;
        let leaves = Hash::new(fields.array()?);
        let placement = match fields.u8()? {
            RUN => {
                let run = Placement::Run { first: index(fields.u64()?)?, count: fields.u32()? };
                fields.end()?;
                run
            }
            EACH => {
                let (indexes, rest) = fields.rest().as_chunks();
                if !rest.is_empty() {
                    return Err(RowError::new(ROW, "a cut index"));
                }
                let indexes = indexes.iter().map(|bytes| index(u64::from_be_bytes(*bytes)));
                Placement::Each(indexes.collect::<Result<_, _>>()?)
            }
            other => return Err(fields.error(format!("unknown placement {other}"))),
        };
        Ok(Self { expires_ms, leaves, placement })
    }
}

fn index(number: u64) -> Result<LeafIndex, RowError> {
    LeafIndex::new(number).map_err(|error| RowError::new(ROW, format!("index: {error}")))
}
