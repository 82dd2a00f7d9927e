//! The published vectors of records, which another implementation made (`tests/vectors/record/record.py`): built here, they
//! come out the same byte for byte; opened, each digest comes to the same; and that implementation still holds them good.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::chain::{ChainError, History};
use cairn_tree::record::class::Class;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::{Disclosures, Salt};
use cairn_tree::record::draft::{Content, Sealed};
use cairn_tree::record::event::{After, Event, EventHead, Part};
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::{Concerned, RecordKind, Redactions, redaction};
use cairn_tree::record::later::Later;
use cairn_tree::record::leaf::{Leaf, LeafError, assemble};
use cairn_tree::record::open::{Evidence, IntegrityError, Record};
use cairn_tree::record::server_part::{LaterSeq, Place, Seq, ServerPart};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::{OtherKey, Producer, ProducerKey, ProducerKeys, ProducerSignature, ProducerSigner};
use cairn_tree::record::stream::{Opening, StreamHead, StreamName, Topics};
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::native::{NativeInput, parse};
use serde_json::Value;

const RECORDS: [&str; 5] = ["licence-created", "licence-changed", "licence-corrected", "doors", "owner-redacted"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/record")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

fn salts(list: &Value) -> impl FnMut() -> Salt + use<> {
    use base64::Engine as _;
    let list: Vec<Salt> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|salt| {
            Salt::new(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text(salt)).unwrap().try_into().unwrap())
        })
        .collect();
    let mut list = list.into_iter();
    move || list.next().unwrap()
}

fn digests(list: &Value) -> Vec<Digest> {
    list.as_array().unwrap().iter().map(|digest| text(digest).parse().unwrap()).collect()
}

/// A record of the folder with everything that is published about it.
struct Case {
    case: Value,
    leaf: Vec<u8>,
    disclosures: Disclosures,
}

impl Case {
    fn load(name: &str) -> Self {
        let case = serde_json::from_slice(&file(&format!("{name}.case.json"))).unwrap();
        let leaf = file(&format!("{name}.leaf"));
        let disclosures = String::from_utf8(file(&format!("{name}.disclosures"))).unwrap();
        Self { case, leaf, disclosures: Disclosures::parse(&disclosures).unwrap() }
    }

    fn head(&self, id: Option<RecordId>, replaces: Option<RecordId>, time: Option<Time>) -> EventHead {
        let log = Origin::new(text(&self.case["log"])).unwrap();
        let key = self.signer().map(|signer| signer.key().id());
        let after = self.case.get("wants").map(|wants| match wants {
            Value::Null => After::Nothing,
            record => After::Record {
                seq: Seq::new(record["seq"].as_u64().unwrap()).unwrap(),
                leaf: Hash::from_base64(text(&record["leaf"])).unwrap(),
            },
        });
        EventHead { log, id: id.unwrap(), replaces, time: time.unwrap(), key, after }
    }

    fn server(&self) -> (ServerPart, Option<Disclosures>) {
        let time = Time::parse_canonical(text(&self.case["server_time"])).unwrap();
        let by = text(&self.case["by"]).parse().unwrap();
        if let Some(after) = self.case.get("after") {
            let before = Seq::new(after["seq"].as_u64().unwrap() - 1).unwrap();
            let prev = Hash::from_base64(text(&after["prev"])).unwrap();
            let place = Place::After { seq: LaterSeq::after(before).unwrap(), prev };
            return (ServerPart { stream: text(&after["stream"]).parse().unwrap(), place, time, by }, None);
        }
        let given = &self.case["opening"];
        let name = given["stream"].to_string();
        let name = StreamName::parse(&name).unwrap();
        let topics = given["topics"]
            .as_array()
            .map(|topics| Topics::new(topics.iter().map(|topic| Name::new(text(topic)).unwrap()).collect()).unwrap());
        let continues = Some(&given["continues"]).filter(|head| !head.is_null()).map(|head| StreamHead {
            log: Origin::new(text(&head["log"])).unwrap(),
            stream: text(&head["stream"]).parse().unwrap(),
            seq: Seq::new(head["seq"].as_u64().unwrap()).unwrap(),
            leaf: Hash::from_base64(text(&head["leaf"])).unwrap(),
        });
        let opening = Opening::new(&name, topics.as_ref(), continues.as_ref(), salts(&given["salts"])).unwrap();
        let part = ServerPart { stream: opening.id(), place: opening.place(), time, by };
        (part, Some(opening.disclosures().clone()))
    }

