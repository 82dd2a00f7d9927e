//! The signer process: a server works with it as with its own keys, and whoever took the server over gets nothing signed
//! that contradicts what was signed before.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use cairn_tests::server::{Data, Starting, run};
use cairn_tests::signer::{command, make, start};
use serde_json::{Value, json};

use super::{active, append, cairn};

/// A running signer; it is killed when it is dropped.
pub(super) struct Signer {
    _process: Starting,
    socket: PathBuf,
}

impl Signer {
    pub(super) fn on(dir: &Path) -> Self {
        let mut process = start(dir);
        let socket = process.wait_as().expect("a signer that is ready");
        Self { _process: process, socket }
    }

    /// Asks as whoever took the server over could.
    fn ask(&self, question: &Value) -> Value {
        let answer = self.raw(format!("{question}\n").as_bytes());
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{question}: {answer:?}"))
    }

    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        // It may hang up before it has read all of it.
        let _ = stream.write_all(bytes);
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer);
        answer
    }
}

/// A database whose keys are at a signer.
fn with_signer(folder: &Path) -> (Data, PathBuf) {
    let data = Data::init(folder.join("data"));
    let dir = folder.join("signer");
    make(&dir, data.path());
    assert!(!data.path().join("keys/main.skey").exists());
    (data, dir)
}

#[test]
fn a_server_works_with_a_signer_that_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (data, dir) = with_signer(folder.path());
    let key = data.main.vkey.clone();
    let signer = Signer::on(&dir);
    let server = data.serve();
    for number in 0..50 {
        assert_eq!(append(&server, &data, "main", format!("{number}").as_bytes()).0, 200);
    }
    // Killed under the server, and back.
    drop(signer);
    let signer = Signer::on(&dir);
    assert_eq!(append(&server, &data, "main", b"after").0, 200);
    let rotated = cairn_tests::server::cairnd(data.path(), &["key", "rotate", "main", "--type", "ml-dsa-44"]);
    assert_eq!(rotated.code, Some(0), "{rotated:?}");
    assert_eq!(active(&data, "main").len(), 2);
    server.kill();
    let server = data.serve();
    assert_eq!(append(&server, &data, "main", b"after the kill").0, 200);
    assert_eq!(cairn(&server, "main", &["keys", "--key", &key]).code, Some(0));
    assert_eq!(cairn(&server, "main", &["fsck", "--key", &key]).code, Some(0));
    assert_eq!(server.stop().code, Some(0));
    drop(signer);
    // Without the signer nothing can be signed: the start says so.
    let refused = data.try_serve().err().unwrap();
    assert!(refused.stderr.contains("signer"), "{refused:?}");
    let listed = run(&mut command(&dir, &["list", "--json"]));
    let line: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(line["size"], 53);
}

#[test]
fn whoever_takes_the_server_over_gets_no_fork_no_rollback_and_no_lie_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, dir) = with_signer(folder.path());
    let signer = Signer::on(&dir);
    let server = data.serve();
    for number in 0..10 {
        assert_eq!(append(&server, &data, "main", format!("{number}").as_bytes()).0, 200);
    }
    let origin = "localhost/logs/main";
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let head = |size: u64, root: &str, from: u64, proof: &[&str]| {
        json!({"ask": "head", "origin": origin, "head": {"size": size, "root": root}, "time_ms": 0, "from": from,
            "released": {"size": size, "root": root}, "proof": proof, "keys": [data.main.vkey]})
    };
    let refused = |question: Value| {
        let answer = signer.ask(&question);
        assert!(answer.get("refused").is_some(), "{question}: {answer}");
    };
    // A rollback, a fork of one size, an empty fork, and forks of larger sizes with no proof, a made-up one, or one that
    // begins elsewhere.
    refused(head(3, other, 0, &[]));
    refused(head(10, other, 10, &[]));
    refused(head(0, other, 0, &[]));
    refused(head(20, other, 10, &[]));
    refused(head(20, other, 10, &[other, other, other]));
    let told = signer.ask(&head(20, other, 0, &[]));
    assert_eq!(told["from"]["size"], 10, "{told}");
    // Another log, another key, a size past all bounds.
    refused(json!({"ask": "keys", "origin": "localhost/logs/else"}));
    refused(head(u64::MAX, other, 10, &[]));
    let mut strange = head(20, other, 10, &[]);
    strange["keys"] = json!(["localhost/logs/main+00000000+AAAA"]);
    refused(strange);
    // Statements that would hand the log to a stranger.
    let stranger = "localhost/logs/evil+086c4f23+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
    let seal = format!(
        "cairn.seal/1\n{}\n",
        json!({"origin": origin, "successor": "localhost/logs/evil", "successor_keys": [stranger]})
    );
    for text in [
        seal.as_str(),
        "localhost/logs/main\n99\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "cairn.key/1\n{}\n",
        "",
    ] {
        refused(json!({"ask": "statement", "text": text, "keys": [data.main.vkey]}));
    }
    // Noise ends a connection and nothing else.
    for noise in [b"\xff\xfe\n".as_slice(), b"{}\n", b"[[[[[[\n", &vec![b'x'; 1 << 20]] {
        let answer = signer.raw(noise);
        assert!(answer.is_empty() || answer.contains("refused"), "{answer}");
    }
    assert_eq!(append(&server, &data, "main", b"on").0, 200);
    assert_eq!(cairn(&server, "main", &["fsck", "--key", &data.main.vkey]).code, Some(0));
}
