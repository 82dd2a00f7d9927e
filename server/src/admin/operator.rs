//! Doing what an operator asks, on an open database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_tree::note::{KeyName, SignerKey};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::json::Bytes;
use zeroize::Zeroizing;

use super::tenant::Creation;
use super::{FindingLine, LogLine, NewToken, PolicyLine, Progress, Reply, Request, TokenLine};
use crate::auth::{Token, TokenFile, TokenFileError, TokenId, TokenTerms, TokenText, Tokens};
use crate::cosigners::suited;
use crate::engine::{Clock, Engine, Log, LogState, Terms, policy_in_doubt};
use crate::http::Captures;
use crate::log_name::{LogName, OriginPrefix};
use crate::records::{Homes, Own, Settings};
use crate::signer::{KeyType, draw_key};

/// How often a check tells how far it is.
const PROGRESS: Duration = Duration::from_millis(500);
/// Longest name of a token.
const TOKEN_NAME_BYTES: usize = 128;
/// Most keys that a token's producer signs with.
const PRODUCER_KEYS: usize = 16;

/// Does what operators ask of an open database.
pub struct Operator {
    /// The logs.
    pub engine: Engine,
    /// The tokens.
    pub tokens: TokenOffice,
    /// Which log has which tenant.
    pub homes: Arc<Homes>,
    /// What is decided for tenants and modules.
    pub settings: Arc<Settings>,
    /// Puts on record what was done.
    pub own: Arc<Own>,
    /// What stands before `/NAME` in a new log's origin.
    pub origin_prefix: OriginPrefix,
    /// Whether a log that anyone may append to can be served where this server listens.
    pub open_append_allowed: bool,
    /// Messages of DIGIT's persister.
    pub captures: Arc<Captures>,
}

/// Makes, lists and revokes tokens.
pub struct TokenOffice {
    /// Where they are kept.
    pub file: TokenFile,
    /// Those in force, if a server runs.
    pub in_force: Option<Arc<Tokens>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    editing: Mutex<()>,
}

/// A log that is to be made.
#[derive(Debug, Clone)]
pub struct NewLog {
    /// Its name.
    pub name: String,
    /// Whether anyone may append.
    pub open_append: bool,
    /// Whether reads need a token.
    pub private: bool,
    /// Whether an entry that is there already is not appended again.
    pub dedup: bool,
    /// Whether an ML-DSA-44 key signs beside the Ed25519 key.
    pub ml_dsa: bool,
}

impl Operator {
    /// Does it. `progress` is told of the steps of a long one.
    pub async fn run(&self, request: Request, progress: impl FnMut(Progress) + Send + 'static) -> Reply {
        match request {
            Request::LogCreate { name, open_append, private, dedup, ml_dsa } => {
                let new = NewLog { name, open_append, private, dedup, ml_dsa };
                self.create_log(new).await.map_or_else(Reply::Failed, Reply::LogCreated)
            }
            Request::LogSeal { name, successor } => self.seal(&name, successor).await.unwrap_or_else(Reply::Failed),
            Request::KeyRotate { name, kind } => self.rotate_key(&name, kind).await.unwrap_or_else(Reply::Failed),
            Request::KeyRetire { name, kind } => self.retire_key(&name, kind).await.unwrap_or_else(Reply::Failed),
            Request::KeyList { name } => self.keys(&name).unwrap_or_else(Reply::Failed),
            Request::LogList => Reply::Logs(self.engine.logs().iter().map(line).collect()),
            Request::LogPolicy { name, policy, fail_open } => {
                self.set_policy(&name, policy, fail_open).await.map_or_else(Reply::Failed, Reply::Policy)
            }
            Request::LogPolicyShow { name } => {
                self.log(&name).map_or_else(Reply::Failed, |log| Reply::Policy(policy_line(&log)))
            }
            Request::Fsck => self.fsck(progress).await,
            Request::Freeze => {
                let frozen = self.engine.freeze().await;
                frozen.map_or_else(|error| Reply::Failed(error.to_string()), Reply::Frozen)
            }
            Request::TenantCreate { name: tenant, log, private, continues } => {
                let creation = Creation { tenant, log, private, continues };
                self.create_tenant(creation).await.unwrap_or_else(Reply::Failed)
            }
            Request::TenantList => self.tenants().unwrap_or_else(Reply::Failed),
            Request::TenantSet { name, reads } => self.set_tenant(name, reads).await.unwrap_or_else(Reply::Failed),
            Request::ModuleSet { tenant, module, strict, old_must_match } => {
                let done = self.set_module((tenant, module), strict, old_must_match).await;
                done.unwrap_or_else(Reply::Failed)
            }
            Request::ModuleList => self.modules(),
            request => match self.about_captures(request).await {
                Ok(reply) => reply,
                Err(request) => self.tokens.run(request),
            },
        }
    }

