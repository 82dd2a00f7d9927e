//! A JSON value as a tree, and when two of them are equal.

use std::collections::BTreeMap;

/// A JSON value. Numbers are kept as they were written.
///
/// Two are equal as RFC 6902, section 4.6, has it: members in any order, numbers by what they are worth (`1`, `1.0` and
/// `10e-1` are equal), strings by their characters.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names are those of RFC 8259")]
pub enum Value {
    Null,
    Boolean(bool),
    Number(Box<str>),
    String(Box<str>),
    Array(Vec<Value>),
    Object(BTreeMap<Box<str>, Value>),
}

/// Its kind and no content, which may tell of a person.
impl core::fmt::Debug for Value {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Boolean(_) => "Boolean",
            Self::Number(_) => "Number",
            Self::String(_) => "String",
            Self::Array(_) => "Array",
            Self::Object(_) => "Object",
        })
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(one), Self::Boolean(two)) => one == two,
            (Self::Number(one), Self::Number(two)) => same_number(one, two),
            (Self::String(one), Self::String(two)) => one == two,
            (Self::Array(one), Self::Array(two)) => one == two,
            (Self::Object(one), Self::Object(two)) => one == two,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// Whether two numbers of JSON are worth the same, exactly, without a machine's number between.
#[must_use]
pub fn same_number(one: &str, two: &str) -> bool {
    one == two
        || match (Decimal::of(one), Decimal::of(two)) {
            (Some(one), Some(two)) => one == two,
            // Not of JSON that was read here, where exponents are bounded.
            _ => false,
        }
}

/// A number as sign, digits without zeros at either end, and the power of ten of the last digit.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_start_matches('0');
        let trimmed = digits.trim_end_matches('0');
        if trimmed.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        let exponent: i64 = exponent.parse().ok()?;
        let zeros = i64::try_from(digits.len() - trimmed.len()).ok()?;
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(zeros)?;
        Some(Self { negative, digits: trimmed.to_owned(), exponent })
    }
}
