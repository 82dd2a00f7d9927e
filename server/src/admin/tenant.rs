//! What an operator asks about tenants: a log and tokens of their own.
//!
//! Once a tenant has a log of its own, nothing that producers bring of it lands in the default log: requests that have looked
//! for their log are waited for, then those that nobody waits for any more, by a record of the server's own that comes
//! after them in the log's queue.

use cairn_tree::record::class::Class;
use cairn_tree::record::json::Json;
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::text::Name;
use cairn_tree::size::{LeafIndex, TreeSize};

use super::link::{Linker, holds_streams};
use super::operator::{NewLog, Operator, line};
use super::settings::tenant_name;
use super::{LogLine, NewTenant, Reply};
use crate::auth::{AUDITOR_RIGHTS, PRODUCER_RIGHTS, TokenTerms};
use crate::engine::{AppendError, Log};
use crate::records::{Home, Move, OwnRecord, own_object, own_values};

/// A tenant that is to get a log of its own.
#[derive(Debug, Clone)]
pub(super) struct Creation {
    pub(super) tenant: String,
    pub(super) log: Option<String>,
    pub(super) private: bool,
    /// Whether streams that it has go on in the new log.
    pub(super) continues: bool,
}

impl Operator {
    /// Gives a tenant a log of its own, and tokens for it.
    pub(super) async fn create_tenant(&self, creation: Creation) -> Result<Reply, String> {
        let Creation { tenant, log, private, continues } = creation;
        let tenant = tenant_name(tenant)?.as_str().to_owned();
        if tenant.contains([',', '*']) {
            return Err("a tenant with a comma or an asterisk in its name can't be named by a token".to_owned());
        }
        let _one_at_a_time = self.homes.turn().await;
        if let Some(log) = self.homes.own(&tenant) {
            return Err(format!("the tenant {tenant:?} has a log already: {log}"));
        }
        let (log, linked) = match self.homes.moving(&tenant) {
            Some(way) if !continues || log.as_ref().is_some_and(|log| *log != way.to) => {
                let Move { from, to } = way;
                return Err(format!(
                    "the streams of {tenant:?} are on their way from the log {from} to {to}; finish that with --continue"
                ));
            }
            Some(way) => self.finish(&tenant, &way).await?,
            None => self.begin(&tenant, (log, private), continues).await?,
        };
        let token = |rights: &str| {
            let rights = rights.parse().map_err(|error: crate::auth::RightsError| error.to_string())?;
            let selector = |error: crate::auth::SelectorError| error.to_string();
            let (logs, tenants) = (log.name.parse().map_err(selector)?, tenant.parse().map_err(selector)?);
            self.tokens.create(TokenTerms { name: tenant.clone(), rights, logs, tenants, producer_keys: Vec::new() })
        };
        let (producer_token, auditor_token) = (token(PRODUCER_RIGHTS)?.token, token(AUDITOR_RIGHTS)?.token);
        Ok(Reply::TenantCreated(NewTenant { tenant, log, linked, producer_token, auditor_token }))
    }

    /// Lets a tenant go to a log of its own, at once if it has no streams yet; how many were linked.
    async fn begin(
        &self,
        tenant: &str,
        (log, private): (Option<String>, bool),
        continues: bool,
    ) -> Result<(LogLine, u64), String> {
        let default = self.homes.of(&self.engine, tenant).ok_or("the database has no log; see: cairnd log create")?;
        let from = default.info().name.to_string();
        let refusal = || {
            format!(
                "the log {from} holds records of {tenant:?}; say --continue to let its streams go on in a log of its own"
            )
        };
        let before = default.head().size;
        let held = holds_streams(&default, tenant, LeafIndex::ZERO).await?;
        if held && !continues {
            return Err(refusal());
        }
        let log = self.empty_log(log.unwrap_or_else(|| tenant.to_owned()), private).await?;
        let nobody_on_his_way = self.homes.close().await;
        self.come_after_all(&default, tenant, &log.name).await?;
        // What came while nobody looked.
        let since = LeafIndex::new(before.get()).map_err(|error| error.to_string())?;
        let held = held || holds_streams(&default, tenant, since).await?;
        if held && !continues {
            return Err(refusal());
        }
        let way = Move { from: from.clone(), to: log.name.clone() };
        let home = if held { Home::Moving(way.clone()) } else { Home::Own(log.name.clone()) };
        self.homes.set(tenant.to_owned(), home).map_err(|error| error.to_string())?;
        drop(nobody_on_his_way);
        if held { self.finish(tenant, &way).await } else { Ok((log, 0)) }
    }

    /// Links the streams of a tenant that is on its way, those that are not yet, and lets it be at home in its own log.
    async fn finish(&self, tenant: &str, way: &Move) -> Result<(LogLine, u64), String> {
        let (from, to) = (self.log(&way.from)?, self.log(&way.to)?);
        let linked = Linker { own: &self.own, from: &from, to: &to, tenant }.link().await?;
        self.homes.set(tenant.to_owned(), Home::Own(way.to.clone())).map_err(|error| error.to_string())?;
        Ok((line(&to), linked))
    }

    /// Puts on record that a tenant gets a log of its own, behind all that is in the default log's queue.
    async fn come_after_all(&self, default: &Log, tenant: &str, log: &str) -> Result<(), String> {
        let own = Name::new(OWN_MODULE).map_err(|error| error.to_string())?;
        let object = own_object(own, "tenant", tenant.to_owned(), "cairn.tenant-created");
        let object = object.map_err(|error| error.to_string())?;
        let values = own_values(Class::Internal, [("log", Json::string(log))]).map_err(|error| error.to_string())?;
        match self.own.write(default, OwnRecord::about(object, Some(values))).await {
            Ok(_) => Ok(()),
            // Then nothing else lands there either.
            Err(error) if matches!(error.append(), Some(refused) if takes_nothing(refused)) => Ok(()),
            Err(error) => Err(format!("it can't be put on record, and was not done: {error}")),
        }
    }

    /// A new log; or one of this name that is there and empty, such as a command that was cut short left it.
    async fn empty_log(&self, name: String, private: bool) -> Result<LogLine, String> {
        match self.engine.log(&name) {
            Some(log) if log.head().size == TreeSize::ZERO && !log.info().open_append => Ok(line(&log)),
            Some(_) => Err(format!("there is a log {name:?} already; choose another with --log")),
            None => {
                let new = NewLog { name, open_append: false, private, dedup: false, ml_dsa: false };
                self.create_log(new).await.map_err(|error| format!("{error}; choose another with --log"))
            }
        }
    }
}

/// Whether a log that refuses so takes nothing from anybody.
const fn takes_nothing(error: &AppendError) -> bool {
    matches!(error, AppendError::Held | AppendError::LacksPolicy | AppendError::Halted(_) | AppendError::Sealed(_))
}
