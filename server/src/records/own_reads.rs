//! The record of a read: who was shown what of a tenant's records, and what he asked for.
//!
//! | of the record | holds |
//! |---|---|
//! | object | module `cairn`, entity `read`, id the route as in the OpenAPI document, operation `cairn.read` |
//! | stream | the named one `cairn.reads.` with the day (UTC) behind it, so that none grows without end; its topic is `cairn.reads` |
//! | actor | who is said to ask, or else the credential, with the type `credential` |
//! | context | the purpose and the trace of the request |
//! | values | whole, new; the members below |
//!
//! | member | class | holds |
//! |---|---|---|
//! | `credential` | public | what stands for the credential in this log, as `by` does |
//! | `reads` | public | `metadata` or `full` |
//! | `records` | public | how many records were shown |
//! | `stream` | public | the stream's id, if all of them are of one |
//! | `target` | restricted | path and query of the request; only of a full one, as all below |
//! | `shown` | internal | the records, each with `id` and `index`; of more than a thousand their streams, each with the number of its records and the indexes of the first and the last; those of the trail of reads are left out |
//! | `of_trail` | public | how many of the records are of the trail of reads, beside others: of those nothing more is said |
//! | `unlisted` | internal | how many records are in streams that are not listed |
//! | others | restricted or secret | terms of the request's body, under their names there |
//!
//! Not here: which reads are put on record, and when (`http::trail`).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cairn_tree::record::class::{Class, Classification};
use cairn_tree::record::draft::Content;
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::json::{Json, Pointer};
use cairn_tree::record::open::Record;
use cairn_tree::record::parts::{Actor, Context};
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::stream::{StreamId, Topics};
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::record::values::{Document, Values};
use cairn_tree::size::LeafIndex;

use super::own::{OwnError, OwnRecord, own_object};
use super::settings::ReadAudit;

/// The operation of the record of a read.
pub const READ: &str = "cairn.read";
/// The topic of the streams of reads, and with a dot what their names begin with.
pub const TOPIC: &str = "cairn.reads";
/// The letters of a day at the beginning of a time.
const DAY: usize = "2026-01-01".len();
/// The most records, and the most streams, that are listed for one answer.
const LISTED: usize = 1_000;

/// What one answer shows of the records of a tenant.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    count: u64,
    /// How many of them are themselves records of reads.
    of_reads: u64,
    listed: Vec<(LeafIndex, RecordId)>,
    /// Of the trail of reads too, so that it is known whether all are of one.
    streams: BTreeMap<StreamId, Part>,
    /// Records of streams that are not listed.
    unlisted: u64,
}

/// What is shown of one stream.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Those of the trail of reads are not counted here.
    count: u64,
    first: LeafIndex,
    last: LeafIndex,
}

/// A read of a tenant's records.
#[derive(Debug, Clone)]
pub struct Read<'r> {
    /// Whose records.
    pub tenant: &'r str,
    /// How much is recorded of it.
    pub audit: ReadAudit,
    /// The route, with its variable parts in braces.
    pub route: &'static str,
    /// Stands for the credential.
    pub credential: Pseudonym,
    /// Who is said to ask.
    pub actor: Option<Name<'static>>,
    /// What the request says of why.
    pub context: Context<'static>,
    /// Path and query.
    pub target: &'r str,
    /// What the body asks for, each term with its class.
    pub terms: &'r [(&'static str, Class, Json<'static>)],
    /// What was shown.
    pub shown: &'r Shown,
    /// Whether it is a read of the trail of reads: of those, metadata alone is kept.
    pub of_reads: bool,
    /// Now.
    pub time: Time,
}

