//! The files that monitors and witnesses keep. They are JSON, so that one is written in one form and read again as the
//! same.

use cairn::monitor::{Case, Evidence, Weight};
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
        && let Ok(weight) = evidence.check(&keys)
    {
        let is_fork = matches!(evidence.case(), Case::Fork { .. });
        assert_eq!(weight == Weight::Proven, is_fork, "only a fork proves itself");
    }
    true
}
