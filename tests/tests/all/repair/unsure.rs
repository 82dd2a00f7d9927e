//! Rows that stood in a damaged part of the write-ahead log alone, and that nothing else proves: a repair says what may be
//! gone, and a log of which no policy is found publishes nothing before its operator has said which one holds.

use std::fs;
use std::path::PathBuf;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, Server, cairnd};
use cairn_tests::witness::{Fault, Witness, policy};
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::policy::{Policy, Trust};
use cairn_tree::receipt::Receipt;
use serde_json::Value;

use super::rows::with_ending;
use super::{MENDABLE, SOUND, repair_json};
use crate::damage::{figure, get, wait_for};
use crate::scene::copy;

/// What every policy of these tests says, and nothing else in a database.
const MARK: &[u8] = b"quorum all-of-them";

/// A database with a log `main` and two witnesses, of which both must cosign.
struct Scene {
    folder: tempfile::TempDir,
    data: Data,
    /// One that goes on where the other is damaged, as a mirror.
    whole: Data,
    witnesses: Vec<Witness>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        for (name, value) in
            [("witnessed_wait_seconds", 2), ("witness_request_seconds", 1), ("witness_backoff_seconds", 1)]
        {
            data.set_limit(name, value);
        }
        let witnesses: Vec<Witness> = (1..=2).map(|number| Witness::serve(&format!("w{number}"), number)).collect();
        witnesses.iter().for_each(|witness| witness.trust(&data.main.vkey));
        let whole = Data::at(folder.path().join("whole"), &data);
        Self { folder, data, whole, witnesses }
    }

    fn policy_file(&self) -> PathBuf {
        let file = self.folder.path().join("policy");
        fs::write(&file, policy(&self.witnesses.iter().collect::<Vec<_>>(), 2)).unwrap();
        file
    }

    /// What readers trust who go by the policy.
    fn trust(&self) -> Trust {
        let text = fs::read_to_string(self.policy_file()).unwrap();
        Trust::Policy(Policy::parse(format!("log {}\n{text}", self.data.main.vkey).as_bytes()).unwrap())
    }

    /// Says which policy holds, as an operator does.
    fn say(&self, data: &Data, what: &[&str]) {
        let ended = cairnd(data.path(), &[&["log", "policy", "main"], what].concat());
        assert_eq!(ended.code, SOUND, "{ended:?}");
    }

    fn say_policy(&self, data: &Data) {
        self.say(data, &["--policy", self.policy_file().to_str().unwrap()]);
    }

    fn append(&self, server: &Server, (wait, key): (&str, &str), entry: &[u8]) -> Response {
        let request = Request::post(format!("/logs/main/entries?wait={wait}"), entry)
            .with("authorization", format!("Bearer {}", self.data.token))
            .with("idempotency-key", key)
            .with("accept", "text/plain");
        Connection::open(server.address()).unwrap().ask(&request).unwrap()
    }

    /// The same, and the index that its receipt says.
    fn appended(&self, server: &Server, how: (&str, &str), entry: &[u8]) -> u64 {
        let answer = self.append(server, how, entry);
        assert_eq!(answer.status, 200, "{}", answer.text());
        Receipt::parse(&answer.body).unwrap().index().get()
    }

    /// Ends the server where it stands, and flips a bit of the policy in the write-ahead log. The start refuses then.
    fn damage_policy(&self, server: Server) {
        server.kill();
        copy(self.data.path(), self.whole.path());
        let mut flipped = 0;
        for log in with_ending(self.data.path(), ".log") {
            let mut bytes = fs::read(&log).unwrap();
            let found = bytes.windows(MARK.len()).position(|window| window == MARK);
            let Some(at) = found else { continue };
            bytes[at] ^= 1;
            fs::write(&log, bytes).unwrap();
            flipped += 1;
        }
        assert_eq!(flipped, 1, "the policy does not stand in the write-ahead log");
        let refused = self.data.try_serve().err().expect("the start did not refuse");
        assert!(refused.stderr.contains(".log") || refused.stderr.contains("checksum"), "{refused:?}");
    }

    /// Mends it with what the whole one serves, and says what the repair said.
    fn mend(&self) -> Value {
        let mirror = self.whole.serve();
        let url = mirror.log_url("main");
        let (code, checked) = repair_json(self.data.path(), &["--mirror", &url, "--check"]);
        assert_eq!(code, MENDABLE, "{checked}");
        let (code, said) = repair_json(self.data.path(), &["--mirror", &url]);
        assert_eq!((code, &said["wrong"], &said["logs"]), (SOUND, &checked["wrong"], &checked["logs"]), "{said}");
        assert_eq!(mirror.stop().code, SOUND);
        self.data.assert_sound();
        said
    }

    /// The checkpoint, which the policy accepts whenever there is one.
    fn checkpoint(&self, server: &Server) -> Option<u64> {
        let answer = get(server, "/logs/main/checkpoint");
        if answer.status == 503 {
            assert!(answer.text().contains("urn:cairn:problem:log-held"), "{}", answer.text());
            return None;
        }
        let signed = SignedCheckpoint::parse(&answer.body).unwrap();
        let verified = self.trust().verify(&signed).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
        Some(verified.checkpoint().size().get())
    }

    /// No append, and no other checkpoint than this; whoever asks is told why, and reads go on.
    fn assert_held(&self, server: &Server, checkpoint: Option<u64>) {
        let answer = self.append(server, ("integrated", "another"), b"held");
        assert_eq!(answer.status, 503, "{}", answer.text());
        for words in [
            "urn:cairn:problem:log-held",
            "The log is held",
            "a repair lost the log's witness policy",
            "cairnd log policy NAME",
        ] {
            assert!(answer.text().contains(words), "{words}: {}", answer.text());
        }
        assert!(answer.header("retry-after").is_some());
        assert_eq!(self.checkpoint(server), checkpoint);
        for target in ["head", "entries/0", "proof/inclusion?index=0&size=2", "tile/entries/000.p/1"] {
            assert_eq!(get(server, &format!("/logs/main/{target}")).status, 200, "{target}");
        }
        let of_checkpoint = get(server, "/logs/main/proof/inclusion?index=0").status;
        assert_eq!(of_checkpoint, if checkpoint.is_some() { 200 } else { 503 });
        let ready = get(server, "/readyz");
        assert!(
            ready.status == 503 && ready.text().contains("cairnd log policy main --policy FILE"),
            "{}",
            ready.text()
        );
        let of_main = |name: &str| figure(server, &format!("{name}{{log=\"main\"}}"));
        assert_eq!((of_main("cairn_log_held"), of_main("cairn_log_policy_lost")), (1.0, 1.0));
        let listed = cairnd(self.data.path(), &["log", "list", "--json"]);
        assert!(listed.stdout.contains("\"state\":\"held: a repair lost its witness policy"), "{listed:?}");
        let shown = cairnd(self.data.path(), &["log", "policy", "main", "--show"]);
        assert!(shown.stdout.contains("a repair lost the witness policy of log main"), "{shown:?}");
    }
}

