//! What is sealed is opened, at every bound: each is tried as full as it may be, and one more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod written;

use cairn_tree::record::attributes::{Attributes, AttributesError};
use cairn_tree::record::bounds::{MAX_EVENT_DISCLOSED_BYTES, MAX_FIELDS, MAX_TOKENS, MAX_VALUE_BYTES, MAX_VALUE_DEPTH};
use cairn_tree::record::class::{Class, Classed, Classification};
use cairn_tree::record::disclosure::{Disclosures, DisclosuresError};
use cairn_tree::record::draft::{Content, SealError, Sealed};
use cairn_tree::record::event::{Event, EventHead, Part};
use cairn_tree::record::json::{Json, Pointer};
use cairn_tree::record::open::{IntegrityError, Opened};
use cairn_tree::record::parts::Object;
use cairn_tree::record::text::Operation;
use cairn_tree::record::value::ValueError;
use cairn_tree::record::values::{Document, Values, ValuesError};
use written::{id, log, name, server_time};

fn content() -> Content<'static> {
    let object = Object {
        tenant: name("pb"),
        module: name("tl"),
        entity: name("license"),
        id: name("L-1"),
        operation: Operation::UPDATE,
        row: None,
        category: None,
        action: None,
    };
    Content { object, actor: None, subjects: None, context: None, values: None, attributes: None }
}

fn head() -> EventHead {
    EventHead { log: log(), id: id(0), replaces: None, time: server_time(0), key: None, after: None }
}

/// Seals and opens.
fn round(content: &Content<'_>) {
    let sealed = content.seal(head(), written::salts(1)).unwrap();
    let opened = Opened::of_event(sealed.event(), sealed.disclosures()).unwrap();
    assert_eq!(opened.object.disclosed(), Some(&content.object));
    let (found, given) = (opened.values.disclosed().unwrap(), content.values.as_ref());
    assert_eq!(found.as_ref().map(|values| values.fields().len()), given.map(|values| values.fields().len()));
}

fn field<'a>(pointer: &str, new: &'a str) -> (Pointer<'static>, Option<Json<'a>>, Option<Json<'a>>) {
    (Pointer::new(pointer.to_owned()).unwrap(), None, Some(Json::parse(new.as_bytes()).unwrap()))
}

fn values<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Values<'a>, ValuesError> {
    let fields: Vec<_> = fields.into_iter().map(|(pointer, new)| field(pointer, new)).collect();
    Values::fields_of(None, fields, &Classification::default())
}

fn attributes(value: &str) -> Result<Attributes<'_>, AttributesError> {
    let value = Json::parse(value.as_bytes()).unwrap();
    Attributes::new(vec![(name("a"), Classed { class: Class::Internal, content: value })], Vec::new())
}

