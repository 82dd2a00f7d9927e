//! Monitors that know a log's old key alone: honest changes are followed along the log's own statements and told of, and
//! nothing else makes them take a key for the log's.

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model};
use cairn_tree::checkpoint::Origin;
use cairn_tree::note::{KeyName, SignatureType, SignerKey, VerifierKey};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::statement::{KeyChange, KeyStatement, Statement};
use cairn_tree::store::DatabaseId;
use cairn_tree::wire::keys::{KeysAnswer, StatementAnswer};

const ORIGIN: &str = "lying.example/log";
const OLD: u8 = 1;
const NEW: u8 = 2;
const THIEFS: u8 = 9;

fn key(seed: u8) -> SignerKey {
    SignerKey::from_seed(KeyName::new(ORIGIN).unwrap(), SignatureType::ED25519, &[seed; 32]).unwrap()
}

fn vkey(seed: u8) -> VerifierKey {
    key(seed).verifier_key().clone()
}

fn sign_with(model: &mut Model, seeds: &[u8]) {
    let keys: Vec<_> = seeds.iter().map(|&seed| (SignatureType::ED25519, seed)).collect();
    model.sign_with(&keys);
}

/// Says, as an entry of the log, that a key begins or ceases to sign, signed by these keys.
fn state(model: &mut Model, before: &[u8], (seed, status): (u8, KeyChange), by: &[u8]) -> StatementAnswer {
    let size = TreeSize::new(model.size()).unwrap();
    let before = before.iter().map(|&seed| vkey(seed)).collect();
    let database = DatabaseId::new([7; 16]);
    let statement =
        KeyStatement::new(Origin::new(ORIGIN).unwrap(), database, size, before, (vkey(seed), status)).unwrap();
    let by: Vec<SignerKey> = by.iter().map(|&seed| key(seed)).collect();
    let statement = Statement::Key(statement).sign(&by.iter().collect::<Vec<_>>()).unwrap().encode();
    StatementAnswer { index: model.push(statement.as_bytes()), statement }
}

/// The new key takes the old one's place.
fn rotate(model: &mut Model) -> Vec<StatementAnswer> {
    let added = state(model, &[OLD], (NEW, KeyChange::Active), &[OLD, NEW]);
    model.grow(model.size() + 20, "entry");
    let retired = state(model, &[OLD, NEW], (OLD, KeyChange::Retired), &[OLD, NEW]);
    sign_with(model, &[NEW]);
    vec![added, retired]
}

/// A log of 300 entries, and a monitor that was given the old key.
struct Monitored {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Monitored {
    fn new() -> Self {
        let mut model = Model::new(ORIGIN, OLD);
        model.grow(300, "entry");
        let monitored = Self { log: LyingLog::serve(model), folder: tempfile::tempdir().unwrap() };
        assert_eq!(monitored.look(&[OLD], &[]).code, 0);
        monitored
    }

    /// Changes the log, and what it says about its keys.
    fn change(&self, change: impl FnOnce(&mut Model) -> Vec<StatementAnswer>) {
        let mut statements = Vec::new();
        self.log.change(|model| statements = change(model));
        self.say(statements);
    }

    fn say(&self, statements: Vec<StatementAnswer>) {
        let origin = ORIGIN.to_owned();
        let answer = KeysAnswer { origin, keys: Vec::new(), statements, predecessor: None, successor: None };
        self.log.repent();
        self.log.lie("keys", Lie::Body(serde_json::to_vec(&answer).unwrap()));
    }

    fn grow(&self) {
        self.log.change(|model| model.grow(model.size() + 300, "entry"));
    }

    fn look(&self, keys: &[u8], further: &[&str]) -> Ran {
        let (url, state) = (self.log.url(), self.folder.path().join("state"));
        let keys: Vec<String> = keys.iter().map(|&seed| vkey(seed).to_string()).collect();
        let keys = keys.join(" ");
        let arguments = ["monitor", "--json", "--once", "--stale-after", "0s", "--interval", "20ms", "--url", &url];
        let arguments = arguments.into_iter().chain(["--key", &keys, "--state", state.to_str().unwrap()]);
        cairn(arguments.chain(further.iter().copied()))
    }

