//! Honest answers about audit records, as `/v1` gives them.

use std::borrow::Cow;

use cairn_tree::record::history::History;
use cairn_tree::record::open::Record;
use cairn_tree::record::replay::{Until, View, replay};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::{DifferencesAnswer, Listed, ObjectDifferences, Page, Point, States, StatesAnswer, view};
use serde_json::Value;

use super::model::Model;
use super::trail::{Stored, Trail, signed};

/// A query's names and values, decoded.
type Parameters = [(String, String)];

/// The body of the answer to `GET /v1/...`; `None` if there is no such thing.
pub(super) fn read(model: &Model, trail: &Trail, shown: u64, path: &str, query: &Parameters) -> Option<Vec<u8>> {
    let query: Vec<(String, String)> = query.iter().map(|(name, value)| (name.clone(), decoded(value))).collect();
    let answers = Answers { model, trail, shown, query: &query };
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["v1", "records"] => Some(answers.search().to_json()),
        ["v1", "records", id] => Some(trail.one(model, shown, id)?.to_json()),
        ["v1", "streams", "entity", tenant, module, entity, object, rest @ ..] => {
            let [tenant, module, entity, object] = [tenant, module, entity, object].map(|part| name(part));
            answers.stream(&StreamName::Entity { tenant, module, entity, object }, rest)
        }
        ["v1", "streams", "named", tenant, stream, rest @ ..] => {
            answers.stream(&StreamName::Named { tenant: name(tenant), name: name(stream) }, rest)
        }
        _ => None,
    }
}

struct Answers<'a> {
    model: &'a Model,
    trail: &'a Trail,
    shown: u64,
    query: &'a Parameters,
}

impl Answers<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn limit(&self) -> usize {
        self.parameter("limit").and_then(|text| text.parse().ok()).unwrap_or(50)
    }

    fn page(&self, indexes: &[LeafIndex], next: Option<String>) -> Page {
        let body = |index: &LeafIndex| self.trail.body(self.model, self.shown, *index);
        Page {
            stream: None,
            records: indexes.iter().map(|index| Listed::Record(Box::new(body(index)))).collect(),
            broken_from: None,
            redactions: self.trail.redactions().map(|stored| body(&stored.index)).collect(),
            checkpoint: signed(self.model, self.shown),
            complete_to: TreeSize::new(self.shown).expect("a size"),
            except: Vec::new(),
            next: next.map(|next| next.parse().expect("a cursor")),
        }
    }

    /// The newest first; a cursor is the index below which the next page begins.
    fn search(&self) -> Page {
        let below = self.parameter("cursor").and_then(|text| text.parse().ok()).unwrap_or(self.shown);
        let found = |stored: &&Stored| stored.index.get() < below && self.matches(stored.index);
        let mut found: Vec<LeafIndex> = self.trail.stored.iter().filter(found).map(|stored| stored.index).collect();
        found.reverse();
        let next = found.get(self.limit()).map(|next| (next.get() + 1).to_string());
        found.truncate(self.limit());
        self.page(&found, next)
    }

    fn matches(&self, index: LeafIndex) -> bool {
        let record = self.trail.as_seen(self.model, index);
        let says: Value = serde_json::from_str(&view(&record)).expect("a view");
        let is = |value: &Value, wanted: &str| value.as_str() == Some(wanted);
        let has =
            |value: &Value, wanted: &str| value.as_array().is_some_and(|all| all.iter().any(|one| is(one, wanted)));
        let time = |text: &str| Time::parse(text).expect("a time");
        let at = record.leaf().server().time;
        self.query.iter().all(|(name, wanted)| match name.as_str() {
            "limit" | "cursor" | "proof" | "log" => true,
            "from" => time(wanted) <= at,
            "until" => at <= time(wanted),
            "object" => is(&says["object"]["id"], wanted),
            "actor" => is(&says["actor"]["id"], wanted),
            "subject" => has(&says["subjects"], wanted),
            "topic" => has(&says["topics"], wanted),
            "correlation" | "transaction" => is(&says["context"][name], wanted),
            _ => is(&says["object"][name], wanted),
        })
    }

    fn stream(&self, name: &StreamName<'_>, rest: &[&str]) -> Option<Vec<u8>> {
        let of_it = |stored: &&Stored| stored.stream == *name && stored.index.get() < self.shown;
        let all: Vec<LeafIndex> = self.trail.stored.iter().filter(of_it).map(|stored| stored.index).collect();
        let seen: Vec<Record> = all.iter().map(|index| self.trail.as_seen(self.model, *index)).collect();
        let stream = seen.first()?.leaf().server().stream;
        let history = || History::new(seen.clone()).expect("our own history");
        let (checkpoint, complete_to) = (signed(self.model, self.shown), TreeSize::new(self.shown).expect("a size"));
        match rest {
            [] => {
                let from = self.parameter("from_seq").and_then(|text| text.parse().ok()).unwrap_or(0);
                let row: Vec<LeafIndex> = all.iter().skip(from).take(self.limit()).copied().collect();
                let next = from + row.len();
                let page = self.page(&row, (next < all.len()).then(|| next.to_string()));
                Some(Page { stream: Some(stream), ..page }.to_json())
            }
            ["state"] => {
                let at = self.point("at", Until::End);
                let replayed = States::from(&replay(&history(), at.view, at.until));
                Some(StatesAnswer { stream, at, replayed, checkpoint, complete_to, earlier: Vec::new() }.to_json())
            }
            ["diff"] => {
                let beginning = Until::ServerTime(Time::from_micros(0).expect("a time"));
                let (from, to) = (self.point("from", beginning), self.point("to", Until::End));
                let states = |point: Point| replay(&history(), point.view, point.until);
                let objects = ObjectDifferences::between(&states(from), &states(to));
                Some(
                    DifferencesAnswer { stream, from, to, objects, checkpoint, complete_to, earlier: Vec::new() }
                        .to_json(),
                )
            }
            _ => None,
        }
    }

    fn point(&self, name: &str, otherwise: Until) -> Point {
        let view = self.parameter("view").and_then(View::from_name).unwrap_or(View::AsRecorded);
        let until = match self.parameter(name) {
            None => otherwise,
            Some(text) => match text.parse().ok().and_then(|number| Seq::new(number).ok()) {
                Some(seq) => Until::Seq(seq),
                None if self.parameter("by") == Some("producer_time") => {
                    Until::ProducerTime(Time::parse(text).expect("a time"))
                }
                None => Until::ServerTime(Time::parse(text).expect("a time")),
            },
        };
        Point { until, view }
    }
}

fn name(part: &str) -> Name<'static> {
    Name::new(Cow::Owned(decoded(part))).expect("a name")
}

/// Percent-decoding, and a plus for a space.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| char::from(digit.expect("two digits")));
                let digits: String = digits.iter().collect();
                u8::from_str_radix(&digits, 16).expect("hexadecimal digits")
            }
            other => other,
        });
    }
    String::from_utf8(bytes).expect("UTF-8")
}
