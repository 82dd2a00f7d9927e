//! Runs the command `cairn` as a user does, but within the test's process, and keeps what it said.

use std::ffi::OsString;

use cairn::cmd::{self, Output, Terminal};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code.
    pub code: u8,
    /// Its results.
    pub stdout: String,
    /// Everything else that it said.
    pub stderr: String,
}

/// Runs `cairn` with these arguments and nothing on standard input.
pub fn cairn<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    cairn_with_input(arguments, b"")
}

/// Runs `cairn` with these arguments and this on standard input.
pub fn cairn_with_input<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>, mut stdin: &[u8]) -> Ran {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut terminal = Terminal {
        stdin: &mut stdin,
        output: Output { stdout: &mut stdout, stderr: &mut stderr, draws_progress: false },
    };
    let arguments = ["cairn".into()].into_iter().chain(arguments.into_iter().map(Into::into));
    let code = cmd::run(arguments, &mut terminal);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code, stdout: text(stdout), stderr: text(stderr) }
}

impl Ran {
    /// The results as JSON, one value per line.
    ///
    /// # Panics
    /// If a line is no JSON.
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: what is no JSON fails the test")]
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}