    /// How often the log was asked about its keys.
    fn asked(&self) -> usize {
        self.log.requests().iter().filter(|request| request.contains(" keys")).count()
    }
}

fn events(ran: &Ran, name: &str) -> Vec<serde_json::Value> {
    ran.json().into_iter().filter(|event| event["event"] == name).collect()
}

/// This alarm and no other, and no key taken for the log's.
#[track_caller]
fn assert_alarm(ran: &Ran, alarm: &str) -> String {
    assert_eq!(ran.code, 3, "{ran:?}");
    let raised = events(ran, "alarm");
    assert_eq!((raised.len(), &raised[0]["alarm"]), (1, &alarm.into()), "{ran:?}");
    raised[0]["evidence"].as_str().unwrap().to_owned()
}

#[test]
fn an_honest_change_of_keys_is_followed_told_of_and_remembered() {
    let monitored = Monitored::new();
    monitored.change(|model| {
        let added = state(model, &[OLD], (NEW, KeyChange::Active), &[OLD, NEW]);
        sign_with(model, &[OLD, NEW]);
        vec![added]
    });
    let ran = monitored.look(&[OLD], &[]);
    assert_eq!(
        (ran.code, events(&ran, "keys").len(), monitored.asked()),
        (0, 0, 0),
        "the old key still signs: {ran:?}"
    );

    let monitored = Monitored::new();
    monitored.change(rotate);
    let ran = monitored.look(&[OLD], &[]);
    assert_eq!((ran.code, &*ran.stderr), (0, ""), "{ran:?}");
    let told = events(&ran, "keys");
    assert_eq!((told.len(), &told[0]["keys"]), (1, &serde_json::json!([vkey(NEW).to_string()])), "{ran:?}");
    assert_eq!(events(&ran, "consistent")[0]["new"], 22);
    // It is remembered: nobody is asked again, and the new key alone will do as well.
    let asked = monitored.asked();
    for keys in [&[OLD][..], &[OLD, NEW], &[NEW], &[OLD]] {
        monitored.grow();
        let ran = monitored.look(keys, &[]);
        assert_eq!((ran.code, events(&ran, "keys").len()), (0, 0), "{keys:?}: {ran:?}");
        assert_eq!(events(&ran, "consistent")[0]["new"], 300);
    }
    assert_eq!(monitored.asked(), asked);
    // And a further change after it.
    let mut statements = Vec::new();
    monitored.log.change(|model| {
        *model = {
            let mut again = Model::new(ORIGIN, OLD);
            again.grow(300, "entry");
            statements = rotate(&mut again);
            again.grow(model.size(), "entry");
            again
        };
        statements.push(state(model, &[NEW], (3, KeyChange::Active), &[NEW, 3]));
        statements.push(state(model, &[NEW, 3], (NEW, KeyChange::Retired), &[NEW, 3]));
        sign_with(model, &[3]);
    });
    monitored.say(statements);
    let ran = monitored.look(&[OLD], &[]);
    assert_eq!((ran.code, &events(&ran, "keys")[0]["keys"]), (0, &serde_json::json!([vkey(3).to_string()])), "{ran:?}");
}

#[test]
fn what_no_trusted_key_vouches_for_is_an_alarm() {
    // No statements at all, or no answer that is any.
    let monitored = Monitored::new();
    monitored.log.change(|model| sign_with(model, &[THIEFS]));
    assert_alarm(&monitored.look(&[OLD], &[]), "signature");
    for lie in [Lie::Body(b"<html>".to_vec()), Lie::Endless, Lie::Status(404, None), Lie::Status(403, None)] {
        monitored.log.repent();
        monitored.log.lie("keys", lie);
        assert_alarm(&monitored.look(&[OLD], &[]), "signature");
    }
    type Change = fn(&mut Model) -> Vec<StatementAnswer>;
    let changes: [Change; 4] = [
        // One that only the new key signed.
        |model| vec![state(model, &[OLD], (THIEFS, KeyChange::Active), &[THIEFS])],
        // One that starts from other keys.
        |model| vec![state(model, &[OLD, 7], (THIEFS, KeyChange::Active), &[7, THIEFS])],
        // One that the old key signed, and that is no entry of this log.
        |model| {
            let (before, statement) =
                (model.clone(), state(model, &[OLD], (THIEFS, KeyChange::Active), &[OLD, THIEFS]));
            *model = before;
            model.grow(400, "entry");
            vec![statement]
        },
        // One whose index is another's.
        |model| {
            let statement = state(model, &[OLD], (THIEFS, KeyChange::Active), &[OLD, THIEFS]);
            model.grow(400, "entry");
            vec![StatementAnswer { index: LeafIndex::new(7).unwrap(), ..statement }]
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let monitored = Monitored::new();
        monitored.change(|model| {
            let statements = change(model);
            sign_with(model, &[THIEFS]);
            statements
        });
        let ran = monitored.look(&[OLD], &[]);
        assert_eq!(events(&ran, "keys"), [] as [serde_json::Value; 0], "{number}: {ran:?}");
        assert_alarm(&ran, "signature");
        let kept = std::fs::read_to_string(monitored.folder.path().join("state/log.state")).unwrap();
        assert!(!kept.contains(&vkey(THIEFS).to_string()), "{number}");
    }
}

/// Its log is restarted just then, or never wants to say who signs.
#[test]
fn a_log_that_does_not_say_who_signs_is_given_time_and_not_forever() {
    let monitored = Monitored::new();
    monitored.change(rotate);
    monitored.log.repent();
    monitored.log.lie("keys", Lie::Status(503, Some(0)));
    assert_alarm(&monitored.look(&[OLD], &["--stale-after", "1s"]), "signature");

    let monitored = Monitored::new();
    let mut statements = Vec::new();
    monitored.log.change(|model| statements = rotate(model));
    monitored.log.lie("keys", Lie::Status(503, Some(0)));
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            while monitored.asked() == 0 {
                std::thread::yield_now();
            }
            monitored.say(statements);
        });
        monitored.look(&[OLD], &["--stale-after", "60s"])
    });
    assert_eq!((ran.code, events(&ran, "keys").len(), events(&ran, "alarm").len()), (0, 1, 0), "{ran:?}");
}

