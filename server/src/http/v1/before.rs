//! Records that are brought again when their tenant's records go to another log: what a log before it has of a request is
//! answered with that log's receipts, and what has the id of something else there is refused.
//!
//! Nothing of the tenant comes into such a log any more, so that what is not found there never will be. Only its own records
//! are looked at: that another tenant has used an id in a log that they shared is told to nobody. One answer has the
//! receipts of one log; a request of which a log before has a part is refused.
//!
//! Not here: what comes again in the log that gets the records (`again`).

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::open::Record;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::store::LogId;

use super::super::problem::{Kind, Problem};
use super::again::{Done, incomparable, record_at, sequenced};
use super::prepare::Request;
use super::refused;
use crate::engine::postings::{Facet, PostingsError, Print, PrintSecret};
use crate::engine::records::{Promised, RecordError, Recorded, Sequenced, id_print};
use crate::engine::{AppendError, Engine, Head, Log, LogState, ProofError};
use crate::records::{
    BrokenPart, Homes, Input, Inputs, Maker, Refusal, Reporter, Secret, Unverified, is_same, tenant_of,
};

/// A log that had records of the tenants before.
struct Past<'p> {
    engine: &'p Engine,
    homes: &'p Homes,
    reporter: &'p Reporter,
    log: &'p Log,
    head: Arc<Head>,
    origin: Origin,
    secret: Secret,
    prints: PrintSecret,
}

impl Request {
    /// Whether a log can have known it before: by its key, or one of its records by its id.
    pub(super) fn may_be_known(&self, inputs: &Inputs<'_>) -> bool {
        self.key.is_some() || inputs.records.iter().any(Input::is_known)
    }

    /// What these logs have of it: all of it, or nothing.
    pub(super) fn brought_before(
        &self,
        logs: &[Log],
        tenants: &[String],
        inputs: &Inputs<'_>,
    ) -> Result<Option<Done>, Problem> {
        let (engine, homes) = (&self.app.engine, &self.app.records.homes);
        // Once, and not for each of the logs.
        let going = tenants.iter().map(|tenant| (tenant, homes.of(engine, tenant).map(|home| home.info().id)));
        let going: Vec<(&String, Option<LogId>)> = going.collect();
        let mut pasts = Vec::new();
        for log in logs {
            pasts.extend(self.past(log, &going)?);
        }
        for past in &pasts {
            if let Some(done) = self.by_key(past.log, tenants)? {
                return Ok(Some(done));
            }
        }
        for past in &pasts {
            if let Some(done) = self.by_ids(past, inputs)? {
                return Ok(Some(done));
            }
        }
        Ok(None)
    }

    /// A log, if it has records of one of the tenants, each with the log that its records go to. What that is for a tenant
    /// with a log of its own is read once.
    fn past<'p>(&'p self, log: &'p Log, tenants: &[(&String, Option<LogId>)]) -> Result<Option<Past<'p>>, Problem> {
        let (homes, reporter) = (&self.app.records.homes, &*self.app.records.reporter);
        let prints = log.print_secret().map_err(PostingsError::from);
        let prints = homes.unless_halted(reporter, log, prints)?.flatten();
        let Some(prints) = prints else { return Ok(None) };
        let mut has_some = false;
        for (tenant, home) in tenants {
            let gets_more = home.is_none_or(|home| home == log.info().id);
            if gets_more || homes.own(tenant).is_none() {
                has_some = true;
                break;
            }
            let held = match homes.held(log, tenant) {
                Some(held) => held,
                None => {
                    let print = Print::new(&prints, Facet::Tenant, &[tenant]);
                    let found = log.oldest_records(print, LeafIndex::ZERO, 1);
                    let Some(found) = homes.unless_halted(reporter, log, found)? else { return Ok(None) };
                    // What lacks something may be its own, and not be found by that.
                    let lacking = homes.unless_halted(reporter, log, log.partly_found(None))?.flatten();
                    let held = !found.is_empty() || lacking.is_some();
                    homes.set_held(log, tenant, held);
                    held
                }
            };
            has_some |= held;
        }
        let origin = Origin::new(&*log.info().origin).map_err(Problem::internal)?;
        let secret = self.app.records.secret.of_log(origin.as_str());
        Ok(has_some.then(|| Past {
            engine: &self.app.engine,
            homes,
            reporter,
            log,
            head: log.head(),
            origin,
            secret,
            prints,
        }))
    }

