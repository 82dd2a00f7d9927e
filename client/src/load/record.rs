//! The reference record of every measurement: 1.5 KB of JSON with 24 fields of values, each disclosed by itself, beside
//! object, actor, subject, context and an attribute: 34 disclosures with those of nothing, found by ten filters.

/// Fields of values.
const FIELDS: usize = 24;
/// Objects whose records come again and again, dispersed over the log.
const OBJECTS: u64 = 100_000;
/// Scatters numbers over the objects: it divides by none of their number's factors.
const STRIDE: u64 = 7_919;

/// Reference records in our own form, which differ in their objects only.
#[derive(Debug, Clone)]
pub struct ReferenceRecords {
    /// What stands before the object's number in each record.
    before: String,
    /// What stands after it.
    after: String,
}

impl ReferenceRecords {
    /// What all of them have alike.
    #[must_use]
    pub fn new() -> Self {
        let field = |number: usize| format!(r#""field_{number:02}":"value {:08x}""#, number * 0x0137_9bdf);
        let fields: Vec<String> = (0..FIELDS).map(field).collect();
        let before = r#"{"object":{"tenant":"pb.amritsar","module":"tradelicense","entity":"eg_tl_tradelicense","id":"PB-TL-2026-"#;
        let after = format!(
            concat!(
                r#"","operation":"update","category":"data","action":"approve"}},"#,
                r#""actor":{{"id":"8a1f3b4c-5d6e-4f70-8192-a3b4c5d6e7f8","type":"user","roles":["TL_APPROVER"]}},"#,
                r#""subjects":["9c2e3b4c-5d6e-4f70-8192-a3b4c5d6e7f8"],"#,
                r#""context":{{"reason":"documents verified","purpose":"licensing","transaction":"TX-2026-000017","#,
                r#""correlation":"c-2026-000017","#,
                r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},"#,
                r#""values":{{"schema":{{"uri":"https://schemas.example/tl","version":"3"}},"whole":{{"new":{{{}}}}}}},"#,
                r#""attributes":{{"channel":"counter"}}}}"#
            ),
            fields.join(",")
        );
        Self { before: before.to_owned(), after }
    }

    /// The record with this number; equal numbers have equal objects, and so has every one of [`OBJECTS`].
    #[must_use]
    pub fn record(&self, number: u64) -> String {
        let mut record = String::with_capacity(self.len());
        self.push(&mut record, number);
        record
    }

    /// So many records from this number on, one per line (`application/x-ndjson`).
    #[must_use]
    pub fn lines(&self, first: u64, count: usize) -> String {
        let mut lines = String::with_capacity(count * (self.len() + 1));
        for number in (first..).take(count) {
            self.push(&mut lines, number);
            lines.push('\n');
        }
        lines
    }

    fn push(&self, into: &mut String, number: u64) {
        into.push_str(&self.before);
        into.push_str(&format!("{:06}", number.wrapping_mul(STRIDE) % OBJECTS));
        into.push_str(&self.after);
    }

    fn len(&self) -> usize {
        self.before.len() + 6 + self.after.len()
    }
}

impl Default for ReferenceRecords {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::wire::record::native::{NativeInput, parse};

    use super::*;

    #[test]
    fn every_line_is_a_record_that_a_server_takes() {
        let records = ReferenceRecords::new();
        let lines = records.lines(7, 3);
        assert_eq!(lines.lines().count(), 3);
        for (number, line) in (7..).zip(lines.lines()) {
            assert_eq!(line, records.record(number));
            assert_eq!(line.len(), records.len());
            let inputs = parse(line.as_bytes()).unwrap();
            let [NativeInput::Plain(input)] = inputs.as_slice() else { panic!("one plain record") };
            assert_eq!(input.content.object.id.as_str(), format!("PB-TL-2026-{:06}", number * 7_919));
        }
    }
}
