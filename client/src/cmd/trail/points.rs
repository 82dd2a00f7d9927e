//! Points of a stream, as they are given and as they are asked for.

use cairn_tree::record::replay::{Until, View};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::time::Time;
use clap::Args;

use super::super::failure::Failure;
use crate::auditor::trail::Whole;
use crate::fetch::Query;

/// In which way records act.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cmd) struct Ways {
    /// Whose time is meant: `server_time`, or `producer_time`, in the order of which records then act.
    #[arg(long, value_name = "CLOCK", default_value = "server_time", value_parser = clock)]
    by: Clock,
    /// `recorded`: each record acts where it stands; `corrected`: corrections act in the place of what they correct.
    #[arg(long, value_name = "VIEW", default_value = "recorded", value_parser = view)]
    pub(in crate::cmd) view: View,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Server,
    Producer,
}

/// A point of a stream: the records up to it act, it included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cmd) enum Point {
    /// The record with this number.
    Seq(Seq),
    /// This moment.
    Time(Time),
}

fn clock(text: &str) -> Result<Clock, &'static str> {
    match text {
        "server_time" => Ok(Clock::Server),
        "producer_time" => Ok(Clock::Producer),
        _ => Err("must be server_time or producer_time"),
    }
}

fn view(text: &str) -> Result<View, &'static str> {
    View::from_name(text).ok_or("must be recorded or corrected")
}

/// Reads a record's number or a time.
pub(in crate::cmd) fn point(text: &str) -> Result<Point, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seq = text.parse().ok().and_then(|number| Seq::new(number).ok());
        return seq.map(Point::Seq).ok_or_else(|| "no record has such a number".to_owned());
    }
    let time = Time::parse(text).map_err(|error| format!("neither a record's number nor a time: {error}"));
    time.map(Point::Time)
}

impl Ways {
    /// Up to where records act.
    pub(in crate::cmd) const fn until(self, point: Point) -> Until {
        match (point, self.by) {
            (Point::Seq(seq), _) => Until::Seq(seq),
            (Point::Time(time), Clock::Server) => Until::ServerTime(time),
            (Point::Time(time), Clock::Producer) => Until::ProducerTime(time),
        }
    }

    /// The same, for the server.
    pub(in crate::cmd) fn query(self) -> Query {
        let by = match self.by {
            Clock::Server => "server_time",
            Clock::Producer => "producer_time",
        };
        vec![("by", by.to_owned()), ("view", self.view.name().to_owned())]
    }
}

impl Point {
    /// The last record of a history.
    pub(in crate::cmd) fn last_of(whole: &Whole) -> Self {
        Self::Seq(whole.history.entered().last().map_or(Seq::FIRST, |last| last.seq()))
    }

    /// Refuses the number of a record that a history does not have.
    pub(in crate::cmd) fn check(self, flag: &str, whole: &Whole) -> Result<(), Failure> {
        match (self, Self::last_of(whole)) {
            (Self::Seq(seq), Self::Seq(last)) if seq > last => {
                Err(Failure::Refused(format!("{flag} {seq}: the last record of the stream is number {last}")))
            }
            _ => Ok(()),
        }
    }

    /// As a parameter.
    pub(in crate::cmd) fn text(self) -> String {
        match self {
            Self::Seq(seq) => seq.to_string(),
            Self::Time(time) => time.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_number_or_a_time() {
        assert_eq!(point("17"), Ok(Point::Seq(Seq::new(17).unwrap())));
        let time = Time::parse("2026-11-22T06:50:29Z").unwrap();
        assert_eq!(point("2026-11-22T07:50:29+01:00"), Ok(Point::Time(time)));
        for text in ["", "-1", "1.5", "now", "99999999999999999999"] {
            assert!(point(text).is_err(), "{text}");
        }
    }
}
