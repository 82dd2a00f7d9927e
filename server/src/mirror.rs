//! Mirrors of a log, read over HTTP as C2SP tlog-tiles has it, by whoever knows what each resource must hash to.
//!
//! A mirror is not trusted: not its bytes, its words about which log it serves, its time or its length. Every answer is
//! bounded in bytes and in time, and one that stays silent is soon asked no more.

use std::cell::Cell;
use std::time::Duration;

use cairn_tree::checkpoint::SignedCheckpoint;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url};
use tokio::runtime::Runtime;

use crate::engine::Mirror;
use crate::limits::WITNESS_ANSWER_BYTES;

/// How long a connection and each piece of an answer may take.
const SILENCE: Duration = Duration::from_secs(10);
/// How long an answer may take in all: a bundle may have 16 MiB.
const ANSWER: Duration = Duration::from_secs(120);
/// How often a resource is asked for, if there is no answer.
const TRIES: u32 = 3;
/// Resources in a row without an answer after which a mirror is asked no more.
const SILENT: u32 = 3;

/// One log at one URL.
pub struct HttpMirror {
    /// Ends in `/`.
    prefix: Url,
    name: String,
    origin: String,
    client: Client,
    runtime: Runtime,
    /// Resources in a row without an answer.
    silent: Cell<u32>,
}

/// What a mirror of a private log asks for: a bearer token. It is never shown but to the mirror.
#[derive(Clone)]
pub struct MirrorToken(HeaderValue);

impl MirrorToken {
    /// Checks that it can be sent.
    ///
    /// # Errors
    /// [`MirrorError::Token`].
    pub fn new(token: &str) -> Result<Self, MirrorError> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MirrorError::Token);
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| MirrorError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// Why a mirror can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// It is no URL.
    #[error("{0}: a mirror's URL is http or https, without user, query or fragment")]
    Url(String),
    /// What is to be shown to it is no token.
    #[error("the mirrors' token is empty or holds a character that cannot stand in an HTTP header")]
    Token,
    /// Two who would both get to know one token.
    #[error(
        "{0} and {1} are not at one scheme, host and port, and each would get to know the token that is for the other"
    )]
    Apart(String, String),
    /// The client could not be made.
    #[error("a mirror can't be asked: {0}")]
    Client(String),
    /// It shows no checkpoint, by which one could know which log it has.
    #[error("the mirror {url} shows no checkpoint: {problem}")]
    Checkpoint {
        /// The mirror.
        url: String,
        /// What it shows.
        problem: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    /// It says that there is nothing, or what it says is too long: asking again gives the same.
    #[error("{0}")]
    Settled(String),
    /// It may be there another time.
    #[error("{0}")]
    Passing(String),
}

impl HttpMirror {
    /// The mirrors beneath these URLs. A token is shown to all of them, so that they must be at one place then.
    ///
    /// # Errors
    /// [`MirrorError`]; nobody was asked if they are apart.
    pub fn open_all(urls: &[String], token: Option<&MirrorToken>) -> Result<Vec<Self>, MirrorError> {
        let prefixes = urls.iter().map(|url| prefix(url)).collect::<Result<Vec<_>, _>>()?;
        let apart = |pair: &[Url]| match pair {
            [one, other] if one.origin() != other.origin() => {
                Some(MirrorError::Apart(one.to_string(), other.to_string()))
            }
            _ => None,
        };
        if token.is_some()
            && let Some(apart) = prefixes.windows(2).find_map(apart)
        {
            return Err(apart);
        }
        prefixes.into_iter().map(|prefix| Self::open(prefix, token)).collect()
    }

    /// A mirror. Its checkpoint tells which log it serves.
    fn open(prefix: Url, token: Option<&MirrorToken>) -> Result<Self, MirrorError> {
        // Somebody else in this process may have chosen a provider before; theirs is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let headers = token.map(|MirrorToken(value)| (AUTHORIZATION, value.clone())).into_iter().collect::<HeaderMap>();
        // No redirect is followed, so that nobody else is shown the token.
        let client = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("cairnd/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| MirrorError::Client(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| MirrorError::Client(error.to_string()))?;
        let name = format!("the mirror {}", prefix.as_str().trim_end_matches('/'));
        let mut this = Self { prefix, name, origin: String::new(), client, runtime, silent: Cell::new(0) };
        let hint = if token.is_none() { "; of a private log it does so with a token only" } else { "" };
        let told = |problem: &dyn core::fmt::Display| MirrorError::Checkpoint {
            url: this.prefix.to_string(),
            problem: format!("{problem}{hint}"),
        };
        let text = this.ask("checkpoint", WITNESS_ANSWER_BYTES).map_err(|error| told(&error))?;
        let checkpoint = SignedCheckpoint::parse(&text).map_err(|error| told(&error))?;
        this.origin = checkpoint.unverified().origin().to_string();
        Ok(this)
    }

    fn ask(&self, path: &str, most: usize) -> Result<Vec<u8>, NoAnswer> {
        let mut url = self.prefix.clone();
        url.set_path(&format!("{}{path}", self.prefix.path()));
        let mut answer = self.runtime.block_on(self.once(url.clone(), most));
        for _ in 1..TRIES {
            if !matches!(answer, Err(NoAnswer::Passing(_))) {
                break;
            }
            answer = self.runtime.block_on(self.once(url.clone(), most));
        }
        answer
    }

    async fn once(&self, url: Url, most: usize) -> Result<Vec<u8>, NoAnswer> {
        let passing = |error: reqwest::Error| NoAnswer::Passing(error.to_string());
        let response = self.client.get(url).send().await.map_err(passing)?;
        match response.status().as_u16() {
            200 => bounded(response, most).await,
            status @ (429 | 500..) => Err(NoAnswer::Passing(format!("status {status}"))),
            status => Err(NoAnswer::Settled(format!("status {status}"))),
        }
    }
}

/// Where a mirror is; ends in `/`.
fn prefix(url: &str) -> Result<Url, MirrorError> {
    let wrong = || MirrorError::Url(url.to_owned());
    let mut prefix = Url::parse(url).map_err(|_| wrong())?;
    let bare = prefix.username().is_empty() && prefix.password().is_none();
    if !matches!(prefix.scheme(), "http" | "https") || !bare || prefix.query().is_some() || prefix.fragment().is_some()
    {
        return Err(wrong());
    }
    if !prefix.path().ends_with('/') {
        prefix.set_path(&format!("{}/", prefix.path()));
    }
    Ok(prefix)
}

async fn bounded(mut response: Response, most: usize) -> Result<Vec<u8>, NoAnswer> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| NoAnswer::Passing(error.to_string()))? {
        if piece.len() > most - body.len() {
            return Err(NoAnswer::Settled(format!("an answer of more than {most} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

impl Mirror for HttpMirror {
    fn name(&self) -> &str {
        &self.name
    }

    fn origin(&self) -> &str {
        &self.origin
    }

    fn get(&self, path: &str, most: usize) -> Option<Vec<u8>> {
        if self.silent.get() >= SILENT {
            return None;
        }
        let answer = self.ask(path, most);
        let is_silent = matches!(answer, Err(NoAnswer::Passing(_)));
        self.silent.set(if is_silent { self.silent.get() + 1 } else { 0 });
        answer.ok()
    }
}
