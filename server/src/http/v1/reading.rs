//! What reads of records share: whose records are asked for, in which log, and how each is verified before it is written
//! down. Nothing that could not be verified leaves.

use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::Answer;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::note::{KeyId, VerifierKey};
use cairn_tree::record::id::RecordId;
use cairn_tree::record::leaf::Leaf;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::wire::v1::{Before, Integrity, RecordBody, view};
use cairn_tree::wire::{header, media};

use super::super::problem::{Kind, Problem};
use super::super::query::Query;
use super::super::reading::fresh;
use super::super::trail::Trail;
use super::super::{App, Ask};
use super::{Credential, TENANT};
use crate::auth::{Rights, Tenants};
use crate::engine::postings::{Print, PrintSecret};
use crate::engine::records::{StoredRecord, id_print, stream_print};
use crate::engine::{Head, Log};
use crate::records::{Reporter, Said, Seen, Unverified, Verified};

/// One log as a reader sees it: under one head.
#[derive(Clone)]
pub(in crate::http) struct Reading {
    pub(in crate::http) log: Log,
    pub(in crate::http) head: Arc<Head>,
    pub(in crate::http) prints: PrintSecret,
    /// The id of the log's first key.
    key: KeyId,
    reporter: Arc<Reporter>,
    rights: Rights,
    tenants: Tenants,
    trail: Arc<Trail>,
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

impl Reading {
    /// A log, for whoever asks; `tenant` is the one whose records the request names.
    pub(in crate::http) fn of(
        ask: &Ask<'_>,
        credential: &Credential<'_>,
        log: Log,
        tenant: Option<&str>,
    ) -> Result<Self, Problem> {
        let trail = ask.trail(credential.id)?;
        trail.begin(tenant);
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
        let head = log.head();
        // Without one there are no records, and any finds none.
        let prints = log.print_secret()?.unwrap_or(PrintSecret::new([0; PrintSecret::LEN]));
        let key = log.vkeys().first().and_then(|vkey| vkey.parse::<VerifierKey>().ok());
        let key = key.ok_or_else(|| Problem::internal("a log without a key"))?.id();
        let (rights, tenants) = (credential.rights, credential.tenants.clone());
        Ok(Self { log, head, prints, key, reporter: Arc::clone(&app.records.reporter), rights, tenants, trail })
    }

    /// The same, with another trail that notes what is shown.
    pub(super) fn on(self, trail: Arc<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// The head that proofs are for: the published one, unless that is too old for the record.
    pub(super) fn under(&self, last: LeafIndex) -> Arc<Head> {
        let checkpoint = self.log.checkpoint();
        if checkpoint.size.contains(last) { checkpoint } else { Arc::clone(&self.head) }
    }

    /// Up to which size of the log a search that begins after this misses nothing that the head has.
    pub(super) fn complete_to(&self) -> Result<TreeSize, Problem> {
        // A head is out a moment before its records can be found.
        Ok(self.log.indexed_to()?.min(self.head.size))
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
            let Some(leaf) = entry.and_then(|entry| Leaf::decode(&entry).ok()) else { return Ok(below) };
            if leaf.server().time > time {
                high = index.get();
            } else {
                low = middle + 1;
            }
        }
        TreeSize::new(low).map_err(Problem::internal)
    }

    /// A record that is verified, with its place in its stream; `None` if it is nobody's that the token is good for.
    pub(in crate::http) fn verified(&self, stored: StoredRecord, size: TreeSize) -> Result<Option<Verified>, Problem> {
        let index = stored.index;
        let told = |error| self.told(error);
        let verified = Verified::of(&self.log, &self.head, size, stored).map_err(told)?;
        if !verified.is_of(|tenant| self.tenants.matches(tenant)) {
            return Ok(None);
        }
        let before = self.before(&verified, index)?;
        verified.after(before).map(Some).map_err(told)
    }

    /// The next record of a stream, verified; `before` is the one before it, which is looked up if it is not at hand.
    pub(super) fn next_of(
        &self,
        stored: StoredRecord,
        size: TreeSize,
        before: Option<(LeafIndex, Bytes)>,
        name: &StreamName<'_>,
    ) -> Result<Verified, Problem> {
        let index = stored.index;
        let verified = Verified::of(&self.log, &self.head, size, stored).map_err(|error| self.told(error))?;
        let before = match before {
            Some(before) => Some(before),
            None => self.before(&verified, index)?,
        };
        let verified = verified.after(before).map_err(|error| self.told(error))?;
        let content = verified.record().content();
        if name.may_hold(&content.object, &content.context) {
            Ok(verified)
        } else {
            Err(Problem::new(
                Kind::Integrity,
                format!("the record at {index} is in a stream that it does not belong in"),
            ))
        }
    }

    /// The same, as the reader may see it, who is put on record for it.
    pub(in crate::http) fn seen(&self, verified: Verified) -> Result<Seen, Problem> {
        self.trail.note(verified.record());
        verified.seen_with(self.rights).map_err(|error| self.told(error))
    }

    /// Takes note of a record of which something is shown other than by [`Reading::seen`].
    pub(super) fn shows(&self, verified: &Verified) {
        self.trail.note(verified.record());
    }

    fn before(&self, verified: &Verified, index: LeafIndex) -> Result<Option<(LeafIndex, Bytes)>, Problem> {
        let server = verified.record().leaf().server();
        if server.place.prev().is_none() {
            return Ok(None);
        }
        let Ok(below) = TreeSize::new(index.get()) else { return Ok(None) };
        let print = stream_print(&self.prints, server.stream);
        let Some(before) = self.newest(print, below)? else { return Ok(None) };
        Ok(self.log.entry(&self.head, before)?.map(|entry| (before, entry)))
    }

    fn told(&self, error: Unverified) -> Problem {
        match error {
            Unverified::Read(error) => error.into(),
            Unverified::Proof(error) => error.into(),
            Unverified::Broken(broken) => {
                self.reporter.report(&self.log.info().name, &broken);
                let detail = format!("the record at {} can't be verified: {}", broken.index, broken.words);
                Problem::new(Kind::Integrity, detail).value(broken.index.to_string())
            }
        }
    }
}

impl Reading {
    /// A record with all that its reader needs to verify it under a head, but the checkpoint.
    pub(super) fn body(&self, seen: Seen, under: &Head, proof: bool) -> Result<RecordBody, Problem> {
        let text = |leaf: &Bytes| String::from_utf8(leaf.to_vec()).map_err(Problem::internal);
        let before = seen.before.filter(|_| proof).map(|(index, leaf)| {
            let proof = Some(self.log.inclusion(&self.head, index, under.size)?);
            Ok::<_, Problem>(Before { index, leaf: text(&leaf)?, proof })
        });
        Ok(RecordBody {
            leaf: text(&seen.leaf)?,
            disclosures: seen.disclosures,
            withheld: seen.withheld,
            integrity: Integrity {
                log: seen.record.leaf().event().head().log.clone(),
                index: seen.record.index(),
                leaf_hash: seen.record.hash(),
                key_id: self.key,
                size: under.size,
                root: under.root,
                proof: proof.then_some(seen.proof),
            },
            before: before.transpose()?,
            view: Some(view(&seen.record)),
        })
    }
}

/// The checkpoint of an answer.
pub(super) fn checkpoint(under: &Head) -> Result<SignedCheckpoint, Problem> {
    SignedCheckpoint::parse(&under.note).map_err(Problem::internal)
}

/// An answer that nobody may keep.
pub(super) fn private(body: Vec<u8>) -> Answer {
    fresh(media::JSON, body)
}
