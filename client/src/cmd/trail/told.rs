//! A verified record as it is told: its place, whose it is, and what became of each of its parts. Lists, histories and
//! `cairn verify record` tell the same of it.

use cairn_tree::record::header::Header;
use cairn_tree::record::kind::RecordKind;
use cairn_tree::record::open::Record;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::signature::Producer;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::v1::VerifiedEntry;
use serde::Serialize;

use crate::auditor::trail::Seen;

/// A verified record.
pub(in crate::cmd) struct Told<'r> {
    pub(in crate::cmd) index: LeafIndex,
    pub(in crate::cmd) header: Header,
    /// What it says; nothing of a later version.
    pub(in crate::cmd) record: Option<&'r Record>,
    pub(in crate::cmd) producer: Producer,
}

/// The same for programs.
#[derive(Serialize)]
pub(in crate::cmd) struct Facts {
    id: String,
    index: u64,
    leaf_hash: String,
    stream: String,
    seq: u64,
    /// It is of a version that this program does not know: nothing but its place is.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
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
}

/// How many digests of a record are disclosed, withheld, erased, and disclosed though they should be erased.
#[derive(Clone, Copy, Default)]
pub(in crate::cmd) struct Counts {
    pub(in crate::cmd) disclosed: usize,
    pub(in crate::cmd) withheld: usize,
    pub(in crate::cmd) erased: usize,
    pub(in crate::cmd) kept: usize,
}

impl<'r> Told<'r> {
    pub(in crate::cmd) fn of(entry: &'r VerifiedEntry, producer: Producer) -> Self {
        let header = match entry {
            VerifiedEntry::Record(verified) => Header::of(verified.record.leaf(), verified.record.hash()),
            VerifiedEntry::Later(verified) => Header::of_later(&verified.later),
        };
        Self { index: entry.index(), header, record: entry.record(), producer }
    }

    /// Whether the log wrote it about itself.
    pub(super) fn is_own(&self) -> bool {
        let object = self.record.and_then(|record| record.content().object.disclosed());
        object.is_some_and(|object| RecordKind::of(object) != RecordKind::Ordinary)
    }

    pub(in crate::cmd) fn counts(&self) -> Counts {
        let Some(record) = self.record else { return Counts::default() };
        let mut counts = Counts { kept: record.still_disclosed().len(), ..Counts::default() };
        for traced in record.traced() {
            match traced.became {
                Shown::Disclosed(()) => counts.disclosed += 1,
                Shown::Withheld => counts.withheld += 1,
                Shown::Erased(_) => counts.erased += 1,
            }
        }
        counts
    }

    pub(in crate::cmd) fn facts(&self) -> Facts {
        let Counts { disclosed, withheld, erased, kept } = self.counts();
        Facts {
            id: self.header.id.to_string(),
            index: self.index.get(),
            leaf_hash: self.header.hash.to_base64(),
            stream: self.header.stream.to_string(),
            seq: self.header.seq.get(),
            later_version: self.record.is_none(),
            disclosed,
            withheld,
            erased,
            kept,
            signed_by: if let Producer::Verified(key) = self.producer { Some(key.to_string()) } else { None },
            claims_key: if let Producer::Unknown(key) = self.producer { Some(key.to_string()) } else { None },
        }
    }
}

impl<'r> From<&'r Seen> for Told<'r> {
    fn from(seen: &'r Seen) -> Self {
        Self { index: seen.index(), header: seen.header(), record: seen.record(), producer: seen.producer() }
    }
}
