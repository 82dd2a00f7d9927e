//! XML elements with the name of a credential: what stands in them. Not here: elements whose signs are entities (`&lt;`).

use super::sign::{Unit, sign_at, sign_before};
use super::text::find;

/// How long a prefix of an element's name may be.
const PREFIX: usize = 64;

/// What the tag is that a name stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Opening,
    /// A closing one, which begins here.
    Closing(usize),
}

/// The next closing tag, which is looked for once for all elements before it.
#[derive(Default)]
pub(super) struct Closings {
    /// Where it is, if there is one; none before it was looked for.
    next: Option<Option<usize>>,
}

impl Closings {
    /// The first one that begins there or later.
    fn from<U: Unit>(&mut self, text: &[U], from: usize) -> Option<usize> {
        match self.next {
            Some(next) if next.is_none_or(|at| at >= from) => next,
            _ => {
                let next = closing(text, from);
                self.next = Some(next);
                next
            }
        }
    }
}

fn closing<U: Unit>(text: &[U], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some((start, behind)) = find(text, at) {
        match tag(text, start) {
            Some(Tag::Closing(place)) if place >= from => return Some(place),
            _ => at = behind,
        }
    }
    None
}

/// The tag that begins before a name, perhaps with a prefix between.
fn tag<U: Unit>(text: &[U], start: usize) -> Option<Tag> {
    let (mut byte, mut at) = sign_before(text, start)?;
    if byte == b':' {
        for _ in 0..=PREFIX {
            (byte, at) = sign_before(text, at)?;
            if !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'-' | b'.') {
                break;
            }
        }
    }
    match byte {
        b'<' => Some(Tag::Opening),
        b'/' => {
            let (mut byte, mut at) = sign_before(text, at)?;
            // In JSON one may stand before it.
            if byte == b'\\' {
                (byte, at) = sign_before(text, at)?;
            }
            (byte == b'<').then_some(Tag::Closing(at))
        }
        _ => None,
    }
}

/// What stands in an element of which the name is given, from where to where: its attributes, if it has some, and all up to
/// the closing tag; without one, all up to the next tag, quotation mark or end of the line, of elements in it up to the
/// latter.
pub(super) fn element_at<U: Unit>(
    text: &[U],
    (start, behind): (usize, usize),
    closings: &mut Closings,
) -> Option<(usize, usize)> {
    let next = sign_at(text, behind)?;
    let is_blank = next.byte.is_ascii_whitespace();
    if !is_blank && next.byte != b'>' || tag(text, start) != Some(Tag::Opening) {
        return None;
    }
    let (mut from, mut content) = (next.next, next.next);
    if is_blank {
        from = past_blanks(text, from);
        match attributes_end(text, from)? {
            Attributes::Alone(end) => return Some((from, end)),
            Attributes::None(place) => (from, content) = (place, place),
            Attributes::Before(place) => content = place,
        }
    }
    if let Some(end) = closings.from(text, content) {
        return Some((from, end));
    }
    let first = past_blanks(text, content);
    let is_nested = sign_at(text, first).is_some_and(|sign| sign.byte == b'<');
    let mut at = first;
    while let Some(sign) = sign_at(text, at) {
        if b"\r\n".contains(&sign.byte) || (!is_nested && matches!(sign.byte, b'<' | b'"')) {
            break;
        }
        at = sign.next;
    }
    Some((from, at))
}

/// How a tag goes on behind its name.
enum Attributes {
    /// With nothing: the content begins here.
    None(usize),
    /// With attributes, and the tag closes itself here or is cut short.
    Alone(usize),
    /// With attributes before the content, which begins here.
    Before(usize),
}

/// How the tag goes on; `None` if it is none.
fn attributes_end<U: Unit>(text: &[U], from: usize) -> Option<Attributes> {
    let (mut at, mut slash, mut quote) = (from, None, None);
    while let Some(sign) = sign_at(text, at) {
        match sign.byte {
            b'<' => return (at > from).then_some(Attributes::Alone(at)),
            byte @ (b'"' | b'\'') => match quote {
                None => quote = Some(byte),
                Some(open) if open == byte => quote = None,
                Some(_) => {}
            },
            b'>' if quote.is_none() => {
                return Some(match slash {
                    _ if at == from => Attributes::None(sign.next),
                    Some(slash) if slash == from => return None,
                    Some(slash) => Attributes::Alone(slash),
                    None => Attributes::Before(sign.next),
                });
            }
            _ => {}
        }
        slash = (sign.byte == b'/').then_some(at);
        at = sign.next;
    }
    (at > from).then_some(Attributes::Alone(at))
}

fn past_blanks<U: Unit>(text: &[U], from: usize) -> usize {
    let mut at = from;
    while let Some(blank) = sign_at(text, at).filter(|sign| sign.byte.is_ascii_whitespace()) {
        at = blank.next;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::text::scrubbed;

    #[test]
    fn an_element_loses_what_stands_in_it() {
        for (body, kept) in [
            ("<R><authToken>S</authToken><b>1</b></R>", "<R><authToken>-</authToken><b>1</b></R>"),
            ("<soap:AuthToken>S</soap:AuthToken>kept", "<soap:AuthToken>-</soap:AuthToken>kept"),
            ("<authToken >S</authToken >kept", "<authToken >-</authToken >kept"),
            ("<authToken type=\"x>y\">S</authToken>kept", "<authToken -</authToken>kept"),
            ("<authToken value='S'/>kept", "<authToken -/>kept"),
            ("<authToken />kept", "<authToken />kept"),
            ("<authToken/>kept</authToken>kept", "<authToken/>kept</authToken>kept"),
            ("<authToken><a>S</a><![CDATA[S]]></authToken>kept", "<authToken>-</authToken>kept"),
            ("<authToken>S</a><b>kept", "<authToken>-</a><b>kept"),
            ("<authToken>\n S\nkept", "<authToken>-\nkept"),
            ("<authToken type='x'>S", "<authToken -"),
            ("<authToken><![CDATA[S\"S\nkept", "<authToken>-\nkept"),
            (r#"{"s":"<authToken>S","b":"kept"#, r#"{"s":"<authToken>-","b":"kept"#),
            (r#"{"s":"<authToken>S<\/authToken>kept"#, r#"{"s":"<authToken>-<\/authToken>kept"#),
            (r"\u003cauthToken\u003eS\u003c/authToken\u003ekept", r"\u003cauthToken\u003e-\u003c/authToken\u003ekept"),
            ("%3Ca%3AauthToken%3ES%3C%2Fa%3AauthToken%3Ekept", "%3Ca%3AauthToken%3E-%3C%2Fa%3AauthToken%3Ekept"),
            ("authToken> kept", "authToken> kept"),
            ("<authTokens>kept</authTokens>", "<authTokens>kept</authTokens>"),
        ] {
            let text = |bytes: &[u8]| String::from_utf8(scrubbed(bytes).into_owned()).unwrap();
            assert_eq!(text(body.as_bytes()), kept, "{body}");
            assert_eq!(text(kept.as_bytes()), kept, "{body}, once more");
        }
    }

    /// The tag that none of them has is looked for once.
    #[test]
    fn many_elements_that_do_not_end_are_read_once() {
        for one in ["<authToken>", "<authToken>\n", "<authToken a='", "<a:authToken a=\"x\">x\n", "<authToken><a>\n"] {
            assert!(!scrubbed(one.repeat(200_000).as_bytes()).is_empty(), "{one}");
        }
    }
}
