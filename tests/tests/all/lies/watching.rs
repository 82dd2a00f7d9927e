//! What a watcher says of a log that forks, shrinks or serves what it did not sign.

use std::path::{Path, PathBuf};

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model};
use serde_json::Value;

use super::leave_behind;

/// A log and its watcher.
struct Watched {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Watched {
    /// A log of so many entries that was watched once.
    fn after(size: u64) -> Self {
        let watched = Self { log: LyingLog::of_size(size), folder: tempfile::tempdir().unwrap() };
        let ran = watched.look(&[]);
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "an honest log is consistent");
        assert_eq!(ran.json()[0]["size"], size);
        watched
    }

    fn look(&self, further: &[&str]) -> Ran {
        self.look_with(&self.log.vkey(), further)
    }

    fn look_with(&self, key: &str, further: &[&str]) -> Ran {
        let url = self.log.url();
        let state = self.state();
        let arguments = ["watch", "--json", "--once", "--stale-after", "0s", "--url", &url, "--key", key, "--state"];
        cairn(arguments.into_iter().chain([state.to_str().unwrap()]).chain(further.iter().copied()))
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state.json")
    }

    /// The last event of a run that raised the alarm, whose evidence must hold.
    fn alarm(&self, ran: &Ran, kind: &str, weight: &str) -> Value {
        assert_eq!(ran.code, 3, "{ran:?}");
        let event = ran.json().pop().unwrap();
        assert_eq!((&event["event"], &event["kind"]), (&"contradiction".into(), &kind.into()), "{event}");
        let file = event["evidence"].as_str().unwrap();
        let judged = self.judge(Path::new(file));
        assert_eq!(judged.json()[0]["weight"], weight);
        assert_eq!(judged.code, if weight == "proven" { 0 } else { 4 }, "{judged:?}");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    fn judge(&self, file: &Path) -> Ran {
        cairn(["evidence", "verify", "--json", "--key", &self.log.vkey(), file.to_str().unwrap()])
    }
}

/// What a state file says of what was verified, without the heads that could not be.
fn verified(state: &Path) -> Value {
    let text = std::fs::read_to_string(state).unwrap();
    let mut known: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    known.as_object_mut().unwrap().remove("unplaced");
    known
}

/// Sizes around the borders of tiles and of perfect subtrees.
const SIZES: [u64; 9] = [1, 2, 7, 255, 256, 257, 511, 600, 1025];

#[test]
fn an_honest_log_is_followed_from_any_size_to_any_larger_one() {
    for (&from, &to) in SIZES.iter().zip(&SIZES[1..]) {
        for flags in [&[][..], &["--heads-only"]] {
            let watched = Watched::after(from);
            watched.log.change(|model| model.grow(to, "entry"));
            let ran = watched.look(flags);
            assert_eq!(ran.code, 0, "{from} to {to} {flags:?}: {ran:?}");
            assert_eq!(ran.json()[0]["new"], to - from);
        }
    }
}

#[test]
fn a_folder_for_evidence_is_made_before_there_is_any() {
    let watched = Watched::after(300);
    let folder = watched.folder.path().join("kept/here");
    watched.log.change(|model| {
        *model = model.cut(299);
        model.grow(300, "other");
    });
    let ran = watched.look(&["--evidence", folder.to_str().unwrap()]);
    watched.alarm(&ran, "fork", "proven");
    assert!(Path::new(ran.json()[0]["evidence"].as_str().unwrap()).starts_with(&folder));
    // Where it can't be made, that is said at once.
    let file = watched.state();
    let ran = watched.look(&["--evidence", file.join("below").to_str().unwrap()]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("--evidence"), "{ran:?}");
}

#[test]
fn a_fork_at_the_same_size_is_proven_by_two_signatures() {
    let watched = Watched::after(300);
    watched.log.change(|model| {
        *model = model.cut(299);
        model.grow(300, "other");
    });
    let evidence = watched.alarm(&watched.look(&[]), "fork", "proven");
    assert_eq!(evidence["case"]["prefix"], Value::Null);
}

#[test]
fn a_fork_at_a_larger_size_is_proven_by_the_logs_own_tiles() {
    for flags in [&[][..], &["--heads-only"]] {
        for (&seen, &shown) in SIZES.iter().zip(&SIZES[1..]) {
            let watched = Watched::after(seen);
            watched.log.change(|model| {
                *model = model.cut(seen - 1);
                model.grow(shown, "other");
            });
            let state = std::fs::read(watched.state()).unwrap();
            watched.alarm(&watched.look(flags), "fork", "proven");
            assert_eq!(std::fs::read(watched.state()).unwrap(), state, "a fork is never learnt");
        }
    }
}

#[test]
fn a_fork_at_a_smaller_size_is_proven_if_the_larger_tree_can_still_be_had() {
    let watched = Watched::after(600);
    let other = {
        let mut other = Model::new("lying.example/log", 1);
        other.grow(400, "other");
        other.head(400)
    };
    watched.log.lie("checkpoint", Lie::Body(other.into_bytes()));
    watched.alarm(&watched.look(&[]), "fork", "proven");
}

#[test]
fn a_checkpoint_that_waits_for_its_witnesses_behind_the_head_is_no_rollback() {
    let watched = Watched::after(450);
    watched.log.change(|model| model.grow(600, "entry"));
    watched.log.show(Some(450));
    watched.log.lie("head", Lie::Body(watched.log.head(600)));
    for new in [150, 0] {
        let ran = watched.look(&[]);
        assert_eq!((ran.code, &ran.json()[0]["size"]), (0, &600.into()), "{ran:?}");
        assert_eq!(ran.json()[0]["new"], new);
    }
    // The head itself must not fall behind what it was.
    watched.log.repent();
    let evidence = watched.alarm(&watched.look(&[]), "rollback", "testimony");
    assert_eq!(evidence["case"]["resource"], "head");
}

#[test]
fn a_fork_between_the_two_heads_is_proven() {
    let watched = Watched::after(450);
    let mut other = Model::new("lying.example/log", 1);
    other.grow(600, "other");
    watched.log.lie("head", Lie::Body(other.head(450).into_bytes()));
    watched.alarm(&watched.look(&[]), "fork", "proven");
}

#[test]
fn evidence_that_was_changed_proves_nothing() {
    let watched = Watched::after(300);
    watched.log.change(|model| {
        *model = model.cut(200);
        model.grow(600, "other");
    });
    let evidence = watched.alarm(&watched.look(&[]), "fork", "proven");
    let file = watched.folder.path().join("changed.json");
    let (smaller, larger) = (evidence["case"]["smaller"].clone(), evidence["case"]["larger"].clone());
    let root = smaller.as_str().unwrap().lines().nth(2).unwrap().to_owned();
    type Change<'a> = &'a dyn Fn(&mut Value);
    let changes: [(&str, Change<'_>); 5] = [
        ("the prefix is the honest one", &|case| case["prefix"]["root"] = root.clone().into()),
        ("a hash of the proof is missing", &|case| drop(case["prefix"]["consistency"].as_array_mut().unwrap().pop())),
        ("there is no proof", &|case| case["prefix"] = Value::Null),
        ("the heads are swapped", &|case| {
            case["smaller"] = larger.clone();
            case["larger"] = smaller.clone();
        }),
        ("a size was edited", &|case| case["larger"] = larger.as_str().unwrap().replacen("600", "601", 1).into()),
    ];
    for (name, change) in changes {
        let mut changed = evidence.clone();
        change(&mut changed["case"]);
        std::fs::write(&file, changed.to_string()).unwrap();
        assert_eq!(watched.judge(&file).code, 1, "{name}");
    }
}

#[test]
fn a_log_that_goes_back_is_a_rollback_when_fetches_past_caches_say_so_too() {
    let watched = Watched::after(600);
    // As from an older backup: the larger tree is gone.
    watched.log.change(|model| *model = model.cut(450));
    let evidence = watched.alarm(&watched.look(&[]), "rollback", "testimony");
    assert_eq!(evidence["case"]["resource"], "checkpoint");
    let mut checkpoints = watched.log.requests().into_iter().filter(|request| request.starts_with("GET checkpoint"));
    assert!(checkpoints.next_back().unwrap().contains("?nocache="), "the last word is the log's own");
}

#[test]
fn a_log_that_goes_back_for_a_moment_is_only_stale() {
    let watched = Watched::after(600);
    watched.log.show(Some(450));
    let honest = watched.log.url();
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The next answers come after the first stale one was seen past caches.
            while watched.log.requests().iter().filter(|request| request.contains("checkpoint?nocache=")).count() < 1 {
                std::thread::yield_now();
            }
            watched.log.show(None);
        });
        watched.look(&["--stale-after", "60s", "--url", &honest])
    });
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json().last().unwrap()["event"], "consistent");
}

