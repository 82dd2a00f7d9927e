//! From a body to submissions: read, authorized, made. Nothing is written, and one bad record refuses all.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cairn_tree::checkpoint::Origin;
use cairn_tree::record::signature::{ProducerKey, ProducerKeyId};
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::store::LogId;

use super::super::App;
use super::super::problem::Problem;
use super::{Done, refused};
use crate::auth::{ProducerKeyText, Tenants, TokenId};
use crate::engine::postings::{Print, PrintSecret};
use crate::engine::records::{BoundBody, Submission};
use crate::engine::{IdempotencyKey, Log};
use crate::records::{Admission, Earlier, Form, Inputs, Made, Maker, Refusal, Said, Submit, is_judged, repeated};

/// A request to append records, its body read.
pub(in crate::http) struct Request {
    pub(in crate::http) app: Arc<App>,
    pub(in crate::http) body: Bytes,
    pub(in crate::http) form: Form,
    pub(in crate::http) said: Said,
    /// Its idempotency key.
    pub(in crate::http) key: Option<String>,
    pub(in crate::http) token: TokenId,
    pub(in crate::http) tenants: Tenants,
    pub(in crate::http) producer_keys: Vec<ProducerKeyText>,
    pub(in crate::http) prints: Prints,
    /// Whether its caller asks for much at once.
    pub(in crate::http) is_of_crowd: bool,
}

/// The secrets of the logs that a token's tenants may be at home in, which must be at hand when prints are made. They are
/// looked for once the request was admitted; a tenant that gets another log later has to come again.
#[derive(Default)]
pub(in crate::http) struct Prints(OnceLock<Vec<(LogId, PrintSecret)>>);

/// What is to be done about a request.
pub(in crate::http) enum Ready {
    /// Its records are appended.
    New(Box<Prepared>),
    /// They are in a log before already.
    There(Done),
}

/// Records that are ready for the log.
pub(in crate::http) struct Prepared {
    pub(super) log: Log,
    pub(super) submissions: Vec<Submission>,
    pub(super) places: Places,
    /// The streams of records of modules that ask something of them.
    pub(super) watched: BTreeSet<Print>,
    /// The tenants.
    pub(super) tenants: Vec<String>,
    /// The idempotency key, with what it is bound to.
    pub(super) bound: Option<BoundBody>,
    /// Until the log has them, their tenants stay at home in it.
    pub(super) admission: Option<Admission>,
}

/// One record of a body.
pub(super) enum Brought<'a> {
    Made(Box<Made<'a>>),
    /// What the one at this position says, under its id.
    Again(usize),
}

/// Where records stand in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Places(Option<&'static str>);

impl Places {
    pub(super) fn of(self, position: usize) -> String {
        self.0.map(|list| format!("{list}/{position}")).unwrap_or_default()
    }
}

impl Request {
    /// Looks for the log of the records and makes them for it, where it takes long on a thread that holds up nobody else;
    /// unless a log before has them.
    pub(in crate::http) async fn prepared(self: &Arc<Self>, elsewhere: bool) -> Result<Ready, Problem> {
        let admission = self.app.records.homes.admit().await;
        let prints = print_secrets(&self.app, &self.tenants).await?;
        // A request is prepared once.
        let _ = self.prints.0.set(prints);
        let request = Arc::clone(self);
        let ready = match elsewhere {
            false => self.prepare(false)?,
            true => {
                let work = move || request.prepare(false);
                cairn_listen::spawn_blocking(work).await.map_err(Problem::internal)??
            }
        };
        if let Some(ready) = ready {
            return Ok(ready.admitted(admission));
        }
        // Nobody is kept from getting another log by those who wait for the disk.
        drop(admission);
        let request = Arc::clone(self);
        let ready = self.app.read_for(self.is_of_crowd, move || request.prepare(true)).await?;
        match ready.ok_or_else(|| Problem::internal("records that nobody made"))? {
            Ready::New(prepared) => {
                let admission = self.admit_again(&prepared.log, &prepared.tenants).await?;
                Ok(Ready::New(prepared).admitted(admission))
            }
            there @ Ready::There(_) => Ok(there),
        }
    }

