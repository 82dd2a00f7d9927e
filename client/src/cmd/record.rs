//! `cairn record`: sends one audit record, verifies where it was put, and keeps it if asked to.

use core::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cairn_tree::hash::Hash;
use cairn_tree::policy::Trust;
use cairn_tree::record::bounds::MAX_INPUT_BYTES;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::json::canonical::push_string;
use cairn_tree::wire::append::Wait;
use cairn_tree::wire::record::native::{NativeInput, parse};
use cairn_tree::wire::v1::{Appended, RecordAnswer};
use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::append::{wait, write_receipt};
use super::failure::Failure;
use super::options::{RemoteOptions, TrustOptions, idempotency_key};
use super::recorded::other_part;
use super::terminal::{Form, Terminal};
use super::why::WhyOptions;
use crate::attach::{self, Attached};
use crate::fetch::{FetchError, IdempotencyKey, Records, Token};
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
    /// Data that is kept elsewhere, of which the record shall have name, size and SHA-256: a file, or all files of a
    /// folder; 256 at most.
    #[arg(long, value_name = "FILE|DIR")]
    attach: Vec<PathBuf>,
    /// Where the record is kept with its proof, to be verified offline. The token must be good for reading it.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// When the record counts as appended: `integrated`, once the log has signed a head with it; `witnessed`, once such
    /// a head has the cosignatures that the log's policy asks for [default: witnessed, if --policy has a quorum]
    #[arg(long, value_name = "WHEN", value_parser = wait)]
    wait: Option<Wait>,
    /// The name under which this command can be repeated, with the same record, without appending it twice.
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
        let attached = attach::digests(&self.attach).map_err(|error| Failure::Usage(error.to_string()))?;
        let body =
            with_attached(read(&self.record, terminal.stdin, MAX_INPUT_BYTES)?, &attached).map_err(Failure::Usage)?;
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
            save(path, &records, &appended, &trusted, &sent).await.map_err(|failure| {
                Failure::Refused(format!("record {} is appended, but not kept: {failure}", appended.id))
            })?;
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

/// The record as it is sent. What the server would refuse is refused here, with its place.
pub(super) fn with_attached(body: Vec<u8>, attached: &[Attached]) -> Result<Vec<u8>, String> {
    let text = body.trim_ascii();
    if text.first() != Some(&b'{') {
        return Err("the record must be one JSON object".to_owned());
    }
    let inputs = parse(text).map_err(|fault| fault.to_string())?;
    if attached.is_empty() {
        return Ok(text.to_vec());
    }
    match inputs.first() {
        Some(NativeInput::Plain(input)) => {
            let attributes = input.content.attributes.as_ref();
            if attributes.is_some_and(|attributes| !attributes.external().is_empty()) {
                return Err("the record has external digests already: --attach would add others".to_owned());
            }
        }
        _ => return Err("nothing can be attached to a record that its producer has signed".to_owned()),
    }
    let mut body = text.strip_suffix(b"}").unwrap_or(text).to_vec();
    // A record without members was refused above.
    body.extend_from_slice(b",\"external\":[");
    for (number, Attached { name, size, sha256 }) in attached.iter().enumerate() {
        body.extend_from_slice(if number > 0 { b",{\"name\":" } else { b"{\"name\":" });
        push_string(&mut body, name.as_str());
        body.extend_from_slice(format!(",\"size\":{size},\"sha256\":\"{}\"}}", Hash::new(*sha256)).as_bytes());
    }
    body.extend_from_slice(b"]}");
    parse(&body).map_err(|fault| fault.to_string())?;
    Ok(body)
}