#[test]
fn an_old_head_in_a_cache_is_no_rollback() {
    let watched = Watched::after(600);
    let mut old = Model::new("lying.example/log", 1);
    old.grow(450, "entry");
    watched.log.lie_from_cache("checkpoint", Lie::Body(old.head(450).into_bytes()));
    let ran = watched.look(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["event"], "consistent");
}

#[test]
fn an_entry_that_is_not_the_signed_one_is_named_with_the_bytes_that_were_served() {
    let watched = Watched::after(300);
    watched.log.change(|model| model.grow(900, "entry"));
    let mut other = Model::new("lying.example/log", 1);
    other.grow(900, "entry");
    let bundle = "tile/entries/002".parse().unwrap();
    let cairn_tree::tile::TilePath::Entries(bundle) = bundle else { panic!("a bundle's path") };
    let mut bytes = other.bundle(bundle).unwrap();
    let place = bytes.windows(9).position(|window| window == b"entry 700").unwrap();
    bytes[place] = b'E';
    watched.log.lie("tile/entries/002", Lie::Body(bytes));
    let evidence = watched.alarm(&watched.look(&[]), "wrong-entry", "testimony");
    assert_eq!(evidence["case"]["index"], 700);
}

#[test]
fn tiles_that_do_not_fit_the_head_are_kept_with_it() {
    for flags in [&[][..], &["--heads-only"]] {
        let watched = Watched::after(300);
        let mut other = Model::new("lying.example/log", 1);
        other.grow(900, "entry");
        // A head over other entries than those that are served.
        let mut forged = other.cut(100);
        forged.grow(900, "other");
        watched.log.change(|model| *model = other);
        for head in ["checkpoint", "head"] {
            watched.log.lie(head, Lie::Body(forged.head(900).into_bytes()));
        }
        watched.alarm(&watched.look(flags), "misfit", "testimony");
    }
}

