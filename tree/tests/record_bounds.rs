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
use cairn_tree::record::kind::{RecordKind, continued, goes_on};
use cairn_tree::record::leaf::assemble;
use cairn_tree::record::open::{IntegrityError, Opened};
use cairn_tree::record::parts::{Context, Object};
use cairn_tree::record::reserved::Reserved;
use cairn_tree::record::server_part::ServerPart;
use cairn_tree::record::stream::{Opening, StreamId, StreamName};
use cairn_tree::record::text::Operation;
use cairn_tree::record::value::ValueError;
use cairn_tree::record::values::{Document, Values, ValuesError};
use cairn_tree::wire::record::{cloudevents, digit, native};
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
        round(&Content { values: Some(values([("", fits.as_str())]).unwrap()), ..content() });
        round(&Content { attributes: Some(attributes(&fits).unwrap()), ..content() });
        let found = values([("", exceeds.as_str())]).unwrap_err();
        assert_eq!(found, ValuesError::Value { pointer: String::new(), error });
        assert_eq!(attributes(&exceeds).unwrap_err(), AttributesError::Value { name: "a".to_owned(), error });
        // Who seals by other means is not opened.
        for (inner, part) in [(format!(r#"{{"new":{exceeds}}}"#), 0), (exceeds.clone(), 1)] {
            refused_when_opened(&inner, part);
        }
    }
}

