//! A log and its witnesses: what becomes of checkpoints when witnesses are honest, slow, dead or lying, and what becomes
//! of a log whose witnesses have seen more than it has.

mod crash;
mod guard;
mod lying;
mod restored;
mod rounds;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, Ended, PATIENCE, Server, cairnd};
use cairn_tests::witness::{Witness, policy};
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::policy::{Policy, Trust, WitnessedCheckpoint};
use cairn_tree::receipt::Receipt;
use tempfile::TempDir;

/// The origin of the log `main`.
const ORIGIN: &str = "localhost/logs/main";

/// A log `main` with a policy, its witnesses, and the policy as its readers have it.
struct Scene {
    folder: TempDir,
    data: Data,
    witnesses: Vec<Witness>,
    trust: Trust,
}

impl Scene {
    /// So many witnesses, of which `quorum` must cosign. Waiting is short, so that tests are.
    fn new(count: u8, quorum: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        for (name, value) in
            [("witnessed_wait_seconds", 2), ("witness_request_seconds", 1), ("witness_backoff_seconds", 1)]
        {
            data.set_limit(name, value);
        }
        let witnesses: Vec<Witness> = (1..=count).map(|number| Witness::serve(&format!("w{number}"), number)).collect();
        witnesses.iter().for_each(|witness| witness.trust(&data.main.vkey));
        let mut scene =
            Self { folder, data, witnesses, trust: Trust::Policy(Policy::parse(b"quorum none\n").unwrap()) };
        let text = policy(&scene.all(), quorum);
        scene.trust = scene.trust_in(&text);
        let ended = scene.set_policy(&text, &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        scene
    }

    fn all(&self) -> Vec<&Witness> {
        self.witnesses.iter().collect()
    }

    /// What readers trust who have this policy: the same, with the log's key.
    fn trust_in(&self, text: &str) -> Trust {
        Trust::Policy(Policy::parse(format!("log {}\n{text}", self.data.main.vkey).as_bytes()).unwrap())
    }

    fn policy_file(&self, text: &str) -> PathBuf {
        let file = self.folder.path().join("policy");
        std::fs::write(&file, text).unwrap();
        file
    }

    fn set_policy(&self, text: &str, flags: &[&str]) -> Ended {
        let file = self.policy_file(text);
        let arguments = ["log", "policy", "main", "--policy", file.to_str().unwrap()];
        cairnd(self.data.path(), &[&arguments, flags].concat())
    }

    /// Appends one entry and waits as it says.
    fn append(&self, server: &Server, wait: &str, entry: &[u8]) -> Response {
        let request = Request::post(format!("/logs/main/entries?wait={wait}"), entry)
            .with("authorization", format!("Bearer {}", self.data.token))
            .with("accept", "text/plain");
        ask(server, request)
    }

    /// Appends one entry, whose receipt the policy must accept.
    fn append_witnessed(&self, server: &Server, entry: &[u8]) -> u64 {
        let answer = self.append(server, "witnessed", entry);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let receipt = Receipt::parse(&answer.body).unwrap();
        receipt.verify(entry, &self.trust).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
        receipt.index().get()
    }

    /// The checkpoint, verified under the policy.
    fn checkpoint(&self, server: &Server) -> WitnessedCheckpoint {
        let signed = signed(server, "checkpoint");
        self.trust.verify(&signed).unwrap_or_else(|error| panic!("{error}: {signed}"))
    }

    /// Waits until the checkpoint covers so many entries, cosigned by so many witnesses.
    fn wait_for_checkpoint(&self, server: &Server, size: u64, cosigners: usize) -> WitnessedCheckpoint {
        wait_for(|| {
            let signed = signed(server, "checkpoint");
            let verified = self.trust.verify(&signed).ok()?;
            (verified.checkpoint().size().get() >= size && verified.witnesses().len() >= cosigners).then_some(verified)
        })
    }
}

fn ask(server: &Server, request: Request) -> Response {
    Connection::open(server.address()).unwrap().ask(&request).unwrap()
}

fn get(server: &Server, target: &str) -> Response {
    ask(server, Request::get(target))
}

/// `head` or `checkpoint`, as it is served.
fn signed(server: &Server, resource: &str) -> SignedCheckpoint {
    let answer = get(server, &format!("/logs/main/{resource}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    SignedCheckpoint::parse(&answer.body).unwrap()
}

/// The size of `head` or `checkpoint`.
fn size(server: &Server, resource: &str) -> u64 {
    signed(server, resource).unverified().size().get()
}

/// Asks again and again until there is something.
fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come about");
        // What is waited for happens in other processes, which tell nobody.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A figure of `/metrics`, zero if it is absent.
fn figure(server: &Server, name: &str) -> f64 {
    get(server, "/metrics").figure(name).unwrap_or(0.0)
}
