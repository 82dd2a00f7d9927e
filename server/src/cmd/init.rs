//! `cairnd init`: a new database, its first log with its key, two tokens, and a commented configuration.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use cairn_tree::store::DatabaseId;
use cairnd::admin::{LogLine, NewLog, TokenOffice};
use cairnd::auth::{AUDITOR_RIGHTS, PRODUCER_RIGHTS, Tenants, TokenFile, TokenTerms};
use cairnd::config::{self, Config};
use cairnd::engine::{Engine, EngineOptions, SystemClock};
use cairnd::log_name::OriginPrefix;
use cairnd::records::{SECRET_FILE_NAME, SETTINGS_FILE_NAME, TENANTS_FILE_NAME};
use serde::Serialize;

use super::folder::{block_on, engine_options, operator};
use super::{print, print_json};

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// The folder to make or fill.
    #[arg(long, value_name = "DIR", env = "CAIRND_DATA")]
    data: PathBuf,
    /// What stands before /NAME in the origin of logs: the host that serves them, and /logs.
    #[arg(long, value_name = "HOST/logs", default_value_t = OriginPrefix::default().to_string())]
    origin_prefix: String,
    /// The first log's name.
    #[arg(long, value_name = "NAME", default_value = "main")]
    log: String,
    /// The high-water file; on another disk than the database it protects against the loss of either.
    #[arg(long, value_name = "FILE")]
    high_water: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Made {
    logs: Vec<MadeLog>,
    producer_token: String,
    auditor_token: String,
}

#[derive(Serialize)]
struct MadeLog {
    name: String,
    origin: String,
    vkey: String,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config()?;
        let options = engine_options(&self.data, &config);
        refuse_filled(&self.data, &options)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.data).with_context(|| can_not_make(&self.data))?;
        let mut undo = Undo::new(&self.data, &options);
        let made = self.fill(&options, &config)?;
        undo.keep();
        self.tell(&made)?;
        Ok(ExitCode::SUCCESS)
    }

    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::default();
        config.logs.origin_prefix = OriginPrefix::new(&self.origin_prefix)?;
        config.storage.high_water = match &self.high_water {
            Some(path) => Some(std::path::absolute(path)?),
            None => None,
        };
        Ok(config)
    }

    fn fill(&self, options: &EngineOptions, config: &Config) -> anyhow::Result<Made> {
        let mut id = [0; DatabaseId::LEN];
        getrandom::fill(&mut id).map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
        Engine::create(options, DatabaseId::new(id))?;
        let file = TokenFile::of(&self.data);
        file.store(&[])?;
        let tokens = TokenOffice::new(file, None, Arc::new(SystemClock));
        let name = self.log.clone();
        let new = NewLog { name, open_append: false, private: false, dedup: false, ml_dsa: false };
        let operator = operator(&self.data, config, tokens)?;
        let log = block_on(operator.create_log(new))?.map_err(anyhow::Error::msg)?;
        operator.engine.close();
        let token = |name: &str, rights: &str| {
            let (rights, logs) = (rights.parse()?, "*".parse()?);
            let (name, tenants, producer_keys) = (name.to_owned(), Tenants::all(), Vec::new());
            let terms = TokenTerms { name, rights, logs, tenants, producer_keys };
            operator.tokens.create(terms).map_err(anyhow::Error::msg)
        };
        let (producer, auditor) = (token("producer", PRODUCER_RIGHTS)?, token("auditor", AUDITOR_RIGHTS)?);
        // Last, because a folder with a configuration counts as a finished one.
        let text = config::commented(&config.logs.origin_prefix, config.storage.high_water.as_deref());
        write_new(&self.data.join(config::FILE_NAME), &text)?;
        let LogLine { name, origin, vkey, .. } = log;
        let logs = vec![MadeLog { name, origin, vkey }];
        Ok(Made { logs, producer_token: producer.token, auditor_token: auditor.token })
    }

    fn tell(&self, made: &Made) -> anyhow::Result<()> {
        if self.json {
            return print_json(made);
        }
        let data = self.data.display();
        for log in &made.logs {
            print(&format!("origin          {}\nvkey            {}", log.origin, log.vkey))?;
        }
        print(&format!("producer token  {}", made.producer_token))?;
        print(&format!("auditor token   {}", made.auditor_token))?;
        print(&format!("\nThe tokens are not shown again. Serve with: cairnd serve --data {data}"))
    }
}

fn refuse_filled(data: &Path, options: &EngineOptions) -> anyhow::Result<()> {
    let files = [
        options.database_path(),
        data.join(config::FILE_NAME),
        options.high_water_path(),
        data.join("keys"),
        data.join("tokens.json"),
        data.join(SECRET_FILE_NAME),
        data.join(TENANTS_FILE_NAME),
        data.join(SETTINGS_FILE_NAME),
    ];
    match files.iter().find(|file| file.symlink_metadata().is_ok()) {
        Some(file) => {
            bail!("{} is there already; a database is never made over another: choose another folder", file.display())
        }
        None => Ok(()),
    }
}

fn can_not_make(folder: &Path) -> String {
    format!("{} can't be made", folder.display())
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| can_not_make(path))
}

/// Removes what a failed `init` wrote. All of it was absent before.
struct Undo<'a> {
    data: &'a Path,
    options: &'a EngineOptions,
    keep: bool,
}

impl<'a> Undo<'a> {
    fn new(data: &'a Path, options: &'a EngineOptions) -> Self {
        Self { data, options, keep: false }
    }

    fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // What was not made can't be removed, and that is as it should be.
        for folder in [self.options.database_path(), self.data.join("keys")] {
            let _ = fs::remove_dir_all(folder);
        }
        let inside = ["tokens.json", SECRET_FILE_NAME, config::FILE_NAME].map(|name| self.data.join(name));
        for file in inside.into_iter().chain([self.options.high_water_path()]) {
            let _ = fs::remove_file(file);
        }
        // Only if it is empty.
        let _ = fs::remove_dir(self.data);
    }
}
