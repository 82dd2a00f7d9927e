//! The files that monitors and witnesses keep. Evidence and records are JSON, written in one form and read again as the
//! same; a journal is read as what was written, or as what a crash left of it.

use cairn::monitor::{Case, Evidence, Weight};
use cairn::witness::Log;
use cairn::witness::state::{StoreId, read_commit, read_journal, seal_sectors, write_journal};
use cairn_tree::checkpoint::LogKeys;

/// The key of the logs in the seeds.
fn log_key() -> Option<LogKeys> {
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