    /// Makes a log with a new key.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn create_log(&self, new: NewLog) -> Result<LogLine, String> {
        let NewLog { name, open_append, private, dedup, ml_dsa } = new;
        let name = LogName::new(name).map_err(|error| error.to_string())?;
        if open_append && !self.open_append_allowed {
            return Err("this server listens off loopback, where logs that anyone may append to are not served; \
                        see open_append_off_loopback in the configuration"
                .into());
        }
        let origin = self.origin_prefix.origin(&name);
        let kinds = [Some(KeyType::Ed25519), ml_dsa.then_some(KeyType::MlDsa44)];
        let keys = kinds.into_iter().flatten().map(|kind| new_key(&origin, kind)).collect::<Result<_, _>>()?;
        let terms = Terms { name, origin, private, open_append, dedup, hash_index: true };
        let info = self.engine.create_log(terms, keys).await.map_err(|error| error.to_string())?;
        let log = self.engine.log(&info.name).ok_or("the log was made, but can't be found")?;
        Ok(line(&log))
    }

    pub(super) fn log(&self, name: &str) -> Result<Log, String> {
        self.engine.log(name).ok_or_else(|| format!("there is no log {name:?}; see: cairnd log list"))
    }

    async fn set_policy(&self, name: &str, file: Option<Bytes>, fail_open: bool) -> Result<PolicyLine, String> {
        let log = self.log(name)?;
        let suited = |Bytes(file)| suited(&log.vkeys(), &file, fail_open);
        let policy = file.map(suited).transpose().map_err(|error| error.to_string())?;
        log.set_policy(policy).await.map_err(|error| error.to_string())?;
        Ok(policy_line(&log))
    }

    async fn fsck(&self, mut progress: impl FnMut(Progress) + Send + 'static) -> Reply {
        let engine = self.engine.clone();
        let check = move || {
            engine.fsck_from_files();
            let logs = engine.logs();
            let findings = logs.iter().map(|log| {
                let (name, size) = (log.info().name.to_string(), log.head().size.get());
                let mut told = Instant::now();
                let finding = log.fsck(&mut |done: TreeSize| {
                    if told.elapsed() >= PROGRESS {
                        told = Instant::now();
                        progress(Progress { log: name.clone(), done: done.get(), size });
                    }
                });
                FindingLine::from(finding)
            });
            let mut findings: Vec<_> = findings.collect();
            findings.extend(engine.fsck_tables().map(FindingLine::from));
            findings
        };
        match cairn_listen::spawn_blocking(check).await {
            Ok(findings) => Reply::Findings(findings),
            Err(error) => Reply::Failed(error.to_string()),
        }
    }
}

pub(super) fn line(log: &Log) -> LogLine {
    let info = log.info();
    let state = match log.state() {
        LogState::Open if log.lacks_policy() => {
            format!("held: {}; see: cairnd log policy {} --help", policy_in_doubt("its witness policy"), info.name)
        }
        LogState::Open => "open".to_owned(),
        LogState::Sealed => "sealed".to_owned(),
        LogState::Halted(reason) => format!("halted: {reason}"),
    };
    LogLine {
        name: info.name.to_string(),
        origin: info.origin.clone(),
        vkey: log.vkeys().into_iter().next().unwrap_or_default(),
        size: log.head().size.get(),
        state,
        private: info.private,
        open_append: info.open_append,
        dedup: info.dedup,
        successor: log.successor().map(|log| log.origin),
    }
}

