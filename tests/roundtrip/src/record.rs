//! Records: their leaves, their disclosures, JSON as they keep it, the forms that they come in, and the names of streams.

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::{Disclosures, Salt};
use cairn_tree::record::draft::{Content, SealError};
use cairn_tree::record::event::{Event, EventHead, Part};
use cairn_tree::record::header::Header;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::json::canonical::{canonical, push_string};
use cairn_tree::record::json::{Fault, Json, Pointer};
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::later::Later;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::open::{Evidence, Opened, Record};
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::{Opening, StreamName};
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::native::{NativeInput, parse, parse_lines};
use cairn_tree::wire::record::{cloudevents, digit};

use crate::text;

pub(crate) fn leaf(bytes: &[u8]) -> bool {
    if let Ok(event) = Event::parse(bytes) {
        assert_eq!(event.to_text().as_bytes(), bytes);
        return true;
    }
    match Leaf::classify(bytes) {
        Ok(Entry::Record(leaf)) => {
            assert_eq!(leaf.encode(), bytes);
            assert_eq!(Event::parse(leaf.event().to_text().as_bytes()).as_ref(), Ok(leaf.event()));
            true
        }
        Ok(Entry::Opaque) => {
            assert!(bytes.starts_with(b"cairn.record/") && !bytes.starts_with(b"cairn.record/1\n"));
            later(bytes)
        }
        Ok(Entry::Raw) => {
            assert!(!bytes.starts_with(b"cairn.record/"));
            false
        }
        Err(_) => false,
    }
}

/// A leaf of a later version: what is read of it stands in it, and is all that a chain goes by.
fn later(bytes: &[u8]) -> bool {
    let Ok(later) = Later::decode(LeafIndex::ZERO, bytes) else {
        assert!(Header::decode(LeafIndex::ZERO, bytes).is_err());
        return false;
    };
    let header = Header::decode(LeafIndex::ZERO, bytes);
    assert_eq!(header.as_ref(), Ok(&Header::of_later(&later)));
    assert_eq!(later.hash(), Hash::leaf(bytes));
    assert_eq!(later.prev().is_none(), later.seq() == Seq::FIRST);
    // The same members alone are the same place.
    let mut again = b"cairn.record/2\n{\"event\":{\"id\":\"".to_vec();
    again.extend_from_slice(later.id().to_string().as_bytes());
    again.extend_from_slice(b"\",\"log\":");
    push_string(&mut again, later.log().as_str());
    let prev = later.prev().map_or("null".to_owned(), |prev| format!("\"{}\"", prev.to_base64()));
    let (seq, stream, time) = (later.seq(), later.stream(), later.time());
    let server =
        format!("}},\"server\":{{\"prev\":{prev},\"seq\":{seq},\"stream\":\"{stream}\",\"time\":\"{time}\"}}}}\n");
    again.extend_from_slice(server.as_bytes());
    let alone = Later::decode(LeafIndex::ZERO, &again).map(|later| Header::of_later(&later));
    assert_eq!(alone, Ok(Header { hash: Hash::leaf(&again), ..Header::of_later(&later) }));
    true
}

/// The event whose parts are the first six of these disclosures.
fn event_of(disclosures: &Disclosures) -> Option<Event> {
    let digests: Vec<String> = disclosures.iter().take(6).map(|(digest, _)| digest.to_string()).collect();
    let [actor, attributes, context, object, subjects, values] = digests.as_slice() else { return None };
    let place = |digest: &str| format!("[{{\"...\":\"{digest}\"}}]");
    let json = format!(
        "{{\"actor\":{},\"attributes\":{},\"context\":{},\"id\":\"01939f5a-7c00-7a3b-8c4d-5e6f708192a3\",\"log\":\"l\",\
         \"object\":{},\"subjects\":{},\"time\":\"2026-11-22T06:50:29.123456Z\",\"values\":{}}}",
        place(actor),
        place(attributes),
        place(context),
        place(object),
        place(subjects),
        place(values)
    );
    Event::parse(json.as_bytes()).ok()
}

