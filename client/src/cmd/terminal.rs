//! Where a command's words go: results to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, Read, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;

/// The streams of one command.
pub struct Terminal<'a> {
    /// What `-` reads.
    pub stdin: &'a mut dyn Read,
    /// What it says.
    pub output: Output<'a>,
}

/// Where words go.
pub struct Output<'a> {
    /// Results only.
    pub stdout: &'a mut dyn Write,
    /// Warnings, errors, progress.
    pub stderr: &'a mut dyn Write,
    /// Whether a person watches standard error, so that progress may be drawn on it.
    pub draws_progress: bool,
}

/// The form in which results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Output<'_> {
    /// Prints one result.
    pub(super) fn print<R: Serialize + Display>(&mut self, form: Form, result: &R) -> Result<(), Failure> {
        let text = match form {
            Form::Text => result.to_string(),
            Form::Json => serde_json::to_string(result).map_err(|error| Failure::Refused(error.to_string()))?,
        };
        writeln!(self.stdout, "{text}").and_then(|()| self.stdout.flush()).map_err(Failure::output)
    }

    /// Writes a line for whoever waits for it, in whatever form results are printed.
    pub(super) fn line(&mut self, words: impl Display) -> Result<(), Failure> {
        writeln!(self.stdout, "{words}").and_then(|()| self.stdout.flush()).map_err(Failure::output)
    }

    /// Says something that is no result.
    pub(super) fn say(&mut self, words: impl Display) {
        // There is nobody left to tell if this fails.
        let _ = writeln!(self.stderr, "{words}");
    }

    /// A bar on standard error if somebody watches it, else nothing.
    pub(super) fn progress(&self, total: u64, unit: &str) -> ProgressBar {
        if !self.draws_progress {
            return ProgressBar::hidden();
        }
        drawn(Some(total), &format!("{{bar:40}} {{human_pos}}/{{human_len}} {unit}, {{per_sec}}, {{eta}} left"))
    }

    /// The same where nobody knows how many there will be.
    pub(super) fn counter(&self, unit: &str) -> ProgressBar {
        if !self.draws_progress {
            return ProgressBar::hidden();
        }
        drawn(None, &format!("{{spinner}} {{human_pos}} {unit}, {{per_sec}}"))
    }

    /// The same for bytes.
    pub(super) fn bytes(&self, done: &str) -> ProgressBar {
        if !self.draws_progress {
            return ProgressBar::hidden();
        }
        drawn(None, &format!("{{spinner}} {{bytes}} {done}, {{bytes_per_sec}}"))
    }
}

fn drawn(total: Option<u64>, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Failure {
    /// Standard output failed; a reader that went away (`cairn ... | head`) is not worth words.
    fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Silent
        } else {
            Self::Refused(format!("standard output: {error}"))
        }
    }
}