    fn by_key(&self, log: &Log, tenants: &[String]) -> Result<Option<Done>, Problem> {
        let Some(key) = self.key_in(log, tenants) else { return Ok(None) };
        let promised = log.promised(&key, self.app.clock.now_ms(), || self.body_in(log)).map_err(PostingsError::from);
        let records = &self.app.records;
        match records.homes.unless_halted(&records.reporter, log, promised)?.flatten() {
            None => Ok(None),
            Some(Promised::Records(Recorded { records, head, replayed })) => {
                Ok(Some(Done { log: log.clone(), records, head, replayed }))
            }
            Some(Promised::OtherBody) => {
                Err(refused(RecordError::Append(AppendError::IdempotencyMismatch), |_| String::new()))
            }
        }
    }

    fn by_ids(&self, past: &Past<'_>, inputs: &Inputs<'_>) -> Result<Option<Done>, Problem> {
        let found = past.find(inputs)?;
        if found.is_empty() {
            return Ok(None);
        }
        let records = self.compared(past, &found)?;
        let (count, of) = (records.len(), inputs.records.len());
        match records.first() {
            // What there was can't be read any more.
            None => Ok(None),
            Some((position, first)) if count < of => {
                let detail = format!(
                    "the log {} has {count} of the {of} records already, and one answer has the receipts of one log: bring \
                     those by themselves",
                    past.origin
                );
                let refusal = Refusal::at(Kind::RecordExists, format!("{}/id", inputs.place(*position)), detail);
                Err(refusal.bounded(&first.id.to_string(), "the records that no log has yet").into())
            }
            Some(_) => {
                let records = records.into_iter().map(|(_, record)| record).collect();
                Ok(Some(Done { log: past.log.clone(), records, head: Arc::clone(&past.head), replayed: false }))
            }
        }
    }

    /// The records that were found and can still be read, each of which is the one that is brought at its position.
    fn compared(&self, past: &Past<'_>, found: &Found) -> Result<Vec<(usize, Sequenced)>, Problem> {
        let inputs = self.inputs()?;
        let places: Vec<String> = found.keys().map(|position| inputs.place(*position)).collect();
        let now = Time::from_micros(self.app.clock.now_us()).map_err(Problem::internal)?;
        let maker = Maker {
            log: &past.origin,
            secret: &past.secret,
            random: &*self.app.records.randomness,
            now,
            said: &self.said,
            keys: &|id| self.producer_key(id),
            // Nothing is appended there.
            earlier: &|_: &StreamName<'_>| Ok(None),
        };
        let inputs = (0..).zip(inputs.records);
        let inputs = inputs.filter_map(|(position, input)| Some((position, input, *found.get(&position)?)));
        let mut records = Vec::with_capacity(found.len());
        for ((position, input, (index, id)), place) in inputs.zip(places) {
            let is_meant = match &input {
                Input::Plain(..) => true,
                Input::Signed(signed) => signed.event.head().log == past.origin,
            };
            if !is_meant {
                return Err(past.taken(&place, index, id));
            }
            let Some(stored) = past.record_at(&place, index, id)? else { continue };
            if !is_same(&maker.make(input, &place)?, &stored) {
                return Err(past.taken(&place, index, id));
            }
            records.push((position, sequenced(&stored)));
        }
        Ok(records)
    }
}

/// Where a log has records of the ids that are brought, by their positions in the request.
type Found = BTreeMap<usize, (LeafIndex, RecordId)>;