    /// Lets it go to its log once more, if its tenants still are at home there.
    pub(super) async fn admit_again(&self, log: &Log, tenants: &[String]) -> Result<Admission, Problem> {
        let admission = self.app.records.homes.admit().await;
        for tenant in tenants {
            if self.home(tenant)?.info().id != log.info().id {
                return Err(elsewhere_now());
            }
        }
        Ok(admission)
    }

    /// Takes the body apart and makes records of it. Whether a stream goes on from one that has ended, and whether a log
    /// before has them, is read from disk; if that is asked and nothing may be read, there is nothing.
    fn prepare(&self, may_read: bool) -> Result<Option<Ready>, Problem> {
        let inputs = self.inputs()?;
        let (engine, homes) = (&self.app.engine, &self.app.records.homes);
        let (tenants, log) = self.log_of(&inputs)?;
        let before = homes.before(engine, &tenants, log.as_ref().ok());
        if !before.is_empty() && self.may_be_known(&inputs) {
            if !may_read {
                return Ok(None);
            }
            if let Some(done) = self.brought_before(&before, &tenants, &inputs)? {
                return Ok(Some(Ready::There(done)));
            }
        }
        let log = log?;
        if !may_read && tenants.iter().any(|tenant| Earlier::has_ended(engine, homes, tenant, &log)) {
            return Ok(None);
        }
        let places = Places(inputs.list());
        let (mut submissions, mut watched) = (Vec::<Submission>::new(), BTreeSet::new());
        self.make(&log, inputs, |_, _, brought, submit| {
            let made = match brought {
                Brought::Made(made) => made,
                Brought::Again(first) => {
                    submissions.extend(submissions.get(first).cloned());
                    return Ok(());
                }
            };
            let is_judged = is_judged(&self.app.records.settings, &made);
            let submission = submit.submission(*made);
            if is_judged {
                watched.insert(submission.stream);
            }
            submissions.push(submission);
            Ok(())
        })?;
        let bound = self.bound(&log, &tenants);
        let prepared = Prepared { log, submissions, places, watched, tenants, bound, admission: None };
        Ok(Some(Ready::New(Box::new(prepared))))
    }

    /// The idempotency key as a log means it, with what it is bound to there.
    pub(super) fn bound(&self, log: &Log, tenants: &[String]) -> Option<BoundBody> {
        Some(BoundBody { key: self.key_in(log, tenants)?, body: self.body_in(log) })
    }

    /// The idempotency key as a log means it.
    pub(super) fn key_in(&self, log: &Log, tenants: &[String]) -> Option<IdempotencyKey> {
        let key = self.key.as_ref()?;
        let caller = format!("{}\n{}", self.token, tenants.join("\n"));
        Some(IdempotencyKey::new(log.info().id, &caller, key))
    }

    /// What it is bound to in a log: a keyed hash of all of the request.
    pub(super) fn body_in(&self, log: &Log) -> [u8; 32] {
        let mut parts = self.said.parts().to_vec();
        parts.push(&self.body);
        self.app.records.secret.of_log(&log.info().origin).body(&parts)
    }

