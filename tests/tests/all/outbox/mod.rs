//! The producer's outbox, from outside: records go in through the command and the socket, a real server takes them, and
//! what counts is what is in its log at the end.

mod calls;
mod delivering;
mod kills;
mod power;
mod refusals;
mod retries;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use cairn::outbox::{Session, SocketReply, SocketRequest};
use cairn_tests::command::{Ran, cairn, cairn_with_input};
use cairn_tests::http::{Connection, Request};
use cairn_tests::server::{Data, PATIENCE, Server, Starting, cairnd, program};
use serde_json::{Value, json};
use tempfile::TempDir;

const READY: &str = "cairnd is ready at http://";

/// A log, its server if there is one, and an outbox.
struct Scene {
    data: Data,
    server: Option<Server>,
    /// Where the server always listens.
    address: SocketAddr,
    folder: TempDir,
}

impl Scene {
    fn set() -> Self {
        let mut scene = Self::without_server();
        scene.start();
        scene
    }

    fn without_server() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { data, server: None, address, folder }
    }

    fn start(&mut self) {
        self.start_with(&[]);
    }

    fn start_with(&mut self, environment: &[(&str, PathBuf)]) {
        let mut command = Command::new(program("cairnd"));
        command.args(["serve", "--listen", &self.address.to_string(), "--data"]).arg(self.data.path());
        command.envs(environment.iter().map(|(name, value)| (*name, value)));
        self.server = Some(Server::ready(Starting::of(command, READY)));
    }

    fn stop(&mut self) {
        let ended = self.server.take().unwrap().stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    fn kill_server(&mut self) {
        self.server.take().unwrap().kill();
    }

    fn outbox(&self) -> PathBuf {
        self.folder.path().join("outbox")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// `cairn outbox COMMAND --json --dir ...` with further arguments.
    fn run(&self, command: &str, further: &[&str]) -> Ran {
        let dir = self.path("outbox");
        cairn([&["outbox", command, "--json", "--dir", &dir][..], further].concat())
    }

    fn add_with(&self, records: &Value, further: &[&str]) -> Ran {
        let dir = self.path("outbox");
        let arguments = [&["outbox", "add", "--json", "--dir", &dir][..], further, &["-"]].concat();
        cairn_with_input(arguments, records.to_string().as_bytes())
    }

    /// Adds records, and returns their ids.
    fn add(&self, records: &Value) -> Vec<String> {
        let added = self.add_with(records, &[]);
        assert_eq!((added.code, added.stderr.as_str()), (0, ""), "{added:?}");
        texts(&added.json()[0]["ids"])
    }

    /// The arguments of `deliver`.
    fn target(&self) -> Vec<String> {
        let url = format!("http://{}/logs/main", self.address);
        let (token, key) = (self.data.token.as_str(), self.data.main.vkey.as_str());
        ["--url", &url, "--token", token, "--key", key].map(str::to_owned).to_vec()
    }

    fn deliver_with(&self, further: &[&str]) -> Ran {
        let mut target = self.target();
        // A second key would be one more that is trusted.
        if further.contains(&"--key") {
            target.truncate(target.len() - 2);
        }
        let all: Vec<&str> =
            target.iter().map(String::as_str).chain(["--once"]).chain(further.iter().copied()).collect();
        self.run("deliver", &all)
    }

    /// Delivers all there is.
    fn deliver(&self) {
        let ran = self.deliver_with(&[]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.json()[0]["left"], 0);
    }

    fn status(&self) -> Value {
        let status = self.run("status", &[]);
        assert_eq!(status.code, 0, "{status:?}");
        status.json()[0].clone()
    }

    fn get(&self, target: &str) -> (u16, Value) {
        let request = Request::get(target).with("authorization", format!("Bearer {}", self.data.auditor));
        let answer = Connection::open(self.address).unwrap().ask(&request).unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    /// All records of all pages.
    fn pages(&self, target: &str) -> Vec<Value> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        let mark = if target.contains('?') { '&' } else { '?' };
        loop {
            let (status, page) = self.get(&format!("{target}{mark}limit=200{cursor}"));
            assert_eq!(status, 200, "{page}");
            found.extend(page["records"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    }

    /// The ids of an object's records, in the order of its stream.
    fn stream(&self, object: &str) -> Vec<String> {
        self.pages(&format!("/v1/streams/entity/pb/tl/license/{object}")).iter().map(id_of).collect()
    }

    fn size(&self) -> u64 {
        let answer = Connection::open(self.address).unwrap().ask(&Request::get("/logs/main/head")).unwrap();
        answer.text().lines().nth(1).unwrap().parse().unwrap()
    }

    /// How often each id is in the log.
    fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for record in self.pages("/v1/records?tenant=pb") {
            *counts.entry(id_of(&record)).or_default() += 1;
        }
        counts
    }

    fn new_token(&self, arguments: &[&str]) -> String {
        let ended = cairnd(self.data.path(), &[&["token", "create"], arguments].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        ended.stdout.trim().to_owned()
    }

    fn sidecar(&self, further: &[&str]) -> Sidecar {
        Sidecar::start(&self.outbox(), &self.target(), further, &[]).expect("a process that delivers")
    }
}

/// What a leaf says of the event.
fn event_of(record: &Value) -> Value {
    let leaf = record["leaf"].as_str().unwrap();
    let line: Value = serde_json::from_str(leaf.lines().nth(1).unwrap()).unwrap();
    line["event"].clone()
}

fn id_of(record: &Value) -> String {
    event_of(record)["id"].as_str().unwrap().to_owned()
}

fn texts(array: &Value) -> Vec<String> {
    array.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A record about an object. What it says is nowhere else.
fn record(object: &str, operation: &str, note: &str) -> Value {
    json!({
        "object": {"tenant": "pb", "module": "tl", "entity": "license", "id": object, "operation": operation},
        "actor": {"id": "8a1f"},
        "values": {"whole": {"new": {"note": note}}},
    })
}

/// `cairn outbox deliver` as a process of its own. It is killed when it is dropped.
struct Sidecar {
    child: Child,
    stderr: tempfile::NamedTempFile,
    folder: PathBuf,
}

impl Sidecar {
    /// Starts it and waits until it serves its socket; what it said if it ended before.
    fn start(
        folder: &Path,
        target: &[String],
        further: &[&str],
        environment: &[(&str, PathBuf)],
    ) -> Result<Self, (Option<i32>, String)> {
        Self::starting(folder, target, further, environment).ready()
    }

    /// Starts it.
    fn starting(folder: &Path, target: &[String], further: &[&str], environment: &[(&str, PathBuf)]) -> Self {
        let stderr = tempfile::NamedTempFile::new().unwrap();
        let to_stderr = File::options().append(true).open(stderr.path()).unwrap();
        let mut command = Command::new(program("cairn"));
        command.args(["outbox", "deliver", "--longest-backoff", "200ms", "--log", "warn", "--dir"]).arg(folder);
        command.args(target).args(further).envs(environment.iter().map(|(name, value)| (*name, value)));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(to_stderr).spawn().unwrap();
        Self { child, stderr, folder: folder.to_owned() }
    }

    /// Waits until it serves its socket; what it said if it ended before.
    fn ready(mut self) -> Result<Self, (Option<i32>, String)> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.starts_with("cairn outbox is ready in ") { Ok(self) } else { Err(self.ended()) }
    }

    /// What it said on standard error so far.
    fn said(&self) -> String {
        fs::read_to_string(self.stderr.path()).unwrap()
    }

    fn ended(&mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.said())
    }

    fn terminate(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let (code, said) = self.ended();
        assert_eq!(code, Some(0), "{said}");
    }

    fn ask(&self, request: &SocketRequest) -> Option<SocketReply> {
        Session::open(&self.folder).ok()??.ask(request).ok()
    }

    /// Adds records over the socket; their ids if they are acknowledged.
    fn add(&self, records: &Value) -> Option<Vec<String>> {
        match self.ask(&SocketRequest::Add { records: records.to_string() })? {
            SocketReply::Added { ids, .. } => Some(ids),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the outbox is empty.
    fn wait_until_empty(&self) {
        let begun = Instant::now();
        loop {
            let Some(SocketReply::Status(status)) = self.ask(&SocketRequest::Status) else { panic!("it is gone") };
            if status.batches == 0 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{status}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
