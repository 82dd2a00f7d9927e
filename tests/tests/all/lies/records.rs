//! A server that lies about audit records: whoever asks it refuses, with the right words, and an honest one raises none.

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model};
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::kind::IncidentFault;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::v1::{IntegrityProblem, Listed, Page, RecordBody, WrongPart};

const CREATED: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"PB-17","operation":"create"},
    "actor":{"id":"8a1f"},"values":{"whole":{"new":{"status":"APPLIED","owner":"Ada"}}},
    "classification":{"values":{"/owner":"restricted"}}}"#;
const UPDATED: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"PB-17","operation":"update"},
    "actor":{"id":"c33d"},"values":{"fields":{"/status":{"old":"APPLIED","new":"APPROVED"}}}}"#;
const OTHER: &str = r#"{"object":{"tenant":"pb","module":"tl","entity":"license","id":"PB-18","operation":"create"},
    "actor":{"id":"8a1f"},"values":{"whole":{"new":{"status":"SECRETLY"}}}}"#;
const ASKED: [&str; 8] = ["--tenant", "pb", "--module", "tl", "--entity", "license", "--object", "PB-17"];
const STREAM: &str = "v1/streams/entity/pb/tl/license/PB-17";
const HISTORY: &str = "v1/streams/entity/pb/tl/license/PB-17?from_seq=0&limit=500&proof=1";
const SEARCH: &str = "v1/records?tenant=pb&object=PB-17&limit=50&proof=1";

/// A log with three records of a license and one of another, and whoever asks about them.
struct Scene {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let log = LyingLog::of_size(0);
        log.record(CREATED);
        log.change(|model| model.grow(2, "entry"));
        log.record(UPDATED);
        log.record(OTHER);
        log.record(UPDATED);
        Self { log, folder: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let (url, key) = (self.log.url(), self.log.vkey());
        let (command, rest) = arguments.split_first().unwrap();
        cairn([&[*command, "--json", "--url", &url, "--key", &key], rest].concat())
    }

    fn ask(&self, command: &str, further: &[&str]) -> Ran {
        self.run(&[&[command], &ASKED[..], further].concat())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The honest answer, bent.
    fn bent(&self, target: &str, bend: impl FnOnce(&mut Page)) -> Lie {
        let mut page = Page::parse(&self.log.answer(target)).unwrap();
        bend(&mut page);
        Lie::Body(page.to_json())
    }

    /// A history that is answered in another way is refused with these words, and so is what is computed of it.
    fn assert_refused(&self, bend: impl FnOnce(&mut Page), words: &str) {
        self.log.lie(STREAM, self.bent(HISTORY, bend));
        for command in ["history", "replay", "diff"] {
            let ran = self.ask(command, &[]);
            assert!(ran.code == 1 && ran.stderr.contains(words), "{command}, {words}: {ran:?}");
            assert_eq!(ran.stdout, "", "{command}: nothing of it is shown");
        }
        self.log.repent();
    }
}

fn body(page: &mut Page, number: usize) -> &mut RecordBody {
    match &mut page.records[number] {
        Listed::Record(body) => body,
        Listed::Unverified(_) => panic!("a record"),
    }
}

#[test]
fn an_honest_server_raises_nothing() {
    let scene = Scene::new();
    let (state, scanned) = (scene.path("state"), scene.path("scanned"));
    for _ in 0..2 {
        for (command, further) in [
            ("history", &["--complete", "--scanned", &scanned, "--state", &state][..]),
            ("replay", &["--state", &state]),
            ("diff", &["--from", "0", "--state", &state]),
            ("search", &["--state", &state]),
        ] {
            let ran = scene.ask(command, further);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command}: {ran:?}");
        }
        scene.log.record(UPDATED);
        scene.log.change(|model| model.grow(600, "entry"));
    }
}

#[test]
fn a_history_with_a_gap_or_in_another_order_is_refused() {
    let scene = Scene::new();
    scene.assert_refused(|page| drop(page.records.remove(1)), "the next record of the stream is number 1, not 2");
    scene.assert_refused(|page| drop(page.records.remove(0)), "the next record of the stream is number 0, not 1");
    scene.assert_refused(|page| page.records.swap(1, 2), "the next record of the stream is number 1, not 2");
    scene.assert_refused(|page| page.records.push(page.records[2].clone()), "number 3, not 2");
    scene.assert_refused(|page| page.records.clear(), "without a record");
    scene.assert_refused(
        |page| {
            page.records.clear();
            page.next = "1".parse().ok();
        },
        "without a record",
    );
}

