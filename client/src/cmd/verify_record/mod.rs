//! `cairn verify record`: is this what the log has on record? Offline, from a saved record.

use core::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cairn_tree::policy::{Trust, WitnessedCheckpoint};
use cairn_tree::record::class::Class;
use cairn_tree::record::header::Header;
use cairn_tree::record::open::Record;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::{Producer, ProducerKey, ProducerKeys};
use cairn_tree::size::{LeafIndex, counted};
use cairn_tree::wire::v1::{
    MAX_ANSWER_BYTES, RecordAnswer, VerifiedEntry, VerifiedLater, VerifiedRecord, view, view_later,
};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::Failure;
use super::options::TrustOptions;
use super::terminal::{Form, Terminal};
use super::trail::raw;
use super::verify::Witness;
use crate::attach::{self, Attached, Comparison};
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
    /// You may see everything up to this class (public, internal, restricted or secret): a record of which anything of
    /// that is withheld is refused.
    #[arg(long, value_name = "CLASS", value_parser = class)]
    up_to: Option<Class>,
    /// The record must be signed by this key of its producer, or by one of several: the base64url of an Ed25519 public key.
    #[arg(long, value_name = "KEY", value_parser = producer_key, allow_hyphen_values = true)]
    producer_key: Vec<ProducerKey>,
    /// The data that the record speaks of: it is hashed again, and what changed, is missing or is new is named.
    #[arg(long, value_name = "FILE|DIR")]
    attach: Vec<PathBuf>,
    /// The saved record, as `/v1/records/ID` answers it, or as `cairn record --save` keeps it.
    #[arg(value_name = "RECORD_FILE")]
    record: PathBuf,
}

pub(super) fn class(text: &str) -> Result<Class, String> {
    Class::from_name(text).ok_or_else(|| "must be public, internal, restricted or secret".to_owned())
}

pub(super) fn producer_key(text: &str) -> Result<ProducerKey, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = bytes.and_then(|bytes| ProducerKey::new(&bytes).ok());
    key.ok_or_else(|| "must be the base64url of an Ed25519 public key, without padding".to_owned())
}

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
    id: String,
    origin: String,
    index: u64,
    leaf_hash: String,
    stream: String,
    seq: u64,
    /// Whether the record before it in its stream came along, and is that one.
    before: bool,
    size: u64,
    root: String,
    witnesses: Vec<Witness>,
    /// It is of a version that this program does not know: nothing but its place is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    later_version: bool,
    /// How many of its digests were disclosed, withheld and erased.
    disclosed: usize,
    withheld: usize,
    erased: usize,
    /// How many are disclosed though a redaction record names them.
    kept: usize,
    /// The key that signed it, if that was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<String>,
    /// The key that it claims to be signed by, which nobody has verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims_key: Option<String>,
    /// What it says.
    view: Box<RawValue>,
}

#[derive(Serialize)]
struct Differences {
    same: usize,
    changed: Vec<String>,
    missing: Vec<String>,
    new: Vec<String>,
}

impl VerifyRecord {
    pub(super) fn run(&self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let trust = self.trust.required()?;
        let saved = read_bounded(&self.record, MAX_ANSWER_BYTES)?;
        let (record, verified) = match self.verified(&saved, &trust) {
            Ok(verified) => verified,
            Err(reason) => return refuse(Verdict::refused(shown(&reason)), form, terminal),
        };
        if self.attach.is_empty() {
            return terminal.output.print(form, &Verdict::of(verified));
        }
        let recorded = record
            .as_ref()
            .and_then(recorded)
            .ok_or_else(|| Failure::Refused("the record shows no digests of data, or not all of them".to_owned()))?;
        let found = attach::digests(&self.attach).map_err(|error| Failure::Usage(error.to_string()))?;
        let Comparison { same, changed, missing, new } = attach::compare(&recorded, &found);
        let differs = !(changed.is_empty() && missing.is_empty() && new.is_empty());
        let mut verdict = Verdict::of(verified);
        verdict.attached = Some(Differences { same, changed, missing, new });
        if differs {
            verdict.verified = false;
            verdict.reason = Some("the data is not what the record says".to_owned());
            return refuse(verdict, form, terminal);
        }
        terminal.output.print(form, &verdict)
    }

