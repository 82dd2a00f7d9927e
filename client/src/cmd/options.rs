//! The options that several commands share.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_tree::checkpoint::{LogKeys, LogKeysError, Origin};
use cairn_tree::note::VerifierKey;
use cairn_tree::policy::{Policy, Trust};
use cairn_tree::record::time::Time;
use clap::Args;
use jiff::Timestamp;

use super::duration::Span;
use super::failure::Failure;
use crate::bounds;
use crate::fetch::{IdempotencyKey, LogName, LogUrl, Records, Remote, Settings, Token, shown};
use crate::files::read_bounded;

/// Where the log is, and how it is asked.
#[derive(Debug, Args)]
pub(super) struct RemoteOptions {
    /// The log's address, such as http://127.0.0.1:6962/logs/main.
    #[arg(long, env = "CAIRN_URL", value_name = "URL")]
    pub(super) url: String,
    /// The token for the log. Other users of this machine can read it in the process list: prefer the environment or
    /// --token-file.
    #[arg(long, env = "CAIRN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// A file that holds the token, and nothing else but white space.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// How long one request may take.
    #[arg(long, value_name = "TIME", default_value_t = Span(bounds::REQUEST_TIMEOUT))]
    pub(super) timeout: Span,
}

/// The log's keys, where nothing else will do.
#[derive(Debug, Args)]
pub(super) struct KeyOption {
    /// The log's verification key (a vkey), or a file that holds it. While a log changes its keys it has several: give
    /// this several times, or several keys with white space between them. Where those of several logs are given, the ones
    /// of the log in question count.
    #[arg(long, env = "CAIRN_KEY", value_name = "VKEY", required = true)]
    pub(super) key: Vec<String>,
}

/// Which log it is, where the address and the keys leave that open.
#[derive(Debug, Args)]
pub(super) struct OriginOption {
    /// The log's origin, which is the name of its keys. It is needed only where keys of several logs are given and the log's
    /// address does not end in the name of one of them alone.
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub(super) origin: Option<Origin>,
}

/// One log, its keys, and how much is asked of it at a time.
#[derive(Debug, Args)]
pub(super) struct LogOptions {
    #[command(flatten)]
    pub(super) remote: RemoteOptions,
    #[command(flatten)]
    key: KeyOption,
    #[command(flatten)]
    origin: OriginOption,
    #[command(flatten)]
    parallel: ParallelOption,
}

/// A log that is ready to be asked.
pub(super) struct Asked {
    pub(super) remote: Arc<Remote>,
    /// The keys that are trusted for it.
    pub(super) trusted: LogKeys,
    pub(super) parallel: usize,
}

