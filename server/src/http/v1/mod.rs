//! `/v1`: audit records over HTTP. Every route needs a token.
//!
//! A tenant that the token is not good for is answered as one that there is not: 404, the same bytes. A right that it lacks
//! is told (403) whatever the tenant. No answer may be kept by anybody on the way.

mod again;
pub(super) mod append;
mod at_hand;
mod before;
mod bodies;
mod ended;
pub(super) mod events;
mod history;
mod judged;
mod later;
pub(super) mod list;
mod not_good;
mod numbered;
mod parts;
mod place;
mod prepare;
mod reading;
pub(super) mod record;
mod replays;
pub(super) mod reports;
mod size;
pub(super) mod streams;
mod wanted;

pub(in crate::http) use again::{Done, append as append_prepared};
pub(crate) use append::append;
pub(in crate::http) use bodies::signer;
pub(crate) use events::events;
pub(in crate::http) use history::Asked;
pub(crate) use list::list;
pub(in crate::http) use prepare::{Prints, Request};
pub(in crate::http) use reading::Reading;
pub(crate) use record::{one, receipt};
pub(in crate::http) use replays::newest;
pub(crate) use reports::reports;
pub(crate) use streams::{diff, history as stream, state};

use cairn_tree::wire::problem::{ActualHead, Problem as Document};

use super::Ask;
use super::problem::{Kind, Problem};
use crate::auth::{Caller, ProducerKeyText, Right, Rights, Tenants, TokenId};
use crate::engine::AppendError;
use crate::engine::records::{RecordError, StreamTip};
use crate::records::{NotMade, Refusal};

/// The query parameter that names a tenant, where no header does.
const TENANT: &str = "tenant";
/// The query parameter that names the log, where a tenant's records were before it got a log of its own.
const LOG: &str = "log";
/// The query parameter that asks for the proof of each record.
const PROOF: &str = "proof";
/// The query parameter with the most records of an answer.
const LIMIT: &str = "limit";
/// The query parameter that says where a listing goes on.
const CURSOR: &str = "cursor";
/// The query parameter with the number of the first record of a stream that is asked for.
const FROM_SEQ: &str = "from_seq";
/// The query parameter that says which time is meant.
const BY: &str = "by";
/// The query parameter that says whether a stream begins with the states of its parts in other logs.
const EARLIER: &str = "earlier";
/// The query parameter that says how corrections act.
const VIEW: &str = "view";

/// A caller that has shown a token.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Credential<'a> {
    pub(in crate::http) id: TokenId,
    rights: Rights,
    pub(in crate::http) tenants: &'a Tenants,
    producer_keys: &'a [ProducerKeyText],
}

impl Ask<'_> {
    /// The caller's token, if it has the right.
    fn credential(&self, right: Right) -> Result<Credential<'_>, Problem> {
        let credential = Credential::of(self.caller()).filter(|credential| credential.rights.contains(right));
        credential.ok_or_else(|| self.denied())
    }
}

impl<'a> Credential<'a> {
    /// The token of a caller that has shown one.
    pub(in crate::http) fn of(caller: &'a Caller) -> Option<Self> {
        match caller {
            Caller::Known { id, rights, tenants, producer_keys, .. } => {
                Some(Credential { id: *id, rights: *rights, tenants, producer_keys })
            }
            Caller::Anonymous | Caller::Unknown => None,
        }
    }

    /// Refuses a tenant that the token is not good for, as one that there is not.
    pub(in crate::http) fn admit(&self, tenant: &str) -> Result<(), Problem> {
        if self.tenants.matches(tenant) { Ok(()) } else { Err(Problem::not_found()) }
    }
}

impl From<NotMade> for Problem {
    fn from(error: NotMade) -> Self {
        match error {
            NotMade::Refused(refusal) => refusal.into(),
            NotMade::NoRandomness(error) => Self::internal(error),
            NotMade::Postings(error) => error.into(),
        }
    }
}

/// The problem of records that the engine did not take. `place` tells where a record stands in the body.
fn refused(error: RecordError, place: impl Fn(usize) -> String) -> Problem {
    match error {
        // They had looked for their log just before it ended.
        RecordError::Append(AppendError::Sealed(_)) => {
            Problem::busy("the log has just ended, and another continues it")
        }
        RecordError::Append(error) => error.into(),
        RecordError::Read(error) => error.into(),
        RecordError::Postings(error) => error.into(),
        RecordError::Expectation { position, tip } => conflict(&place(position), tip),
        RecordError::Id { position, id, .. } => again::taken(&place(position), id),
        RecordError::Disclosures { position, error } => {
            Refusal::invalid(format!("{}/disclosures", place(position)), error.to_string()).into()
        }
        RecordError::Leaf { position, error } => Refusal::invalid(place(position), error.to_string()).into(),
        RecordError::Full(position) => {
            let detail =
                "its stream holds as many records as one can, or the clock shows no time that a record can have";
            Refusal::at(Kind::Sealed, place(position), detail).into()
        }
        error @ (RecordError::Empty | RecordError::Log { .. } | RecordError::Prints) => Problem::internal(error),
    }
}

/// The stream is not where the record expects it to be; where it is, is told.
fn conflict(place: &str, tip: Option<StreamTip>) -> Problem {
    let (seq, leaf_hash) = (tip.map(|tip| tip.seq.get()), tip.map(|tip| tip.leaf.to_base64()));
    let told = match &tip {
        Some(tip) => format!("the stream's last record is number {}, with the leaf hash {}", tip.seq, tip.leaf),
        None => "the stream has no record yet".to_owned(),
    };
    let document: Document = Refusal::at(Kind::StreamConflict, place.to_owned(), told).into_problem();
    document.with_stream_head(ActualHead { seq, leaf_hash }).into()
}