    /// The record, unless it is of a later version, and what is known of it.
    fn verified(&self, saved: &[u8], trust: &Trust) -> Result<(Option<Record>, Verified), String> {
        let answer = RecordAnswer::parse(saved).map_err(|fault| format!("{}: {fault}", self.record.display()))?;
        let (verified, head) = answer.verify(trust).map_err(|error| error.to_string())?;
        let VerifiedRecord { record, before } = match verified {
            VerifiedEntry::Record(verified) => *verified,
            VerifiedEntry::Later(verified) => return self.later(&verified, &head).map(|verified| (None, verified)),
        };
        if self.up_to.is_some() {
            record.withheld_only_above(self.up_to).map_err(|error| error.to_string())?;
        }
        let keys: ProducerKeys = self.producer_key.iter().cloned().collect();
        let producer = record.producer(&keys).map_err(|error| error.to_string())?;
        if !self.producer_key.is_empty() && !matches!(producer, Producer::Verified(_)) {
            return Err("the record is not signed by a key that --producer-key gives".to_owned());
        }
        let verified = Verified::of(&record, &head, before, producer)?;
        Ok((Some(record), verified))
    }

    /// A record of a later version: what it discloses, and who signed it, only a reader of that version can tell.
    fn later(&self, verified: &VerifiedLater, head: &WitnessedCheckpoint) -> Result<Verified, String> {
        if self.up_to.is_some() || !self.producer_key.is_empty() {
            return Err("the record is of a later version: whether it is complete, or signed, can't be told".to_owned());
        }
        Verified::of_later(verified, head)
    }
}