/// What a repair says of rows of this sort.
fn told<'a>(said: &'a Value, place: &str) -> Option<&'a Value> {
    said["wrong"].as_array().unwrap().iter().find(|wrong| wrong["place"] == place)
}

/// The database was not sound because of its write-ahead log.
fn assert_names_the_log(said: &Value) {
    let found =
        |wrong: &Value| wrong["found"].as_str().is_some_and(|found| found.contains("its write-ahead log can't be"));
    assert!(said["wrong"].as_array().unwrap().iter().any(found), "{said}");
}

/// The policy, the checkpoint and the last key are in one block of the write-ahead log, and nowhere else.
fn lost_with_its_checkpoint() -> Scene {
    let scene = Scene::new();
    let server = scene.data.serve();
    for number in 0..3 {
        scene.appended(&server, ("integrated", &format!("key-{number}")), format!("entry {number}").as_bytes());
    }
    scene.say_policy(&scene.data);
    assert_eq!(scene.appended(&server, ("witnessed", "the-key"), b"with a key"), 3);
    assert_eq!(scene.appended(&server, ("witnessed", "the-key"), b"with a key"), 3, "a retry gets the same");
    scene.damage_policy(server);
    let said = scene.mend();
    assert_names_the_log(&said);
    for (place, words) in [("the policy", "cairnd log policy NAME"), ("the idempotency keys", "appended a second time")]
    {
        let told = told(&said, place).unwrap_or_else(|| panic!("{place}: {said}"));
        assert_eq!((&told["remedy"], &told["log"]), (&"unsure".into(), &"main".into()), "{said}");
        assert!(told["means"].as_str().unwrap().contains(words), "{said}");
    }
    assert_eq!(told(&said, "the checkpoint").unwrap()["remedy"], "dropped", "{said}");
    assert_eq!((&said["logs"][0]["held"], &said["logs"][0]["size"]), (&true.into(), &4.into()), "{said}");
    let incidents = super::incidents(scene.data.path());
    let is_told = |place: &str| incidents.iter().any(|one| one["found"].as_str().unwrap().starts_with(place));
    assert!(is_told("the policy: none is found") && is_told("the idempotency keys: some may be gone"), "{incidents:?}");
    for _ in 0..2 {
        let server = scene.data.serve();
        scene.assert_held(&server, None);
        assert_eq!(server.stop().code, SOUND);
    }
    scene
}

