//! The configuration file `cairnd.toml`: reading, checking, and the commented one that `init` writes.
//!
//! An unknown key is an error that names it. Not here: what belongs to one log (its binding in the database) and who may
//! do what (the token file).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::auth::TokenId;
use crate::limits::{LimitError, Limits};
use crate::log_name::OriginPrefix;
use crate::records::capture::{Options, Path as JsonPath, Version};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "cairnd.toml";

/// Everything that an operator decides for the whole server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and how to listen.
    pub serve: Serve,
    /// What new logs are called.
    pub logs: Logs,
    /// What stands on which disk.
    pub storage: Storage,
    /// Where the keys are, if they are not here.
    pub signer: Signer,
    /// What stands in for DIGIT's audit service.
    pub digit: Digit,
    /// What is logged.
    pub logging: Logging,
    /// The table of bounds.
    pub limits: Limits,
}

/// Where and how to listen.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Address and port.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// A proxy in front ends TLS, so listening off loopback without it is meant.
    pub behind_tls_proxy: bool,
    /// Logs that anyone may append to are served off loopback too.
    pub open_append_off_loopback: bool,
    /// Threads that answer requests; 0: one per core.
    pub threads: usize,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 6962)),
            tls_certificate: None,
            tls_key: None,
            behind_tls_proxy: false,
            open_append_off_loopback: false,
            threads: 0,
        }
    }
}

/// What new logs are called.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// What stands before `/NAME` in a new log's origin.
    pub origin_prefix: OriginPrefix,
}

/// What stands on which disk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// The high-water file; without it, `high-water` in the data directory. Another disk than the database's is better.
    pub high_water: Option<PathBuf>,
}

/// The process that has the logs' keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Signer {
    /// The socket of `cairnd signer serve`; without it, the keys are in files in the data directory.
    pub socket: Option<PathBuf>,
}

/// What stands in for DIGIT's audit service: the messages of its persister, and a listener beside the other.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Digit {
    /// Persister configurations: YAML files, or folders of them. Without any, nothing is captured.
    pub persister: Vec<PathBuf>,
    /// Where a message says who did it.
    pub user_path: String,
    /// The version of a message that names none.
    pub version: String,
    /// Tables whose rows are known by other columns than `id` or `uuid`.
    pub row_keys: BTreeMap<String, Vec<String>>,
    /// A loopback address and port, for DIGIT's routes alone, where a request without a credential has the one below.
    pub listen: Option<SocketAddr>,
    /// The id of the token that such requests act as.
    pub token: Option<TokenId>,
}

impl Default for Digit {
    fn default() -> Self {
        Self {
            persister: Vec::new(),
            user_path: "$.RequestInfo.userInfo.uuid".into(),
            version: "1.0.0".into(),
            row_keys: BTreeMap::new(),
            listen: None,
            token: None,
        }
    }
}

impl Digit {
    /// What is decided beside the files of the persister.
    ///
    /// # Errors
    /// What is wrong, with the key's name.
    pub fn options(&self) -> Result<Options, String> {
        let user = JsonPath::parse(&self.user_path).map_err(|error| format!("digit.user_path: {error}"))?;
        let version = Version::parse(&self.version).ok_or_else(|| {
            format!("digit.version is {:?}; it must be three numbers, such as \"1.0.0\"", self.version)
        })?;
        // Names in SQL are the same in any case.
        let keys = self.row_keys.iter().map(|(table, columns)| (table.to_lowercase(), columns.clone()));
        if let Some((table, _)) = self.row_keys.iter().find(|(_, columns)| columns.is_empty()) {
            return Err(format!("digit.row_keys.{table} names no column"));
        }
        Ok(Options { user, version, row_keys: keys.collect() })
    }

    fn check(&self) -> Result<(), String> {
        self.options()?;
        match (self.listen, self.token) {
            (None, None) => Ok(()),
            (Some(listen), Some(_)) if listen.ip().is_loopback() => Ok(()),
            (Some(listen), Some(_)) => Err(format!(
                "digit.listen is {listen}, which is no loopback address; whoever reaches it would need no credential"
            )),
            _ => Err("digit.listen and digit.token go together; set both or neither".into()),
        }
    }
}

