//! An entry of a listing: a record, or in its place what the server found wrong with it. So one record that can't be
//! verified is told, and the others are read.

use super::answer::{Members, RecordBody};
use super::json::{self, MEMBERS, Object};
use crate::record::digest::Digest;
use crate::record::json::{FaultKind, Read, Reader, Trouble};
use crate::record::kind::IncidentFault;
use crate::size::LeafIndex;
use crate::wire::problem::ProblemKind;

/// The most bytes of a detail.
const MAX_DETAIL: usize = 1_024;

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A record; perhaps of a later version, without disclosures then.
    Record(Box<RecordBody>),
    /// What is there can't be verified, and nothing of it is given out.
    Unverified(IntegrityProblem),
}

/// What the server found wrong with a record: its word, of which nothing is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityProblem {
    /// Where the record is in the log.
    pub index: LeafIndex,
    /// What of it is wrong.
    pub part: WrongPart,
    /// In words without content, for people.
    pub detail: String,
}

/// What of a record is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongPart {
    /// The disclosure of this digest.
    Disclosure(Digest, IncidentFault),
    /// The leaf, or its place in the tree.
    Leaf,
    /// It does not go on from the record before it in its stream, or that one is not there.
    Chain,
}

impl WrongPart {
    /// The word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Disclosure(..) => "disclosure",
            Self::Leaf => "leaf",
            Self::Chain => "chain",
        }
    }
}

impl core::fmt::Display for IntegrityProblem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the record at {} can't be verified: {}", self.index, self.detail)
    }
}

impl Listed {
    /// The record, if it is one.
    #[must_use]
    pub fn record(&self) -> Option<&RecordBody> {
        match self {
            Self::Record(body) => Some(body),
            Self::Unverified(_) => None,
        }
    }

    /// About how many bytes it is written in.
    pub(super) fn length(&self) -> usize {
        1024 + self.record().map_or(0, RecordBody::length)
    }

    /// As it stands in a page.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.length());
        self.push(&mut json);
        json
    }

    pub(super) fn push(&self, json: &mut Vec<u8>) {
        match self {
            Self::Record(body) => body.push(json),
            Self::Unverified(problem) => Object::write(json, |entry| {
                entry.member("problem", |json| problem.push(json));
            }),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut problem, mut members) = (None, Members::default());
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "problem" => problem = Some(IntegrityProblem::read(reader)?),
                name => members.read(reader, name)?,
            }
            Ok(())
        })?;
        match problem {
            // Whatever stands beside it.
            Some(problem) => Ok(Self::Unverified(problem)),
            None => members.finish(start).map(|body| Self::Record(Box::new(body))),
        }
    }
}

impl IntegrityProblem {
    /// As it stands by itself, in the place of a record.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        self.push(&mut json);
        json
    }

    pub(super) fn push(&self, json: &mut Vec<u8>) {
        Object::write(json, |problem| {
            let kind = ProblemKind::Integrity;
            problem.string("type", kind.uri());
            problem.string("title", kind.title());
            problem.string("detail", &self.detail);
            problem.integer("index", self.index.get());
            problem.string("part", self.part.name());
            if let WrongPart::Disclosure(digest, fault) = self.part {
                problem.text("digest", digest);
                problem.string("fault", fault.name());
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut index, mut part, mut digest, mut fault, mut detail) = (None, None, None, None, String::new());
        reader.object(MEMBERS, |reader, name, _| {
            match &*name {
                "index" => index = Some(json::index(reader)?),
                "part" => part = Some(reader.string()?.into_owned()),
                "digest" => digest = Some(json::digest(reader)?),
                "fault" => fault = Some(json::parsed(reader, "must be a fault of a disclosure", fault_of)?),
                "detail" => detail = read_detail(reader)?,
                _ => drop(reader.json()?),
            }
            Ok(())
        })?;
        let missing = |name| move || Trouble::missing(start, name);
        let part = match part.ok_or_else(missing("part"))?.as_str() {
            "disclosure" => {
                WrongPart::Disclosure(digest.ok_or_else(missing("digest"))?, fault.ok_or_else(missing("fault"))?)
            }
            "chain" => WrongPart::Chain,
            // What a later server may say is no better.
            _ => WrongPart::Leaf,
        };
        Ok(Self { index: index.ok_or_else(missing("index"))?, part, detail })
    }
}

fn fault_of(word: &str) -> Option<IncidentFault> {
    IncidentFault::ALL.into_iter().find(|fault| fault.name() == word)
}

fn read_detail(reader: &mut Reader<'_>) -> Read<String> {
    let at = reader.offset();
    let detail = reader.string()?;
    if detail.len() > MAX_DETAIL {
        return Err(Trouble::new(at, FaultKind::TooLong(MAX_DETAIL)));
    }
    Ok(detail.into_owned())
}
