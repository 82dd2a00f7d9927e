//! What makes an absence good: a redaction record of the log's own, of this record and no other; and what a producer can
//! not write.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod written;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::chain::History;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::draft::Content;
use cairn_tree::record::event::{Event, EventHead, EventText, Part};
use cairn_tree::record::id::Pseudonym;
use cairn_tree::record::json::Json;
use cairn_tree::record::kind::{Concerned, IncidentFault, KindError, RecordKind, Redactions, incident, redaction};
use cairn_tree::record::leaf::{Leaf, assemble};
use cairn_tree::record::open::{Evidence, IntegrityError, Opened, Record};
use cairn_tree::record::replay::{Until, View, replay};
use cairn_tree::record::reserved::Reserved;
use cairn_tree::record::server_part::ServerPart;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::ProducerSigner;
use cairn_tree::record::stream::{Opening, StreamHead, StreamName};
use cairn_tree::record::text::Operation;
use cairn_tree::record::values::Document;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::{digit, native};
use written::{Entry, Writer, id, log, name, server_time};

fn at(index: u64) -> LeafIndex {
    LeafIndex::new(index).unwrap()
}

fn content(object: cairn_tree::record::parts::Object<'static>) -> Content<'static> {
    Content { object, actor: None, subjects: None, context: None, values: None, attributes: None }
}

fn redacting(concerned: Concerned, digests: &[Digest]) -> Content<'static> {
    let (object, values) = redaction(name("pb"), concerned, digests).unwrap();
    Content { values: Some(values), ..content(object) }
}

/// An event that names a producer's key, though no program of ours would seal it for one.
fn sealed(content: &Content<'_>, signer: Option<&ProducerSigner>) -> (Event, EventText, Disclosures) {
    let head = EventHead { log: log(), id: id(99), replaces: None, time: server_time(9), key: None, after: None };
    let (event, text, disclosures) = content.seal(head, written::salts(77)).unwrap().into_parts();
    let Some(signer) = signer else { return (event, text, disclosures) };
    let text = String::from_utf8(text.as_bytes().to_vec()).unwrap();
    let named = text.replace("\",\"log\":", &format!("\",\"key\":\"{}\",\"log\":", signer.key().id()));
    let event = Event::parse(named.as_bytes()).unwrap();
    let text = event.to_text();
    (event, text, disclosures)
}

/// The record as the first of its stream, at this index.
fn entry(index: u64, content: &Content<'_>, signer: Option<&ProducerSigner>, before: Option<&StreamHead>) -> Entry {
    let (_, text, disclosures) = sealed(content, signer);
    let opening = Opening::new(&StreamName::of(&content.object), None, before, written::salts(78)).unwrap();
    let (stream, place) = (opening.id(), opening.place());
    let server = ServerPart { stream, place, time: server_time(9), by: Pseudonym::new([1; 16]) };
    let signature = signer.map(|signer| signer.sign(&text).unwrap());
    let leaf = assemble(&text, &server, signature.as_ref()).unwrap();
    let texts = [disclosures.as_str(), opening.disclosures().as_str()].concat();
    Entry { index: at(index), leaf, disclosures: Disclosures::parse(&texts).unwrap() }
}

fn open(entry: &Entry, disclosures: &Disclosures, redactions: &Redactions) -> Result<Record, IntegrityError> {
    Record::open(redactions.log(), entry.index, &entry.leaf, Evidence { disclosures, withheld: &[], redactions })
}

fn taken(content: &Content<'_>) -> Result<Redactions, KindError> {
    let mut redactions = Redactions::new(log());
    redactions.take_up(&entry(50, content, None, None).open()).map(|()| redactions)
}