/// Which of the logs that keys are given for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'w> {
    /// By the name that it has on its server, or by its origin.
    Named(&'w str),
    /// By its origin, as others say it.
    Origin(&'w Origin),
    /// The one of this address, where there are several.
    At(&'w LogUrl),
}

/// Whom to trust.
#[derive(Debug, Args)]
pub(super) struct TrustOptions {
    /// The log's verification key (a vkey), or a file that holds it. While a log changes its keys it has several: give
    /// this several times, or several keys with white space between them. Where those of several logs are given, the ones
    /// of the log in question count.
    #[arg(long, env = "CAIRN_KEY", value_name = "VKEY")]
    pub(super) key: Vec<String>,
    /// A trust policy (C2SP tlog-policy): logs, witnesses and a quorum. With --key, the log is that one, whatever logs
    /// the policy names.
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,
}

/// How much is fetched at a time.
#[derive(Debug, Args)]
pub(super) struct ParallelOption {
    /// How many requests are under way at the same time.
    #[arg(long, value_name = "N", default_value_t = bounds::PARALLEL_FETCHES, value_parser = parallel)]
    pub(super) parallel: usize,
}

fn parallel(text: &str) -> Result<usize, String> {
    let most = bounds::MOST_PARALLEL_FETCHES;
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| format!("must be 1 to {most}"))
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::new(text).map_err(|error| error.to_string())
}

impl OriginOption {
    /// The log of an address, or the one that was named.
    pub(super) fn which<'w>(&'w self, url: &'w LogUrl) -> Which<'w> {
        self.origin.as_ref().map_or(Which::At(url), Which::Origin)
    }
}

impl RemoteOptions {
    /// The log's address.
    pub(super) fn url(&self) -> Result<LogUrl, Failure> {
        LogUrl::parse(&self.url).map_err(|error| Failure::Usage(format!("--url {}: {error}", self.url)))
    }

    /// The token, if there is one.
    pub(super) fn token(&self) -> Result<Option<Token>, Failure> {
        let (source, text) = match &self.token_file {
            Some(path) => (path.display().to_string(), Some(text_file(path)?)),
            None => ("--token".to_owned(), self.token.clone()),
        };
        // An empty variable in the environment is as good as none.
        let text = text.filter(|text| self.token_file.is_some() || !text.is_empty());
        text.map(|text| Token::new(text.trim()).map_err(|error| Failure::Usage(format!("{source}: {error}"))))
            .transpose()
    }

    /// The log, ready to be asked.
    pub(super) fn remote(&self) -> Result<Arc<Remote>, Failure> {
        self.remote_at(&self.url)
    }

    /// Another log, asked in the same way.
    pub(super) fn remote_at(&self, url: &str) -> Result<Arc<Remote>, Failure> {
        let url = LogUrl::parse(url).map_err(|error| Failure::Usage(format!("--url {url}: {error}")))?;
        Ok(Arc::new(Remote::new(url, self.settings()?)?))
    }

    /// Another log of the same server, asked in the same way, by its name or its origin.
    pub(super) fn remote_of(&self, log: &str) -> Result<Arc<Remote>, Failure> {
        let unnamed = || Failure::Usage(format!("{}: no log of a server is called so", shown(log)));
        let url = self.url()?.of_log(&LogName::of(log).ok_or_else(unnamed)?);
        Ok(Arc::new(Remote::new(url, self.settings()?)?))
    }

    /// The records of the server that has the log.
    pub(super) fn records(&self) -> Result<Records, Failure> {
        Ok(Records::new(&self.url()?, self.settings()?)?)
    }

    /// How the server is asked.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let [a, b, c, d, e, f, g, h, ..] = random()?;
        let seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Ok(Settings { token: self.token()?, timeout: self.timeout.0, seed })
    }
}

impl LogOptions {
    /// The log, its keys, and how much is fetched at a time.
    pub(super) fn asked(&self) -> Result<Asked, Failure> {
        let trusted = self.key.of_log(self.origin.which(&self.remote.url()?))?;
        Ok(Asked { remote: self.remote.remote()?, trusted, parallel: self.parallel.parallel })
    }
}

impl KeyOption {
    fn of_log(&self, which: Which<'_>) -> Result<LogKeys, Failure> {
        let known = parse_all(&self.key)?;
        if known.is_empty() { Err(no_key()) } else { which.among(known) }
    }

    /// Those of the log that a file says it is about; where keys of one log are given, those.
    pub(super) fn of(&self, origin: &str) -> Result<LogKeys, Failure> {
        let known = parse_all(&self.key)?;
        match by_log(known.clone())?.as_slice() {
            [] => Err(no_key()),
            [one] => Ok(one.clone()),
            _ => Which::Named(origin).among(known),
        }
    }

