//! Heads that carry one right signature of their log and a wrong one: nobody accepts them, and a log can't hide a fork
//! behind them.

use cairn::fetch::LogUrl;
use cairn::gossip::{Peer, Pulled};
use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model};
use cairn_tree::checkpoint::{LogKeys, SignedCheckpoint};
use cairn_tree::note::SignatureType;

const ORIGIN: &str = "lying.example/log";
const ED25519: (SignatureType, u8) = (SignatureType::ED25519, 1);
const SECOND: (SignatureType, u8) = (SignatureType::ED25519, 2);
const ML_DSA: (SignatureType, u8) = (SignatureType::COSIGNATURE_ML_DSA_44, 3);

/// What one of a log's readers is shown, of a log that signs with these keys.
fn view(size: u64, flavour: &str, keys: &[(SignatureType, u8)]) -> Model {
    let mut model = Model::new(ORIGIN, 1);
    model.sign_with(keys);
    model.grow(200.min(size), "entry");
    model.grow(size, flavour);
    model
}

fn keys_of(model: &Model) -> LogKeys {
    LogKeys::new(model.vkeys()).unwrap()
}

/// A reader who knows all keys, looks once, and has his state in this folder.
fn look(log: &LyingLog, keys: &LogKeys, folder: &tempfile::TempDir, further: &[&str]) -> Ran {
    let (url, keys) = (log.url(), keys.to_string());
    let state = folder.path().join("state");
    let arguments = ["monitor", "--json", "--once", "--stale-after", "0s", "--url", &url, "--key", &keys, "--state"];
    cairn(arguments.into_iter().chain([state.to_str().unwrap()]).chain(further.iter().copied()))
}

/// Exactly this alarm, whose evidence weighs so much.
fn assert_alarm(ran: &Ran, alarm: &str, keys: &LogKeys, code: u8) {
    assert_eq!(ran.code, 3, "{ran:?}");
    let events = ran.json();
    let raised: Vec<_> = events.iter().filter(|event| event["event"] == "alarm").collect();
    assert_eq!(raised.len(), 1, "{ran:?}");
    assert_eq!(raised[0]["alarm"], alarm);
    let judged = cairn(["evidence", "verify", "--key", &keys.to_string(), raised[0]["evidence"].as_str().unwrap()]);
    assert_eq!(judged.code, code, "{judged:?}");
}

const PAIRS: [[(SignatureType, u8); 2]; 3] = [[ED25519, ML_DSA], [ML_DSA, ED25519], [ED25519, SECOND]];

#[test]
fn a_fork_that_a_peer_was_shown_with_a_spoiled_line_is_proven() {
    for pair in PAIRS {
        for (theirs, ours) in [(300, 300), (300, 600)] {
            let peer = LyingLog::serve(view(1, "entry", &pair));
            peer.lie("gossip/", Lie::Body(view(theirs, "other", &pair).spoiled_head(theirs).into_bytes()));
            let model = view(ours, "entry", &pair);
            let (keys, folder) = (keys_of(&model), tempfile::tempdir().unwrap());
            let log = LyingLog::serve(model);
            let ran = look(&log, &keys, &folder, &["--peer", &peer.url()]);
            assert_alarm(&ran, "fork", &keys, 0);
        }
    }
}

#[test]
fn a_fork_that_the_log_itself_shows_with_a_spoiled_line_is_proven() {
    for pair in PAIRS {
        for (before, shown) in [(300, 300), (600, 300), (300, 600)] {
            for resource in ["checkpoint", "head"] {
                let model = view(before, "entry", &pair);
                let (keys, folder) = (keys_of(&model), tempfile::tempdir().unwrap());
                let log = LyingLog::serve(model);
                assert_eq!(look(&log, &keys, &folder, &[]).code, 0);
                let forked = view(shown, "other", &pair);
                log.lie(resource, Lie::Body(forked.spoiled_head(shown).into_bytes()));
                if shown > before {
                    // The proof takes tiles of the larger tree.
                    log.change(|model| *model = forked);
                }
                let ran = look(&log, &keys, &folder, &[]);
                assert_alarm(&ran, "fork", &keys, 0);
            }
        }
    }
}

#[test]
fn a_spoiled_head_of_the_same_tree_is_an_alarm_and_never_accepted() {
    let model = view(300, "entry", &PAIRS[0]);
    let (keys, folder) = (keys_of(&model), tempfile::tempdir().unwrap());
    let log = LyingLog::serve(model);
    assert_eq!(look(&log, &keys, &folder, &[]).json()[0]["size"], 300);
    log.change(|model| model.grow(600, "entry"));
    let spoiled = {
        let mut text = String::new();
        log.change(|model| text = model.spoiled_head(600));
        text.into_bytes()
    };
    assert!(keys.verify(&SignedCheckpoint::parse(&spoiled).unwrap()).is_err());
    for resource in ["checkpoint", "head"] {
        log.repent();
        log.lie(resource, Lie::Body(spoiled.clone()));
        let folder = tempfile::tempdir().unwrap();
        assert_alarm(&look(&log, &keys, &folder, &[]), "signature", &keys, 4);
    }
    // A peer that shows it makes nobody believe it; the log is asked for the head that it signed.
    log.repent();
    log.show(Some(300));
    let peer = LyingLog::serve(view(1, "entry", &PAIRS[0]));
    peer.lie("gossip/", Lie::Body(spoiled));
    let ran = look(&log, &keys, &folder, &["--peer", &peer.url()]);
    assert_alarm(&ran, "withheld", &keys, 4);
    let state = std::fs::read_to_string(folder.path().join("state/log.state")).unwrap();
    assert!(!state.contains("\\n600\\n"), "what nobody may accept is not known: {state}");
}

#[tokio::test]
async fn what_a_peer_shows_counts_for_one_right_line_and_for_nothing_without_one() {
    let model = view(300, "entry", &PAIRS[0]);
    let peer = LyingLog::serve(view(1, "entry", &PAIRS[0]));
    let pull = async |keys: LogKeys| {
        let peer = Peer::new(LogUrl::parse(&peer.url()).unwrap(), 1).unwrap();
        peer.pull(&keys).await
    };
    peer.lie("gossip/", Lie::Body(model.spoiled_head(300).into_bytes()));
    assert!(matches!(pull(keys_of(&model)).await, Pulled::Head(head) if head.size().get() == 300));
    // Who knows the spoiled key alone knows nothing of the log's signature.
    let second = LogKeys::new(model.vkeys().split_off(1)).unwrap();
    assert!(matches!(pull(second).await, Pulled::Refused));
}