    /// Makes each record of the body once more, for the log that it was made for before.
    pub(super) fn prepare_each(
        &self,
        log: &Log,
        each: impl FnMut(usize, &str, Brought<'_>, &Submit<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.make(log, self.inputs()?, each)
    }

    fn make(
        &self,
        log: &Log,
        inputs: Inputs<'_>,
        mut each: impl FnMut(usize, &str, Brought<'_>, &Submit<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let secret = &self.app.records.secret.of_log(&log.info().origin);
        let prints = self.prints.iter().find(|(id, _)| *id == log.info().id).map(|(_, secret)| secret);
        // Its tenant has got it since, and nothing of it is at hand.
        let prints = prints.ok_or_else(|| Problem::busy("the tenant has just got a log of its own"))?;
        let submit = Submit { by: secret.pseudonym(self.token), prints };
        let origin = &Origin::new(&*log.info().origin).map_err(Problem::internal)?;
        let now = Time::from_micros(self.app.clock.now_us()).map_err(Problem::internal)?;
        let keys = &|id: ProducerKeyId| self.producer_key(id);
        // All tenants of a request have one log, and so the same ones before it.
        let tenant = inputs.records.first().map(|input| input.tenant("").map(Cow::into_owned)).transpose()?;
        let (homes, tenant) = (&self.app.records.homes, tenant.unwrap_or_default());
        let ended = Earlier::of(&self.app.engine, (homes, &self.app.records.reporter), &tenant, log)?;
        let earlier = &|name: &StreamName<'_>| ended.head(name, prints);
        let random = &*self.app.records.randomness;
        let maker = Maker { log: origin, secret, random, now, said: &self.said, keys, earlier };
        let places: Vec<String> = (0..inputs.records.len()).map(|number| inputs.place(number)).collect();
        let repeated = repeated(&inputs, secret, &self.said);
        for (position, (input, place)) in inputs.records.into_iter().zip(places).enumerate() {
            let brought = match repeated.get(&position) {
                Some(first) => Brought::Again(*first),
                None => Brought::Made(Box::new(maker.make(input, &place)?)),
            };
            each(position, &place, brought, &submit)?;
        }
        Ok(())
    }

    pub(super) fn inputs(&self) -> Result<Inputs<'_>, Problem> {
        let tenant = match self.said.tenant() {
            Some(said) => Some(said.clone()),
            None => self.tenants.sole().and_then(|sole| Name::new(sole).ok()),
        };
        Ok(self.form.read(&self.body, tenant.as_ref())?)
    }

    /// The tenants of all records, and the one log that gets them. A tenant that the token is not good for is not there.
    fn log_of(&self, inputs: &Inputs<'_>) -> Result<(Vec<String>, Result<Log, Problem>), Problem> {
        let mut tenants = BTreeSet::new();
        for (number, input) in inputs.records.iter().enumerate() {
            tenants.insert((input.tenant(&inputs.place(number))?.into_owned(), number));
        }
        let mut log: Option<Result<Log, Problem>> = None;
        let mut names: Vec<String> = Vec::new();
        for (tenant, number) in tenants {
            if names.last() == Some(&tenant) {
                continue;
            }
            if !self.tenants.matches(&tenant) {
                return Err(Problem::not_found());
            }
            let home = self.home(&tenant)?;
            log = match log {
                Some(Ok(log)) if log.info().id != home.info().id => {
                    let place = format!("{}/object/tenant", inputs.place(number));
                    let detail =
                        "records of one request must have one log, and this tenant has another than those before";
                    Some(Err(Refusal::invalid(place, detail).into()))
                }
                log => log.or(Some(Ok(home))),
            };
            names.push(tenant);
        }
        Ok((names, log.ok_or_else(Problem::not_found)?))
    }

    fn home(&self, tenant: &str) -> Result<Log, Problem> {
        let homes = &self.app.records.homes;
        if homes.moving(tenant).is_some() {
            return Err(Problem::busy("the tenant gets a log of its own, and its streams are being linked to it"));
        }
        let home = homes.of(&self.app.engine, tenant).ok_or_else(Problem::not_found)?;
        // Of a log that it got since nothing is at hand.
        if self.prints.iter().all(|(id, _)| *id != home.info().id) {
            Err(elsewhere_now())
        } else {
            Ok(home.of_crowd(self.is_of_crowd))
        }
    }

    pub(super) fn producer_key(&self, id: ProducerKeyId) -> Option<ProducerKey> {
        self.producer_keys.iter().map(ProducerKeyText::key).find(|key| key.id() == id).cloned()
    }
}

impl Ready {
    fn admitted(mut self, admission: Admission) -> Self {
        if let Self::New(prepared) = &mut self {
            prepared.admission = Some(admission);
        }
        self
    }
}

impl Prints {
    pub(super) fn iter(&self) -> impl Iterator<Item = &(LogId, PrintSecret)> {
        self.0.get().into_iter().flatten()
    }
}

fn elsewhere_now() -> Problem {
    Problem::busy("the tenant's records go to another log since a moment ago")
}

async fn print_secrets(app: &App, tenants: &Tenants) -> Result<Vec<(LogId, PrintSecret)>, Problem> {
    let mut secrets = Vec::new();
    for log in app.records.homes.of_any(&app.engine, tenants) {
        let mut random = [0; PrintSecret::LEN];
        app.records.randomness.fill(&mut random).map_err(Problem::internal)?;
        let secret = log.make_print_secret(random).await.map_err(|error| refused(error, |_| String::new()))?;
        secrets.push((log.info().id, secret));
    }
    Ok(secrets)
}
