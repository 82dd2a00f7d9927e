//! What reads of records share: whose records are asked for, in which log, and how each is verified before it is written
//! down. Nothing that could not be verified leaves.
//!
//! Not here: what is told in place of a record that is not given out (`not_good`), and what is told of one (`bodies`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cairn_tree::note::KeyId;
use cairn_tree::record::header::Header;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::header;

use super::super::problem::{Kind, Problem};
use super::super::query::Query;
use super::super::trail::Trail;
use super::super::{App, Ask};
use super::not_good::{NotGood, ReadBack};
use super::{Credential, TENANT};
use crate::auth::{Rights, Tenants};
use crate::engine::postings::{PostingsError, Print, PrintSecret};
use crate::engine::records::{Completeness, StoredRecord, Unreadable, id_print};
use crate::engine::{Head, Log, ProofError, ReadError};
use crate::readers::Cores;
use crate::records::{
    Broken, Ground, Located, Predecessor, Reporter, Said, Seen, Unverified, Verified, VerifiedLater, lack,
};

/// The least records that one core works on at a time: a part of fewer would lose what reading several at once gains.
const LEAST_PART_RECORDS: usize = 8;
/// The most of them: as many as the engine reads together (`AHEAD_RECORDS`), so that a part is read in one go.
const MOST_PART_RECORDS: usize = 32;
/// What part of those that are left one core takes, so that all come to an end at about the same time.
const PART_SHARE: usize = 8;

/// One log as a reader sees it: under one head.
#[derive(Clone)]
pub(in crate::http) struct Reading {
    pub(in crate::http) log: Log,
    pub(in crate::http) head: Arc<Head>,
    /// The published head, or the newest where none is published; no larger than the other, so that an answer has one view
    /// of the log, however much comes meanwhile.
    pub(super) checkpoint: Arc<Head>,
    pub(in crate::http) prints: PrintSecret,
    reporter: Arc<Reporter>,
    rights: Rights,
    pub(super) tenants: Tenants,
    trail: Arc<Trail>,
    cores: Arc<Cores>,
    /// Whether the log has any redaction record, once that was looked up.
    redactions: Arc<OnceLock<bool>>,
    /// A head's note, and the key that signed it: one for all records of an answer.
    pub(super) signer: Arc<OnceLock<(Bytes, KeyId)>>,
}

/// What is at hand of the record directly before another one in its stream.
#[derive(Debug, Default)]
pub(super) enum Preceding {
    /// All of it.
    Known(Predecessor),
    /// Where it should be.
    Near(LeafIndex),
    /// Nothing.
    #[default]
    Unknown,
}

/// The tenant that a request is about, if it says so; one that the token is not good for is not there.
pub(super) fn tenant(ask: &Ask<'_>, credential: &Credential<'_>, query: &Query<'_>) -> Result<Option<String>, Problem> {
    let said = Said::of(&ask.parts.headers)?;
    let said = said.tenant().map(Name::as_str);
    let asked = query.get(TENANT);
    if let Some(asked) = asked {
        Name::new(asked).map_err(|error| Problem::malformed(TENANT, asked, error))?;
    }
    if let (Some(said), Some(asked)) = (said, asked)
        && said != asked
    {
        let detail = format!("{TENANT}: the header {} names another", header::X_TENANT_ID);
        return Err(Problem::new(Kind::Contradiction, detail).field(TENANT));
    }
    let tenant = said.or(asked).or(credential.tenants.sole());
    tenant.map(|tenant| credential.admit(tenant).map(|()| tenant.to_owned())).transpose()
}

/// The published head, if there is one, and the newest.
fn heads(log: &Log) -> (Arc<Head>, Arc<Head>) {
    // In this order: neither falls, and what is published is under a head.
    let (checkpoint, head) = (log.checkpoint(), log.head());
    (checkpoint.unwrap_or_else(|| Arc::clone(&head)), head)
}

impl Reading {
    /// A log, for whoever asks; `tenant` is the one whose records the request names.
    pub(in crate::http) fn of(
        ask: &Ask<'_>,
        credential: &Credential<'_>,
        log: Log,
        tenant: Option<&str>,
    ) -> Result<Self, Problem> {
        let trail = ask.trail(credential.id)?;
        trail.begin(ask.app, tenant, credential.tenants)?;
        Self::under_head(ask.app, credential, log, trail)
    }

