//! Text that nobody reads as JSON, without what stands behind the name of a credential.
//!
//! Letters and signs count however they are written (`sign`), and in characters of two or four bytes in either order, from
//! whatever place on. Of what can be taken in more than one way, the longer is taken. Not here: other encodings that hide a
//! text, such as base64 or a compression, and values that stand elsewhere than behind the name or in its element (`tag`).

use std::borrow::Cow;

use super::sign::{Sign, Unit, backslashes, byte, sign_at};
use super::tag::{Closings, element_at};

/// The name, in lower case and without what may join its words.
const NAME: &[u8] = b"authtoken";
/// What stands in the place of a credential.
const GONE: u8 = b'-';

/// Whether this is the name of a credential and nothing else, or a path that ends with it, such as `requestInfo[authToken]`
/// or `RequestInfo.authToken`.
pub(super) fn is_name(name: &[u8]) -> bool {
    let (mut at, mut begins) = (0, true);
    loop {
        let found = if begins { name_at(name, at) } else { None };
        if found.is_some_and(|behind| matches!(behind_name(name, behind), Behind::End)) {
            return true;
        }
        let Some(sign) = sign_at(name, at) else { return false };
        begins = matches!(sign.byte, b'[' | b'.' | b':' | b'@' | b'"' | b'\'' | b'\\');
        at = sign.next;
    }
}

/// Bytes that nobody can read, without what stands behind the name of a credential.
#[must_use]
pub(in crate::records::capture) fn scrubbed(body: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Cow::Borrowed(body);
    // The name in wider characters has zeros between its letters.
    if body.contains(&0) {
        scrub_wide::<u16>(&mut kept);
        scrub_wide::<u32>(&mut kept);
    }
    if let Some(narrow) = without_values(&kept) {
        kept = Cow::Owned(narrow);
    }
    kept
}

/// The same of characters of several bytes, in whatever order and from whatever place on they stand.
fn scrub_wide<U: Unit>(kept: &mut Cow<'_, [u8]>) {
    for offset in 0..U::BYTES {
        for big in [false, true] {
            let Some((before, text)) = kept.split_at_checked(offset) else { return };
            let units = text.chunks_exact(U::BYTES);
            let rest = units.remainder();
            let units: Vec<U> = units.map(|bytes| U::read(bytes, big)).collect();
            let Some(scrubbed) = without_values(&units) else { continue };
            let mut bytes = Vec::with_capacity(text.len());
            bytes.extend_from_slice(before);
            scrubbed.into_iter().for_each(|unit| unit.write(big, &mut bytes));
            bytes.extend_from_slice(rest);
            *kept = Cow::Owned(bytes);
        }
    }
}

/// A text without what stands behind the name of a credential; `None` if that does not occur.
fn without_values<U: Unit>(text: &[U]) -> Option<Vec<U>> {
    let mut found = Some(find(text, 0)?);
    let mut kept = Vec::with_capacity(text.len());
    let (mut from, mut closings) = (0, Closings::default());
    while let Some((name, behind)) = found {
        let value = value_at(text, behind).or_else(|| element_at(text, (name, behind), &mut closings));
        let (start, end) = value.unwrap_or((behind, behind));
        kept.extend_from_slice(text.get(from..start).unwrap_or_default());
        // Something stands there, so that what follows is not taken for the value when this is read again.
        kept.extend(value.map(|_| U::of(GONE)));
        from = end;
        found = find(text, from);
    }
    kept.extend_from_slice(text.get(from..).unwrap_or_default());
    Some(kept)
}

/// Where the next name of a credential is, and where it ends.
pub(super) fn find<U: Unit>(text: &[U], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while at < text.len() {
        if let Some(behind) = name_at(text, at) {
            return Some((at, behind));
        }
        // Of many backslashes each would be read with all that follow it.
        at = backslashes(text, at).0.max(at + 1);
    }
    None
}

fn name_at<U: Unit>(text: &[U], start: usize) -> Option<usize> {
    let mut at = start;
    for (number, wanted) in NAME.iter().enumerate() {
        let mut sign = sign_at(text, at)?;
        while number > 0 && matches!(sign.byte, b'_' | b'-' | b' ' | b'+') {
            sign = sign_at(text, sign.next)?;
        }
        if sign.byte.to_ascii_lowercase() != *wanted {
            return None;
        }
        at = sign.next;
    }
    Some(at)
}

/// What follows the name of a credential.
enum Behind {
    /// The sign before its value.
    Value(Sign),
    /// Nothing.
    End,
    /// Something else.
    Other,
}

