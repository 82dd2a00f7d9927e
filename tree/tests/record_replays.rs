//! Replay against the published cases, which another implementation made, and against a small model that knows neither
//! arrays of tokens nor trees of changes: it moves one value at a time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod model;
mod written;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::draft::Content;
use cairn_tree::record::event::{EventHead, Part};
use cairn_tree::record::history::History;
use cairn_tree::record::kind::{Concerned, Redactions, redaction};
use cairn_tree::record::later::Later;
use cairn_tree::record::leaf::{Leaf, assemble};
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::replay::{
    Acting, Correcting, Corrections, Flag, Life, Misfit, Node, Oddity, Ongoing, Passing, Replayed, Unknown, Until,
    View, replay, replay_over,
};
use cairn_tree::record::server_part::{Seq, ServerPart};
use cairn_tree::record::stream::{Opening, StreamName};
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use proptest::prelude::*;
use serde_json::{Value, json};
use written::{Entry, Writer, id, log, name, server_time, text_of};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// The digest of what a case calls `object`, `values` or `values POINTER`.
fn digest_of(entry: &Entry, place: &str) -> Digest {
    let event = Leaf::decode(&entry.leaf).unwrap();
    let part = |part| event.event().digest(part);
    match place.split_once(' ') {
        None => part(*Part::ALL.iter().find(|part| part.name() == place).unwrap()),
        Some((_, pointer)) => {
            let list = text_of(&entry.disclosures, part(Part::Values));
            let list: Value = serde_json::from_str(&list).unwrap();
            let groups = list[1].get("fields").or_else(|| list[1].get("whole")).unwrap().as_object().unwrap();
            let place = groups.values().find_map(|group| group.get(pointer)).unwrap();
            text(&place[0]["..."]).parse().unwrap()
        }
    }
}

/// Takes up a redaction record, at this index, for some digests of a record.
fn redact(redactions: &mut Redactions, index: u64, concerned: Concerned, digests: &[Digest]) {
    let (object, values) = redaction(name("pb"), concerned, digests).unwrap();
    let stream = StreamName::of(&object);
    let content =
        Content { object, actor: None, subjects: None, context: None, values: Some(values), attributes: None };
    let head = EventHead { log: log(), id: id(index), replaces: None, time: server_time(99), key: None, after: None };
    let sealed = content.seal(head, written::salts(1_000 + index)).unwrap();
    let opening = Opening::new(&stream, None, None, written::salts(5_000 + index)).unwrap();
    let by = cairn_tree::record::id::Pseudonym::new([1; 16]);
    let server = ServerPart { stream: opening.id(), place: opening.place(), time: server_time(99), by };
    let leaf = assemble(sealed.text(), &server, None).unwrap();
    let disclosures = [sealed.disclosures().as_str(), opening.disclosures().as_str()].concat();
    let disclosures = Disclosures::parse(&disclosures).unwrap();
    let entry = Entry { index: LeafIndex::new(index).unwrap(), leaf, disclosures };
    redactions.take_up(&entry.open()).unwrap();
}

/// What is not shown of a record: where, whether it is erased, and by which record.
struct Hidden<'h> {
    place: &'h str,
    is_erased: bool,
    by: u64,
}

/// Opens records of which something is not shown.
fn opened(entries: &[Entry], hidden: &[Vec<Hidden<'_>>]) -> History {
    let open = |(entry, hidden): (&Entry, &Vec<Hidden<'_>>)| {
        let mut redactions = Redactions::new(log());
        let mut withheld = Vec::new();
        let all: Vec<Digest> = entry.disclosures.iter().map(|(digest, _)| digest).collect();
        let mut gone = Vec::new();
        for Hidden { place, is_erased, by } in hidden {
            let digest = digest_of(entry, place);
            // With the list of the fields, they are gone as well.
            let inner: Vec<Digest> = if *place == "values" {
                let list = text_of(&entry.disclosures, digest);
                all.iter().copied().filter(|other| list.contains(&other.to_string())).collect()
            } else {
                Vec::new()
            };
            gone.extend([vec![digest], inner].concat());
            if *is_erased {
                let concerned = Concerned { id: entry.open().leaf().event().head().id, index: entry.index };
                redact(&mut redactions, *by, concerned, &[digest]);
            } else {
                withheld.push(digest);
            }
        }
        let disclosures = entry.disclosures.filtered(|digest| !gone.contains(digest));
        let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &redactions };
        Record::open(&log(), entry.index, &entry.leaf, evidence).unwrap()
    };
    let is_later = |entry: &Entry| entry.leaf.starts_with(b"cairn.record/2\n");
    let later = entries.iter().filter(|entry| is_later(entry));
    let later = later.map(|entry| Later::decode(entry.index, &entry.leaf).unwrap()).collect();
    let records = entries.iter().zip(hidden).filter(|(entry, _)| !is_later(entry)).map(open).collect();
    History::with_later(records, later).unwrap()
}

