//! `cairn witness`: makes a witness, tells it which logs to watch, and runs it.

mod folder;
mod init;
mod logs;
mod serve;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::terminal::{Form, Terminal};

/// Run a witness: it cosigns the heads of logs that are consistent with all it cosigned before (C2SP tlog-witness).
#[derive(Debug, Args)]
pub(super) struct Witness {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    AddLog(logs::AddLog),
    RemoveLog(logs::RemoveLog),
    ListLogs(logs::ListLogs),
    Serve(serve::Serve),
}

/// Where the witness lives.
#[derive(Debug, Args)]
struct DirOption {
    /// The witness's folder: its keys, its state, its evidence.
    #[arg(long = "dir", value_name = "DIR", env = "CAIRN_WITNESS_DIR")]
    folder: PathBuf,
}

impl Witness {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.command {
            Command::Init(command) => command.run(form, terminal),
            Command::AddLog(command) => command.run(form, terminal),
            Command::RemoveLog(command) => command.run(form, terminal),
            Command::ListLogs(command) => command.run(form, terminal),
            Command::Serve(command) => command.run(terminal).await,
        }
    }
}