/// Arrays in arrays, with a text beside the innermost that looks like more of them.
fn nested(depth: usize) -> String {
    ["[".repeat(depth), r#""[[[\\\"{{{[""#.to_owned(), "]".repeat(depth)].concat()
}

#[test]
fn a_value_may_be_so_long_and_so_deep() {
    let long = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    for (fits, exceeds, error) in [
        (long(MAX_VALUE_BYTES), long(MAX_VALUE_BYTES + 1), ValueError::TooLong),
        (nested(MAX_VALUE_DEPTH), nested(MAX_VALUE_DEPTH + 1), ValueError::TooDeep),
    ] {
        round(&Content { values: Some(values([("/a", fits.as_str())]).unwrap()), ..content() });
        round(&Content { values: Some(values([("", fits.as_str())]).unwrap()), ..content() });
        round(&Content { attributes: Some(attributes(&fits).unwrap()), ..content() });
        let found = values([("/a", exceeds.as_str())]).unwrap_err();
        assert_eq!(found, ValuesError::Value { pointer: "/a".to_owned(), error });
        assert_eq!(attributes(&exceeds).unwrap_err(), AttributesError::Value { name: "a".to_owned(), error });
        // Who seals by other means is not opened.
        for (inner, part) in [(format!(r#"{{"new":{exceeds}}}"#), 0), (exceeds.clone(), 1)] {
            refused_when_opened(&inner, part);
        }
    }
}

/// A record that another program made: its only field, or its only attribute, has this in its disclosure.
fn refused_when_opened(inner: &str, part: usize) {
    let sealed = if part == 0 {
        Content { values: Some(values([("/a", "1")]).unwrap()), ..content() }.seal(head(), written::salts(1)).unwrap()
    } else {
        Content { attributes: Some(attributes("1").unwrap()), ..content() }.seal(head(), written::salts(1)).unwrap()
    };
    let found = opened_with(&sealed, inner);
    assert!(matches!(found, Err(IntegrityError::Malformed { .. })), "{found:?}");
}

/// Opens the record with this in place of what its only field or attribute says.
fn opened_with(sealed: &Sealed, value: &str) -> Result<Opened, IntegrityError> {
    use base64::Engine as _;
    let encode = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let forged = encode(&format!(r#"["AAAAAAAAAAAAAAAAAAAAAA",{value}]"#));
    let texts: Vec<(cairn_tree::record::digest::Digest, String)> = sealed
        .disclosures()
        .iter()
        .map(|(digest, text)| {
            let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
            (digest, String::from_utf8(json).unwrap())
        })
        .collect();
    // The disclosure of the field goes, the one that names it names the other, and the event names that one.
    let names = |outer: &str, inner: &cairn_tree::record::digest::Digest| outer.contains(&inner.to_string());
    let pairs = texts.iter().flat_map(|outer| texts.iter().map(move |inner| (outer, inner)));
    let ((outer, json), (old, _)) = { pairs }.find(|((_, outer), (inner, _))| names(outer, inner)).unwrap();
    let digest_of = |text: &str| Disclosures::from_texts([text]).unwrap().iter().next().unwrap().0;
    let renamed = encode(&json.replace(&old.to_string(), &digest_of(&forged).to_string()));
    let event = String::from_utf8(sealed.text().as_bytes().to_vec()).unwrap();
    let event = event.replace(&outer.to_string(), &digest_of(&renamed).to_string());
    let event = Event::parse(event.as_bytes()).unwrap();
    let others = sealed.disclosures().filtered(|digest| digest != old && digest != outer);
    let all = others.iter().map(|(_, text)| text).chain([forged.as_str(), renamed.as_str()]);
    Opened::of_event(&event, &Disclosures::from_texts(all).unwrap())
}

#[test]
fn of_both_documents_neither_may_be_missing() {
    let one = || Some(Document::Other(Json::parse(b"1").unwrap()));
    let values = Values::whole(None, (one(), one()), &Classification::default()).unwrap();
    let sealed = Content { values: Some(values), ..content() }.seal(head(), written::salts(1)).unwrap();
    assert!(opened_with(&sealed, r#"{"new":2,"old":1}"#).is_ok());
    for value in [r#"{"new":2}"#, r#"{"old":1}"#] {
        let error = opened_with(&sealed, value).unwrap_err();
        assert!(matches!(error, IntegrityError::Fields(_)), "{error}");
    }
}

#[test]
fn a_pointer_may_have_so_many_tokens_and_a_record_so_many_fields() {
    let deep = "/a".repeat(MAX_TOKENS);
    round(&Content { values: Some(values([(deep.as_str(), "1")]).unwrap()), ..content() });
    let deeper = "/a".repeat(MAX_TOKENS + 1);
    assert!(matches!(values([(deeper.as_str(), "1")]), Err(ValuesError::Pointer(_))));
    let names: Vec<String> = (0..=MAX_FIELDS).map(|number| format!("/{number}/x")).collect();
    let all = |count: usize| values(names.iter().take(count).map(|name| (name.as_str(), "1")));
    round(&Content { values: Some(all(MAX_FIELDS).unwrap()), ..content() });
    assert_eq!(all(MAX_FIELDS + 1).unwrap_err(), ValuesError::TooManyFields);
}

#[test]
fn no_pointer_is_within_another_whatever_sorts_between_them() {
    for (one, other) in [("/a", "/a/b"), ("", "/a"), ("/a", "/a"), ("/a/b", "/a/b/c/d"), ("/", "//x")] {
        let between = ["/a!", "/a b", "/a-b/c", "/b"];
        let all = between.into_iter().chain([one, other]).map(|pointer| (pointer, "1"));
        assert!(matches!(values(all), Err(ValuesError::Overlap(_))), "{one:?} {other:?}");
    }
    values(["/a", "/a!", "/a b/c", "/a-b", "/ab", "/b/a", "/b/b", "/~1a", "/c~0"].map(|pointer| (pointer, "1")))
        .unwrap();
}

#[test]
fn all_together_may_be_so_long_and_can_still_begin_a_stream() {
    let text = format!("\"{}\"", "x".repeat(200_000));
    let names: Vec<String> = (0..16).map(|number| format!("/{number}")).collect();
    let sealed = |count: usize| {
        let values = values(names.iter().take(count).map(|name| (name.as_str(), text.as_str()))).unwrap();
        Content { values: Some(values), ..content() }.seal(head(), written::salts(1))
    };
    // Fifteen fields are just below the bound, sixteen are past it.
    let fits = sealed(15).unwrap();
    assert!(fits.disclosures().as_str().len() <= MAX_EVENT_DISCLOSED_BYTES);
    assert!(Opened::of_event(fits.event(), fits.disclosures()).is_ok());
    assert_eq!(sealed(16).unwrap_err(), SealError::Part { part: Part::Values, error: DisclosuresError::TooLong });
    // What names the fields is a disclosure too.
    let names: Vec<String> = (0..MAX_FIELDS).map(|number| format!("/{number:01000}")).collect();
    let values = values(names.iter().map(|name| (name.as_str(), "1"))).unwrap();
    let error = Content { values: Some(values), ..content() }.seal(head(), written::salts(1)).unwrap_err();
    assert_eq!(error, SealError::Part { part: Part::Values, error: DisclosuresError::TooLong });
    assert_eq!(error.pointer(), "/values");
}

#[test]
fn only_a_delete_has_nothing_but_what_was() {
    let old = || Some(Document::Other(Json::parse(b"1").unwrap()));
    let only_old = |operation: Operation<'static>| {
        let values = Values::whole(None, (old(), None), &Classification::default()).unwrap();
        let object = Object { operation, ..content().object };
        Content { object, values: Some(values), ..content() }.seal(head(), written::salts(1))
    };
    let deleted = only_old(Operation::DELETE).unwrap();
    assert!(Opened::of_event(deleted.event(), deleted.disclosures()).is_ok());
    for operation in [Operation::CREATE, Operation::UPDATE, Operation::new("read").unwrap()] {
        let error = only_old(operation.clone()).unwrap_err();
        assert_eq!((error, error.pointer()), (SealError::OnlyOld, "/values/whole"));
        // Who seals it by other means is not opened: the object of another record in place of the delete's.
        let object = Object { operation, ..content().object };
        let other = Content { object, ..content() }.seal(head(), written::salts(2)).unwrap();
        let [ours, theirs] = [&deleted, &other].map(|sealed| sealed.event().digest(Part::Object));
        let event = String::from_utf8(deleted.text().as_bytes().to_vec()).unwrap();
        let event = Event::parse(event.replace(&ours.to_string(), &theirs.to_string()).as_bytes()).unwrap();
        let kept = deleted.disclosures().filtered(|digest| *digest != ours);
        let added = other.disclosures().filtered(|digest| *digest == theirs);
        let all = Disclosures::parse(&[kept.as_str(), added.as_str()].concat()).unwrap();
        let error = Opened::of_event(&event, &all).unwrap_err();
        assert!(matches!(error, IntegrityError::Fields(_)), "{error}");
    }
}

#[test]
fn no_producer_seals_in_the_module_of_the_logs_own() {
    let object = Object { module: name("cairn"), ..content().object };
    let own = Content { object, ..content() };
    let signer = cairn_tree::record::signature::ProducerSigner::from_seed(&[1; 32]);
    let error = own.seal(EventHead { key: Some(signer.key().id()), ..head() }, written::salts(1)).unwrap_err();
    assert_eq!((error, error.pointer()), (SealError::OwnModule, "/object/module"));
    // What the log itself writes it does not send to itself.
    let sealed = own.seal(head(), written::salts(1)).unwrap();
    assert_eq!(Opened::of_event(sealed.event(), sealed.disclosures()), Err(IntegrityError::OwnModule));
}

#[test]
fn no_salt_is_used_twice() {
    let same = || cairn_tree::record::disclosure::Salt::new([1; 16]);
    let values = values([("/a", "1"), ("/b", "2")]).unwrap();
    let content = Content { values: Some(values), ..content() };
    let mut salts = written::salts(1);
    let mut count = 0;
    // The salts of the two fields alone are equal; the disclosures are not.
    let sealed = content.seal(head(), || {
        count += 1;
        if count == 6 || count == 7 { same() } else { salts() }
    });
    let sealed = sealed.unwrap();
    assert_eq!(Opened::of_event(sealed.event(), sealed.disclosures()), Err(IntegrityError::SaltTwice));
}
