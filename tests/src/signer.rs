//! The real `cairnd signer`, as an operator runs it: made in a folder, given a database's keys, started, killed.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::process::{Starting, program, run};

/// What the ready line says before the socket.
const READY: &str = "cairnd signer is ready at ";

/// Makes a signer in `dir` that takes the keys of a database, which names it from then on.
///
/// # Panics
/// If `cairnd signer` fails.
pub fn make(dir: &Path, data: &Path) {
    let ended = run(&mut command(dir, &["init"]));
    assert_eq!(ended.code, Some(0), "cairnd signer init: {ended:?}");
    let ended = run(command(dir, &["import"]).arg("--data").arg(data));
    assert_eq!(ended.code, Some(0), "cairnd signer import: {ended:?}");
    point_to(dir, data);
}

/// Starts it; it is ready when it has said where its socket is.
#[must_use]
pub fn start(dir: &Path) -> Starting {
    Starting::of(command(dir, &["serve"]), READY)
}

/// A command of `cairnd signer` on its folder.
#[must_use]
pub fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("cairnd"));
    command.arg("signer").args(arguments).arg("--dir").arg(dir);
    command
}

/// Names a signer in the configuration of a database.
///
/// # Panics
/// If that can't be read or written.
#[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
pub fn point_to(dir: &Path, data: &Path) {
    let file = data.join("cairnd.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let line = format!("socket = {}", json!(dir.join("socket")));
    std::fs::write(&file, text.replacen("# socket = \"signer.sock\"", &line, 1)).expect("a new configuration");
}
