//! The real `cairn witness`, as an operator runs it: made in a folder, told its logs, started, asked, killed.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr as _;

use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::cosignature::CosignerKey;
use cairn_tree::merkle::ConsistencyProof;
use cairn_tree::note::VerifierKey;
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::{AddCheckpoint, Cosignatures};
use serde::Deserialize;

use crate::http::{Broken, Connection, Request, Response};
use crate::lying::Model;
use crate::server::{Ended, Server, Starting, program, run};

/// What the ready line says before the address.
const READY: &str = "cairn witness is ready at http://";

/// A witness's folder, and its keys.
#[derive(Debug)]
pub struct WitnessData {
    path: PathBuf,
    /// Its verification keys.
    pub keys: Vec<CosignerKey>,
}

#[derive(Deserialize)]
struct Made {
    vkeys: Vec<String>,
}

impl WitnessData {
    /// Makes a witness in `path`.
    ///
    /// # Panics
    /// If `cairn witness init` fails.
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn init(path: PathBuf) -> Self {
        let ended = witness(&path, &["init", "--name", "witness.example/w1", "--json"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "cairn witness init: {ended:?}");
        let made: Made = serde_json::from_str(&ended.stdout).expect("the JSON of init");
        let key = |vkey: &String| CosignerKey::new(VerifierKey::from_str(vkey).expect("a vkey")).expect("a cosigner");
        Self { path, keys: made.vkeys.iter().map(key).collect() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs another command on the folder, to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        witness(&self.path, arguments)
    }

    /// Has the witness watch a log.
    ///
    /// # Panics
    /// If it refuses.
    pub fn add(&self, log: &Model) {
        let ended = self.run(&["add-log", "--vkey", &log.vkey().to_string()]);
        assert_eq!(ended.code, Some(0), "cairn witness add-log: {ended:?}");
    }

    /// The command that serves the folder on a free port.
    #[must_use]
    pub fn serving(&self) -> Command {
        let mut command = Command::new(program("cairn"));
        command.args(["witness", "serve", "--listen", "127.0.0.1:0", "--dir"]).arg(&self.path);
        command
    }

    /// Starts the witness, with these variables in its environment.
    pub fn start(&self, environment: &[(&str, &OsStr)]) -> Starting {
        let mut command = self.serving();
        command.envs(environment.iter().copied());
        Starting::of(command, READY)
    }

    /// Starts the witness where its logs know it.
    #[must_use]
    pub fn start_at(&self, address: SocketAddr) -> Starting {
        let mut command = Command::new(program("cairn"));
        command.args(["witness", "serve", "--listen", &address.to_string(), "--dir"]).arg(&self.path);
        Starting::of(command, READY)
    }

    /// Starts the witness with further options, and waits until it is ready.
    ///
    /// # Panics
    /// If it ends instead.
    #[must_use]
    pub fn serve_with(&self, options: &[&str]) -> Server {
        let mut command = self.serving();
        command.args(options);
        Server::ready(Starting::of(command, READY))
    }

    /// Starts the witness and waits until it is ready.
    ///
    /// # Panics
    /// If it ends instead.
    #[must_use]
    pub fn serve(&self) -> Server {
        Server::ready(self.start(&[]))
    }

    /// Verifies every line of an answer, and that there is one by every key; returns the times.
    ///
    /// # Panics
    /// If any is wrong or missing.
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn verify(&self, head: &str, answer: &Response) -> Vec<u64> {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let head = SignedCheckpoint::parse(head.as_bytes()).expect("a checkpoint");
        let lines = Cosignatures::parse(&answer.body).expect("cosignatures");
        assert_eq!(lines.lines().len(), self.keys.len());
        let pairs = self.keys.iter().zip(lines.lines());
        pairs
            .map(|(key, line)| key.verify_line(&head, line).expect("a right line").expect("its line").seconds())
            .collect()
    }
}

/// Runs `cairn witness` to its end with the folder.
///
/// # Panics
/// If it can't be started.
pub fn witness(folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program("cairn"));
    command.arg("witness").args(arguments).arg("--dir").arg(folder);
    run(&mut command)
}

/// The body that asks for a cosignature of a head.
///
/// # Panics
/// If there is no such request.
#[must_use]
#[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
pub fn request(old: u64, proof: ConsistencyProof, head: &str) -> String {
    let head = SignedCheckpoint::parse(head.as_bytes()).expect("a checkpoint");
    AddCheckpoint::new(TreeSize::new(old).expect("a size"), proof, head).expect("a request").to_string()
}

/// The request that moves a witness from one size of the log to another.
///
/// # Panics
/// If the log has not reached them.
#[must_use]
#[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
pub fn growth(log: &Model, old: u64, size: u64) -> String {
    let proof = if old == 0 { empty() } else { log.consistency(old, size).expect("sizes that were reached") };
    request(old, proof, &log.head(size))
}

/// A proof without hashes.
///
/// # Panics
/// Never.
#[must_use]
#[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
pub fn empty() -> ConsistencyProof {
    ConsistencyProof::from_hashes(Vec::new()).expect("a short proof")
}

/// Sends a request for a cosignature.
///
/// # Errors
/// [`Broken`] if there is no whole answer.
pub fn add_checkpoint(connection: &mut Connection, body: &str) -> Result<Response, Broken> {
    connection.ask(&Request::post("/add-checkpoint", body))
}
