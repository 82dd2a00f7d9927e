//! The files that monitors, witnesses and outboxes keep. Evidence and records are JSON, written in one form and read again as the
//! same; a journal is read as what was written, or as what a crash left of it.

use cairn::monitor::{Case, Evidence, Kept, Known, State, Weight};
use cairn::outbox::commit_again;
use cairn::witness::Log;
use cairn::witness::state::{StoreId, read_commit, read_journal, seal_sectors, write_journal};
use cairn_tree::checkpoint::LogKeys;
use cairn_tree::hash::Hash;
use sha2::{Digest as _, Sha256};

/// The key of the logs in the seeds.
pub(crate) fn log_key() -> Option<LogKeys> {
    include_str!("../../vectors/evidence/log.vkey").parse().ok()
}

pub(crate) fn evidence(bytes: &[u8]) -> bool {
    let Ok(evidence) = Evidence::decode(bytes) else { return false };
    let written = evidence.encode();
    assert!(written.is_ok(), "what was read cannot be written");
    if let Ok(written) = written {
        assert_eq!(Evidence::decode(&written).as_ref(), Ok(&evidence));
    }
    if let Some(keys) = log_key()
        && let Ok(verdict) = evidence.check(&keys)
    {
        let is_fork = matches!(evidence.case(), Case::Fork { .. });
        assert_eq!(verdict.weight == Weight::Proven, is_fork, "only a fork proves itself");
    }
    true
}

/// The record of a log in a witness's state.
pub(crate) fn witness_record(bytes: &[u8]) -> bool {
    let Ok(log) = Log::decode(bytes) else { return false };
    let written = log.encode();
    assert!(written.is_ok(), "what was read cannot be written");
    if let Ok(written) = written {
        assert!(written.len() <= log.weight(), "{} bytes weigh {}", written.len(), log.weight());
        let again = Log::decode(&written);
        assert!(
            again.is_ok_and(|again| again.encode().is_ok_and(|again| again == written)),
            "it is read as another log"
        );
    }
    true
}

/// A witness's journal: the bytes as they are, and the bytes as the contents of sectors whose checksums are right.
pub(crate) fn witness_journal(bytes: &[u8]) -> bool {
    let (id, epoch, folded) = (StoreId::new([7; StoreId::LEN]), 2, 7);
    let sealed = seal_sectors(id, bytes);
    let accepted = [bytes, &sealed].map(|journal| {
        let Ok(commits) = read_journal(id, epoch, folded, journal) else { return false };
        for record in commits.iter().flat_map(|commit| read_commit(commit)) {
            // Whatever it is, it is a log or an error.
            let _log = Log::decode(&record.1);
        }
        let written = write_journal(id, epoch, folded, &commits);
        assert_eq!(read_journal(id, epoch, folded, &written).as_ref(), Ok(&commits));
        // Cut anywhere, it lacks its end and holds nothing else.
        let cut = written.get(..written.len() / 2).unwrap_or_default();
        assert!(read_journal(id, epoch, folded, cut).is_ok_and(|fewer| commits.starts_with(&fewer)));
        !commits.is_empty()
    });
    accepted.contains(&true)
}

/// A commit of an outbox's journal: only what is written again as the same bytes is read.
pub(crate) fn outbox_commit(bytes: &[u8]) -> bool {
    let Some(again) = commit_again(bytes) else { return false };
    assert_eq!(again, bytes, "it is read as another commit");
    !bytes.is_empty()
}

/// The bytes are a file as it is, and also what stands after the first line of one: no fuzzer finds a checksum.
pub(crate) fn kept(bytes: &[u8]) -> bool {
    let Some(keys) = log_key() else { return false };
    let files = ["cairn.monitor/1 ", "cairn.watch/1 "].map(|magic| framed(magic, bytes));
    let accepted = files.iter().map(Vec::as_slice).chain([bytes]).map(|file| memory(file, &keys) | state(file, &keys));
    accepted.fold(false, |any, one| any | one)
}

fn framed(magic: &str, body: &[u8]) -> Vec<u8> {
    let sum = Hash::new(Sha256::digest(body).into());
    [format!("{magic}{sum}\n").as_bytes(), body, b"\n"].concat()
}

/// What was read is written in one form, and read again as the same.
fn memory(file: &[u8], keys: &LogKeys) -> bool {
    let Ok(kept) = Kept::decode(file, keys) else { return false };
    if let (Some(state), Some(reading)) = (&kept.known.state, &kept.known.reading) {
        assert!(state.root().size <= reading.frontier().size(), "what is read begins with what was verified");
    }
    let write = |kept: &Kept| {
        let Known { state, reading, unplaced } = &kept.known;
        Kept::encode(&kept.keys, state.as_ref(), (reading.as_ref(), unplaced), &kept.ledger).ok()
    };
    let written = write(&kept);
    let again = written.as_ref().and_then(|file| Kept::decode(file, keys).ok());
    assert!(again.is_some(), "what was read cannot be written and read");
    assert_eq!(again.as_ref().and_then(write), written);
    assert_eq!(again.map(|again| again.keys), Some(kept.keys));
    true
}

fn state(file: &[u8], keys: &LogKeys) -> bool {
    let Ok((state, unplaced)) = State::decode(file, keys) else { return false };
    assert_eq!(state.frontier().root(), state.root());
    let written = state.encode(&unplaced, keys).ok();
    let again = written.as_ref().and_then(|file| State::decode(file, keys).ok());
    assert_eq!(again.and_then(|(again, unplaced)| again.encode(&unplaced, keys).ok()), written);
    true
}
