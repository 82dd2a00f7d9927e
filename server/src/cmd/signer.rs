//! `cairnd signer`: a process beside the server that has the logs' keys and never signs two histories.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_tree::store::DatabaseId;
use cairnd::config::Logging;
use cairnd::engine::{SystemClock, bound_keys};
use cairnd::signer::{Left, Serving, Vault, import, listen};
use clap::Subcommand;
use serde::Serialize;
use tokio::sync::watch;

use super::folder::Folder;
use super::serve::start_logging;
use super::{Data, FAILED, print, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum SignerCommand {
    /// Make a signer's folder. After a crash, the same command goes on.
    Init(Init),
    /// Move the keys of a database's logs into it, retired ones too; the server must not run. After a crash, the same
    /// command goes on. Files that are no log's keys stay, and are named.
    Import(Import),
    /// Sign what servers ask for on a socket, as long as it extends what was signed before.
    Serve(Serve),
    /// List the logs, their last signed sizes and their keys; the signer must not run.
    List(List),
}

#[derive(Debug, clap::Args)]
struct Dir {
    /// The signer's own folder: keys, and the last signed head of each log. No part of a backup of the database.
    #[arg(long = "dir", value_name = "DIR")]
    path: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    #[command(flatten)]
    dir: Dir,
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    #[command(flatten)]
    dir: Dir,
    #[command(flatten)]
    data: Data,
}

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    dir: Dir,
    /// The socket to make, mode 0600; servers name it as signer.socket in their configuration [default: socket in the
    /// folder].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Another user, by number, whose server may ask. The socket's folder and mode must let it in.
    #[arg(long, value_name = "UID")]
    allow_uid: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    dir: Dir,
    /// Print one JSON object per log.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    origin: String,
    size: u64,
    root: String,
    vkeys: Vec<String>,
}

impl SignerCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Init(Init { dir }) => {
                let mut id = [0; DatabaseId::LEN];
                getrandom::fill(&mut id).map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
                Vault::create(&dir.path, DatabaseId::new(id))?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Import(import) => import.run(),
            Self::Serve(serve) => serve.run(),
            Self::List(list) => list.run(),
        }
    }
}

impl Import {
    fn run(self) -> anyhow::Result<ExitCode> {
        let folder = Folder::open(&self.data)?;
        let mut vault = Vault::open(&self.dir.path)?;
        // Whatever the configuration says by now about where the keys are: this is about those in files.
        let options = folder.engine_options();
        let imported = import(&mut vault, &options.key_files(), &bound_keys(&options)?)?;
        print(&format!(
            "The logs' keys are with the signer; {} private key files are removed here.",
            imported.removed
        ))?;
        for Left { path, why } in &imported.left {
            print(&format!("Still here: {}: {why}", path.display()))?;
        }
        if !imported.left.is_empty() {
            print("No log signs with what is still here. Remove it, unless you know what it is for.")?;
        }
        print("Start the signer with: cairnd signer serve; and name its socket in cairnd.toml as signer.socket")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Serve {
    fn run(self) -> anyhow::Result<ExitCode> {
        let _told = start_logging(&Logging::default())?.told_at_end();
        let vault = Vault::open(&self.dir.path)?;
        let socket = self.socket.unwrap_or_else(|| self.dir.path.join("socket"));
        let (serving, broken) = Serving::new(vault, Arc::new(SystemClock), self.allow_uid);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.context("the runtime can't be started")?.block_on(async {
            let (stop, stopping) = watch::channel(false);
            let listening = listen(&socket, serving, stopping).with_context(|| socket.display().to_string())?;
            let listening = tokio::spawn(listening);
            print(&format!("cairnd signer is ready at {}", socket.display()))?;
            let clean = until_ended(broken).await?;
            // Nobody listens only if it has ended already.
            let _ = stop.send(true);
            listening.await.context("the listener failed")?;
            Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        })
    }
}

/// Waits for a signal (then true), or until the vault has failed.
async fn until_ended(mut broken: watch::Receiver<bool>) -> anyhow::Result<bool> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("signals can't be listened to")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals can't be listened to")?;
    tokio::select! {
        _ = terminate.recv() => Ok(true),
        _ = interrupt.recv() => Ok(true),
        _ = broken.wait_for(|broken| *broken) => Ok(false),
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        for log in Vault::open(&self.dir.path)?.logs() {
            let (size, root) = (log.last.size.get(), log.last.hash.to_base64());
            let line = Line { origin: log.origin, size, root, vkeys: log.vkeys };
            if self.json {
                print_json(&line)?;
            } else {
                print(&format!("{}  size {}  {}", line.origin, line.size, line.vkeys.join(" ")))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
