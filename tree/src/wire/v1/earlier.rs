//! Where a stream's earlier part is: in another log, whose stream this one continues. An answer that begins with the states
//! of earlier parts names each of them, with a checkpoint of a tree that has it.

use super::json::{self, MEMBERS, Object};
use crate::checkpoint::SignedCheckpoint;
use crate::record::json::{Read, Reader, Trouble};
use crate::record::stream::StreamHead;

/// The most parts of a stream before one that are named.
pub const MAX_EARLIER: usize = 8;

/// An earlier part of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierPart {
    /// The log, the stream there, and its last record.
    pub head: StreamHead,
    /// A checkpoint of that log, if its records were read for the answer.
    pub checkpoint: Option<SignedCheckpoint>,
}

impl EarlierPart {
    pub(super) fn push(&self, json: &mut Vec<u8>) {
        let StreamHead { log, stream, seq, leaf } = &self.head;
        Object::write(json, |part| {
            part.text("log", log);
            part.text("stream", stream);
            part.integer("seq", seq.get());
            part.hash("leaf", leaf);
            if let Some(checkpoint) = &self.checkpoint {
                part.text("checkpoint", checkpoint);
            }
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut log, mut stream, mut seq, mut leaf, mut checkpoint) = (None, None, None, None, None);
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "log" => log = Some(json::origin(reader)?),
                "stream" => stream = Some(json::from_text(reader, "must be a stream's id")?),
                "seq" => seq = Some(json::seq(reader)?),
                "leaf" => leaf = Some(json::hash(reader)?),
                "checkpoint" => checkpoint = Some(json::checkpoint(reader)?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        let head = StreamHead {
            log: log.ok_or_else(missing("log"))?,
            stream: stream.ok_or_else(missing("stream"))?,
            seq: seq.ok_or_else(missing("seq"))?,
            leaf: leaf.ok_or_else(missing("leaf"))?,
        };
        Ok(Self { head, checkpoint })
    }
}
