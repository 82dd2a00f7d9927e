//! A report: how many records there are of each kind, or which. It is written piece by piece, since it may be long, and its
//! last member says whether all of it is there.
//!
//! It is the server's word: each record in it was verified by the server, and that none is missing is claimed up to a size.
//! Whoever wants proof reads the records, or all leaves.

use super::json::Object;
use super::listed::IntegrityProblem;
use crate::checkpoint::SignedCheckpoint;
use crate::hash::Hash;
use crate::record::id::RecordId;
use crate::record::json::canonical::{push_integer, push_string};
use crate::record::server_part::Seq;
use crate::record::time::Time;
use crate::size::{LeafIndex, TreeSize};

/// What records are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The tenant.
    Tenant,
    /// The object's module.
    Module,
    /// The object's entity name.
    Entity,
    /// What was done.
    Operation,
    /// Who did it.
    Actor,
    /// The day of the server's time, in UTC.
    Day,
}

/// What a record says in one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportCell {
    /// Nothing.
    Absent,
    /// This.
    Text(String),
    /// The reader may not see it.
    Withheld,
    /// It is gone.
    Erased,
}

/// The records that say the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportGroup {
    /// How many.
    pub records: u64,
    /// The server's time of the first.
    pub oldest: Time,
    /// The server's time of the last.
    pub newest: Time,
}

/// One record of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRecord {
    /// Where it is.
    pub index: LeafIndex,
    /// Its id.
    pub id: RecordId,
    /// Its number in its stream.
    pub seq: Seq,
    /// The server's time.
    pub server_time: Time,
    /// The producer's time.
    pub time: Time,
    /// What it says, by the names of [`ReportRecord::NAMES`].
    pub says: [ReportCell; 9],
    /// Its leaf hash.
    pub leaf_hash: Hash,
}

/// How a report ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportEnd {
    /// How many records are in it.
    pub records: u64,
    /// How many could not be verified: they are told of one by one, and are in no number.
    pub unverified: u64,
    /// The server says that among the leaves of a tree of this size no record is left out,
    pub complete_to: TreeSize,
    /// except perhaps these, which its indexes don't find by what they say.
    pub except: Vec<LeafIndex>,
    /// When the head of the tree was made that was read, as the server says.
    pub as_of: Time,
    /// A checkpoint, of this size at least.
    pub checkpoint: SignedCheckpoint,
}

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Tenant, Self::Module, Self::Entity, Self::Operation, Self::Actor, Self::Day];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Module => "module",
            Self::Entity => "entity",
            Self::Operation => "operation",
            Self::Actor => "actor",
            Self::Day => "day",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dimension| dimension.name() == name)
    }
}

impl ReportCell {
    /// What it is in one word, where its text alone would not tell.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Text(_) => "shown",
            Self::Withheld => "withheld",
            Self::Erased => "erased",
        }
    }

    /// The text, if there is one.
    #[must_use]
    pub fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    /// A string; `null`, `{"withheld":true}` or `{"erased":true}` where there is none.
    fn push(&self, json: &mut Vec<u8>) {
        match self {
            Self::Absent => json.extend_from_slice(b"null"),
            Self::Text(text) => push_string(json, text),
            Self::Withheld => json.extend_from_slice(b"{\"withheld\":true}"),
            Self::Erased => json.extend_from_slice(b"{\"erased\":true}"),
        }
    }
}

impl ReportEnd {
    /// Whether nothing is missing from the report that should be in it, by the server's word.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unverified == 0 && self.except.is_empty()
    }
}

impl ReportGroup {
    /// A group of one record.
    #[must_use]
    pub const fn of(time: Time) -> Self {
        Self { records: 1, oldest: time, newest: time }
    }

    /// Adds a record.
    pub fn add(&mut self, time: Time) {
        self.records = self.records.saturating_add(1);
        self.oldest = self.oldest.min(time);
        self.newest = self.newest.max(time);
    }

    /// Writes it as JSON, with what its records have in common.
    pub fn push(&self, json: &mut Vec<u8>, common: &[(Dimension, ReportCell)]) {
        Object::write(json, |group| {
            for (dimension, cell) in common {
                group.member(dimension.name(), |json| cell.push(json));
            }
            group.integer("records", self.records);
            group.time("oldest", self.oldest);
            group.time("newest", self.newest);
        });
    }
}

impl ReportRecord {
    /// The names of what it says.
    pub const NAMES: [&'static str; 9] =
        ["tenant", "module", "entity", "object", "row", "operation", "category", "action", "actor"];

    /// Writes it as JSON.
    pub fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |record| {
            record.integer("index", self.index.get());
            record.text("id", self.id);
            record.integer("seq", self.seq.get());
            record.time("server_time", self.server_time);
            record.time("time", self.time);
            for (name, cell) in Self::NAMES.iter().zip(&self.says) {
                record.member(name, |json| cell.push(json));
            }
            record.hash("leaf_hash", &self.leaf_hash);
        });
    }
}