/// The record with an id, by which its receipt is told from an earlier record's: one without an id gets one here.
///
/// Under the same key, the same record of the same caller gets the same id, so that both can be sent again. The leaf shows
/// the id to everybody; without the token, which has more than anybody can guess, nobody can tell what it was made of.
fn with_id(body: Vec<u8>, token: Option<&Token>, key: &IdempotencyKey) -> Result<Vec<u8>, String> {
    let has_id = match parse(&body).map_err(|fault| fault.to_string())?.first() {
        Some(NativeInput::Plain(input)) => input.id.is_some(),
        // It stands in the event.
        _ => true,
    };
    if has_id {
        return Ok(body);
    }
    let mut digest = Sha256::new_with_prefix(b"cairn record\n");
    let token = token.map_or(&b""[..], |token| token.header().as_bytes());
    for part in [token, key.to_string().as_bytes(), &body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let [a, b, c, d, e, f, version, g, variant, h, i, j, k, l, m, n, ..]: [u8; 32] = digest.finalize().into();
    // RFC 9562, sections 4.1 and 5.4.
    let (version, variant) = (0x40 | version & 0x0f, 0x80 | variant & 0x3f);
    let id = RecordId::from_bytes([a, b, c, d, e, f, version, g, variant, h, i, j, k, l, m, n]);
    let mut with_id = format!("{{\"id\":\"{}\",", id.map_err(|error| error.to_string())?).into_bytes();
    // A record without members was refused before.
    with_id.extend_from_slice(body.strip_prefix(b"{").unwrap_or(&body));
    parse(&with_id).map_err(|fault| fault.to_string())?;
    Ok(with_id)
}

/// Keeps the record as the server answers it, verified and compared with what was sent if somebody is trusted.
async fn save(
    path: &Path,
    records: &Records,
    appended: &Appended,
    trusted: &[Trust],
    sent: &Sent<'_>,
) -> Result<(), Failure> {
    let (body, answer) = records.record(appended.id).await?;
    if !trusted.is_empty() {
        check(&answer, appended, trusted, sent).map_err(Failure::Refused)?;
    }
    let text = String::from_utf8(body).map_err(|error| Failure::Refused(error.to_string()))?;
    write_receipt(path, &text)
}

fn check(answer: &RecordAnswer, appended: &Appended, trusted: &[Trust], sent: &Sent<'_>) -> Result<(), String> {
    let trust = vouches_for(trusted, answer.checkpoint.unverified().origin())?;
    let (verified, _) = answer.verify(trust).map_err(|error| error.to_string())?;
    let Some(record) = verified.record().filter(|record| record.hash() == appended.leaf_hash) else {
        return Err("the server answers with another record than it appended".to_owned());
    };
    let inputs = parse(&sent.body).map_err(|fault| fault.to_string())?;
    match inputs.first() {
        Some(NativeInput::Plain(input)) => match other_part(record, input, sent.purpose) {
            Some(part) => Err(format!("the record on record has another {part} than was sent")),
            None => Ok(()),
        },
        Some(NativeInput::Signed(input)) if input.event == *record.leaf().event() => Ok(()),
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
        match &self.saved {
            Some(path) => write!(f, "; kept in {path}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_tree::record::text::Name;

    use super::*;

    const RECORD: &str = r#" {"object":{"tenant":"pb","module":"m","entity":"e","id":"1","operation":"create"}} "#;

    fn attached(name: &'static str) -> Attached {
        Attached { name: Name::new(name).unwrap(), size: 3, sha256: [0xab; 32] }
    }

    #[test]
    fn a_record_gets_an_id_that_its_key_and_its_content_give_again() {
        let key = |text| IdempotencyKey::chosen(text).unwrap();
        let token = Token::new("cairn_0_A").unwrap();
        let body = || RECORD.trim().as_bytes().to_vec();
        let id = |body: &[u8]| {
            let [NativeInput::Plain(input)] = &parse(body).unwrap()[..] else { panic!() };
            input.id.unwrap()
        };
        let first = with_id(body(), Some(&token), &key("k")).unwrap();
        assert_eq!(with_id(body(), Some(&token), &key("k")).unwrap(), first);
        assert_eq!(with_id(first.clone(), Some(&token), &key("l")).unwrap(), first, "it has one");
        let other = RECORD.trim().replace("create", "update").into_bytes();
        for another in [
            with_id(body(), Some(&token), &key("l")),
            with_id(body(), None, &key("k")),
            with_id(other, Some(&token), &key("k")),
        ] {
            assert_ne!(id(&another.unwrap()), id(&first));
        }
    }

    #[test]
    fn what_is_attached_becomes_external_digests() {
        let files = [attached("a \"b\""), attached("c/d")];
        let body = with_attached(RECORD.into(), &files).unwrap();
        let inputs = parse(&body).unwrap();
        let [NativeInput::Plain(input)] = inputs.as_slice() else { panic!() };
        let external = input.content.attributes.as_ref().unwrap().external();
        let names: Vec<&str> = external.iter().map(|one| one.content.name().as_str()).collect();
        assert_eq!(names, ["a \"b\"", "c/d"]);
        assert_eq!((external[1].content.size(), external[1].content.sha256()), (3, &[0xab; 32]));
        assert_eq!(with_attached(RECORD.into(), &[]).unwrap(), RECORD.trim().as_bytes());
        // Twice is once too often.
        assert!(with_attached(body, &files).unwrap_err().contains("already"));
    }

    #[test]
    fn the_example_in_the_help_text_is_a_record() {
        let (_, record) = EXAMPLE.split_once('\n').unwrap();
        assert_eq!(with_attached(record.into(), &[]).unwrap(), record.trim().as_bytes());
    }

    #[test]
    fn what_the_server_would_refuse_is_not_sent() {
        for (body, words) in [
            ("[]", "one JSON object"),
            ("{}", "/object"),
            (r#"{"object":{"tenant":"pb"}}"#, "/object/module"),
            (r#"{"object":1}"#, "/object"),
            ("{", "expected"),
        ] {
            let error = with_attached(body.into(), &[attached("f")]).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
    }
}
