//! Checking an answer against what was sent, and keeping receipts.

use std::fs;
use std::path::Path;

use cairn_tree::checkpoint::Origin;
use cairn_tree::note::VerifierKey;
use cairn_tree::policy::Trust;
use cairn_tree::record::leaf::Leaf;
use cairn_tree::wire::record::native::{NativeInput, parse};
use cairn_tree::wire::v1::{Appended, AppendedAnswer};

use crate::files::{Durability, FileError, write_atomic};

/// Checks that the records of a body, and no others, are in a trusted log, by the receipts that came with the answer: in the
/// one that was asked, or in one before it, where they were already.
///
/// # Errors
/// In words, what is wrong.
pub(crate) fn check(answer: &AppendedAnswer, body: &[u8], trusted: &[Trust]) -> Result<(), String> {
    let trust = vouches_for(trusted, answer.checkpoint.unverified().origin())?;
    answer.verify(trust).map_err(|error| error.to_string())?;
    check_same(answer, body)
}

/// Who is trusted with a log.
///
/// # Errors
/// In words, that nobody is.
pub(crate) fn vouches_for<'t>(trusted: &'t [Trust], origin: &Origin) -> Result<&'t Trust, String> {
    let unknown = || {
        format!(
            "it is of the log {origin}, of which no key is given; if that had it before another log continued it, give \
             its key as well"
        )
    };
    trusted.iter().find(|trust| knows(trust, origin)).ok_or_else(unknown)
}

/// Whether a log's keys are among those that are trusted.
fn knows(trust: &Trust, origin: &Origin) -> bool {
    let is_its = |key: &VerifierKey| origin.is_named(key.name());
    match trust {
        Trust::Log(log) | Trust::Witnessed { log, .. } => log.as_slice().iter().any(is_its),
        Trust::Policy(policy) => policy.logs().iter().any(|log| is_its(log.key())),
    }
}

/// Checks that an answer is about the records of a body; that they are in the log is verified elsewhere.
///
/// Of an event that its producer signed, the leaf must have exactly that. Of a record whose salts the server made, the leaf
/// shows id, time and what it replaces, and those must be the ones that were sent (a body without an id can't be told from
/// another one, and one without a time leaves it to the server); what else it says only its disclosures can show, and
/// whoever may read them.
///
/// # Errors
/// In words, what is wrong.
pub(crate) fn check_same(answer: &AppendedAnswer, body: &[u8]) -> Result<(), String> {
    let inputs = parse(body).map_err(|fault| fault.to_string())?;
    if inputs.len() != answer.records.len() {
        return Err(format!("{} records are answered with {}", inputs.len(), answer.records.len()));
    }
    for (input, appended) in inputs.iter().zip(&answer.records) {
        let leaf = leaf_of(appended)?;
        let head = leaf.event().head();
        let is_it = match input {
            NativeInput::Plain(input) => {
                Some(head.id) == input.id
                    && input.time.is_none_or(|time| time == head.time)
                    && head.replaces == input.replaces
                    && head.key.is_none()
            }
            NativeInput::Signed(input) => *leaf.event() == input.event && leaf.signature() == Some(&input.signature),
        };
        if !is_it || appended.id != head.id {
            return Err(format!("entry {} is another record than was sent", appended.index));
        }
    }
    Ok(())
}

fn leaf_of(appended: &Appended) -> Result<Leaf, String> {
    let receipt = appended.receipt.as_ref().ok_or("there is no receipt")?;
    Leaf::decode(receipt.leaf.as_bytes()).map_err(|error| error.to_string())
}

/// Writes for each record its leaf and its receipt, `ID.leaf` and `ID.tlog-proof`, which `cairn verify` takes. They can be
/// had again from the log, so that none of them waits for the disk.
pub(super) fn keep(folder: &Path, answer: &AppendedAnswer) -> Result<(), FileError> {
    let failed = |error| FileError::Io { path: folder.to_owned(), error };
    fs::create_dir_all(folder).map_err(failed)?;
    for appended in &answer.records {
        let (Some(receipt), Some(with)) = (appended.receipt(&answer.checkpoint), &appended.receipt) else { continue };
        let write = |suffix: &str, bytes: &[u8]| {
            let path = folder.join(format!("{}.{suffix}", appended.id));
            write_atomic(&path, bytes, Durability::Process)
        };
        write("leaf", with.leaf.as_bytes())?;
        write("tlog-proof", receipt.to_string().as_bytes())?;
    }
    Ok(())
}