#[test]
fn a_log_whose_policy_may_be_gone_goes_on_once_there_is_to_be_none() {
    let scene = lost_with_its_checkpoint();
    let server = scene.data.serve();
    scene.say(&scene.data, &["--none"]);
    // What the repair said of keys is so.
    assert_eq!(scene.appended(&server, ("integrated", "the-key"), b"with a key"), 4);
    assert_eq!(get(&server, "/logs/main/checkpoint").body, get(&server, "/logs/main/head").body);
    assert_eq!((get(&server, "/readyz").status, figure(&server, "cairn_scrub_findings_total")), (200, 0.0));
    assert_eq!(server.stop().code, SOUND);
    let server = scene.data.serve();
    assert_eq!(scene.appended(&server, ("integrated", "the-key"), b"with a key"), 4);
    assert_eq!(server.stop().code, SOUND);
    scene.data.assert_sound();
}

#[test]
fn a_log_whose_policy_may_be_gone_goes_on_under_the_one_that_is_said() {
    for stopped in [false, true] {
        let scene = lost_with_its_checkpoint();
        scene.witnesses[0].fault(Some(Fault::Dead));
        scene.witnesses[1].fault(Some(Fault::Dead));
        let mut server = scene.data.serve();
        if stopped {
            assert_eq!(server.stop().code, SOUND);
            scene.say_policy(&scene.data);
            server = scene.data.serve();
        } else {
            scene.say_policy(&scene.data);
        }
        // As after any start: its witnesses are asked whether it may go on, and nothing is published that they have not seen.
        let answer = scene.append(&server, ("integrated", "another"), b"held");
        assert!(answer.status == 503 && answer.text().contains("witnesses have not agreed yet"), "{}", answer.text());
        assert_eq!(scene.checkpoint(&server), None);
        wait_for("the witnesses to be named", || {
            get(&server, "/readyz").text().contains("witnesses agree that it goes on")
        });
        assert_eq!(figure(&server, "cairn_log_policy_lost{log=\"main\"}"), 0.0);
        scene.witnesses.iter().for_each(|witness| witness.fault(None));
        // Whatever is served on the way has met the policy.
        wait_for("a checkpoint", || scene.checkpoint(&server).is_some());
        wait_for("the log to go on", || scene.append(&server, ("witnessed", "another"), b"on").status == 200);
        let answer = scene.append(&server, ("witnessed", "another"), b"on");
        let receipt = Receipt::parse(&answer.body).unwrap();
        receipt.verify(b"on", &scene.trust()).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
        assert_eq!(server.stop().code, SOUND);
        scene.data.assert_sound();
    }
}

/// The high-water file goes on knowing which one it was.
#[test]
fn a_policy_that_a_repair_lost_is_found_by_another_with_a_backup_that_has_it() {
    let scene = lost_with_its_checkpoint();
    let dest = scene.folder.path().join("backups").display().to_string();
    let made = cairnd(scene.whole.path(), &["backup", "--to", &dest]);
    assert_eq!(made.code, SOUND, "{made:?}");
    let (code, said) = repair_json(scene.data.path(), &[]);
    assert_eq!((code, &said["sound"], &said["logs"][0]["held"]), (SOUND, &true.into(), &true.into()), "{said}");
    let (code, said) = repair_json(scene.data.path(), &["--from", &dest]);
    assert_eq!((code, &said["mended"], &said["logs"][0]["held"]), (SOUND, &true.into(), &false.into()), "{said}");
    let policy = told(&said, "the policy").unwrap_or_else(|| panic!("{said}"));
    assert_eq!(policy["remedy"], "from", "{said}");
    let server = scene.data.serve();
    wait_for("the log to go on", || scene.append(&server, ("witnessed", "on"), b"on").status == 200);
    assert_eq!(scene.checkpoint(&server), Some(5));
    assert_eq!(server.stop().code, SOUND);
    scene.data.assert_sound();
}

