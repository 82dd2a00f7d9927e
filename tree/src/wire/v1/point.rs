//! Up to where a stream is replayed.

use super::json::{self, MEMBERS, Object};
use crate::record::json::{FaultKind, Read, Reader, Trouble};
use crate::record::replay::{Until, View};

/// Up to where a stream is replayed, and in which view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Up to where.
    pub until: Until,
    /// In which view.
    pub view: View,
}

impl Point {
    pub(super) fn push(self, json: &mut Vec<u8>) {
        Object::write(json, |point| {
            match self.until {
                Until::End => {}
                Until::Seq(seq) => point.integer("seq", seq.get()),
                Until::ServerTime(time) => point.time("time", time),
                Until::ProducerTime(time) => point.time("producer_time", time),
            }
            point.string("view", self.view.name());
        });
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let start = reader.offset();
        let (mut until, mut view) = (None, None);
        let mut bounds = 0;
        reader.object(MEMBERS, |reader, name, _| {
            let bound = match &*name {
                "seq" => Until::Seq(json::seq(reader)?),
                "time" => Until::ServerTime(json::time(reader)?),
                "producer_time" => Until::ProducerTime(json::time(reader)?),
                "view" => {
                    view = Some(json::parsed(reader, "must be recorded or corrected", View::from_name)?);
                    return Ok(());
                }
                _ => return reader.json().map(drop),
            };
            bounds += 1;
            until = Some(bound);
            Ok(())
        })?;
        if bounds > 1 {
            return Err(Trouble::new(start, FaultKind::Rule("must have one of seq, time and producer_time at most")));
        }
        let view = view.ok_or_else(|| Trouble::missing(start, "view"))?;
        Ok(Self { until: until.unwrap_or(Until::End), view })
    }
}
