//! What goes over plain HTTP goes straight to whom it is for, whatever proxy the environment names: a proxy could read it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairn_tests::lying::LyingLog;
use cairn_tests::process::{Starting, program, run};
use cairn_tests::server::{Data, Server, cairnd};
use cairn_tests::witness::{Witness, policy};

use crate::damage::wait_for;

/// Somebody who would read everything, and counts who comes. Ends with the test's process.
struct Proxy {
    url: String,
    came: Arc<AtomicUsize>,
}

impl Proxy {
    fn listen() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&came);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { url, came }
    }

    /// Names this proxy for everything in the environment of a command.
    fn before(&self, command: &mut Command) {
        for name in ["NO_PROXY", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(name);
        }
        for name in ["http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"] {
            command.env(name, &self.url);
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        self.before(&mut command);
        command
    }

    fn assert_nobody_came(&self) {
        assert_eq!(self.came.load(Ordering::SeqCst), 0, "somebody was sent through a proxy that reads along");
    }

    /// Whoever is to be reached over TLS is reached through it: so it is heeded at all.
    fn assert_somebody_came(&self) {
        assert!(self.came.load(Ordering::SeqCst) > 0, "the proxy is not heeded at all");
    }
}

#[test]
fn a_mirror_is_asked_directly() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let (proxy, mirror) = (Proxy::listen(), LyingLog::of_size(3));
    let repair = |url: &str| run(proxy.command("cairnd").args(["repair", "--mirror", url, "--data"]).arg(data.path()));
    let ended = repair(&mirror.url());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!mirror.requests().is_empty());
    proxy.assert_nobody_came();
    assert_eq!(repair("https://127.0.0.1:1/logs/main").code, Some(1));
    proxy.assert_somebody_came();
}

#[test]
fn witnesses_are_asked_directly() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let (proxy, witness) = (Proxy::listen(), Witness::serve("w1", 1));
    witness.trust(&data.main.vkey);
    let file = folder.path().join("policy");
    std::fs::write(&file, policy(&[&witness], 1)).unwrap();
    let ended = cairnd(data.path(), &["log", "policy", "main", "--policy", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut command = proxy.command("cairnd");
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let server = Server::ready(Starting::of(command, "cairnd is ready at http://"));
    wait_for("the witness's cosignature", || witness.requests() > 0);
    proxy.assert_nobody_came();
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn people_are_told_of_alarms_directly() {
    let folder = tempfile::tempdir().unwrap();
    let (proxy, log) = (Proxy::listen(), LyingLog::of_size(3));
    let told = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let look = || {
        let config = folder.path().join("monitor.toml");
        let text = format!(
            "state = \"state\"\nstale_after = \"0s\"\n[alarm]\nurl = \"http://{}/told\"\ntimeout = \"9s\"\n\
             [[log]]\nname = \"log\"\nurl = \"{}\"\nkeys = [\"{}\"]\n",
            told.local_addr().unwrap(),
            log.url(),
            log.vkey()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = proxy.command("cairn");
        command.args(["monitor", "--once", "--config"]).arg(&config);
        run(&mut command)
    };
    let ended = look();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    log.show(Some(2));
    let alarmed = std::thread::scope(|scope| {
        let alarmed = scope.spawn(look);
        let (mut stream, _): (TcpStream, _) = told.accept().unwrap();
        let mut first = [0; 10];
        stream.read_exact(&mut first).unwrap();
        // As it is sent to whom it is for: a proxy would be sent the whole URL.
        assert_eq!(&first, b"POST /told");
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        alarmed.join().unwrap()
    });
    assert_eq!(alarmed.code, Some(3), "{alarmed:?}");
    proxy.assert_nobody_came();
}
