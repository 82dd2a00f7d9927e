//! Records that nobody thought of: whatever is sealed is opened as what it was, and no changed bit of a leaf or a disclosure
//! passes for the record.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod written;

use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::event::Event;
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::leaf::{Entry as Classified, Leaf};
use cairn_tree::record::open::{Evidence, Opened, Record};
use cairn_tree::record::shown::Shown;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use written::{Entry, Writer};

/// JSON as text, of any kind and form.
fn json() -> impl Strategy<Value = String> {
    let string = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?";
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), number, string];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            members(inner, 0..4),
        ]
    })
}

fn members(
    value: impl Strategy<Value = String> + 'static,
    count: core::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    btree_map(any::<String>(), value, count).prop_map(|members| {
        let member = |(name, value): (String, String)| format!("{}:{value}", serde_json::to_string(&name).unwrap());
        format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
    })
}

fn name() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{1,20}".prop_map(|text| serde_json::to_string(&text).unwrap())
}

/// Records in our own form.
fn record() -> impl Strategy<Value = String> {
    let object = (name(), name(), name(), name(), "[a-z][a-z0-9._-]{0,12}").prop_map(|(tenant, entity, id, row, operation)| {
        format!(r#""object":{{"tenant":{tenant},"module":"m","entity":{entity},"id":{id},"row":{row},"operation":"{operation}"}}"#)
    });
    let values = prop_oneof![
        members(json(), 0..6).prop_map(|new| format!(r#""values":{{"whole":{{"new":{new}}}}}"#)),
        (json(), json()).prop_map(|(old, new)| format!(r#""values":{{"whole":{{"old":{old},"new":{new}}}}}"#)),
        btree_map("[a-z~/]{1,5}", json(), 1..6).prop_map(|fields| {
            let pointer = |name: String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let field = |(name, new): (String, String)| format!(r#""{}":{{"new":{new}}}"#, pointer(name));
            let fields: Vec<String> = fields.into_iter().map(field).collect();
            format!(r#""values":{{"fields":{{{}}}}}"#, fields.join(","))
        }),
    ];
    let actor = (name(), vec(name(), 0..3))
        .prop_map(|(id, roles)| format!(r#""actor":{{"id":{id},"roles":[{}]}}"#, roles.join(",")));
    let attributes = btree_map("[a-z]{1,5}", json(), 1..4).prop_map(|named| {
        let named: Vec<String> = named.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!(r#""attributes":{{{}}}"#, named.join(","))
    });
    let subjects = vec(name(), 1..3).prop_map(|names| format!(r#""subjects":[{}]"#, names.join(",")));
    let classes = Just(r#""classification":{"default":"restricted"}"#.to_owned());
    let optional = |part: BoxedStrategy<String>| proptest::option::of(part);
    (
        object,
        optional(values.boxed()),
        optional(actor.boxed()),
        optional(attributes.boxed()),
        optional(subjects.boxed()),
        optional(classes.boxed()),
    )
        .prop_map(|(object, values, actor, attributes, subjects, classes)| {
            let parts = [Some(object), values, actor, attributes, subjects, classes];
            format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(","))
        })
}

fn open(entry: &Entry, leaf: &[u8], disclosures: &Disclosures) -> bool {
    let redactions = Redactions::new(written::log());
    let evidence = Evidence { disclosures, withheld: &[], redactions: &redactions };
    Record::open(&written::log(), entry.index, leaf, evidence)
        .is_ok_and(|record| record.hash() == Hash::leaf(&entry.leaf))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_sealed_is_opened_as_it_was(text in record()) {
        let mut writer = Writer::new();
        let entry = writer.append(&text).clone();
        let record = entry.open();
        let leaf = Leaf::decode(&entry.leaf).unwrap();
        prop_assert_eq!(leaf.encode(), entry.leaf.clone());
        prop_assert_eq!(leaf.hash(), record.hash());
        let event = leaf.event().to_text();
        prop_assert_eq!(&Event::parse(event.as_bytes()).unwrap(), leaf.event());
        prop_assert_eq!(&Disclosures::parse(entry.disclosures.as_str()).unwrap(), &entry.disclosures);

        let inputs = cairn_tree::wire::record::native::parse(text.as_bytes()).unwrap();
        let [cairn_tree::wire::record::native::NativeInput::Plain(input)] = inputs.as_slice() else { panic!() };
        let Opened { object, actor, subjects, context, values, attributes } = record.content();
        let content = &input.content;
        prop_assert_eq!(object.disclosed(), Some(&content.object));
        prop_assert_eq!(actor.disclosed(), Some(&content.actor));
        prop_assert_eq!(subjects.disclosed(), Some(&content.subjects));
        prop_assert_eq!(context.disclosed(), Some(&content.context));
        match (values, &content.values) {
            (Shown::Disclosed(Some(found)), Some(given)) => {
                prop_assert_eq!(found.form(), given.form());
                prop_assert_eq!(found.fields().len(), given.fields().len());
                for ((pointer, field), (name, value)) in found.fields().iter().zip(given.fields()) {
                    prop_assert_eq!((pointer, field.class), (name, value.class));
                    prop_assert_eq!(field.content.disclosed(), Some(&value.content));
                }
            }
            (found, given) => prop_assert!(found.disclosed() == Some(&None) && given.is_none()),
        }
        match (attributes, &content.attributes) {
            (Shown::Disclosed(Some(found)), Some(given)) => {
                for ((name, one), (other, value)) in found.named().iter().zip(given.named()) {
                    prop_assert_eq!((name, one.class), (other, value.class));
                    prop_assert_eq!(one.content.disclosed(), Some(&value.content));
                }
            }
            (found, given) => prop_assert!(found.disclosed() == Some(&None) && given.is_none()),
        }
    }

    #[test]
    fn no_changed_bit_passes(text in record(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut writer = Writer::new();
        let entry = writer.append(&text).clone();
        prop_assert!(open(&entry, &entry.leaf, &entry.disclosures));
        let mut leaf = entry.leaf.clone();
        leaf[at.index(entry.leaf.len())] ^= 1 << bit;
        prop_assert!(!open(&entry, &leaf, &entry.disclosures));
        let mut texts = entry.disclosures.as_str().as_bytes().to_vec();
        let at = at.index(texts.len());
        texts[at] ^= 1 << bit;
        let changed = String::from_utf8(texts).ok().and_then(|texts| Disclosures::parse(&texts).ok());
        prop_assert!(!changed.is_some_and(|changed| open(&entry, &entry.leaf, &changed)));
    }
}

#[test]
fn what_nests_as_deep_as_it_may_is_opened_again() {
    let tenant = written::name("pb");
    let event = |depth: usize| {
        let data = ["[".repeat(depth), "]".repeat(depth)].concat();
        format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{data}}}"#)
    };
    for body in [event(63), event(64)] {
        assert!(cairn_tree::wire::record::cloudevents::parse(body.as_bytes(), Some(&tenant)).is_err());
    }
    let body = event(62);
    let inputs = cairn_tree::wire::record::cloudevents::parse(body.as_bytes(), Some(&tenant)).unwrap();
    let log = cairn_tree::checkpoint::Origin::new("log.example").unwrap();
    let (id, time) = (written::id(0), written::server_time(0));
    let head = cairn_tree::record::event::EventHead { log, id, replaces: None, time, key: None, after: None };
    let sealed = inputs[0].record.content.seal(head, written::salts(1)).unwrap();
    assert!(Opened::of_event(sealed.event(), sealed.disclosures()).is_ok());
}

#[test]
fn no_changed_bit_of_one_record_passes() {
    let mut writer = Writer::new();
    let entry = writer
        .append(
            r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"create"},
                "values":{"whole":{"new":{"a":1,"b":"two"}}},"attributes":{"c":3}}"#,
        )
        .clone();
    let (mut decoded, mut opaque) = (0, 0);
    for bit in 0..8 * entry.leaf.len() {
        let mut leaf = entry.leaf.clone();
        leaf[bit / 8] ^= 1 << (bit % 8);
        assert!(!open(&entry, &leaf, &entry.disclosures), "bit {bit} of the leaf");
        // What still reads as a record is another one.
        match Leaf::classify(&leaf) {
            Ok(Classified::Record(other)) => {
                assert_eq!(other.encode(), leaf);
                decoded += 1;
            }
            Ok(Classified::Opaque) => opaque += 1,
            Ok(Classified::Raw) => assert!(bit < 8 * "cairn.record/".len()),
            Err(_) => {}
        }
    }
    assert!(decoded > 0 && opaque == 8 * "1\n".len(), "{decoded} {opaque}");
    let text = entry.disclosures.as_str();
    for bit in 0..8 * text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let changed = String::from_utf8(changed).ok().and_then(|texts| Disclosures::parse(&texts).ok());
        assert!(!changed.is_some_and(|changed| open(&entry, &entry.leaf, &changed)), "bit {bit} of the disclosures");
    }
}
