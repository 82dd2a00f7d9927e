//! `cairn history`: all records of one object, or of a named stream, verified and chained; complete, if that is asked for.

use std::path::{Path, PathBuf};

use cairn_tree::record::replay::{Until, View};
use cairn_tree::record::stream::StreamName;
use cairn_tree::size::counted;
use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::options::ParallelOption;
use super::search::entries;
use super::terminal::{Form, Terminal};
use super::trail::{
    Continues, Ended, Flagged, GoesOn, Legacy, Part, Parts, ProblemLine, RecordLine, Session, Sight, StreamOptions,
    Summary, Told, TrailOptions, alone, around, beside_of, by_seq, save, timeline,
};
use crate::auditor::trail::{Known, Met, Whole};
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
    /// The last record that the stream had in another log before.
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<Continues>,
    /// Where it goes on after these, by the word of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    goes_on: Option<GoesOn>,
}

/// What reading every entry has shown: how many were read, and how many other streams begin.
struct Proven {
    read: u64,
    others: u64,
}

/// How much is printed, and with what.
struct Printing<'p> {
    form: Form,
    name: &'p StreamName<'static>,
    /// How many records are still to be passed over.
    hidden: usize,
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
        let is_good = whole.check().is_ok();
        let wanted = (&self.trail, self.stream.earlier && is_good);
        let mut parts = Parts::before(wanted, (&whole, &name), form, &mut terminal.output).await?;
        let mut proven = Vec::new();
        if self.complete {
            for part in parts.list_mut() {
                let scanned = self.scanned.as_deref().map(|path| beside_of(path, &part.log));
                let shown = self.prove((&mut part.session, &part.whole), scanned.as_deref(), terminal).await;
                proven.push(match shown {
                    Ok(proven) => proven,
                    Err(ended) => return Err(part.session.failure(ended, form, &mut terminal.output).await.into()),
                });
            }
        }
        let last = if self.complete {
            Some(self.prove((session, &whole), self.scanned.as_deref(), terminal).await?)
        } else {
            None
        };
        // What does not fit together is the same whatever is printed.
        let all = parts.records() + whole.seen.len();
        let hidden = self.last.map_or(0, |last| all.saturating_sub(last));
        let (mut printing, mut legacy) = (Printing { form, name: &name, hidden }, Legacy::default());
        let mut proven = proven.into_iter();
        for (number, part) in parts.list().iter().enumerate() {
            let before = legacy.clone();
            let flags = legacy.enter(part, View::AsRecorded, Until::End);
            let flags = before.flagged(&flags, &part.whole, View::AsRecorded, Until::End);
            self.print_records(&part.whole, flags, &mut printing, terminal)?;
            let around = (parts.part_before(number), String::new());
            let told = printing.summary((&part.session, &part.whole), proven.next(), around);
            terminal.output.print(form, &told)?;
        }
        let (_, flags) = legacy.over(&whole, View::AsRecorded, Until::End);
        let flags = match parts.sight() {
            Sight::Alone => Flagged::alone(&flags),
            _ => legacy.flagged(&flags, &whole, View::AsRecorded, Until::End),
        };
        let told = if parts.sight() == Sight::Alone { alone(flags.len()) } else { String::new() };
        self.print_records(&whole, flags, &mut printing, terminal)?;
        if let Err(broken) = whole.check() {
            self.print_rest(&whole, form, terminal)?;
            return Err(broken.into());
        }
        let around = (parts.list().last(), told);
        terminal.output.print(form, &printing.summary((session, &whole), last, around))?;
        Ok(())
    }

    /// Prints the records of a part, but for those that are passed over.
    fn print_records(
        &self,
        whole: &Whole,
        flags: Vec<Flagged>,
        printing: &mut Printing<'_>,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        let mut flags = by_seq(flags);
        let passed = printing.hidden.min(whole.seen.len());
        printing.hidden -= passed;
        for seen in whole.seen.iter().skip(passed) {
            let saved = self.save.as_deref().map(|folder| save(folder, seen)).transpose()?;
            let flags = flags.remove(&seen.header().seq.get()).unwrap_or_default();
            let line = RecordLine::of(seen, &flags, saved, timeline(&seen.into(), &flags))?;
            terminal.output.print(printing.form, &line)?;
        }
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

    /// Proves that a history is complete.
    async fn prove(
        &self,
        (session, whole): (&mut Session, &Whole),
        scanned: Option<&Path>,
        terminal: &mut Terminal<'_>,
    ) -> Result<Proven, Ended> {
        let origin = session.trail.ground().head().origin().clone();
        let unusable = |path: &Path, error: scanned::ScannedError| {
            let advice = "without it, --complete reads the whole log";
            Failure::Refused(format!("--scanned {}: {error}; {advice}", path.display()))
        };
        let known = match scanned {
            None => Known::default(),
            Some(path) => scanned::load(path, &origin, whole.stream).map_err(|error| unusable(path, error))?,
        };
        let progress = terminal.output.progress(0, "entries");
        let mut report = |read, of| {
            progress.set_length(of);
            progress.set_position(read);
        };
        let found = session.trail.complete(whole, known, self.parallel.parallel, &mut report).await;
        progress.finish_and_clear();
        let found = found?;
        if let Some(path) = scanned {
            let kept = scanned::save(path, &origin, whole.stream, &found.known);
            kept.map_err(|error| unusable(path, error))?;
        }
        Ok(Proven { read: found.read, others: found.known.others })
    }
}

impl Printing<'_> {
    /// What was verified of a part, after the one before it, if that was read; and what else is to be said.
    fn summary(
        &self,
        (session, whole): (&Session, &Whole),
        proven: Option<Proven>,
        (before, further): (Option<&Part>, String),
    ) -> Summary<Claimed> {
        let (records, complete_to) = (whole.seen.len() as u64, whole.complete_to.get());
        let claimed = Claimed {
            stream: whole.stream.to_string(),
            name: self.name.to_string(),
            records,
            complete_to,
            complete: if proven.is_some() { "proven" } else { "claimed" },
            read: proven.as_ref().map(|proven| proven.read),
            others: proven.as_ref().map(|proven| proven.others),
            continues: Continues::of(whole, before),
            goes_on: GoesOn::of(whole),
        };
        let last = match proven {
            None => format!(
                "the server says that there is no other among the first {} (--complete proves it)",
                entries(complete_to)
            ),
            Some(Proven { read, others }) => format!(
                "complete: there is no other among the first {}, of which {} read now; {} there, of which this tells nothing",
                entries(complete_to),
                counted(read, "was", "were"),
                counted(others, "other stream begins", "other streams begin")
            ),
        };
        let chained = match (records, before) {
            (1, None) => "the first of its stream",
            (1, Some(_)) => "the first of its stream here",
            (_, _) => "each chained to the one before",
        };
        let words = format!("{}, {chained},", counted(records, "record", "records"));
        let words = (words, last + &around(whole, before) + &further);
        Summary::of("history", session.trail.ground(), claimed, words)
    }
}
