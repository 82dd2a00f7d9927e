//! What a report says of each record: the group that it belongs to, or a line of its own.

use std::collections::BTreeMap;

use cairn_tree::record::open::Record;
use cairn_tree::record::parts::{Actor, Object};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::wire::v1::{Dimension, ReportCell, ReportGroup, ReportRecord};

use super::form::Writer;
use crate::http::problem::{Kind, Problem};
use crate::limits::REPORT_GROUPS;

/// The characters of a day in RFC 3339.
const DAY: usize = 10;

/// The groups of a report, as far as they are not written yet.
pub(super) struct Groups {
    by: Vec<Dimension>,
    groups: BTreeMap<Vec<ReportCell>, ReportGroup>,
    /// The day of all of them, where they go by day.
    day: Option<String>,
}

impl Groups {
    pub(super) const fn new(by: Vec<Dimension>) -> Self {
        Self { by, groups: BTreeMap::new(), day: None }
    }

    /// Counts a record. Records come from the newest to the oldest, and the server's time never rises on that way: so where
    /// groups go by day, those of a day are written when an earlier one begins, and memory holds one day's.
    pub(super) fn add(&mut self, record: &Record, writer: &mut Writer, out: &mut Vec<u8>) -> Result<(), Problem> {
        let time = record.leaf().server().time;
        let today = day(time);
        if self.by.contains(&Dimension::Day) && self.day.as_ref().is_some_and(|day| *day != today) {
            self.write(writer, out);
        }
        let common: Vec<ReportCell> = self.by.iter().map(|dimension| said(*dimension, record)).collect();
        self.day = Some(today);
        if let Some(group) = self.groups.get_mut(&common) {
            group.add(time);
        } else if self.groups.len() < REPORT_GROUPS {
            self.groups.insert(common, ReportGroup::of(time));
        } else {
            return Err(self.too_many());
        }
        Ok(())
    }

    /// Writes what was counted.
    pub(super) fn write(&mut self, writer: &mut Writer, out: &mut Vec<u8>) {
        for (common, group) in core::mem::take(&mut self.groups) {
            writer.group(out, &common, &group, &self.by);
        }
    }

    fn too_many(&self) -> Problem {
        let of = if self.by.contains(&Dimension::Day) { " of one day" } else { "" };
        let detail = format!("by: there are more than {REPORT_GROUPS} groups{of}; count by less, or fewer records");
        Problem::new(Kind::OutOfRange, detail).field("by").bound(format!("at most {REPORT_GROUPS} groups{of}"))
    }
}

/// The line of a record.
pub(super) fn line(record: &Record) -> ReportRecord {
    let (head, server, content) = (record.leaf().event().head(), record.leaf().server(), record.content());
    let object = |part: for<'o> fn(&'o Object<'static>) -> Option<&'o str>| of(&content.object, part);
    let says = [
        object(|object| Some(object.tenant.as_str())),
        object(|object| Some(object.module.as_str())),
        object(|object| Some(object.entity.as_str())),
        object(|object| Some(object.id.as_str())),
        object(|object| object.row.as_ref().map(Name::as_str)),
        object(|object| Some(object.operation.as_str())),
        object(|object| object.category.as_ref().map(Name::as_str)),
        object(|object| object.action.as_ref().map(Name::as_str)),
        of(&content.actor, actor),
    ];
    ReportRecord {
        index: record.index(),
        id: head.id,
        seq: server.place.seq(),
        server_time: server.time,
        time: head.time,
        says,
        leaf_hash: record.hash(),
    }
}

fn said(dimension: Dimension, record: &Record) -> ReportCell {
    let content = record.content();
    match dimension {
        Dimension::Tenant => of(&content.object, |object| Some(object.tenant.as_str())),
        Dimension::Module => of(&content.object, |object| Some(object.module.as_str())),
        Dimension::Entity => of(&content.object, |object| Some(object.entity.as_str())),
        Dimension::Operation => of(&content.object, |object| Some(object.operation.as_str())),
        Dimension::Actor => of(&content.actor, actor),
        Dimension::Day => ReportCell::Text(day(record.leaf().server().time)),
    }
}

fn actor<'a>(actor: &'a Option<Actor<'static>>) -> Option<&'a str> {
    actor.as_ref().map(|actor| actor.id().as_str())
}

fn of<T>(shown: &Shown<T>, part: impl FnOnce(&T) -> Option<&str>) -> ReportCell {
    match shown {
        Shown::Disclosed(value) => part(value).map_or(ReportCell::Absent, |text| ReportCell::Text(text.to_owned())),
        Shown::Withheld => ReportCell::Withheld,
        Shown::Erased(_) => ReportCell::Erased,
    }
}

fn day(time: Time) -> String {
    let text = time.to_text();
    core::str::from_utf8(&text).unwrap_or_default().chars().take(DAY).collect()
}