    fn signer(&self) -> Option<ProducerSigner> {
        let seed = self.case.get("seed")?;
        Some(ProducerSigner::from_seed(text(seed).parse::<Hash>().unwrap().as_bytes()))
    }
}

/// The event of a record of the folder, from what it says.
fn sealed(name: &str, case: &Case) -> Sealed {
    let record = file(&format!("{name}.record.json"));
    if name == "owner-redacted" {
        return own_record(&record, case);
    }
    let inputs = parse(&record).unwrap();
    let [NativeInput::Plain(input)] = inputs.as_slice() else { panic!("{name}: {inputs:?}") };
    assert_eq!(input.content.salts(), case.case["salts"].as_array().unwrap().len(), "{name}");
    input.content.seal(case.head(input.id, input.replaces, input.time), salts(&case.case["salts"])).unwrap()
}

/// What the log writes about itself is not taken from producers.
fn own_record(record: &[u8], case: &Case) -> Sealed {
    let refused = parse(record).unwrap_err();
    assert_eq!(refused.pointer(), "/object/module");
    let record: Value = serde_json::from_slice(record).unwrap();
    let new = &record["values"]["whole"]["new"];
    let concerned = Concerned {
        id: text(&record["object"]["id"]).parse().unwrap(),
        index: LeafIndex::new(new["index"].as_u64().unwrap()).unwrap(),
    };
    let tenant = Name::new(text(&record["object"]["tenant"])).unwrap();
    let (object, values) = redaction(tenant, concerned, &digests(&new["digests"])).unwrap();
    assert_eq!(RecordKind::of(&object), RecordKind::Redaction);
    let content =
        Content { object, actor: None, subjects: None, context: None, values: Some(values), attributes: None };
    let head = case.head(text(&record["id"]).parse().ok(), None, Time::parse_canonical(text(&record["time"])).ok());
    content.seal(head, salts(&case.case["salts"])).unwrap()
}

#[test]
fn records_are_built_byte_for_byte_as_published() {
    for name in RECORDS {
        let case = Case::load(name);
        let sealed = sealed(name, &case);
        let (server, opening) = case.server();
        let signature = case.signer().map(|signer| signer.sign(sealed.text()).unwrap());
        let leaf = assemble(sealed.text(), &server, signature.as_ref()).unwrap();
        assert_eq!(String::from_utf8_lossy(&leaf), String::from_utf8_lossy(&case.leaf), "{name}");
        let all = [sealed.disclosures().as_str(), opening.as_ref().map_or("", Disclosures::as_str)].concat();
        assert_eq!(all, case.disclosures.as_str(), "{name}");
        assert_eq!(Hash::leaf(&leaf).to_base64(), text(&case.case["leaf_hash"]), "{name}");

        let decoded = Leaf::decode(&leaf).unwrap();
        assert_eq!(Ok(&decoded), Leaf::new(sealed.event().clone(), server, signature).as_ref());
        assert_eq!(decoded.encode(), leaf);
    }
}

#[test]
fn the_signed_record_is_signed_by_the_published_key() {
    let case = Case::load("licence-changed");
    let leaf = Leaf::decode(&case.leaf).unwrap();
    let signature = leaf.signature().unwrap();
    let key = ProducerKey::new(text(&case.case["public_key"]).parse::<Hash>().unwrap().as_bytes()).unwrap();
    // RFC 8037, appendix A.3.
    assert_eq!(key.id().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert!(key.verifies(&leaf.event().to_text(), signature));

    let other = Case::load("licence-created");
    assert!(!key.verifies(&Leaf::decode(&other.leaf).unwrap().event().to_text(), signature));
    let mut value = signature.to_text().to_vec();
    value[3] = if value[3] == b'A' { b'B' } else { b'A' };
    let forged = core::str::from_utf8(&value).unwrap().parse::<ProducerSignature>().unwrap();
    assert!(!key.verifies(&leaf.event().to_text(), &forged));
    let stranger = ProducerSigner::from_seed(&[7; 32]);
    assert!(!stranger.key().verifies(&leaf.event().to_text(), signature));
    assert_eq!(stranger.sign(&leaf.event().to_text()), Err(OtherKey(stranger.key().id())));

    // What is signed is more than the event's text, and the other way round nothing else is.
    let dalek = ed25519_dalek::VerifyingKey::from_bytes(key.as_bytes()).unwrap();
    let bytes = ed25519_dalek::Signature::from_bytes(&signature_bytes(signature));
    let event = leaf.event().to_text();
    assert!(dalek.verify_strict(event.as_bytes(), &bytes).is_err());
    assert!(dalek.verify_strict(&[b"cairn.record/1\n", event.as_bytes()].concat(), &bytes).is_ok());
}

fn signature_bytes(signature: &ProducerSignature) -> [u8; 64] {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature.to_text()).unwrap().try_into().unwrap()
}