impl Past<'_> {
    /// Those of the same tenant.
    fn find(&self, inputs: &Inputs<'_>) -> Result<Found, Problem> {
        let mut known = Vec::new();
        for (position, input) in inputs.records.iter().enumerate() {
            let id = input.id(&self.secret, &inputs.place(position))?;
            known.extend(id.map(|id| (position, input, id)));
        }
        let prints: Vec<Print> = known.iter().map(|(.., id)| id_print(&self.prints, *id)).collect();
        let mut found = Found::new();
        let Some(newest) = self.unless_halted(self.log.newest_records(&prints))? else { return Ok(found) };
        for (((position, input, id), print), _) in
            known.into_iter().zip(&prints).zip(&newest).filter(|(_, newest)| newest.is_some())
        {
            let tenant = input.tenant(&inputs.place(position))?;
            let both = [*print, Print::new(&self.prints, Facet::Tenant, &[&tenant])];
            let page = self.unless_halted(self.log.find_records(&both, self.head.size, 1, u64::MAX))?;
            let index = match page.and_then(|mut page| page.hits.pop()) {
                Some(index) => Some(index),
                None => self.found_in_part(&tenant, *print)?,
            };
            found.extend(index.map(|index| (position, (index, id))));
        }
        Ok(found)
    }

    /// A record of this tenant that is found by its id and not by its tenant: something of it is not there, or it is of a later
    /// version.
    fn found_in_part(&self, tenant: &str, id: Print) -> Result<Option<LeafIndex>, Problem> {
        let found = self.unless_halted(self.log.partly_found(Some(id)))?.flatten();
        let Some(index) = found else { return Ok(None) };
        let whose = match tenant_of(self.log, index) {
            Ok(whose) => whose,
            Err(error) => return self.unread(index, error).map(|()| None),
        };
        match whose {
            Some(whose) => Ok((whose == tenant).then_some(index)),
            None if self.homes.is_alone(self.engine, tenant, self.log) => Ok(Some(index)),
            // To record it anew might be to record it twice, and to say that it is there, to tell of another's.
            None => {
                let detail = format!(
                    "entry {index} of the log {} has this id, and what it disclosed can't be read, so that nobody can tell \
                     whose it is",
                    self.origin
                );
                Err(Problem::new(Kind::Damaged, detail))
            }
        }
    }

    /// The record at an index; nothing if what the log had there can't be read, or is not what the tree has there, and the
    /// log is halted.
    fn record_at(&self, place: &str, index: LeafIndex, id: RecordId) -> Result<Option<Record>, Problem> {
        match record_at(self.log, &self.head, index) {
            Ok(record) => Ok(record),
            Err(Unverified::Broken(broken)) if broken.what == BrokenPart::Leaf && self.is_halted_for(index) => Ok(None),
            Err(Unverified::Broken(broken)) => Err(incomparable(place, broken, self.taken(place, index, id))),
            Err(error) => self.unread(index, error).map(|()| None),
        }
    }

    /// A record that can't be read; no error if that is because the log is damaged and halted.
    fn unread(&self, index: LeafIndex, error: Unverified) -> Result<(), Problem> {
        let damaged = match error {
            Unverified::Read(error) | Unverified::Proof(ProofError::Read(error)) => {
                error.of_entry(self.log.info().id, index).into()
            }
            Unverified::Postings(error) => error,
            Unverified::Proof(error) => return Err(error.into()),
            Unverified::Broken(broken) => return Err(Problem::internal(broken.words)),
        };
        Ok(self.unless_halted(Err(damaged)).map(|_: Option<()>| ())?)
    }

    fn unless_halted<T>(&self, read: Result<T, PostingsError>) -> Result<Option<T>, PostingsError> {
        self.homes.unless_halted(self.reporter, self.log, read)
    }

    /// Whether the log is halted; if it is not, whether it is now, since the leaf at an index is not what was signed.
    fn is_halted_for(&self, index: LeafIndex) -> bool {
        let is_halted = || matches!(self.log.state(), LogState::Halted(_));
        if !is_halted() {
            self.reporter.suspect(self.log, index);
        }
        is_halted()
    }

    /// The id is another record's there.
    fn taken(&self, place: &str, index: LeafIndex, id: RecordId) -> Problem {
        let detail = format!("entry {index} of the log {} has this id; an id is one record's for ever", self.origin);
        let refusal = Refusal::at(Kind::RecordExists, format!("{place}/id"), detail);
        refusal.bounded(&id.to_string(), "an id that no record has").into()
    }
}
