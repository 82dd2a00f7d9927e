//! The real `cairnd`, as an operator runs it: found beside the test's own program, started on a folder, waited for,
//! killed.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::Deserialize;

/// How long a program may take for anything. Long, for machines that are busy; whoever waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What the ready line says before the URL.
const READY: &str = "cairnd is ready at http://";

/// The environment variable that names another `cairnd` than the one beside the test's own program.
const OTHER: &str = "CAIRN_TESTS_CAIRND";

/// The program of this name beside the test's own, unless the environment names another `cairnd`.
///
/// # Panics
/// If it was not built.
#[must_use]
#[expect(clippy::panic, reason = "support for tests: without the program there is nothing to test")]
pub fn program(name: &str) -> PathBuf {
    if let Some(other) = std::env::var_os(OTHER).filter(|_| name == "cairnd") {
        return other.into();
    }
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    beside.unwrap_or_else(|| panic!("{name} is not built; run: cargo build --workspace --release --bins"))
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Its results.
    pub stdout: String,
    /// Everything else that it said.
    pub stderr: String,
}

/// Runs `cairnd` to its end with the folder of `data`.
///
/// # Panics
/// If it can't be started.
pub fn cairnd(data: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program("cairnd"));
    command.args(arguments).arg("--data").arg(data);
    run(&mut command)
}

/// Runs a program to its end.
///
/// # Panics
/// If it can't be started.
#[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
pub fn run(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
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

/// A server that was started and is perhaps not ready. It is killed when it is dropped.
pub struct Starting {
    child: Child,
    stdout: Receiver<String>,
    said: String,
    stderr: tempfile::NamedTempFile,
    /// What the ready line says before the address.
    ready: &'static str,
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

    /// Starts any program that prints a line when it is ready, with its address after `ready`.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn of(mut command: Command, ready: &'static str) -> Self {
        let stderr = tempfile::NamedTempFile::new().expect("a file for what the server says");
        let to_stderr = File::options().append(true).open(stderr.path()).expect("the file again");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(to_stderr);
        let mut child = command.spawn().expect("the server starts");
        let output = child.stdout.take().expect("its standard output");
        let (sender, stdout) = mpsc::channel();
        // Ends with the server, whose standard output it reads.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stdout, said: String::new(), stderr, ready }
    }

    /// Waits until it is ready, and gives its address; `None` if it ended before.
    ///
    /// # Panics
    /// If it does neither for long.
    #[expect(clippy::panic, reason = "support for tests: it fails by panicking")]
    pub fn wait(&mut self) -> Option<SocketAddr> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(address) = line.strip_prefix(self.ready).and_then(|address| address.parse().ok()) {
                        return Some(address);
                    }
                    self.said.push_str(&line);
                    self.said.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("it is neither ready nor ended: {}", self.stderr()),
            }
        }
    }

    /// Kills it as a power switch would, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended by now.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn ended(&mut self) -> Ended {
        let status = self.wait_for_end().expect("the server ends");
        self.said.extend(self.stdout.iter().map(|line| line + "\n"));
        Ended { code: status.code(), stdout: self.said.clone(), stderr: self.stderr() }
    }

    /// What it said on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.stderr.path()).unwrap_or_default()
    }

    fn wait_for_end(&mut self) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Nothing else tells of a child's end with a deadline.
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.kill();
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).expect("a running server");
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
        let id = i32::try_from(self.process.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
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
