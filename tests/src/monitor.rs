//! `cairn monitor` as an operator runs it: a process of its own, whose results are read as they come.
#![expect(clippy::expect_used, clippy::panic, reason = "support for tests: whatever fails here fails the test")]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::{self, Connection, Request};
use crate::server::{PATIENCE, program};

/// What the ready line says before the address.
const READY: &str = "cairn monitor is ready at http://";

/// A monitor that runs. It is killed when it is dropped.
pub struct Monitor {
    child: Child,
    address: SocketAddr,
    events: Receiver<Value>,
    /// The events that were waited for, and those before them.
    seen: Vec<Value>,
    stderr: tempfile::NamedTempFile,
}

impl Monitor {
    /// Starts `cairn monitor --json` with these arguments and a listener of its own, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready, with what it said.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let stderr = tempfile::NamedTempFile::new().expect("a file for what the monitor says");
        let to_stderr = File::options().append(true).open(stderr.path()).expect("the file again");
        let mut command = Command::new(program("cairn"));
        command.args(["monitor", "--json", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(to_stderr);
        let mut child = command.spawn().expect("the monitor starts");
        let output = child.stdout.take().expect("its standard output");
        let (sender, events) = mpsc::channel();
        // Ends with the monitor, whose standard output it reads.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut monitor = Self { child, address, events, seen: Vec::new(), stderr };
        monitor.address = monitor.wait_for_address();
        monitor
    }

    fn wait_for_address(&mut self) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.stderr();
            let address = said.lines().find_map(|line| line.strip_prefix(READY)?.parse().ok());
            if let Some(address) = address {
                return address;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "the monitor is not ready: {ended:?} {said}");
            // Nothing tells of what is written to a file.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What stands under a path now.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut connection = Connection::open(self.address).expect("a monitor that listens");
        let answer = connection.ask(&Request::get(path)).expect("an answer of the monitor");
        (answer.status, answer.text())
    }

    /// Waits until something under a path is as it shall be.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_for(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, text) = self.get(path);
            if wanted(status, &text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{path}: {status} {text}\n{}", self.stderr());
            std::thread::yield_now();
        }
    }

    /// Waits until a figure has a value.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_for_figure(&self, figure: &str, value: u64) {
        let line = format!("\n{figure} {value}\n");
        self.wait_for("/metrics", |_, text| text.contains(&line));
    }

    /// The value of a figure now.
    ///
    /// # Panics
    /// If there is no such figure.
    #[must_use]
    pub fn figure(&self, figure: &str) -> u64 {
        let text = self.get("/metrics").1;
        http::figure(&text, figure).unwrap_or_else(|| panic!("no {figure}: {text}")) as u64
    }

    /// Waits for an event that is as it shall be, and gives it.
    ///
    /// # Panics
    /// If it does not come.
    pub fn wait_for_event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it never came: {:?}\n{}", self.seen, self.stderr())
                }
            }
        }
    }

    /// All that it told so far.
    pub fn events(&mut self) -> &[Value] {
        self.seen.extend(self.events.try_iter());
        &self.seen
    }

    /// What it said on standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.stderr.path()).unwrap_or_default()
    }

    /// Waits until it has said these words on standard error, and gives all that it said. A figure may count before the
    /// words are said.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait_for_words(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.stderr();
            if said.contains(words) {
                return said;
            }
            assert!(Instant::now() < deadline, "it never said {words:?}: {said}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks for a clean end, and waits for it; the exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop(&mut self) -> Option<i32> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, Signal::TERM).expect("a running monitor");
        self.ended()
    }

    /// Waits for its end; the exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.stderr());
            // Nothing else tells of a child's end with a deadline.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills it as a power switch would, and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.kill();
    }
}
