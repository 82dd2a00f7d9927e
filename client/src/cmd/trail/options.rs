//! The options of all commands about audit records, and what they open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_tree::checkpoint::{LogKeys, Origin, VerifiedCheckpoint};
use cairn_tree::policy::Trust;
use cairn_tree::record::stream::StreamName;
use cairn_tree::record::text::Name;
use cairn_tree::size::TreeSize;
use cairn_tree::wire::v1::Property;
use clap::{ArgGroup, Args};

use super::super::failure::Failure;
use super::super::options::{RemoteOptions, TrustOptions, Which};
use super::super::reader::ReaderOptions;
use super::super::terminal::{Form, Output};
use super::super::watch::{accuse, beside_state, load_state, save_state};
use super::super::why::WhyOptions;
use super::{Ended, Session, no_head};
use crate::auditor;
use crate::auditor::trail::{Filter, Ground, Met, Reader, Trail};
use crate::bounds;
use crate::fetch::{Freshness, LogName, Records, Remote, can_be_asked, shown};
use crate::files::{Hold, beside};
use crate::monitor::{Case, Depth, Effort, Monitor, Round, RoundError};

/// Whom to ask, whom to trust, and what the reader knows.
#[derive(Debug, Args)]
pub(in crate::cmd) struct TrailOptions {
    #[command(flatten)]
    remote: RemoteOptions,
    #[command(flatten)]
    trust: TrustOptions,
    /// The log that is asked, of those of the server at --url, by its name or its origin: one that the records were in
    /// before the tenant got a log of its own, or before that log was sealed. It is verified by its own key: give that with
    /// --key, beside others.
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    #[command(flatten)]
    reader: ReaderOptions,
    /// What was verified of the log so far, in a file as `cairn watch` keeps it: the log may not have gone back or forked
    /// since. The first run makes it.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    why: WhyOptions,
}

/// Which stream.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["object", "stream"])))]
pub(in crate::cmd) struct StreamOptions {
    /// The tenant. Without it, it is looked for by a record of the object.
    #[arg(long, env = "CAIRN_TENANT", value_name = "TENANT")]
    tenant: Option<String>,
    /// The object's module.
    #[arg(long, value_name = "MODULE", conflicts_with = "stream")]
    module: Option<String>,
    /// What kind of object it is.
    #[arg(long, value_name = "ENTITY", conflicts_with = "stream")]
    entity: Option<String>,
    /// The object's id: the stream is its history.
    #[arg(long, value_name = "OBJECT", requires_all = ["module", "entity"])]
    object: Option<String>,
    /// The name of a named stream, in place of an object.
    #[arg(long, value_name = "NAME", requires = "tenant")]
    stream: Option<String>,
    /// Follow the stream into the logs that it was in before, too: each of its parts is verified by the key of its own log
    /// (give all with --key), and each must end with the record that the next one goes on from. With --state, and with
    /// --scanned, the file for an earlier log stands beside the one that is named, with the log's name behind it.
    #[arg(long)]
    pub(in crate::cmd) earlier: bool,
}

impl TrailOptions {
    /// Verifies the log's head, and that it extends what was verified before.
    pub(in crate::cmd) async fn open(&self, form: Form, output: &mut Output<'_>) -> Result<Session, Failure> {
        let (records, state) = (self.remote.records()?.saying(self.why.said()?), self.state.clone());
        let Some(name) = self.log.as_deref() else {
            let (keys, trust) = self.trust.of_log(Which::At(&self.remote.url()?))?;
            return self.session((self.remote.remote()?, records), (keys, trust), state, form, output).await;
        };
        let (keys, trust) = self.trust.of_log(Which::Named(name))?;
        let records = records.of_log(keys.origin().clone());
        self.session((self.remote.remote_of(name)?, records), (keys, trust), state, form, output).await
    }

    /// The same of another log, which has an earlier part of a stream. What was verified of it is kept beside what was of the
    /// first, under its name.
    pub(in crate::cmd) async fn open_earlier(
        &self,
        log: &Origin,
        form: Form,
        output: &mut Output<'_>,
    ) -> Result<Session, Failure> {
        let (keys, trust) = self.trust.of_log(Which::Origin(log))?;
        let records = self.remote.records()?.saying(self.why.said()?).of_log(log.clone());
        let state = self.state.as_deref().map(|state| beside_of(state, log));
        self.session((self.remote.remote_of(log.as_str())?, records), (keys, trust), state, form, output).await
    }

    async fn session(
        &self,
        (remote, records): (Arc<Remote>, Records),
        (keys, trust): (LogKeys, Trust),
        state: Option<PathBuf>,
        form: Form,
        output: &mut Output<'_>,
    ) -> Result<Session, Failure> {
        let hold = state.as_deref().map(Hold::take).transpose()?;
        let (head, shown) = match &state {
            None => {
                let head = auditor::checkpoint(&remote, &trust, Freshness::PastCaches).await;
                let head = head.map_err(|error| no_head(&error))?;
                let size = head.size();
                (head, size)
            }
            Some(path) => kept_head(path, &remote, (&keys, &trust), form, output).await?,
        };
        let ground = Ground::new(Arc::clone(&remote), trust, head, shown, bounds::PARALLEL_FETCHES);
        let reader = Reader { up_to: self.reader.up_to, producers: self.reader.producers() };
        let trail = Trail::new(Arc::clone(&remote), records, ground, reader);
        Ok(Session { trail, remote, keys, state, _hold: hold })
    }
}

