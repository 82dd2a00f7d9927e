//! What is damaged, exactly, and how that is told: in the log's reason to halt, in the incident, to whoever reads it.

use core::fmt;

use cairn_tree::hash::Hash;

use crate::engine::stored::WIDTH;
use crate::incidents::Incident;

/// Something that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub place: Place,
    /// What must stand there, if that is known.
    pub expected: Option<Hash>,
    /// What does, or why it can't be read.
    pub found: String,
}

/// A place in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A full bundle of entries.
    Bundle {
        /// Its number.
        number: u64,
    },
    /// A full tile.
    Tile {
        /// Its level.
        level: u8,
        /// Its number within the level.
        number: u64,
    },
    /// The entries of the unfinished bundle.
    Tail {
        /// The first of them.
        first: u64,
        /// One past the last.
        end: u64,
    },
    /// The tree's right edge, which must hash to the signed root.
    Root {
        /// The size of the tree.
        size: u64,
    },
    /// The index from leaf hash to entry.
    HashIndex,
    /// The engine's own tables.
    Tables,
    /// Rows that follow from nothing else.
    Rows(&'static str),
}

impl Place {
    /// The entries that it is about.
    #[must_use]
    pub fn entries(self) -> Option<(u64, u64)> {
        match self {
            Self::Bundle { number } => Some((number * WIDTH, (number + 1) * WIDTH)),
            Self::Tile { level, number } => {
                let width = 1_u64.checked_shl(8 * (u32::from(level) + 1)).unwrap_or(u64::MAX);
                Some((number.saturating_mul(width), number.saturating_add(1).saturating_mul(width)))
            }
            Self::Tail { first, end } => Some((first, end)),
            Self::Root { size } => Some((0, size)),
            Self::HashIndex | Self::Tables | Self::Rows(_) => None,
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Bundle { .. } => "bundle",
            Self::Tile { .. } => "tile",
            Self::Tail { .. } => "tail",
            Self::Root { .. } => "root",
            Self::HashIndex => "hash-index",
            Self::Tables => "tables",
            Self::Rows(_) => "rows",
        }
    }

    /// The place that an incident is about, as far as reads go by it.
    #[must_use]
    pub fn of_incident(incident: &Incident) -> Option<Self> {
        match (incident.kind.as_str(), incident.place, incident.level) {
            ("bundle", Some(number), _) => Some(Self::Bundle { number }),
            ("tile", Some(number), Some(level)) => Some(Self::Tile { level, number }),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle { number } => write!(f, "bundle {number}")?,
            Self::Tile { level, number } => write!(f, "tile {number} of level {level}")?,
            Self::Tail { .. } => write!(f, "the unfinished bundle")?,
            Self::Root { size } => return write!(f, "the tree of size {size}"),
            Self::HashIndex => write!(f, "the hash index")?,
            Self::Tables => write!(f, "the engine's tables")?,
            Self::Rows(what) => write!(f, "the {what}")?,
        }
        match self.entries() {
            Some((first, end)) => write!(f, " (entries {first} to {})", end.saturating_sub(1)),
            None => Ok(()),
        }
    }
}

impl Damage {
    /// The incident to be written down.
    #[must_use]
    pub fn incident(&self, log: Option<&str>, time_ms: u64) -> Incident {
        let (place, level) = match self.place {
            Place::Bundle { number } => (Some(number), None),
            Place::Tile { level, number } => (Some(number), Some(level)),
            _ => (None, None),
        };
        let entries = self.place.entries();
        Incident {
            number: 0,
            time_ms,
            event: "damage".to_owned(),
            log: log.map(str::to_owned),
            kind: self.place.kind().to_owned(),
            place,
            level,
            first: entries.map(|(first, _)| first),
            end: entries.map(|(_, end)| end),
            expected: self.expected.map(|hash| hash.to_base64()),
            found: self.found.clone(),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.expected {
            Some(expected) => write!(f, "expected {}, found {}", expected.to_base64(), self.found),
            None => f.write_str(&self.found),
        }
    }
}
