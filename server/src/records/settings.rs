//! What the operator has decided for a tenant and for a module of it: `settings.json` in the data directory.
//!
//! Whatever was not decided is as [`TenantSettings`] and [`ModuleSettings`] are by default, and does not stand in the file.
//! Not here: what follows from a setting, and that each change of one is put on record (`crate::admin`).

use core::str::FromStr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arc_swap::ArcSwap;
use cairn_tree::record::text::Name;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use super::decided::Comparisons;
use super::table::{Table, TableError};
use crate::limits::{SETTINGS_MODULES, TENANTS};

/// The file's name.
pub const FILE_NAME: &str = "settings.json";

/// Whether reads of a tenant's records are put on record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadAudit {
    /// They are not.
    #[default]
    Off,
    /// Who asked what kind of question, when, and how much he got.
    Metadata,
    /// Also what he asked for.
    Full,
}

/// A text that is no word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be off, metadata or full")]
pub struct ReadAuditError;

impl ReadAudit {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Metadata => "metadata",
            Self::Full => "full",
        }
    }
}

impl FromStr for ReadAudit {
    type Err = ReadAuditError;

    fn from_str(text: &str) -> Result<Self, ReadAuditError> {
        [Self::Off, Self::Metadata, Self::Full].into_iter().find(|one| one.name() == text).ok_or(ReadAuditError)
    }
}

/// What is decided for a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantSettings {
    /// Whether reads of its records are put on record.
    pub reads: ReadAudit,
}

/// What is decided for a module of a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleSettings {
    /// Whether a `create` of an object that lives is refused, and an `update` or `delete` of one that does not.
    pub strict: bool,
    /// Whether a record is refused whose old values are not those of its object's state.
    pub old_must_match: bool,
}

/// A change of what is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsChange {
    /// For a tenant.
    Tenant {
        /// Which one.
        tenant: Name<'static>,
        /// All that is decided for it from then on.
        to: TenantSettings,
    },
    /// For a module.
    Module {
        /// Whose.
        tenant: Name<'static>,
        /// Which one.
        module: Name<'static>,
        /// All that is decided for it from then on.
        to: ModuleSettings,
    },
}

/// Why settings can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read or written.
    #[error(transparent)]
    Table(TableError),
    /// It is not what this program writes.
    #[error("{0}; remove it: the next start makes it anew of what the logs have on record")]
    Damaged(TableError),
    /// There are as many tenants with settings as are supported.
    #[error("there are already {TENANTS} tenants with settings")]
    TooManyTenants,
    /// There are as many modules with settings as are supported.
    #[error("there are already {SETTINGS_MODULES} modules with settings")]
    TooManyModules,
}

impl From<TableError> for SettingsError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Damaged { .. } => Self::Damaged(error),
            error => Self::Table(error),
        }
    }
}

type Decided = BTreeMap<String, Tenant>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    reads: ReadAudit,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    modules: BTreeMap<String, ModuleSettings>,
}

/// The settings in force.
pub struct Settings {
    table: Table<Decided>,
    decided: ArcSwap<Decided>,
    /// How often it was replaced. It counts after that, so that whoever looks at it first never misses a change.
    changes: AtomicU64,
    /// Whether there was a file at the start.
    was_there: bool,
    comparisons: Comparisons,
    turns: Mutex<()>,
}