/// Writes a report as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportWriter {
    begun: bool,
}

impl ReportWriter {
    /// Writes the beginning: what is counted by, or that records are listed, and of which tenant.
    #[must_use]
    pub fn begin(json: &mut Vec<u8>, tenant: &str, by: Option<&[Dimension]>) -> Self {
        json.extend_from_slice(b"{\"tenant\":");
        push_string(json, tenant);
        if let Some(by) = by {
            let names: Vec<String> = by.iter().map(|dimension| format!("\"{}\"", dimension.name())).collect();
            json.extend_from_slice(format!(",\"by\":[{}]", names.join(",")).as_bytes());
        }
        json.extend_from_slice(if by.is_some() { b",\"groups\":[" } else { b",\"listed\":[" });
        Self { begun: false }
    }

    /// Writes a group or a record.
    pub fn add(&mut self, json: &mut Vec<u8>, push: impl FnOnce(&mut Vec<u8>)) {
        if self.begun {
            json.push(b',');
        }
        self.begun = true;
        push(json);
    }

    /// Writes what stands in the place of a record that can't be verified.
    pub fn problem(&mut self, json: &mut Vec<u8>, problem: &IntegrityProblem) {
        self.add(json, |json| Object::write(json, |entry| entry.member("problem", |json| problem.push(json))));
    }

    /// Writes the end of a report that went through all that it should.
    pub fn end(self, json: &mut Vec<u8>, end: &ReportEnd) {
        json.push(b']');
        let mut members = Vec::new();
        Object::write(&mut members, |members| {
            members.integer("records", end.records);
            members.integer("unverified", end.unverified);
            members.integer("complete_to", end.complete_to.get());
            if !end.except.is_empty() {
                members.array("except", &end.except, |json, index| push_integer(json, index.get()));
            }
            members.time("as_of", end.as_of);
            members.text("checkpoint", &end.checkpoint);
            members.boolean("complete", end.is_complete());
        });
        splice(json, &members);
    }

    /// Writes the end of a report that breaks off, with the problem document that says why.
    pub fn break_off(self, json: &mut Vec<u8>, problem: &[u8]) {
        json.push(b']');
        let mut members = Vec::new();
        Object::write(&mut members, |members| {
            members.member("problem", |json| json.extend_from_slice(problem));
            members.boolean("complete", false);
        });
        splice(json, &members);
    }
}

/// Writes the members of an object, and the end of the one that they go on with.
fn splice(json: &mut Vec<u8>, object: &[u8]) {
    json.push(b',');
    json.extend_from_slice(object.get(1..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::json::{Json, Value};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut json = Vec::new();
        write(&mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn reports_are_json_however_they_end() {
        let time = Time::from_micros(1_700_000_000_000_000).unwrap();
        let by = [Dimension::Actor, Dimension::Day];
        let mut group = ReportGroup::of(time);
        group.add(time);
        let rows = |json: &mut Vec<u8>| {
            let mut writer = ReportWriter::begin(json, "p\"b", Some(&by));
            for cell in [ReportCell::Absent, ReportCell::Withheld, ReportCell::Erased, ReportCell::Text("\"".into())] {
                writer.add(json, |json| group.push(json, &[(Dimension::Actor, cell)]));
            }
            writer
        };
        let broken = written(|json| rows(json).break_off(json, b"{\"title\":\"x\"}"));
        let times =
            "\"records\":2,\"oldest\":\"2023-11-14T22:13:20.000000Z\",\"newest\":\"2023-11-14T22:13:20.000000Z\"}";
        let expected = format!(
            "{{\"tenant\":\"p\\\"b\",\"by\":[\"actor\",\"day\"],\"groups\":[{{\"actor\":null,{times},\
             {{\"actor\":{{\"withheld\":true}},{times},{{\"actor\":{{\"erased\":true}},{times},\
             {{\"actor\":\"\\\"\",{times}],\"problem\":{{\"title\":\"x\"}},\"complete\":false}}"
        );
        assert_eq!(broken, expected);
        assert!(matches!(Json::parse(broken.as_bytes()).unwrap().value(), Value::Object(_)));
    }

    #[test]
    fn dimensions_have_names() {
        for dimension in Dimension::ALL {
            assert_eq!(Dimension::from_name(dimension.name()), Some(dimension));
        }
        assert_eq!(Dimension::from_name("object"), None);
    }
}