/// A log that was watched at 300 entries has signed a head of 900. What it serves is another tree, of which it shows the
/// first 800 from then on.
fn left_behind(flags: &[&str]) -> Watched {
    let watched = Watched::after(300);
    leave_behind(&watched.log);
    watched.alarm(&watched.look(flags), "misfit", "testimony");
    watched.log.repent();
    watched
}

#[test]
fn a_head_that_nothing_fits_is_held_against_the_log_by_later_runs_until_it_is_proven_to_be_a_fork() {
    for flags in [&[][..], &["--heads-only"]] {
        let watched = left_behind(flags);
        watched.alarm(&watched.look(flags), "misfit", "testimony");
        // What is shown now extends what was verified, and is known from then on.
        assert!(verified(&watched.state())["head"].as_str().unwrap().contains("\n800\n"));
        watched.log.show(Some(950));
        for _ in 0..2 {
            watched.alarm(&watched.look(flags), "fork", "proven");
        }
        // Whoever has looked into it says so.
        let ran = watched.look(&[flags, &["--clear"]].concat());
        assert_eq!((ran.code, &ran.json()[0]["size"]), (0, &950.into()), "{ran:?}");
        assert_eq!(watched.look(flags).code, 0);
    }
}

#[test]
fn a_head_that_fits_after_all_is_an_alarm_no_more() {
    for flags in [&[][..], &["--heads-only"]] {
        let watched = left_behind(flags);
        watched.log.change(|model| *model = Model::of_size(1_025));
        watched.log.show(None);
        let ran = watched.look(flags);
        assert_eq!((ran.code, &ran.json()[0]["size"]), (0, &1_025.into()), "{ran:?}");
    }
}

