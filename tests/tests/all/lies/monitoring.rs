//! What a monitor says: each lie raises its alarm, and nothing honest raises any.

use std::path::{Path, PathBuf};

use cairn_tests::command::{Ran, cairn};
use cairn_tests::lying::{Lie, LyingLog, Model};
use serde_json::Value;

use super::leave_behind;

/// A log and its monitor's folder.
struct Monitored {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Monitored {
    fn new(model: Model) -> Self {
        Self { log: LyingLog::serve(model), folder: tempfile::tempdir().unwrap() }
    }

    /// A log of so many entries that was looked at once.
    fn after(size: u64) -> Self {
        let model = Model::of_size(size);
        let monitored = Self::new(model);
        let ran = monitored.look(&[]);
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "an honest log is consistent: {ran:?}");
        assert_eq!(ran.json().last().unwrap()["size"], size);
        monitored
    }

    fn look(&self, further: &[&str]) -> Ran {
        self.look_with(&self.log.vkey(), further)
    }

    fn look_with(&self, key: &str, further: &[&str]) -> Ran {
        let url = self.log.url();
        let state = self.state();
        let arguments = ["monitor", "--json", "--once", "--stale-after", "0s", "--url", &url, "--key", key, "--state"];
        cairn(arguments.into_iter().chain([state.to_str().unwrap()]).chain(further.iter().copied()))
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn file(&self) -> PathBuf {
        self.state().join("log.state")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The alarm of a run that raised one, whose evidence must hold.
    fn alarm(&self, ran: &Ran, alarm: &str) -> Value {
        assert_eq!(ran.code, 3, "{ran:?}");
        let events = ran.json();
        let event = events.iter().find(|event| event["event"] == "alarm").unwrap();
        assert_eq!((&event["alarm"], &event["misbehaviour"]), (&alarm.into(), &true.into()), "{event}");
        let file = event["evidence"].as_str().unwrap();
        let judged = cairn(["evidence", "verify", "--json", "--key", &self.log.vkey(), file]);
        let (weight, code) = if alarm == "fork" { ("proven", 0) } else { ("testimony", 4) };
        assert_eq!((judged.code, &judged.json()[0]["weight"]), (code, &weight.into()), "{judged:?}");
        let evidence: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert!(!evidence["transcript"].as_array().unwrap().is_empty());
        evidence
    }

    fn files(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.state().join("evidence")).unwrap();
        folder.map(|file| file.unwrap().path()).collect()
    }
}

/// Sizes around the borders of tiles and of perfect subtrees.
const SIZES: [u64; 9] = [1, 2, 7, 255, 256, 257, 511, 600, 1025];

#[test]
fn an_honest_log_is_followed_from_any_size_to_any_larger_one() {
    for (&from, &to) in SIZES.iter().zip(&SIZES[1..]) {
        for flags in [&[][..], &["--heads-only"]] {
            let monitored = Monitored::after(from);
            monitored.log.change(|model| model.grow(to, "entry"));
            let ran = monitored.look(flags);
            assert_eq!(ran.code, 0, "{from} to {to} {flags:?}: {ran:?}");
            assert_eq!(ran.json()[0]["new"], to - from);
            assert_eq!(monitored.files(), [] as [PathBuf; 0]);
        }
    }
}

#[test]
fn a_fork_is_proven_and_stays_an_alarm_that_is_kept_once() {
    for flags in [&[][..], &["--heads-only"]] {
        for (&seen, &shown) in SIZES.iter().zip(&SIZES) {
            let monitored = Monitored::after(seen);
            monitored.log.change(|model| {
                *model = model.cut(seen - 1);
                model.grow(shown + 1, "other");
            });
            for _ in 0..2 {
                monitored.alarm(&monitored.look(flags), "fork");
                assert_eq!(monitored.files().len(), 1);
            }
            // What is proven stays proven, whatever the log shows now.
            monitored.log.change(|model| {
                *model = model.cut(0);
                model.grow(seen, "entry");
            });
            monitored.alarm(&monitored.look(flags), "fork");
            assert_eq!(monitored.files().len(), 1);
        }
    }
}

#[test]
fn a_rollback_is_an_alarm_until_the_log_is_as_large_again() {
    let monitored = Monitored::after(600);
    monitored.log.show(Some(450));
    let evidence = monitored.alarm(&monitored.look(&[]), "rollback");
    assert_eq!(evidence["case"]["resource"], "checkpoint");
    monitored.alarm(&monitored.look(&[]), "rollback");
    assert_eq!(monitored.files().len(), 1, "it is one alarm while it lasts");
    monitored.log.show(None);
    let ran = monitored.look(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((&ran.json()[0]["event"], &ran.json()[0]["alarm"]), (&"clear".into(), &"rollback".into()));
    monitored.log.show(Some(450));
    monitored.alarm(&monitored.look(&[]), "rollback");
}

#[test]
fn a_log_of_which_the_larger_tree_is_gone_has_rolled_back_too() {
    let monitored = Monitored::after(600);
    monitored.log.change(|model| *model = model.cut(450));
    monitored.alarm(&monitored.look(&[]), "rollback");
}

#[test]
fn an_old_head_is_only_stale_while_a_cache_may_be_to_blame() {
    let monitored = Monitored::after(600);
    monitored.log.show(Some(450));
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            let past_caches = |request: &&String| request.contains("checkpoint?nocache=");
            while monitored.log.requests().iter().filter(past_caches).count() < 1 {
                std::thread::yield_now();
            }
            monitored.log.show(None);
        });
        monitored.look(&["--stale-after", "60s"])
    });
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json().last().unwrap()["event"], "consistent");
}

