//! The program `cairnd` of a build that is broken on purpose.

mod cmd;

use std::process::ExitCode;

fn main() -> ExitCode {
    cmd::run()
}
