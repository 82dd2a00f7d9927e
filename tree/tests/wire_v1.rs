//! The answers about records: their exact forms, and that nothing but the record verifies.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod written;

use cairn_tree::checkpoint::{Checkpoint, Origin, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::MemoryTree;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::policy::Trust;
use cairn_tree::record::chain::History;
use cairn_tree::record::class::Class;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::draft::Content;
use cairn_tree::record::event::{EventHead, Part};
use cairn_tree::record::kind::{Concerned, IncidentFault, redaction};
use cairn_tree::record::leaf::{Leaf, assemble};
use cairn_tree::record::open::Traced;
use cairn_tree::record::replay::{Until, View, replay};
use cairn_tree::record::server_part::{Seq, ServerPart};
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::{Opening, StreamHead, StreamName};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::{
    AnswerError, Appended, AppendedAnswer, AppendedReceipt, Before, Cursor, DifferencesAnswer, EarlierPart, Integrity,
    IntegrityHash, IntegrityProblem, Listed, ObjectDifferences, Page, Point, RecordAnswer, RecordBody, States,
    StatesAnswer, VerifiedEntry, WrongPart, history, view, view_later,
};
use serde_json::Value;
use written::{Entry, Writer, id, log, name, server_time, text_of};

const CREATED: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"create"},
    "actor":{"id":"ann","type":"user"},"subjects":["p1"],
    "values":{"schema":{"uri":"s"},"whole":{"new":{"fee":1200.50,"own~er":"Bo","phone":"1","list":[1,{"a":null}]}}},
    "attributes":{"channel":"web","ip":"::1"},
    "external":[{"name":"f","size":4,"media_type":"t","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}],
    "classification":{"values":{"/own~0er":"restricted","/phone":"secret"},"attributes":{"ip":"secret"}}}"#;
const CHANGED: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"update"},
    "values":{"fields":{"/fee":{"old":1200.5,"new":7},"/own~0er":{"new":"Cy"},"/list/1":{"old":{"a":null}}}},
    "classification":{"values":{"/fee":"secret"}}}"#;
const READ: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"read"}}"#;

/// A log with three records of a stream, other entries between them, and a redaction record of the first at the end.
struct World {
    entries: Vec<Entry>,
    redaction: Entry,
    tree: MemoryTree,
    checkpoint: SignedCheckpoint,
    trust: Trust,
    /// What is erased, and what a reader of restricted fields may not see.
    erased: Digest,
    secret: Vec<Digest>,
}

fn key(seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(log().as_str()).unwrap(), SignatureType::ED25519, &[seed; 32]).unwrap()
}