#[test]
fn an_entry_that_is_not_the_signed_one_is_an_alarm() {
    let monitored = Monitored::after(300);
    monitored.log.change(|model| model.grow(900, "entry"));
    let mut bytes = monitored.log.answer("tile/entries/002");
    let place = bytes.windows(9).position(|window| window == b"entry 700").unwrap();
    bytes[place] = b'E';
    monitored.log.lie("tile/entries/002", Lie::Body(bytes));
    let evidence = monitored.alarm(&monitored.look(&[]), "wrong-entry");
    assert_eq!(evidence["case"]["index"], 700);
    monitored.log.repent();
    let ran = monitored.look(&[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.json().iter().any(|event| event["event"] == "clear" && event["alarm"] == "wrong-entry"), "{ran:?}");
}

#[test]
fn tiles_that_fit_no_signed_head_are_an_alarm() {
    for lie in [Lie::Cut(1), Lie::Longer(b"\0\0".to_vec()), Lie::Body(b"<html>".to_vec()), Lie::Endless] {
        for flags in [&[][..], &["--heads-only"]] {
            let monitored = Monitored::after(300);
            monitored.log.change(|model| model.grow(900, "entry"));
            monitored.log.lie("tile/", lie.clone());
            monitored.alarm(&monitored.look(flags), "misfit");
        }
    }
}

/// A log of 300 entries has signed a head of 900. What it serves is another tree, of which it shows the first 800 from then
/// on.
fn left_behind(flags: &[&str]) -> Monitored {
    let monitored = Monitored::after(300);
    leave_behind(&monitored.log);
    monitored.alarm(&monitored.look(flags), "misfit");
    monitored.log.repent();
    monitored
}

fn ends(ran: &Ran, alarm: &str) -> bool {
    ran.json().iter().any(|event| event["event"] == "clear" && event["alarm"] == alarm)
}

#[test]
fn a_head_that_nothing_fits_is_held_against_the_log_until_it_is_proven_to_be_a_fork() {
    for flags in [&[][..], &["--heads-only"]] {
        let monitored = left_behind(flags);
        // What is shown now extends what was verified, and is followed.
        for size in [800, 899] {
            monitored.log.show(Some(size));
            let ran = monitored.look(flags);
            monitored.alarm(&ran, "misfit");
            assert!(!ends(&ran, "misfit"), "{ran:?}");
            assert_eq!(ran.json()[0]["size"], size, "{ran:?}");
        }
        assert_eq!(monitored.files().len(), 1, "it is one alarm while it lasts");
        // Now it has the tiles that tell.
        monitored.log.show(Some(950));
        for _ in 0..2 {
            let ran = monitored.look(flags);
            monitored.alarm(&ran, "fork");
            assert!(!ends(&ran, "misfit"), "{ran:?}");
            assert_eq!(monitored.files().len(), 2);
        }
    }
}

#[test]
fn a_head_that_fits_after_all_is_an_alarm_no_more() {
    for (flags, size) in [(&[][..], 900), (&["--heads-only"], 900), (&[], 1_025), (&["--heads-only"], 1_025)] {
        let monitored = left_behind(flags);
        monitored.log.change(|model| *model = Model::of_size(size));
        monitored.log.show(None);
        let ran = monitored.look(flags);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ends(&ran, "misfit"), "{ran:?}");
        assert_eq!(monitored.look(flags).json()[0]["size"], size);
    }
}

