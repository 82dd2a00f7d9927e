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
use super::refused;
use crate::auth::{ProducerKeyText, Tenants, TokenId};
use crate::engine::Log;
use crate::engine::postings::{Print, PrintSecret};
use crate::engine::records::Submission;
use crate::records::{Admission, Earlier, Form, Inputs, Made, Maker, Refusal, Said, Submit, is_judged};

/// A request to append records, its body read.
pub(in crate::http) struct Request {
    pub(in crate::http) app: Arc<App>,
    pub(in crate::http) body: Bytes,
    pub(in crate::http) form: Form,
    pub(in crate::http) said: Said,
    pub(in crate::http) token: TokenId,
    pub(in crate::http) tenants: Tenants,
    pub(in crate::http) producer_keys: Vec<ProducerKeyText>,
    pub(in crate::http) prints: Prints,
}

/// The secrets of the logs that a token's tenants may be at home in, which must be at hand when prints are made. They are
/// looked for once the request was admitted; a tenant that gets another log later has to come again.
#[derive(Default)]
pub(in crate::http) struct Prints(OnceLock<Vec<(LogId, PrintSecret)>>);

/// Records that are ready for the log.
pub(in crate::http) struct Prepared {
    pub(in crate::http) log: Log,
    pub(super) submissions: Vec<Submission>,
    pub(super) places: Places,
    /// The streams of records of modules that ask something of them.
    pub(super) watched: BTreeSet<Print>,
    /// The tenants, as idempotency keys are scoped to them.
    pub(in crate::http) scope: String,
    /// The same, one by one.
    pub(super) tenants: Vec<String>,
    /// What an idempotency key is bound to.
    pub(in crate::http) body: [u8; 32],
    /// Until the log has them, their tenants stay at home in it.
    pub(super) admission: Option<Admission>,
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
    /// Looks for the log of the records and makes them for it, where it takes long on a thread that holds up nobody else.
    pub(in crate::http) async fn prepared(self: &Arc<Self>, elsewhere: bool) -> Result<Prepared, Problem> {
        let admission = self.app.records.homes.admit().await;
        let prints = print_secrets(&self.app, &self.tenants).await?;
        // A request is prepared once.
        let _ = self.prints.0.set(prints);
        let request = Arc::clone(self);
        let prepared = match elsewhere {
            false => self.prepare(false)?,
            true if Earlier::is_there(&self.app.engine) => None,
            true => {
                let work = move || request.prepare(false);
                tokio::task::spawn_blocking(work).await.map_err(Problem::internal)??
            }
        };
        if let Some(prepared) = prepared {
            return Ok(Prepared { admission: Some(admission), ..prepared });
        }
        // Nobody is kept from getting another log by those who wait for the disk.
        drop(admission);
        let request = Arc::clone(self);
        let prepared = self.app.read(move || request.prepare(true)).await?;
        let prepared = prepared.ok_or_else(|| Problem::internal("records that nobody made"))?;
        let admission = self.admit_again(&prepared.log, &prepared.tenants).await?;
        Ok(Prepared { admission: Some(admission), ..prepared })
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

    /// Takes the body apart and makes records of it. Whether a stream goes on from one that has ended is read from disk; if
    /// that is asked and nothing may be read, there is nothing.
    fn prepare(&self, may_read: bool) -> Result<Option<Prepared>, Problem> {
        let inputs = self.inputs()?;
        let (log, tenants) = self.log_of(&inputs)?;
        let asks = |tenant: &String| Earlier::has_ended(&self.app.engine, &self.app.records.homes, tenant, &log);
        if !may_read && tenants.iter().any(asks) {
            return Ok(None);
        }
        let scope = tenants.join("\n");
        let places = Places(inputs.list());
        let (mut submissions, mut watched) = (Vec::new(), BTreeSet::new());
        self.make(&log, inputs, |_, _, made, submit| {
            let is_judged = is_judged(&self.app.records.settings, &made);
            let submission = submit.submission(made);
            if is_judged {
                watched.insert(submission.stream);
            }
            submissions.push(submission);
            Ok(())
        })?;
        let mut parts = self.said.parts().to_vec();
        parts.push(&self.body);
        let body = self.app.records.secret.of_log(&log.info().origin).body(&parts);
        Ok(Some(Prepared { log, submissions, places, watched, scope, tenants, body, admission: None }))
    }

    /// Makes each record of the body once more, for the log that it was made for before.
    pub(super) fn prepare_each(
        &self,
        log: &Log,
        each: impl FnMut(usize, &str, Made<'_>, &Submit<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.make(log, self.inputs()?, each)
    }

    fn make(
        &self,
        log: &Log,
        inputs: Inputs<'_>,
        mut each: impl FnMut(usize, &str, Made<'_>, &Submit<'_>) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let secret = &self.app.records.secret.of_log(&log.info().origin);
        let prints = self.prints.iter().find(|(id, _)| *id == log.info().id).map(|(_, secret)| secret);
        // Its tenant has got it since, and nothing of it is at hand.
        let prints = prints.ok_or_else(|| Problem::busy("the tenant has just got a log of its own"))?;
        let submit = Submit { by: secret.pseudonym(self.token), prints };
        let origin = &Origin::new(&*log.info().origin).map_err(Problem::internal)?;
        let now = Time::from_micros(self.app.clock.now_us()).map_err(Problem::internal)?;
        let keys = &|id: ProducerKeyId| self.key(id);
        // All tenants of a request have one log, and so the same ones before it.
        let tenant = inputs.records.first().map(|input| input.tenant("").map(Cow::into_owned)).transpose()?;
        let (homes, tenant) = (&self.app.records.homes, tenant.unwrap_or_default());
        let ended = Earlier::of(&self.app.engine, homes, &tenant, log)?;
        let earlier = &|name: &StreamName<'_>| ended.head(name, prints);
        let random = &*self.app.records.randomness;
        let maker = Maker { log: origin, secret, random, now, said: &self.said, keys, earlier };
        let places: Vec<String> = (0..inputs.records.len()).map(|number| inputs.place(number)).collect();
        for (position, (input, place)) in inputs.records.into_iter().zip(places).enumerate() {
            each(position, &place, maker.make(input, &place)?, &submit)?;
        }
        Ok(())
    }

    fn inputs(&self) -> Result<Inputs<'_>, Problem> {
        let tenant = match self.said.tenant() {
            Some(said) => Some(said.clone()),
            None => self.tenants.sole().and_then(|sole| Name::new(sole).ok()),
        };
        Ok(self.form.read(&self.body, tenant.as_ref())?)
    }

    /// The one log that has the tenants of all records, and their names. A tenant that the token is not good for is not
    /// there.
    fn log_of(&self, inputs: &Inputs<'_>) -> Result<(Log, Vec<String>), Problem> {
        let mut tenants = BTreeSet::new();
        for (number, input) in inputs.records.iter().enumerate() {
            tenants.insert((input.tenant(&inputs.place(number))?.into_owned(), number));
        }
        let mut log: Option<Log> = None;
        let mut names: Vec<String> = Vec::new();
        for (tenant, number) in &tenants {
            if names.last() == Some(tenant) {
                continue;
            }
            if !self.tenants.matches(tenant) {
                return Err(Problem::not_found());
            }
            let home = self.home(tenant)?;
            if log.as_ref().is_some_and(|log| log.info().id != home.info().id) {
                let place = format!("{}/object/tenant", inputs.place(*number));
                let detail = "records of one request must have one log, and this tenant has another than those before";
                return Err(Refusal::invalid(place, detail).into());
            }
            log = Some(home);
            names.push(tenant.clone());
        }
        Ok((log.ok_or_else(Problem::not_found)?, names))
    }

    fn home(&self, tenant: &str) -> Result<Log, Problem> {
        let homes = &self.app.records.homes;
        if homes.moving(tenant).is_some() {
            return Err(Problem::busy("the tenant gets a log of its own, and its streams are being linked to it"));
        }
        let home = homes.of(&self.app.engine, tenant).ok_or_else(Problem::not_found)?;
        // Of a log that it got since nothing is at hand.
        if self.prints.iter().all(|(id, _)| *id != home.info().id) { Err(elsewhere_now()) } else { Ok(home) }
    }

    fn key(&self, id: ProducerKeyId) -> Option<ProducerKey> {
        self.producer_keys.iter().map(ProducerKeyText::key).find(|key| key.id() == id).cloned()
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
