//! The real `cairnd`, as an operator runs it: a folder that it made, served, stopped, killed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::Deserialize;

pub use crate::process::{Ended, PATIENCE, Starting, program, run};

/// What the ready line says before the URL.
const READY: &str = "cairnd is ready at http://";

/// Runs `cairnd` to its end with the folder of `data`.
///
/// # Panics
/// If it can't be started.
pub fn cairnd(data: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program("cairnd"));
    command.args(arguments).arg("--data").arg(data);
    run(&mut command)
}

/// A log as `cairnd` names it.
#[derive(Debug, Clone, Deserialize)]
pub struct LogKey {
    /// Its name.
    pub name: String,
    /// Its key.
    pub vkey: String,
}

#[derive(Deserialize)]
struct Made {
    logs: Vec<LogKey>,
    producer_token: String,
    auditor_token: String,
}

/// A data folder that `cairnd init` made.
#[derive(Debug)]
pub struct Data {
    path: PathBuf,
    /// The token of `init` that appends.
    pub token: String,
    /// The token of `init` that reads all of it.
    pub auditor: String,
    /// The log of `init`.
    pub main: LogKey,
}

impl Data {
    /// Makes a database in `path`, with a log named `main`.
    ///
    /// # Panics
    /// If `cairnd init` fails.
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn init(path: PathBuf) -> Self {
        let ended = cairnd(&path, &["init", "--json"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "cairnd init: {ended:?}");
        let made: Made = serde_json::from_str(&ended.stdout).expect("the JSON of init");
        let main = made.logs.into_iter().next().expect("a first log");
        Self { path, token: made.producer_token, auditor: made.auditor_token, main }
    }

    /// A copy of another one, in this folder.
    #[must_use]
    pub fn at(path: PathBuf, of: &Self) -> Self {
        Self { path, token: of.token.clone(), auditor: of.auditor.clone(), main: of.main.clone() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes another log.
    ///
    /// # Panics
    /// If `cairnd log create` fails.
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn create_log(&self, name: &str, flags: &[&str]) -> LogKey {
        let ended = cairnd(&self.path, &[&["log", "create", name, "--json"], flags].concat());
        assert_eq!(ended.code, Some(0), "cairnd log create: {ended:?}");
        serde_json::from_str(&ended.stdout).expect("the JSON of log create")
    }

    /// Changes a bound in the configuration file.
    ///
    /// # Panics
    /// If there is no such bound.
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn set_limit(&self, name: &str, value: u64) {
        let file = self.path.join("cairnd.toml");
        let text = fs::read_to_string(&file).expect("a configuration");
        let line = |line: &&str| line.trim_start_matches("# ").split(" = ").next() == Some(name);
        let old = text.lines().find(line).expect("a bound of this name");
        fs::write(&file, text.replacen(old, &format!("{name} = {value}"), 1)).expect("a new configuration");
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready, with what it said.
    #[must_use]
    #[expect(clippy::panic, reason = "support for tests: it fails by panicking")]
    pub fn serve(&self) -> Server {
        self.try_serve().unwrap_or_else(|ended| panic!("cairnd serve: {ended:?}"))
    }

    /// Starts the server and waits until it is ready or has ended.
    ///
    /// # Errors
    /// How it ended.
    pub fn try_serve(&self) -> Result<Server, Ended> {
        let mut starting = Starting::on(&self.path, &[]);
        match starting.wait() {
            Some(address) => Ok(Server { address, process: starting }),
            None => Err(starting.ended()),
        }
    }

    /// Checks the database from inside.
    ///
    /// # Panics
    /// If anything is not sound.
    pub fn assert_sound(&self) {
        let ended = cairnd(&self.path, &["fsck"]);
        assert_eq!(ended.code, Some(0), "cairnd fsck: {ended:?}");
    }
}

impl Starting {
    /// Starts `cairnd serve` on a free port, with these variables in its environment.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn on(data: &Path, environment: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(program("cairnd"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.envs(environment.iter().copied());
        Self::of(command, READY)
    }
}

/// A server that is ready. It is killed when it is dropped.
pub struct Server {
    address: SocketAddr,
    process: Starting,
}

impl Server {
    /// Waits until a server that was started is ready.
    ///
    /// # Panics
    /// If it ends instead.
    #[must_use]
    #[expect(clippy::panic, reason = "support for tests: it fails by panicking")]
    pub fn ready(mut process: Starting) -> Self {
        match process.wait() {
            Some(address) => Self { address, process },
            None => panic!("cairnd serve: {:?}", process.ended()),
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a log.
    #[must_use]
    pub fn log_url(&self, log: &str) -> String {
        format!("http://{}/logs/{log}", self.address)
    }

    /// The memory that it has now, in bytes.
    ///
    /// # Panics
    /// If the system does not tell.
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("a running server");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
    }

    /// Asks for a clean stop.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Does something while the server stands still between two of its instructions.
    ///
    /// # Panics
    /// If there is no such process.
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn while_paused<T>(&self, work: impl FnOnce() -> T) -> T {
        let id = self.signal(Signal::STOP);
        // Returns when all of its threads stand still.
        waitpid(Some(id), WaitOptions::UNTRACED).expect("a stopped server");
        let done = work();
        self.signal(Signal::CONT);
        done
    }

    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    fn signal(&self, signal: Signal) -> Pid {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).expect("a running server");
        id
    }

    /// Asks for a clean stop, and waits for the end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(mut self) -> Ended {
        self.terminate();
        self.process.ended()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    pub fn ended(&mut self) -> Ended {
        self.process.ended()
    }

    /// Kills it as a power switch would, and waits until it is gone.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// What it said on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }
}