#[test]
fn a_head_that_could_not_be_compared_is_compared_later() {
    for flags in [&[][..], &["--heads-only"]] {
        let monitored = Monitored::after(300);
        monitored.log.change(|model| model.grow(900, "entry"));
        monitored.log.lie("tile/", Lie::Status(404, None));
        assert_eq!(monitored.look(flags).code, 1);
        monitored.log.change(|model| {
            *model = model.cut(300);
            model.grow(950, "other");
        });
        monitored.log.repent();
        // Who reads the entries had set out to read the one that it left: what it serves now does not fit that.
        monitored.look(flags);
        monitored.alarm(&monitored.look(flags), "fork");
    }
}

/// The entries suffice to follow such a log, and say nothing of the head that it left.
#[test]
fn a_log_that_keeps_a_head_from_being_compared_is_not_consistent() {
    let monitored = Monitored::after(300);
    monitored.log.change(|model| model.grow(900, "entry"));
    monitored.log.lie("tile/", Lie::Status(404, None));
    assert_eq!(monitored.look(&["--heads-only"]).code, 1);
    monitored.log.repent();
    monitored.log.change(|model| {
        *model = model.cut(300);
        model.grow(950, "other");
    });
    monitored.log.lie("tile/0", Lie::Status(404, None));
    monitored.log.lie("tile/1", Lie::Status(404, None));
    let ran = monitored.look(&[]);
    assert!(
        ran.code == 1 && ran.stderr.contains("a head of 900 entries that the log signed can't be compared"),
        "{ran:?}"
    );
    let events = ran.json();
    let sizes: Vec<_> =
        events.iter().filter(|event| event["event"] == "consistent").map(|event| &event["size"]).collect();
    assert_eq!(sizes, [950], "{ran:?}");
    assert!(events.iter().any(|event| event["event"] == "unverified"), "{ran:?}");
    monitored.log.repent();
    monitored.alarm(&monitored.look(&[]), "fork");
}