/// What follows a name behind the end of a path that it is in, such as `requestInfo["authToken"][0]`, and behind quotation
/// marks and blanks.
fn behind_name<U: Unit>(text: &[U], behind: usize) -> Behind {
    // A blank before a bracket is none of a path.
    let (mut at, mut is_within, mut is_path) = (behind, false, true);
    while let Some(sign) = sign_at(text, at) {
        let is_quote = matches!(sign.byte, b'"' | b'\'' | b'\\');
        match sign.byte {
            b':' | b'=' if !is_within => return Behind::Value(sign),
            b'[' if is_path && !is_within => is_within = true,
            b']' => is_within = false,
            b'_' | b'-' if is_within => {}
            byte if is_quote || (is_within && byte.is_ascii_alphanumeric()) => {}
            byte if !is_within && (byte.is_ascii_whitespace() || byte == b'+') => is_path = false,
            _ => return Behind::Other,
        }
        at = sign.next;
    }
    Behind::End
}

/// The value behind a name, if there is one: from where to where it goes.
fn value_at<U: Unit>(text: &[U], behind: usize) -> Option<(usize, usize)> {
    let Behind::Value(sign) = behind_name(text, behind) else { return None };
    let mut from = sign.next;
    let mut first = sign_at(text, from);
    while let Some(blank) = first.filter(|sign| sign.byte.is_ascii_whitespace() || sign.byte == b'\\') {
        from = blank.next;
        first = sign_at(text, from);
    }
    Some(match first {
        Some(Sign { byte: b'"' | b'\'', depth: 0, .. }) => (from + 1, quoted_end(text, from).0),
        Some(mark @ Sign { byte: b'"' | b'\'', .. }) => (mark.next, encoded_end(text, mark)),
        Some(Sign { byte: b'[' | b'{', depth: 0, .. }) => (from, plain_end(text, balanced_end(text, from), 0)),
        Some(Sign { byte: b'[' | b'{', .. }) => (from, plain_end(text, from, 0)),
        _ => (from, plain_end(text, from, sign.depth)),
    })
}

/// Where something without quotation marks ends: before a sign that is encoded no more often than the one before the value.
fn plain_end<U: Unit>(text: &[U], from: usize, depth: usize) -> usize {
    let mut at = from;
    while let Some(sign) = sign_at(text, at) {
        if sign.depth <= depth && b",}&\r\n".contains(&sign.byte) {
            return at;
        }
        at = sign.next;
    }
    text.len()
}

/// Where what is between encoded quotation marks ends, given the first one: before the second, or with the line or the string
/// that all of it is in, which has no such marks as they are.
fn encoded_end<U: Unit>(text: &[U], opening: Sign) -> usize {
    let (mut at, mut before) = (opening.next, 0);
    while let Some(sign) = sign_at(text, at) {
        let ends = sign.byte == opening.byte && before != b'\\' && (1..=opening.depth).contains(&sign.depth);
        if ends || (sign.depth == 0 && b"\"\r\n".contains(&sign.byte)) {
            return at;
        }
        (at, before) = (sign.next, sign.byte);
    }
    text.len()
}

/// Where what is between quotation marks ends, and what comes after them, given where the first one is.
///
/// In a string within a string, the marks have backslashes before them, as many at the end as at the beginning; marks of
/// the text have more.
fn quoted_end<U: Unit>(text: &[U], opening: usize) -> (usize, usize) {
    let quote = byte(text, opening);
    let depth = backslashes_before(text, opening, 0);
    let mut at = opening + 1;
    while at < text.len() {
        if byte(text, at) == quote {
            let count = backslashes_before(text, at, opening + 1);
            // Fewer end the string around it.
            if count < depth || (count - depth).is_multiple_of(2 * (depth + 1)) {
                return (at - count.min(depth), at + 1);
            }
        }
        at += 1;
    }
    (text.len(), text.len())
}

/// How many backslashes stand before a place, without a gap.
fn backslashes_before<U: Unit>(text: &[U], place: usize, from: usize) -> usize {
    let before = text.get(from..place).unwrap_or_default();
    before.iter().rev().take_while(|unit| unit.ascii() == b'\\').count()
}