fn until(value: &Value) -> Until {
    let Some(bounds) = value.as_object() else { return Until::End };
    let (kind, bound) = bounds.iter().next().unwrap();
    match kind.as_str() {
        "seq" => Until::Seq(Seq::new(bound.as_u64().unwrap()).unwrap()),
        "server_time" => Until::ServerTime(Time::parse_canonical(text(bound)).unwrap()),
        "producer_time" => Until::ProducerTime(Time::parse_canonical(text(bound)).unwrap()),
        other => panic!("{other}"),
    }
}

fn flag(flag: &Flag) -> Value {
    let mut words = vec![json!(flag.seq.get()), json!(flag.index.get())];
    words.extend(match &flag.oddity {
        Oddity::CreateOnLive => vec![json!("create on live")],
        Oddity::UpdateOnAbsent => vec![json!("update on absent")],
        Oddity::DeleteOnAbsent => vec![json!("delete on absent")],
        Oddity::OldDiffers(pointers) => {
            let more = pointers.more.then(|| json!("and more"));
            [json!("old differs")].into_iter().chain(pointers.first.iter().map(|p| json!(p))).chain(more).collect()
        }
        Oddity::Misfit(pointer, Misfit::Unknown) => vec![json!("misfit"), json!(pointer.as_str()), json!("unknown")],
        Oddity::Misfit(pointer, Misfit::NoPlace) => vec![json!("misfit"), json!(pointer.as_str()), json!("no place")],
        Oddity::ReplacesUnknown(id) => vec![json!("replaces unknown"), json!(id.to_string())],
        Oddity::ReplacesOther(id) => vec![json!("replaces other"), json!(id.to_string())],
        Oddity::LaterVersion => vec![json!("later version")],
        Oddity::ObjectUnknown(_) => vec![json!("object unknown")],
    });
    words.into()
}

/// What was replayed, in the words of the cases.
fn outcome(replayed: &Replayed) -> Value {
    let states = replayed.states.iter().map(|(key, state)| {
        let life = match state.life {
            Life::Live => "live",
            Life::Ended => "ended",
            Life::Unknown(_) => "unknown",
        };
        json!({
            "object": [key.tenant.as_str(), key.module.as_str(), key.entity.as_str(), key.id.as_str()],
            "row": key.row.as_ref().map(|row| row.as_str()),
            "life": life,
            "data": state.data.as_ref().map(Node::to_json),
            "lives": state.lives,
            "last": state.last.get(),
        })
    });
    let others = replayed.others.map(|unknown| Node::Unknown(unknown).to_json());
    json!({"states": states.collect::<Value>(), "others": others, "flags": replayed.flags.iter().map(flag).collect::<Value>()})
}

#[test]
fn states_come_to_what_is_published() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/record/replays.json");
    let cases: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        let (records, mut writer) = (case["records"].as_array().unwrap(), Writer::new());
        let mut hidden = Vec::new();
        for (number, given) in records.iter().enumerate() {
            let entry = writer.append(text(&given["record"])).clone();
            assert_eq!(
                (entry.index.get(), number as u64),
                (given["index"].as_u64().unwrap(), given["seq"].as_u64().unwrap())
            );
            let time = entry.open().leaf().server().time;
            assert_eq!(time, Time::parse_canonical(text(&given["server_time"])).unwrap());
            if given["is_later"] == true {
                // The records after it go on from what it is then.
                let leaf = &mut writer.entries.last_mut().unwrap().leaf;
                *leaf = String::from_utf8(leaf.clone()).unwrap().replacen("record/1", "record/2", 1).into_bytes();
            }
            let by = given["erased_by"].as_u64().unwrap();
            let places = given["hidden"].as_object().unwrap().iter();
            hidden.push(places.map(|(place, how)| Hidden { place, is_erased: how == "erased", by }).collect());
        }
        let view = if case["view"] == "corrected" { View::Corrected } else { View::AsRecorded };
        let history = opened(&writer.entries, &hidden);
        let replayed = replay(&history, view, until(&case["until"]));
        assert_passing(&history, until(&case["until"]));
        assert_eq!(outcome(&replayed), case["outcome"], "{}", case["name"]);
    }
}

/// A replay that records pass through comes to the same, also one that takes two passes; and so do those that go on from
/// states.
fn assert_passing(history: &History, until: Until) {
    let base = Arc::new(replay_over(None, history, View::AsRecorded, Until::End).0);
    for base in [None, Some(base)] {
        let Some(mut passing) = Passing::over(base.clone(), until) else { return };
        let held = |view| {
            let (ongoing, flags) = replay_over(base.clone(), history, view, until);
            ongoing.replayed(flags)
        };
        history.entered().for_each(|entered| passing.enter(entered).unwrap());
        assert_eq!(passing.stream().is_some(), history.entered().next().is_some());
        assert_eq!(passing.into_course().finish(), held(View::AsRecorded));
        assert_eq!(corrected(base.clone(), history, until), held(View::Corrected));
    }
}