/// The redaction record for the digest, at this index.
fn redaction_record(index: u64, digest: Digest) -> Entry {
    let concerned = Concerned { id: id(0), index: LeafIndex::ZERO };
    let (object, values) = redaction(name("pb"), concerned, &[digest]).unwrap();
    let stream = StreamName::of(&object);
    let content =
        Content { object, actor: None, subjects: None, context: None, values: Some(values), attributes: None };
    let head = EventHead { log: log(), id: id(9), replaces: None, time: server_time(9), key: None, after: None };
    let sealed = content.seal(head, written::salts(50)).unwrap();
    let opening = Opening::new(&stream, None, None, written::salts(60)).unwrap();
    let by = cairn_tree::record::id::Pseudonym::new([1; 16]);
    let server = ServerPart { stream: opening.id(), place: opening.place(), time: server_time(9), by };
    let leaf = assemble(sealed.text(), &server, None).unwrap();
    let texts = [sealed.disclosures().as_str(), opening.disclosures().as_str()].concat();
    Entry { index: LeafIndex::new(index).unwrap(), leaf, disclosures: Disclosures::parse(&texts).unwrap() }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Vec<Entry>)) -> Self {
        let mut writer = Writer::new();
        for record in [CREATED, CHANGED, READ] {
            writer.append(record);
        }
        let mut entries = writer.entries;
        let traced = |entry: &Entry, class| {
            let of_class = |traced: &&Traced| traced.piece.class() == Some(class);
            entry.open().traced().iter().filter(of_class).map(|traced| traced.digest).collect::<Vec<Digest>>()
        };
        let erased = traced(&entries[0], Class::Restricted)[0];
        assert!(text_of(&entries[0].disclosures, erased).contains("Bo"));
        let secret = entries.iter().flat_map(|entry| traced(entry, Class::Secret)).collect();
        change(&mut entries);
        let redaction = redaction_record(8, erased);
        let mut leaves: Vec<Vec<u8>> = (0..11_u64).map(|number| format!("entry {number}").into_bytes()).collect();
        for entry in entries.iter().chain([&redaction]) {
            leaves[usize::try_from(entry.index.get()).unwrap()] = entry.leaf.clone();
        }
        let mut tree = MemoryTree::new();
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| Hash::leaf(leaf)).collect();
        tree.extend(&hashes).unwrap();
        let root = tree.root();
        let checkpoint = Checkpoint::new(log(), root.size, root.hash).sign(&key(1)).unwrap();
        let trust = Trust::Log(key(1).verifier_key().clone().try_into().unwrap());
        Self { entries, redaction, tree, checkpoint, trust, erased, secret }
    }

    fn head(&self) -> VerifiedCheckpoint {
        self.checkpoint.verify(&[key(1).verifier_key().clone()]).unwrap()
    }

    /// A record as one answers it who may see what is restricted, and from whom nothing else is kept.
    fn body(&self, entry: &Entry) -> RecordBody {
        let own: Vec<Digest> = entry.disclosures.iter().map(|(digest, _)| digest).collect();
        let withheld: Vec<Digest> = self.secret.iter().copied().filter(|digest| own.contains(digest)).collect();
        let gone = |digest: &Digest| withheld.contains(digest) || *digest == self.erased;
        let proof = self.tree.prove_inclusion(entry.index).unwrap();
        let leaf = String::from_utf8(entry.leaf.clone()).unwrap();
        let integrity = Integrity::new(&self.head(), entry.index, Hash::leaf(leaf.as_bytes()), Some(proof));
        let disclosures = entry.disclosures.filtered(|digest| !gone(digest));
        RecordBody { leaf, disclosures, withheld, integrity, before: None, view: None }
    }

    fn answer(&self, number: usize) -> RecordAnswer {
        let mut record = self.body(&self.entries[number]);
        if number > 0 {
            let entry = &self.entries[number - 1];
            let proof = Some(self.tree.prove_inclusion(entry.index).unwrap());
            let leaf = String::from_utf8(entry.leaf.clone()).unwrap();
            record.before = Some(Before { index: entry.index, leaf, proof });
        }
        let redactions = if number == 0 { vec![self.body(&self.redaction)] } else { Vec::new() };
        RecordAnswer { record, redactions, checkpoint: self.checkpoint.clone() }
    }

    fn page(&self) -> Page {
        let records = self.entries.iter().map(|entry| Listed::Record(Box::new(self.body(entry)))).collect();
        let next = "bmV4dA".parse::<Cursor>().ok();
        let stream = Some(self.entries[0].open().leaf().server().stream);
        let (redactions, checkpoint) = (vec![self.body(&self.redaction)], self.checkpoint.clone());
        let complete_to = TreeSize::new(10).unwrap();
        let except = vec![LeafIndex::new(3).unwrap()];
        Page { stream, records, broken_from: None, redactions, checkpoint, complete_to, except, next }
    }
}

