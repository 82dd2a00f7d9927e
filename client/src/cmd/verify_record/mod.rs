//! `cairn verify record`: is this what the log has on record? Offline, from a saved record.

use core::fmt::{self, Write as _};
use std::path::PathBuf;

use cairn_tree::policy::{Trust, WitnessedCheckpoint};
use cairn_tree::record::header::Header;
use cairn_tree::record::open::Record;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::Producer;
use cairn_tree::size::counted;
use cairn_tree::wire::v1::{MAX_ANSWER_BYTES, RecordAnswer, RecordBody, VerifiedEntry, view, view_later};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::attached::{hashing, is_none, say_left_out};
use super::failure::Failure;
use super::options::{TrustOptions, Which};
use super::reader::ReaderOptions;
use super::terminal::{Form, Terminal};
use super::trail::{Counts, Facts, Told, raw, sheet};
use super::verify::Witness;
use crate::attach::listing::LISTING_TYPE;
use crate::attach::{self, Against, Attached, Comparison, Links, Place};
use crate::fetch::shown;
use crate::files::read_bounded;

/// Verify offline that an audit record is in a log, from the record as it was saved, with its proof.
///
/// Its disclosures are compared with its leaf, and the leaf with a tree that the log has signed. What was erased must be
/// named by a redaction record of the same log, which is verified likewise.
#[derive(Debug, Args)]
pub(super) struct VerifyRecord {
    #[command(flatten)]
    trust: TrustOptions,
    /// The log that the record must be in, by its name or its origin. Without it, it is any of those that --key gives keys of.
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    #[command(flatten)]
    reader: ReaderOptions,
    /// The data that the record speaks of: it is hashed again, and what changed, is missing or is new is named.
    #[arg(long, value_name = "FILE|DIR")]
    attach: Vec<PathBuf>,
    /// What becomes of symbolic links in it.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    links: Links,
    /// The listing of a folder that has one digest in all; one that is kept beside the saved record is found there.
    #[arg(long, value_name = "FILE")]
    listing: Vec<PathBuf>,
    /// The saved record, as `/v1/records/ID` answers it, or as `cairn record --save` keeps it.
    #[arg(value_name = "RECORD_FILE")]
    record: PathBuf,
}

/// There is nothing to compare data with.
const UNSHOWN: &str =
    "the record shows no digests of data, or not all of them: they may be withheld from whoever saved it";

/// The verdict.
#[derive(Serialize)]
struct Verdict {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    record: Option<Verified>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attached: Option<Differences>,
}

#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    facts: Facts,
    origin: String,
    /// Whether the record before it in its stream came along, and is that one.
    before: bool,
    size: u64,
    root: String,
    witnesses: Vec<Witness>,
    /// The redaction records by which something of it is erased, each verified likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    erased_by: Vec<Redaction>,
    /// What it says.
    view: Box<RawValue>,
    /// The same for people.
    #[serde(skip)]
    words: String,
}

/// A redaction record that came along.
#[derive(Serialize)]
struct Redaction {
    index: u64,
    id: String,
    time: String,
}

#[derive(Serialize)]
struct Differences {
    same: u64,
    changed: Vec<String>,
    missing: Vec<String>,
    new: Vec<String>,
    /// How many more there are, which are not named.
    #[serde(skip_serializing_if = "Option::is_none")]
    unnamed: Option<u64>,
    /// How many links were not looked at.
    #[serde(skip_serializing_if = "is_none")]
    left_out: usize,
}

impl Differences {
    fn of(compared: Comparison) -> Self {
        let Comparison { same, changed, missing, new, unnamed, unlisted: _, left_out } = compared;
        Self { same, changed, missing, new, unnamed: (unnamed > 0).then_some(unnamed), left_out: left_out.count }
    }
}

/// What is wrong with the data, and of folders without a listing why nothing more is known.
fn reason(compared: &Comparison) -> String {
    let mut words = "the data is not what the record says".to_owned();
    for (folder, path) in &compared.unlisted {
        let (folder, path) = (shown(folder), path.display());
        // Writing to a string does not fail.
        let told = "differ, only its listing tells, which was not found";
        let _ = write!(
            words,
            "; which files of {folder} {told}: there is none with its digest in {path}, nor given with --listing"
        );
    }
    words
}