/// What is logged, on standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// As text or as JSON lines.
    pub format: LogFormat,
    /// A tracing filter, such as `info` or `cairnd=debug`.
    pub filter: String,
    /// Which requests get a line.
    pub access: AccessLog,
    /// Of the requests that got a good answer, log one in so many (with `access = "all"`).
    pub access_sample: u32,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into(), access: AccessLog::Errors, access_sample: 1 }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Which requests get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that ended with a 5xx.
    Errors,
    /// Every one, or a sample of the good ones.
    All,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("can't read the configuration {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML of this shape.
    #[error("{path}, line {line}: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there, with the key's name.
        message: String,
    },
    /// A bound outside its range.
    #[error("{path}: {source}", path = path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Which one, and the range.
        source: LimitError,
    },
    /// What is said about DIGIT does not fit together.
    #[error("{path}: {problem}", path = path.display())]
    Digit {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the key's name.
        problem: String,
    },
    /// Half of a TLS configuration.
    #[error("{path}: serve.tls_certificate and serve.tls_key go together; set both or neither", path = path.display())]
    HalfTls {
        /// The file.
        path: PathBuf,
    },
}

impl Config {
    /// Reads and checks `path`; relative paths in it are meant from its own folder.
    ///
    /// # Errors
    /// [`ConfigError`], always naming the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let message = error.message().replace('\n', " ");
            ConfigError::Syntax { path: path.to_owned(), line, message }
        })?;
        config.limits.check().map_err(|source| ConfigError::Limit { path: path.to_owned(), source })?;
        if config.serve.tls_certificate.is_some() != config.serve.tls_key.is_some() {
            return Err(ConfigError::HalfTls { path: path.to_owned() });
        }
        config.digit.check().map_err(|problem| ConfigError::Digit { path: path.to_owned(), problem })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let serve = &mut config.serve;
        let files = [&mut serve.tls_certificate, &mut serve.tls_key];
        for file in files.into_iter().chain([&mut config.storage.high_water, &mut config.signer.socket]) {
            *file = file.take().map(|file| folder.join(file));
        }
        config.digit.persister.iter_mut().for_each(|place| *place = folder.join(&*place));
        Ok(config)
    }
}

