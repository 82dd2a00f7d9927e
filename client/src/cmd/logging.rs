//! The log lines of commands that run for long, on standard error.

use std::fmt::Display;

use cairn_listen::{ToldAtEnd, WarningLimit};
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::failure::Failure;

/// How they are written, and which.
#[derive(Debug, Args)]
pub(super) struct LoggingOptions {
    /// How log lines are written, on standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Which log lines are written, as in info or cairn=debug.
    #[arg(long, value_name = "FILTER", env = "CAIRN_LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LoggingOptions {
    /// Starts writing them, for the whole process; to be held until it ends.
    pub(super) fn start(&self) -> Result<ToldAtEnd, Failure> {
        let Self { log, log_format } = self;
        let filter = EnvFilter::try_new(log).map_err(|error| Failure::Usage(format!("--log {log}: {error}")))?;
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let refused = |error: &dyn Display| Failure::Refused(format!("logging can't be started: {error}"));
        let warnings = WarningLimit::of_process().map_err(|error| refused(&error))?;
        let told = warnings.told_at_end();
        let started = match log_format {
            LogFormat::Text => subscriber.with_ansi(false).finish().with(warnings).try_init(),
            LogFormat::Json => subscriber.json().flatten_event(true).finish().with(warnings).try_init(),
        };
        started.map_err(|error| refused(&error))?;
        Ok(told)
    }
}
