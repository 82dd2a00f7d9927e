//! What an operator decides for tenants and for modules of them.

use std::collections::BTreeSet;

use cairn_tree::record::reserved::OWN_MODULE;
use cairn_tree::record::text::Name;

use super::operator::Operator;
use super::{ModuleLine, Reply, TenantLine};
use crate::records::{ModuleSettings, ReadAudit, SettingsChange, TenantSettings};

impl Operator {
    pub(super) async fn set_tenant(&self, name: String, reads: ReadAudit) -> Result<Reply, String> {
        let tenant = tenant_name(name)?;
        let line = self.tenant_line(tenant.as_str().to_owned())?;
        let _one_at_a_time = self.settings.turn().await;
        self.decide(&SettingsChange::Tenant { tenant, to: TenantSettings { reads } })?;
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
        self.decide(&SettingsChange::Module { tenant, module, to })?;
        Ok(Reply::Modules(vec![line]))
    }

    fn decide(&self, change: &SettingsChange) -> Result<(), String> {
        let changes = self.settings.would_change(change).map_err(|error| error.to_string())?;
        if changes { self.settings.change(change).map_err(|error| error.to_string()) } else { Ok(()) }
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
        Ok(TenantLine { log, own: own.is_some(), reads, tenant })
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