/// Neither can a log take a signature away, nor put one where its producer did not, nor the record in another place.
#[test]
fn what_the_event_names_must_be_there() {
    let case = Case::load("licence-changed");
    let sealed = sealed("licence-changed", &case);
    let (server, _) = case.server();
    let signature = case.signer().unwrap().sign(sealed.text()).unwrap();
    assert_eq!(assemble(sealed.text(), &server, None), Err(LeafError::Signature));
    assert_eq!(Leaf::new(sealed.event().clone(), server, None), Err(LeafError::Signature));
    let plain = Case::load("licence-created");
    let unsigned = self::sealed("licence-created", &plain);
    let (first, _) = plain.server();
    assert_eq!(assemble(unsigned.text(), &first, Some(&signature)), Err(LeafError::Signature));

    let Place::After { seq, prev } = server.place else { panic!("it is not the first") };
    let later = Place::After { seq: LaterSeq::after(seq.seq()).unwrap(), prev };
    let other = Place::After { seq, prev: Hash::leaf(b"another") };
    for place in [later, other, first.place] {
        let server = ServerPart { place, ..server };
        assert_eq!(assemble(sealed.text(), &server, Some(&signature)), Err(LeafError::After), "{place:?}");
    }
    assert!(After::Nothing.fits(&first.place) && !After::Nothing.fits(&later));
}

fn log(case: &Value) -> Origin {
    Origin::new(text(&case["log"])).unwrap()
}

/// What the redaction records say is erased that come with a record; some of them are none, and say nothing.
fn redactions(log: &Origin, given: &Value) -> Redactions {
    let successors = given["successors"].as_array().unwrap().iter().map(|origin| Origin::new(text(origin)).unwrap());
    let mut redactions = successors.fold(Redactions::new(log.clone()), Redactions::with_successor);
    for given in given["redactions"].as_array().unwrap() {
        let _none = redactions.take_up(&open(given).unwrap());
    }
    redactions
}

/// What became of each digest, in the words of the vectors.
fn outcome(record: &Record) -> serde_json::Map<String, Value> {
    fn words<T>(shown: &Shown<T>) -> Value {
        match shown {
            Shown::Disclosed(_) => "disclosed".into(),
            Shown::Withheld => "withheld".into(),
            Shown::Erased(index) => format!("erased {index}").into(),
        }
    }
    let content = record.content();
    let mut all: Vec<(String, Value)> = vec![
        (Part::Actor.name().to_owned(), words(&content.actor)),
        (Part::Attributes.name().to_owned(), words(&content.attributes)),
        (Part::Context.name().to_owned(), words(&content.context)),
        (Part::Object.name().to_owned(), words(&content.object)),
        (Part::Subjects.name().to_owned(), words(&content.subjects)),
        (Part::Values.name().to_owned(), words(&content.values)),
    ];
    if let Shown::Disclosed(Some(attributes)) = &content.attributes {
        let named = attributes.named().iter();
        all.extend(named.map(|(name, shown)| (format!("attributes {name}"), words(&shown.content))));
        let external = attributes.external().iter().enumerate();
        all.extend(external.map(|(number, shown)| (format!("external {number}"), words(&shown.content))));
    }
    if let Shown::Disclosed(Some(values)) = &content.values {
        let fields = values.fields().iter();
        all.extend(fields.map(|(pointer, shown)| (format!("values {pointer}"), words(&shown.content))));
    }
    all.extend(record.stream().map(|shown| ("stream".to_owned(), words(shown))));
    if let Some(opening) = record.opening() {
        all.push(("topics".to_owned(), words(&opening.topics)));
        all.push(("continues".to_owned(), words(&opening.continues)));
    }
    let kept = record.still_disclosed();
    if !kept.is_empty() {
        all.push(("still disclosed".to_owned(), kept.iter().map(Digest::to_string).collect()));
    }
    assert_eq!(record.traced().len(), all.iter().filter(|(_, word)| word.is_string()).count());
    if record.traced().iter().any(|traced| traced.became == Shown::Withheld) {
        let classes = [None].into_iter().chain(Class::ALL.map(Some));
        let good = classes.filter(|class| record.withheld_only_above(*class).is_ok());
        let good: Vec<Value> = good.map(|class| class.map(Class::name).into()).collect();
        all.push(("withheld only above".to_owned(), good.into()));
    }
    all.into_iter().collect()
}