/// The corrected view, in two passes.
fn corrected(base: Option<Arc<Ongoing>>, history: &History, until: Until) -> Replayed {
    let mut corrections = Corrections::default();
    history.entered().for_each(|entered| corrections.enter(entered).unwrap());
    let corrections = Arc::new(corrections);
    let mut correcting = Correcting::over(base, Arc::clone(&corrections), until).unwrap();
    for at in history.entered() {
        let correction = match corrections.acting(at.seq()) {
            Acting::Correction { seq, .. } => history.entered().find(|entered| entered.seq() == seq),
            Acting::Itself | Acting::Nothing => None,
        };
        if correction.is_some() && until == Until::End {
            assert!(correcting.clone().enter(at, None).is_err(), "what acts is told, and not passed over");
        }
        correcting.enter(at, correction).unwrap();
    }
    correcting.into_course().finish()
}

/// A document with small arrays and objects.
fn document() -> impl Strategy<Value = Value> {
    let leaf = (0..4_u8).prop_map(Value::from);
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab-]|0|1", inner, 0..3).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Fields that are mostly places in such a document, with a new value, none, or one that is not shown.
fn changes() -> impl Strategy<Value = Vec<(String, Option<Value>, bool)>> {
    let token = prop_oneof![8 => "[0-3ab]", 1 => Just("-".to_owned()), 1 => "[4-6]|01|x"];
    let pointer = proptest::collection::vec(token, 0..4)
        .prop_map(|tokens| tokens.into_iter().map(|token| format!("/{token}")).collect::<String>());
    proptest::collection::vec((pointer, proptest::option::weighted(0.7, document()), prop::bool::weighted(0.15)), 1..7)
}

/// Only those of which none is within another.
fn apart(changes: Vec<(String, Option<Value>, bool)>) -> Vec<(String, Option<Value>, bool)> {
    let within = |one: &str, other: &str| one == other || one.starts_with(&format!("{other}/"));
    let mut kept: Vec<(String, Option<Value>, bool)> = Vec::new();
    for change in changes {
        if !kept.iter().any(|other| within(&change.0, &other.0) || within(&other.0, &change.0)) {
            kept.push(change);
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn fields_act_as_in_the_model(first in document(), steps in proptest::collection::vec(changes(), 1..4)) {
        let object = r#""object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"#;
        let mut writer = Writer::new();
        writer.append(&format!(r#"{{{object}"create"}},"values":{{"whole":{{"new":{first}}}}}}}"#));
        let (mut expected, mut hidden) = (Some(model::Place::from(&first)), vec![Vec::new()]);
        let steps: Vec<_> = steps.into_iter().map(apart).collect();
        let mut misfits = Vec::new();
        let names: Vec<Vec<String>> =
            steps.iter().map(|step| step.iter().map(|(pointer, ..)| format!("values {pointer}")).collect()).collect();
        for (step, names) in steps.iter().zip(&names) {
            let field = |(pointer, new, _): &(String, Option<Value>, bool)| match new {
                Some(new) => format!(r#""{pointer}":{{"new":{new}}}"#),
                None => format!(r#""{pointer}":{{"old":"x"}}"#),
            };
            let fields: Vec<String> = step.iter().map(field).collect();
            writer.append(&format!(r#"{{{object}"update"}},"values":{{"fields":{{{}}}}}}}"#, fields.join(",")));
            let gone = step.iter().zip(names).filter(|((.., unseen), _)| *unseen);
            hidden.push(gone.map(|(_, place)| Hidden { place, is_erased: false, by: 0 }).collect());
            let number = writer.entries.len() as u64 - 1;
            let (after, odd) = model::patched(expected, step);
            expected = after;
            misfits.extend(odd.into_iter().map(|(pointer, is_unknown)| (number, pointer, is_unknown)));
        }
        let history = opened(&writer.entries, &hidden);
        let replayed = replay(&history, View::AsRecorded, Until::End);
        assert_passing(&history, Until::End);
        let state = replayed.states.values().next().unwrap();
        prop_assert_eq!(state.data.as_ref().map(Node::to_json), expected.map(|place| place.to_json()));
        let found: Vec<(u64, String, bool)> = replayed.flags.iter().filter_map(|flag| match &flag.oddity {
            Oddity::Misfit(pointer, misfit) => {
                Some((flag.seq.get(), pointer.as_str().to_owned(), *misfit == Misfit::Unknown))
            }
            _ => None,
        }).collect();
        prop_assert_eq!(found, misfits);
        prop_assert!(Unknown::Erased(LeafIndex::ZERO) < Unknown::Withheld);
    }
}