impl Settings {
    /// Reads the file of a data directory; without one nothing is decided.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn open(data: &Path) -> Result<Self, SettingsError> {
        let table = Table::of(data, FILE_NAME);
        let was_there = table.is_there();
        let decided = ArcSwap::from_pointee(table.read()?);
        let (changes, comparisons) = (AtomicU64::new(0), Comparisons::default());
        Ok(Self { table, decided, changes, was_there, comparisons, turns: Mutex::new(()) })
    }

    /// Gives a file of an earlier version its digest, once it is known to be what is on record.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn add_sum(&self) -> Result<(), SettingsError> {
        Ok(self.table.add_sum()?)
    }

    /// How often what is decided has changed since the start.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What is decided for a tenant.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> TenantSettings {
        self.decided.load().get(tenant).map(Tenant::settings).unwrap_or_default()
    }

    /// What is decided for a module of a tenant.
    #[must_use]
    pub fn module(&self, tenant: &str, module: &str) -> ModuleSettings {
        let decided = self.decided.load();
        decided.get(tenant).and_then(|tenant| tenant.modules.get(module)).copied().unwrap_or_default()
    }

    /// All tenants for which something is decided.
    #[must_use]
    pub fn tenants(&self) -> Vec<(String, TenantSettings)> {
        let decided = self.decided.load();
        let settings = decided.iter().map(|(name, tenant)| (name.clone(), tenant.settings()));
        settings.filter(|(_, settings)| *settings != TenantSettings::default()).collect()
    }

    /// All modules for which something is decided: tenant, module, and what.
    #[must_use]
    pub fn modules(&self) -> Vec<(String, String, ModuleSettings)> {
        let decided = self.decided.load();
        let of = |(name, tenant): (&String, &Tenant)| {
            let name = name.clone();
            let modules = tenant.modules.clone();
            modules.into_iter().map(move |(module, settings)| (name.clone(), module, settings))
        };
        decided.iter().flat_map(of).collect()
    }

    /// Lets one change after another be made: it is held from looking at what is decided until the change is.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().await
    }

    /// Whether a change would change anything, and there is room for it.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn would_change(&self, change: &SettingsChange) -> Result<bool, SettingsError> {
        let before = self.decided.load();
        Ok(changed(&before, change)? != **before)
    }

    /// Decides it, durably, and from then on. Whoever asks has the [`turn`](Self::turn).
    ///
    /// # Errors
    /// [`SettingsError`]; then nothing has changed.
    pub fn change(&self, change: &SettingsChange) -> Result<(), SettingsError> {
        self.replace(changed(&self.decided.load(), change)?)
    }

    fn replace(&self, decided: Decided) -> Result<(), SettingsError> {
        self.table.replace(&decided)?;
        self.decided.store(decided.into());
        self.changes.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What became of comparing them with what the logs have on record.
    #[must_use]
    pub const fn comparisons(&self) -> &Comparisons {
        &self.comparisons
    }

    /// Whether there was a file when they were read.
    pub(super) const fn was_there(&self) -> bool {
        self.was_there
    }

    /// What is not as it would be if just these changes had been made: tenants, and modules behind their tenants.
    pub(super) fn unlike(&self, changes: &[SettingsChange]) -> Result<Vec<String>, SettingsError> {
        let (now, then) = (self.decided.load(), all_of(changes)?);
        let tenants: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
        let (mut unlike, none) = (Vec::new(), Tenant::default());
        for tenant in tenants {
            let (now, then) = (now.get(tenant).unwrap_or(&none), then.get(tenant).unwrap_or(&none));
            if now.reads != then.reads {
                unlike.push(format!("{tenant:?}"));
            }
            let modules: BTreeSet<&String> = now.modules.keys().chain(then.modules.keys()).collect();
            let differs = |module: &&String| now.modules.get(*module) != then.modules.get(*module);
            unlike.extend(modules.into_iter().filter(differs).map(|module| format!("{tenant:?} {module:?}")));
        }
        Ok(unlike)
    }

    /// Decides just what these changes do, durably.
    pub(super) fn restore(&self, changes: &[SettingsChange]) -> Result<(), SettingsError> {
        self.replace(all_of(changes)?)
    }
}

impl Tenant {
    fn settings(&self) -> TenantSettings {
        TenantSettings { reads: self.reads }
    }
}

fn all_of(changes: &[SettingsChange]) -> Result<Decided, SettingsError> {
    changes.iter().try_fold(Decided::new(), |decided, change| changed(&decided, change))
}

