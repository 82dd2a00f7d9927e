//! `cairn record`: sends one audit record, verifies where it was put, and keeps it if asked to.

use core::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cairn_tree::policy::Trust;
use cairn_tree::record::bounds::MAX_INPUT_BYTES;
use cairn_tree::wire::append::Wait;
use cairn_tree::wire::record::native::{NativeInput, parse};
use cairn_tree::wire::v1::{Appended, RecordAnswer};
use clap::Args;
use serde::Serialize;

use super::added::{with_attached, with_id};
use super::append::{wait, write_receipt};
use super::attached::{AttachOptions, is_none};
use super::failure::Failure;
use super::options::{RemoteOptions, TrustOptions, idempotency_key};
use super::recorded::other_part;
use super::terminal::{Form, Terminal};
use super::verify_record::recorded;
use super::why::WhyOptions;
use crate::fetch::{FetchError, IdempotencyKey, Records};
use crate::files::read_bounded;
use crate::outbox::{check_answer, check_same, vouches_for};

/// A record that says something of everything that most records have.
const EXAMPLE: &str = r#"An example of a record; all but `object` may be left out:
  {
    "object": {"tenant": "pb", "module": "tl", "entity": "license", "id": "PB-17", "operation": "update"},
    "actor": {"id": "c33d", "type": "user", "roles": ["CLERK"]},
    "subjects": ["person:4711"],
    "context": {"reason": "all documents are there"},
    "values": {"fields": {"/status": {"old": "APPLIED", "new": "APPROVED"}, "/owner": {"new": "Ada"}}},
    "classification": {"values": {"/owner": "restricted"}}
  }"#;

/// Put an audit record on record: what was done to which object, by whom and why.
///
/// If the log goes on from another one, which may have had the record already, give that one's --key as well.
/// The record is JSON in Cairn's own form (docs/record.md shows one). With --attach, the digests of files and folders go
/// with it, so that `cairn verify record --attach` can tell later whether they are still the same.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(super) struct Record {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    #[command(flatten)]
    attach: AttachOptions,
    /// Where the record is kept with its proof, to be verified offline. The token must be good for reading it.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// When the record counts as appended: `integrated`, once the log has signed a head with it; `witnessed`, once such
    /// a head has the cosignatures that the log's policy asks for [default: witnessed, if --policy has a quorum]
    #[arg(long, value_name = "WHEN", value_parser = wait)]
    wait: Option<Wait>,
    /// The name under which this command can be repeated, with the same record, without appending it twice; one is drawn
    /// and told if need be. A record that has no id gets one that the name gives again: a UUID of version 7, or of version
    /// 4 where the name is chosen, is no such UUID itself, and the record has no time.
    #[arg(long, value_name = "NAME")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    why: WhyOptions,
    /// The record; `-` reads standard input.
    #[arg(value_name = "RECORD_FILE")]
    record: PathBuf,
}

/// The result.
#[derive(Serialize)]
struct Report {
    id: String,
    index: u64,
    leaf_hash: String,
    stream: String,
    seq: u64,
    replayed: bool,
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<String>,
    /// Where the listings of attached folders are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listings: Vec<String>,
    /// How many links were left out of what is attached.
    #[serde(skip_serializing_if = "is_none")]
    left_out: usize,
}

/// What was sent: the record, and the purpose that the request says beside it.
struct Sent<'s> {
    body: Vec<u8>,
    purpose: Option<&'s str>,
}

/// A record that may not have been appended.
struct NotAppended {
    words: Failure,
    /// The server has refused it, and will again.
    is_final: bool,
}

impl From<Failure> for NotAppended {
    fn from(words: Failure) -> Self {
        Self { words, is_final: false }
    }
}

impl NotAppended {
    fn of(error: FetchError) -> Self {
        let (is_final, advice) = match &error {
            FetchError::Status { status: 401 | 403, .. } => {
                (true, "; a producer's token with the right `append` is needed (cairnd token create --rights append)")
            }
            FetchError::Status { status: 404, .. } => {
                (true, "; the token is not good for the record's tenant, or the server has no audit records")
            }
            FetchError::Status { status: 400..=499, .. } => (!error.is_transient(), ""),
            _ => (false, ""),
        };
        Self { words: Failure::Refused(format!("{error}{advice}")), is_final }
    }
}

