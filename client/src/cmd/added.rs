//! What is added to a record before it is sent: digests of what is attached to it, and an id. With them it is still what the
//! server takes.

use cairn_tree::hash::Hash;
use cairn_tree::record::bounds::MAX_INPUT_BYTES;
use cairn_tree::record::class::Class;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::json::canonical::push_string;
use cairn_tree::wire::record::native::{NativeInput, parse};
use sha2::{Digest as _, Sha256};

use crate::attach::Attached;
use crate::attach::listing::LISTING_TYPE;
use crate::fetch::{IdempotencyKey, Token};

/// The record as it is sent; what is attached has this class, or what the record says of it. What the server would refuse is
/// refused here, with its place.
pub(super) fn with_attached(body: Vec<u8>, attached: &[Attached], class: Option<Class>) -> Result<Vec<u8>, String> {
    let text = body.trim_ascii();
    if text.first() != Some(&b'{') {
        return Err("the record must be one JSON object".to_owned());
    }
    let inputs = parse(text).map_err(|fault| fault.to_string())?;
    if attached.is_empty() {
        return Ok(text.to_vec());
    }
    match inputs.first() {
        Some(NativeInput::Plain(input)) => {
            let attributes = input.content.attributes.as_ref();
            if attributes.is_some_and(|attributes| !attributes.external().is_empty()) {
                return Err("the record has external digests already: --attach would add others".to_owned());
            }
        }
        _ => return Err("nothing can be attached to a record that its producer has signed".to_owned()),
    }
    let mut body = text.strip_suffix(b"}").unwrap_or(text).to_vec();
    // A record without members was refused above.
    body.extend_from_slice(b",\"external\":[");
    for (number, Attached { name, size, sha256, is_listing }) in attached.iter().enumerate() {
        body.extend_from_slice(if number > 0 { b",{\"name\":" } else { b"{\"name\":" });
        push_string(&mut body, name.as_str());
        if *is_listing {
            body.extend_from_slice(b",\"media_type\":");
            push_string(&mut body, LISTING_TYPE);
        }
        if let Some(class) = class {
            body.extend_from_slice(format!(",\"class\":\"{class}\"").as_bytes());
        }
        body.extend_from_slice(format!(",\"size\":{size},\"sha256\":\"{}\"}}", Hash::new(*sha256)).as_bytes());
    }
    body.extend_from_slice(b"]}");
    parse(&body).map_err(|fault| fault.to_string())?;
    Ok(body)
}

