//! A server that lies about the parts of a stream in its logs: each part is verified in its own log, and the parts must join.

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model, Trail};
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::server_part::Seq;
use cairn_tree::record::stream::{StreamHead, StreamId, StreamName};
use cairn_tree::record::text::Name;
use cairn_tree::wire::v1::{EarlierPart, Page, StatesAnswer};

const CREATED: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"PB-17","operation":"create"},
    "actor":{"id":"8a1f"},"values":{"whole":{"new":{"status":"APPLIED"}}}}"#;
const UPDATED: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"PB-17","operation":"update"},
    "actor":{"id":"c33d"},"values":{"fields":{"/status":{"old":"APPLIED","new":"APPROVED"}}}}"#;
const AGAIN: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"PB-17","operation":"create"},
    "actor":{"id":"c33d"},"values":{"whole":{"new":{"status":"APPLIED"}}}}"#;
const ASKED: [&str; 8] = ["--tenant", "pb", "--module", "tl", "--entity", "license", "--object", "PB-17"];
const STREAM: &str = "v1/streams/entity/pb/tl/license/PB-17";
const HISTORY: &str = "v1/streams/entity/pb/tl/license/PB-17?from_seq=0&limit=500&proof=1";
const FIRST: &str = "lying.example/logs/first";
const LAST: &str = "lying.example/logs/lying";

fn stream() -> StreamName<'static> {
    let name = |text: &'static str| Name::new(text).unwrap();
    let (tenant, module) = (name("pb"), name("tl"));
    StreamName::Entity { tenant, module, entity: name("license"), object: name("PB-17") }
}

/// A license whose stream went on from one log of a server to another, and whoever asks about it.
struct Moved {
    log: LyingLog,
    /// The keys of both.
    keys: String,
    folder: tempfile::TempDir,
}

/// What the two parts say of each other, which the logs may bend before they sign it.
struct Said {
    /// What the first record of the second part names.
    named: StreamHead,
    /// Where the last record of the first part says that it goes on; nothing: it does not say so.
    goes_on: Option<(Origin, StreamId)>,
    /// What the first record of the first part names.
    before: Option<StreamHead>,
}

impl Moved {
    fn new() -> Self {
        Self::bent(|said| said)
    }

    fn bent(bend: impl Fn(Said) -> Said) -> Self {
        let (mut first, mut last) = (Model::new(FIRST, 1), Model::new(LAST, 2));
        let (mut before, mut after) = (Trail::default(), Trail::default());
        last.grow(3, "entry");
        let id = Trail::id_of(&last, &stream());
        let none = StreamHead { log: last.origin().clone(), stream: id, seq: Seq::FIRST, leaf: Hash::leaf(b"nothing") };
        let said =
            |named: StreamHead| bend(Said { named, goes_on: Some((Origin::new(LAST).unwrap(), id)), before: None });
        match said(none).before {
            None => before.push(&mut first, CREATED),
            Some(head) => before.push_continuing(&mut first, CREATED, head),
        };
        first.grow(3, "entry");
        before.push(&mut first, UPDATED);
        let unsaid = before.head(&first, &stream());
        if let Some((log, id)) = said(unsaid).goes_on {
            before.push_continued(&mut first, &stream(), &log, id);
        }
        let named = said(before.head(&first, &stream())).named;
        after.push_continuing(&mut last, AGAIN, named);
        let keys = format!("{} {}", last.vkey(), first.vkey());
        let log = LyingLog::serve(last);
        log.trail(|trail, _| *trail = after);
        log.put_beside(first, before);
        Self { log, keys, folder: tempfile::tempdir().unwrap() }
    }

    fn with(&self, keys: &str, arguments: &[&str]) -> Ran {
        let url = self.log.url();
        let (command, rest) = arguments.split_first().unwrap();
        cairn([&[*command, "--json", "--url", &url, "--key", keys], &ASKED[..], rest].concat())
    }

