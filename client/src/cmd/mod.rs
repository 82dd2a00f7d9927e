//! The command line: one file per command, and what they share.
//!
//! Exit codes: 0 all is well; 1 not verified, not sound, or not to be had; 2 the command line or a file that it names
//! is unusable; 3 a watched log contradicted itself or rolled back; 4 evidence is sound, and testimony only; 5 a
//! monitor's own memory is damaged. Results go to standard output (`--json`: one object per line), everything else to
//! standard error.

mod added;
mod append;
mod attached;
mod consistency;
mod diff;
mod duration;
mod evidence;
mod failure;
mod follow;
mod fsck;
mod history;
mod keys;
mod load;
mod logging;
mod monitor;
mod options;
mod outbox;
mod prove;
mod reader;
mod record;
mod recorded;
mod replay;
mod search;
mod sources;
mod stop;
mod terminal;
mod trail;
mod verify;
mod verify_record;
mod watch;
mod why;
mod witness;

pub use terminal::{Output, Terminal};

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use self::failure::Failure;
use self::terminal::Form;

/// Appends to transparency logs, verifies receipts and proofs, and watches logs; it trusts nothing unverified.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, about, max_term_width = 100, args_override_self = true)]
struct Cli {
    /// Print results as JSON: one object, or one per line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Append(append::Append),
    Prove(prove::Prove),
    Record(record::Record),
    Search(search::Search),
    History(history::History),
    Replay(replay::Replay),
    Diff(diff::Diff),
    Outbox(outbox::Outbox),
    Verify(verify::Verify),
    Consistency(consistency::Consistency),
    Watch(watch::Watch),
    Monitor(monitor::Monitor),
    Evidence(evidence::Evidence),
    Fsck(fsck::Fsck),
    Keys(keys::Keys),
    CheckKeys(keys::CheckKeys),
    Follow(follow::Follow),
    Load(load::Load),
    Witness(witness::Witness),
}

/// Runs one command and returns the process's exit code. The first argument is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render();
            // Help and the version were asked for; everything else is a mistake in the command line.
            let asked_for = error.exit_code() == 0;
            let stream = if asked_for { &mut *terminal.output.stdout } else { &mut *terminal.output.stderr };
            // There is nobody left to tell if this fails.
            let _ = write!(stream, "{text}");
            return if asked_for { 0 } else { 2 };
        }
    };
    let form = if cli.json { Form::Json } else { Form::Text };
    match execute(cli.command, form, terminal) {
        Ok(()) => 0,
        Err(failure) => {
            if failure.has_words() {
                terminal.output.say(format_args!("cairn: {failure}"));
            }
            failure.exit_code()
        }
    }
}

fn execute(command: Command, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut runtime = match &command {
        // These only read files.
        Command::Verify(command) => return command.run(form, terminal),
        Command::Evidence(command) => return command.run(form, terminal),
        Command::CheckKeys(command) => return command.run(form, terminal),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(|error| Failure::Refused(format!("no runtime: {error}")))?;
    let ended = runtime.block_on(async {
        match command {
            Command::Append(command) => command.run(form, terminal).await,
            Command::Prove(command) => command.run(form, terminal).await,
            Command::Record(command) => Box::pin(command.run(form, terminal)).await,
            Command::Search(command) => Box::pin(command.run(form, terminal)).await,
            Command::History(command) => Box::pin(command.run(form, terminal)).await,
            Command::Replay(command) => Box::pin(command.run(form, terminal)).await,
            Command::Diff(command) => Box::pin(command.run(form, terminal)).await,
            Command::Outbox(command) => Box::pin(command.run(form, terminal)).await,
            Command::Consistency(command) => command.run(form, terminal).await,
            Command::Watch(command) => Box::pin(command.run(form, terminal)).await,
            Command::Monitor(command) => Box::pin(command.run(form, terminal)).await,
            Command::Fsck(command) => command.run(form, terminal).await,
            Command::Keys(command) => Box::pin(command.run(form, terminal)).await,
            Command::Follow(command) => Box::pin(command.run(form, terminal)).await,
            Command::Load(command) => command.run(form, terminal).await,
            Command::Witness(command) => Box::pin(command.run(form, terminal)).await,
            Command::Verify(_) | Command::Evidence(_) | Command::CheckKeys(_) => Ok(()),
        }
    });
    // Requests that nobody waits for any more are dropped.
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// All commands beneath one, that one included.
    fn all(command: &clap::Command) -> Vec<&clap::Command> {
        std::iter::once(command).chain(command.get_subcommands().flat_map(all)).collect()
    }

    #[test]
    fn every_command_and_every_option_has_words() {
        let mut cli = Cli::command();
        cli.build();
        for command in all(&cli) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{}: {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn what_asks_for_records_can_say_why() {
        let cli = Cli::command();
        for name in ["record", "search", "history", "replay", "diff"] {
            let command = cli.find_subcommand(name).unwrap();
            let variable = |option: &str| {
                let argument = command.get_arguments().find(|argument| argument.get_long() == Some(option));
                argument.and_then(|argument| argument.get_env()?.to_str()).map(str::to_owned)
            };
            for (option, wanted) in [
                ("purpose", "CAIRN_PURPOSE"),
                ("on-behalf-of", "CAIRN_ON_BEHALF_OF"),
                ("trace-id", "CAIRN_TRACE_ID"),
                ("traceparent", "TRACEPARENT"),
                ("tracestate", "TRACESTATE"),
            ] {
                assert_eq!(variable(option).as_deref(), Some(wanted), "{name}");
            }
        }
    }
}