/// So that no state nests deeper than a value may, whatever fields made it.
#[test]
fn the_tokens_of_a_pointer_count_as_levels_of_its_value() {
    for tokens in [0, 1, 2, MAX_TOKENS - 1, MAX_TOKENS] {
        let pointer = "/a".repeat(tokens);
        let (fits, exceeds) = (nested(MAX_VALUE_DEPTH - tokens), nested(MAX_VALUE_DEPTH - tokens + 1));
        round(&Content { values: Some(values([(pointer.as_str(), fits.as_str())]).unwrap()), ..content() });
        let found = values([(pointer.as_str(), exceeds.as_str())]).unwrap_err();
        assert_eq!(found, ValuesError::Value { pointer: pointer.clone(), error: ValueError::TooDeep });
        if tokens > 0 {
            let shallow = Content { values: Some(values([(pointer.as_str(), "1")]).unwrap()), ..content() };
            let sealed = shallow.seal(head(), written::salts(1)).unwrap();
            let opened = opened_with(&sealed, &format!(r#"{{"new":{exceeds}}}"#));
            assert!(matches!(opened, Err(IntegrityError::Fields(_))), "{tokens}: {opened:?}");
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
fn no_producer_seals_what_is_the_logs_own() {
    let signer = cairn_tree::record::signature::ProducerSigner::from_seed(&[1; 32]);
    let of_object = |object| Content { object, ..content() };
    let object = content().object;
    let context = Context { stream: Some(name("cairn.doors")), ..Context::default() };
    let attribute = Classed { class: Class::Public, content: Json::string("x") };
    let attributes = Attributes::new(vec![(name("cairn.request"), attribute)], Vec::new()).unwrap();
    let cases = [
        (of_object(Object { module: name("cairn"), ..object.clone() }), Reserved::Module, "/object/module"),
        (of_object(Object { tenant: name("cairn"), ..object.clone() }), Reserved::Tenant, "/object/tenant"),
        (
            of_object(Object { operation: Operation::new("cairn.continued").unwrap(), ..object }),
            Reserved::Operation,
            "/object/operation",
        ),
        (Content { context: Some(context), ..content() }, Reserved::Stream, "/context/stream"),
        (Content { attributes: Some(attributes), ..content() }, Reserved::Attribute, "/attributes"),
    ];
    for (own, reserved, pointer) in cases {
        let error = own.seal(EventHead { key: Some(signer.key().id()), ..head() }, written::salts(1)).unwrap_err();
        assert_eq!((error, error.pointer()), (SealError::Reserved(reserved), pointer));
        // What the log itself writes it does not send to itself.
        let sealed = own.seal(head(), written::salts(1)).unwrap();
        assert_eq!(Opened::of_event(sealed.event(), sealed.disclosures()), Err(IntegrityError::Reserved(reserved)));
        let replaces = EventHead { replaces: Some(written::id(1)), ..head() };
        let refused = own.seal(replaces, written::salts(1)).err();
        assert_eq!(refused, (reserved == Reserved::Operation).then_some(SealError::OwnReplaces));
    }
}

/// Whatever form it comes in.
#[test]
fn no_producer_sends_what_is_the_logs_own() {
    let object = |change: &str| {
        let members = r#""tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"update""#;
        let (name, value) = change.split_once('=').unwrap();
        let old = members.split(',').find(|member| member.starts_with(&format!("\"{name}\""))).unwrap();
        format!("{{\"object\":{{{}}}", members.replace(old, &format!("\"{name}\":\"{value}\"")))
    };
    let good = [object("module=cairns"), object("tenant=cairns"), object("operation=cairn")];
    assert!(good.iter().all(|record| native::parse(format!("{record}}}").as_bytes()).is_ok()));
    let plain = object("id=L-2");
    for record in [
        object("module=cairn"),
        object("tenant=cairn"),
        object("operation=cairn.continued"),
        format!(r#"{plain},"context":{{"stream":"cairn.doors"}}"#),
        format!(r#"{plain},"attributes":{{"cairn.request":1}}"#),
    ] {
        let error = native::parse(format!("{record}}}").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("the log's own"), "{record}: {error}");
    }
    let event = |extension: &str| {
        let event = r#"{"specversion":"1.0","id":"1","source":"tl","type":"t","tenant":"pb""#;
        let event =
            if extension.contains("tenant") { event.replace(r#","tenant":"pb""#, "") } else { event.to_owned() };
        format!("{event}{extension}}}")
    };
    assert!(cloudevents::parse(event("").as_bytes(), None).is_ok());
    for extension in [r#","module":"cairn""#, r#","tenant":"cairn""#, r#","operation":"cairn.x""#] {
        let error = cloudevents::parse(event(extension).as_bytes(), None).unwrap_err();
        assert!(error.to_string().contains("the log's own"), "{extension}: {error}");
    }
    let own = name("cairn");
    let no_tenant = event("").replace(r#","tenant":"pb""#, "");
    assert!(cloudevents::parse(no_tenant.as_bytes(), Some(&own)).is_err());
    for (tenant, module, is_good) in [("pb", "tl", true), ("cairn", "tl", false), ("pb", "cairn", false)] {
        let row = format!(
            r#"{{"AuditLogs":[{{"userUUID":"u","module":"{module}","tenantId":"{tenant}","changeDate":1,"entityName":"e",
            "objectId":"o","keyValueMap":{{"a":1}},"operationType":"CREATE"}}]}}"#
        );
        assert_eq!(digit::parse_create(row.as_bytes()).is_ok(), is_good, "{row}");
    }
}

/// The log's last word in a stream, which goes on elsewhere.
#[test]
fn a_stream_says_where_it_goes_on() {
    let log = cairn_tree::checkpoint::Origin::new("log.example/next").unwrap();
    let stream: StreamId = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU".parse().unwrap();
    for text in [r#"["entity","pb","tl","license","L-1"]"#, r#"["named","pb","doors"]"#] {
        let stream_name = StreamName::parse(text).unwrap();
        let (object, context, values) = continued(&stream_name, &log, stream).unwrap();
        assert_eq!(RecordKind::of(&object), RecordKind::Administrative);
        let content = Content { object, context, values: Some(values), ..content() };
        let sealed = content.seal(head(), written::salts(1)).unwrap();
        let opening = Opening::new(&stream_name, None, None, written::salts(2)).unwrap();
        let by = cairn_tree::record::id::Pseudonym::new([1; 16]);
        let server = ServerPart { stream: opening.id(), place: opening.place(), time: head().time, by };
        let leaf = assemble(sealed.text(), &server, None).unwrap();
        let all = [sealed.disclosures().as_str(), opening.disclosures().as_str()].concat();
        let disclosures = Disclosures::parse(&all).unwrap();
        let entry = written::Entry { index: cairn_tree::size::LeafIndex::ZERO, leaf, disclosures };
        assert_eq!(goes_on(&entry.open()), Some((log.clone(), stream)));
    }
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
