//! Documents of which some may be unknown, and the objects that they are of.

use super::json::{self, MEMBERS, Object};
use crate::record::json::{FaultKind, Json, Read, Reader, Trouble};
use crate::record::replay::{Node, ObjectKey, Unknown};
use crate::record::text::Name;

/// A document of which some may be unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The JSON, with `{"erased":INDEX}` or `{"withheld":true}` where it is unknown.
    pub json: Json<'static>,
    /// Where it is unknown, by JSON Pointer, in the order of the document: nowhere else do the two above mean that.
    pub unknown: Vec<(String, Unknown)>,
}

impl Document {
    /// A document as it was replayed.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        Self { json: node.to_json_value(), unknown: node.unknowns() }
    }

    /// Writes it as two members; the second only where something is unknown.
    pub(super) fn push_members(&self, object: &mut Object<'_>, name: &str, unknown: &str) {
        object.json(name, &self.json);
        if !self.unknown.is_empty() {
            object.member(unknown, |json| {
                Object::write(json, |unknown| {
                    for (pointer, why) in &self.unknown {
                        unknown.member_of_any_name(pointer, |json| push_unknown(json, *why));
                    }
                });
            });
        }
    }
}

/// The two members of a [`Document`], as they come.
#[derive(Default)]
pub(super) struct Members {
    json: Option<Json<'static>>,
    unknown: Vec<(String, Unknown)>,
}

impl Members {
    pub(super) fn read_json(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        self.json = Some(reader.json()?.into_owned());
        Ok(())
    }

    pub(super) fn read_unknown(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        reader.object(super::MAX_STATES, |reader, pointer, _| {
            self.unknown.push((pointer.into_owned(), read_unknown(reader)?));
            Ok(())
        })
    }

    pub(super) fn finish(self) -> Option<Document> {
        self.json.map(|json| Document { json, unknown: self.unknown })
    }
}

pub(super) fn push_unknown(json: &mut Vec<u8>, why: Unknown) {
    Object::write(json, |mark| match why {
        Unknown::Erased(index) => mark.integer("erased", index.get()),
        Unknown::Withheld => mark.boolean("withheld", true),
    });
}

pub(super) fn read_unknown(reader: &mut Reader<'_>) -> Read<Unknown> {
    let start = reader.offset();
    let rule = FaultKind::Rule("must be {\"erased\":INDEX} or {\"withheld\":true}");
    let mut why = None;
    reader.object(1, |reader, name, at| {
        why = match &*name {
            "erased" => Some(Unknown::Erased(json::index(reader)?)),
            "withheld" if reader.boolean()? => Some(Unknown::Withheld),
            _ => return Err(Trouble::new(at, FaultKind::Unknown)),
        };
        Ok(())
    })?;
    why.ok_or(Trouble::new(start, rule))
}

pub(super) fn push_key(json: &mut Vec<u8>, key: &ObjectKey) {
    Object::write(json, |object| {
        for (name, value) in
            [("tenant", &key.tenant), ("module", &key.module), ("entity", &key.entity), ("id", &key.id)]
        {
            object.string(name, value.as_str());
        }
        if let Some(row) = &key.row {
            object.string("row", row.as_str());
        }
    });
}

pub(super) fn read_key(reader: &mut Reader<'_>) -> Read<ObjectKey> {
    let start = reader.offset();
    let (mut tenant, mut module, mut entity, mut id, mut row) = (None, None, None, None, None);
    reader.object(MEMBERS, |reader, name, _| {
        match &*name {
            "tenant" => tenant = Some(Name::read(reader)?.into_owned()),
            "module" => module = Some(Name::read(reader)?.into_owned()),
            "entity" => entity = Some(Name::read(reader)?.into_owned()),
            "id" => id = Some(Name::read(reader)?.into_owned()),
            "row" => row = Some(Name::read(reader)?.into_owned()),
            _ => drop(reader.json()?),
        }
        Ok(())
    })?;
    let missing = |name| move || Trouble::missing(start, name);
    Ok(ObjectKey {
        tenant: tenant.ok_or_else(missing("tenant"))?,
        module: module.ok_or_else(missing("module"))?,
        entity: entity.ok_or_else(missing("entity"))?,
        id: id.ok_or_else(missing("id"))?,
        row,
    })
}
