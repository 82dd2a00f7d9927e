//! The events of a stream that is followed. The id of each is the number of records that its reader has then seen.

use super::MAX_ANSWER_BYTES;
use super::json::{self, MEMBERS, Object};
use crate::checkpoint::SignedCheckpoint;
use crate::record::json::{Fault, Reader, Trouble};
use crate::size::TreeSize;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEventKind {
    /// The next record; its data is a [`super::RecordAnswer`].
    Record,
    /// All records that the log has were sent; its data is a [`StreamHeadEvent`].
    Head,
    /// With an id: what stands in the place of a record that is not given out, an [`super::IntegrityProblem`]; the stream goes
    /// on behind it. Without one it is the last event: why the stream can't go on, a [`crate::wire::problem::Problem`].
    Problem,
}

/// All records that the log has were sent, up to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHeadEvent {
    /// How many records the stream has had.
    pub seen: u64,
    /// The server says that among the leaves of a tree of this size no record of the stream was left out.
    pub complete_to: TreeSize,
    /// A checkpoint, of this size at least.
    pub checkpoint: SignedCheckpoint,
}

impl StreamEventKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Record, Self::Head, Self::Problem];

    /// The name in the stream's `event` field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Head => "head",
            Self::Problem => "problem",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl StreamHeadEvent {
    /// The data.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        Object::write(&mut json, |event| {
            event.integer("seen", self.seen);
            event.integer("complete_to", self.complete_to.get());
            event.text("checkpoint", &self.checkpoint);
        });
        json
    }

    /// Reads the data.
    ///
    /// # Errors
    /// [`Fault`]; nothing is verified.
    pub fn parse(data: &[u8]) -> Result<Self, Fault> {
        Reader::read(data, MAX_ANSWER_BYTES, |reader| {
            let start = reader.offset();
            let (mut seen, mut complete_to, mut checkpoint) = (None, None, None);
            reader.object(MEMBERS, |reader, name, _| {
                match &*name {
                    "seen" => seen = Some(reader.integer()?),
                    "complete_to" => complete_to = Some(json::size(reader)?),
                    "checkpoint" => checkpoint = Some(json::checkpoint(reader)?),
                    _ => drop(reader.json()?),
                }
                Ok(())
            })?;
            let missing = |name| move || Trouble::missing(start, name);
            Ok(Self {
                seen: seen.ok_or_else(missing("seen"))?,
                complete_to: complete_to.ok_or_else(missing("complete_to"))?,
                checkpoint: checkpoint.ok_or_else(missing("checkpoint"))?,
            })
        })
    }
}