/// The record with an id, by which its receipt is told from an earlier record's: one without an id gets one here.
///
/// Under the same key, the same record of the same caller gets the same id, so that both can be sent again. The leaf shows
/// the id to everybody; without the token, which has more than anybody can guess, nobody can tell what it was made of. It is
/// of version 7, with the moment that the key was drawn at, or else the record's own time. Where somebody has chosen another
/// key and the record has no time, nothing tells the same moment when it is sent again: then it is of version 4.
pub(super) fn with_id(body: Vec<u8>, token: Option<&Token>, key: &IdempotencyKey) -> Result<Vec<u8>, String> {
    let own_time = match parse(&body).map_err(|fault| fault.to_string())?.first() {
        Some(NativeInput::Plain(input)) if input.id.is_none() => input.time,
        // It has one, or it stands in the event.
        _ => return Ok(body),
    };
    let mut digest = Sha256::new_with_prefix(b"cairn record\n");
    let token = token.map_or(&b""[..], |token| token.header().as_bytes());
    for part in [token, key.to_string().as_bytes(), &body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let [a, b, c, d, e, f, version, g, variant, h, i, j, k, l, m, n, ..]: [u8; 32] = digest.finalize().into();
    let id = match key.drawn_at().or(own_time) {
        Some(time) => RecordId::v7(time, [a, b, c, d, e, f, g, h, i, j]),
        None => {
            // RFC 9562, sections 4.1 and 5.4.
            let (version, variant) = (0x40 | version & 0x0f, 0x80 | variant & 0x3f);
            let id = RecordId::from_bytes([a, b, c, d, e, f, version, g, variant, h, i, j, k, l, m, n]);
            id.map_err(|error| error.to_string())?
        }
    };
    let mut with_id = format!("{{\"id\":\"{id}\",").into_bytes();
    // A record without members was refused before.
    with_id.extend_from_slice(body.strip_prefix(b"{").unwrap_or(&body));
    if with_id.len() > MAX_INPUT_BYTES {
        let (added, most) = (with_id.len() - body.len(), MAX_INPUT_BYTES - (with_id.len() - body.len()));
        return Err(format!(
            "the record has {} bytes, and the id that is added to it counts, {added} more: without an id of its own it may \
             have {most}, and {MAX_INPUT_BYTES} with one",
            body.len()
        ));
    }
    parse(&with_id).map_err(|fault| fault.to_string())?;
    Ok(with_id)
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::text::Name;
    use cairn_tree::record::time::Time;

    use super::*;

    const RECORD: &str = r#" {"object":{"tenant":"pb","module":"m","entity":"e","id":"1","operation":"create"}} "#;

    fn attached(name: &'static str) -> Attached {
        Attached { name: Name::new(name).unwrap(), size: 3, sha256: [0xab; 32], is_listing: false }
    }

    #[test]
    fn a_record_gets_an_id_that_its_key_and_its_content_give_again() {
        let key = |text| IdempotencyKey::chosen(text).unwrap();
        let token = Token::new("cairn_0_A").unwrap();
        let body = || RECORD.trim().as_bytes().to_vec();
        let id = |body: &[u8]| {
            let [NativeInput::Plain(input)] = &parse(body).unwrap()[..] else { panic!() };
            input.id.unwrap()
        };
        let first = with_id(body(), Some(&token), &key("k")).unwrap();
        assert_eq!(with_id(body(), Some(&token), &key("k")).unwrap(), first);
        assert_eq!(with_id(first.clone(), Some(&token), &key("l")).unwrap(), first, "it has one");
        let other = RECORD.trim().replace("create", "update").into_bytes();
        for another in [
            with_id(body(), Some(&token), &key("l")),
            with_id(body(), None, &key("k")),
            with_id(other, Some(&token), &key("k")),
        ] {
            assert_ne!(id(&another.unwrap()), id(&first));
        }
    }

    #[test]
    fn an_id_has_the_moment_of_its_key_or_of_its_record() {
        let time = |millis| Time::from_millis(millis).unwrap();
        let id = |body: &str, key: &IdempotencyKey| {
            let body = with_id(body.trim().as_bytes().to_vec(), None, key).unwrap();
            let [NativeInput::Plain(input)] = &parse(&body).unwrap()[..] else { panic!() };
            input.id.unwrap().to_string()
        };
        let drawn = IdempotencyKey::drawn(time(0x0193_9f5a_7c00), [0xff; 10]);
        let again = IdempotencyKey::chosen(&drawn.to_string()).unwrap();
        assert_eq!((again.drawn_at(), id(RECORD, &again)), (Some(time(0x0193_9f5a_7c00)), id(RECORD, &drawn)));
        assert!(id(RECORD, &drawn).starts_with("01939f5a-7c00-7"), "{}", id(RECORD, &drawn));
        let hyphens = IdempotencyKey::chosen("01939f5a-7c00-7a3b-8c4d-5e6f708192a3").unwrap();
        assert!(id(RECORD, &hyphens).starts_with("01939f5a-7c00-7"));
        // A key that somebody chose has no moment; the record may have one.
        let timed = RECORD.trim().replacen('{', r#"{"time":"2026-11-22T06:50:29.123456Z","#, 1);
        for text in
            ["nightly", "01939f5a-7c00-4a3b-8c4d-5e6f708192a3", "+1939f5a7c007a3b8c4d5e6f708192a3", &"7".repeat(40)]
        {
            let chosen = IdempotencyKey::chosen(text).unwrap();
            assert_eq!((chosen.drawn_at(), &id(RECORD, &chosen)[14..15]), (None, "4"), "{text}");
            let (of_time, again) = (id(&timed, &chosen), id(&timed, &chosen));
            assert!(of_time == again && of_time.starts_with("01a20205-4383-7"), "{of_time}");
        }
    }

    #[test]
    fn an_id_that_is_added_counts_and_the_refusal_says_so() {
        let key = IdempotencyKey::chosen("k").unwrap();
        let of = |len: usize, id: &str| {
            let object = r#""object":{"tenant":"pb","module":"m","entity":"e","id":"1","operation":"create"}"#;
            let bare = format!("{{{id}{object}}}");
            let padding = " ".repeat(len - bare.len());
            format!("{{{id}{padding}{object}}}").into_bytes()
        };
        let own = r#""id":"00010203-0405-4607-8809-0a0b0c0d0e0f","#;
        let whole = of(MAX_INPUT_BYTES, own);
        assert_eq!(with_id(whole.clone(), None, &key).unwrap(), whole);
        let added = r#""id":"00010203-0405-4607-8809-0a0b0c0d0e0f","#.len();
        let with = with_id(of(MAX_INPUT_BYTES - added, ""), None, &key).unwrap();
        assert_eq!(with.len(), MAX_INPUT_BYTES);
        for (len, words) in [
            (
                MAX_INPUT_BYTES - added + 1,
                "the record has 1048533 bytes, and the id that is added to it counts, 44 more",
            ),
            (MAX_INPUT_BYTES, "without an id of its own it may have 1048532, and 1048576 with one"),
        ] {
            let refused = with_id(of(len, ""), None, &key).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn what_is_attached_becomes_external_digests() {
        let files = [attached("a \"b\""), attached("c/d")];
        let body = with_attached(RECORD.into(), &files, Some(Class::Secret)).unwrap();
        let inputs = parse(&body).unwrap();
        let [NativeInput::Plain(input)] = inputs.as_slice() else { panic!() };
        let external = input.content.attributes.as_ref().unwrap().external();
        let names: Vec<&str> = external.iter().map(|one| one.content.name().as_str()).collect();
        assert_eq!(names, ["a \"b\"", "c/d"]);
        assert!(external.iter().all(|one| one.class == Class::Secret));
        assert_eq!((external[1].content.size(), external[1].content.sha256()), (3, &[0xab; 32]));
        assert_eq!(with_attached(RECORD.into(), &[], None).unwrap(), RECORD.trim().as_bytes());
        // Twice is once too often.
        assert!(with_attached(body, &files, None).unwrap_err().contains("already"));
    }

    #[test]
    fn what_the_server_would_refuse_is_not_sent() {
        for (body, words) in [
            ("[]", "one JSON object"),
            ("{}", "/object"),
            (r#"{"object":{"tenant":"pb"}}"#, "/object/module"),
            (r#"{"object":1}"#, "/object"),
            ("{", "expected"),
        ] {
            let error = with_attached(body.into(), &[attached("f")], None).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
    }
}