    /// The log under its newest head, without a request; what is shown is noted on the trail of an earlier one, and whoever
    /// shows it puts that on record first.
    pub(super) fn under_head(
        app: &App,
        credential: &Credential<'_>,
        log: Log,
        trail: Arc<Trail>,
    ) -> Result<Self, Problem> {
        let (checkpoint, head) = heads(&log);
        // Without one there are no records, and any finds none.
        let prints = log.print_secret()?.unwrap_or(PrintSecret::new([0; PrintSecret::LEN]));
        let (rights, tenants, cores) = (credential.rights, credential.tenants.clone(), Arc::clone(&app.cores));
        Ok(Self {
            log,
            head,
            checkpoint,
            prints,
            reporter: Arc::clone(&app.records.reporter),
            rights,
            tenants,
            trail,
            cores,
            redactions: Arc::default(),
            signer: Arc::default(),
        })
    }

    /// The same in another log, under its newest head.
    pub(in crate::http) fn in_log(&self, log: Log) -> Result<Self, Problem> {
        let (checkpoint, head) = heads(&log);
        let prints = log.print_secret()?.unwrap_or(PrintSecret::new([0; PrintSecret::LEN]));
        // What was looked up once was so in the other one.
        let (redactions, signer) = (Arc::default(), Arc::default());
        Ok(Self { log, head, checkpoint, prints, redactions, signer, ..self.clone() })
    }

