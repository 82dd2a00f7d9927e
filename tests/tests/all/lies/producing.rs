//! What a producer or an auditor accepts from a log that lies: nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cairn_tests::command::{Ran, cairn, cairn_with_input};
use cairn_tests::lying::{Lie, LyingLog, Model};

struct Bench {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(size: u64) -> Self {
        Self { log: LyingLog::of_size(size), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, command: &str, further: &[&str]) -> Ran {
        let (url, key) = (self.log.url(), self.log.vkey());
        let remote = [command, "--json", "--url", &url, "--key", &key];
        cairn(remote.iter().chain(further).copied())
    }

    fn verify(&self, proof: &Path, entry: &str) -> Ran {
        cairn(["verify", "--json", "--key", &self.log.vkey(), "--proof", proof.to_str().unwrap(), entry])
    }
}

#[test]
fn receipts_are_verified_before_they_are_written() {
    let lies: [(&str, Lie); 8] = [
        ("no answer at all", Lie::Cut(usize::MAX)),
        ("an answer that is cut off", Lie::Cut(1)),
        ("an answer without end", Lie::Endless),
        ("a page", Lie::Body(b"<html>".to_vec())),
        ("a broken first letter", Lie::FlipBit(2)),
        ("another log's receipts", Lie::Body(answer_of(&Model::new("lying.example/log", 2), b"the entry"))),
        ("receipts for another entry", Lie::Body(answer_of(&Model::new("lying.example/log", 1), b"another entry"))),
        ("a batch of another length", Lie::Body(answer_of(&Model::new("lying.example/log", 1), b""))),
    ];
    for (name, lie) in lies {
        let bench = Bench::new(9);
        let file = bench.file("entry", b"the entry");
        bench.log.lie("entries", lie);
        let ran = bench.run("append", &[&file]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{name}: {ran:?}");
        assert!(!bench.path("entry.tlog-proof").exists(), "{name}");
    }
}

/// The answer of some log to a batch of this entry, or of two if it is empty.
fn answer_of(model: &Model, entry: &[u8]) -> Vec<u8> {
    let log = LyingLog::serve(model.clone());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("entry");
    let entries: &[&[u8]] = if entry.is_empty() { &[b"one", b"two"] } else { &[entry] };
    std::fs::write(&file, entries.join(&b'\n')).unwrap();
    let ran = cairn(["append", "--lines", "--url", &log.url(), file.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    log.last_answer()
}

#[test]
fn a_lost_answer_is_asked_for_again_and_nothing_is_appended_twice() {
    let bench = Bench::new(9);
    let file = bench.file("entry", b"the entry");
    bench.log.lie_times(2, "entries", Lie::Status(503, None));
    let ran = bench.run("append", &[&file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["index"], 9);
    let posts = bench.log.requests().iter().filter(|request| request.starts_with("POST entries?")).count();
    assert_eq!(posts, 3);
    let mut size = 0;
    bench.log.change(|model| size = model.size());
    assert_eq!(size, 10, "the log knew the retry by its key");
}

#[test]
fn a_named_append_can_be_repeated() {
    let bench = Bench::new(9);
    let file = bench.file("lines", b"one\ntwo\n");
    let first = bench.run("append", &["--lines", "--idempotency-key", "monday", &file]);
    let again = bench.run("append", &["--lines", "--idempotency-key", "monday", &file]);
    assert_eq!((first.code, &first.stdout), (0, &again.stdout), "{again:?}");
}

#[test]
fn a_receipt_is_refused_for_every_other_entry_and_when_any_byte_of_it_changes() {
    let bench = Bench::new(300);
    let file = bench.file("entry", b"the entry");
    assert_eq!(bench.run("append", &[&file]).code, 0);
    let proof = bench.path("entry.tlog-proof");
    assert_eq!(bench.verify(&proof, &file).code, 0);
    for other in [&b"the entrY"[..], b"", b"the entry\n"] {
        let ran = bench.verify(&proof, &bench.file("other", other));
        assert_eq!((ran.code, &ran.json()[0]["included"]), (1, &false.into()), "{ran:?}");
    }
    let receipt = std::fs::read(&proof).unwrap();
    for offset in 0..receipt.len() {
        let mut changed = receipt.clone();
        changed[offset] ^= 1;
        std::fs::write(&proof, &changed).unwrap();
        let ran = bench.verify(&proof, &file);
        assert_eq!(ran.code, 1, "byte {offset}: {ran:?}");
    }
}

#[test]
fn a_proof_for_another_entry_is_refused() {
    let bench = Bench::new(300);
    let honest = bench.run("prove", &["--index", "7"]);
    assert_eq!(honest.code, 0, "{honest:?}");
    let other = bench.log.answer("proof/inclusion?index=8");
    bench.log.lie("proof/inclusion", Lie::Body(other));
    for wanted in [&["--index", "7"][..], &[&bench.file("entry", b"entry 7")]] {
        let ran = bench.run("prove", wanted);
        assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    }
}

#[test]
fn the_wrong_bytes_under_an_index_are_refused() {
    let bench = Bench::new(300);
    bench.log.lie("entries/7", Lie::Body(b"entry 8".to_vec()));
    let ran = bench.run("prove", &["--index", "7"]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("the log's receipt is refused"), "{ran:?}");
}

#[test]
fn a_consistency_proof_that_does_not_verify_is_refused() {
    let bench = Bench::new(300);
    let honest = bench.run("consistency", &["--from", "100"]);
    assert_eq!((honest.code, &honest.json()[0]["to"]["size"]), (0, &300.into()), "{honest:?}");
    let saved = bench.file("saved", &bench.log.answer("checkpoint"));
    bench.log.lie("proof/consistency", Lie::Body(bench.log.answer("proof/consistency?from=101&to=300")));
    let ran = bench.run("consistency", &["--from", "100"]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    bench.log.repent();
    bench.log.change(|model| {
        *model = model.cut(299);
        model.grow(600, "other");
    });
    let ran = bench.run("consistency", &["--from-checkpoint", &saved]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("not consistent"), "{ran:?}");
}

#[test]
fn a_log_of_tiles_alone_is_proven_from_its_tiles() {
    let bench = Bench::new(700);
    for dynamic in ["head", "entries", "proof"] {
        bench.log.lie(dynamic, Lie::Status(404, None));
    }
    let out = bench.path("receipt");
    let proven = bench.run("prove", &["--index", "512", "--out", out.to_str().unwrap()]);
    assert_eq!((proven.code, &proven.json()[0]["verified"]), (0, &true.into()), "{proven:?}");
    assert_eq!(bench.verify(&out, &bench.file("entry", b"entry 512")).code, 0);
    for (from, to) in [("1", "700"), ("256", "512"), ("300", "699"), ("700", "700")] {
        let grown = bench.run("consistency", &["--from", from, "--to", to]);
        assert_eq!(grown.code, 0, "{from} to {to}: {grown:?}");
    }
    assert_eq!(bench.run("fsck", &[]).code, 0);
    let state = bench.path("state");
    assert_eq!(bench.run("watch", &["--once", "--state", state.to_str().unwrap()]).code, 0);
    let beyond = bench.run("prove", &["--index", "700"]);
    assert_eq!(beyond.code, 1, "{beyond:?}");
    bench.log.lie("tile/entries/002", Lie::FlipBit(8));
    let ran = bench.run("prove", &["--index", "512"]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{ran:?}");
}

#[test]
fn partial_tiles_that_are_gone_are_cut_from_the_full_ones() {
    let bench = Bench::new(1_000);
    bench.log.show(Some(700));
    for partial in ["tile/0/002.p", "tile/entries/002.p", "tile/1/000.p/2"] {
        bench.log.lie(partial, Lie::Status(404, None));
    }
    // The level above has no full tile yet: there the partial one is all that there is.
    let ran = bench.run("fsck", &[]);
    assert_eq!((ran.code, &ran.json()[0]["place"]), (1, &"tile/1/000.p/2".into()), "{ran:?}");
    bench.log.repent();
    for partial in ["tile/0/002.p", "tile/entries/002.p"] {
        bench.log.lie(partial, Lie::Status(404, None));
    }
    let ran = bench.run("fsck", &[]);
    assert_eq!((ran.code, &ran.json()[0]["size"]), (0, &700.into()), "{ran:?}");
}

#[test]
fn a_server_that_asks_for_patience_gets_it_within_reason() {
    let bench = Bench::new(3);
    bench.log.lie_times(1, "checkpoint", Lie::Status(429, Some(1)));
    let started = std::time::Instant::now();
    assert_eq!(bench.run("fsck", &[]).code, 0);
    assert!(started.elapsed() >= std::time::Duration::from_secs(1));
    bench.log.lie("checkpoint", Lie::Status(503, Some(86_400)));
    let asked = bench.log.requests().len();
    assert_eq!(bench.run("fsck", &[]).code, 1);
    assert_eq!(bench.log.requests().len(), asked + 1, "nobody waits for a day");
}

#[test]
fn compressed_answers_are_read_and_bombs_are_not() {
    let bench = Bench::new(300);
    let gzip = |pieces: usize, piece: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..pieces).for_each(|_| encoder.write_all(piece).unwrap());
        encoder.finish().unwrap()
    };
    bench.log.lie("tile/entries/000", Lie::Gzip(gzip(1, &bench.log.answer("tile/entries/000"))));
    assert_eq!(bench.run("fsck", &[]).code, 0);
    bench.log.repent();
    let bomb = gzip(1_024, &vec![0; 1 << 20]);
    assert!(bomb.len() < 2 << 20, "a gigabyte in a megabyte");
    bench.log.lie("tile/entries/000", Lie::Gzip(bomb));
    let ran = bench.run("fsck", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("the answer is longer than 16777472 bytes"), "{ran:?}");
}

#[test]
fn an_append_in_doubt_names_the_key_that_settles_it() {
    let bench = Bench::new(3);
    let file = bench.file("entry", b"the entry");
    // The log appends, and then its answer is lost each time.
    bench.log.lie("entries", Lie::Status(500, None));
    let lost = bench.run("append", &[&file]);
    assert_eq!((lost.code, &*lost.stdout), (1, ""), "{lost:?}");
    let key = lost.stderr.split("--idempotency-key ").nth(1).unwrap().split(':').next().unwrap();
    bench.log.repent();
    let settled = bench.run("append", &["--idempotency-key", key, &file]);
    assert_eq!((settled.code, &settled.json()[0]["index"]), (0, &3.into()), "{settled:?}");
    let refused = {
        bench.log.lie("entries", Lie::Status(403, None));
        bench.run("append", &[&file])
    };
    assert!(refused.code == 1 && !refused.stderr.contains("--idempotency-key"), "{refused:?}");
}

#[test]
fn a_redirect_is_not_followed() {
    let bench = Bench::new(3);
    bench.log.lie("checkpoint", Lie::Status(302, None));
    let ran = bench.run("fsck", &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("302"), "{ran:?}");
}

#[test]
fn fsck_names_the_first_bad_place() {
    let places = [
        ("tile/entries/001", Lie::FlipBit(5), "tile/entries/001"),
        ("tile/0/002", Lie::FlipBit(0), "tile/entries/002"),
        ("tile/entries/003.p", Lie::FlipBit(5), "tile/entries/003.p/232"),
        ("tile/1/", Lie::FlipBit(40), "tile/1/000.p/3"),
        ("tile/0/000", Lie::Cut(32), "tile/0/000"),
        ("tile/entries/000", Lie::Longer(vec![0, 0]), "tile/entries/000"),
    ];
    for (path, lie, place) in places {
        let bench = Bench::new(1_000);
        let sound = bench.run("fsck", &[]);
        assert_eq!((sound.code, &sound.json()[0]["tiles"]), (0, &5.into()), "{sound:?}");
        bench.log.lie(path, lie);
        let ran = bench.run("fsck", &[]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let report = &ran.json()[0];
        assert_eq!((&report["sound"], &report["place"]), (&false.into(), &place.into()), "{ran:?}");
    }
}

#[test]
fn fsck_finds_a_head_over_other_entries() {
    let bench = Bench::new(1_000);
    let mut forged = Model::new("lying.example/log", 1);
    forged.grow(1_000, "other");
    bench.log.lie("checkpoint", Lie::Body(forged.head(1_000).into_bytes()));
    let ran = bench.run("fsck", &[]);
    assert_eq!((ran.code, &ran.json()[0]["place"]), (1, &"the signed head".into()), "{ran:?}");
}

#[test]
fn words_of_a_server_do_not_steer_the_terminal() {
    let bench = Bench::new(3);
    bench.log.lie("entries", Lie::Status(418, None));
    bench.log.lie("checkpoint", Lie::Body(b"\x1b[2Jgone".to_vec()));
    let ran = bench.run("fsck", &[]);
    assert_eq!(ran.code, 1);
    assert!(!ran.stderr.contains('\x1b'), "{ran:?}");
}

#[test]
fn without_a_key_receipts_are_kept_and_said_to_be_unverified() {
    let bench = Bench::new(3);
    let out = bench.path("out");
    let url = bench.log.url();
    let arguments = ["append", "--json", "--url", &url, "--out", out.to_str().unwrap(), "--lines", "-"];
    let ran = cairn_with_input(arguments, b"one\n\nthree");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("the receipts are not verified"), "{ran:?}");
    assert!(ran.json().iter().all(|entry| entry["verified"] == false));
    let receipts = ["stdin.1.tlog-proof", "stdin.2.tlog-proof", "stdin.3.tlog-proof"];
    assert!(receipts.iter().all(|name| out.join(name).exists()), "{ran:?}");
}
