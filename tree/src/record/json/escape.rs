//! What stands between quotation marks, and what does not.

use std::borrow::Cow;

use super::FaultKind;
use super::reader::{Read, Trouble};

/// How many bytes stand before the first quotation mark, backslash or control character, eight at a time.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest bit that is set is that of the first zero byte; those above it may be false.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = quote | backslash | control;
        if found != 0 {
            return 8 * index + (found.trailing_zeros() / 8) as usize;
        }
    }
    let special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    let plain = rest.iter().position(special).unwrap_or(rest.len());
    bytes.len() - rest.len() + plain
}

/// The text without the white space between its tokens.
pub(super) fn without_space(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let keep = |character: &char| {
        let kept = inside || !matches!(character, ' ' | '\t' | '\n' | '\r');
        match character {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ => {}
        }
        kept
    };
    text.chars().filter(keep).collect()
}

/// The string between these quotation marks, as far as it is one.
pub(super) fn string_of(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.trim_matches('"');
    if inner.contains('\\') {
        unescape(inner, 0).map_or(Cow::Borrowed(inner), Cow::Owned)
    } else {
        Cow::Borrowed(inner)
    }
}

/// Resolves the escapes of a string (RFC 8259, section 7). `offset` is where `inner` stands.
pub(super) fn unescape(inner: &str, offset: usize) -> Read<String> {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let at = offset + inner.len() - after.len() - 1;
        let wrong = || Trouble::new(at, FaultKind::Syntax { expected: "an escape of JSON", at });
        let code = after.bytes().next().ok_or_else(wrong)?;
        rest = after.get(1..).ok_or_else(wrong)?;
        let plain = match code {
            b'"' | b'\\' | b'/' => char::from(code),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, used) = unicode(rest, at)?;
                rest = rest.get(used..).unwrap_or_default();
                character
            }
            _ => return Err(wrong()),
        };
        text.push(plain);
    }
    text.push_str(rest);
    Ok(text)
}

/// The character of the four digits here, or of a surrogate pair, and how many bytes it took.
fn unicode(rest: &str, at: usize) -> Read<(char, usize)> {
    let unit = |from: usize| {
        let digits = rest.get(from..from + 4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let first = unit(0).ok_or(Trouble::new(at, FaultKind::Syntax { expected: "four hexadecimal digits", at }))?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 4));
    }
    let lone = || Trouble::new(at, FaultKind::Surrogate(at));
    let second = unit(6).filter(|_| rest.get(4..6) == Some("\\u")).ok_or_else(lone)?;
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return Err(lone());
    }
    let character = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
    character.map(|character| (character, 10)).ok_or_else(lone)
}