fn refusal(error: &IntegrityError) -> &'static str {
    match error {
        IntegrityError::Leaf(LeafError::Signature) => "refused: signature",
        IntegrityError::Leaf(LeafError::Malformed { .. }) => "refused: leaf",
        IntegrityError::Leaf(LeafError::After) => "refused: after",
        IntegrityError::Log { .. } => "refused: log",
        IntegrityError::Missing { .. } => "refused: missing",
        IntegrityError::Unreferenced(_) => "refused: unreferenced",
        IntegrityError::Twice(_) => "refused: twice",
        IntegrityError::WithheldElsewhere(_) => "refused: withheld elsewhere",
        IntegrityError::WithheldAndDisclosed(_) => "refused: withheld and disclosed",
        IntegrityError::Malformed { .. } => "refused: malformed",
        IntegrityError::Fields(_) => "refused: fields",
        IntegrityError::Reserved(_) => "refused: reserved",
        IntegrityError::OwnReplaces => "refused: own replaces",
        IntegrityError::Signature(_) => "refused: producer's signature",
        IntegrityError::Continues => "refused: continues",
        IntegrityError::Stream => "refused: stream",
        IntegrityError::SaltTwice => "refused: salt twice",
        other => panic!("{other}"),
    }
}

/// The leaf of a record of the folder with some texts, each before what is in its place, which stood in it once.
fn leaf_of(given: &Value) -> Vec<u8> {
    let mut leaf = String::from_utf8(file(&format!("{}.leaf", text(&given["record"])))).unwrap();
    for change in given["changed"].as_array().map_or(&[][..], Vec::as_slice).chunks(2) {
        assert_eq!(leaf.matches(text(&change[0])).count(), 1, "{change:?}");
        leaf = leaf.replace(text(&change[0]), text(&change[1]));
    }
    leaf.into_bytes()
}

fn index_of(given: &Value) -> LeafIndex {
    LeafIndex::new(given["index"].as_u64().unwrap()).unwrap()
}

/// Opens a record of the folder with what is changed in it.
fn open(given: &Value) -> Result<Record, IntegrityError> {
    let case = Case::load(text(&given["record"]));
    let left_out = digests(&given["left_out"]);
    let kept: Vec<(Digest, &str)> = case.disclosures.iter().filter(|(digest, _)| !left_out.contains(digest)).collect();
    let added = given["added"].as_array().unwrap().iter().map(text);
    let disclosures = Disclosures::from_texts(kept.iter().map(|(_, text)| *text).chain(added)).unwrap();
    let withheld = digests(&given["withheld"]);
    let log = given["log"].as_str().map_or_else(|| log(&case.case), |text| Origin::new(text).unwrap());
    let redactions = redactions(&log, given);
    let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &redactions };
    let leaf = leaf_of(given);
    let record = Record::open(&log, index_of(given), &leaf, evidence)?;
    assert_eq!(record.hash(), Hash::leaf(&leaf));
    Ok(record)
}

fn key_of(hex: &str) -> ProducerKey {
    ProducerKey::new(hex.parse::<Hash>().unwrap().as_bytes()).unwrap()
}

