//! Canonical JSON (RFC 8785), for what is signed: strings, literals, arrays, objects, and whole numbers below 2^53.
//!
//! Deliberately absent: other numbers. RFC 8785 writes them as doubles, which would change what was said; where they may
//! stand, in disclosures, text is hashed as it is.

use super::escape::plain_length;
use super::{Fault, FaultKind, Pointer, Value};
use crate::record::bounds::MAX_INTEGER;

/// Appends a string as RFC 8785, section 3.2.2.2, writes it.
pub fn push_string(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    let mut rest = text;
    loop {
        let (plain, from) = rest.split_at_checked(plain_length(rest.as_bytes())).unwrap_or((rest, ""));
        json.extend_from_slice(plain.as_bytes());
        let Some(byte) = from.as_bytes().first() else { break };
        push_escape(json, *byte);
        rest = from.get(1..).unwrap_or_default();
    }
    json.push(b'"');
}

fn push_escape(json: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            json.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    json.extend_from_slice(&[b'\\', short]);
}

/// Appends a number in decimal digits.
pub(crate) fn push_integer(json: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    json.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// The canonical text of a value (RFC 8785, section 3.2).
///
/// # Errors
/// [`Fault`] for a number that is no whole number below 2^53, or is not written as one.
pub fn canonical(value: &Value) -> Result<String, Fault> {
    let mut json = Vec::new();
    push_value(&mut json, value, &Pointer::ROOT)?;
    Ok(String::from_utf8(json).unwrap_or_default())
}

fn push_value(json: &mut Vec<u8>, value: &Value, place: &Pointer<'_>) -> Result<(), Fault> {
    let child = |token: &str| {
        place.child(token).map_err(|_| Fault::new(place, FaultKind::Rule("its members' pointers are too long")))
    };
    match value {
        Value::Null => json.extend_from_slice(b"null"),
        Value::Boolean(true) => json.extend_from_slice(b"true"),
        Value::Boolean(false) => json.extend_from_slice(b"false"),
        Value::Number(number) => {
            let whole: Option<u64> = number.parse().ok().filter(|number| *number <= MAX_INTEGER);
            let canonical = whole.filter(|whole| whole.to_string() == **number);
            canonical.ok_or_else(|| {
                Fault::new(place, FaultKind::Rule("only whole numbers from 0 to 2^53 - 1 are signed"))
            })?;
            json.extend_from_slice(number.as_bytes());
        }
        Value::String(text) => push_string(json, text),
        Value::Array(elements) => {
            json.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                push_value(json, element, &child(&index.to_string())?)?;
            }
            json.push(b']');
        }
        Value::Object(members) => {
            json.push(b'{');
            let mut members: Vec<_> = members.iter().collect();
            // By UTF-16 code units (section 3.2.3), which for characters past the first plane is not the order of UTF-8.
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                push_string(json, name);
                json.push(b':');
                push_value(json, value, &child(name)?)?;
            }
            json.push(b'}');
        }
    }
    Ok(())
}
