//! What an operator decides for tenants and for modules of them.

use std::collections::BTreeSet;

use cairn_tree::record::class::Class;
use cairn_tree::record::json::Json;
use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::text::Name;

use super::operator::Operator;
use super::{ModuleLine, Reply, TenantLine};
use crate::records::{
    ModuleSettings, OF_MODULE, OF_TENANT, OwnRecord, ReadAudit, SET, SettingsChange, TenantSettings, own_object,
    own_values,
};

impl Operator {
    pub(super) async fn set_tenant(&self, name: String, reads: ReadAudit) -> Result<Reply, String> {
        let tenant = tenant_name(name)?;
        let line = self.tenant_line(tenant.as_str().to_owned())?;
        let _one_at_a_time = self.settings.turn().await;
        self.decide(&SettingsChange::Tenant { tenant, to: TenantSettings { reads } }).await?;
        Ok(Reply::Tenants(vec![TenantLine { reads, ..line }]))
    }

    pub(super) async fn set_module(
        &self,
        (tenant, module): (String, String),
        strict: Option<bool>,
        old_must_match: Option<bool>,
    ) -> Result<Reply, String> {
        let tenant = tenant_name(tenant)?;
        let module = Name::new(module).map_err(|error| format!("the module's name: {error}"))?;
        if module.as_str() == OWN_MODULE {
            return Err(format!("the module {OWN_MODULE} is the log's own; nothing can be decided for it"));
        }
        let _one_at_a_time = self.settings.turn().await;
        let now = self.settings.module(tenant.as_str(), module.as_str());
        let to = ModuleSettings {
            strict: strict.unwrap_or(now.strict),
            old_must_match: old_must_match.unwrap_or(now.old_must_match),
        };
        let line = module_line((tenant.as_str().to_owned(), module.as_str().to_owned(), to));
        self.decide(&SettingsChange::Module { tenant, module, to }).await?;
        Ok(Reply::Modules(vec![line]))
    }

    /// Decides something, unless it is so already. It is put on record first: a change that nobody can see later is
    /// worse than a record of one that failed, which the next start makes.
    async fn decide(&self, change: &SettingsChange) -> Result<(), String> {
        if !self.settings.would_change(change).map_err(|error| error.to_string())? {
            return Ok(());
        }
        let (tenant, record) = self.record_of(change)?;
        let log = self.homes.of(&self.engine, &tenant).ok_or("the database has no log; see: cairnd log create")?;
        let written = self.own.write(&log, record).await;
        written.map_err(|error| format!("the change can't be put on record, and was not made: {error}"))?;
        self.settings.change(change).map_err(|error| error.to_string())
    }

    /// Whose setting changes, and what the log says of it.
    fn record_of(&self, change: &SettingsChange) -> Result<(String, OwnRecord), String> {
        let switch = |on: bool| Json::parse(if on { b"true" } else { b"false" });
        let fault = |error: &dyn core::fmt::Display| error.to_string();
        let (tenant, entity, id, members) = match change {
            SettingsChange::Tenant { tenant, to } => {
                let before = self.settings.tenant(tenant.as_str()).reads;
                let members =
                    vec![("reads", Json::string(to.reads.name())), ("reads_before", Json::string(before.name()))];
                (tenant, OF_TENANT, tenant.as_str(), members)
            }
            SettingsChange::Module { tenant, module, to } => {
                let before = self.settings.module(tenant.as_str(), module.as_str());
                let switches = [
                    ("strict", to.strict),
                    ("strict_before", before.strict),
                    ("old_must_match", to.old_must_match),
                    ("old_must_match_before", before.old_must_match),
                ];
                let members = switches.map(|(name, on)| switch(on).map(|json| (name, json)));
                let members = members.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| fault(&error))?;
                (tenant, OF_MODULE, module.as_str(), members)
            }
        };
        let object = own_object(tenant.clone(), entity, id.to_owned(), SET).map_err(|error| fault(&error))?;
        let values = own_values(Class::Internal, members).map_err(|error| fault(&error))?;
        Ok((tenant.as_str().to_owned(), OwnRecord::about(object, Some(values))))
    }

    pub(super) fn tenants(&self) -> Result<Reply, String> {
        let own = self.homes.list().into_iter().map(|(tenant, _)| tenant);
        let decided = self.settings.tenants().into_iter().map(|(tenant, _)| tenant);
        let all: BTreeSet<String> = own.chain(decided).collect();
        all.into_iter().map(|tenant| self.tenant_line(tenant)).collect::<Result<_, _>>().map(Reply::Tenants)
    }

    fn tenant_line(&self, tenant: String) -> Result<TenantLine, String> {
        let own = self.homes.own(&tenant);
        let shared = || self.homes.of(&self.engine, &tenant).map(|log| log.info().name.to_string());
        let log = own.clone().or_else(shared).ok_or("the database has no log; see: cairnd log create")?;
        let reads = self.settings.tenant(&tenant).reads;
        let moving_to = self.homes.moving(&tenant).map(|way| way.to);
        Ok(TenantLine { log, own: own.is_some(), moving_to, reads, tenant })
    }

    pub(super) fn modules(&self) -> Reply {
        Reply::Modules(self.settings.modules().into_iter().map(module_line).collect())
    }
}

/// A tenant that records can have.
pub(super) fn tenant_name(name: String) -> Result<Name<'static>, String> {
    let tenant = Name::new(name).map_err(|error| format!("the tenant's name: {error}"))?;
    if tenant.as_str() == OWN_MODULE {
        return Err(format!("the tenant {OWN_MODULE} is the log's own"));
    }
    Ok(tenant)
}

fn module_line((tenant, module, settings): (String, String, ModuleSettings)) -> ModuleLine {
    let ModuleSettings { strict, old_must_match } = settings;
    ModuleLine { tenant, module, strict, old_must_match }
}