impl Shown {
    /// Takes note of a record that is shown.
    pub fn note(&mut self, record: &Record) {
        let (index, stream) = (record.index(), record.leaf().server().stream);
        let object = record.content().object.disclosed();
        let is_read =
            object.is_some_and(|object| object.module.as_str() == OWN_MODULE && object.operation.as_str() == READ);
        self.count += 1;
        // Of reads of the trail it is metadata that is kept, beside whatever else is shown.
        let listed = u64::from(!is_read);
        self.of_reads += 1 - listed;
        if !is_read && self.listed.len() < LISTED {
            self.listed.push((index, record.leaf().event().head().id));
        }
        if let Some(part) = self.streams.get_mut(&stream) {
            let (first, last) = (part.first.min(index), part.last.max(index));
            *part = Part { count: part.count + listed, first, last };
        } else if self.streams.len() < LISTED {
            self.streams.insert(stream, Part { count: listed, first: index, last: index });
        } else {
            self.unlisted += listed;
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it is of nothing but the trail of reads.
    #[must_use]
    pub const fn is_of_reads(&self) -> bool {
        self.count > 0 && self.of_reads == self.count
    }

    /// The stream that all are of.
    fn stream(&self) -> Option<StreamId> {
        let (stream, _) = self.streams.first_key_value().filter(|_| self.streams.len() == 1)?;
        Some(*stream)
    }

    fn to_json(&self) -> Json<'static> {
        let mut text = String::from("[");
        // Writing to a string does not fail.
        if self.count - self.of_reads == self.listed.len() as u64 {
            for (index, id) in &self.listed {
                let _ = write!(text, r#"{{"id":"{id}","index":{index}}},"#);
            }
        } else {
            for (stream, Part { count, first, last }) in self.streams.iter().filter(|(_, part)| part.count > 0) {
                let _ = write!(text, r#"{{"stream":"{stream}","records":{count},"first":{first},"last":{last}}},"#);
            }
        }
        json(&format!("{}]", text.trim_end_matches(',')))
    }
}

/// What is written here is JSON.
fn json(text: &str) -> Json<'static> {
    Json::parse(text.as_bytes()).map_or_else(|_| Json::string(text), Json::into_owned)
}

impl Read<'_> {
    /// The record.
    ///
    /// # Errors
    /// [`OwnError::Invalid`] if what was asked for is more than a record holds.
    pub fn to_record(&self) -> Result<OwnRecord, OwnError> {
        let invalid = |error: &dyn core::fmt::Display| OwnError::Invalid(error.to_string());
        let name = |text: String| Name::new(text).map_err(|error| invalid(&error));
        let object = own_object(name(self.tenant.to_owned())?, "read", self.route.to_owned(), READ);
        let object = object.map_err(|error| invalid(&error))?;
        let actor = match &self.actor {
            Some(actor) => Actor::new(actor.clone(), None),
            None => {
                let (id, kind) = (name(self.credential.to_string())?, name("credential".to_owned())?);
                Actor::new(id, Some(kind))
            }
        };
        let time = self.time.to_text();
        let day = time.get(..DAY).and_then(|day| core::str::from_utf8(day).ok()).unwrap_or_default();
        let context = Context { stream: Some(name(format!("{TOPIC}.{day}"))?), ..self.context.clone() };
        let topics = Topics::new(vec![name(TOPIC.to_owned())?]).map_err(|error| invalid(&error))?;
        let content = Content {
            object,
            actor: Some(actor),
            subjects: None,
            context: Some(context),
            values: Some(self.values()?),
            attributes: None,
        };
        Ok(OwnRecord::new(content).with_topics(topics))
    }

    fn values(&self) -> Result<Values<'static>, OwnError> {
        let invalid = |error: &dyn core::fmt::Display| OwnError::Invalid(error.to_string());
        // Whoever reads the trail asks for what others asked for.
        let full = self.audit == ReadAudit::Full && !self.of_reads;
        let audit = if full { ReadAudit::Full } else { ReadAudit::Metadata };
        let mut members = vec![
            ("credential", Class::Public, Json::string(&self.credential.to_string())),
            ("reads", Class::Public, Json::string(audit.name())),
            ("records", Class::Public, json(&self.shown.count.to_string())),
        ];
        let stream = self.shown.stream();
        members.extend(stream.map(|stream| ("stream", Class::Public, Json::string(&stream.to_string()))));
        if full {
            members.push(("target", Class::Restricted, Json::string(self.target)));
            members.push(("shown", Class::Internal, self.shown.to_json()));
            if self.shown.of_reads > 0 {
                members.push(("of_trail", Class::Public, json(&self.shown.of_reads.to_string())));
            }
            if self.shown.unlisted > 0 {
                members.push(("unlisted", Class::Internal, json(&self.shown.unlisted.to_string())));
            }
            members.extend_from_slice(self.terms);
        }
        let mut classes = Classification::all(Class::Public);
        for (name, class, _) in &members {
            classes = classes.with(Pointer::ROOT.child(name).map_err(|error| invalid(&error))?, *class);
        }
        let members = members.into_iter().map(|(name, _, json)| (name.into(), json)).collect();
        let values = Values::whole(None, (None, Some(Document::Members(members))), &classes);
        values.map_err(|error| invalid(&error))
    }
}