fn policy_line(log: &Log) -> PolicyLine {
    let policy = log.policy();
    let file = policy.as_ref().map(|policy| Bytes(policy.file().to_vec()));
    let fail_open = policy.is_some_and(|policy| policy.fail_open());
    PolicyLine {
        log: log.info().name.to_string(),
        policy: file,
        fail_open,
        held: log.is_held(),
        lost: log.lacks_policy(),
    }
}

/// A new key that signs as this origin.
pub(super) fn new_key(origin: &str, kind: KeyType) -> Result<SignerKey, String> {
    let name = KeyName::new(origin).map_err(|error| format!("the origin {origin:?} can't name a key: {error}"))?;
    draw_key(name, kind)
}

impl TokenOffice {
    /// An office for the tokens of this file.
    #[must_use]
    pub fn new(file: TokenFile, in_force: Option<Arc<Tokens>>, clock: Arc<dyn Clock>) -> Self {
        Self { file, in_force, clock, editing: Mutex::new(()) }
    }

    /// Does what is about tokens; refuses the rest.
    #[must_use]
    pub fn run(&self, request: Request) -> Reply {
        let done = match request {
            Request::TokenCreate(terms) => self.create(terms).map(Reply::TokenCreated),
            Request::TokenList => self.list().map(Reply::Tokens).map_err(|error| error.to_string()),
            Request::TokenRevoke { id } => self.revoke(id).map(|()| Reply::TokenRevoked),
            _ => Err("this is not about tokens".into()),
        };
        done.unwrap_or_else(Reply::Failed)
    }

    /// Makes a token.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn create(&self, terms: TokenTerms) -> Result<NewToken, String> {
        if terms.name.len() > TOKEN_NAME_BYTES || terms.name.chars().any(char::is_control) {
            return Err(format!("a token's name is at most {TOKEN_NAME_BYTES} bytes without control characters"));
        }
        if terms.producer_keys.len() > PRODUCER_KEYS {
            return Err(format!("a token has at most {PRODUCER_KEYS} producer's keys"));
        }
        let mut random = Zeroizing::new([0; TokenText::RANDOM_BYTES]);
        getrandom::fill(random.as_mut_slice()).map_err(|error| format!("the system gives no randomness: {error}"))?;
        let text = TokenText::from_random(*random);
        let token = Token::new(&text, terms, self.clock.now_ms());
        self.edit(|tokens| {
            tokens.push(token);
            Ok(())
        })?;
        Ok(NewToken { id: text.id(), token: text.reveal().to_string() })
    }

    fn list(&self) -> Result<Vec<TokenLine>, TokenFileError> {
        let line = |token: Token| {
            let Token { id, name, rights, selector, tenants, created_ms, .. } = token;
            TokenLine { id, name, rights, logs: selector, tenants, created_ms }
        };
        Ok(self.file.load()?.into_iter().map(line).collect())
    }

    fn revoke(&self, id: TokenId) -> Result<(), String> {
        self.edit(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| token.id != id);
            if tokens.len() < before { Ok(()) } else { Err(format!("there is no token {id}; see: cairnd token list")) }
        })
    }

    /// Changes the file, then what is in force: a revoked token that is still let in is worse than one that is refused
    /// a moment early, but a token that is gone after a restart would be worse still.
    fn edit(&self, change: impl FnOnce(&mut Vec<Token>) -> Result<(), String>) -> Result<(), String> {
        let _one_at_a_time = self.editing.lock().unwrap_or_else(PoisonError::into_inner);
        let _across_processes = self.file.lock().map_err(|error| error.to_string())?;
        let mut tokens = self.file.load().map_err(|error| error.to_string())?;
        change(&mut tokens)?;
        self.file.store(&tokens).map_err(|error| error.to_string())?;
        if let Some(in_force) = &self.in_force {
            in_force.replace(tokens);
        }
        Ok(())
    }
}
