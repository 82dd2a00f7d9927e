//! Taking credentials out of messages: the caller's session token is none of the log's, and must not be kept with what it
//! came with, however it is spelt and wherever it stands.
//!
//! What can be read loses the member; within a `RequestInfo` it is as if it had never been there, so that a message is the
//! same one with another token, and elsewhere it is null. What can't be read loses what stands behind the name. Not here:
//! passwords and other members that a service's messages may have.

use cairn_tree::record::json::Value;

/// The name, in lower case and without what may join its words.
const NAME: &[u8] = b"authtoken";
const ENVELOPE: &str = "requestinfo";
/// What stands in the place of a credential in what can't be read.
const GONE: &[u8] = b"-";

/// Takes the credentials out of a message.
pub(super) fn take_credentials_out(value: &mut Value) {
    // As deep as JSON may be that was read here.
    take_out(value, false);
}

fn take_out(value: &mut Value, is_envelope: bool) {
    match value {
        Value::Object(members) => members.retain(|name, value| {
            match is_credential(name) {
                true if is_envelope => return false,
                true => *value = Value::Null,
                false => take_out(value, plain(name) == ENVELOPE),
            }
            true
        }),
        Value::Array(elements) => elements.iter_mut().for_each(|element| take_out(element, false)),
        // JSON within a string is still somebody's JSON.
        Value::String(text) if find(text.as_bytes(), 0).is_some() => {
            *text = String::from_utf8_lossy(&scrubbed(text.as_bytes())).into();
        }
        _ => {}
    }
}

fn is_credential(name: &str) -> bool {
    plain(name).as_bytes() == NAME
}

/// A name without what may join its words, in lower case; of a long one the beginning.
fn plain(name: &str) -> String {
    name.chars()
        .take(2 * ENVELOPE.len())
        .filter(|char| !matches!(char, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Bytes that nobody can read, without what stands behind the name of a credential.
#[must_use]
pub(super) fn scrubbed(body: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(body.len());
    let mut from = 0;
    while let Some(behind) = find(body, from) {
        let (start, end) = value_at(body, behind).unwrap_or((behind, behind));
        kept.extend_from_slice(body.get(from..start).unwrap_or_default());
        // Something stands there, so that what follows is not taken for the value when this is read again.
        kept.extend_from_slice(if start > behind { GONE } else { b"" });
        from = end;
    }
    kept.extend_from_slice(body.get(from..).unwrap_or_default());
    kept
}

/// Where the next name of a credential ends.
fn find(body: &[u8], from: usize) -> Option<usize> {
    (from..body.len()).find_map(|start| name_at(body, start))
}

fn name_at(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for (number, wanted) in NAME.iter().enumerate() {
        while number > 0 && matches!(body.get(at), Some(b'_' | b'-')) {
            at += 1;
        }
        let (letter, next) = letter_at(body, at)?;
        if letter.to_ascii_lowercase() != *wanted {
            return None;
        }
        at = next;
    }
    Some(at)
}

/// A letter as it is, or escaped as in JSON, with what comes after it.
fn letter_at(body: &[u8], at: usize) -> Option<(u8, usize)> {
    match body.get(at..)? {
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let code = digit(*high)? * 16 + digit(*low)?;
            Some((u8::try_from(code).ok()?, at + 6))
        }
        [letter, ..] => Some((*letter, at + 1)),
        [] => None,
    }
}

/// The value behind a name, if there is one: from where to where it goes.
fn value_at(body: &[u8], behind: usize) -> Option<(usize, usize)> {
    let skip = |from: usize, what: &dyn Fn(u8) -> bool| {
        let rest = body.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| what(**byte)).count()
    };
    let is_space_or_mark = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\');
    let sign = skip(behind, &is_space_or_mark);
    if !matches!(body.get(sign), Some(b':' | b'=')) {
        return None;
    }
    let from = skip(sign + 1, &|byte| byte.is_ascii_whitespace() || byte == b'\\');
    let quote = body.get(from).copied().filter(|byte| matches!(byte, b'"' | b'\''));
    // In a string within a string, the quotation mark at the end has a backslash before it too.
    let is_escaped = from.checked_sub(1).and_then(|before| body.get(before)) == Some(&b'\\');
    Some(match quote {
        Some(quote) => (from + 1, skip(from + 1, &|byte| byte != quote && !(is_escaped && byte == b'\\'))),
        None => (from, skip(from, &|byte| !byte.is_ascii_whitespace() && !b",}]&\"'".contains(&byte))),
    })
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::json::Json;

    use super::*;

    #[test]
    fn a_credential_is_taken_out_wherever_and_however_it_is_written() {
        for (message, kept) in [
            (r#"{"RequestInfo":{"authToken":"s3cret","ver":"1"}}"#, r#"{"RequestInfo":{"ver":"1"}}"#),
            (r#"{"requestInfo":{"AUTHTOKEN":"s3cret"}}"#, r#"{"requestInfo":{}}"#),
            (r#"{"a":[{"request_info":{"auth_token":{"x":"s3cret"}}}]}"#, r#"{"a":[{"request_info":{}}]}"#),
            (r#"{"row":{"auth-token":"s3cret","b":1.0}}"#, r#"{"row":{"auth-token":null,"b":1.0}}"#),
            (
                r#"{"RequestInfo":{"userInfo":{"authToken":"s3cret"}}}"#,
                r#"{"RequestInfo":{"userInfo":{"authToken":null}}}"#,
            ),
            (r#"{"RequestInfo":{"auth\u0054oken":"s3cret"}}"#, r#"{"RequestInfo":{}}"#),
            (r#""{\"authToken\" : \"s3cret\", \"a\":1}""#, r#""{\"authToken\" : \"-\", \"a\":1}""#),
            (r#"{"authTokens":"kept","a":"author"}"#, r#"{"a":"author","authTokens":"kept"}"#),
        ] {
            let mut value = Json::parse(message.as_bytes()).unwrap().value();
            take_credentials_out(&mut value);
            assert_eq!(value.to_json().as_str(), kept, "{message}");
        }
    }

    #[test]
    fn what_can_not_be_read_loses_it_too() {
        for (body, kept) in [
            (&br#"{"RequestInfo":{"authToken":"s3cret","#[..], &br#"{"RequestInfo":{"authToken":"-","#[..]),
            (br#"{"auth\u0054oken" :  "s3cret"#, br#"{"auth\u0054oken" :  "-"#),
            (br#"x"{\"authToken\":\"s3cret\"}"#, br#"x"{\"authToken\":\"-\"}"#),
            (b"AuthToken=s3cret&b=1", b"AuthToken=-&b=1"),
            (b"{'auth_token': 's3cret'}", b"{'auth_token': '-'}"),
            (b"{authToken:s3cret}", b"{authToken:-}"),
            (b"authToken: s3cret kept", b"authToken: - kept"),
            (b"authToken=s3cret\"kept\"", b"authToken=-\"kept\""),
            (b"\xff authToken", b"\xff authToken"),
            (b"the authToken is wrong", b"the authToken is wrong"),
            (b"authToken:", b"authToken:-"),
        ] {
            assert_eq!(scrubbed(body), kept, "{}", String::from_utf8_lossy(body));
            assert_eq!(scrubbed(kept), kept, "{}", String::from_utf8_lossy(kept));
        }
        for length in 0..40 {
            let whole = br#"{"a":1,"authToken":"s3cret","authToken":"#;
            let kept = scrubbed(&whole[..length]);
            assert!(!String::from_utf8_lossy(&kept).contains("s3c"), "{length}");
        }
    }
}
