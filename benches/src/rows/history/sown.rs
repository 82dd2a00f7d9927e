//! What the log is filled with: reference records of one object, dispersed evenly, and between them small records that
//! every filter finds some of.

use std::fmt::Write as _;

use cairn::load::ReferenceRecords;

use crate::payload::mix;

/// Records of the history.
pub(super) const HISTORY: u64 = 1_000;
/// The number of the reference record whose object the history is of.
const REFERENCE: u64 = 0;
/// Its stream.
pub(super) const STREAM: &str = "/v1/streams/entity/pb.amritsar/tradelicense/eg_tl_tradelicense/PB-TL-2026-000000";
/// Whose records all of them are.
pub(super) const TENANT: &str = "pb.amritsar";
/// Of so many records one is the first of a named stream, and has a topic.
const NAMED: u64 = 1_000;

/// How many values of a property there are, and how many records in a row have the same one.
pub(super) struct Spread {
    values: u64,
    run: u64,
}

impl Spread {
    const fn new(values: u64, run: u64) -> Self {
        Self { values, run }
    }

    /// Which value a record has: scattered, and independent of other properties, unless it comes in runs.
    const fn of(&self, number: u64) -> u64 {
        let scattered = if self.run == 1 { mix(number ^ mix(self.values)) } else { number / self.run };
        scattered % self.values
    }
}

/// The filters of `GET /v1/records`, each with what a value begins with.
pub(super) const FILTERS: [(&str, &str, Spread); 11] = [
    ("module", "m", Spread::new(8, 1)),
    ("entity", "e", Spread::new(40, 1)),
    ("object", "o", Spread::new(1_000_000, 1)),
    ("operation", "op", Spread::new(5, 1)),
    ("action", "a", Spread::new(25, 1)),
    ("category", "c", Spread::new(3, 1)),
    ("actor", "u", Spread::new(10_000, 1)),
    ("subject", "p", Spread::new(500_000, 1)),
    ("correlation", "co", Spread::new(u64::MAX, 5)),
    ("transaction", "t", Spread::new(u64::MAX, 20)),
    ("topic", "topic", Spread::new(50, NAMED)),
];

/// The value of a filter that a record has.
pub(super) fn value(filter: &str, number: u64) -> String {
    let found = FILTERS.iter().find(|(name, ..)| *name == filter);
    found.map_or_else(String::new, |(_, prefix, spread)| format!("{prefix}-{}", spread.of(number)))
}

/// A record with a topic, at or before this number.
pub(super) const fn with_topic(number: u64) -> u64 {
    number / NAMED * NAMED + 1
}

/// Makes them by their number.
pub(super) struct Sown {
    reference: ReferenceRecords,
    /// Each so many is one of the history.
    step: u64,
    count: u64,
}

impl Sown {
    pub(super) fn new(count: u64) -> Self {
        Self { reference: ReferenceRecords::new(), step: (count / HISTORY).max(1), count }
    }

    /// Some of them, one per line.
    pub(super) fn lines(&self, first: u64, count: usize) -> String {
        let mut lines = String::with_capacity(count * 512);
        for number in (first..self.count).take(count) {
            self.push(&mut lines, number);
            lines.push('\n');
        }
        lines
    }

    fn push(&self, to: &mut String, number: u64) {
        if number.is_multiple_of(self.step) && number / self.step < HISTORY {
            to.push_str(&self.reference.record(REFERENCE));
            return;
        }
        let of = |filter| value(filter, number);
        // Writing into a string does not fail.
        let _ = write!(
            to,
            concat!(
                r#"{{"object":{{"tenant":"{}","module":"{}","entity":"{}","id":"{}","operation":"{}","action":"{}","#,
                r#""category":"{}"}},"actor":{{"id":"{}","type":"user"}},"subjects":["{}"],"#,
                r#""context":{{"correlation":"{}","transaction":"{}"{}}}{}}}"#
            ),
            TENANT,
            of("module"),
            of("entity"),
            of("object"),
            of("operation"),
            of("action"),
            of("category"),
            of("actor"),
            of("subject"),
            of("correlation"),
            of("transaction"),
            if number == with_topic(number) { format!(r#","stream":"s-{number}""#) } else { String::new() },
            if number == with_topic(number) { format!(r#","topics":["{}"]"#, of("topic")) } else { String::new() },
        );
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::wire::record::native::{NativeInput, parse};

    use super::*;

    #[test]
    fn every_line_is_a_record_and_a_thousandth_are_of_the_history() {
        let sown = Sown::new(10_000);
        let lines = sown.lines(0, 20_000);
        assert_eq!(lines.lines().count(), 10_000);
        let of_history = |line: &str| {
            let inputs = parse(line.as_bytes()).unwrap();
            let [NativeInput::Plain(input)] = inputs.as_slice() else { panic!("one plain record") };
            STREAM.ends_with(input.content.object.id.as_str())
        };
        assert_eq!(lines.lines().filter(|line| of_history(line)).count() as u64, HISTORY);
        assert_eq!(lines.lines().filter(|line| line.contains("topics")).count(), 10);
    }
}
