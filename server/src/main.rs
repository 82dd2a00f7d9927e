//! The program `cairnd`.

mod cmd;

use std::process::ExitCode;

fn main() -> ExitCode {
    cmd::run()
}