/// The file that `init` writes: every key with its default and what it means.
#[must_use]
pub fn commented(origin_prefix: &OriginPrefix, high_water: Option<&Path>) -> String {
    let prefix = toml::Value::from(origin_prefix.as_str());
    let high_water = match high_water.and_then(Path::to_str) {
        Some(path) => format!("high_water = {}", toml::Value::from(path)),
        None => "# high_water = \"high-water\"".into(),
    };
    let limits = Limits::commented();
    format!(
        r##"# Configuration of cairnd. A line that begins with "#" shows a default. An unknown key is an error.
# Relative paths are meant from the folder of this file.

[serve]
# Where to listen. Off loopback, TLS is needed, or behind_tls_proxy.
# listen = "127.0.0.1:6962"
# PEM files with the certificate chain and its private key.
# tls_certificate = "tls/chain.pem"
# tls_key = "tls/key.pem"
# A proxy in front ends TLS, so listening off loopback without it is meant.
# behind_tls_proxy = false
# Serve logs that anyone may append to off loopback too (also needs --open-append-off-loopback).
# open_append_off_loopback = false
# Threads that answer requests; 0: one per core.
# threads = 0

[logs]
# What stands before /NAME in a new log's origin. Logs that exist keep theirs.
origin_prefix = {prefix}

[storage]
# The high-water file. Another disk than the database's protects against the loss of either.
{high_water}

[signer]
# The socket of `cairnd signer serve`, a process that has the logs' keys and never signs two histories. Without it the keys
# are in files here. Bring them in with `cairnd signer import` first.
# socket = "signer.sock"

[digit]
# Configurations of eGov DIGIT's persister, YAML files or folders of them: what its messages become that are sent to
# /audit-service/log/v1/_capture. Without any, nothing is captured.
# persister = []
# Where a message says who did it, and the version of one that names none.
# user_path = "$.RequestInfo.userInfo.uuid"
# version = "1.0.0"
# Tables whose rows are known by other columns than id or uuid.
# row_keys = {{ eg_userrole = ["userid", "roleid"] }}
# A loopback address and port for DIGIT's routes alone, where a request without a credential acts as the token of this id.
# listen = "127.0.0.1:8280"
# token = "0123456789ab"

[logging]
# "text" or "json", on standard error.
# format = "text"
# A filter such as "info" or "cairnd=debug". The environment variable CAIRND_LOG goes before it. Of what passes it, the
# warnings and errors of one place in the program are a thousand in a row, then one in a second; the others are counted.
# filter = "info"
# Which requests get a line: "off", "errors" (5xx) or "all".
# access = "errors"
# With "all", log one in so many of the requests that got a good answer.
# access_sample = 1

[limits]
{limits}"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/data/cairnd.toml"))
    }

    #[test]
    fn the_commented_file_is_the_defaults_and_all_its_lines_are_keys() {
        let text = commented(&OriginPrefix::new("log.example/logs").unwrap(), None);
        let config = parse(&text).unwrap();
        assert_eq!(config.logs.origin_prefix.as_str(), "log.example/logs");
        assert_eq!(config.limits, Limits::default());
        let bare: String = text
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|line| line.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let spelled_out = parse(&bare).unwrap();
        assert_eq!(spelled_out.serve.listen, Serve::default().listen);
        assert_eq!(spelled_out.serve.tls_key, Some(PathBuf::from("/data/tls/key.pem")));
        assert_eq!(spelled_out.logging.access, AccessLog::Errors);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let error = parse("[serve]\nlisten = \"127.0.0.1:1\"\nlissten = 1\n").unwrap_err().to_string();
        assert!(error.starts_with("/data/cairnd.toml, line 3: unknown field `lissten`"), "{error}");
        let error = parse("[limits]\nentry_bytes = 0\n").unwrap_err().to_string();
        assert_eq!(error, "/data/cairnd.toml: limits.entry_bytes is 0; it must be between 1 and 65535");
        assert!(matches!(parse("[serve]\ntls_key = \"k\"\n"), Err(ConfigError::HalfTls { .. })));
        assert!(matches!(parse("[serve"), Err(ConfigError::Syntax { line: 1, .. })));
    }

    #[test]
    fn what_needs_no_credential_is_on_loopback_alone() {
        let listen = |address: &str| parse(&format!("[digit]\nlisten = \"{address}\"\ntoken = \"0123456789ab\"\n"));
        assert!(listen("127.0.0.1:8280").is_ok() && listen("[::1]:8280").is_ok());
        for address in ["0.0.0.0:8280", "[::]:8280", "10.0.0.1:8280", "[::ffff:127.0.0.1]:8280"] {
            let error = listen(address).unwrap_err().to_string();
            assert!(error.contains("which is no loopback address"), "{error}");
        }
        for (text, told) in [
            ("listen = \"127.0.0.1:1\"", "digit.listen and digit.token go together; set both or neither"),
            ("token = \"0123456789ab\"", "digit.listen and digit.token go together; set both or neither"),
            ("version = \"1\"", "digit.version is \"1\"; it must be three numbers, such as \"1.0.0\""),
            ("row_keys = { t = [] }", "digit.row_keys.t names no column"),
        ] {
            let error = parse(&format!("[digit]\n{text}\n")).unwrap_err().to_string();
            assert_eq!(error, format!("/data/cairnd.toml: {told}"));
        }
        assert!(parse("[digit]\nuser_path = \"$..x\"\n").unwrap_err().to_string().contains("digit.user_path"));
        let config = parse("[digit]\npersister = [\"tl.yml\", \"/etc/persister\"]\n").unwrap();
        assert_eq!(config.digit.persister, [PathBuf::from("/data/tl.yml"), PathBuf::from("/etc/persister")]);
    }
}