fn cases(kind: &str) -> Vec<Value> {
    let cases: Value = serde_json::from_slice(&file(&format!("{kind}.json"))).unwrap();
    let Value::Array(cases) = cases else { panic!("{kind}") };
    assert!(cases.len() > 10, "{kind}");
    cases
}

#[test]
fn every_digest_comes_to_what_is_published() {
    for case in cases("openings") {
        let keys = case["keys"].as_array().unwrap().iter();
        let keys: ProducerKeys = keys.map(|key| key_of(text(key))).collect();
        let found = match open(&case).and_then(|record| record.producer(&keys).map(|producer| (record, producer))) {
            Ok((record, producer)) => {
                let mut found = outcome(&record);
                let words = match producer {
                    Producer::None => "none".to_owned(),
                    Producer::Verified(key) => format!("verified {key}"),
                    Producer::Unknown(key) => format!("unknown {key}"),
                };
                found.insert("producer".to_owned(), words.into());
                Value::Object(found)
            }
            Err(error) => refusal(&error).into(),
        };
        assert_eq!(found, case["outcome"], "{}", case["name"]);
    }
}

#[test]
fn streams_are_good_or_not_as_published() {
    for case in cases("streams") {
        let given = case["records"].as_array().unwrap();
        let is_later = |given: &&Value| !leaf_of(given).starts_with(b"cairn.record/1\n");
        let later = given.iter().filter(is_later).map(|given| Later::decode(index_of(given), &leaf_of(given)).unwrap());
        let records = given.iter().filter(|given| !is_later(given)).map(|given| open(given).unwrap());
        let found = match History::with_later(records.collect(), later.collect()) {
            Ok(history) => {
                assert_eq!(history.entered().count(), given.len());
                "good"
            }
            Err(ChainError::Log { .. }) => "refused: log",
            Err(ChainError::Stream { .. }) => "refused: another stream",
            Err(ChainError::Seq { .. }) => "refused: seq",
            Err(ChainError::Prev { .. }) => "refused: prev",
            Err(ChainError::Index { .. }) => "refused: index",
            Err(ChainError::Time { .. }) => "refused: time",
            Err(ChainError::Id { .. }) => "refused: id",
            Err(ChainError::Continued { .. }) => "refused: continued",
            Err(ChainError::Name { .. }) => "refused: name",
            Err(ChainError::Leaf(error)) => panic!("{error}"),
        };
        assert_eq!(found, case["outcome"], "{}", case["name"]);
    }
}

/// Where verifiers of Ed25519 differ, ours is as strict as the page says.
#[test]
fn the_edges_of_signatures_are_as_published() {
    for case in cases("signatures") {
        let event = Event::parse(text(&case["event"]).as_bytes()).unwrap().to_text();
        let signature = text(&case["signature"]).parse().unwrap();
        let found = match ProducerKey::new(text(&case["key"]).parse::<Hash>().unwrap().as_bytes()) {
            Ok(key) => {
                assert_eq!(event.key(), Some(key.id()));
                if key.verifies(&event, &signature) { "good" } else { "refused" }
            }
            Err(_) => "no key",
        };
        assert_eq!(found, case["outcome"], "{}", case["name"]);
    }
}

#[test]
fn the_page_of_the_format_shows_the_first_record() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/record.md")).unwrap();
    let case = Case::load("licence-created");
    assert!(page.contains(core::str::from_utf8(&case.leaf).unwrap()), "the leaf");
    assert!(page.contains(text(&case.case["leaf_hash"])), "the leaf hash");
    let record = String::from_utf8(file("licence-created.record.json")).unwrap();
    assert!(page.contains(&record), "the record");
    for (digest, disclosure) in case.disclosures.iter().take(2) {
        assert!(page.contains(disclosure) && page.contains(&digest.to_string()), "{disclosure}");
    }
}

/// Where Python is installed: the other implementation still makes the same.
#[test]
fn the_other_implementation_agrees() {
    let Ok(checked) =
        Command::new("python3").arg("record.py").current_dir(folder()).env("PYTHONDONTWRITEBYTECODE", "1").output()
    else {
        eprintln!("python3 is not installed: the vectors are checked by this implementation alone");
        return;
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
