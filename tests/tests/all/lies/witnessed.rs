//! What a monitor says of a checkpoint's witnesses and times.

use std::time::{SystemTime, UNIX_EPOCH};

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model};
use cairn_tree::checkpoint::{LogKeys, SignedCheckpoint, Timestamp};
use cairn_tree::cosignature::cosign;
use cairn_tree::note::{KeyName, SignatureType, SignerKey};

const HOUR: u64 = 3_600;

/// A log, three witnesses of which two are asked for, and a monitor's folder.
struct Stage {
    log: LyingLog,
    keys: LogKeys,
    witnesses: Vec<SignerKey>,
    folder: tempfile::TempDir,
    now: u64,
}

impl Stage {
    fn new() -> Self {
        let model = Model::of_size(300);
        let keys = LogKeys::try_from(model.vkey().clone()).unwrap();
        let witness = |number: u8| {
            let name = KeyName::new(format!("witness.example/w{number}")).unwrap();
            let kind =
                if number == 2 { SignatureType::COSIGNATURE_ML_DSA_44 } else { SignatureType::COSIGNATURE_ED25519 };
            SignerKey::from_seed(name, kind, &[100 + number; 32]).unwrap()
        };
        let witnesses: Vec<SignerKey> = (0..3).map(witness).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut policy = String::new();
        for (number, witness) in witnesses.iter().enumerate() {
            policy.push_str(&format!("witness w{number} {}\n", witness.verifier_key()));
        }
        policy.push_str("group two 2 w0 w1 w2\nquorum two\n");
        std::fs::write(folder.path().join("policy"), policy).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self { log: LyingLog::serve(model), keys, witnesses, folder, now }
    }

    /// The log's checkpoint with cosignatures of these witnesses, made so many seconds before now (or after).
    fn cosigned(&self, by: &[(usize, i64)]) -> Vec<u8> {
        let mut signed = SignedCheckpoint::parse(&self.log.head(300)).unwrap();
        let head = self.keys.verify(&signed).unwrap();
        for (witness, age) in by {
            let time = Timestamp::new(self.now.checked_add_signed(-age).unwrap()).unwrap();
            signed = signed.with_signature(cosign(&head, &self.witnesses[*witness], time).unwrap()).unwrap();
        }
        signed.encode().into_bytes()
    }

    fn look(&self, further: &[&str]) -> Ran {
        let (url, key) = (self.log.url(), self.log.vkey());
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (state, policy) = (path("state"), path("policy"));
        let arguments = ["monitor", "--json", "--once", "--stale-after", "0s", "--max-head-age", "1h", "--url", &url];
        let arguments = arguments.into_iter().chain(["--key", &key, "--policy", &policy, "--state", &state]);
        cairn(arguments.chain(further.iter().copied()))
    }

    /// What is said of a checkpoint: no alarm, or this one.
    fn judge(&self, by: &[(usize, i64)], alarm: Option<&str>) {
        self.log.repent();
        self.log.lie("checkpoint", Lie::Body(self.cosigned(by)));
        let ran = self.look(&[]);
        let events = ran.json();
        let raised = events.iter().find(|event| event["event"] == "alarm");
        assert_eq!(raised.and_then(|event| event["alarm"].as_str()), alarm, "{by:?}: {ran:?}");
        assert_eq!(ran.code, if alarm.is_some() { 3 } else { 0 }, "{ran:?}");
        if let Some(file) = raised.and_then(|event| event["evidence"].as_str()) {
            let judged = cairn(["evidence", "verify", "--key", &self.log.vkey(), file]);
            assert_eq!(judged.code, 4, "{judged:?}");
        }
    }
}

#[test]
fn a_checkpoint_with_its_quorum_is_no_alarm_and_one_without_it_is() {
    let stage = Stage::new();
    stage.judge(&[(0, 10), (2, 10)], None);
    stage.judge(&[(0, 10), (1, 10), (2, 10)], None);
    stage.judge(&[(0, 10)], Some("quorum"));
    stage.judge(&[], Some("quorum"));
    // It ends when the quorum is there again, which is told.
    stage.log.repent();
    stage.log.lie("checkpoint", Lie::Body(stage.cosigned(&[(1, 10), (2, 10)])));
    let ran = stage.look(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.json().iter().any(|event| event["event"] == "clear" && event["alarm"] == "quorum"), "{ran:?}");
}

