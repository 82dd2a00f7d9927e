//! What an operator asks about tenants: a log and tokens of their own.

use cairn_tree::size::TreeSize;

use super::operator::{NewLog, Operator, line};
use super::settings::tenant_name;
use super::{LogLine, NewTenant, Reply};
use crate::auth::{AUDITOR_RIGHTS, PRODUCER_RIGHTS, TokenTerms};
use crate::engine::Log;
use crate::engine::postings::{Facet, Print};

impl Operator {
    /// Gives a tenant a log of its own, and tokens for it.
    pub(super) async fn create_tenant(
        &self,
        tenant: String,
        log: Option<String>,
        private: bool,
    ) -> Result<Reply, String> {
        let tenant = tenant_name(tenant)?.as_str().to_owned();
        if tenant.contains([',', '*']) {
            return Err("a tenant with a comma or an asterisk in its name can't be named by a token".to_owned());
        }
        if let Some(log) = self.homes.own(&tenant) {
            return Err(format!("the tenant {tenant:?} has a log already: {log}"));
        }
        if let Some(default) = self.homes.of(&self.engine, &tenant)
            && holds(default.clone(), tenant.clone()).await?
        {
            let default = &default.info().name;
            return Err(format!(
                "the log {default} holds records of {tenant:?}; a tenant gets its own log before its first record"
            ));
        }
        let name = log.unwrap_or_else(|| tenant.clone());
        let log = self.empty_log(name, private).await?;
        self.homes.add(tenant.clone(), log.name.clone()).map_err(|error| error.to_string())?;
        let token = |rights: &str| {
            let rights = rights.parse().map_err(|error: crate::auth::RightsError| error.to_string())?;
            let selector = |error: crate::auth::SelectorError| error.to_string();
            let (logs, tenants) = (log.name.parse().map_err(selector)?, tenant.parse().map_err(selector)?);
            self.tokens.create(TokenTerms { name: tenant.clone(), rights, logs, tenants, producer_keys: Vec::new() })
        };
        let (producer_token, auditor_token) = (token(PRODUCER_RIGHTS)?.token, token(AUDITOR_RIGHTS)?.token);
        Ok(Reply::TenantCreated(NewTenant { tenant, log, producer_token, auditor_token }))
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

/// Whether a log has records of a tenant.
async fn holds(log: Log, tenant: String) -> Result<bool, String> {
    let look = move || {
        let Some(secret) = log.print_secret()? else { return Ok(false) };
        let print = Print::new(&secret, Facet::Tenant, &[&tenant]);
        let found = log.find_records(&[print], log.head().size, 1, u64::MAX)?;
        Ok::<_, crate::engine::postings::PostingsError>(!found.hits.is_empty())
    };
    let looked = tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())?;
    looked.map_err(|error| error.to_string())
}