    /// What the keys of one log prove, of the one that is named or of any. A file that no key of the others fits is that log's;
    /// one that several fit is refused.
    pub(super) fn prove<T, E: Into<Failure>>(
        &self,
        named: &OriginOption,
        prove: impl Fn(&LogKeys) -> Result<T, E>,
    ) -> Result<(T, LogKeys), Failure> {
        let (mut proven, mut failed) = (None, None);
        let logs = match &named.origin {
            Some(origin) => vec![self.of_log(Which::Origin(origin))?],
            None => by_log(parse_all(&self.key)?)?,
        };
        for keys in logs {
            match prove(&keys) {
                Ok(_) if proven.is_some() => {
                    let words = "--key: those of several logs fit; say with --origin which one is meant";
                    return Err(Failure::Usage(words.to_owned()));
                }
                Ok(told) => proven = Some((told, keys)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        proven.ok_or_else(|| failed.map_or_else(no_key, Into::into))
    }
}

impl TrustOptions {
    /// Whom to trust; `None` if nothing was said.
    pub(super) fn trust(&self) -> Result<Option<Trust>, Failure> {
        let log = parse_keys(&self.key)?;
        let Some(path) = &self.policy else { return Ok(log.map(Trust::Log)) };
        let policy = read_policy(path)?;
        Ok(Some(match log {
            Some(log) => Trust::Witnessed { log, policy },
            None => Trust::Policy(policy),
        }))
    }

    /// Whom to trust with a log, among those that keys are given for; `None` if nothing was said.
    pub(super) fn among(&self, which: Which<'_>) -> Result<Option<Trust>, Failure> {
        // An address does not choose among the logs of a policy.
        if self.vkeys()?.is_empty() && matches!(which, Which::At(_)) {
            return self.trust();
        }
        self.of_log(which).map(|(_, trust)| Some(trust))
    }

    /// Whom to trust with what says that it is of this log.
    pub(super) fn of_origin(&self, origin: &Origin) -> Result<Trust, Failure> {
        if self.has_keys_of_several()? { Ok(self.of_log(Which::Origin(origin))?.1) } else { self.required() }
    }

    /// Whom to trust, where somebody must be.
    pub(super) fn required(&self) -> Result<Trust, Failure> {
        self.trust()?.ok_or_else(nobody)
    }

    /// Whom to trust with each of the logs that keys are given for; nobody if nothing was said.
    pub(super) fn each(&self) -> Result<Vec<Trust>, Failure> {
        let logs = by_log(self.vkeys()?)?;
        let Some(path) = &self.policy else { return Ok(logs.into_iter().map(Trust::Log).collect()) };
        let policy = read_policy(path)?;
        if logs.is_empty() {
            return Ok(vec![Trust::Policy(policy)]);
        }
        Ok(logs.into_iter().map(|log| Trust::Witnessed { log, policy: policy.clone() }).collect())
    }

    /// Whom to trust with a log, and its keys.
    pub(super) fn one_log(&self, which: Which<'_>) -> Result<(LogKeys, Trust), Failure> {
        let trust = self.among(which)?.ok_or_else(nobody)?;
        match trust.log_keys() {
            Ok(keys) => Ok((keys, trust)),
            Err(error) => {
                Err(Failure::Usage(format!("--policy: {error}: say with --key which log this is, or with --origin")))
            }
        }
    }

    /// Whether `--key` gives keys of more than one log.
    pub(super) fn has_keys_of_several(&self) -> Result<bool, Failure> {
        let known = self.vkeys()?;
        Ok(known.windows(2).any(|pair| matches!(pair, [a, b] if a.name() != b.name())))
    }

    fn vkeys(&self) -> Result<Vec<VerifierKey>, Failure> {
        parse_all(&self.key)
    }

    /// Whom to trust with one of the logs that keys are given for: by `--key`, or else by the policy.
    pub(super) fn of_log(&self, which: Which<'_>) -> Result<(LogKeys, Trust), Failure> {
        let mut known = self.vkeys()?;
        let Some(path) = &self.policy else {
            if known.is_empty() {
                self.required()?;
            }
            let keys = which.among(known)?;
            return Ok((keys.clone(), Trust::Log(keys)));
        };
        let policy = read_policy(path)?;
        if known.is_empty() {
            known = policy.logs().iter().map(|log| log.key().clone()).collect();
        }
        let keys = which.among(known)?;
        Ok((keys.clone(), Trust::Witnessed { log: keys, policy }))
    }
}

impl Which<'_> {
    /// Its keys, among those of several logs. A key's name is the origin of its log, and that of a server's log ends in the
    /// log's name: nobody else says which keys are meant.
    fn among(self, known: Vec<VerifierKey>) -> Result<LogKeys, Failure> {
        let is_of_one = known.windows(2).all(|pair| matches!(pair, [a, b] if a.name() == b.name()));
        let is_called =
            |key: &VerifierKey, name: &str| LogName::of(key.name().as_str()).is_some_and(|own| own.as_str() == name);
        let is_meant = |key: &VerifierKey| match self {
            Self::Named(name) => key.name().as_str() == name || is_called(key, name),
            Self::Origin(origin) => origin.is_named(key.name()),
            Self::At(url) => is_of_one || url.log_name().is_some_and(|name| is_called(key, name)),
        };
        let meant = known.into_iter().filter(is_meant).collect();
        LogKeys::new(meant).map_err(|error| match error {
            LogKeysError::None => {
                let which = shown(&self.to_string());
                let option =
                    if matches!(self, Self::At(_)) { "; if one is meant, say with --origin which" } else { "" };
                Failure::Usage(format!(
                    "--key: no key of {which} is given; each log has its own (cairnd key list){option}"
                ))
            }
            LogKeysError::Names(one, other) => {
                let [one, other] = [one, other].map(|name| shown(name.as_str()));
                let how =
                    if matches!(self, Self::At(_)) { "say with --origin which is meant" } else { "give the origin" };
                Failure::Usage(format!("{self}: {one} and {other} are called so; {how}"))
            }
            error => Failure::Usage(format!("--key: {error}")),
        })
    }
}

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "the log {name}"),
            Self::Origin(origin) => write!(f, "the log {origin}"),
            Self::At(url) => write!(f, "the log at {url}"),
        }
    }
}