/// Where the list or object ends that begins here.
fn balanced_end<U: Unit>(text: &[U], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while let Some(byte) = byte(text, at) {
        match byte {
            b'"' | b'\'' => {
                at = quoted_end(text, at).1;
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
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (b"?authToken%3Ds3cret%26b%3D1", b"?authToken%3D-%26b%3D1"),
            (b"?authToken%3ds3cret&b=1", b"?authToken%3d-&b=1"),
            (b"?%61uth%5FToken%253Ds3%252526cret%2526b", b"?%61uth%5FToken%253D-%2526b"),
            (b"%7B%22authToken%22%3A%20%22s3%2Ccret%22%2C%22b%22", b"%7B%22authToken%22%3A%20%22-%22%2C%22b%22"),
            (b"%22authToken%22%3A%22s3%5C%22cret%22", b"%22authToken%22%3A%22-%22"),
            (b"%22authToken%22%3A%5B%22s3%22%2C%22cret%22%5D&b", b"%22authToken%22%3A-&b"),
            (b"authToken%3D%22s3cret\nkept", b"authToken%3D%22-\nkept"),
            (br#"\u0022authToken\u0022:\u0022s3&cret\u0022,"b":1"#, br#"\u0022authToken\u0022:\u0022-\u0022,"b":1"#),
            (b"auth token: s3cret\nkept", b"auth token: -\nkept"),
            (b"?RequestInfo[authToken]=s3cret&b=1", b"?RequestInfo[authToken]=-&b=1"),
            (b"?RequestInfo%5BauthToken%5D=s3cret&b=1", b"?RequestInfo%5BauthToken%5D=-&b=1"),
            (b"?authToken[]=s3cret&a['authToken'][0]=s3cret&b", b"?authToken[]=-&a['authToken'][0]=-&b"),
            (b"[authToken, kept]=kept [authToken] kept=1", b"[authToken, kept]=kept [authToken] kept=1"),
            (b"authToken [kept]: kept", b"authToken [kept]: kept"),
            (br#"{"x":"{\"auth\\u0054oken\":\"s3cret\",\"b\":1}"#, br#"{"x":"{\"auth\\u0054oken\":\"-\",\"b\":1}"#),
            (
                br#"{\"x\":\"{\\\"auth\\\\u0054oken\\\":\\\"s3cret\\\",\\\"b"#,
                br#"{\"x\":\"{\\\"auth\\\\u0054oken\\\":\\\"-\\\",\\\"b"#,
            ),
            (b"%5Cu0061uthToken%3Ds3cret&b", b"%5Cu0061uthToken%3D-&b"),
            (b"authToken%", b"authToken%"),
            (b"authToken%3", b"authToken%3"),
            (b"%25%25%2", b"%25%25%2"),
        ] {
            assert_eq!(&*scrubbed(body), kept, "{}", String::from_utf8_lossy(body));
            assert_eq!(&*scrubbed(kept), kept, "{}", String::from_utf8_lossy(kept));
        }
        for length in 0..40 {
            let whole = br#"{"a":1,"authToken":"s3cret","authToken":"#;
            let kept = scrubbed(&whole[..length]);
            assert!(!String::from_utf8_lossy(&kept).contains("s3c"), "{length}");
        }
    }
    /// None looks through all that follows for the mark that ends its value, or takes the next name for a part of it.
    #[test]
    fn many_values_without_an_end_are_all_gone_and_take_no_longer_than_one() {
        for one in ["authToken%3A%5C%22x\"", "authToken%3A%22x%5C\"", "authToken%3D\\u0027x\\\n", "authToken%3A%5C%22x"]
        {
            let kept = scrubbed(one.repeat(200_000).as_bytes()).into_owned();
            assert!(!kept.contains(&b'x'), "{one}");
        }
        for one in ["\\", "%5C", "a\\", "authToken\\", "authToken[", "authToken=\\", "a_", "authToken=%5C"] {
            let kept = scrubbed(one.repeat(400_000).as_bytes()).into_owned();
            assert!(!kept.is_empty(), "{one}");
        }
        let long = ["authToken=", &"\\".repeat(4 << 20)].concat();
        assert!(scrubbed(long.as_bytes()).ends_with(b"\\-"));
        let deeper: String = (0..2_000).map(|depth| format!("authToken%3A%{}22x\"", "25".repeat(depth))).collect();
        assert!(scrubbed(deeper.as_bytes()).len() < deeper.len());
    }

    /// In two or four bytes, from an odd place too, with anything around it.
    #[test]
    fn wider_characters_hide_nothing() {
        fn wide<U: Unit>(text: &str, big: bool) -> Vec<u8> {
            let mut bytes = Vec::new();
            text.bytes().for_each(|byte| U::of(byte).write(big, &mut bytes));
            bytes
        }
        let (whole, left) = (r#"{"a":1,"authToken":"s3\"cret","b":2}"#, r#"{"a":1,"authToken":"-","b":2}"#);
        for write in [wide::<u16>, wide::<u32>] {
            for big in [false, true] {
                for before in [&b""[..], b"x", b"\xff\xfe", b"\xfe\xff\x00", b"authToken"] {
                    for behind in [&b""[..], b"y"] {
                        let body = [before, &write(whole, big), behind].concat();
                        let kept = [before, &write(left, big), behind].concat();
                        assert_eq!(&*scrubbed(&body), kept, "{big} {before:?}");
                        assert_eq!(&*scrubbed(&kept), kept, "{big} {before:?}");
                    }
                }
            }
        }
    }
}