impl Record {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let trusted = self.trust.each()?;
        let key = idempotency_key(self.idempotency_key.as_deref())?;
        let body = read(&self.record, terminal.stdin, MAX_INPUT_BYTES)?;
        let data = self.attach.data_set(self.save.as_deref(), &mut terminal.output)?;
        let body = with_attached(body, &data.attached, self.attach.attach_class).map_err(Failure::Usage)?;
        let settings = self.remote.settings()?;
        let body = with_id(body, settings.token.as_ref(), &key).map_err(Failure::Usage)?;
        let records = Records::new(&self.remote.url()?, settings)?.saying(self.why.said()?);
        let sent = Sent { body, purpose: self.why.purpose() };
        if trusted.is_empty() {
            terminal.output.say("cairn: neither --key nor --policy: the receipt is not verified");
        }
        let appended = match self.append(&records, &sent.body, &key, &trusted).await {
            Ok(appended) => appended,
            Err(failure) => {
                // The record may be in the log all the same: only the same key can tell.
                if !failure.is_final {
                    let words =
                        format_args!("cairn: repeat this with --idempotency-key {key}: nothing is appended twice");
                    terminal.output.say(words);
                }
                return Err(failure.words);
            }
        };
        if let Some(path) = &self.save {
            let shows_data = save(path, &records, &appended, &trusted, &sent).await.map_err(|failure| {
                Failure::Refused(format!("record {} is appended, but not kept: {failure}", appended.id))
            })?;
            if !data.attached.is_empty() && !shows_data {
                let words = "the digests are withheld from this token: save the record with one that may see them";
                terminal.output.say(format_args!("cairn: no data can be verified with {}: {words}", path.display()));
            }
        }
        let report = Report {
            id: appended.id.to_string(),
            index: appended.index.get(),
            leaf_hash: appended.leaf_hash.to_base64(),
            stream: appended.stream.to_string(),
            seq: appended.seq.get(),
            replayed: appended.replayed,
            verified: !trusted.is_empty(),
            saved: self.save.as_ref().map(|path| path.display().to_string()),
            listings: data.listings.iter().map(|path| path.display().to_string()).collect(),
            left_out: data.left_out.count,
        };
        terminal.output.print(form, &report)
    }

    async fn append(
        &self,
        records: &Records,
        body: &[u8],
        key: &IdempotencyKey,
        trusted: &[Trust],
    ) -> Result<Appended, NotAppended> {
        let witnessed = trusted.iter().any(Trust::needs_witnesses);
        let wait = self.wait.unwrap_or(if witnessed { Wait::Witnessed } else { Wait::Integrated });
        let taken = records.append(Bytes::copy_from_slice(body), key, wait).await.map_err(NotAppended::of)?;
        if taken.is_late && wait == Wait::Witnessed {
            let words = "the record is in the log, but its witnesses are late: repeat this later";
            return Err(Failure::Refused(words.to_owned()).into());
        }
        let checked = match trusted {
            [] => check_same(&taken.answer, body),
            trusted => check_answer(&taken.answer, body, trusted),
        };
        checked.map_err(|error| Failure::Refused(format!("the answer is refused: {error}")))?;
        let count = taken.answer.records.len();
        match <[Appended; 1]>::try_from(taken.answer.records) {
            Ok([appended]) => Ok(appended),
            Err(_) => Err(Failure::Refused(format!("the server answered one record with {count}")).into()),
        }
    }
}

/// Reads a file, or standard input, of at most so many bytes.
pub(super) fn read(path: &Path, stdin: &mut dyn Read, most: usize) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() != "-" {
        return Ok(read_bounded(path, most)?);
    }
    let mut bytes = Vec::new();
    let read = stdin.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
    Ok(bytes)
}

/// Keeps the record as the server answers it, verified and compared with what was sent if somebody is trusted. Whether it
/// shows the digests of data, as far as that is looked at.
async fn save(
    path: &Path,
    records: &Records,
    appended: &Appended,
    trusted: &[Trust],
    sent: &Sent<'_>,
) -> Result<bool, Failure> {
    let (body, answer) = records.record(appended.id).await?;
    let shows_data = trusted.is_empty() || check(&answer, appended, trusted, sent).map_err(Failure::Refused)?;
    let text = String::from_utf8(body).map_err(|error| Failure::Refused(error.to_string()))?;
    write_receipt(path, &text)?;
    Ok(shows_data)
}

fn check(answer: &RecordAnswer, appended: &Appended, trusted: &[Trust], sent: &Sent<'_>) -> Result<bool, String> {
    let trust = vouches_for(trusted, answer.checkpoint.unverified().origin())?;
    let (verified, _) = answer.verify(trust).map_err(|error| error.to_string())?;
    let Some(record) = verified.record().filter(|record| record.hash() == appended.leaf_hash) else {
        return Err("the server answers with another record than it appended".to_owned());
    };
    let inputs = parse(&sent.body).map_err(|fault| fault.to_string())?;
    match inputs.first() {
        Some(NativeInput::Plain(input)) => match other_part(record, input, sent.purpose) {
            Some(part) => Err(format!("the record on record has another {part} than was sent")),
            None => Ok(recorded(record).is_some()),
        },
        Some(NativeInput::Signed(input)) if input.event == *record.leaf().event() => Ok(recorded(record).is_some()),
        _ => Err("the record on record is another event than was sent".to_owned()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, index, seq, .. } = self;
        write!(f, "record {id} is entry {index}, number {seq} of its stream")?;
        if self.replayed {
            f.write_str(", as it was before")?;
        }
        if let Some(path) = &self.saved {
            write!(f, "; kept in {path}")?;
        }
        self.listings.iter().try_for_each(|path| write!(f, "; listing kept in {path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_in_the_help_text_is_a_record() {
        let (_, record) = EXAMPLE.split_once('\n').unwrap();
        assert_eq!(with_attached(record.into(), &[], None).unwrap(), record.trim().as_bytes());
    }
}
