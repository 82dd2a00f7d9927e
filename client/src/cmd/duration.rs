//! Lengths of time on the command line: a number and its unit.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A length of time as the command line writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map(Self)
    }
}

/// As on the command line.
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

/// Reads `500ms`, `30s`, `10m`, `2h`, or a bare number of seconds.
fn parse(text: &str) -> Result<Duration, String> {
    let fault = || format!("{text:?} is no length of time: write it as 500ms, 30s, 10m or 2h");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| fault())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    // A thousand years is as good as any: what is added to a clock must not overflow it.
    milliseconds.filter(|&m| m < 1_000 * 366 * 24 * 3_600_000).map(Duration::from_millis).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read_and_nothing_else() {
        for (text, milliseconds) in [("500ms", 500), ("30s", 30_000), ("7", 7_000), ("10m", 600_000), ("2h", 7_200_000)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for text in ["", "s", "-1s", "1.5s", "1 s", "1d", "30S", "99999999999999999999s", "18446744073709551615h", "é"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
