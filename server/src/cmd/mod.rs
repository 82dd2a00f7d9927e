//! The command line: what may be asked, and how an error is told: one line that says what to do next, and an exit code.

mod backup;
mod folder;
mod fsck;
mod index;
mod init;
mod key;
mod log;
mod module;
mod open_files;
mod quarantine;
mod repair;
mod restore;
mod serve;
mod signals;
mod signer;
mod tenant;
mod token;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

/// The exit code of `fsck` for a database that is not sound, and of everything else that failed.
const FAILED: u8 = 1;

/// A transparency log server.
#[derive(Debug, Parser)]
#[command(name = "cairnd", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a database with its first log, a token to append with, and one to audit with.
    Init(init::Init),
    /// Serve the logs of a database over HTTP.
    Serve(serve::Serve),
    /// Make and list logs, and say who witnesses them.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Rotate and list the keys of a log.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Keep the logs' keys in a process of their own, which never signs two histories.
    #[command(subcommand)]
    Signer(signer::SignerCommand),
    /// Give tenants logs of their own, and decide whether reads are put on record.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Decide what a tenant's modules ask of their records.
    #[command(subcommand)]
    Module(module::ModuleCommand),
    /// Look after the messages of DIGIT's persister that became no records.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Look at the configuration of DIGIT's persister that is in force, or read it anew.
    #[command(subcommand)]
    Persister(quarantine::PersisterCommand),
    /// Make, list and revoke tokens.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Read everything again, hash every entry, and name what is not as it must be.
    Fsck(fsck::Fsck),
    /// Make the indexes anew from the entries, of a database that is not served.
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// Add a generation to a folder of backups, of a database that is served or not; list what is there.
    Backup(backup::Backup),
    /// Make a database from a backup, verified whole before it may sign.
    Restore(restore::Restore),
    /// Mend a damaged database that is not served, from its own sound parts, backups and mirrors; the damaged one is kept.
    Repair(repair::Repair),
}

/// Where the database is.
#[derive(Debug, clap::Args)]
struct Data {
    /// The folder of the database, its keys and its configuration.
    #[arg(long = "data", value_name = "DIR", env = "CAIRND_DATA")]
    folder: PathBuf,
    /// The configuration file; without it, cairnd.toml in the folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Init(init) => init.run(),
        Command::Serve(serve) => serve.run(),
        Command::Log(log) => log.run(),
        Command::Key(key) => key.run(),
        Command::Signer(signer) => signer.run(),
        Command::Tenant(tenant) => tenant.run(),
        Command::Module(module) => module.run(),
        Command::Quarantine(quarantine) => quarantine.run(),
        Command::Persister(persister) => persister.run(),
        Command::Token(token) => token.run(),
        Command::Fsck(fsck) => fsck.run(),
        Command::Index(index) => index.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Repair(repair) => repair.run(),
    };
    done.unwrap_or_else(|error| {
        // Standard error may be gone too; then there is nobody to tell.
        let _ = writeln!(io::stderr(), "cairnd: {}", one_line(&error));
        ExitCode::from(FAILED)
    })
}

/// The chain of causes in one line, without those whose words a message has already taken in.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Prints one JSON object on a line.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Prints a line for each of these: one JSON object, or what is told of it.
fn print_each<T: Serialize>(each: &[T], json: bool, told: impl Fn(&T) -> String) -> anyhow::Result<()> {
    each.iter().try_for_each(|one| if json { print_json(one) } else { print(&told(one)) })
}

/// Prints a line.
fn print(line: &str) -> anyhow::Result<()> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints what may be no text; a reader that went away is no error of ours.
fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_is_one_line_without_echoes() {
        let error = anyhow::anyhow!("no space left").context("db/x: no space left").context("can't\nstart");
        assert_eq!(one_line(&error), "can't start: db/x: no space left");
    }
}
