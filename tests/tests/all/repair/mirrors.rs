//! Mirrors: another server, a log in memory that tells the truth, and the same when it lies. Its bytes count only if they
//! hash to what was signed.

use std::fs;
use std::process::Command;

use cairn_tests::http::{Connection, Request};
use cairn_tests::lying::{Lie, LyingLog, Model};
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, program, run};
use cairn_tree::tile::Entries;

use super::{FAILED, MENDABLE, MISSING, SOUND, Scene, files, flip_in_tables, repair, repair_json};
use crate::damage::{long, marked};

/// The bundle of entry 300.
const BUNDLE: &str = "tile/entries/001";

fn origin(data: &Data) -> String {
    data.main.vkey.split('+').next().unwrap().to_owned()
}

/// A mirror of the scene's log: a whole one, of a size.
fn mirror(scene: &Scene, size: u64) -> LyingLog {
    let mut model = Model::new(&origin(&scene.data), 9);
    for number in 0..size {
        if number == 300 {
            model.push(&scene.mark)
        } else {
            model.push(&long(number))
        };
    }
    LyingLog::serve(model)
}

#[test]
fn another_server_of_the_same_log_mends_it() {
    let mut scene = Scene::new();
    let copy = scene.place("copy");
    crate::scene::copy(scene.data.path(), &copy);
    let other = Data::at(copy, &scene.data);
    let (server, other) = (scene.data.serve(), other.serve());
    scene.damage_and_find(server);
    let (code, said) = repair_json(scene.data.path(), &["--mirror", &other.log_url("main")]);
    assert_eq!((code, &said["mended"], &said["logs"][0]["lifted"]), (SOUND, &true.into(), &true.into()), "{said}");
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
    assert_eq!(server.stop().code, SOUND);
    scene.data.assert_sound();
}

/// Only whoever has a token that reads it is shown anything of a private log: the token comes from a file or from the
/// environment, and is shown to one place only.
#[test]
fn a_mirror_of_a_private_log_mends_it_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let _ = data.create_log("private", &["--private"]);
    let mark = marked(&mut Random::for_test("private"));
    let server = data.serve();
    for number in 0..300 {
        let entry = if number == 200 { mark.clone() } else { long(number) };
        let request = Request::post("/logs/private/add", entry).with("authorization", format!("Bearer {}", data.token));
        assert_eq!(Connection::open(server.address()).unwrap().ask(&request).unwrap().status, 200);
    }
    server.kill();
    // What a start replays is written to tables.
    assert_eq!(data.serve().stop().code, SOUND);
    let copy = folder.path().join("copy");
    crate::scene::copy(data.path(), &copy);
    let other = Data::at(copy, &data).serve();
    assert!(flip_in_tables(data.path(), &mark) > 0, "the fault did not fire");
    let before = files(data.path());
    let (url, elsewhere) = (other.log_url("private"), Model::new("other.example/log", 9));
    let (elsewhere, token_file) = (LyingLog::serve(elsewhere), folder.path().join("token"));
    let mending = |more: &[&str], token: &str| {
        let mut command = Command::new(program("cairnd"));
        command.args(["repair", "--mirror", &url]).args(more).arg("--data").arg(data.path());
        run(command.env("CAIRND_MIRROR_TOKEN", token))
    };
    let refused = |ended: Ended, why: &str| {
        assert!(ended.code == FAILED && ended.stderr.contains(why), "{why}: {ended:?}");
        assert!(!ended.stderr.contains(&data.auditor), "a token is told: {ended:?}");
    };
    // Without a token, with a wrong one, and with what is none.
    refused(mending(&[], ""), "or name a token that reads the log: --mirror-token-file FILE");
    refused(mending(&[], "cairn_000000000000_AAAA"), "CAIRND_MIRROR_TOKEN) is unknown there, revoked, or may not read");
    refused(mending(&[], "no token"), "cannot stand in an HTTP header");
    let from_file = ["--mirror-token-file", token_file.to_str().unwrap()];
    refused(mending(&from_file, &data.auditor), "No such file");
    for (content, why) in [(" \n".to_owned(), "is empty"), ("x".repeat(9 << 10), "longer than any token")] {
        fs::write(&token_file, content).unwrap();
        refused(mending(&from_file, &data.auditor), why);
    }
    // Nobody at another place gets to see it.
    refused(mending(&["--mirror", &elsewhere.url()], &data.auditor), "not at one scheme, host and port");
    // Tokens for each: a mirror is shown the one of the nearest line, and none if there is no such line.
    let tokens = |lines: &[(&str, &str)]| {
        let lines: String = lines.iter().map(|(url, token)| format!("{url} {token}\n")).collect();
        fs::write(&token_file, format!("# tokens\n\n{lines}")).unwrap();
    };
    tokens(&[(&elsewhere.url(), &data.auditor), (&other.log_url("priv"), &data.auditor)]);
    refused(mending(&from_file, ""), "or name a token that reads the log");
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
    let host = url.strip_suffix("/logs/private").unwrap();
    tokens(&[(host, "cairn_000000000000_AAAA"), (&elsewhere.url(), "another"), (&url, &data.auditor)]);
    let both = mending(&[&["--mirror", &elsewhere.url(), "--check"], &from_file[..]].concat(), "");
    assert_eq!(both.code, MENDABLE, "{both:?}");
    assert!(before == files(data.path()), "something was changed");
    let checked = mending(&["--check"], &data.auditor);
    assert_eq!(checked.code, MENDABLE, "{checked:?}");
    fs::write(&token_file, format!("{}\n", data.auditor)).unwrap();
    let mended = mending(&from_file, "");
    assert_eq!(mended.code, SOUND, "{mended:?}");
    assert!(!mended.stdout.contains(&data.auditor), "a token is told: {mended:?}");
    data.assert_sound();
    let server = data.serve();
    let request = Request::get("/logs/private/entries/200").with("authorization", format!("Bearer {}", data.auditor));
    let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
    assert_eq!(answer.body, mark);
}