    /// The same, with another trail that notes what is shown.
    pub(super) fn on(self, trail: Arc<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// The same for what is read once more: what is shown of it is noted already.
    pub(super) fn unnoted(self) -> Self {
        let trail = self.trail.of_follower();
        self.on(trail)
    }

    /// The head that proofs are for: the published one, unless that is too old for the record, or for what may say that
    /// something of it is erased.
    pub(super) fn under(&self, last: LeafIndex) -> Result<Arc<Head>, Problem> {
        let redaction = self.ground(&self.head).newest_redaction()?;
        let last = redaction.map_or(last, |redaction| last.max(redaction));
        Ok(Arc::clone(if self.checkpoint.size.contains(last) { &self.checkpoint } else { &self.head }))
    }

    /// Whether the log has any redaction record; looked up once.
    fn has_redactions(&self) -> Result<bool, PostingsError> {
        if let Some(known) = self.redactions.get() {
            return Ok(*known);
        }
        let found = self.ground(&self.head).newest_redaction()?.is_some();
        Ok(*self.redactions.get_or_init(|| found))
    }

    /// Takes note that a record of this tenant is shown, of which nobody knows more.
    pub(super) fn shows_of(&self, tenant: &str) {
        self.trail.note_of(tenant);
    }

    fn ground<'r>(&'r self, under: &'r Head) -> Ground<'r> {
        Ground { log: &self.log, head: &self.head, under, prints: &self.prints }
    }

    /// Up to which size of the log a search that begins after this misses nothing that the head has.
    pub(super) fn complete_to(&self) -> Result<TreeSize, Problem> {
        Ok(self.searched_to()?.min(self.unbroken_to()))
    }

    /// The size from which on such a search looks back.
    pub(super) fn searched_to(&self) -> Result<TreeSize, Problem> {
        // A head is out a moment before its records can be found.
        Ok(self.log.indexed_to()?.min(self.head.size))
    }

    /// Up to which size all entries are what the tree has, as far as is known from making postings of them.
    fn unbroken_to(&self) -> TreeSize {
        let index = self.log.unfound_from();
        index.map_or(self.head.size, |index| TreeSize::new(index.get()).unwrap_or(TreeSize::ZERO))
    }

    /// Says that a record is not there, unless it may be one of which nothing is found any more.
    pub(super) fn is_absent(&self) -> Result<(), Problem> {
        match self.log.unfound_from() {
            Some(index) => {
                Err(Problem::new(Kind::Damaged, format!("the record may be one that is damaged, as entry {index} is")))
            }
            None => Ok(()),
        }
    }

    /// The same with the records that such a search may miss all the same, if it is for those of this tenant.
    pub(in crate::http) fn completeness(&self, tenant: &str) -> Result<Completeness, Problem> {
        let found = self.log.completeness(tenant, &|index| lack(&self.log, index));
        let Completeness { to, except } = found.map_err(|error| self.told(error))?;
        Ok(Completeness { to: to.min(self.head.size).min(self.unbroken_to()), except })
    }

    /// The record with this id.
    pub(super) fn find(&self, id: RecordId) -> Result<Option<LeafIndex>, Problem> {
        let print = id_print(&self.prints, id);
        self.newest(print, self.head.size)
    }

    /// The newest record below a size that has a print.
    pub(super) fn newest(&self, print: Print, below: TreeSize) -> Result<Option<LeafIndex>, Problem> {
        Ok(self.log.find_records(&[print], below, 1, u64::MAX)?.hits.pop())
    }

    /// Behind the last record with a print that is no newer than a time, below a size: by halves, since the server's time
    /// never falls with the index. What can't be read is not passed over here, so that it is told when it is read.
    pub(super) fn up_to(&self, print: Print, time: Time, below: TreeSize) -> Result<TreeSize, Problem> {
        let (mut low, mut high) = (0, below.get());
        while low < high {
            let middle = low + (high - low) / 2;
            let size = TreeSize::new(middle + 1).map_err(Problem::internal)?;
            let Some(index) = self.newest(print, size)? else {
                low = middle + 1;
                continue;
            };
            let entry = self.log.entry(&self.head, index)?;
            let Some(header) = entry.and_then(|entry| Header::decode(index, &entry).ok()) else { return Ok(below) };
            if header.time > time {
                high = index.get();
            } else {
                low = middle + 1;
            }
        }
        TreeSize::new(low).map_err(Problem::internal)
    }

    /// A record that is verified, with its place in its stream; `None` if it is nobody's that the token is good for, or of
    /// a later version, of which nobody knows whose it is.
    pub(in crate::http) fn verified(&self, stored: ReadBack, under: &Head) -> Result<Option<Verified>, NotGood> {
        let mut located = self.located(stored, under)?;
        if located.is_later() {
            return Ok(None);
        }
        // What is said of a record that is another tenant's is not said to this reader.
        let before = self.ground(under).before(&located, None).map_err(|error| self.told(error))?;
        let chained = located.after(before);
        let verified = self.open(located, under)?;
        if !verified.is_of(|tenant| self.tenants.matches(tenant)) {
            return Ok(None);
        }
        chained.map_err(|error| self.told(error))?;
        Ok(Some(verified))
    }

    /// An entry that is in the tree.
    pub(super) fn located(&self, stored: ReadBack, under: &Head) -> Result<Located, NotGood> {
        let stored = stored.map_err(|Unreadable { index, error }| self.unreadable(index, error))?;
        let index = stored.index;
        Located::of(&self.log, &self.head, under, stored).map_err(|error| match error {
            Unverified::Read(error) | Unverified::Proof(ProofError::Read(error)) => self.unreadable(index, error),
            error => self.told(error),
        })
    }

    /// Checks that an entry goes on from the one before it, which is looked up if it is not at hand.
    pub(super) fn chained(&self, located: &mut Located, under: &Head, before: Preceding) -> Result<(), NotGood> {
        let near = match &before {
            Preceding::Near(index) => Some(*index),
            Preceding::Known(_) | Preceding::Unknown => None,
        };
        let before = match before {
            Preceding::Known(before) => before,
            Preceding::Near(_) | Preceding::Unknown => {
                self.ground(under).before(located, near).map_err(|error| self.told(error))?
            }
        };
        located.after(before).map_err(|error| self.told(error))
    }

    /// A record of a later version.
    pub(super) fn later(&self, located: Located) -> Result<VerifiedLater, NotGood> {
        located.later().map_err(|error| self.told(error))
    }

    /// Opens an entry, and looks for what excuses that something of it is absent.
    pub(super) fn open(&self, located: Located, under: &Head) -> Result<Verified, NotGood> {
        let excuses = |id, lacks| self.ground(under).excuses_for(id, lacks, || self.has_redactions());
        located.open(excuses).map_err(|error| self.told(error))
    }

    /// A record of a stream, which must belong in the one of this name.
    pub(super) fn open_in(&self, located: Located, under: &Head, name: &StreamName<'_>) -> Result<Verified, NotGood> {
        let index = located.index();
        let verified = self.open(located, under)?;
        let content = verified.record().content();
        if name.may_hold(&content.object, &content.context) {
            return Ok(verified);
        }
        let words = "it is in a stream that it does not belong in";
        Err(self.told(Unverified::Broken(Broken::chain(index, Some(index), words))))
    }

    /// The same, as the reader may see it, who is put on record for it.
    pub(in crate::http) fn seen(&self, verified: Verified) -> Result<Seen, NotGood> {
        self.trail.note(verified.record());
        verified.seen_with(self.rights).map_err(|error| self.told(error))
    }

    /// Takes note of a record of which something is shown other than by [`Reading::seen`].
    pub(super) fn shows(&self, verified: &Verified) {
        self.trail.note(verified.record());
    }

    /// Takes note of a record on which an answer rests without showing it.
    pub(in crate::http) fn looks_at(&self, verified: &Verified) {
        if let Some(object) = verified.record().content().object.disclosed() {
            self.trail.note_looked_at(object.tenant.as_str());
        }
    }

    pub(super) fn told(&self, error: Unverified) -> NotGood {
        match error {
            Unverified::Read(error) => NotGood::Other(error.into()),
            Unverified::Proof(error) => NotGood::Other(error.into()),
            Unverified::Postings(error) => NotGood::Other(error.into()),
            Unverified::Broken(broken) => {
                self.reporter.report(&self.log, &broken);
                NotGood::Broken(broken)
            }
        }
    }

    fn unreadable(&self, index: LeafIndex, error: ReadError) -> NotGood {
        if error.is_failure() {
            return NotGood::Other(error.into());
        }
        self.reporter.suspect(&self.log, index);
        NotGood::Unreadable(index, error)
    }
}

impl Reading {
    /// Reads records and does something with them, some at a time on each of several cores; the results are in order. What
    /// comes behind about `most` bytes is left out.
    pub(super) fn in_parts<T: Send>(
        &self,
        found: &[LeafIndex],
        most: usize,
        work: impl Fn(&[LeafIndex], Vec<ReadBack>) -> Result<T, Problem> + Sync,
    ) -> Result<Vec<T>, Problem> {
        let parts = in_shares(found);
        let bytes = AtomicUsize::new(0);
        let part = |place: usize| -> Result<Option<(usize, T)>, Problem> {
            let Some(indexes) = parts.get(place) else { return Ok(None) };
            if place > 0 && bytes.load(Ordering::Relaxed) > most {
                return Ok(None);
            }
            let stored = self.log.stored_records(&self.head, indexes, most)?;
            let own: usize = stored.iter().flatten().map(StoredRecord::bytes).sum();
            bytes.fetch_add(own, Ordering::Relaxed);
            work(indexes, stored).map(|done| Some((own, done)))
        };
        let done = self.cores.in_order(parts.len(), part)?;
        let mut total = 0_usize;
        let fits = |(place, (own, _)): &(usize, (usize, T))| {
            total = total.saturating_add(*own);
            *place == 0 || total <= most
        };
        Ok(done.into_iter().enumerate().take_while(fits).map(|(_, (_, done))| done).collect())
    }
}

/// Cuts what is to be read into pieces that get shorter.
fn in_shares(mut found: &[LeafIndex]) -> Vec<&[LeafIndex]> {
    let mut parts = Vec::new();
    while !found.is_empty() {
        let count = (found.len() / PART_SHARE).clamp(LEAST_PART_RECORDS, MOST_PART_RECORDS).min(found.len());
        let (part, rest) = found.split_at(count);
        parts.push(part);
        found = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_all_of_it_in_order_and_get_shorter() {
        for count in [0, 1, 7, 8, 9, 50, 64, 500, 10_000] {
            let found: Vec<LeafIndex> = (0..count).map(|index| LeafIndex::new(index).unwrap()).collect();
            let parts = in_shares(&found);
            assert_eq!(parts.concat(), found);
            assert!(parts.is_sorted_by(|one, next| one.len() >= next.len()));
            assert!(
                parts.iter().rev().skip(1).all(|part| (LEAST_PART_RECORDS..=MOST_PART_RECORDS).contains(&part.len()))
            );
        }
    }
}
