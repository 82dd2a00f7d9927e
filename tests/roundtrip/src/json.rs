//! The JSON bodies. Their white space and the order of their members are free, so that a body is written in one form
//! and read again as the same.

use core::fmt::Debug;

use cairn_tree::wire::append::{BatchAnswer, BatchRequest, ReceiptJson};
use cairn_tree::wire::keys::KeysAnswer;
use cairn_tree::wire::problem::Problem;
use cairn_tree::wire::read::{ConsistencyAnswer, EntriesAnswer, EntryAnswer, EntryEvent, HeadEvent, InclusionAnswer};
use serde_json::{from_slice, to_vec};

pub(crate) fn bodies(bytes: &[u8]) -> bool {
    let accepted = [
        body::<BatchRequest>(bytes),
        body::<ReceiptJson>(bytes),
        body::<BatchAnswer>(bytes),
        body::<EntryAnswer>(bytes),
        body::<EntriesAnswer>(bytes),
        body::<InclusionAnswer>(bytes),
        body::<ConsistencyAnswer>(bytes),
        body::<HeadEvent>(bytes),
        body::<KeysAnswer>(bytes),
        body::<EntryEvent>(bytes),
        // A problem has no member that must be there: any object is one.
        body::<Problem>(bytes),
    ];
    accepted.contains(&true)
}

fn body<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let Ok(body) = from_slice::<T>(bytes) else { return false };
    let written = to_vec(&body).ok();
    assert!(written.is_some(), "what was read cannot be written");
    if let Some(written) = written {
        assert_eq!(from_slice::<T>(&written).ok().as_ref(), Some(&body));
    }
    true
}