#[test]
fn a_record_is_answered_saved_and_verified_offline() {
    let world = World::new();
    for number in 0..3 {
        let answer = world.answer(number);
        let saved = answer.to_json();
        let read = RecordAnswer::parse(&saved).unwrap();
        assert_eq!(read, answer);
        let (verified, witnessed) = read.verify(&world.trust).unwrap();
        let record = verified.record().unwrap();
        assert_eq!(record.hash(), Hash::leaf(&world.entries[number].leaf));
        assert_eq!((verified.has_before(), witnessed.checkpoint().size().get()), (number > 0, 11));
        // Nothing but what is secret is withheld.
        assert!(record.withheld_only_above(Some(Class::Restricted)).is_ok());
        assert_eq!(record.withheld_only_above(Some(Class::Secret)).is_ok(), number == 2);
        // What is not known is ignored.
        let more = String::from_utf8(saved).unwrap().replacen('{', r#"{"more":[{"a":1}],"#, 2);
        assert_eq!(RecordAnswer::parse(more.as_bytes()).unwrap(), answer);
    }
    let json: Value = serde_json::from_slice(&world.answer(0).to_json()).unwrap();
    let integrity = &json["record"]["integrity"];
    let hash = Hash::leaf(&world.entries[0].leaf).to_base64();
    let key_id = key(1).verifier_key().id();
    assert_eq!(integrity["integrityHash"], format!("log.example/logs/test::{key_id}::1::{hash}"));
    assert_eq!((&integrity["head"]["size"], &integrity["leaf_hash"]), (&11.into(), &hash.into()));
    let short: IntegrityHash = integrity["integrityHash"].as_str().unwrap().parse().unwrap();
    assert_eq!(short, world.answer(0).record.integrity.hash());
    assert!("a::b".parse::<IntegrityHash>().is_err());
}

#[test]
fn the_view_says_what_is_shown_and_why_the_rest_is_not() {
    let world = World::new();
    let (verified, _) = world.answer(0).verify(&world.trust).unwrap();
    let text = view(verified.record().unwrap());
    assert!(text.contains(r#""new":1200.50"#), "{text}");
    let view: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(view["object"]["operation"], "create");
    assert_eq!(view["actor"], serde_json::json!({"id":"ann","type":"user"}));
    assert_eq!(view["subjects"], serde_json::json!(["p1"]));
    assert!(view.get("context").is_none() && view.get("topics").is_none());
    assert_eq!(view["stream_name"], serde_json::json!(["entity", "pb", "tl", "license", "L-1"]));
    let values = serde_json::json!({"schema":{"uri":"s"},"sides":"new","whole":{
        "/fee":{"class":"internal","new":1200.50},"/list":{"class":"internal","new":[1,{"a":null}]},
        "/own~0er":{"class":"restricted","erased":8},"/phone":{"class":"secret","withheld":true}}});
    assert_eq!(view["values"], values);
    let attributes = serde_json::json!({"named":{"channel":{"class":"internal","value":"web"},"ip":{"class":"secret","withheld":true}},
        "external":[{"class":"internal","name":"f","size":4,"media_type":"t",
        "sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]});
    assert_eq!(view["attributes"], attributes);
    assert_eq!((&view["seq"], &view["id"]), (&0.into(), &id(0).to_string().into()));
    // It goes with an answer, and is left behind when that is read.
    let mut answer = world.answer(0);
    answer.record.view = Some(text);
    let json: Value = serde_json::from_slice(&answer.to_json()).unwrap();
    assert_eq!(json["record"]["view"], view);
    assert_eq!(RecordAnswer::parse(&answer.to_json()).unwrap(), world.answer(0));
}

#[test]
fn nothing_else_verifies() {
    let world = World::new();
    let refused = |number: usize, change: &dyn Fn(&mut RecordAnswer)| {
        let mut answer = world.answer(number);
        change(&mut answer);
        answer.verify(&world.trust).unwrap_err()
    };
    let other = world.answer(1).record;
    assert!(matches!(refused(0, &|answer| answer.redactions.clear()), AnswerError::Record { .. }));
    assert!(matches!(refused(0, &|answer| answer.redactions = vec![other.clone()]), AnswerError::Redaction { .. }));
    assert!(matches!(refused(0, &|answer| answer.record.withheld.clear()), AnswerError::Record { .. }));
    assert!(matches!(refused(0, &|answer| answer.record.leaf = other.leaf.clone()), AnswerError::Inclusion { .. }));
    assert!(matches!(refused(0, &|answer| answer.record.integrity.proof = None), AnswerError::NoProof(_)));
    assert!(matches!(refused(0, &|answer| answer.redactions[0].integrity.proof = None), AnswerError::NoProof(_)));
    let claims: [&dyn Fn(&mut Integrity); 4] = [
        &|block| block.leaf_hash = Hash::leaf(b"x"),
        &|block| block.root = Hash::leaf(b"x"),
        &|block| block.size = TreeSize::new(10).unwrap(),
        &|block| block.key_id = key(2).verifier_key().id(),
    ];
    for change in claims {
        assert!(matches!(refused(0, &|answer| change(&mut answer.record.integrity)), AnswerError::Claims(_)));
    }
    let before = world.answer(1).record.before;
    assert!(matches!(refused(2, &|answer| answer.record.before = before.clone()), AnswerError::Before { .. }));
    assert!(matches!(refused(0, &|answer| answer.record.before = before.clone()), AnswerError::Before { .. }));
    let raw = Before { index: LeafIndex::new(1).unwrap(), leaf: "entry 1".to_owned(), proof: None };
    let proven = Before { proof: Some(world.tree.prove_inclusion(raw.index).unwrap()), ..raw.clone() };
    assert!(matches!(refused(1, &|answer| answer.record.before = Some(raw.clone())), AnswerError::NoProof(_)));
    assert!(matches!(refused(1, &|answer| answer.record.before = Some(proven.clone())), AnswerError::Leaf { .. }));
    // A key that nobody trusts.
    let root = world.tree.root();
    let forged = Checkpoint::new(log(), root.size, root.hash).sign(&key(2)).unwrap();
    assert!(matches!(refused(0, &|answer| answer.checkpoint = forged.clone()), AnswerError::Checkpoint(_)));
}

/// Whatever byte of a saved record is changed: it is refused, or it says the same.
#[test]
fn no_changed_byte_of_a_saved_record_says_something_else() {
    let world = World::new();
    let saved = world.answer(0).to_json();
    let (good, _) = world.answer(0).verify(&world.trust).unwrap();
    let mut same = 0;
    for at in 0..saved.len() {
        let mut changed = saved.clone();
        changed[at] ^= 1 << (at % 7);
        let Ok(answer) = RecordAnswer::parse(&changed) else { continue };
        if let Ok((verified, _)) = answer.verify(&world.trust) {
            assert_eq!(verified, good, "byte {at}");
            same += 1;
        }
    }
    // Such as the names of members that need not be there.
    assert!(same < 200, "{same}");
}

#[test]
fn a_history_is_verified_and_replayed() {
    let world = World::new();
    let page = world.page();
    let read = Page::parse(&page.to_json()).unwrap();
    assert_eq!(read, page);
    let (records, _) = read.verify(&world.trust).unwrap();
    let history = history(records.into_iter().map(Result::unwrap)).unwrap();
    let replayed = replay(&history, View::AsRecorded, Until::End);
    let state = replayed.states.values().next().unwrap();
    let data = r#"{"fee":{"withheld":true},"list":[1],"own~er":"Cy","phone":{"withheld":true}}"#;
    assert_eq!(state.data.as_ref().unwrap().to_json(), data);

    let late = Page { complete_to: TreeSize::new(12).unwrap(), ..page.clone() };
    assert!(matches!(late.verify(&world.trust), Err(AnswerError::Complete { .. })));
    let stream = Some(world.redaction.open().leaf().server().stream);
    assert!(matches!(Page { stream, ..page.clone() }.verify(&world.trust), Err(AnswerError::Stream(_))));
    let search = Page { stream: None, next: None, redactions: Vec::new(), records: Vec::new(), ..page };
    assert_eq!(Page::parse(&search.to_json()).unwrap(), search);
}

#[test]
fn a_page_in_pieces_is_the_same_body() {
    let world = World::new();
    for count in 0..=3 {
        let page = Page { records: world.page().records[..count].to_vec(), ..world.page() };
        let written = page.records.iter().map(Listed::to_json).collect();
        let empty = Page { records: Vec::new(), ..page.clone() };
        assert_eq!(empty.to_pieces(written).concat(), page.to_json());
    }
}

/// One record of a page that its server can't verify is told in its place, and the others are read.
#[test]
fn what_a_server_can_not_verify_stands_in_its_place() {
    let world = World::new();
    let wrong = |part| IntegrityProblem { index: world.entries[1].index, part, detail: "a \"word\"".to_owned() };
    let digest = Digest::of("x");
    let parts = IncidentFault::ALL.map(|fault| WrongPart::Disclosure(digest, fault));
    for part in parts.into_iter().chain([WrongPart::Leaf, WrongPart::Chain]) {
        let mut page = world.page();
        page.records[1] = Listed::Unverified(wrong(part));
        page.broken_from = (part == WrongPart::Chain).then_some(world.entries[1].index);
        let json = page.to_json();
        assert_eq!(Page::parse(&json).unwrap(), page);
        let (records, _) = page.verify(&world.trust).unwrap();
        assert_eq!(records[1], Err(wrong(part)));
        assert!(records[0].is_ok() && records[2].is_ok() && page.records[1].record().is_none());
        // Those that are left are no history.
        assert!(history(records.into_iter().flatten()).is_err());
        let told: Value = serde_json::from_slice(&json).unwrap();
        let problem = &told["records"][1]["problem"];
        assert_eq!((&problem["type"], &problem["part"]), (&"urn:cairn:problem:integrity".into(), &part.name().into()));
        assert_eq!(problem["digest"].is_string(), matches!(part, WrongPart::Disclosure(..)));
        // It is none of the others, whatever stands beside it.
        let text = String::from_utf8(json).unwrap();
        let beside = text.replacen("{\"problem\":", "{\"leaf\":\"x\",\"problem\":", 1);
        assert_eq!(Page::parse(beside.as_bytes()).unwrap(), page);
        for without in ["\"part\"", "\"index\":3,\"part\""] {
            assert!(text.contains(without), "{text}");
            assert!(Page::parse(text.replacen(without, "\"other\"", 1).as_bytes()).is_err());
        }
    }
}

/// Of a later version nothing is known but its place, and that it is in the log.
#[test]
fn a_record_of_a_later_version_is_verified_in_its_place() {
    let later = |entries: &mut Vec<Entry>| {
        let leaf = String::from_utf8(entries[2].leaf.clone()).unwrap();
        entries[2].leaf = leaf.replacen("cairn.record/1", "cairn.record/2", 1).into_bytes();
        entries[2].disclosures = Disclosures::none();
    };
    let world = World::with(later);
    let answer = world.answer(2);
    let (verified, _) = RecordAnswer::parse(&answer.to_json()).unwrap().verify(&world.trust).unwrap();
    let VerifiedEntry::Later(found) = &verified else { panic!("{verified:?}") };
    assert!(verified.record().is_none() && verified.has_before() && found.later.seq().get() == 2);
    let told: Value = serde_json::from_str(&view_later(&found.later)).unwrap();
    assert_eq!((&told["later_version"], &told["seq"]), (&true.into(), &2.into()));
    let (records, _) = world.page().verify(&world.trust).unwrap();
    let whole = history(records.into_iter().map(Result::unwrap)).unwrap();
    assert_eq!((whole.records().len(), whole.later().len()), (2, 1));

    let refused = |change: &dyn Fn(&mut RecordAnswer)| {
        let mut answer = world.answer(2);
        change(&mut answer);
        answer.verify(&world.trust).unwrap_err()
    };
    let leaf = answer.record.leaf.replacen("cairn.record/2", "cairn.record/3", 1);
    assert!(matches!(refused(&|answer| answer.record.leaf = leaf.clone()), AnswerError::Inclusion { .. }));
    let first = world.answer(1).record.before;
    assert!(matches!(refused(&|answer| answer.record.before = first.clone()), AnswerError::Before { .. }));
    // It is no redaction record, whatever it says.
    let own = answer.record.clone();
    assert!(matches!(refused(&|answer| answer.redactions = vec![own.clone()]), AnswerError::Record { .. }));
    // Another log's, or none at all.
    for (from, to) in [("log.example/logs/test", "log.example/logs/best"), ("\"seq\"", "\"sec\"")] {
        let change = |entries: &mut Vec<Entry>| {
            later(entries);
            entries[2].leaf = String::from_utf8(entries[2].leaf.clone()).unwrap().replace(from, to).into_bytes();
        };
        let world = World::with(change);
        let error = world.answer(2).verify(&world.trust).unwrap_err();
        assert!(matches!(error, AnswerError::Record { .. } | AnswerError::Leaf { .. }), "{error}");
    }
}

#[test]
fn what_was_replayed_is_answered_with_its_unknown_places() {
    let world = World::new();
    let (records, _) = world.page().verify(&world.trust).unwrap();
    let history = history(records.into_iter().map(Result::unwrap)).unwrap();
    let at = |seq: u64| Point { until: Until::Seq(Seq::new(seq).unwrap()), view: View::Corrected };
    let [first, last] = [0, 1].map(|seq| replay(&history, View::Corrected, at(seq).until));
    let stream = world.entries[0].open().leaf().server().stream;
    let (checkpoint, complete_to) = (world.checkpoint.clone(), TreeSize::new(11).unwrap());
    let (log, leaf) = (Origin::new("log.example/logs/before").unwrap(), Hash::new([7; Hash::LEN]));
    let head = StreamHead { log, stream, seq: Seq::new(4).unwrap(), leaf };
    let earlier = vec![
        EarlierPart { head: head.clone(), checkpoint: Some(world.checkpoint.clone()) },
        EarlierPart { head, checkpoint: None },
    ];
    let answer = StatesAnswer { stream, at: at(0), replayed: States::from(&first), checkpoint, complete_to, earlier };
    let json = answer.to_json();
    assert_eq!(StatesAnswer::parse(&json).unwrap(), answer);
    let json: Value = serde_json::from_slice(&json).unwrap();
    let state = &json["states"][0];
    assert_eq!(state["document"]["own~er"], serde_json::json!({"erased": 8}));
    assert_eq!(state["unknown"], serde_json::json!({"/own~0er": {"erased": 8}, "/phone": {"withheld": true}}));
    assert_eq!(
        (&state["life"], &state["lives"], &json["at"]["view"]),
        (&"live".into(), &1.into(), &"corrected".into())
    );

    let objects = ObjectDifferences::between(&first, &last);
    let found: Vec<(&str, bool)> =
        objects[0].differences.iter().map(|place| (place.pointer.as_str(), place.certain)).collect();
    assert_eq!(found, [("/fee", false), ("/list/1", true), ("/own~0er", false), ("/phone", false)]);
    let checkpoint = world.checkpoint.clone();
    let answer =
        DifferencesAnswer { stream, from: at(0), to: at(1), objects, checkpoint, complete_to, earlier: Vec::new() };
    let json = answer.to_json();
    assert_eq!(DifferencesAnswer::parse(&json).unwrap(), answer);
    let json: Value = serde_json::from_slice(&json).unwrap();
    let owner = &json["objects"][0]["differences"][2];
    let expected = serde_json::json!({"pointer":"/own~0er","old":{"erased":8},"old_unknown":{"":{"erased":8}},"new":"Cy","certain":false});
    assert_eq!(*owner, expected);
}

/// A replay whose document nests as deep as any may, and what it flags.
#[test]
fn the_deepest_document_is_answered_too() {
    let object = r#""object":{"tenant":"pb","module":"tl","entity":"license","id":"L-1","operation":"#;
    // The tokens of the pointer count as well.
    let deep = ["[".repeat(31), "]".repeat(31)].concat();
    let mut writer = Writer::new();
    let pointer = "/a".repeat(31);
    writer.append(&format!(r#"{{{object}"update"}},"values":{{"fields":{{"{pointer}":{{"new":{deep}}}}}}}}}"#));
    writer.append(&format!(r#"{{{object}"update"}},"values":{{"fields":{{"/b":{{"old":1}}}}}}}}"#));
    let history = History::new(writer.entries.iter().map(Entry::open).collect()).unwrap();
    let replayed = replay(&history, View::AsRecorded, Until::End);
    let world = World::new();
    let at = Point { until: Until::ServerTime(server_time(5)), view: View::AsRecorded };
    let stream = history.records()[0].leaf().server().stream;
    let (checkpoint, complete_to) = (world.checkpoint.clone(), TreeSize::ZERO);
    let answer =
        StatesAnswer { stream, at, replayed: States::from(&replayed), checkpoint, complete_to, earlier: Vec::new() };
    assert_eq!(StatesAnswer::parse(&answer.to_json()).unwrap(), answer);
    let flags: Vec<&str> = answer.replayed.flags.iter().map(|flag| flag.flag.as_str()).collect();
    assert_eq!(flags, ["update-on-absent", "old-differs"]);
    assert_eq!(answer.replayed.flags[1].pointers, ["/b"]);
}

#[test]
fn an_append_is_answered_with_receipts() {
    let world = World::new();
    let appended = |entry: &Entry| {
        let leaf = Leaf::decode(&entry.leaf).unwrap();
        let (server, text) = (leaf.server(), String::from_utf8(entry.leaf.clone()).unwrap());
        let proof = world.tree.prove_inclusion(entry.index).unwrap();
        Appended {
            id: leaf.event().head().id,
            index: entry.index,
            leaf_hash: leaf.hash(),
            stream: server.stream,
            seq: server.place.seq(),
            prev: server.place.prev(),
            time: server.time,
            replayed: false,
            receipt: Some(AppendedReceipt { leaf: text, proof }),
        }
    };
    let records: Vec<Appended> = world.entries.iter().map(appended).collect();
    let answer = AppendedAnswer { records, checkpoint: world.checkpoint.clone(), replayed: false };
    assert_eq!(AppendedAnswer::parse(&answer.to_json()).unwrap(), answer);
    assert_eq!(answer.verify(&world.trust).unwrap().checkpoint().size().get(), 11);
    let receipt = answer.records[1].receipt(&answer.checkpoint).unwrap();
    assert!(receipt.verify(&world.entries[1].leaf, &world.trust).is_ok());

    let refused = |change: &dyn Fn(&mut Appended)| {
        let mut changed = answer.clone();
        change(&mut changed.records[1]);
        assert_eq!(AppendedAnswer::parse(&changed.to_json()).unwrap(), changed);
        changed.verify(&world.trust).unwrap_err()
    };
    assert!(matches!(refused(&|record| record.receipt = None), AnswerError::NoProof(_)));
    assert!(matches!(refused(&|record| record.index = LeafIndex::new(4).unwrap()), AnswerError::Inclusion { .. }));
    let claims: [&dyn Fn(&mut Appended); 6] = [
        &|record| record.id = id(7),
        &|record| record.seq = Seq::new(2).unwrap(),
        &|record| record.prev = None,
        &|record| record.time = server_time(2),
        &|record| record.leaf_hash = Hash::leaf(b"x"),
        &|record| record.stream = world.redaction.open().leaf().server().stream,
    ];
    for change in claims {
        assert!(matches!(refused(change), AnswerError::Claims(_)));
    }
}

#[test]
fn parts_that_are_withheld_are_above_no_class() {
    let world = World::new();
    let mut answer = world.answer(2);
    let actor = Leaf::decode(&world.entries[2].leaf).unwrap().event().digest(Part::Actor);
    answer.record.disclosures = answer.record.disclosures.filtered(|digest| *digest != actor);
    answer.record.withheld = vec![actor];
    let (verified, _) = answer.verify(&world.trust).unwrap();
    let record = verified.record().unwrap();
    assert_eq!(record.content().actor, Shown::Withheld);
    for class in [None, Some(Class::Public), Some(Class::Secret)] {
        assert!(record.withheld_only_above(class).is_err(), "{class:?}");
    }
}