    fn ask(&self, arguments: &[&str]) -> Ran {
        self.with(&self.keys, arguments)
    }

    /// The honest answer about the first part, bent.
    fn bend(&self, bend: impl FnOnce(&mut Page)) {
        let mut page = Page::parse(&self.log.answer(&format!("{HISTORY}&log={FIRST}"))).unwrap();
        bend(&mut page);
        self.log.lie_of(FIRST, STREAM, Lie::Body(page.to_json()));
    }

    /// All that follows the stream is refused with these words, and shows nothing of it.
    fn assert_refused(&self, code: u8, words: &str) {
        for command in ["history", "replay", "diff"] {
            let ran = self.ask(&[command, "--earlier"]);
            assert!(ran.code == code && ran.stderr.contains(words), "{command}, {words}: {ran:?}");
            assert_eq!(ran.stdout, "", "{command}: nothing of it is shown");
        }
    }
}

#[test]
fn an_honest_server_raises_nothing() {
    let moved = Moved::new();
    let path = |name: &str| moved.folder.path().join(name).to_str().unwrap().to_owned();
    let (state, scanned) = (path("state"), path("scanned"));
    for _ in 0..2 {
        let ran = moved.ask(&["history", "--earlier", "--complete", "--scanned", &scanned, "--state", &state]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        let lines = ran.json();
        let told: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
        assert_eq!(told, ["record", "record", "record", "history", "record", "history"]);
        let (first, last) = (&lines[3], &lines[5]);
        assert_eq!((&first["origin"], &first["complete"]), (&FIRST.into(), &"proven".into()), "{first}");
        assert_eq!(first["goes_on"]["stream"], last["stream"]);
        let continues = &last["continues"];
        let head = &lines[2];
        assert_eq!((&continues["log"], &continues["ending"]), (&FIRST.into(), &"said".into()), "{last}");
        for (told, is) in [("leaf_hash", "leaf_hash"), ("index", "index"), ("seq", "seq"), ("stream", "stream")] {
            assert_eq!(continues[told], head[is], "{told}");
        }
        // The second create is odd only by what was before.
        let flag = &lines[4]["flags"][0];
        assert_eq!((&flag["flag"], &flag["of"]), (&"create-on-live".into(), &"earlier_parts".into()), "{flag}");
    }
    for name in ["state", "state.first", "scanned", "scanned.first"] {
        assert!(moved.folder.path().join(name).exists(), "{name}");
    }
    // Each part alone.
    let last = moved.ask(&["history"]);
    assert_eq!((last.code, &last.json()[0]["flags"]), (0, &serde_json::Value::Null), "{last:?}");
    assert_eq!(last.json()[1]["continues"]["ending"], serde_json::Value::Null);
    for log in ["first", FIRST] {
        for (command, lines) in [("history", 4), ("search", 4), ("replay", 2)] {
            let ran = moved.ask(&[command, "--log", log]);
            assert_eq!((ran.code, ran.json().len()), (0, lines), "{command} {log}: {ran:?}");
            assert_eq!(ran.json()[lines - 1]["origin"], FIRST);
        }
    }
}

#[test]
fn another_logs_records_are_not_the_ones_that_were_asked_for() {
    let moved = Moved::new();
    moved.log.lie_of(FIRST, STREAM, Lie::Body(moved.log.answer(HISTORY)));
    moved.log.lie_of(FIRST, "v1/records", Lie::Body(moved.log.answer("v1/records?limit=50&proof=1")));
    let words = "the records are in the log lying.example/logs/lying, and not in lying.example/logs/first";
    moved.assert_refused(1, words);
    for command in ["history", "search", "replay"] {
        let ran = moved.ask(&[command, "--log", "first"]);
        assert!(ran.code == 1 && ran.stderr.contains(words), "{command}: {ran:?}");
    }
    moved.log.repent();
    // Nor is the other log's head the one of the log.
    moved.log.lie("logs/first/checkpoint", Lie::Body(moved.log.answer("checkpoint")));
    moved.assert_refused(1, "the part in lying.example/logs/first: the log's checkpoint is not verified");
}

#[test]
fn a_part_that_lacks_its_end_or_has_more_is_refused() {
    let moved = Moved::new();
    moved.bend(|page| drop(page.records.pop()));
    moved.assert_refused(1, "goes on from record 2 in lying.example/logs/first, and the part there ends with record 1");
    // Alone it is the server's word that nothing came after; reading the log shows it.
    assert_eq!(moved.ask(&["history", "--log", "first"]).code, 0);
    let ran = moved.ask(&["history", "--log", "first", "--complete"]);
    assert!(ran.code == 1 && ran.stderr.contains("entry 4 of the log is number 2"), "{ran:?}");
    moved.log.repent();
    moved.bend(|page| drop(page.records.remove(1)));
    moved.assert_refused(
        1,
        "the part in lying.example/logs/first: the history is refused: the next record of the stream",
    );
    moved.log.repent();
    moved.bend(|page| page.records.clear());
    moved.assert_refused(1, "the part in lying.example/logs/first: the server answered without a record");
    moved.log.repent();
    moved.log.lie_of(FIRST, STREAM, Lie::Status(404, None));
    moved.assert_refused(1, "the part in lying.example/logs/first: there is no stream");
    // What the log itself put behind the record that is named.
    let more = Moved::bent(|said| Said { goes_on: None, ..said });
    assert_eq!(more.ask(&["history", "--earlier"]).json()[4]["continues"]["ending"], "claimed");
    let named = Moved::bent(|said| match said.named.seq.get() {
        2 => Said { named: StreamHead { seq: Seq::new(1).unwrap(), ..said.named }, ..said },
        _ => said,
    });
    named.assert_refused(1, "goes on from record 1 in lying.example/logs/first, and the part there ends with record 2");
}

/// The later log signs that its part goes on from something else.
#[test]
fn a_first_record_that_names_another_predecessor_is_refused() {
    let other = Hash::leaf(b"another");
    Moved::bent(|said| Said { named: StreamHead { leaf: other, ..said.named }, ..said }).assert_refused(
        1,
        &format!("the part in {LAST} goes on from the leaf hash {other} in {FIRST}, and the last record there, 2, has"),
    );
    let id: StreamId = "c2wNr0GPQQZIrZX8SN5KooNBpNeK6XDnDspB4TlIUeI".parse().unwrap();
    Moved::bent(|said| Said { named: StreamHead { stream: id, ..said.named }, ..said }).assert_refused(
        1,
        &format!("the part in {LAST} goes on from the stream {id} in {FIRST}, and the stream of this name is"),
    );
    let third = Origin::new("lying.example/logs/third").unwrap();
    let elsewhere = Moved::bent(|said| Said { named: StreamHead { log: third.clone(), ..said.named }, ..said });
    elsewhere.assert_refused(2, "no key of the log lying.example/logs/third is given");
    // With a key it is asked, and there is no such log.
    let keys = format!("{} {}", elsewhere.keys, Model::new(third.as_str(), 3).vkey());
    let ran = elsewhere.with(&keys, &["history", "--earlier"]);
    assert!(ran.code == 1 && ran.stderr.contains("the part in lying.example/logs/third"), "{ran:?}");
    // Nothing of that is seen by who does not follow it: it is said as the record's word.
    let ran = elsewhere.ask(&["history"]);
    assert_eq!((ran.code, &ran.json()[1]["continues"]["log"]), (0, &third.as_str().into()), "{ran:?}");
}

/// The earlier log signs that its part goes on elsewhere, or that there is one before it.
#[test]
fn a_last_record_that_names_another_successor_is_refused() {
    let id: StreamId = "c2wNr0GPQQZIrZX8SN5KooNBpNeK6XDnDspB4TlIUeI".parse().unwrap();
    let other = Moved::bent(|said| Said { goes_on: said.goes_on.map(|(log, _)| (log, id)), ..said });
    other.assert_refused(1, &format!("ends by saying that it goes on in {LAST} as {id}, and not as"));
    let third = Origin::new("lying.example/logs/third").unwrap();
    let other = Moved::bent(|said| Said { goes_on: said.goes_on.map(|(_, id)| (third.clone(), id)), ..said });
    other.assert_refused(1, "ends by saying that it goes on in lying.example/logs/third");
    Moved::bent(|said| Said { before: Some(said.named.clone()), ..said })
        .assert_refused(1, "the parts go round in a circle: the one in lying.example/logs/lying is named again");
}

/// What is printed is what the records of all parts give; the server's own answer is to begin with the same parts.
#[test]
fn a_state_that_begins_with_other_parts_is_told() {
    let moved = Moved::new();
    let state = format!("{STREAM}/state?at=0");
    let with = |head: StreamHead| {
        let mut answer = StatesAnswer::parse(&moved.log.answer(&state)).unwrap();
        answer.earlier = vec![EarlierPart { head, checkpoint: Some(answer.checkpoint.clone()) }];
        moved.log.repent();
        moved.log.lie(&format!("{STREAM}/state"), Lie::Body(answer.to_json()));
        moved.ask(&["replay", "--earlier"])
    };
    let honest: Vec<serde_json::Value> = moved.ask(&["history", "--earlier"]).json();
    let continues = &honest[5]["continues"];
    let head = StreamHead {
        log: Origin::new(FIRST).unwrap(),
        stream: continues["stream"].as_str().unwrap().parse().unwrap(),
        seq: Seq::new(continues["seq"].as_u64().unwrap()).unwrap(),
        leaf: Hash::from_base64(continues["leaf_hash"].as_str().unwrap()).unwrap(),
    };
    let other = with(StreamHead { leaf: Hash::leaf(b"another"), ..head.clone() });
    assert!(other.code == 1 && other.stderr.contains("what the stream goes on from differs"), "{other:?}");
    // The right part, and states of the last one alone: it lived twice.
    let alone = with(head);
    assert!(alone.code == 1 && alone.stderr.contains("the state of PB-17 differs"), "{alone:?}");
    assert_eq!((&alone.json()[0]["lives"], &alone.json()[0]["document"]["status"]), (&2.into(), &"APPLIED".into()));
    // One that names none says another thing than its records too, whatever states it gives.
    moved.log.repent();
    for command in [&["replay", "--earlier"][..], &["diff", "--earlier"]] {
        let none = moved.ask(command);
        assert!(none.code == 1 && none.stderr.contains("what the stream goes on from differs"), "{none:?}");
    }
}

#[test]
fn a_part_is_verified_by_the_key_of_its_own_log() {
    let moved = Moved::new();
    let last = moved.log.vkey();
    for arguments in [&["history", "--earlier"][..], &["history", "--log", "first"], &["search", "--log", "first"]] {
        let ran = moved.with(&last, arguments);
        assert!(ran.code == 2 && ran.stderr.contains("is given; each log has its own"), "{ran:?}");
        let ran = moved.with(&format!("{last} {}", Model::new(FIRST, 7).vkey()), arguments);
        assert!(ran.code == 1 && ran.stderr.contains("the log's checkpoint is not verified"), "{ran:?}");
    }
    // Two logs that are called the same are told apart by their origins.
    let keys = format!("{} {}", moved.keys, Model::new("other.example/logs/first", 7).vkey());
    let ran = moved.with(&keys, &["history", "--log", "first"]);
    assert!(ran.code == 2 && ran.stderr.contains("are called so; give the origin"), "{ran:?}");
    assert_eq!(moved.with(&keys, &["history", "--log", FIRST]).code, 0);
    assert_eq!(moved.with(&keys, &["history", "--earlier"]).code, 0);
    for name in ["..", "../x", "A", ""] {
        assert_eq!(moved.ask(&["history", "--log", name]).code, 2, "{name}");
    }
}
