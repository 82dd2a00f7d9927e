//! What is answered about records: read and written again, and verified without a panic.

use cairn_tree::hash::Hash;
use cairn_tree::note::VerifierKey;
use cairn_tree::policy::Trust;
use cairn_tree::wire::v1::{
    AppendedAnswer, Cursor, DifferencesAnswer, IntegrityHash, Page, RecordAnswer, StatesAnswer, VerifiedEntry, view,
    view_later,
};

use crate::text;

/// The key of the log in the seeds; nobody's.
const KEY: &str = "log.example/logs/test+2f30ffbb+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

fn trust() -> Option<Trust> {
    let key: VerifierKey = KEY.parse().ok()?;
    Some(Trust::Log(key.try_into().ok()?))
}

/// Reads an answer, and what it is written as.
macro_rules! again {
    ($bytes:ident, $kind:ident) => {{
        let answer = $kind::parse($bytes).ok();
        if let Some(answer) = &answer {
            assert_eq!($kind::parse(&answer.to_json()).as_ref(), Ok(answer));
        }
        answer
    }};
}

pub(crate) fn answers(bytes: &[u8]) -> bool {
    let Some(trust) = trust() else { return false };
    let record = again!(bytes, RecordAnswer);
    if let Some(Ok((verified, _))) = record.as_ref().map(|answer| answer.verify(&trust)) {
        // What it says is JSON, and its leaf is the one that was answered.
        let (said, hash) = match &verified {
            VerifiedEntry::Record(verified) => (view(&verified.record), verified.record.leaf().hash()),
            VerifiedEntry::Later(verified) => (view_later(&verified.later), verified.later.hash()),
        };
        assert!(serde_json::from_str::<serde_json::Value>(&said).is_ok());
        assert_eq!(Some(hash), record.as_ref().map(|answer| Hash::leaf(answer.record.leaf.as_bytes())));
    }
    let page = again!(bytes, Page);
    if let Some(Ok((verified, _))) = page.as_ref().map(|page| page.verify(&trust)) {
        assert_eq!(Some(verified.len()), page.as_ref().map(|page| page.records.len()));
    }
    let appended = again!(bytes, AppendedAnswer);
    let _verified = appended.as_ref().map(|answer| answer.verify(&trust));
    let accepted = record.is_some() | page.is_some() | appended.is_some();
    accepted | again!(bytes, StatesAnswer).is_some() | again!(bytes, DifferencesAnswer).is_some() | texts(bytes)
}

fn texts(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let hash = text.parse::<IntegrityHash>();
    if let Ok(hash) = &hash {
        assert_eq!(hash.to_string(), text);
    }
    let cursor = text.parse::<Cursor>();
    if let Ok(cursor) = &cursor {
        assert_eq!(cursor.as_str(), text);
    }
    hash.is_ok() | cursor.is_ok()
}
