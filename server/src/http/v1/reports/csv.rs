//! Rows of a report as CSV (RFC 4180), safe to open in a spreadsheet.
//!
//! A text that a spreadsheet could take for a formula gets an apostrophe in front: one whose first character that is no
//! blank is `=`, `+`, `-`, `@`, one of their full-width forms, or an apostrophe itself. So the text is always what is left
//! without the one apostrophe in front, if there is one. Every text is quoted; only numbers and times of ours are not.

/// Writes a row: cells with commas between them, and a line's end.
pub(super) struct Row<'c> {
    csv: &'c mut Vec<u8>,
    begun: bool,
}

impl<'c> Row<'c> {
    /// Writes the row whose cells `cells` writes.
    pub(super) fn write(csv: &'c mut Vec<u8>, cells: impl FnOnce(&mut Self)) {
        let mut row = Self { csv, begun: false };
        cells(&mut row);
        row.csv.extend_from_slice(b"\r\n");
    }

    /// A cell whose text is ours: a name without special characters, a number, a time, or nothing.
    pub(super) fn plain(&mut self, text: &str) {
        if self.begun {
            self.csv.push(b',');
        }
        self.begun = true;
        self.csv.extend_from_slice(text.as_bytes());
    }

    /// A cell with anybody's text.
    pub(super) fn text(&mut self, text: &str) {
        self.plain("\"");
        if is_risky(text) {
            self.csv.push(b'\'');
        }
        for part in text.split_inclusive('"') {
            self.csv.extend_from_slice(part.as_bytes());
            if part.ends_with('"') {
                self.csv.push(b'"');
            }
        }
        self.csv.push(b'"');
    }
}

/// Whether a spreadsheet could calculate with it, or it looks as if that had been prevented.
fn is_risky(text: &str) -> bool {
    let first = text.chars().find(|first| !first.is_whitespace() && !first.is_control());
    let guarded = matches!(first, Some('=' | '+' | '-' | '@' | '\'' | '＝' | '＋' | '－' | '＠'));
    // Some programs drop what stands before these.
    guarded || text.starts_with(['\t', '\r', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut csv = Vec::new();
        Row::write(&mut csv, |row| {
            row.plain("7");
            row.text(text);
            row.plain("");
        });
        String::from_utf8(csv).unwrap()
    }

    #[test]
    fn every_text_comes_back_and_none_is_a_formula() {
        for (text, expected) in [
            ("tl", "7,\"tl\",\r\n"),
            ("", "7,\"\",\r\n"),
            ("a,b", "7,\"a,b\",\r\n"),
            ("say \"so\"", "7,\"say \"\"so\"\"\",\r\n"),
            ("\"", "7,\"\"\"\",\r\n"),
            ("=1+1", "7,\"'=1+1\",\r\n"),
            (" =1+1", "7,\"' =1+1\",\r\n"),
            ("\u{a0}@SUM(A1)", "7,\"'\u{a0}@SUM(A1)\",\r\n"),
            ("-2", "7,\"'-2\",\r\n"),
            ("+49", "7,\"'+49\",\r\n"),
            ("＝1", "7,\"'＝1\",\r\n"),
            ("'quoted'", "7,\"''quoted'\",\r\n"),
            ("=\"a\"", "7,\"'=\"\"a\"\"\",\r\n"),
            ("a=1", "7,\"a=1\",\r\n"),
        ] {
            assert_eq!(written(text), expected);
        }
    }
}
