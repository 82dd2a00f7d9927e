//! JSON of records: what is refused and where, what is kept as it was, canonical JSON (RFC 8785), digests of disclosures (RFC
//! 9901), ids and times.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use cairn_tree::record::digest::Digest;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::json::canonical::canonical;
use cairn_tree::record::json::{Fault, FaultKind, Json, Pointer, same_number};
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::time::{Time, TimeError};

fn refused(text: &[u8]) -> Fault {
    match Json::parse(text) {
        Err(fault) => fault,
        Ok(json) => panic!("{json:?} was accepted"),
    }
}

#[test]
fn what_two_readers_could_understand_differently_is_refused_with_its_place() {
    let duplicate = FaultKind::Duplicate;
    for (text, pointer, kind) in [
        (r#"{"a":1,"a":2}"#, "/a", duplicate.clone()),
        (r#"{"a":1,"\u0061":2}"#, "/a", duplicate.clone()),
        (r#"[0,{"b":{"x~/y":[{"c":null,"d":1,"c":1}]}}]"#, "/1/b/x~0~1y/0/c", duplicate.clone()),
        (r#"["\ud800"]"#, "/0", FaultKind::Surrogate(2)),
        (r#"["\ud800\u0041"]"#, "/0", FaultKind::Surrogate(2)),
        (r#"["\udc00\ud800"]"#, "/0", FaultKind::Surrogate(2)),
        (r#"{"\ud83d":1}"#, "", FaultKind::Surrogate(2)),
    ] {
        let fault = refused(text.as_bytes());
        assert_eq!(fault.kind(), &kind, "{text}");
        if !matches!(kind, FaultKind::Surrogate(_)) {
            assert_eq!(fault.pointer(), pointer, "{text}");
        }
        assert!(fault.kind().is_syntax());
    }
    assert_eq!(refused(b"[\"\xff\"]").kind(), &FaultKind::Utf8(2));
    // More names than are compared each with each.
    let many: Vec<String> = (0..40).map(|number| format!("\"n{number}\":{number}")).collect();
    let text = format!("{{{},\"n7\":0,\"n3\":1}}", many.join(","));
    let fault = refused(text.as_bytes());
    assert_eq!((fault.pointer(), fault.kind()), ("/n7", &duplicate));
}

#[test]
fn texts_that_are_no_json_are_refused_and_bounds_hold() {
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "0x1",
        "NaN",
        "Infinity",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "[1,]",
        "[1 2]",
        "[",
        "]",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "1 2",
        "//",
        "\"\\",
        "[\"a\\",
        "\u{feff}1",
        "\"\\ud83d\\",
        "\"\\é\"",
    ] {
        assert!(
            matches!(refused(text.as_bytes()).kind(), FaultKind::Syntax { .. } | FaultKind::Surrogate(_)),
            "{text}"
        );
    }
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(Json::parse(&nested(64)).is_ok());
    assert_eq!(refused(&nested(65)).kind(), &FaultKind::Depth(64));
    assert_eq!(refused(&vec![b'['; 500_000]).kind(), &FaultKind::Depth(64));
    assert!(Json::parse("1".repeat(128).as_bytes()).is_ok());
    assert_eq!(refused("1".repeat(129).as_bytes()).kind(), &FaultKind::NumberTooLong(128));
}

#[test]
fn numbers_escapes_and_order_are_kept_and_white_space_is_not() {
    let text = " { \"b\" : 1.10 ,\n\t\"a\":[ 1E+3, -0, \" \\u00fc \\\\\\\" \" ] , \"z\":{ } }\r\n";
    let json = Json::parse(text.as_bytes()).unwrap();
    assert_eq!(json.as_str(), r#"{"b":1.10,"a":[1E+3,-0," \u00fc \\\" "],"z":{}}"#);
    assert_eq!(Json::parse(b"[1,2]").unwrap().as_str(), "[1,2]");
}

#[test]
fn numbers_are_worth_what_they_are_worth() {
    for (one, two) in [("1", "1.0"), ("10e-1", "1"), ("-0", "0.00"), ("1200.50", "1.2005E+3"), ("0e99", "0")] {
        assert!(same_number(one, two) && same_number(two, one), "{one} {two}");
    }
    // A double would not see these apart.
    for (one, two) in [("9007199254740993", "9007199254740992"), ("1", "-1"), ("0.1", "0.10000000000000000001")] {
        assert!(!same_number(one, two), "{one} {two}");
    }
    let huge = format!("1e{}", "9".repeat(60));
    assert!(same_number(&huge, &huge) && !same_number(&huge, "1"));
    let one = Json::parse(br#"{"a":[1.0,"\u00e9"],"b":null}"#).unwrap();
    assert!(one.means(&Json::parse("{\"b\":null,\"a\":[1,\"é\"]}".as_bytes()).unwrap()));
    assert!(!one.means(&Json::parse(br#"{"a":[1],"b":null}"#).unwrap()));
}

#[test]
fn canonical_json_is_as_its_author_publishes_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/jcs");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    for name in ["arrays", "french", "unicode", "weird"] {
        let input = read(&format!("{name}.input.json"));
        let expected = String::from_utf8(read(&format!("{name}.output.json"))).unwrap();
        let value = Json::parse(&input).unwrap().value();
        assert_eq!(canonical(&value).unwrap(), expected.trim_end(), "{name}");
        assert_eq!(canonical(&Json::parse(expected.as_bytes()).unwrap().value()).unwrap(), expected.trim_end());
    }
    for (name, pointer) in [("structures", "/1/\n"), ("values", "/numbers/0")] {
        let value = Json::parse(&read(&format!("{name}.input.json"))).unwrap().value();
        assert_eq!(canonical(&value).unwrap_err().pointer(), pointer, "{name}");
    }
    let largest = Json::parse(b"[9007199254740991,9007199254740992]").unwrap().value();
    assert_eq!(canonical(&largest).unwrap_err().pointer(), "/1");
}

#[test]
fn digests_are_those_that_rfc_9901_publishes() {
    for (disclosure, digest) in [
        // Section 4.2.1 with 4.2.3, and section 4.2.2 with 4.2.4.2.
        (
            "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0",
            "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0",
        ),
        ("WyJsa2x4RjVqTVlsR1RQVW92TU5JdkNBIiwgIkZSIl0", "w0I8EKcdCtUPkGCNUrfwVp2xEgNjtoIDlOxc9-PlOhs"),
        // Section 4.2.6: [\"16_mAd0GiwaZokU26_0i0h\",\"DE\"].
        ("WyIxNl9tQWQwR2l3YVpva1UyNl8waTBoIiwiREUiXQ", "PmnlrRjhLcwf8zTDdK15HVGwHtPYjddvD362WjBLwro"),
    ] {
        assert_eq!(Digest::of(disclosure).to_string(), digest);
        assert_eq!(digest.parse::<Digest>().unwrap(), Digest::of(disclosure));
    }
    for wrong in ["", "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC", "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC1"] {
        assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
    }
}

#[test]
fn pointers_are_those_of_rfc_6901() {
    let tokens = |text: &'static str| -> Vec<String> {
        Pointer::new(text).unwrap().tokens().map(|token| token.into_owned()).collect()
    };
    assert_eq!(tokens(""), Vec::<String>::new());
    assert_eq!(tokens("/"), [""]);
    assert_eq!(tokens("/a~1b/m~0n/c%d/ /~01"), ["a/b", "m~n", "c%d", " ", "~1"]);
    for wrong in ["a", "/~", "/~2", "/a~", "~0"] {
        assert!(Pointer::new(wrong).is_err(), "{wrong}");
    }
    let pointer = Pointer::new("/a/b").unwrap();
    assert_eq!(pointer.child("~/").unwrap().as_str(), "/a/b/~0~1");
    assert!(pointer.is_within(&Pointer::ROOT) && pointer.is_within(&Pointer::new("/a").unwrap()));
    assert!(!pointer.is_within(&Pointer::new("/a/").unwrap()) && !Pointer::new("/ab").unwrap().is_within(&pointer));
}

#[test]
fn times_have_one_text_and_are_read_from_any_of_rfc_3339() {
    for (text, canonical) in [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520000Z"),
        ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57.000000Z"),
        ("1990-12-31T23:59:60Z", "1990-12-31T23:59:59.999999Z"),
        ("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59.999999Z"),
        ("2000-02-29t12:00:00.1234567899z", "2000-02-29T12:00:00.123456Z"),
        ("1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ] {
        let time = Time::parse(text).unwrap();
        assert_eq!(time.to_string(), canonical, "{text}");
        assert_eq!(Time::parse_canonical(canonical), Ok(time));
        assert_eq!(Time::from_micros(time.micros()), Ok(time));
        assert_eq!(Time::parse_canonical(text).is_ok(), text == canonical, "{text}");
    }
    for text in [
        "",
        "2026",
        "2026-11-22",
        "2026-11-22T06:50:29",
        "2026-11-22 06:50:29Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T06:60:00Z",
        "2026-11-22T06:50:60Z",
        "2026-11-22T06:50:29.Z",
        "2026-11-22T06:50:29+0100",
        "2026-11-22T06:50:29+24:00",
        "2026-11-22T06:50:29Zx",
        "２026-11-22T06:50:29Z",
    ] {
        assert_eq!(Time::parse(text), Err(TimeError::Text), "{text}");
    }
    for text in ["0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01"] {
        assert_eq!(Time::parse(text), Err(TimeError::Range), "{text}");
    }
    // Every day of four centuries, by counting.
    let mut days_seen = 0;
    for day in 0..146_097_u64 {
        let time = Time::from_millis(day * 86_400_000).unwrap();
        assert_eq!(Time::parse_canonical(&time.to_string()), Ok(time));
        days_seen += u64::from(time.to_string().contains("-02-29T"));
    }
    assert_eq!(days_seen, 97);
}

#[test]
fn ids_are_uuids_that_say_nothing() {
    // RFC 9562, appendix A.6.
    let id: RecordId = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".parse().unwrap();
    assert_eq!(id.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    let time = Time::parse("2022-02-22T19:22:22.00Z").unwrap();
    let made = RecordId::v7(time, [0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
    assert_eq!(made, id);
    assert!(RecordId::v7(Time::MAX, [255; 10]).to_string().parse::<RecordId>().is_ok());
    for wrong in [
        // Versions 1, 3, 5, 6 and 8 of appendix A and B, then no UUIDs of ours.
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",
        "5df41881-3aed-3515-88a7-2f4a814cf09e",
        "2ed6657d-e927-568b-95e1-2665a8aea6a2",
        "1ec9414c-232a-6b00-b3c8-9f6bdeced846",
        "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0",
        "017f22e2-79b0-7cc3-d8c4-dc0c0c07398f",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e-279b0-7cc3-98c4-dc0c0c07398f",
    ] {
        assert!(wrong.parse::<RecordId>().is_err(), "{wrong}");
    }
}

#[test]
fn a_streams_name_has_one_text() {
    for text in [r#"["entity","pb","tl","license","L \"1\""]"#, r#"["named","pb","zürich/ü"]"#] {
        assert_eq!(StreamName::parse(text).unwrap().to_string(), text);
    }
    for text in [
        r#"["entity","pb","tl","license"]"#,
        r#"["named","pb"]"#,
        r#"["named","pb","a","b"]"#,
        r#"["other","pb","a"]"#,
        r#"["named", "pb","a"]"#,
        r#"["named","pb","\u0061"]"#,
        r#"["named","pb",""]"#,
        r#"["named","pb","a\nb"]"#,
        r#"["named","pb",1]"#,
        "[]",
        "{}",
    ] {
        assert!(StreamName::parse(text).is_err(), "{text}");
    }
}