/// By their number in the file, comments and empty lines among them; no token is told.
#[test]
fn lines_of_tokens_that_are_wrong_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let (url, token) = ("http://127.0.0.1:1/logs/main", &data.auditor);
    let token_file = folder.path().join("token");
    for (content, why) in [
        (format!("# tokens\n\n{url} {token}\n{token}\n"), "line 4 of the mirrors' tokens is no mirror's URL"),
        (format!("# tokens\n{url} {token}é\n"), "line 2 of the mirrors' tokens is no mirror's URL"),
        (format!("{url} {token}\n  # again\n{url}/ another\n"), "line 3 of the mirrors' tokens is for a URL"),
        (format!("# tokens\n{url}\n"), "the mirrors' token is a URL; a file holds one token alone, or a line for each"),
        // One that is mistyped is told of, whatever becomes of the repair.
        (
            format!("{url} {token}\n{url}s {token}\nhttp://127.0.0.1:1/ x\nhttp://127.0.0.1:2/ x\n"),
            "line 2 of the mirrors' tokens is for http://127.0.0.1:1/logs/mains/, and no --mirror is there or below it\n\
             cairnd: line 4 of the mirrors' tokens is for http://127.0.0.1:2/, and no --mirror is there or below it\n\
             cairnd: the mirror http://127.0.0.1:1/logs/main/ shows no checkpoint",
        ),
    ] {
        fs::write(&token_file, content).unwrap();
        let ended = repair(data.path(), &["--mirror", url, "--mirror-token-file", token_file.to_str().unwrap()]);
        assert!(ended.code == FAILED && ended.stderr.contains(why), "{why}: {ended:?}");
        assert!(!ended.stderr.contains(token), "a token is told: {ended:?}");
    }
}