#[test]
fn whoever_has_looked_into_an_alarm_that_stands_clears_it() {
    let monitored = left_behind(&[]);
    let ran = monitored.look(&["--clear", "main"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--clear main") && ran.stderr.contains("log"), "{ran:?}");
    monitored.alarm(&monitored.look(&[]), "misfit");
    let ran = monitored.look(&["--clear", "log"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ends(&ran, "misfit"), "{ran:?}");
    monitored.log.show(Some(950));
    assert_eq!(monitored.look(&[]).code, 0, "what was cleared is forgotten");
    assert_eq!(monitored.files().len(), 1, "and what was kept is not");
    // A fork of what was verified can't be cleared away: the log goes on to show it.
    let honest = Model::of_size(960);
    monitored.log.show(None);
    monitored.log.change(|model| *model = honest);
    monitored.alarm(&monitored.look(&[]), "fork");
    let ran = monitored.look(&["--clear", "log"]);
    monitored.alarm(&ran, "fork");
    assert!(ends(&ran, "fork"), "{ran:?}");
    // Where it shows its old tree again, whoever cleared the alarm has decided that it may.
    monitored.log.change(|model| {
        *model = model.cut(300);
        model.grow(950, "other");
    });
    monitored.alarm(&monitored.look(&[]), "fork");
    assert_eq!(monitored.look(&["--clear", "log"]).code, 0);
}

#[test]
fn a_head_that_the_log_did_not_sign_is_an_alarm() {
    let stranger = {
        let mut stranger = Model::new("lying.example/log", 2);
        stranger.grow(600, "entry");
        stranger.head(600)
    };
    for resource in ["checkpoint", "head"] {
        let monitored = Monitored::after(300);
        monitored.log.lie(resource, Lie::Body(stranger.clone().into_bytes()));
        let evidence = monitored.alarm(&monitored.look(&[]), "signature");
        assert_eq!(evidence["case"]["resource"], resource);
        // A wrong signature by the right key.
        let own = String::from_utf8(monitored.log.head(300)).unwrap();
        monitored.log.repent();
        monitored.log.lie(resource, Lie::Body(own.replacen("300", "301", 1).into_bytes()));
        monitored.alarm(&monitored.look(&[]), "signature");
        monitored.log.repent();
        assert_eq!(monitored.look(&[]).code, 0);
    }
}

#[test]
fn a_broken_cache_before_an_honest_log_is_no_alarm() {
    let stranger = Model::new("lying.example/log", 2).head(0).into_bytes();
    let lies = [
        Lie::FlipBit(9),
        Lie::Cut(1),
        Lie::Longer(b"more".to_vec()),
        Lie::Body(b"<html>".to_vec()),
        Lie::Body(stranger),
    ];
    for lie in lies {
        for path in ["tile/", "checkpoint", "head"] {
            let monitored = Monitored::after(300);
            monitored.log.change(|model| model.grow(900, "entry"));
            monitored.log.lie_from_cache(path, lie.clone());
            for flags in [&[][..], &["--heads-only"]] {
                let ran = monitored.look(flags);
                assert_eq!(ran.code, 0, "{path} {lie:?}: {ran:?}");
            }
        }
    }
}

#[test]
fn a_log_that_does_not_answer_is_not_accused() {
    for lie in
        [Lie::Status(404, None), Lie::Status(503, Some(3_600)), Lie::Status(403, None), Lie::Body(b"<html>".to_vec())]
    {
        let monitored = Monitored::after(300);
        monitored.log.change(|model| model.grow(900, "entry"));
        monitored.log.lie("checkpoint", lie.clone());
        let ran = monitored.look(&[]);
        assert_eq!(ran.code, 1, "{lie:?}: {ran:?}");
        assert_eq!(ran.json().last().unwrap()["event"], "unverified", "{ran:?}");
        assert_eq!(monitored.files(), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_restart_goes_on_where_the_last_run_stopped() {
    let monitored = Monitored::after(600);
    let before = monitored.log.requests().len();
    assert_eq!(monitored.look(&[]).json()[0]["new"], 0);
    let asked = monitored.log.requests().split_off(before);
    assert!(asked.iter().all(|request| !request.contains("tile/")), "{asked:?}");
}

#[test]
fn damage_to_what_is_kept_is_ours_and_never_the_logs() {
    let monitored = Monitored::after(300);
    let whole = std::fs::read(monitored.file()).unwrap();
    let mut damages: Vec<Vec<u8>> = vec![Vec::new(), vec![0; whole.len()], b"{}".to_vec()];
    damages.extend((1..whole.len()).step_by(41).map(|length| whole[..length].to_vec()));
    damages.extend((0..whole.len()).step_by(17).map(|offset| {
        let mut damaged = whole.clone();
        damaged[offset] ^= 1;
        damaged
    }));
    for damaged in damages {
        std::fs::write(monitored.file(), &damaged).unwrap();
        let ran = monitored.look(&[]);
        assert_eq!((ran.code, &*ran.stdout), (5, ""), "{}", String::from_utf8_lossy(&damaged));
        assert!(ran.stderr.contains("damaged on this machine"), "{ran:?}");
        assert_eq!(std::fs::read(monitored.file()).unwrap(), damaged, "damage is left for its owner to see");
    }
    std::fs::write(monitored.file(), whole).unwrap();
    assert_eq!(monitored.look(&[]).code, 0);
    let other = Model::new("lying.example/other", 7).vkey().to_string();
    let ran = monitored.look_with(&other, &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("belongs to the log lying.example/log"), "{ran:?}");
}

#[test]
fn one_folder_has_one_monitor() {
    let monitored = Monitored::after(3);
    let hold = cairn::files::Hold::take(&monitored.state().join("monitor")).unwrap();
    let ran = monitored.look(&[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("another cairn process"), "{ran:?}");
    drop(hold);
    assert_eq!(monitored.look(&[]).code, 0);
}

#[test]
fn several_logs_are_followed_from_a_file_and_a_mistake_in_it_is_named() {
    let (one, other) = (Monitored::after(300), {
        let mut model = Model::new("lying.example/other", 3);
        model.grow(77, "entry");
        Monitored::new(model)
    });
    let config = one.path("monitor.toml");
    let write = |further: &str| {
        let text = format!(
            "state = \"both\"\nstale_after = \"0s\"\nat_once = 1\n{further}\n\
             [[log]]\nname = \"one\"\nurl = \"{}\"\nkeys = [\"{}\"]\n\
             [[log]]\nname = \"other\"\nurl = \"{}\"\nkeys = [\"{}\"]\nheads_only = true\nstale_after = \"1s\"\n",
            one.log.url(),
            one.log.vkey(),
            other.log.url(),
            other.log.vkey()
        );
        std::fs::write(&config, text).unwrap();
    };
    write("");
    let look = || cairn(["monitor", "--once", "--json", "--config", &config]);
    let ran = look();
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut sizes: Vec<u64> = ran.json().iter().map(|event| event["size"].as_u64().unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [77, 300]);
    assert!(Path::new(&one.path("both/one.state")).exists(), "paths are relative to the file");
    other.log.change(|model| {
        *model = model.cut(3);
        model.grow(80, "other");
    });
    let ran = look();
    assert_eq!(ran.code, 3, "{ran:?}");
    let events = ran.json();
    assert!(events.iter().any(|event| event["log"] == "one" && event["event"] == "consistent"), "{ran:?}");
    assert!(events.iter().any(|event| event["log"] == "other" && event["alarm"] == "fork"), "{ran:?}");
    for (mistake, words) in [
        ("no_such_thing = 1", "no_such_thing"),
        ("interval = \"soon\"", "no length of time"),
        ("on_alarm = \"panic\"", "panic"),
        ("at_once = 0", "at_once"),
        ("[[peer]]\nurl = \"ftp://x\"", "ftp"),
        ("[alarm]\ncolour = \"red\"", "colour"),
        ("[[log]]\nname = \"../up\"\nurl = \"http://h\"", "a name has"),
        ("[[log]]\nname = \"one\"\nurl = \"http://h\"\nno_such_thing = 1", "no_such_thing"),
    ] {
        write(mistake);
        let ran = look();
        assert_eq!(ran.code, 2, "{mistake}: {ran:?}");
        assert!(ran.stderr.contains(words), "{mistake}: {ran:?}");
    }
}