/// A record with its id, and the digest of its actor, which is to be erased.
fn victim() -> (Entry, Digest) {
    let mut writer = Writer::new();
    let object = r#""object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"create"}"#;
    let entry = writer.append(&format!(r#"{{{object},"actor":{{"id":"ann"}}}}"#)).clone();
    let digest = Leaf::decode(&entry.leaf).unwrap().event().digest(Part::Actor);
    (entry, digest)
}

#[test]
fn a_redaction_counts_for_its_record_alone() {
    let (victim, digest) = victim();
    let left = victim.disclosures.filtered(|other| *other != digest);
    let good = taken(&redacting(Concerned { id: id(0), index: at(0) }, &[digest])).unwrap();
    assert_eq!(open(&victim, &left, &good).unwrap().content().actor, Shown::Erased(at(50)));
    for concerned in [Concerned { id: id(1), index: at(0) }, Concerned { id: id(0), index: at(1) }] {
        let other = taken(&redacting(concerned, &[digest])).unwrap();
        let error = open(&victim, &left, &other).unwrap_err();
        assert!(matches!(error, IntegrityError::Missing { .. }), "{concerned:?}: {error}");
    }
    // Somebody kept what should be gone, and says so by showing it.
    let kept = open(&victim, &victim.disclosures, &good).unwrap();
    assert_eq!(kept.still_disclosed(), [digest]);
    assert!(open(&victim, &victim.disclosures, &Redactions::new(log())).unwrap().still_disclosed().is_empty());
}

#[test]
fn nothing_is_erased_of_a_redaction_record() {
    let (victim, digest) = victim();
    let first = entry(50, &redacting(Concerned { id: id(0), index: at(0) }, &[digest]), None, None);
    let all: Vec<Digest> = first.disclosures.iter().map(|(digest, _)| digest).collect();
    let about_first = redacting(Concerned { id: id(99), index: at(50) }, &all);
    // Whoever knows the first one refuses the second.
    let mut redactions = Redactions::new(log());
    redactions.take_up(&first.open()).unwrap();
    assert_eq!(redactions.take_up(&entry(60, &about_first, None, None).open()), Err(KindError::OfRedaction));
    assert!(open(&victim, &victim.disclosures.filtered(|other| *other != digest), &redactions).is_ok());
    // Whoever does not, counts it for nothing.
    let mut alone = Redactions::new(log());
    alone.take_up(&entry(60, &about_first, None, None).open()).unwrap();
    let whole = open(&first, &first.disclosures, &alone).unwrap();
    assert!(whole.is_redaction() && whole.still_disclosed().is_empty());
    for gone in &all {
        let left = first.disclosures.filtered(|other| other != gone);
        let opened = open(&first, &left, &alone);
        // Without its list a field has no place.
        let is_refused = matches!(opened, Err(IntegrityError::Missing { .. } | IntegrityError::Unreferenced(_)));
        assert!(is_refused, "{opened:?}");
    }
}

#[test]
fn what_looks_like_a_redaction_is_none() {
    let (_, digest) = victim();
    let concerned = |index| Concerned { id: id(0), index: at(index) };
    let good = redacting(concerned(0), &[digest]);
    assert!(taken(&good).is_ok());
    let refused = |change: &dyn Fn(&mut Content<'static>)| {
        let mut content = good.clone();
        change(&mut content);
        taken(&content).unwrap_err()
    };
    assert_eq!(refused(&|content| content.object.module = name("tl")), KindError::NotARedaction);
    assert_eq!(refused(&|content| content.object.entity = name("incident")), KindError::NotARedaction);
    assert_eq!(
        refused(&|content| content.object.operation = Operation::new("update").unwrap()),
        KindError::NotARedaction
    );
    assert_eq!(refused(&|content| content.object.id = name("L-1")), KindError::NoRecord);
    assert_eq!(refused(&|content| content.values = None), KindError::NoDigests);
    // It can't speak of what comes after it, nor of itself.
    for index in [50, 51] {
        assert_eq!(taken(&redacting(concerned(index), &[digest])).unwrap_err(), KindError::NoRecord);
    }
    // Another log's.
    let mut elsewhere = Redactions::new(Origin::new("log.example/logs/other").unwrap());
    assert_eq!(elsewhere.take_up(&entry(50, &good, None, None).open()), Err(KindError::OtherLog));
    let (victim, _) = self::victim();
    let evidence = Evidence { disclosures: &victim.disclosures, withheld: &[], redactions: &elsewhere };
    let error = Record::open(&log(), victim.index, &victim.leaf, evidence).unwrap_err();
    assert_eq!(error, IntegrityError::Redactions(elsewhere.log().clone()));
}

#[test]
fn no_producer_writes_in_the_name_of_the_log() {
    let (_, digest) = victim();
    let content = redacting(Concerned { id: id(0), index: at(0) }, &[digest]);
    let signer = ProducerSigner::from_seed(&[7; 32]);
    for signer in [None, Some(&signer)] {
        let (event, _, disclosures) = sealed(&content, signer);
        let opened = Opened::of_event(&event, &disclosures);
        assert_eq!(opened, Err(IntegrityError::Reserved(Reserved::Module)));
    }
    let signed = entry(50, &content, Some(&signer), None);
    assert_eq!(
        open(&signed, &signed.disclosures, &Redactions::new(log())),
        Err(IntegrityError::Reserved(Reserved::Module))
    );
}

#[test]
fn a_stream_continues_no_stream_of_its_own_log() {
    let (victim, _) = victim();
    let leaf = Leaf::decode(&victim.leaf).unwrap();
    let mut object = redacting(Concerned { id: id(0), index: at(0) }, &[leaf.event().digest(Part::Actor)]).object;
    object.module = name("tl");
    let head = |log: Origin| StreamHead {
        log,
        stream: leaf.server().stream,
        seq: leaf.server().place.seq(),
        leaf: leaf.hash(),
    };
    let own = entry(50, &content(object.clone()), None, Some(&head(log())));
    assert_eq!(open(&own, &own.disclosures, &Redactions::new(log())), Err(IntegrityError::Continues));
    let other = head(Origin::new("log.example/logs/other").unwrap());
    let continued = entry(50, &content(object), None, Some(&other)).open();
    assert_eq!(continued.opening().unwrap().continues, Shown::Disclosed(Some(other)));
}

#[test]
fn what_is_said_to_be_withheld_is_bounded() {
    let (victim, digest) = victim();
    let withheld = vec![digest; 4_097];
    let none = Redactions::new(log());
    let evidence = Evidence { disclosures: &victim.disclosures, withheld: &withheld, redactions: &none };
    let error = Record::open(&log(), victim.index, &victim.leaf, evidence);
    assert_eq!(error, Err(IntegrityError::TooManyWithheld));
}

#[test]
fn an_incident_names_its_fault_in_a_word_of_a_closed_list() {
    let (_, digest) = victim();
    for fault in IncidentFault::ALL {
        let (object, values) = incident(name("pb"), Concerned { id: id(0), index: at(0) }, digest, fault).unwrap();
        assert_eq!(RecordKind::of(&object), RecordKind::Incident);
        let (_, field) = values.fields().iter().find(|(pointer, _)| pointer.as_str() == "/fault").unwrap();
        assert_eq!(field.content.new.as_ref().unwrap().as_str(), format!("\"{}\"", fault.name()));
    }
}

/// What programs print of a record when something goes wrong tells nobody what it says.
#[test]
fn what_is_printed_for_debugging_has_no_content() {
    let object =
        r#""object":{"tenant":"s3cret","module":"s3cret","entity":"s3cret","id":"s3cret","operation":"create"}"#;
    let more = r#""actor":{"id":"s3cret","roles":["s3cret"]},"subjects":["s3cret"],"context":{"reason":"s3cret"},
        "values":{"whole":{"new":{"a":"s3cret","b":{"s3cret":1}}}},"attributes":{"s3cret":"s3cret"}"#;
    let body = format!("{{{object},{more}}}");
    let mut writer = Writer::new();
    let entry = writer.append(&body).clone();
    let record = entry.open();
    let history = History::new(vec![record.clone()]).unwrap();
    let replayed = replay(&history, View::AsRecorded, Until::End);
    let row = r#"{"RequestInfo":{"authToken":"s3cret"},"AuditLogs":[{"userUUID":"s3cret","module":"s3cret","tenantId":"s3cret",
        "changeDate":1,"entityName":"s3cret","objectId":"s3cret","operationType":"CREATE","keyValueMap":{"id":"s3cret"}}]}"#;
    let printed = [
        format!("{:?}", native::parse(body.as_bytes()).unwrap()),
        format!("{:?}", digit::parse_create(row.as_bytes()).unwrap()),
        format!("{record:?} {history:?} {replayed:?} {entry:?}"),
        format!("{:?}", Document::of(&Json::parse(br#"{"s3cret":"s3cret"}"#).unwrap())),
        format!("{:?}", Json::parse(br#""s3cret""#).unwrap().value()),
    ];
    for text in printed {
        assert!(!text.contains("s3cret") && text.len() > 5, "{text}");
        assert!(!text.contains("s3cret".as_bytes().iter().map(u8::to_string).collect::<Vec<_>>().join(", ").as_str()));
    }
}
