//! What is owed to the log about a message: an empty file beside it, from before it is kept or leaves until the log has it.
//!
//! So a crash in between leaves no message that the log does not know of, and none that it says is gone. A note that stays
//! behind does no harm: there is one record of each stay, however often it is tried.

use super::id::Id;

/// What is put on record of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// It was kept.
    Quarantined,
    /// It became records.
    Released,
    /// An operator dropped it.
    Dropped,
}

impl Note {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Quarantined, Self::Released, Self::Dropped];

    /// The operation of its record.
    #[must_use]
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Quarantined => "cairn.quarantined",
            Self::Released => "cairn.quarantine-released",
            Self::Dropped => "cairn.quarantine-dropped",
        }
    }

    /// Whether the message is gone once the log has it.
    #[must_use]
    pub const fn is_of_leaving(self) -> bool {
        matches!(self, Self::Released | Self::Dropped)
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Released => "released",
            Self::Dropped => "dropped",
        }
    }

    /// The name of its file.
    pub(super) fn name(self, id: Id) -> String {
        format!("{id}.{}", self.extension())
    }

    /// Reads the name of a file.
    pub(super) fn parse(name: &str) -> Option<(Id, Self)> {
        let (id, extension) = name.split_once('.')?;
        let note = Self::ALL.into_iter().find(|note| note.extension() == extension)?;
        Some((Id::parse(id)?, note))
    }
}