#[test]
fn a_cosignature_that_is_wrong_counts_for_nothing() {
    let stage = Stage::new();
    let mut other = Model::new("lying.example/log", 1);
    other.grow(200, "entry");
    let older = SignedCheckpoint::parse(other.head(200).as_bytes()).unwrap();
    let time = Timestamp::new(stage.now).unwrap();
    let replayed = cosign(&stage.keys.verify(&older).unwrap(), &stage.witnesses[1], time).unwrap();
    let signed = SignedCheckpoint::parse(&stage.cosigned(&[(0, 10)])).unwrap();
    let forged = signed.with_signature(replayed).unwrap().encode();
    stage.log.lie("checkpoint", Lie::Body(forged.into_bytes()));
    let ran = stage.look(&[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.json().iter().any(|event| event["alarm"] == "quorum"), "{ran:?}");
}

#[test]
fn a_checkpoint_is_as_old_as_its_quorum_and_no_witness_alone_makes_it_young() {
    let stage = Stage::new();
    let hours = |hours: i64| hours * HOUR as i64;
    stage.judge(&[(0, hours(1) - 60), (1, 0)], None);
    stage.judge(&[(0, hours(2)), (1, hours(2))], Some("too-old"));
    // One witness that says now does not make up for the quorum's other member.
    stage.judge(&[(0, hours(2)), (1, 0)], Some("too-old"));
    stage.judge(&[(0, hours(2)), (1, 0), (2, 60)], None);
}

#[test]
fn a_checkpoint_from_the_future_is_an_alarm_beyond_what_clocks_differ() {
    let stage = Stage::new();
    stage.judge(&[(0, 0), (1, -200)], None);
    stage.judge(&[(0, 0), (1, -600)], Some("from-the-future"));
    stage.judge(&[(0, -600), (2, 0), (1, -(1 << 40))], Some("from-the-future"));
}

#[test]
fn a_witness_whose_clock_is_wrong_is_no_alarm_while_the_others_are_enough() {
    let stage = Stage::new();
    stage.judge(&[(0, 0), (2, 0), (1, -600)], None);
    stage.judge(&[(0, 0), (2, 0), (1, -(1 << 40))], None);
    // It does not make up for one that is missing, nor an old head young.
    stage.judge(&[(0, 2 * HOUR as i64), (2, 0), (1, -600)], Some("too-old"));
    stage.judge(&[(0, 2 * HOUR as i64), (2, 2 * HOUR as i64), (1, -600)], Some("too-old"));
}

/// Where nobody is asked for, the log's own time is what there is (ML-DSA-44).
#[test]
fn a_head_that_its_log_signed_for_a_time_to_come_is_an_alarm_where_no_witness_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let name = KeyName::new("lying.example/log").unwrap();
    let key = SignerKey::from_seed(name, SignatureType::COSIGNATURE_ML_DSA_44, &[3; 32]).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let model = Model::of_size(300);
    let head = model.checkpoint(300);
    let log = LyingLog::serve(model);
    for (number, (age, alarm)) in
        [(0, None), (-200, None), (-600, Some("from-the-future")), (7_200, Some("too-old"))].into_iter().enumerate()
    {
        let time = Timestamp::new(now.checked_add_signed(-age).unwrap()).unwrap();
        let signed = Lie::Body(head.sign_all(&[&key], time).unwrap().encode().into_bytes());
        log.repent();
        ["checkpoint", "head"].into_iter().for_each(|path| log.lie(path, signed.clone()));
        let state = folder.path().join(number.to_string());
        let (url, key) = (log.url(), key.verifier_key().to_string());
        let arguments = ["monitor", "--json", "--once", "--max-head-age", "1h", "--url", &url, "--key", &key];
        let ran = cairn(arguments.into_iter().chain(["--state", state.to_str().unwrap()]));
        let events = ran.json();
        let raised = events.iter().find(|event| event["event"] == "alarm");
        assert_eq!(raised.and_then(|event| event["alarm"].as_str()), alarm, "{age}: {ran:?}");
    }
}

#[test]
fn an_old_checkpoint_in_a_cache_is_no_alarm() {
    let stage = Stage::new();
    stage.log.lie_from_cache("checkpoint", Lie::Body(stage.cosigned(&[(0, 9_000), (1, 9_000)])));
    stage.log.lie("checkpoint", Lie::Body(stage.cosigned(&[(0, 9), (1, 9)])));
    let ran = stage.look(&[]);
    assert_eq!((ran.code, ran.json().len()), (0, 1), "{ran:?}");
}

#[test]
fn heads_without_a_time_are_never_old() {
    let stage = Stage::new();
    let (url, key) = (stage.log.url(), stage.log.vkey());
    let state = stage.folder.path().join("unwitnessed");
    let arguments = ["monitor", "--once", "--max-head-age", "1s", "--url", &url, "--key", &key, "--state"];
    let ran = cairn(arguments.into_iter().chain([state.to_str().unwrap()]));
    assert_eq!(ran.code, 0, "{ran:?}");
}
