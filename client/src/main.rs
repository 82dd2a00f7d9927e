//! The command `cairn`: the process around [`cairn::cmd::run`], and nothing else.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use cairn::cmd::{self, Output, Terminal};

fn main() -> ExitCode {
    let mut terminal = Terminal {
        stdin: &mut io::stdin().lock(),
        output: Output {
            stdout: &mut io::stdout().lock(),
            stderr: &mut io::stderr(),
            draws_progress: io::stderr().is_terminal(),
        },
    };
    ExitCode::from(cmd::run(std::env::args_os(), &mut terminal))
}
