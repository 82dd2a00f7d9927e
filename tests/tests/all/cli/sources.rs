//! What `cairn append` takes for entries, and where their receipts go.

use std::path::Path;

use cairn_tests::command::{Ran, cairn, cairn_with_input};
use cairn_tests::lying::LyingLog;

fn log() -> LyingLog {
    LyingLog::of_size(0)
}

fn append(log: &LyingLog, further: &[&str], input: &[u8]) -> Ran {
    let (url, key) = (log.url(), log.vkey());
    let arguments = ["append", "--json", "--url", &url, "--key", &key];
    cairn_with_input(arguments.iter().chain(further).copied(), input)
}

fn size(log: &LyingLog) -> u64 {
    let mut size = 0;
    log.change(|model| size = model.size());
    size
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_folder_is_its_files_in_order_without_their_receipts() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    for name in ["b", "a/2", "a/1", "a/.hidden"] {
        write(&folder.path().join(name), name.as_bytes());
    }
    std::os::unix::fs::symlink(folder.path().join("b"), folder.path().join("link")).unwrap();
    let path = folder.path().to_str().unwrap();
    let names = |ran: &Ran| -> Vec<String> {
        let names = ran.json().into_iter().map(|line| line["name"].as_str().unwrap().to_owned());
        names.map(|name| name.strip_prefix(path).unwrap().to_owned()).collect()
    };
    let first = append(&log, &[path], b"");
    assert_eq!((first.code, names(&first)), (0, ["/a/.hidden", "/a/1", "/a/2", "/b"].map(String::from).to_vec()));
    assert!(folder.path().join("a/1.tlog-proof").exists(), "a receipt stands beside its file");
    let again = append(&log, &[path], b"");
    assert_eq!(names(&again), names(&first), "receipts are no entries");
}

#[test]
fn entries_up_to_the_bound_are_taken_and_larger_ones_refused_before_anything_is_sent() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(Path::new(&path("fits")), &[b'x'; 65_535]);
    write(Path::new(&path("large")), &[b'x'; 65_536]);
    for flags in [&[][..], &["--lines"]] {
        let fits = append(&log, &[flags, &[&path("fits")]].concat(), b"");
        assert_eq!(fits.code, 0, "{fits:?}");
        let before = size(&log);
        let ran = append(&log, &[flags, &[&path("fits"), &path("large")]].concat(), b"");
        assert_eq!((ran.code, size(&log)), (1, before), "{ran:?}");
        assert!(ran.stderr.contains("an entry is at most 65535 bytes"), "{ran:?}");
    }
    let line = [&[b'x'; 65_535][..], b"\n"].concat();
    assert_eq!(append(&log, &["--lines", "--out", &path("out"), "-"], &line).code, 0);
    let whole = append(&log, &["--out", &path("out"), "-"], &line);
    assert_eq!(whole.code, 1, "as one entry the newline is one byte too many: {whole:?}");
}

#[test]
fn many_lines_go_in_batches_and_every_receipt_verifies() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let file = folder.path().join("lines");
    let lines: Vec<String> = (0..2_345).map(|number| format!("line {number}")).collect();
    write(&file, lines.join("\n").as_bytes());
    let ran = append(&log, &["--lines", file.to_str().unwrap()], b"");
    assert_eq!((ran.code, ran.json().len()), (0, lines.len()), "{}", ran.stderr);
    let posts = log.requests().iter().filter(|request| request.starts_with("POST")).count();
    assert_eq!(posts, 3, "batches of a thousand");
    for number in [1, 1_000, 1_001, 2_345] {
        let proof = format!("{}.{number}.tlog-proof", file.display());
        let verified = cairn([
            "verify",
            "--key",
            &log.vkey(),
            "--proof",
            &proof,
            "--line",
            &number.to_string(),
            file.to_str().unwrap(),
        ]);
        assert_eq!(verified.code, 0, "{number}: {verified:?}");
    }
}

#[test]
fn two_entries_never_share_a_receipt() {
    let (log, folder) = (log(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(Path::new(&path("a/same")), b"one");
    write(Path::new(&path("b/same")), b"two");
    let ran = append(&log, &["--out", &path("out"), &path("a/same"), &path("b/same")], b"");
    assert_eq!((ran.code, size(&log)), (2, 0), "{ran:?}");
    assert!(ran.stderr.contains("would both get the receipt"), "{ran:?}");
}