#[test]
fn a_record_that_is_left_out_at_the_end_is_found_by_reading_the_whole_log() {
    let scene = Scene::new();
    scene.log.lie(STREAM, scene.bent(HISTORY, |page| drop(page.records.pop())));
    // The chain can't tell; that none came after is the server's word.
    let claimed = scene.ask("history", &[]);
    assert_eq!((claimed.code, &claimed.json()[2]["complete"]), (0, &"claimed".into()), "{claimed:?}");
    let scanned = scene.path("scanned");
    for further in [&["--complete"][..], &["--complete", "--scanned", &scanned]] {
        let ran = scene.ask("history", further);
        assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran:?}");
        assert!(ran.stderr.contains("left out a record: entry 4 of the log is number 2 of the stream"), "{ran:?}");
    }
    // What was scanned honestly before is no help to who leaves out something later.
    scene.log.repent();
    assert_eq!(scene.ask("history", &["--complete", "--scanned", &scanned]).code, 0);
    scene.log.record(UPDATED);
    scene.log.lie(STREAM, scene.bent(HISTORY, |page| drop(page.records.pop())));
    let ran = scene.ask("history", &["--complete", "--scanned", &scanned]);
    assert!(ran.code == 1 && ran.stderr.contains("entry 5 of the log is number 3"), "{ran:?}");
    scene.log.lie(STREAM, scene.bent(HISTORY, |page| page.records.truncate(1)));
    let ran = scene.ask("history", &["--complete", "--scanned", &scanned]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn an_entry_that_hides_a_record_is_told() {
    let scene = Scene::new();
    let shown = scene.ask("history", &[]).json()[0]["stream"].as_str().unwrap().to_owned();
    scene.log.change(|model| _ = model.push(format!("cairn.record/1\n{{\"stream\":\"{shown}\"}}\n").as_bytes()));
    assert_eq!(scene.ask("history", &[]).code, 0);
    let ran = scene.ask("history", &["--complete"]);
    assert!(ran.code == 1 && ran.stderr.contains("entry 5 of the log bears the stream's id"), "{ran:?}");
}

#[test]
fn another_objects_history_is_refused() {
    let scene = Scene::new();
    let other = HISTORY.replace("PB-17", "PB-18");
    scene.log.lie(STREAM, Lie::Body(scene.log.answer(&other)));
    let ran = scene.ask("history", &[]);
    let words = r#"another stream, ["entity","pb","tl","license","PB-18"]"#;
    assert!(ran.code == 1 && ran.stderr.contains(words), "{ran:?}");
    scene.log.repent();
    // A log that itself put another object's record into the stream, and signed that.
    let name = |text: &'static str| Name::new(text).unwrap();
    let (tenant, module) = (name("pb"), name("tl"));
    let stream = StreamName::Entity { tenant, module, entity: name("license"), object: name("PB-17") };
    scene.log.trail(|trail, model| _ = trail.push_into(model, OTHER, stream));
    let page = scene.log.trail(|trail, model| {
        let indexes = [0, 2, 4, 5].map(|index| LeafIndex::new(index).unwrap());
        let body = |index| Listed::Record(Box::new(trail.body(model, model.size(), index)));
        indexes.map(body).to_vec()
    });
    let ran = {
        let mut answer = Page::parse(&scene.log.answer(&HISTORY.replace("PB-17", "PB-18"))).unwrap();
        (answer.stream, answer.records) = (None, page);
        scene.log.lie(STREAM, Lie::Body(answer.to_json()));
        scene.ask("history", &[])
    };
    assert!(ran.code == 1 && ran.stderr.contains("belongs in another stream"), "{ran:?}");
}

#[test]
fn what_a_record_says_can_not_be_changed_withheld_or_lost() {
    let scene = Scene::new();
    let other = Page::parse(&scene.log.answer(&HISTORY.replace("PB-17", "PB-18"))).unwrap();
    let foreign = other.records[0].record().unwrap().clone();
    let swapped = |page: &mut Page| body(page, 0).disclosures = foreign.disclosures.clone();
    scene.assert_refused(swapped, "nothing is there for the digest");
    let spoiled = |page: &mut Page| {
        let text = body(page, 0).disclosures.as_str().to_owned();
        let changed = format!("{}{}", if text.starts_with('A') { 'B' } else { 'A' }, &text[1..]);
        body(page, 0).disclosures = Disclosures::parse(&changed).unwrap();
    };
    scene.assert_refused(spoiled, "nothing is there for the digest");
    let lost = |page: &mut Page| {
        let first = body(page, 0).disclosures.iter().next().unwrap().0;
        body(page, 0).disclosures = body(page, 0).disclosures.filtered(|digest| *digest != first);
    };
    scene.assert_refused(lost, "neither a disclosure nor a redaction record");
    // What has no class is withheld from nobody who may read the record.
    let withheld = |page: &mut Page| {
        let record = body(page, 0);
        let all: Vec<_> = record.disclosures.iter().map(|(digest, _)| digest).collect();
        (record.disclosures, record.withheld) = (Disclosures::none(), Vec::new());
        record.withheld = all.into_iter().filter(|digest| record.leaf.contains(&digest.to_string())).collect();
    };
    scene.assert_refused(withheld, "withheld from a reader who may see it");
    scene.assert_refused(|page| body(page, 1).leaf = body(page, 1).leaf.replace("2023", "2022"), "not proven");
    scene.assert_refused(|page| body(page, 1).integrity.proof = body(page, 2).integrity.proof.clone(), "not proven");
    scene.assert_refused(|page| body(page, 1).integrity.proof = None, "no inclusion proof");
    let elsewhere = |page: &mut Page| body(page, 1).integrity.index = LeafIndex::new(3).unwrap();
    scene.assert_refused(elsewhere, "not proven");
}

#[test]
fn an_answer_of_an_older_tree_or_of_another_log_is_refused() {
    let scene = Scene::new();
    scene.log.show(Some(4));
    let old = scene.log.answer(HISTORY);
    scene.log.show(None);
    scene.log.lie(STREAM, Lie::Body(old));
    let ran = scene.ask("history", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("stale: it covers 4 entries"), "{ran:?}");
    scene.log.repent();
    for (origin, seed, words) in
        [("lying.example/log", 2, "not trusted"), ("other.example/log", 1, "in the log other.example/log, and not in")]
    {
        let other = LyingLog::serve(Model::new(origin, seed));
        other.record(CREATED);
        scene.log.lie(STREAM, Lie::Body(other.answer(HISTORY)));
        let ran = scene.ask("history", &[]);
        assert!(ran.code == 1 && ran.stderr.contains(words), "{words}: {ran:?}");
        scene.log.repent();
    }
}

/// Another log of the same name and key, whose history differs after its first entries.
fn forked(entries: u64) -> LyingLog {
    let log = LyingLog::of_size(0);
    log.record(CREATED);
    log.record(OTHER);
    log.change(|model| model.grow(entries, "other"));
    log
}

#[test]
fn records_of_a_fork_are_evidence() {
    for entries in [5, 9] {
        let scene = Scene::new();
        let (other, state) = (forked(entries), scene.path("state"));
        // Tiles of whichever tree is the larger one.
        scene.log.lie(STREAM, Lie::Body(other.answer(HISTORY)));
        if entries > 5 {
            scene.log.lie("tile/0/000.p/9", Lie::Body(other.answer("tile/0/000.p/9")));
        }
        let ran = scene.ask("history", &["--state", &state]);
        assert_eq!(ran.code, 3, "{entries}: {ran:?}");
        let evidence = ran.json()[0]["evidence"].as_str().unwrap().to_owned();
        assert_eq!(cairn(["evidence", "verify", "--key", &scene.log.vkey(), &evidence]).code, 0);
        // Where nothing is kept, the evidence is said.
        let ran = scene.ask("history", &[]);
        assert!(ran.code == 3 && ran.stderr.contains("\"fork\""), "{ran:?}");
    }
}

#[test]
fn a_log_that_was_cut_and_went_on_is_caught_by_what_is_remembered() {
    let scene = Scene::new();
    let state = scene.path("state");
    assert_eq!(scene.ask("history", &["--state", &state]).code, 0);
    scene.log.trail(|trail, model| {
        *model = model.cut(4);
        *trail = cairn_tests::lying::Trail::default();
        model.grow(7, "other");
    });
    scene.log.record(CREATED);
    // Whoever remembers nothing can't tell.
    assert_eq!(scene.ask("history", &[]).code, 0);
    let ran = scene.ask("history", &["--state", &state]);
    assert_eq!((ran.code, &ran.json()[0]["kind"]), (3, &"fork".into()), "{ran:?}");
    scene.log.change(|model| *model = model.cut(3));
    let ran = scene.ask("search", &["--state", &scene.path("fresh")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    scene.log.show(Some(2));
    let ran = scene.ask("search", &["--state", &scene.path("fresh")]);
    assert!(ran.code == 1 && ran.stderr.contains("shows an old head: its checkpoint has 2 entries"), "{ran:?}");
}

#[test]
fn a_states_answer_that_is_not_what_the_records_give_is_told() {
    let scene = Scene::new();
    let earlier = scene.log.answer(&format!("{STREAM}/state?at=0"));
    scene.log.lie(&format!("{STREAM}/state"), Lie::Body(earlier));
    let ran = scene.ask("replay", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("the state of PB-17 differs"), "{ran:?}");
    // What is printed is what the records give.
    let lines = ran.json();
    assert_eq!(
        (&lines[0]["document"]["status"], &lines[2]["compared"]),
        (&"APPROVED".into(), &false.into()),
        "{ran:?}"
    );
    let other = scene.log.answer(&format!("{STREAM}/diff?from=0&to=0"));
    scene.log.lie(&format!("{STREAM}/diff"), Lie::Body(other));
    let ran = scene.ask("diff", &["--from", "0"]);
    assert!(ran.code == 1 && ran.stderr.contains("the number of objects that differ differs"), "{ran:?}");
    assert_eq!(ran.json()[0]["new"], "APPROVED");
    // A server that does not answer says nothing against its records.
    scene.log.repent();
    scene.log.lie(&format!("{STREAM}/state"), Lie::Status(400, None));
    let ran = scene.ask("replay", &[]);
    assert_eq!((ran.code, &ran.json()[2]["compared"]), (0, &false.into()), "{ran:?}");
}

#[test]
fn a_search_is_answered_with_what_was_asked_for_in_order_and_once() {
    let scene = Scene::new();
    let ask = || scene.run(&["search", "--tenant", "pb", "--object", "PB-17"]);
    assert_eq!(ask().code, 0);
    let all = Page::parse(&scene.log.answer("v1/records?limit=50&proof=1")).unwrap();
    let refused = |bend: &dyn Fn(&mut Page), words: &str| {
        scene.log.lie("v1/records", scene.bent(SEARCH, bend));
        let ran = ask();
        assert!(ran.code == 1 && ran.stderr.contains(words), "{words}: {ran:?}");
        scene.log.repent();
    };
    refused(&|page| page.records.insert(1, all.records[1].clone()), "its object is PB-18");
    refused(&|page| page.records.swap(0, 1), "the newest should come first");
    refused(&|page| page.records.insert(0, page.records[0].clone()), "and each once");
    refused(&|page| body(page, 0).before = None, "without the one before it in its stream");
    let strange = |page: &mut Page| {
        let before = body(page, 1).before.clone();
        body(page, 0).before = before;
    };
    refused(&strange, "the record before the one at 4");
    for (flag, value, words) in [
        ("--actor", "8a1f", "its actor is c33d"),
        ("--subject", "person:1", "its subject is not there, or not shown"),
        ("--tenant", "jk", "its tenant is pb"),
        ("--operation", "delete", "its operation is update"),
        ("--until", "2023-11-14T22:13:21Z", "its server's time is 2023-11-14T22:13:24"),
        ("--topic", "t", "its topic is not there"),
    ] {
        scene.log.lie("v1/records", scene.bent(SEARCH, |_| {}));
        let ran = scene.run(&["search", flag, value]);
        assert!(ran.code == 1 && ran.stderr.contains(words), "{flag}: {ran:?}");
        scene.log.repent();
    }
}

#[test]
fn what_the_server_can_not_verify_is_shown_in_its_place_and_fails() {
    let scene = Scene::new();
    let digest = cairn_tree::record::digest::Digest::of("some");
    let (part, index) = (WrongPart::Disclosure(digest, IncidentFault::Missing), LeafIndex::new(2).unwrap());
    let problem = IntegrityProblem { index, part, detail: "a disclosure is\u{1b}[2J missing".to_owned() };
    let broken = |page: &mut Page| {
        let place = page.records.iter().position(|listed| body_index(listed) == 2).unwrap();
        page.records[place] = Listed::Unverified(problem.clone());
    };
    scene.log.lie("v1/records", scene.bent(SEARCH, broken));
    let ran = scene.run(&["search", "--object", "PB-17"]);
    let lines = ran.json();
    assert_eq!((ran.code, &lines[1]["kind"], &lines[1]["index"]), (1, &"problem".into(), &2.into()), "{ran:?}");
    assert_eq!((&lines[3]["records"], &lines[3]["unverified"]), (&2.into(), &1.into()));
    assert!(ran.stderr.contains("can't verify 1 record") && !ran.stdout.contains('\u{1b}'), "{ran:?}");
    scene.log.lie(STREAM, scene.bent(HISTORY, broken));
    let ran = scene.ask("history", &[]);
    let lines = ran.json();
    let kinds: Vec<_> = lines.iter().map(|line| (line["kind"].as_str().unwrap(), line["index"].as_u64())).collect();
    assert_eq!(kinds, [("record", Some(0)), ("problem", Some(2)), ("record", Some(4))]);
    assert!(ran.code == 1 && ran.stderr.contains("can't verify entry 2: the history is broken there"), "{ran:?}");
    for (command, further) in [("replay", &[][..]), ("diff", &[]), ("history", &["--complete"])] {
        let ran = scene.ask(command, further);
        assert!(ran.code == 1 && ran.stderr.contains("broken there"), "{command}: {ran:?}");
    }
}

#[test]
fn damage_that_the_server_reports_of_a_first_record_is_told_by_all_who_read_its_stream() {
    let scene = Scene::new();
    let digest = cairn_tree::record::digest::Digest::of("some");
    for part in [WrongPart::Disclosure(digest, IncidentFault::Changed), WrongPart::Leaf] {
        let detail = "what is stored\u{1b}[2J was changed".to_owned();
        let problem = IntegrityProblem { index: LeafIndex::new(0).unwrap(), part, detail };
        for whole in [false, true] {
            let broken = |page: &mut Page| {
                let place = page.records.iter().position(|listed| body_index(listed) == 0).unwrap();
                page.records[place] = Listed::Unverified(problem.clone());
                page.broken_from = Some(problem.index);
                if whole {
                    page.records.truncate(1);
                }
            };
            scene.log.lie(STREAM, scene.bent(HISTORY, broken));
            for (command, further) in
                [("history", &[][..]), ("history", &["--complete"]), ("replay", &[]), ("diff", &[])]
            {
                let ran = scene.ask(command, further);
                let words =
                    format!("can't verify entry 0, with which the stream begins ({}: what is stored", part.name());
                assert!(ran.code == 1 && ran.stderr.contains(&words), "{command}: {ran:?}");
                assert!(ran.stdout.is_empty() && !ran.stderr.contains('\u{1b}'), "{command}: {ran:?}");
            }
            scene.log.repent();
        }
    }
}

fn body_index(listed: &Listed) -> u64 {
    listed.record().map_or(u64::MAX, |body| body.integrity.index.get())
}

#[test]
fn whatever_byte_of_an_answer_is_changed_nothing_else_is_taken_for_good() {
    let scene = Scene::new();
    let honest = scene.ask("history", &[]);
    let length = scene.log.answer(HISTORY).len();
    let mut refused = 0;
    for offset in (0..length).step_by(37) {
        scene.log.lie(STREAM, Lie::FlipBit(offset));
        let ran = scene.ask("history", &[]);
        // What proves nothing, such as the view, may be changed, and is not looked at.
        let same = ran.code == 0 && ran.stdout == honest.stdout;
        assert!(same || ran.code == 1, "byte {offset}: {ran:?}");
        refused += usize::from(!same);
        scene.log.repent();
    }
    assert!(refused > length / 37 / 2, "{refused} of {}", length / 37);
}
