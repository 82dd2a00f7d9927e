//! `cairn history`: all records of one object, or of a named stream, verified and chained; complete, if that is asked for.

use std::path::PathBuf;

use cairn_tree::record::replay::{Until, View, replay};
use cairn_tree::record::stream::StreamHead;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::States;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::options::ParallelOption;
use super::search::entries;
use super::terminal::{Form, Terminal};
use super::trail::{
    Ended, ProblemLine, RecordLine, Session, StreamOptions, Summary, Told, TrailOptions, by_seq, save, timeline,
};
use crate::auditor::trail::{Known, Met, Seen, Whole};
use crate::fetch::shown;
use crate::monitor::scanned;

/// Show the history of an object, or of a named stream, from its first record on: each one is verified, and chained to
/// the one before it, so that none is missing between two.
///
/// That none came after the last one is the server's word, unless --complete proves it: then every entry of the log, up to
/// the size that the history is claimed for, is read and hashed to the signed root, and none that bears the stream's id may
/// be missing here. That shows nothing of another stream of the same name, under another id: what a stream is called only
/// its disclosures tell. How many other streams begin in the log is said.
#[derive(Debug, Args)]
pub(super) struct History {
    #[command(flatten)]
    trail: TrailOptions,
    #[command(flatten)]
    stream: StreamOptions,
    #[command(flatten)]
    parallel: ParallelOption,
    /// Prove that no record of the stream was left out, by reading every entry of the log.
    #[arg(long)]
    complete: bool,
    /// What --complete has read so far for this stream: the next run reads what is new. The first run makes the file.
    #[arg(long, value_name = "FILE", requires = "complete")]
    scanned: Option<PathBuf>,
    /// Print the last N records only; all of them are verified.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// A folder in which each printed record is kept with its proof, to be verified offline (cairn verify record).
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

#[derive(Serialize)]
struct Claimed {
    stream: String,
    name: String,
    records: u64,
    /// Up to which size of the log there is no other record of the stream.
    complete_to: u64,
    /// `claimed` by the server, or `proven`.
    complete: &'static str,
    /// How many entries were read to prove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<u64>,
    /// How many other streams begin in the log up to there.
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<u64>,
    /// The log that the stream was in before, by its own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<String>,
}

impl History {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut session = self.trail.open(form, &mut terminal.output).await?;
        let ended = self.shown(&mut session, form, terminal).await;
        session.end(ended, form, &mut terminal.output).await
    }

    async fn shown(&self, session: &mut Session, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Ended> {
        let name = self.stream.name(&mut session.trail).await?;
        let progress = terminal.output.counter("records");
        let whole = session.trail.history(&name, &mut |records| progress.set_position(records)).await;
        progress.finish_and_clear();
        let whole = whole?;
        let proven = if self.complete { Some(self.prove(session, &whole, terminal).await?) } else { None };
        // What does not fit together is the same whatever is printed.
        let mut flags = by_seq(States::from(&replay(&whole.history, View::AsRecorded, Until::End)).flags);
        let hidden = self.last.map_or(0, |last| whole.seen.len().saturating_sub(last));
        for seen in whole.seen.iter().skip(hidden) {
            let saved = self.save.as_deref().map(|folder| save(folder, seen)).transpose()?;
            let flags = flags.remove(&seen.header().seq.get()).unwrap_or_default();
            terminal.output.print(form, &RecordLine::of(seen, &flags, saved, timeline(&seen.into(), &flags))?)?;
        }
        if let Err(broken) = whole.check() {
            self.print_rest(&whole, form, terminal)?;
            return Err(broken.into());
        }
        let (records, complete_to) = (whole.seen.len() as u64, whole.complete_to.get());
        let claimed = Claimed {
            stream: whole.stream.to_string(),
            name: name.to_string(),
            records,
            complete_to,
            complete: if proven.is_some() { "proven" } else { "claimed" },
            read: proven.as_ref().map(|(read, _)| *read),
            others: proven.as_ref().map(|(_, others)| *others),
            continues: continued(&whole).map(|head| head.log.to_string()),
        };
        let before = continued(&whole).map_or_else(String::new, before);
        let last = match proven {
            None => format!(
                "the server says that there is no other among the first {} (--complete proves it)",
                entries(complete_to)
            ),
            Some((read, others)) => format!(
                "complete: there is no other among the first {}, of which {} read now; {} there, of which this tells nothing",
                entries(complete_to),
                counted(read, "was", "were"),
                counted(others, "other stream begins", "other streams begin")
            ),
        };
        let chained = if records == 1 { "the first of its stream" } else { "each chained to the one before" };
        let words = (format!("{}, {chained},", counted(records, "record", "records")), last + &before);
        terminal.output.print(form, &Summary::of("history", session.trail.ground(), claimed, words))?;
        Ok(())
    }

    /// Prints what stands behind the place from where the server can't verify the chain.
    fn print_rest(&self, whole: &Whole, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        for met in &whole.rest {
            match met {
                Met::Unverified(problem) => terminal.output.print(form, &ProblemLine::of(problem))?,
                Met::Record(seen) => {
                    let saved = self.save.as_deref().map(|folder| save(folder, seen)).transpose()?;
                    let words =
                        format!("{}\n    ! not chained to the first record", timeline(&Told::from(&**seen), &[]));
                    terminal.output.print(form, &RecordLine::of(seen, &[], saved, words)?)?;
                }
            }
        }
        Ok(())
    }

    /// Proves that the history is complete; says how many entries were read, and how many other streams begin.
    async fn prove(
        &self,
        session: &mut Session,
        whole: &Whole,
        terminal: &mut Terminal<'_>,
    ) -> Result<(u64, u64), Ended> {
        let origin = session.trail.ground().head().origin().clone();
        let unusable = |path: &PathBuf, error: scanned::ScannedError| {
            let advice = "without it, --complete reads the whole log";
            Failure::Refused(format!("--scanned {}: {error}; {advice}", path.display()))
        };
        let known = match &self.scanned {
            None => Known::default(),
            Some(path) => scanned::load(path, &origin, whole.stream).map_err(|error| unusable(path, error))?,
        };
        let progress = terminal.output.progress(0, "entries");
        let mut report = |read, of| {
            progress.set_length(of);
            progress.set_position(read);
        };
        let scanned = session.trail.complete(whole, known, self.parallel.parallel, &mut report).await;
        progress.finish_and_clear();
        let scanned = scanned?;
        if let Some(path) = &self.scanned {
            let kept = scanned::save(path, &origin, whole.stream, &scanned.known);
            kept.map_err(|error| unusable(path, error))?;
        }
        Ok((scanned.read, scanned.known.others))
    }
}

/// The stream of another log that this one says it goes on from.
fn continued(whole: &Whole) -> Option<&StreamHead> {
    let first = whole.seen.first().and_then(Seen::record)?;
    first.opening()?.continues.disclosed()?.as_ref()
}

/// Where the records before these are.
fn before(head: &StreamHead) -> String {
    let log = shown(head.log.as_str());
    format!(
        "; by its own word it goes on from record {} of a stream in {log}: /v1/streams shows that with log={log}",
        head.seq
    )
}
