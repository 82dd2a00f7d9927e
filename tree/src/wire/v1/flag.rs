//! What does not fit together in a replay, as words that programs branch on.

use super::json::{self, MEMBERS, Object};
use crate::record::id::RecordId;
use crate::record::json::canonical::push_string;
use crate::record::json::{Read, Reader, Trouble};
use crate::record::replay::{Flag, Misfit, Oddity};
use crate::record::server_part::Seq;
use crate::size::LeafIndex;

/// Something that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagBody {
    /// The number of the record.
    pub seq: Seq,
    /// Where it is in the log.
    pub index: LeafIndex,
    /// What is odd: `create-on-live`, `update-on-absent`, `delete-on-absent`, `old-differs`, `no-place`,
    /// `within-unknown`, `replaces-unknown`, `replaces-other`, `later-version` or `object-unknown`; servers may come to say
    /// more.
    pub flag: String,
    /// The JSON Pointers that are meant, if any.
    pub pointers: Vec<String>,
    /// Whether there are more of them.
    pub more: bool,
    /// What the record claims to correct, if that is what is odd.
    pub replaces: Option<RecordId>,
}

impl From<&Flag> for FlagBody {
    fn from(flag: &Flag) -> Self {
        let (word, pointers, replaces) = match &flag.oddity {
            Oddity::CreateOnLive => ("create-on-live", Vec::new(), None),
            Oddity::UpdateOnAbsent => ("update-on-absent", Vec::new(), None),
            Oddity::DeleteOnAbsent => ("delete-on-absent", Vec::new(), None),
            Oddity::OldDiffers(pointers) => ("old-differs", pointers.first.clone(), None),
            Oddity::Misfit(pointer, Misfit::NoPlace) => ("no-place", vec![pointer.as_str().to_owned()], None),
            Oddity::Misfit(pointer, Misfit::Unknown) => ("within-unknown", vec![pointer.as_str().to_owned()], None),
            Oddity::ReplacesUnknown(id) => ("replaces-unknown", Vec::new(), Some(*id)),
            Oddity::ReplacesOther(id) => ("replaces-other", Vec::new(), Some(*id)),
            Oddity::LaterVersion => ("later-version", Vec::new(), None),
            Oddity::ObjectUnknown(_) => ("object-unknown", Vec::new(), None),
        };
        let more = matches!(&flag.oddity, Oddity::OldDiffers(pointers) if pointers.more);
        Self { seq: flag.seq, index: flag.index, flag: word.to_owned(), pointers, more, replaces }
    }
}

impl FlagBody {
    pub(super) fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |flag| {
            flag.integer("seq", self.seq.get());
            flag.integer("index", self.index.get());
            flag.string("flag", &self.flag);
            if !self.pointers.is_empty() {
                flag.array("pointers", &self.pointers, |json, pointer| push_string(json, pointer));
            }
            if self.more {
                flag.boolean("more", true);
            }
            if let Some(id) = self.replaces {
                flag.text("replaces", id);
            }
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut seq, mut index, mut flag, mut pointers, mut replaces) = (None, None, None, Vec::new(), None);
        let mut more = false;
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "seq" => seq = Some(json::seq(reader)?),
                "index" => index = Some(json::index(reader)?),
                "flag" => flag = Some(reader.string()?.into_owned()),
                "pointers" => {
                    pointers = reader.list(super::MAX_STATES, |reader| Ok(reader.string()?.into_owned()))?;
                }
                "more" => more = reader.boolean()?,
                "replaces" => replaces = Some(json::from_text(reader, "must be a record's id")?),
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        Ok(Self {
            seq: seq.ok_or_else(missing("seq"))?,
            index: index.ok_or_else(missing("index"))?,
            flag: flag.ok_or_else(missing("flag"))?,
            pointers,
            more,
            replaces,
        })
    }
}