impl VerifyRecord {
    pub(super) fn run(&self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let trust = match &self.log {
            Some(name) => Some(self.trust.of_log(Which::Named(name))?.1),
            // Whichever log it says that it is in.
            None if self.trust.has_keys_of_several()? => None,
            None => Some(self.trust.required()?),
        };
        let saved = read_bounded(&self.record, MAX_ANSWER_BYTES)?;
        let (entry, verified) = match self.verified(&saved, trust) {
            Ok(verified) => verified,
            Err(reason) => return refuse(Verdict::refused(shown(&reason)), form, terminal),
        };
        if self.attach.is_empty() {
            return terminal.output.print(form, &Verdict::of(verified));
        }
        let recorded = entry.record().and_then(recorded).ok_or_else(|| Failure::Refused(UNSHOWN.to_owned()))?;
        let place = Place::Beside(self.record.clone());
        let against = Against { recorded: &recorded, listings: &self.listing, place: &place };
        let compared = hashing(self.links, &terminal.output, |how| attach::check(&self.attach, against, how))?;
        say_left_out(&compared.left_out, &mut terminal.output);
        let mut verdict = Verdict::of(verified);
        if !compared.is_same() {
            verdict.verified = false;
            verdict.reason = Some(reason(&compared));
        }
        let is_same = compared.is_same();
        verdict.attached = Some(Differences::of(compared));
        if is_same { terminal.output.print(form, &verdict) } else { refuse(verdict, form, terminal) }
    }

    /// The record, and what is known of it.
    fn verified(&self, saved: &[u8], trust: Option<Trust>) -> Result<(VerifiedEntry, Verified), String> {
        let unread = |fault| {
            let saved = "a saved record is what --save keeps, or what /v1/records/ID answers";
            format!("{}: {fault}; {saved}", self.record.display())
        };
        let answer = RecordAnswer::parse(saved).map_err(unread)?;
        let trust = trust.map_or_else(
            || Ok(self.trust.of_log(Which::Origin(answer.checkpoint.unverified().origin()))?.1),
            Ok::<_, Failure>,
        );
        let trust = trust.map_err(|failure| failure.to_string())?;
        let (entry, head) = answer.verify(&trust).map_err(|error| error.to_string())?;
        let producer = self.producer(&entry)?;
        let verified = Verified::of(&Told::of(&entry, producer), &answer, &entry, &head)?;
        Ok((entry, verified))
    }

    /// Checks what the reader knows of himself and of producers, and says whose the record is.
    fn producer(&self, entry: &VerifiedEntry) -> Result<Producer, String> {
        let Some(record) = entry.record() else {
            // What a record of a later version discloses, and who signed it, only a reader of that version can tell.
            return if self.reader.up_to.is_some() || self.reader.knows_producers() {
                Err("the record is of a later version: whether it is complete, or signed, can't be told".to_owned())
            } else {
                Ok(Producer::None)
            };
        };
        if self.reader.up_to.is_some() {
            record.withheld_only_above(self.reader.up_to).map_err(|error| error.to_string())?;
        }
        let producer = record.producer(&self.reader.producers()).map_err(|error| error.to_string())?;
        if self.reader.knows_producers() && !matches!(producer, Producer::Verified(_)) {
            return Err("the record is not signed by a key that --producer-key gives".to_owned());
        }
        Ok(producer)
    }
}

/// What a record says of data that is kept elsewhere; nothing if it is not all shown.
pub(super) fn recorded(record: &Record) -> Option<Vec<Attached>> {
    let attributes = record.content().attributes.disclosed()?.as_ref()?;
    let one = |external: &cairn_tree::record::attributes::External<'static>| Attached {
        name: external.name().clone(),
        size: external.size(),
        sha256: *external.sha256(),
        is_listing: external.name().as_str().ends_with('/')
            && external.media_type().is_some_and(|media_type| media_type.as_str() == LISTING_TYPE),
    };
    let all: Option<Vec<Attached>> =
        attributes.external().iter().map(|external| external.content.disclosed().map(one)).collect();
    all.filter(|all| !all.is_empty())
}

fn refuse(verdict: Verdict, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    if form == Form::Json {
        terminal.output.print(form, &verdict)?;
    }
    Err(Failure::Refused(verdict.to_string()))
}

