//! A program of this repository, as it is run: found beside the test's own, started, waited for, killed. Which program, and
//! with what, stands elsewhere (`crate::server`, `crate::own_witness`, `crate::signer`).

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

/// How long a program may take for anything. Long, for machines that are busy; whoever waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
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
    /// The number of the signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Its results.
    pub stdout: String,
    /// Everything else that it said.
    pub stderr: String,
}

impl Ended {
    fn of(status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self { code: status.code(), signal: status.signal(), stdout, stderr }
    }

    /// Whether it was killed from outside. A program that aborts or touches what is not its memory is ended by a signal as
    /// well, by another one.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.signal == Some(Signal::KILL.as_raw())
    }
}

/// Runs a program to its end.
///
/// # Panics
/// If it can't be started.
#[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
pub fn run(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended::of(output.status, text(output.stdout), text(output.stderr))
}

/// A program that was started and is perhaps not ready. It is killed when it is dropped.
pub struct Starting {
    child: Child,
    stdout: Receiver<String>,
    said: String,
    stderr: tempfile::NamedTempFile,
    /// What the ready line says before where it listens.
    ready: &'static str,
}

impl Starting {
    /// Starts a program that prints a line when it is ready, with where it listens after `ready`.
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
    pub fn wait(&mut self) -> Option<SocketAddr> {
        self.wait_as()
    }

    /// The same of a program that listens elsewhere: its path, perhaps.
    ///
    /// # Panics
    /// As [`Starting::wait`].
    #[expect(clippy::panic, reason = "support for tests: it fails by panicking")]
    pub fn wait_as<T: FromStr>(&mut self) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(place) = line.strip_prefix(self.ready).and_then(|place| place.parse().ok()) {
                        return Some(place);
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
        Ended::of(status, self.said.clone(), self.stderr())
    }

    /// Its number in the system.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn started(script: &str) -> Starting {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Starting::of(command, "ready ")
    }

    #[test]
    fn a_program_that_aborts_before_it_is_killed_was_not_killed() {
        for signal in [Signal::ABORT, Signal::SEGV, Signal::TERM] {
            let mut aborts = started(&format!("kill -{} $$", signal.as_raw()));
            assert_eq!(aborts.wait(), None, "it is gone");
            aborts.kill();
            let ended = aborts.ended();
            assert_eq!((ended.code, ended.signal), (None, Some(signal.as_raw())));
            assert!(!ended.was_killed(), "{ended:?}");
        }
    }

    #[test]
    fn a_program_that_is_killed_at_work_was_killed_and_one_that_ended_was_not() {
        let mut works = started("echo ready 127.0.0.1:1; exec sleep 60");
        assert!(works.wait().is_some());
        works.kill();
        let ended = works.ended();
        assert!(ended.was_killed() && ended.code.is_none(), "{ended:?}");
        let mut ends = started("exit 3");
        assert_eq!(ends.wait(), None);
        ends.kill();
        let ended = ends.ended();
        assert!(!ended.was_killed() && ended.code == Some(3), "{ended:?}");
    }
}
