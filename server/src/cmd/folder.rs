//! A data directory as the commands see it: its configuration, its engine, and the server that may have it open.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use cairnd::admin::{Operator, Reply, Request, Session, TokenOffice};
use cairnd::auth::{TokenFile, TokenFileError};
use cairnd::backup::refuse_unfinished;
use cairnd::config::{self, Config};
use cairnd::engine::{Engine, EngineOptions, PoolBounds, SystemClock, Unobserved};
use cairnd::records::{Comparison, Homes, Own, SecretFile, Settings, SystemRandom, TENANTS_FILE_NAME};

use super::Data;

/// A data directory with its configuration.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) config: Config,
}

impl Folder {
    pub(super) fn open(data: &Data) -> anyhow::Result<Self> {
        let path = &data.folder;
        if !path.is_dir() {
            bail!("{} is no folder; make a database with: cairnd init --data {0}", path.display());
        }
        refuse_unfinished(path)?;
        let file = data.config.clone().unwrap_or_else(|| path.join(config::FILE_NAME));
        if data.config.is_none() && !file.exists() {
            bail!("{} holds no database; make one with: cairnd init --data {0}", path.display());
        }
        let config = Config::load(&file)?;
        check_small_files(path)?;
        Ok(Self { path: path.clone(), config })
    }

    pub(super) fn engine_options(&self) -> EngineOptions {
        engine_options(&self.path, &self.config)
    }

    /// Whether a server has the database open.
    pub(super) fn is_served(&self) -> anyhow::Result<bool> {
        Ok(Session::open(&self.path)?.is_some())
    }

    /// Does what an operator asks: in the server that has the database open, else here.
    pub(super) fn ask(&self, request: Request) -> anyhow::Result<Reply> {
        if let Some(session) = Session::open(&self.path)? {
            return Ok(session.ask(&request, |_| {})?);
        }
        let tokens = TokenOffice::new(TokenFile::of(&self.path), None, Arc::new(SystemClock));
        if matches!(request, Request::TokenCreate(_) | Request::TokenList | Request::TokenRevoke { .. }) {
            return Ok(tokens.run(request));
        }
        let is_about_settings = is_about_settings(&request);
        let operator = operator(&self.path, &self.config, tokens)?;
        if is_about_settings {
            let (settings, homes) = (Arc::clone(&operator.settings), Arc::clone(&operator.homes));
            let engine = operator.engine.clone();
            Comparison { settings, engine, homes, clock: Arc::new(SystemClock) }.at_start()?;
        }
        let reply = block_on(operator.run(request, |_| {}))?;
        operator.engine.close();
        Ok(reply)
    }
}

/// Each command reads these, whether it needs them or not: whoever asks for anything learns that one of them was changed,
/// and no backup takes that along. Those that are gone are missed where they are needed.
fn check_small_files(data: &Path) -> anyhow::Result<()> {
    match TokenFile::of(data).load() {
        Err(TokenFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        loaded => drop(loaded?),
    }
    Homes::check(data)?;
    Settings::open(data)?;
    SecretFile::check(data)?;
    Ok(())
}

/// Opens a database that no server has open, to do what an operator asks.
pub(super) fn operator(data: &Path, config: &Config, tokens: TokenOffice) -> anyhow::Result<Operator> {
    let engine = Engine::open(&engine_options(data, config), Arc::new(SystemClock), Arc::new(Unobserved))?;
    Ok(Operator {
        homes: homes(data, &engine)?,
        own: own(data, &engine)?,
        engine,
        tokens,
        settings: Arc::new(Settings::open(data)?),
        origin_prefix: config.logs.origin_prefix.clone(),
        // Whoever serves it decides that anew.
        open_append_allowed: true,
        captures: Arc::default(),
    })
}

/// Which log has whose records.
pub(super) fn homes(data: &Path, engine: &Engine) -> anyhow::Result<Arc<Homes>> {
    let homes = Homes::open(data)?;
    if let Some(log) = homes.stray(engine)? {
        anyhow::bail!(
            "log {} has records, and {} does not say whose they are; put that file back, from a backup for one",
            log.info().name,
            data.join(TENANTS_FILE_NAME).display()
        );
    }
    if let Some(misplaced) = homes.misplaced(engine) {
        anyhow::bail!("{misplaced}; put {} back, from a backup for one", data.join(TENANTS_FILE_NAME).display());
    }
    homes.add_sum()?;
    Ok(Arc::new(homes))
}

/// Whether it looks at what is decided, which must then be what is on record.
const fn is_about_settings(request: &Request) -> bool {
    matches!(request, Request::TenantList | Request::TenantSet { .. } | Request::ModuleList | Request::ModuleSet { .. })
}

/// What writes about the database itself.
pub(super) fn own(data: &Path, engine: &Engine) -> anyhow::Result<Arc<Own>> {
    let secret = Arc::new(SecretFile::open(data, engine, &SystemRandom)?);
    Ok(Arc::new(Own::new(secret, Arc::new(SystemRandom), Arc::new(SystemClock))))
}

pub(super) fn engine_options(data: &Path, config: &Config) -> EngineOptions {
    let limits = &config.limits;
    EngineOptions {
        data: data.to_owned(),
        high_water: config.storage.high_water.clone(),
        pool: PoolBounds { requests: limits.queue_requests(), bytes: limits.queue_bytes() },
        idempotency_ms: u64::try_from(limits.idempotency_time().as_millis()).unwrap_or(u64::MAX),
        disk_reserve: limits.disk_reserve_bytes(),
        signer: config.signer.socket.clone(),
        settings: cairn_rocks::Settings::default(),
    }
}

/// Runs something asynchronous to its end, in a command that is not a server.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("the runtime can't be started")?.block_on(work))
}

/// The error of a reply that fits no question; only a server of another version gives one.
pub(super) fn unexpected(reply: &Reply) -> anyhow::Error {
    match reply {
        Reply::Failed(reason) => anyhow::anyhow!("{reason}"),
        _ => anyhow::anyhow!("the server answers something else; is it of another version?"),
    }
}