/// What a record says of data that is kept elsewhere; nothing if it is not all shown.
fn recorded(record: &Record) -> Option<Vec<Attached>> {
    let attributes = record.content().attributes.disclosed()?.as_ref()?;
    let one = |external: &cairn_tree::record::attributes::External<'static>| Attached {
        name: external.name().clone(),
        size: external.size(),
        sha256: *external.sha256(),
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
    fn of(record: &Record, head: &WitnessedCheckpoint, before: bool, producer: Producer) -> Result<Self, String> {
        let count = |wanted: fn(&Shown<()>) -> bool| record.traced().iter().filter(|one| wanted(&one.became)).count();
        let header = Header::of(record.leaf(), record.hash());
        let place = Self::placed(record.index(), &header, head, before);
        Ok(Self {
            disclosed: count(|became| matches!(became, Shown::Disclosed(()))),
            withheld: count(|became| matches!(became, Shown::Withheld)),
            erased: count(|became| matches!(became, Shown::Erased(_))),
            kept: record.still_disclosed().len(),
            signed_by: if let Producer::Verified(key) = producer { Some(key.to_string()) } else { None },
            claims_key: if let Producer::Unknown(key) = producer { Some(key.to_string()) } else { None },
            view: raw(&view(record))?,
            ..place
        })
    }

    fn of_later(verified: &VerifiedLater, head: &WitnessedCheckpoint) -> Result<Self, String> {
        let VerifiedLater { later, before } = verified;
        let place = Self::placed(later.index(), &Header::of_later(later), head, *before);
        let view = raw(&view_later(later))?;
        Ok(Self { later_version: true, view, ..place })
    }

    /// What the leaf says in clear, and where it is.
    fn placed(index: LeafIndex, header: &Header, head: &WitnessedCheckpoint, before: bool) -> Self {
        let checkpoint = head.checkpoint();
        Self {
            id: header.id.to_string(),
            origin: header.log.to_string(),
            index: index.get(),
            leaf_hash: header.hash.to_base64(),
            stream: header.stream.to_string(),
            seq: header.seq.get(),
            before,
            size: checkpoint.size().get(),
            root: checkpoint.root().to_base64(),
            witnesses: Witness::of(head.witnesses()),
            later_version: false,
            disclosed: 0,
            withheld: 0,
            erased: 0,
            kept: 0,
            signed_by: None,
            claims_key: None,
            view: Box::default(),
        }
    }
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
        write!(f, "\n{} unchanged", counted(attached.same as u64, "file is", "files are"))
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, origin, index, seq, size, disclosed, withheld, erased, .. } = self;
        let entries = counted(*size, "entry", "entries");
        write!(f, "verified: record {id} is entry {index} of {origin}, in its signed tree of {entries}")?;
        if self.later_version {
            return write!(
                f,
                "; number {seq} of its stream; of a later version, so that nothing else of it is known here"
            );
        }
        write!(f, "; number {seq} of its stream; {disclosed} disclosed, {withheld} withheld, {erased} erased")?;
        if self.kept > 0 {
            write!(f, "; {} still disclosed though erased", self.kept)?;
        }
        if let Some(key) = &self.signed_by {
            write!(f, "; signed by {key}")?;
        }
        let Some(key) = &self.claims_key else { return Ok(()) };
        write!(f, "; claims to be signed by {key}, which was not verified")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{Output, run};
    use super::*;

    /// A record of which a field is erased and others are withheld, and the key of its log.
    const SAVED: &[u8] = include_bytes!("../../../tests/fuzz/seeds/record_answer/record");
    const KEY: &str = "log.example/logs/test+2f30ffbb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
    const OTHER_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    /// What the command prints, what it says, and how it ends.
    fn verify(folder: &Path, saved: &[u8], arguments: &[&str]) -> (String, String, u8) {
        let file = folder.join("saved.json");
        fs::write(&file, saved).unwrap();
        let given = ["cairn", "verify", "record", file.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let output = Output { stdout: &mut stdout, stderr: &mut stderr, draws_progress: false };
        let mut terminal = Terminal { stdin: &mut std::io::empty(), output };
        let code = run(given.map(Into::into), &mut terminal);
        (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap(), code)
    }

    #[test]
    fn a_saved_record_is_verified_offline() {
        let folder = tempfile::tempdir().unwrap();
        let (words, _, code) = verify(folder.path(), SAVED, &["--key", KEY]);
        let expected = "verified: record 018bcfe5-6800-7000-8000-000000000000 is entry 0 of log.example/logs/test, in its \
                        signed tree of 11 entries; number 0 of its stream; 13 disclosed, 2 withheld, 1 erased\n";
        assert_eq!((words.as_str(), code), (expected, 0));
        let (json, _, _) = verify(folder.path(), SAVED, &["--key", KEY, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["verified"], &json["withheld"]), (&true.into(), &2.into()));
        assert_eq!(json["view"]["values"]["whole"]["/own~0er"]["erased"], 8);
    }

    #[test]
    fn what_is_not_the_record_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |saved: &[u8], arguments: &[&str], words: &str| {
            let (_, said, code) = verify(folder.path(), saved, arguments);
            assert!(code == 1 && said.contains(words), "{code}: {said}");
        };
        refused(SAVED, &["--key", OTHER_KEY], "not trusted");
        let text = String::from_utf8(SAVED.to_vec()).unwrap();
        let other_leaf = text.replacen("2023-11-14", "2023-11-15", 1);
        refused(other_leaf.as_bytes(), &["--key", KEY], "not proven");
        refused(text.replace("\"redactions\"", "\"others\"").as_bytes(), &["--key", KEY], "redaction record");
        refused(b"{}", &["--key", KEY], "saved.json: /record");
        // Who may see all that is restricted is told all of it; who may see everything is not.
        let may = |class: &str| verify(folder.path(), SAVED, &["--key", KEY, "--up-to", class]).2;
        assert_eq!(["public", "restricted", "secret"].map(may), [0, 0, 1]);
        let stranger = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        refused(SAVED, &["--key", KEY, "--producer-key", stranger], "not signed");
        // Nobody is trusted by default, and the other command still wants its arguments.
        assert_eq!(verify(folder.path(), SAVED, &[]).2, 2);
        assert_eq!(verify(folder.path(), SAVED, &["--key", KEY, "--up-to", "all"]).2, 2);
    }

    #[test]
    fn the_data_that_a_record_speaks_of_is_hashed_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("f"), "test").unwrap();
        let check = || verify(folder.path(), SAVED, &["--key", KEY, "--attach", data.to_str().unwrap()]);
        let (words, _, code) = check();
        assert!(code == 0 && words.ends_with("1 file is unchanged\n"), "{words}");
        fs::write(data.join("f"), "Test").unwrap();
        fs::write(data.join("g"), "").unwrap();
        let (_, said, code) = check();
        assert!(code == 1 && said.contains("changed: f\nnew: g\n0 files are unchanged"), "{said}");
        fs::remove_file(data.join("f")).unwrap();
        assert!(check().1.contains("missing: f\nnew: g"), "{:?}", check());
    }
}