/// The newest entries are in no backup; a mirror has the unfinished bundle at the very size that was signed.
#[test]
fn a_mirror_has_what_came_after_the_backup() {
    let mut scene = Scene::new();
    scene.back_up();
    let mark = [0x5a_u8, 0x17, 0xc3].repeat(9);
    let server = scene.data.serve();
    for number in 600..700 {
        let entry = if number == 650 { mark.clone() } else { long(number) };
        scene.append(&server, &entry);
    }
    server.kill();
    assert_eq!(scene.data.serve().stop().code, SOUND);
    let mut model = Model::new(&origin(&scene.data), 9);
    for number in 0..700 {
        let entry = if number == 300 { scene.mark.clone() } else { long(number) };
        model.push(if number == 650 { &mark } else { &entry });
    }
    let mirror = LyingLog::serve(model);
    for mark in [&mark, &scene.mark] {
        assert!(flip_in_tables(scene.data.path(), mark) > 0, "the fault did not fire");
    }
    let backups = scene.backups();
    let unmended = repair(scene.data.path(), &["--from", &backups]);
    assert_eq!(unmended.code, MISSING, "{unmended:?}");
    let mended = repair(scene.data.path(), &["--from", &backups, "--mirror", &mirror.url()]);
    assert_eq!(mended.code, SOUND, "{mended:?}");
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
    assert_eq!(server.stop().code, SOUND);
}

#[test]
fn a_mirror_that_lies_changes_nothing_and_an_honest_one_mends() {
    let mut scene = Scene::new();
    let mirror = mirror(&scene, 600);
    assert!(flip_in_tables(scene.data.path(), &scene.mark) > 0, "the fault did not fire");
    let before = files(scene.data.path());
    let bundle = mirror.answer(BUNDLE);
    let mut other = Vec::new();
    (0..256).for_each(|number| Entries::encode(&long(number), &mut other).unwrap());
    let mut lies = vec![
        Lie::Body(other),
        Lie::Body(Vec::new()),
        Lie::Cut(1),
        Lie::Longer(vec![0]),
        Lie::Longer(vec![7; 20 << 20]),
        Lie::Status(404, None),
        Lie::Status(503, Some(1)),
        Lie::Gzip(bundle.clone()),
        Lie::Endless,
    ];
    lies.extend((0..24).map(|part| Lie::FlipBit(part * bundle.len() / 24)));
    for lie in lies {
        mirror.repent();
        mirror.lie(BUNDLE, lie.clone());
        let unmended = repair(scene.data.path(), &["--mirror", &mirror.url()]);
        assert_eq!(unmended.code, MISSING, "{lie:?}: {unmended:?}");
    }
    assert!(mirror.requests().iter().any(|request| request.contains(BUNDLE)), "it was never asked");
    mirror.repent();
    mirror.lie("checkpoint", Lie::Body(b"no checkpoint".to_vec()));
    let unknown = repair(scene.data.path(), &["--mirror", &mirror.url()]);
    assert!(unknown.code == FAILED && unknown.stderr.contains("shows no checkpoint"), "{unknown:?}");
    assert!(before == files(scene.data.path()), "something was changed");
    mirror.repent();
    let mended = repair(scene.data.path(), &["--mirror", &mirror.url()]);
    assert_eq!(mended.code, SOUND, "{mended:?}");
    let server = scene.data.serve();
    scene.assert_goes_on(&server);
    assert_eq!(server.stop().code, SOUND);
}

/// A mirror whose log has another origin is not asked for this one's entries.
#[test]
fn a_mirror_of_another_log_is_of_no_use() {
    let scene = Scene::new();
    assert!(flip_in_tables(scene.data.path(), &scene.mark) > 0, "the fault did not fire");
    let mut model = Model::new("other.example/log", 9);
    for number in 0..600 {
        model.push(&long(number));
    }
    let other = LyingLog::serve(model);
    let unmended = repair(scene.data.path(), &["--mirror", &other.url()]);
    assert_eq!(unmended.code, MISSING, "{unmended:?}");
    assert!(other.requests().iter().all(|request| request.contains("checkpoint")), "{:?}", other.requests());
    for url in ["ftp://host/log", "http://user@host/", "http://host/?a", "nothing"] {
        let refused = repair(scene.data.path(), &["--mirror", url]);
        assert!(refused.code == FAILED && refused.stderr.contains("a mirror's URL"), "{refused:?}");
    }
    assert!(fs::exists(scene.data.path().join("db")).unwrap());
}
