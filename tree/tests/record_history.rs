//! The chain of a stream and its replay: what each operation does, corrections, times, what is not shown, and differences.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod written;

use cairn_tree::hash::Hash;
use cairn_tree::record::chain::{Chain, ChainError, Followed, History};
use cairn_tree::record::digest::Digest;
use cairn_tree::record::event::{EventHead, Part};
use cairn_tree::record::json::Json;
use cairn_tree::record::kind::{CONTINUED, Concerned, Redactions, redaction};
use cairn_tree::record::later::Later;
use cairn_tree::record::leaf::Leaf;
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::replay::{Flag, Life, Misfit, Node, Oddity, Replayed, Until, View, diff, old_differs, replay};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::text::Operation;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::native::{NativeInput, parse};
use written::{Entry, Writer, id, log, name, server_time};

fn record(operation: &str, more: &str) -> String {
    let object = format!(r#"{{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"{operation}"}}"#);
    format!(r#"{{"object":{object}{}{more}}}"#, if more.is_empty() { "" } else { "," })
}

fn whole(operation: &str, new: &str) -> String {
    record(operation, &format!(r#""values":{{"whole":{{"new":{new}}}}}"#))
}

fn fields(fields: &str) -> String {
    record("update", &format!(r#""values":{{"fields":{fields}}}"#))
}

fn stream(records: &[String]) -> Vec<Entry> {
    let mut writer = Writer::new();
    records.iter().for_each(|record| drop(writer.append(record).clone()));
    writer.entries
}

fn history(records: &[String]) -> History {
    History::new(stream(records).iter().map(Entry::open).collect()).unwrap()
}

/// The document of the only object, as JSON; `-` where there is none.
fn data(replayed: &Replayed) -> String {
    assert_eq!(replayed.states.len(), 1, "{replayed:?}");
    let state = replayed.states.values().next().unwrap();
    state.data.as_ref().map_or_else(|| "-".to_owned(), Node::to_json)
}

fn oddities(replayed: &Replayed) -> Vec<(u64, &Oddity)> {
    replayed.flags.iter().map(|flag| (flag.seq.get(), &flag.oddity)).collect()
}

fn recorded(records: &[String]) -> Replayed {
    replay(&history(records), View::AsRecorded, Until::End)
}

#[test]
fn whole_values_replace_fields_patch_and_a_delete_ends() {
    let records = [
        whole("create", r#"{"a":1.0,"b":{"c":[1,2,3]},"n":null}"#),
        record("read", ""),
        fields(
            r#"{"/a":{"old":1,"new":2},"/b/c/1":{"old":2},"/b/c/-":{"new":4},"/x/y":{"new":"z"},"/n":{"old":null}}"#,
        ),
        record("license.approved", r#""values":{"whole":{"new":{"ignored":true}}}"#),
        whole("update", r#"[1]"#),
        record("delete", r#""values":{"whole":{"old":[1.0]}}"#),
        whole("create", "{}"),
    ];
    let history = history(&records);
    let states: Vec<String> = (0..records.len() as u64)
        .map(|seq| data(&replay(&history, View::AsRecorded, Until::Seq(Seq::new(seq).unwrap()))))
        .collect();
    let patched = r#"{"a":2,"b":{"c":[1,3,4]},"x":{"y":"z"}}"#;
    let created = r#"{"a":1.0,"b":{"c":[1,2,3]},"n":null}"#;
    assert_eq!(states, [created, created, patched, patched, "[1]", "-", "{}"]);
    let end = replay(&history, View::AsRecorded, Until::End);
    assert_eq!(oddities(&end), []);
    assert_eq!(end.states.values().next().unwrap().lives, 2);
    // Up to a time of the server, included.
    let until = |time| data(&replay(&history, View::AsRecorded, Until::ServerTime(time)));
    assert_eq!(until(server_time(2)), patched);
    assert_eq!(until(Time::from_micros(server_time(5).micros() - 1).unwrap()), "[1]");
    assert_eq!(replay(&history, View::AsRecorded, Until::ServerTime(Time::from_micros(0).unwrap())).states.len(), 0);
}

#[test]
fn what_does_not_fit_is_flagged() {
    let replayed = recorded(&[
        whole("update", r#"{"a":{"b":1},"l":[1]}"#),
        fields(r#"{"/a/b/c":{"new":1},"/l/7":{"new":1},"/l/x":{"new":1},"/gone/deep":{"old":1}}"#),
        fields(r#"{"/a":{"old":{"b":2},"new":{"b":3}}}"#),
        whole("create", r#"{"second":true}"#),
        record("delete", ""),
        record("delete", ""),
        record("update", r#""replaces":"017f22e2-79b0-7cc3-98c4-dc0c0c07398f""#),
    ]);
    let found: Vec<String> = oddities(&replayed).iter().map(|(seq, oddity)| format!("{seq} {oddity:?}")).collect();
    let expected = [
        "0 UpdateOnAbsent",
        "1 OldDiffers(Pointers { first: [\"/gone/deep\"], more: false, bytes: 10 })",
        "1 Misfit(Pointer(\"/a/b/c\"), NoPlace)",
        "1 Misfit(Pointer(\"/l/7\"), NoPlace)",
        "1 Misfit(Pointer(\"/l/x\"), NoPlace)",
        "2 OldDiffers(Pointers { first: [\"/a\"], more: false, bytes: 2 })",
        "3 CreateOnLive",
        "5 DeleteOnAbsent",
        "6 ReplacesUnknown(RecordId(017f22e2-79b0-7cc3-98c4-dc0c0c07398f))",
        "6 UpdateOnAbsent",
    ];
    assert_eq!(found, expected);
    // It lives, and nothing says what its data is.
    let state = replayed.states.values().next().unwrap();
    assert_eq!((state.life, &state.data, state.lives), (Life::Live, &None, 3));
}

#[test]
fn old_values_are_compared_before_a_record_is_appended() {
    let replayed = recorded(&[whole("create", r#"{"a":1,"b":[1,{"c":2}]}"#)]);
    let state = replayed.states.values().next().unwrap().data.clone();
    let differing = |values: &str| {
        let body = record("update", &format!(r#""values":{values}"#));
        let inputs = parse(body.as_bytes()).unwrap();
        let [NativeInput::Plain(input)] = inputs.as_slice() else { panic!("{body}") };
        old_differs(state.as_ref(), input.content.values.as_ref().unwrap()).first
    };
    assert!(differing(r#"{"fields":{"/a":{"old":1.0,"new":2},"/b/1/c":{"old":2}}}"#).is_empty());
    assert!(differing(r#"{"whole":{"new":{}}}"#).is_empty());
    assert!(differing(r#"{"whole":{"old":{"b":[1,{"c":2}],"a":1},"new":{}}}"#).is_empty());
    assert_eq!(differing(r#"{"fields":{"/a":{"old":2,"new":2},"/z":{"old":1}}}"#), ["/a", "/z"]);
    assert_eq!(differing(r#"{"whole":{"old":{"b":[1,{"c":3}],"d":1},"new":{}}}"#), ["/a", "/b/1/c", "/d"]);
}

#[test]
fn a_correction_acts_where_it_stands_or_in_the_place_of_what_it_corrects() {
    let corrects =
        |number: u64, record: String| record.replacen('{', &format!("{{\"replaces\":\"{}\",", id(number)), 1);
    let history = history(&[
        whole("create", r#"{"fee":1}"#),
        fields(r#"{"/paid":{"new":true}}"#),
        corrects(0, whole("create", r#"{"fee":2}"#)),
        corrects(2, whole("create", r#"{"fee":3}"#)),
    ]);
    let until = |view, seq| data(&replay(&history, view, Until::Seq(Seq::new(seq).unwrap())));
    assert_eq!(until(View::AsRecorded, 1), r#"{"fee":1,"paid":true}"#);
    assert_eq!(until(View::AsRecorded, 3), r#"{"fee":3}"#);
    assert_eq!(until(View::Corrected, 3), r#"{"fee":3,"paid":true}"#);
    assert_eq!(until(View::Corrected, 0), r#"{"fee":3}"#);
    assert!(replay(&history, View::Corrected, Until::End).flags.is_empty());
}

#[test]
fn by_the_producers_time_records_act_in_its_order() {
    let at = |second: u64, record: String| record.replacen('{', &format!("{{\"time\":{},", second * 1_000), 1);
    let history = history(&[
        at(100, whole("create", r#"{"a":1}"#)),
        at(300, fields(r#"{"/a":{"new":3}}"#)),
        at(200, fields(r#"{"/a":{"new":2},"/b":{"new":2}}"#)),
    ]);
    let until = |second: u64| Until::ProducerTime(Time::from_millis(second * 1_000).unwrap());
    assert_eq!(data(&replay(&history, View::AsRecorded, until(300))), r#"{"a":3,"b":2}"#);
    assert_eq!(data(&replay(&history, View::AsRecorded, until(299))), r#"{"a":2,"b":2}"#);
    assert_eq!(data(&replay(&history, View::AsRecorded, Until::End)), r#"{"a":2,"b":2}"#);
}

#[test]
fn rows_of_one_object_stay_apart() {
    let row = |row: &str, new: &str| {
        whole("create", new).replace("\"operation\"", &format!("\"row\":\"{row}\",\"operation\""))
    };
    let replayed = recorded(&[row("1", r#"{"a":1}"#), row("2", r#"{"a":2}"#), whole("create", r#"{"a":0}"#)]);
    let rows: Vec<String> = replayed.states.values().map(|state| state.data.as_ref().unwrap().to_json()).collect();
    assert_eq!(rows, [r#"{"a":0}"#, r#"{"a":1}"#, r#"{"a":2}"#]);
    assert!(replayed.flags.is_empty());
}

/// The digest of a field, found by its disclosure's content.
fn digest_of(entry: &Entry, holds: &str) -> Digest {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    let found = entry.disclosures.iter().find(|(_, text)| String::from_utf8(decode(text)).unwrap().contains(holds));
    found.unwrap_or_else(|| panic!("{holds}")).0
}

/// A redaction record for some digests, at this index.
fn redactions(index: u64, digests: &[Digest]) -> Redactions {
    let concerned = Concerned { id: id(0), index: LeafIndex::ZERO };
    let (object, values) = redaction(name("pb"), concerned, digests).unwrap();
    let content = cairn_tree::record::draft::Content {
        object,
        actor: None,
        subjects: None,
        context: None,
        values: Some(values),
        attributes: None,
    };
    let time = server_time(9);
    let head = EventHead { log: log(), id: id(99), replaces: None, time, key: None, after: None };
    let sealed = content.seal(head, written::salts(77)).unwrap();
    let stream = cairn_tree::record::stream::StreamName::of(&content.object);
    let opening = cairn_tree::record::stream::Opening::new(&stream, None, None, written::salts(78)).unwrap();
    let server = cairn_tree::record::server_part::ServerPart {
        stream: opening.id(),
        place: opening.place(),
        time: server_time(9),
        by: cairn_tree::record::id::Pseudonym::new([1; 16]),
    };
    let leaf = cairn_tree::record::leaf::assemble(sealed.text(), &server, None).unwrap();
    let texts = [sealed.disclosures().as_str(), opening.disclosures().as_str()].concat();
    let disclosures = cairn_tree::record::disclosure::Disclosures::parse(&texts).unwrap();
    let entry = Entry { index: LeafIndex::new(index).unwrap(), leaf, disclosures };
    let mut redactions = Redactions::new(log());
    redactions.take_up(&entry.open()).unwrap();
    redactions
}

#[test]
fn what_is_erased_or_withheld_stays_unknown_until_it_is_said_again() {
    let entries = stream(&[
        whole("create", r#"{"name":"Ann","city":"x","tax":1}"#),
        fields(r#"{"/name/first":{"new":"A"},"/city":{"old":"x","new":"y"}}"#),
        record("update", r#""values":{"whole":{"old":{"name":"Ben","city":"y","tax":1},"new":{"name":"Eve"}}}"#),
    ]);
    let erased = digest_of(&entries[0], "Ann");
    let withheld = digest_of(&entries[0], "\"new\":1");
    let redactions = redactions(50, &[erased]);
    let open = |entry: &Entry| {
        let disclosures = entry.disclosures.filtered(|digest| ![erased, withheld].contains(digest));
        let own: Vec<Digest> = entry.disclosures.iter().map(|(digest, _)| digest).collect();
        let withheld: Vec<Digest> = own.into_iter().filter(|digest| *digest == withheld).collect();
        let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &redactions };
        Record::open(&log(), entry.index, &entry.leaf, evidence).unwrap()
    };
    let history = History::new(entries.iter().map(open).collect()).unwrap();
    let at = |seq| replay(&history, View::AsRecorded, Until::Seq(Seq::new(seq).unwrap()));
    assert_eq!(data(&at(0)), r#"{"city":"x","name":{"erased":50},"tax":{"withheld":true}}"#);
    let second = at(1);
    assert_eq!(data(&second), r#"{"city":"y","name":{"erased":50},"tax":{"withheld":true}}"#);
    let [(1, Oddity::Misfit(pointer, Misfit::Unknown))] = oddities(&second)[..] else { panic!("{second:?}") };
    assert_eq!(pointer.as_str(), "/name/first");
    // Neither equal nor different: the old values that are given do not differ from what is unknown.
    let last = at(2);
    assert_eq!(data(&last), r#"{"name":"Eve"}"#);
    assert_eq!(last.flags.len(), 1);

    let state = |replayed: &Replayed| replayed.states.values().next().unwrap().data.clone();
    let differences = diff(state(&at(0)).as_ref(), state(&at(1)).as_ref());
    let found: Vec<(&str, bool)> =
        differences.first.iter().map(|difference| (difference.pointer.as_str(), difference.certain)).collect();
    assert_eq!(found, [("/city", true), ("/name", false), ("/tax", false)]);
    let gone = diff(state(&at(0)).as_ref(), None).first;
    assert!(gone.len() == 1 && gone[0].certain && gone[0].pointer.is_empty() && gone[0].new.is_none());
    assert!(diff(None, None).first.is_empty());
    assert!(state(&at(1)).unwrap().has_unknowns() && !state(&at(2)).unwrap().has_unknowns());
}

#[test]
fn a_record_whose_object_is_not_shown_may_have_done_anything() {
    let entries = stream(&[whole("create", r#"{"a":1}"#), record("delete", ""), whole("create", r#"{"a":2}"#)]);
    let hidden = cairn_tree::record::leaf::Leaf::decode(&entries[1].leaf).unwrap().event().digest(Part::Object);
    let none = Redactions::new(log());
    let open = |entry: &Entry| {
        let withheld = if entry.index == entries[1].index { vec![hidden] } else { Vec::new() };
        let disclosures = entry.disclosures.filtered(|digest| !withheld.contains(digest));
        let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &none };
        Record::open(&log(), entry.index, &entry.leaf, evidence).unwrap()
    };
    let history = History::new(entries.iter().map(open).collect()).unwrap();
    let second = replay(&history, View::AsRecorded, Until::Seq(Seq::new(1).unwrap()));
    assert_eq!(data(&second), r#"{"withheld":true}"#);
    assert!(matches!(oddities(&second)[..], [(1, Oddity::ObjectUnknown(_))]));
    let end = replay(&history, View::AsRecorded, Until::End);
    assert_eq!((data(&end).as_str(), end.flags.len()), (r#"{"a":2}"#, 1));
}

#[test]
fn nothing_comes_after_the_record_that_says_that_the_stream_goes_on() {
    let mut writer = Writer::new();
    writer.append(&whole("create", "{}"));
    let stream = Leaf::decode(&writer.entries[0].leaf).unwrap().server().stream;
    let values = format!(r#""values":{{"whole":{{"new":{{"log":"log.example/other","stream":"{stream}"}}}}}}"#);
    let classes = r#""classification":{"values":{"/log":"public","/stream":"public"}}"#;
    let last = record("update", &format!("{values},{classes}"));
    let Some(NativeInput::Plain(mut input)) = parse(last.as_bytes()).unwrap().pop() else { panic!("{last}") };
    input.content.object.operation = Operation::new(CONTINUED).unwrap();
    writer.append_input(*input);
    let opened = |writer: &Writer| writer.entries.iter().map(Entry::open).collect::<Vec<_>>();
    assert!(History::new(opened(&writer)).is_ok());
    writer.append(&record("read", ""));
    let seq = Seq::new(2).unwrap();
    assert_eq!(History::new(opened(&writer)), Err(ChainError::Continued { seq }));
}

#[test]
fn a_chain_takes_its_records_in_order_and_nothing_else() {
    let entries = stream(&[whole("create", "{}"), record("read", ""), record("read", ""), record("read", "")]);
    let first = entries[0].open();
    let start = Chain::new(first.leaf().event().head().log.clone(), first.leaf().server().stream);
    let mut chain = start.clone();
    for entry in &entries {
        chain.push_entry(entry.index, &entry.leaf).unwrap();
    }
    let head = chain.head().unwrap();
    assert_eq!((head.seq.get(), chain.last().unwrap().index), (3, entries[3].index));

    // Any record left out, repeated or put elsewhere.
    for left_out in 0..3 {
        let records = entries.iter().enumerate().filter(|(number, _)| *number != left_out);
        let found = History::new(records.map(|(_, entry)| entry.open()).collect());
        assert!(matches!(found, Err(ChainError::Seq { .. })), "{left_out}: {found:?}");
    }
    let mut twice = start.clone();
    twice.push_entry(entries[0].index, &entries[0].leaf).unwrap();
    assert!(matches!(twice.push_entry(entries[0].index, &entries[0].leaf), Err(ChainError::Seq { expected: 1, .. })));
    assert!(matches!(twice.push_entry(entries[0].index, &entries[1].leaf), Err(ChainError::Index { .. })));

    // Another history with the same numbers.
    let other = stream(&[whole("create", r#"{"other":1}"#), record("read", "")]);
    let error = twice.push_entry(other[1].index, &other[1].leaf).unwrap_err();
    assert!(matches!(error, ChainError::Prev { .. }), "{error}");
    // What was refused left no trace.
    twice.push_entry(entries[1].index, &entries[1].leaf).unwrap();
    let resumed = Chain::after(head.log.clone(), head.stream, *twice.last().unwrap());
    assert!(resumed.clone().push_entry(entries[2].index, &entries[2].leaf).is_ok());

    // Every changed bit of a leaf breaks the chain at it or after it.
    let [second, third] = [&entries[1], &entries[2]];
    for bit in 0..8 * second.leaf.len() {
        let mut leaf = second.leaf.clone();
        leaf[bit / 8] ^= 1 << (bit % 8);
        let mut chain = start.clone();
        chain.push_entry(entries[0].index, &entries[0].leaf).unwrap();
        let good = chain.push_entry(second.index, &leaf).is_ok() && chain.push_entry(third.index, &third.leaf).is_ok();
        assert!(!good, "bit {bit}");
    }
}

#[test]
fn every_record_of_a_stream_belongs_in_it() {
    let other = record("update", "").replace("L-1", "L-2");
    let elsewhere = record("update", r#""context":{"stream":"doors"}"#);
    for stranger in [&other, &elsewhere] {
        let entries = stream(&[whole("create", "{}"), record("read", ""), stranger.clone()]);
        let error = History::new(entries.iter().map(Entry::open).collect()).unwrap_err();
        assert!(matches!(error, ChainError::Name { seq } if seq.get() == 2), "{error}");
    }
    // What is shown is enough: the object without the context, and the context without the object.
    for (stranger, hidden, is_good) in [
        (&other, Part::Context, false),
        (&other, Part::Object, true),
        (&elsewhere, Part::Object, false),
        (&elsewhere, Part::Context, true),
    ] {
        let entries = stream(&[whole("create", "{}"), stranger.clone()]);
        let open = |entry: &Entry| {
            let leaf = cairn_tree::record::leaf::Leaf::decode(&entry.leaf).unwrap();
            let withheld = if entry.index == entries[1].index { vec![leaf.event().digest(hidden)] } else { Vec::new() };
            let disclosures = entry.disclosures.filtered(|digest| !withheld.contains(digest));
            let none = Redactions::new(log());
            let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &none };
            Record::open(&log(), entry.index, &entry.leaf, evidence).unwrap()
        };
        let found = History::new(entries.iter().map(open).collect());
        assert_eq!(found.is_ok(), is_good, "{stranger} without its {hidden:?}: {found:?}");
    }
    // In a named stream every object of its tenant may be, and of no other.
    let meant = |tenant: &str| {
        record("update", r#""context":{"stream":"doors"}"#)
            .replace("\"pb\"", &format!("\"{tenant}\""))
            .replace("L-1", tenant)
    };
    assert!(History::new(stream(&[meant("pb"), meant("pb")]).iter().map(Entry::open).collect()).is_ok());
    let error = History::new(stream(&[meant("pb"), meant("pb2")]).iter().map(Entry::open).collect()).unwrap_err();
    assert!(matches!(error, ChainError::Name { .. }), "{error}");
}

#[test]
fn an_id_comes_once_in_a_stream() {
    let again = record("update", &format!(r#""id":"{}""#, id(0)));
    let error =
        History::new(stream(&[whole("create", "{}"), record("read", ""), again]).iter().map(Entry::open).collect());
    assert!(matches!(error, Err(ChainError::Id { seq, id: found }) if seq.get() == 2 && found == id(0)), "{error:?}");
}

/// A later version keeps what is needed to follow a stream through it; the rest may be anything.
#[test]
fn a_leaf_of_a_later_version_is_followed_by_its_place() {
    let mut writer = Writer::new();
    for _ in 0..2 {
        writer.append(&record("read", ""));
    }
    let [first, second] = writer.entries.as_slice() else { panic!("two") };
    let leaf = String::from_utf8(second.leaf.clone()).unwrap();
    let decode = |leaf: &str| Later::decode(second.index, leaf.as_bytes());
    for version in ["2", "10", "999999999"] {
        let later = leaf.replacen("cairn.record/1", &format!("cairn.record/{version}"), 1);
        let later = later.replacen("{\"event\":{", "{\"a\":[{}],\"event\":{\"a\":null,", 1);
        let mut chain = Chain::new(log(), Leaf::decode(&first.leaf).unwrap().server().stream);
        chain.push_entry(first.index, &first.leaf).unwrap();
        let Followed::Later(found) = chain.push_entry(second.index, later.as_bytes()).unwrap() else {
            panic!("{later}")
        };
        assert_eq!(found.hash(), Hash::leaf(later.as_bytes()));
        assert_eq!(chain.last().map(|last| (last.seq, last.hash)), Some((found.seq(), found.hash())));
    }
    for version in ["1", "0", "02", "", "x", "2.0", "1000000000"] {
        let other = leaf.replacen("cairn.record/1", &format!("cairn.record/{version}"), 1);
        assert!(decode(&other).is_err(), "{version}");
    }
    let later = leaf.replacen("cairn.record/1", "cairn.record/2", 1);
    assert!(
        decode(&later).is_ok() && decode(&format!("{later}\n")).is_err() && decode(&later[..later.len() - 1]).is_err()
    );
    for name in ["id", "log", "stream", "seq", "prev", "time"] {
        let without = later.replace(&format!("\"{name}\":"), &format!("\"other-{name}\":"));
        assert!(decode(&without).is_err(), "{name}");
    }
}

/// One field less than a megabyte, in which every leaf's pointer is long: as many pointers would be gigabytes.
#[test]
fn pointers_to_what_differs_are_bounded_in_number_and_bytes() {
    let long = "n".repeat(20_000);
    let members: Vec<String> = (0..20_000).map(|number| format!("\"{number}\":0")).collect();
    let document = |value: &str| format!(r#"{{"a":{{"{long}":{{{}}}}}}}"#, members.join(",").replace(":0", value));
    let both = format!(r#""values":{{"whole":{{"old":{},"new":{{}}}}}}"#, document(":2"));
    let replayed = recorded(&[whole("create", &document(":1")), record("update", &both)]);
    let [Flag { oddity: Oddity::OldDiffers(pointers), .. }] = replayed.flags.as_slice() else { panic!("one flag") };
    assert_eq!((pointers.first.len(), pointers.more), (3, true));
    let [one, other] = [":1", ":2"].map(|value| Node::from(Json::parse(document(value).as_bytes()).unwrap().value()));
    let found = diff(Some(&one), Some(&other));
    assert_eq!((found.first.len(), found.more), (3, true));
}
