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

/// The value behind a name, if there is one: from where to where it goes. Of what can be taken in more than one way, the
/// longer is taken.
fn value_at(body: &[u8], behind: usize) -> Option<(usize, usize)> {
    let sign = skip(body, behind, |byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\'));
    if !matches!(body.get(sign), Some(b':' | b'=')) {
        return None;
    }
    let from = skip(body, sign + 1, |byte| byte.is_ascii_whitespace() || byte == b'\\');
    Some(match body.get(from) {
        Some(b'"' | b'\'') => (from + 1, quoted_end(body, from).0),
        Some(b'[' | b'{') => (from, plain_end(body, balanced_end(body, from))),
        _ => (from, plain_end(body, from)),
    })
}

fn skip(body: &[u8], from: usize, what: impl Fn(u8) -> bool) -> usize {
    let rest = body.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| what(**byte)).count()
}

/// Where something without quotation marks ends.
fn plain_end(body: &[u8], from: usize) -> usize {
    skip(body, from, |byte| !b",}&\r\n".contains(&byte))
}

/// Where what is between quotation marks ends, and what comes after them, given where the first one is.
///
/// In a string within a string, the marks have backslashes before them, as many at the end as at the beginning; marks of
/// the text have more.
fn quoted_end(body: &[u8], opening: usize) -> (usize, usize) {
    let quote = body.get(opening).copied();
    let depth = backslashes_before(body, opening, 0);
    let mut at = opening + 1;
    while at < body.len() {
        if body.get(at).copied() == quote {
            let count = backslashes_before(body, at, opening + 1);
            // Fewer end the string around it.
            if count < depth || (count - depth).is_multiple_of(2 * (depth + 1)) {
                return (at - count.min(depth), at + 1);
            }
        }
        at += 1;
    }
    (body.len(), body.len())
}

/// How many backslashes stand before a place, without a gap.
fn backslashes_before(body: &[u8], place: usize, from: usize) -> usize {
    let before = body.get(from..place).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// Where the list or object ends that begins here.
fn balanced_end(body: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = quoted_end(body, at).1;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    body.len()
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
            (b"authToken: s3cret\nkept", b"authToken: -\nkept"),
            (b"authToken: Bearer s3cret, kept", b"authToken: -, kept"),
            (b"authToken=s3\"cret\"&kept", b"authToken=-&kept"),
            (br#"{"authToken":"ab\"cd","b":1"#, br#"{"authToken":"-","b":1"#),
            (br#"{"authToken":"ab\\","b":1"#, br#"{"authToken":"-","b":1"#),
            (br#"{"authToken":"ab\"cd"#, br#"{"authToken":"-"#),
            (br#"{"authToken":["s3cret""#, br#"{"authToken":-"#),
            (br#"{"authToken":["s3]cret",{"a":"b"}] ,"b":1"#, br#"{"authToken":-,"b":1"#),
            (br#"{"authToken":{"a":[1,"}s3cret"]},"b":1"#, br#"{"authToken":-,"b":1"#),
            (br#"{"authToken":["a"]s3cret"#, br#"{"authToken":-"#),
            (br#"x"{\"authToken\":\"ab\\\"cd\",\"b\":1}"#, br#"x"{\"authToken\":\"-\",\"b\":1}"#),
            (br#"x"{\"authToken\":\"ab\\\\\",\"b\":1}"#, br#"x"{\"authToken\":\"-\",\"b\":1}"#),
            (br#"x"{\"authToken\":{\"a\":\"s3}cret\"},\"b\":1}"#, br#"x"{\"authToken\":-,\"b\":1}"#),
            (br#"x"{\"authToken\":\"s3cret","b":1}"#, br#"x"{\"authToken\":\"-","b":1}"#),
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
