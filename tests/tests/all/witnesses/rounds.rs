//! Rounds with honest, slow and dead witnesses; policies that change; restarts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use cairn_tests::http::Request;
use cairn_tests::own_witness::WitnessData;
use cairn_tests::server::{PATIENCE, cairnd, program, run};
use cairn_tests::witness::{Fault, Witness, policy};
use cairn_tree::note::SignatureType;
use cairn_tree::receipt::Receipt;

use super::{ORIGIN, Scene, ask, figure, get, signed, size, wait_for};

#[test]
fn a_checkpoint_has_its_quorum_and_then_the_others_too() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    for number in 0..5_u64 {
        assert_eq!(scene.append_witnessed(&server, &number.to_be_bytes()), number);
    }
    let checkpoint = scene.wait_for_checkpoint(&server, 5, 3);
    assert_eq!(checkpoint.checkpoint().size().get(), 5);
    assert_eq!(signed(&server, "head").note().signatures().len(), 1, "the head has no cosignatures");
    assert!(scene.witnesses.iter().all(|witness| witness.confirmed(ORIGIN) == Some(5)));
    // The same under every route that gives a receipt.
    let receipt = ask(&server, Request::get("/logs/main/entries/3").with("accept", "text/plain"));
    Receipt::parse(&receipt.body).unwrap().verify(&3_u64.to_be_bytes(), &scene.trust).unwrap();
    let inclusion = get(&server, "/logs/main/proof/inclusion?index=3").text();
    assert!(inclusion.contains("w2.example") && inclusion.contains("\"size\":5"), "{inclusion}");
    // A poll costs nothing until something changes.
    let tag = get(&server, "/logs/main/checkpoint").header("etag").unwrap().to_owned();
    assert_ne!(get(&server, "/logs/main/head").header("etag").unwrap(), tag);
    let known = ask(&server, Request::get("/logs/main/checkpoint").with("if-none-match", tag));
    assert_eq!(known.status, 304);
    assert_eq!(get(&server, "/readyz").text(), "ready\n");
    assert_eq!(figure(&server, r#"cairn_log_quorum_met{log="main"}"#), 1.0);
    assert_eq!(figure(&server, r#"cairn_witness_lag{log="main",witness="w3"}"#), 0.0);
    assert!(figure(&server, "cairn_witness_round_seconds_count") >= 5.0);
}

#[test]
fn a_slow_or_dead_witness_slows_nothing_but_who_waits_for_it() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.witnesses[0].fault(Some(Fault::Hang));
    scene.append_witnessed(&server, b"two are enough");
    scene.witnesses[1].fault(Some(Fault::Dead));
    let late = scene.append(&server, "witnessed", b"one is not");
    assert_eq!(late.status, 202, "{}", late.text());
    let receipt = Receipt::parse(&late.body).unwrap();
    let by_the_log = cairn_tree::policy::Trust::Log(scene.data.main.vkey.parse().unwrap());
    receipt.verify(b"one is not", &by_the_log).unwrap();
    assert!(receipt.verify(b"one is not", &scene.trust).is_err(), "an integrated receipt has no quorum");
    assert_eq!((size(&server, "checkpoint"), size(&server, "head")), (1, 2));
    assert_eq!(scene.append(&server, "integrated", b"more").status, 200);
    // Proofs are about the checkpoint, unless they are asked for another size.
    let beyond = get(&server, "/logs/main/proof/inclusion?index=1");
    assert_eq!(beyond.status, 400, "{}", beyond.text());
    assert_eq!(get(&server, "/logs/main/proof/inclusion?index=1&size=2").status, 200);
    let bare = ask(
        &server,
        Request::post("/logs/main/add?wait=witnessed", b"x")
            .with("authorization", format!("Bearer {}", scene.data.token)),
    );
    assert_eq!((bare.status, bare.text().as_str()), (202, "3"));
    let ready = get(&server, "/readyz");
    assert_eq!(ready.status, 200);
    for words in ["log main: checkpoint 1 of 4", "witness w1 lags", "witness w2 lags"] {
        assert!(ready.text().contains(words), "{}", ready.text());
    }
    assert!(figure(&server, r#"cairn_witness_failures_total{log="main",witness="w1",kind="timeout"}"#) > 0.0);
    assert_eq!(figure(&server, r#"cairn_log_checkpoint_size{log="main"}"#), 1.0);
    scene.witnesses.iter().for_each(|witness| witness.fault(None));
    scene.wait_for_checkpoint(&server, 4, 3);
}

/// A witness that answers after every other round still gets to cosign what is at rest.
#[test]
fn many_appends_share_a_round_and_the_last_head_is_cosigned_by_all() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.witnesses[2].fault(Some(Fault::Slow(Duration::from_millis(100))));
    let before: u64 = scene.witnesses.iter().map(|witness| witness.requests()).sum();
    for number in 0..200_u64 {
        assert_eq!(scene.append(&server, "integrated", &number.to_be_bytes()).status, 200);
    }
    scene.wait_for_checkpoint(&server, 200, 3);
    let asked: u64 = scene.witnesses.iter().map(|witness| witness.requests()).sum::<u64>() - before;
    assert!(asked < 600, "{asked} requests for 200 appends and 3 witnesses");
}

#[test]
fn a_head_at_rest_is_cosigned_anew() {
    let scene = Scene::new(2, 2);
    scene.data.set_limit("witness_recosign_seconds", 1);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    let times = |scene: &Scene| {
        let checkpoint = scene.checkpoint(&server);
        checkpoint.witnesses().iter().map(|witness| witness.time).collect::<Vec<_>>()
    };
    let before = times(&scene);
    wait_for(|| times(&scene).iter().zip(&before).all(|(after, before)| after > before).then_some(()));
    assert_eq!(size(&server, "checkpoint"), 1);
}

/// What a witness gave before does not become an answer by being given again.
#[test]
fn a_witness_that_gives_back_its_old_cosignature_of_a_head_at_rest_lags() {
    let scene = Scene::new(2, 2);
    scene.data.set_limit("witness_recosign_seconds", 3);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    assert_eq!(get(&server, "/readyz").text(), "ready\n");
    scene.witnesses[0].fault(Some(Fault::Stuck));
    let lags = "witness w1 lags at 1: it answers with a cosignature that is here already";
    wait_for(|| get(&server, "/readyz").text().contains(lags).then_some(()));
    assert!(figure(&server, r#"cairn_witness_failures_total{log="main",witness="w1",kind="replayed"}"#) > 0.0);
    assert_eq!(figure(&server, r#"cairn_witness_failing{log="main",witness="w1"}"#), 1.0);
    assert_eq!(figure(&server, r#"cairn_witness_failing{log="main",witness="w2"}"#), 0.0);
    // It is asked again at the next interval, and it is well as soon as it cosigns anew.
    scene.witnesses[0].fault(None);
    wait_for(|| (get(&server, "/readyz").text() == "ready\n").then_some(()));
}

#[test]
fn without_a_quorum_the_checkpoint_is_the_head_and_cosignatures_are_added() {
    let scene = Scene::new(2, 0);
    let server = scene.data.serve();
    scene.witnesses[1].fault(Some(Fault::Dead));
    for number in 0..3_u8 {
        assert_eq!(scene.append(&server, "witnessed", &[number]).status, 200);
        assert_eq!(size(&server, "checkpoint"), u64::from(number) + 1);
    }
    scene.wait_for_checkpoint(&server, 3, 1);
    scene.witnesses[1].fault(None);
    scene.wait_for_checkpoint(&server, 3, 2);
    assert_eq!(server.stop().code, Some(0));
    // Cosignatures survive a restart; the witnesses that know them are dead.
    scene.witnesses.iter().for_each(|witness| witness.fault(Some(Fault::Dead)));
    let server = scene.data.serve();
    assert_eq!(scene.checkpoint(&server).witnesses().len(), 2);
}

#[test]
fn a_log_that_fails_open_publishes_late_and_says_so() {
    let scene = Scene::new(2, 2);
    scene.data.set_limit("witness_fail_open_seconds", 1);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    scene.witnesses[0].fault(Some(Fault::Dead));
    assert_eq!(scene.append(&server, "witnessed", b"b").status, 202);
    assert_eq!(size(&server, "checkpoint"), 1, "a log fails closed unless it is told otherwise");
    assert_eq!(scene.set_policy(&policy(&scene.all(), 2), &["--fail-open"]).code, Some(0));
    wait_for(|| (size(&server, "checkpoint") == 2).then_some(()));
    assert!(scene.trust.verify(&signed(&server, "checkpoint")).is_err());
    let ready = get(&server, "/readyz").text();
    assert!(ready.contains("without its quorum") && ready.contains("witness w1 lags"), "{ready}");
    assert_eq!(figure(&server, r#"cairn_log_quorum_met{log="main"}"#), 0.0);
    assert_eq!(figure(&server, r#"cairn_log_fail_open{log="main"}"#), 1.0);
    scene.witnesses[0].fault(None);
    scene.wait_for_checkpoint(&server, 2, 2);
    wait_for(|| (get(&server, "/readyz").text() == "ready\n").then_some(()));
}

#[test]
fn policies_change_and_the_checkpoint_never_shrinks() {
    let mut scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    scene.witnesses[0].fault(Some(Fault::Dead));
    let all_three = policy(&scene.all(), 3);
    assert_eq!(scene.set_policy(&all_three, &[]).code, Some(0));
    let old = get(&server, "/logs/main/checkpoint").text();
    assert_eq!(scene.append(&server, "witnessed", b"b").status, 202);
    assert_eq!(size(&server, "checkpoint"), 1, "the old checkpoint is served until a newer one meets the new policy");
    assert!(old.starts_with(&signed(&server, "checkpoint").note().unverified_text().to_owned()));
    scene.witnesses[0].fault(None);
    scene.trust = scene.trust_in(&all_three);
    scene.wait_for_checkpoint(&server, 2, 3);
    let shown = cairnd(scene.data.path(), &["log", "policy", "main", "--show"]);
    assert_eq!((shown.code, &shown.stdout), (Some(0), &all_three));
    let none = cairnd(scene.data.path(), &["log", "policy", "main", "--none"]);
    assert_eq!(none.code, Some(0), "{none:?}");
    assert_eq!(scene.append(&server, "witnessed", b"c").status, 200);
    assert_eq!((size(&server, "checkpoint"), size(&server, "head")), (3, 3));
    assert_eq!(signed(&server, "checkpoint"), signed(&server, "head"));
    // A policy whose witnesses are all dead: what was published without one stays.
    scene.witnesses.iter().for_each(|witness| witness.fault(Some(Fault::Dead)));
    assert_eq!(scene.set_policy(&all_three, &[]).code, Some(0));
    assert_eq!(scene.append(&server, "witnessed", b"d").status, 202);
    assert_eq!((size(&server, "checkpoint"), size(&server, "head")), (3, 4));
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn a_policy_that_can_not_be_met_is_refused_with_the_reason() {
    let scene = Scene::new(2, 1);
    let [first, second] = [0, 1].map(|number: usize| scene.witnesses[number].line());
    let keyed = |line: &str| line.rsplit_once(' ').unwrap().0.to_owned() + "\n";
    let other = "log.example/other+d9ee0a54+ASjyjeGx+f2zOm3+i3tgbJJ2cKlqHfJcdDs2fgcdyLKV";
    for (text, words) in [
        (format!("{first}{second}group g 2 w1 w2\n"), "quorum line"),
        (format!("{}{second}group g 2 w1 w2\nquorum g\n", keyed(&first)), "can't meet the quorum"),
        (format!("{} ftp://h\nquorum w1\n", keyed(&first).trim_end()), "the scheme must be http or https"),
        (format!("log {other}\n{first}quorum w1\n"), "line 1"),
        (format!("log {}\n{first}quorum w1\n", first.split(' ').nth(2).unwrap()), "line 1"),
    ] {
        let ended = scene.set_policy(&text, &[]);
        assert_eq!(ended.code, Some(1), "{text}{ended:?}");
        assert!(ended.stderr.contains(words) && ended.stderr.lines().count() == 1, "{text}{ended:?}");
    }
    let ended = cairnd(scene.data.path(), &["log", "policy", "nobody", "--show"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("there is no log"), "{ended:?}");
    let own = format!("log {}\n{first}quorum w1\n", scene.data.main.vkey);
    assert_eq!(scene.set_policy(&own, &[]).code, Some(0));
}

#[test]
fn a_restart_keeps_the_checkpoint_and_the_next_round_goes_on_from_it() {
    let scene = Scene::new(3, 2);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    let before = scene.wait_for_checkpoint(&server, 1, 3);
    scene.witnesses.iter().for_each(|witness| witness.fault(Some(Fault::Dead)));
    assert_eq!(scene.append(&server, "integrated", b"b").status, 200);
    assert_eq!(server.stop().code, Some(0));
    let server = scene.data.serve();
    assert_eq!((size(&server, "checkpoint"), size(&server, "head")), (1, 2));
    assert_eq!(scene.checkpoint(&server).witnesses(), before.witnesses());
    scene.witnesses.iter().for_each(|witness| witness.fault(None));
    scene.wait_for_checkpoint(&server, 2, 3);
    scene.append_witnessed(&server, b"c");
}

/// A producer who waits for witnesses gets their cosignatures in its receipts, or is told that they are late.
#[test]
fn the_client_waits_for_witnesses_and_says_when_they_are_late() {
    let scene = Scene::new(2, 2);
    let server = scene.data.serve();
    let folder = scene.folder.path();
    let append = |entry: &str, options: &[&str]| {
        std::fs::write(folder.join(entry), entry).unwrap();
        let mut command = Command::new(program("cairn"));
        command.current_dir(folder).args(["append", entry, "--url", &server.log_url("main")]);
        run(command.args(["--token", &scene.data.token, "--key", &scene.data.main.vkey]).args(options))
    };
    let text = policy(&scene.all(), 2);
    let file = scene.policy_file(&text);
    let file = file.to_str().unwrap();
    let ended = append("a", &["--policy", file]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let receipt = Receipt::parse(&std::fs::read(folder.join("a.tlog-proof")).unwrap()).unwrap();
    receipt.verify(b"a", &scene.trust).unwrap();
    scene.witnesses[1].fault(Some(Fault::Dead));
    for (entry, options) in [("b", vec!["--policy", file]), ("c", vec!["--wait", "witnessed"])] {
        let ended = append(entry, &options);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("are in the log, but its witnesses are late"), "{ended:?}");
        assert!(!folder.join(format!("{entry}.tlog-proof")).exists());
    }
    let ended = append("d", &["--wait", "integrated"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(append("e", &["--wait", "never"]).code, Some(2));
    assert_eq!((size(&server, "checkpoint"), size(&server, "head")), (1, 4));
}

/// Both kinds of heads come as events; the checkpoint's never before its entries.
#[test]
fn events_carry_checkpoints_too() {
    let scene = Scene::new(1, 1);
    let server = scene.data.serve();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /logs/main/events?start=0 HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    scene.append_witnessed(&server, b"a");
    let (mut text, mut buffer) = (String::new(), [0; 4_096]);
    let checkpoint = |text: &str| text.rfind("event: checkpoint\nid: 1\n").filter(|_| text.contains("w1.example"));
    while checkpoint(&text).is_none() {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{text}");
        text += &String::from_utf8_lossy(&buffer[..count]);
    }
    assert!(text.find("event: entry\nid: 1\n") < checkpoint(&text), "{text}");
    assert!(text.contains("event: head\nid: 1\n"), "{text}");
}

#[test]
fn witnesses_with_ml_dsa_keys_count_too() {
    let mut scene = Scene::new(1, 1);
    let ml_dsa = Witness::serve_with("m", 9, SignatureType::COSIGNATURE_ML_DSA_44);
    ml_dsa.trust(&scene.data.main.vkey);
    scene.witnesses.push(ml_dsa);
    let text = policy(&scene.all(), 2);
    assert_eq!(scene.set_policy(&text, &[]).code, Some(0));
    scene.trust = scene.trust_in(&text);
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"a");
    assert_eq!(scene.checkpoint(&server).witnesses().len(), 2);
}

/// `cairn witness` as it is: two keys under one URL, of which both must cosign, and a restart of each side.
#[test]
fn our_own_witness_cosigns_with_both_of_its_keys() {
    let mut scene = Scene::new(0, 0);
    let own = WitnessData::init(scene.folder.path().join("witness"));
    assert_eq!(own.run(&["add-log", "--vkey", &scene.data.main.vkey]).code, Some(0));
    let witness = own.serve();
    let mut text = String::new();
    for (name, key) in ["old", "new"].iter().zip(&own.keys) {
        text += &format!("witness {name} {} http://{}\n", key.verifier_key(), witness.address());
    }
    text += "group both all old new\nquorum both\n";
    assert_eq!(scene.set_policy(&text, &[]).code, Some(0));
    scene.trust = scene.trust_in(&text);
    let server = scene.data.serve();
    for number in 0..3_u64 {
        scene.append_witnessed(&server, &number.to_be_bytes());
    }
    assert_eq!(get(&server, "/readyz").text(), "ready\n");
    assert_eq!(server.stop().code, Some(0));
    let server = scene.data.serve();
    scene.append_witnessed(&server, b"after a restart");
    assert_eq!(scene.checkpoint(&server).witnesses().len(), 2);
    witness.kill();
    assert_eq!(scene.append(&server, "witnessed", b"without it").status, 202);
    assert_eq!(size(&server, "checkpoint"), 4);
}