/// What the operator has said since is in force, whatever a backup has.
#[test]
fn a_policy_that_a_repair_lost_is_not_brought_back_once_another_is_said() {
    let scene = lost_with_its_checkpoint();
    let dest = scene.folder.path().join("backups").display().to_string();
    assert_eq!(cairnd(scene.whole.path(), &["backup", "--to", &dest]).code, SOUND);
    scene.say(&scene.data, &["--none"]);
    let (code, said) = repair_json(scene.data.path(), &["--from", &dest]);
    assert_eq!((code, &said["sound"], &said["logs"][0]["held"]), (SOUND, &true.into(), &false.into()), "{said}");
}

/// What was published before the damage stands in a later block.
#[test]
fn a_checkpoint_that_stands_is_served_on_while_nobody_knows_the_policy() {
    let scene = Scene::new();
    let server = scene.data.serve();
    scene.say_policy(&scene.data);
    for number in 0..40 {
        scene.appended(&server, ("witnessed", &format!("key-{number}")), &[number; 4_000]);
    }
    scene.damage_policy(server);
    let said = scene.mend();
    assert_names_the_log(&said);
    assert!(
        told(&said, "the policy").unwrap()["remedy"] == "unsure" && told(&said, "the checkpoint").is_none(),
        "{said}"
    );
    let server = scene.data.serve();
    scene.assert_held(&server, Some(40));
    scene.say_policy(&scene.data);
    assert_eq!(scene.checkpoint(&server), Some(40));
    wait_for("the log to go on", || scene.append(&server, ("witnessed", "on"), b"on").status == 200);
    assert_eq!(scene.checkpoint(&server), Some(41));
}

/// It stands in a table, and the high-water file knows that it is the newest.
#[test]
fn a_log_whose_policy_is_found_is_not_held() {
    let scene = Scene::new();
    scene.say_policy(&scene.data);
    let server = scene.data.serve();
    for number in 0..3 {
        wait_for("the witnesses", || {
            scene.append(&server, ("witnessed", &format!("{number}")), &[number]).status == 200
        });
    }
    // The same, once more: what is damaged is this row, and not the one that a start wrote to a table.
    scene.say_policy(&scene.data);
    scene.damage_policy(server);
    let said = scene.mend();
    assert_names_the_log(&said);
    assert_eq!((told(&said, "the policy"), &said["logs"][0]["held"]), (None, &false.into()), "{said}");
    let server = scene.data.serve();
    wait_for("the log to go on", || scene.append(&server, ("witnessed", "on"), b"on").status == 200);
    assert!(scene.checkpoint(&server).is_some_and(|size| size >= 4));
}

/// The one that stands in a table was changed since, in what is damaged: it is not taken for the newest.
#[test]
fn a_log_of_which_an_older_policy_is_found_is_held() {
    let scene = Scene::new();
    let older = scene.folder.path().join("older");
    fs::write(&older, policy(&[&scene.witnesses[0]], 1)).unwrap();
    scene.say(&scene.data, &["--policy", older.to_str().unwrap()]);
    // A start writes it to a table.
    let server = scene.data.serve();
    wait_for("the witness", || scene.append(&server, ("witnessed", "0"), b"0").status == 200);
    scene.say_policy(&scene.data);
    scene.damage_policy(server);
    let said = scene.mend();
    assert_names_the_log(&said);
    let policy = told(&said, "the policy").unwrap_or_else(|| panic!("{said}"));
    assert_eq!((&policy["remedy"], &said["logs"][0]["held"]), (&"unsure".into(), &true.into()), "{said}");
    assert!(policy["found"].as_str().unwrap().contains("not the newest"), "{said}");
    let server = scene.data.serve();
    let answer = scene.append(&server, ("integrated", "another"), b"held");
    assert!(answer.status == 503 && answer.text().contains("cairnd log policy NAME"), "{}", answer.text());
    scene.say_policy(&scene.data);
    wait_for("the log to go on", || scene.append(&server, ("witnessed", "on"), b"on").status == 200);
}