pub(crate) fn disclosures(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let Ok(disclosures) = Disclosures::parse(text) else { return false };
    assert_eq!(disclosures.as_str(), text);
    assert_eq!(disclosures.filtered(|_| true), disclosures);
    assert_eq!(disclosures.iter().count(), disclosures.len());
    if let Some(event) = event_of(&disclosures)
        && let Ok(opened) = Opened::of_event(&event, &disclosures)
    {
        assert!(matches!(opened.object, Shown::Disclosed(_)), "nothing was withheld or erased");
        // Each disclosure was needed.
        for (digest, _) in disclosures.iter() {
            let others = disclosures.filtered(|other| *other != digest);
            assert!(Opened::of_event(&event, &others).is_err());
        }
    }
    // Only a record's own disclosures open it.
    let leaf = include_bytes!("../../vectors/record/doors.leaf");
    let own = include_str!("../../vectors/record/doors.disclosures");
    let Ok(log) = Origin::new("log.example/logs/zölle") else { return true };
    let redactions = Redactions::new(log.clone());
    let evidence = Evidence { disclosures: &disclosures, withheld: &[], redactions: &redactions };
    if Record::open(&log, LeafIndex::ZERO, leaf, evidence).is_ok() {
        let sorted = |text: &str| {
            let mut texts: Vec<String> = text.split('~').map(str::to_owned).collect();
            texts.sort_unstable();
            texts
        };
        assert_eq!(sorted(text), sorted(own));
    }
    true
}

pub(crate) fn json(bytes: &[u8]) -> bool {
    let Ok(json) = Json::parse(bytes) else { return false };
    let again = Json::parse(json.as_str().as_bytes());
    assert_eq!(again.as_ref(), Ok(&json));
    assert!(json.means(&json));
    if let Ok(text) = canonical(&json.value()) {
        let reread = Json::parse(text.as_bytes());
        assert!(reread.as_ref().is_ok_and(|reread| reread.means(&json)));
        assert_eq!(reread.map(|reread| canonical(&reread.value())), Ok(Ok(text)));
    }
    true
}

/// Seals what a record says, and opens it again.
fn sealed(content: &Content<'_>) {
    let (Ok(log), Ok(time)) = (Origin::new("log.example"), Time::from_millis(0)) else { return };
    let head = EventHead { log, id: RecordId::v7(time, [0; 10]), replaces: None, time, key: None, after: None };
    let mut number = 0_u128;
    let salt = || {
        number += 1;
        Salt::new(number.to_be_bytes())
    };
    let sealed = match content.seal(head, salt) {
        Ok(sealed) => sealed,
        // Only what is too much for one record can't be sealed, and it is said where.
        Err(error) => {
            assert!(matches!(error, SealError::Part { .. } | SealError::All), "{error}");
            assert!(Pointer::new(error.pointer()).is_ok());
            return;
        }
    };
    assert_eq!(sealed.disclosures().len(), content.salts());
    assert_eq!(Event::parse(sealed.text().as_bytes()).as_ref(), Ok(sealed.event()));
    let opened = Opened::of_event(sealed.event(), sealed.disclosures());
    assert!(opened.is_ok(), "{opened:?}");
    if let Ok(opened) = opened {
        assert_eq!(opened.object.disclosed(), Some(&content.object));
        assert_eq!(opened.actor.disclosed(), Some(&content.actor));
        assert_eq!(opened.subjects.disclosed(), Some(&content.subjects));
        assert_eq!(opened.context.disclosed(), Some(&content.context));
        assert_eq!(opened.values.disclosed().map(Option::is_some), Some(content.values.is_some()));
        assert_eq!(opened.attributes.disclosed().map(Option::is_some), Some(content.attributes.is_some()));
    }
}

fn native(inputs: Result<Vec<NativeInput<'_>>, Fault>) -> bool {
    let Ok(inputs) = inputs else { return false };
    for input in &inputs {
        match input {
            NativeInput::Plain(input) => sealed(&input.content),
            NativeInput::Signed(input) => {
                let _opened = Opened::of_event(&input.event, &input.disclosures);
                assert!(Part::ALL.iter().all(|part| input.event.digest(*part).to_string().len() == 43));
            }
        }
    }
    true
}

pub(crate) fn input(bytes: &[u8]) -> bool {
    let mut accepted = native(parse(bytes));
    accepted |= native(parse_lines(bytes));
    if let Ok(tenant) = Name::new("t")
        && let Ok(events) = cloudevents::parse(bytes, Some(&tenant))
    {
        events.iter().for_each(|event| sealed(&event.record.content));
        accepted = true;
    }
    if let Ok(create) = digit::parse_create(bytes) {
        create.records.iter().for_each(|record| sealed(&record.content));
        accepted = true;
    }
    accepted | digit::parse_verify(bytes).is_ok()
}

pub(crate) fn stream_name(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let Ok(name) = StreamName::parse(text) else { return false };
    assert_eq!(name.to_string(), text);
    let mut number = 0;
    let opening = Opening::new(&name, None, None, || {
        number += 1;
        Salt::new([number; Salt::LEN])
    });
    assert!(opening.is_ok_and(|opening| opening.disclosures().len() == 3), "a name that no stream can have");
    true
}
