//! `cairnd signer`: a process beside the server that has the logs' keys and never signs two histories.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use cairn_tree::checkpoint::Origin;
use cairn_tree::note::{SignerKey, VerifierKey};
use cairn_tree::store::DatabaseId;
use cairnd::config::Logging;
use cairnd::engine::{Engine, KeyFiles, KeyStatus, Log, SystemClock, Unobserved};
use cairnd::high_water::Mark;
use cairnd::signer::{Serving, Vault, listen};
use clap::Subcommand;
use serde::Serialize;
use tokio::sync::watch;

use super::folder::Folder;
use super::serve::start_logging;
use super::{Data, FAILED, print, print_json};

#[derive(Debug, Subcommand)]
pub(super) enum SignerCommand {
    /// Make a signer's folder.
    Init(Init),
    /// Move the keys of a database's logs into it; the server must not run.
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
        // The keys are still in files here, whatever the configuration says by now.
        let mut options = folder.engine_options();
        options.signer = None;
        let engine = Engine::open(&options, Arc::new(SystemClock), Arc::new(Unobserved))?;
        let files = options.key_files();
        let mut names = Vec::new();
        for log in engine.logs() {
            let (found, keys) = active_keys(&files, &log)?;
            let head = log.head();
            let last = Mark { size: head.size, root: head.root, time_ms: head.time_ms };
            vault.import(&Origin::new(log.info().origin.clone())?, keys, last)?;
            names.extend(found);
        }
        engine.close();
        drop(vault);
        // Durable over there by now: here they go, since a key at two places can sign two histories.
        names.iter().for_each(|name| files.discard(name));
        print("The keys are with the signer now, and their files here are gone.")?;
        print("Start it with: cairnd signer serve; and name its socket in cairnd.toml as signer.socket")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The private keys that sign for a log, with the names of their files.
fn active_keys(files: &KeyFiles, log: &Log) -> anyhow::Result<(Vec<String>, Vec<SignerKey>)> {
    let (mut names, mut keys) = (Vec::new(), Vec::new());
    for (position, entry) in log.keys().into_iter().enumerate() {
        if entry.status == KeyStatus::Active {
            let key: VerifierKey = entry.vkey.parse()?;
            let name = KeyFiles::name(&log.info().name, position, &key);
            keys.push(files.read(&name)?);
            names.push(name);
        }
    }
    Ok((names, keys))
}

impl Serve {
    fn run(self) -> anyhow::Result<ExitCode> {
        start_logging(&Logging::default())?;
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