/// Reads a trust policy.
pub(super) fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = read_bounded(path, Policy::MAX_BYTES)?;
    Policy::parse(&bytes).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// The keys that several values of --key give; `None` if nothing was said. An empty variable in the environment is as
/// good as none.
pub(super) fn parse_keys(texts: &[String]) -> Result<Option<LogKeys>, Failure> {
    let keys = parse_all(texts)?;
    if keys.is_empty() {
        return Ok(None);
    }
    LogKeys::new(keys).map(Some).map_err(|error| Failure::Usage(format!("--key: {error}")))
}

/// The keys that several values of --key give, of whichever logs.
fn parse_all(texts: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    let given = texts.iter().filter(|text| !text.is_empty());
    Ok(given.map(|text| parse_vkeys(text)).collect::<Result<Vec<_>, _>>()?.concat())
}

/// The keys of each log by themselves: a key's name is the origin of its log.
fn by_log(mut known: Vec<VerifierKey>) -> Result<Vec<LogKeys>, Failure> {
    let mut logs = Vec::new();
    while let Some(name) = known.first().map(|key| key.name().clone()) {
        let (of_one, others): (Vec<_>, Vec<_>) = known.into_iter().partition(|key| *key.name() == name);
        logs.push(LogKeys::new(of_one).map_err(|error| Failure::Usage(format!("--key: {error}")))?);
        known = others;
    }
    Ok(logs)
}

fn no_key() -> Failure {
    Failure::Usage("--key: there is no key".to_owned())
}

fn nobody() -> Failure {
    Failure::Usage("whom to trust: give --key VKEY or --policy FILE".to_owned())
}

/// Reads vkeys, or the file that holds them; whose they are is for the caller.
fn parse_vkeys(text: &str) -> Result<Vec<VerifierKey>, Failure> {
    let read = |text: &str| text.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<VerifierKey>, _>>();
    let error = match read(text) {
        Ok(keys) => return Ok(keys),
        Err(error) => error,
    };
    // No vkey is without plus signs; a path seldom has two of them and no file behind it.
    let path = Path::new(text);
    if path.is_file() {
        let content = text_file(path)?;
        return read(&content).map_err(|error| Failure::Usage(format!("--key {text}: {error}")));
    }
    Err(Failure::Usage(format!("--key: {error}")))
}

fn text_file(path: &Path) -> Result<String, Failure> {
    let bytes = read_bounded(path, LogKeys::MAX * VerifierKey::MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("{}: not text", path.display())))
}

/// The key that `--idempotency-key` gives, or one that is drawn.
pub(super) fn idempotency_key(chosen: Option<&str>) -> Result<IdempotencyKey, Failure> {
    let Some(text) = chosen else { return drawn_key() };
    let refused = || Failure::Usage("--idempotency-key: must be 1 to 128 printable ASCII characters".to_owned());
    IdempotencyKey::chosen(text).ok_or_else(refused)
}

fn drawn_key() -> Result<IdempotencyKey, Failure> {
    let millis = u64::try_from(Timestamp::now().as_millisecond()).ok();
    let now = millis.and_then(|millis| Time::from_millis(millis).ok());
    let now = now.ok_or_else(|| Failure::Refused("this machine's clock is not between 1970 and 9999".to_owned()))?;
    let [random @ .., _, _, _, _, _, _] = random()?;
    Ok(IdempotencyKey::drawn(now, random))
}

/// Random bytes from the operating system.
pub(super) fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Refused(format!("no random bytes: {error}")))?;
    Ok(bytes)
}