fn changed(before: &Decided, change: &SettingsChange) -> Result<Decided, SettingsError> {
    let mut decided = before.clone();
    match change {
        SettingsChange::Tenant { tenant, to } => {
            decided.entry(tenant.as_str().to_owned()).or_default().reads = to.reads
        }
        SettingsChange::Module { tenant, module, to } => {
            let modules = &mut decided.entry(tenant.as_str().to_owned()).or_default().modules;
            match *to == ModuleSettings::default() {
                true => drop(modules.remove(module.as_str())),
                false => drop(modules.insert(module.as_str().to_owned(), *to)),
            }
        }
    }
    decided.retain(|_, tenant| *tenant != Tenant::default());
    if decided.len() > TENANTS {
        return Err(SettingsError::TooManyTenants);
    }
    if decided.values().map(|tenant| tenant.modules.len()).sum::<usize>() > SETTINGS_MODULES {
        return Err(SettingsError::TooManyModules);
    }
    Ok(decided)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name<'static> {
        Name::new(text.to_owned()).unwrap()
    }

    fn module(module: &str, strict: bool, old_must_match: bool) -> SettingsChange {
        let to = ModuleSettings { strict, old_must_match };
        SettingsChange::Module { tenant: name("pb"), module: name(module), to }
    }

    #[test]
    fn what_is_decided_holds_across_restarts_and_leaves_no_trace_when_it_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::open(folder.path()).unwrap();
        let reads = |to| SettingsChange::Tenant { tenant: name("Größe \"7\""), to: TenantSettings { reads: to } };
        let none = module("tl", false, false);
        assert!(!settings.would_change(&none).unwrap() && settings.would_change(&reads(ReadAudit::Full)).unwrap());
        for change in [module("tl", true, false), module("pt", true, true), reads(ReadAudit::Full)] {
            settings.change(&change).unwrap();
            assert!(!settings.would_change(&change).unwrap());
        }
        for settings in [&settings, &Settings::open(folder.path()).unwrap()] {
            assert_eq!(settings.tenant("Größe \"7\"").reads, ReadAudit::Full);
            assert_eq!(settings.tenant("pb"), TenantSettings::default());
            assert_eq!(settings.module("pb", "tl"), ModuleSettings { strict: true, old_must_match: false });
            assert_eq!(settings.module("pb", "other"), ModuleSettings::default());
            let listed: Vec<String> = settings.modules().into_iter().map(|(_, module, _)| module).collect();
            assert_eq!((listed, settings.tenants().len()), (vec!["pt".to_owned(), "tl".to_owned()], 1));
        }
        for change in [module("tl", false, false), module("pt", false, false), reads(ReadAudit::Off)] {
            settings.change(&change).unwrap();
        }
        let file = std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&file).unwrap()["tenants"], serde_json::json!({}));
    }

    #[test]
    fn a_file_of_another_format_or_with_unknown_members_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            r#"{"format":2,"tenants":{}}"#,
            r#"{"format":1,"tenants":{"pb":{"reads":"off","writes":"off"}}}"#,
            r#"{"format":1,"tenants":{"pb":{"reads":"most"}}}"#,
            r#"{"format":1,"tenants":{"pb":{"reads":"off","modules":{"tl":{"strict":true}}}}}"#,
            "",
        ] {
            std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
            let refused = Settings::open(folder.path());
            assert!(matches!(refused, Err(SettingsError::Damaged(_))), "{text}");
        }
    }

    #[test]
    fn modules_with_settings_are_bounded() {
        let full = (0..SETTINGS_MODULES)
            .map(|number| (number.to_string(), ModuleSettings { strict: true, ..Default::default() }));
        let tenant = Tenant { reads: ReadAudit::Off, modules: full.collect() };
        let before = BTreeMap::from([("pb".to_owned(), tenant)]);
        assert!(matches!(changed(&before, &module("one more", true, true)), Err(SettingsError::TooManyModules)));
        assert!(changed(&before, &module("7", true, true)).is_ok());
    }
}