impl Verdict {
    const fn of(verified: Verified) -> Self {
        Self { verified: true, reason: None, record: Some(verified), attached: None }
    }

    const fn refused(reason: String) -> Self {
        Self { verified: false, reason: Some(reason), record: None, attached: None }
    }
}

impl Verified {
    fn of(
        told: &Told<'_>,
        answer: &RecordAnswer,
        entry: &VerifiedEntry,
        head: &WitnessedCheckpoint,
    ) -> Result<Self, String> {
        let checkpoint = head.checkpoint();
        let text = match entry {
            VerifiedEntry::Record(verified) => view(&verified.record),
            VerifiedEntry::Later(verified) => view_later(&verified.later),
        };
        let verified = Self {
            facts: told.facts(),
            origin: checkpoint.origin().to_string(),
            before: entry.has_before(),
            size: checkpoint.size().get(),
            root: checkpoint.root().to_base64(),
            witnesses: Witness::of(head.witnesses()),
            erased_by: erased_by(entry, answer)?,
            view: raw(&text)?,
            words: String::new(),
        };
        let words = verified.words(told);
        Ok(Self { words, ..verified })
    }

    fn words(&self, told: &Told<'_>) -> String {
        let Header { id, seq, .. } = &told.header;
        let (index, origin, entries) = (told.index, shown(&self.origin), counted(self.size, "entry", "entries"));
        let mut words = format!("verified: record {id} is entry {index} of {origin}, in its signed tree of {entries}");
        // Writing to a string does not fail, here and below.
        if !self.witnesses.is_empty() {
            let _ = write!(words, ", cosigned by {}", counted(self.witnesses.len() as u64, "witness", "witnesses"));
        }
        let _ = write!(words, "; number {seq} of its stream");
        if self.before {
            words.push_str(", after the record before it, which is in that tree too");
        }
        if told.record.is_none() {
            words.push_str("; of a later version, so that nothing else of it is known here");
            return words;
        }
        let Counts { disclosed, withheld, erased, kept } = told.counts();
        let _ = write!(words, "; {disclosed} disclosed, {withheld} withheld, {erased} erased");
        if kept > 0 {
            let _ = write!(words, "; {kept} still disclosed though erased");
        }
        match told.producer {
            Producer::Verified(key) => _ = write!(words, "; signed by {key}"),
            Producer::Unknown(key) => _ = write!(words, "; claims to be signed by {key}, which was not verified"),
            Producer::None => {}
        }
        words.push_str(&sheet(told));
        for Redaction { index, id, time } in &self.erased_by {
            let _ = write!(words, "\n  erased by    record {id}, entry {index} of that tree, of {time}");
        }
        if withheld > 0 {
            words.push_str("\n  withheld     by the word of whoever answered: that it is still there is not proven");
        }
        words
    }
}

/// The redaction records that what is erased of a record is erased by. They were verified with it.
fn erased_by(entry: &VerifiedEntry, answer: &RecordAnswer) -> Result<Vec<Redaction>, String> {
    let traced = entry.record().map(Record::traced).unwrap_or_default();
    let erases = |index| traced.iter().any(|one| one.became == Shown::Erased(index));
    let bodies = answer.redactions.iter().filter(|body| erases(body.integrity.index));
    let redaction = |body: &RecordBody| {
        let index = body.integrity.index;
        let header = Header::decode(index, body.leaf.as_bytes()).map_err(|error| error.to_string())?;
        Ok(Redaction { index: index.get(), id: header.id.to_string(), time: header.time.to_string() })
    };
    bodies.map(redaction).collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.record, &self.reason) {
            (Some(record), None) => record.fmt(f)?,
            (_, Some(reason)) => write!(f, "not verified: {reason}")?,
            (None, None) => {}
        }
        let Some(attached) = &self.attached else { return Ok(()) };
        for (what, names) in [("changed", &attached.changed), ("missing", &attached.missing), ("new", &attached.new)] {
            for name in names {
                write!(f, "\n{what}: {}", shown(name))?;
            }
        }
        if let Some(unnamed) = attached.unnamed {
            write!(f, "\nand {unnamed} more, which are not named")?;
        }
        write!(f, "\n{} unchanged", counted(attached.same, "file is", "files are"))
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

#[cfg(test)]
mod tests;