/// The file for an earlier log that belongs to one for the last: beside it, with the log's name.
pub(in crate::cmd) fn beside_of(path: &Path, log: &Origin) -> PathBuf {
    // Whoever asks the log has found that it has a name.
    beside(path, &format!(".{}", LogName::of(log.as_str()).as_ref().map_or("earlier", LogName::as_str)))
}

/// The newest head, which extends the one in the state file, and the size of the log's checkpoint.
async fn kept_head(
    path: &Path,
    remote: &Arc<Remote>,
    (keys, trust): (&LogKeys, &Trust),
    form: Form,
    output: &mut Output<'_>,
) -> Result<(VerifiedCheckpoint, TreeSize), Failure> {
    let (known, mut saved) = load_state(path, keys)?;
    let policy = trust.policy().cloned();
    let mut monitor =
        Monitor::new(Arc::clone(remote), keys.clone(), known, Depth::Heads, bounds::PARALLEL_FETCHES).requiring(policy);
    let effort = Effort { freshness: Freshness::PastCaches, entries: u64::MAX };
    let ended = monitor.round(effort, &mut |_, _| {}).await;
    save_state(path, &monitor, &mut saved)?;
    let mut accused = |case: Case| {
        let (keys, url) = (monitor.keys_ever(), remote.url().to_string());
        let evidence = beside_state(path, case.name());
        accuse(case, (&keys, &url), Some(&evidence), form, output)
    };
    let round = match (ended, monitor.standing_case()) {
        (Err(RoundError::Contradiction(case)), _) => return Err(accused(*case)),
        (_, Some(case)) => return Err(accused(case)),
        (Err(RoundError::Unverified(error)), None) => return Err(no_head(&error)),
        (Ok(Round { uncompared: Some(head), .. }), None) => return Err(Failure::Refused(shown(&head.to_string()))),
        (Ok(round), None) => round,
    };
    if let Some(stale) = round.stale {
        let (kind, size) = (stale.kind, stale.head.size());
        let largest = monitor.shown().largest(kind);
        let words = format!(
            "the log shows an old head: its {} has {size} entries, and had {largest}; cairn watch --state {} tells a cache \
             from a log that was rolled back",
            kind.path(),
            path.display()
        );
        return Err(Failure::Refused(words));
    }
    let none = || Failure::Refused("the log showed no head".to_owned());
    let head = monitor.state().ok_or_else(none)?.head().clone();
    let size = round.checkpoint.map_or(head.size(), |checkpoint| checkpoint.size());
    Ok((head, size))
}

impl StreamOptions {
    /// The stream's name. Where no tenant is given, it is the one of a verified record of the object.
    pub(in crate::cmd) async fn name(&self, trail: &mut Trail) -> Result<StreamName<'static>, Ended> {
        let name = |flag: &str, text: &str| {
            Name::new(text.to_owned()).map_err(|error| Failure::Usage(format!("--{flag} {}: {error}", shown(text))))
        };
        let missing = |flag: &str| Failure::Usage(format!("--{flag} is needed"));
        let tenant = self.tenant.as_deref().filter(|tenant| !tenant.is_empty());
        let stream = match (&self.stream, &self.object) {
            (Some(stream), _) => {
                let tenant = tenant.ok_or_else(|| missing("tenant"))?;
                StreamName::Named { tenant: name("tenant", tenant)?, name: name("stream", stream)? }
            }
            (None, Some(object)) => {
                let module = name("module", self.module.as_deref().ok_or_else(|| missing("module"))?)?;
                let entity = name("entity", self.entity.as_deref().ok_or_else(|| missing("entity"))?)?;
                let object = name("object", object)?;
                let tenant = match tenant {
                    Some(tenant) => name("tenant", tenant)?,
                    None => tenant_of(trail, [&module, &entity, &object]).await?,
                };
                StreamName::Entity { tenant, module, entity, object }
            }
            (None, None) => return Err(missing("object").into()),
        };
        if can_be_asked(&stream) {
            return Ok(stream);
        }
        let words =
            "a stream with . or .. in its name can't be asked for over HTTP; look for its records (cairn search)";
        Err(Failure::Usage(words.to_owned()).into())
    }
}

/// The tenant of an object, as a record of it says.
async fn tenant_of(trail: &mut Trail, [module, entity, object]: [&Name<'_>; 3]) -> Result<Name<'static>, Ended> {
    let mut filter = Filter::default();
    for (property, value) in [(Property::Module, module), (Property::Entity, entity), (Property::Object, object)] {
        let unusable = |error| Failure::Usage(format!("--{}: {error}", property.name()));
        filter = filter.with(property, value.as_str()).map_err(unusable)?;
    }
    let mut tenant = None;
    let mut note = |met: &Met| -> Result<(), Ended> {
        let Met::Record(seen) = met else { return Ok(()) };
        tenant = seen.record().and_then(|record| Some(record.content().object.disclosed()?.tenant.clone()));
        Ok(())
    };
    trail.search(&filter, 1, &mut note).await?;
    tenant.ok_or_else(|| {
        Failure::Refused("no record of this object was found; say whose it is with --tenant".to_owned()).into()
    })
}