#[test]
fn a_retired_key_signs_nothing_more_for_those_who_know() {
    let monitored = Monitored::new();
    monitored.change(rotate);
    assert_eq!(monitored.look(&[OLD], &[]).code, 0);
    // The log's own tree, signed by whoever has the old key now; and his own statements.
    monitored.log.change(|model| sign_with(model, &[OLD]));
    assert_alarm(&monitored.look(&[OLD], &[]), "signature");
    monitored.change(|model| {
        let statement = state(model, &[OLD], (THIEFS, KeyChange::Active), &[OLD, THIEFS]);
        sign_with(model, &[THIEFS]);
        vec![statement]
    });
    let ran = monitored.look(&[OLD], &[]);
    assert_eq!((ran.code, events(&ran, "keys").len()), (3, 0), "{ran:?}");

    // A peer that shows what he signed makes nobody wait for it.
    let monitored = Monitored::new();
    monitored.change(rotate);
    assert_eq!(monitored.look(&[OLD], &[]).code, 0);
    let mut stolen = Model::new(ORIGIN, OLD);
    stolen.grow(900, "stolen");
    let peer = LyingLog::serve(Model::new(ORIGIN, OLD));
    peer.lie("gossip/", Lie::Body(stolen.head(900).into_bytes()));
    let ran = monitored.look(&[OLD], &["--peer", &peer.url()]);
    assert_eq!((ran.code, events(&ran, "alarm").len()), (0, 0), "{ran:?}");
    // A head of a size at which it did sign is held against the log all the same.
    peer.repent();
    peer.lie("gossip/", Lie::Body(stolen.head(300).into_bytes()));
    assert_alarm(&monitored.look(&[OLD], &["--peer", &peer.url()]), "fork");
}

#[test]
fn a_fork_across_a_change_of_keys_is_proven_to_whoever_knows_one_of_them() {
    let monitored = Monitored::new();
    monitored.change(|model| {
        *model = model.cut(299);
        model.grow(300, "other");
        rotate(model)
    });
    let ran = monitored.look(&[OLD], &[]);
    let file = assert_alarm(&ran, "fork");
    for (seed, code) in [(OLD, 0), (NEW, 0), (THIEFS, 1)] {
        let judged = cairn(["evidence", "verify", "--key", &vkey(seed).to_string(), &file]);
        assert_eq!(judged.code, code, "{judged:?}");
    }
}