#[test]
fn a_broken_cache_before_an_honest_log_is_no_alarm() {
    let lies = [Lie::FlipBit(9), Lie::Cut(1), Lie::Longer(b"more".to_vec()), Lie::Body(b"<html>".to_vec())];
    for lie in lies {
        let watched = Watched::after(300);
        watched.log.change(|model| model.grow(900, "entry"));
        watched.log.lie_from_cache("tile/", lie.clone());
        for flags in [&[][..], &["--heads-only"]] {
            let ran = watched.look(flags);
            assert_eq!(ran.code, 0, "{lie:?}: {ran:?}");
        }
    }
}

#[test]
fn what_never_fits_is_refused_and_never_learnt() {
    let lies =
        [Lie::Cut(1), Lie::Cut(usize::MAX), Lie::Longer(b"\0\0".to_vec()), Lie::Body(b"<html>".to_vec()), Lie::Endless];
    for lie in lies {
        let watched = Watched::after(300);
        watched.log.change(|model| model.grow(900, "entry"));
        watched.log.lie("tile/", lie.clone());
        let known = verified(&watched.state());
        watched.alarm(&watched.look(&[]), "misfit", "testimony");
        assert_eq!(verified(&watched.state()), known, "{lie:?}");
    }
}

#[test]
fn a_head_by_another_key_is_refused_without_an_alarm() {
    let watched = Watched::after(300);
    let mut other = Model::new("lying.example/log", 2);
    other.grow(600, "entry");
    watched.log.lie("checkpoint", Lie::Body(other.head(600).into_bytes()));
    let ran = watched.look(&[]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("no signature by a known key"), "{ran:?}");
}

#[test]
fn a_head_that_is_none_is_refused() {
    for lie in
        [Lie::FlipBit(0), Lie::FlipBit(25), Lie::Cut(1), Lie::Cut(usize::MAX), Lie::Endless, Lie::Body(vec![0; 9])]
    {
        let watched = Watched::after(3);
        watched.log.lie("checkpoint", lie.clone());
        let ran = watched.look(&[]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{lie:?}: {ran:?}");
    }
}

#[test]
fn a_log_that_does_not_answer_is_not_accused() {
    for lie in [Lie::Status(404, None), Lie::Status(503, Some(3_600)), Lie::Status(403, None)] {
        let watched = Watched::after(300);
        watched.log.change(|model| model.grow(900, "entry"));
        watched.log.lie("tile/", lie.clone());
        let ran = watched.look(&[]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{lie:?}: {ran:?}");
    }
}

#[test]
fn slow_answers_end_in_time() {
    let watched = Watched::after(3);
    watched.log.lie("checkpoint", Lie::Stalled);
    let ran = watched.look(&["--timeout", "50ms"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("no whole answer within 0.05 s"), "{ran:?}");
}

#[test]
fn damage_to_the_state_file_is_ours_and_never_the_logs() {
    let watched = Watched::after(300);
    let whole = std::fs::read(watched.state()).unwrap();
    let mut damages: Vec<Vec<u8>> = vec![Vec::new(), vec![0; whole.len()], b"{}".to_vec()];
    damages.extend((1..whole.len()).step_by(37).map(|length| whole[..length].to_vec()));
    damages.extend((0..whole.len()).step_by(41).map(|offset| {
        let mut damaged = whole.clone();
        damaged[offset] ^= 1;
        damaged
    }));
    for damaged in damages {
        std::fs::write(watched.state(), &damaged).unwrap();
        let ran = watched.look(&[]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{}", String::from_utf8_lossy(&damaged));
        assert!(ran.stderr.contains("damaged on this machine"), "{ran:?}");
        assert_eq!(std::fs::read(watched.state()).unwrap(), damaged, "damage is left for its owner to see");
    }
}

#[test]
fn a_state_of_another_log_is_refused_as_a_mistake() {
    let watched = Watched::after(3);
    let other = Model::new("lying.example/other", 7).vkey().to_string();
    let ran = watched.look_with(&other, &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("belongs to the log key lying.example/log+"), "{ran:?}");
}
