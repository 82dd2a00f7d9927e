//! What is said of a record before it is appended is what a replay says of it afterwards, whatever came before.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod written;

use std::sync::Arc;

use cairn_tree::record::history::History;
use cairn_tree::record::replay::{Brought, Oddity, Ongoing, Until, View, replay};
use cairn_tree::record::server_part::Seq;
use cairn_tree::wire::record::native::{NativeInput, parse};
use proptest::collection::vec;
use proptest::prelude::*;
use written::Writer;

fn value() -> impl Strategy<Value = String> {
    prop_oneof![Just("1"), Just("1.0"), Just("\"a\""), Just("{\"x\":1}"), Just("[1,2]"), Just("null")]
        .prop_map(str::to_owned)
}

fn side(name: &'static str) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(value()).prop_map(move |value| value.map(|value| format!("\"{name}\":{value}")))
}

fn field() -> impl Strategy<Value = String> {
    let pointer = prop_oneof![Just("/a"), Just("/b/c"), Just("/b/1")];
    (pointer, side("old"), side("new")).prop_map(|(pointer, old, new)| {
        let sides: Vec<String> = old.into_iter().chain(new).collect();
        let sides = if sides.is_empty() { vec!["\"new\":1".to_owned()] } else { sides };
        format!("\"{pointer}\":{{{}}}", sides.join(","))
    })
}

/// A record of one of three rows of an object.
fn record() -> impl Strategy<Value = String> {
    let operation = prop_oneof![Just("create"), Just("update"), Just("update"), Just("delete"), Just("read")];
    let whole = (proptest::option::of(value()), value()).prop_map(|(old, new)| {
        let old = old.map(|old| format!("\"old\":{old},")).unwrap_or_default();
        format!(r#","values":{{"whole":{{{old}"new":{new}}}}}"#)
    });
    let fields = field().prop_map(|field| format!(r#","values":{{"fields":{{{field}}}}}"#));
    let values = prop_oneof![Just(String::new()), whole, fields];
    (operation, 0..3, values).prop_map(|(operation, row, values)| {
        let object =
            format!(r#""tenant":"pb","module":"m","entity":"e","id":"1","row":"{row}","operation":"{operation}""#);
        format!(r#"{{"object":{{{object}}}{values}}}"#)
    })
}

/// What is said of a record that is not in the log yet.
fn said(ongoing: &mut Ongoing, number: u64, record: &str) -> Vec<Oddity> {
    let mut inputs = parse(record.as_bytes()).unwrap();
    let Some(NativeInput::Plain(input)) = inputs.pop() else { panic!("{record}") };
    let brought = Brought::whole(&input.content.object, input.content.values.as_ref());
    ongoing.act(Seq::new(number).unwrap(), &brought)
}

proptest! {
    /// All of them before they are appended, the later ones on top of states that stay as they are.
    #[test]
    fn a_record_gets_the_same_flags_before_it_is_appended_and_after(records in vec(record(), 1..24), cut in 0..24_usize) {
        let mut writer = Writer::new();
        let mut ongoing = Ongoing::default();
        let mut before: Vec<(u64, Oddity)> = Vec::new();
        for (number, record) in (0_u64..).zip(&records) {
            if number as usize == cut {
                ongoing = Ongoing::over(Arc::new(ongoing));
            }
            before.extend(said(&mut ongoing, number, record).into_iter().map(|oddity| (number, oddity)));
            writer.append(record);
        }
        let opened: Vec<_> = writer.entries.iter().map(|entry| entry.open()).collect();
        let replayed = replay(&History::new(opened).unwrap(), View::AsRecorded, Until::End);
        let after: Vec<(u64, Oddity)> = replayed.flags.into_iter().map(|flag| (flag.seq.get(), flag.oddity)).collect();
        prop_assert_eq!(before, after);
    }

    /// What is said to the states above changes nothing below.
    #[test]
    fn states_that_others_stand_on_stay_as_they_are(below in vec(record(), 0..8), above in vec(record(), 1..8)) {
        let say = |ongoing: &mut Ongoing, records: &[String]| -> Vec<Vec<Oddity>> {
            (0_u64..).zip(records).map(|(number, record)| said(ongoing, number, record)).collect()
        };
        let mut base = Ongoing::default();
        say(&mut base, &below);
        let (base, bytes) = (Arc::new(base.clone()), base.bytes());
        let first = say(&mut Ongoing::over(Arc::clone(&base)), &above);
        prop_assert_eq!(say(&mut Ongoing::over(Arc::clone(&base)), &above), first.clone());
        prop_assert_eq!(base.bytes(), bytes);
        // Those that nobody else stands on are handed on, and the others copied: no difference.
        let over = |base: &Arc<Ongoing>| {
            let mut further = Ongoing::over(Arc::clone(base));
            say(&mut further, &above);
            Ongoing::over(Arc::new(further))
        };
        let shared = over(&base).replayed(Vec::new());
        let handed_on = over(&Arc::new((*base).clone()));
        prop_assert_eq!(handed_on.replayed(Vec::new()), shared);
        prop_assert_eq!(base.bytes(), bytes);
        let mut alone = (*base).clone();
        prop_assert_eq!(say(&mut alone, &above), first);
    }
}
