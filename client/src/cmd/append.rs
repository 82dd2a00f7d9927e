//! `cairn append`: entries go in batches, receipts come back, are verified, and are written.

use core::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use cairn_tree::wire::append::Wait;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::failure::Failure;
use super::options::{OriginOption, RemoteOptions, TrustOptions, idempotency_key};
use super::sources::{self, Lines, Source};
use super::terminal::{Form, Output, Terminal};
use crate::fetch::IdempotencyKey;
use crate::files::{Durability, write_atomic};
use crate::producer::{Appended, Batch, Producer};

/// Append entries to a log and keep a verified receipt for each.
///
/// Each file is one entry, each file of a folder too; with --lines each line is one. The receipt of FILE is
/// FILE.tlog-proof, that of its line N is FILE.N.tlog-proof (counted from 1); --out says in which folder, where
/// relative paths are kept. Entries go in batches; a batch is appended whole or not at all.
#[derive(Debug, Args)]
pub(super) struct Append {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    #[command(flatten)]
    origin: OriginOption,
    /// Each line is an entry, without its newline.
    #[arg(long)]
    lines: bool,
    /// The folder for the receipts; it is made if it is missing.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// When a batch counts as appended: `integrated`, once the log has signed a head with it; `witnessed`, once such a
    /// head has the cosignatures that the log's policy asks for [default: witnessed, if --policy has a quorum]
    #[arg(long, value_name = "WHEN", value_parser = wait)]
    wait: Option<Wait>,
    /// The name under which this whole command can be repeated, with the same entries, without appending them twice.
    #[arg(long, value_name = "NAME")]
    idempotency_key: Option<String>,
    /// Files, folders, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// An entry that waits for its batch.
struct Pending {
    name: String,
    line: Option<u64>,
    receipt: PathBuf,
}

/// One result.
#[derive(Serialize)]
struct Report<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    index: u64,
    leaf_hash: String,
    receipt: String,
    verified: bool,
}

/// What one run of the command carries along.
struct Run<'a, 't> {
    producer: Producer,
    key: IdempotencyKey,
    verified: bool,
    form: Form,
    output: &'a mut Output<'t>,
    progress: ProgressBar,
    batch: Batch,
    pending: Vec<Pending>,
    batches: u64,
    appended: u64,
    /// A batch was sent, and it is not known what became of it.
    in_doubt: bool,
}

impl Append {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let trust = self.trust.among(self.origin.which(&self.remote.url()?))?;
        let key = idempotency_key(self.idempotency_key.as_deref())?;
        let remote = self.remote.remote()?;
        let sources = sources::list(&self.files, self.out.as_deref())?;
        if self.lines { sources::refuse_long_lines(&sources) } else { sources::refuse_long_files(&sources) }?;
        if trust.is_none() {
            terminal.output.say("cairn: neither --key nor --policy: the receipts are not verified");
        }
        let verified = trust.is_some();
        let unit = if self.lines { "inputs" } else { "files" };
        let progress = terminal.output.progress(sources.len() as u64, unit);
        let mut run = Run {
            producer: Producer::new(remote, trust, self.wait),
            key,
            verified,
            form,
            output: &mut terminal.output,
            progress,
            batch: Batch::default(),
            pending: Vec::new(),
            batches: 0,
            appended: 0,
            in_doubt: false,
        };
        let ended = run.all(&sources, self.lines, terminal.stdin).await;
        run.progress.finish_and_clear();
        if run.in_doubt {
            // A batch whose answer is missing may be in the log all the same: only the same key can tell.
            let key = &run.key;
            run.output.say(format_args!("cairn: repeat this with --idempotency-key {key}: nothing is appended twice"));
        }
        let words = if verified { "receipts verified" } else { "receipts not verified" };
        if run.appended > 0 || ended.is_ok() {
            let appended = run.appended;
            let entries = if appended == 1 { "entry" } else { "entries" };
            run.output.say(format_args!("cairn: {appended} {entries} appended, {words}"));
        }
        ended
    }
}

impl Run<'_, '_> {
    async fn all(&mut self, sources: &[Source], lines: bool, stdin: &mut dyn Read) -> Result<(), Failure> {
        for source in sources {
            if lines {
                self.lines_of(source, stdin).await?
            } else {
                self.whole(source, stdin).await?
            }
            self.progress.inc(1);
        }
        self.flush().await
    }

    async fn whole(&mut self, source: &Source, stdin: &mut dyn Read) -> Result<(), Failure> {
        let entry = sources::read_whole(source, stdin)?;
        let pending = Pending { name: source.name(), line: None, receipt: source.receipt() };
        self.push(&entry, pending).await
    }

    async fn lines_of(&mut self, source: &Source, stdin: &mut dyn Read) -> Result<(), Failure> {
        let mut lines = Lines::new(source.name(), source.open(stdin)?);
        while let Some((number, line)) = lines.next_line()? {
            let pending = Pending { name: source.name(), line: Some(number), receipt: source.line_receipt(number) };
            self.push(&line, pending).await?;
        }
        Ok(())
    }

    async fn push(&mut self, entry: &[u8], pending: Pending) -> Result<(), Failure> {
        if !self.batch.has_room_for(entry.len()) {
            self.flush().await?;
        }
        self.batch.push(entry).map_err(|error| Failure::Refused(format!("{}: {error}", pending.name)))?;
        self.pending.push(pending);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let key = self.key.numbered(self.batches);
        self.batches += 1;
        let batch = core::mem::take(&mut self.batch);
        let pending = core::mem::take(&mut self.pending);
        let appended = self.producer.append(&batch, &key).await.map_err(|error| {
            self.in_doubt = error.leaves_doubt();
            let first = pending.first().map(Pending::label).unwrap_or_default();
            Failure::Refused(match pending.len() {
                1 => format!("{first}: {error}"),
                count => format!("{count} entries from {first} on: {error}"),
            })
        })?;
        for (entry, pending) in appended.iter().zip(&pending) {
            self.keep(entry, pending)?;
        }
        Ok(())
    }

    fn keep(&mut self, entry: &Appended, pending: &Pending) -> Result<(), Failure> {
        write_receipt(&pending.receipt, &entry.receipt.to_string())?;
        self.appended += 1;
        let report = Report {
            name: &pending.name,
            line: pending.line,
            index: entry.index.get(),
            leaf_hash: entry.leaf_hash.to_base64(),
            receipt: pending.receipt.display().to_string(),
            verified: self.verified,
        };
        let (form, output) = (self.form, &mut *self.output);
        self.progress.suspend(|| output.print(form, &report))
    }
}

/// Reads the value of `--wait`.
pub(super) fn wait(text: &str) -> Result<Wait, String> {
    let (integrated, witnessed) = (Wait::Integrated.as_str(), Wait::Witnessed.as_str());
    Wait::parse(text).ok_or_else(|| format!("must be {integrated} or {witnessed}"))
}

/// Writes a receipt whole, in a folder that is made if it is missing. A lost receipt can be had again (`cairn prove`),
/// so none of them waits for the disk.
pub(super) fn write_receipt(path: &Path, receipt: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::Refused(format!("{}: {error}", folder.display())))?;
    }
    write_atomic(path, receipt.as_bytes(), Durability::Process).map_err(|error| Failure::Refused(error.to_string()))
}

impl Pending {
    fn label(&self) -> String {
        match self.line {
            Some(line) => format!("{}, line {line}", self.name),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.index, self.name)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, " -> {}", self.receipt)
    }
}
