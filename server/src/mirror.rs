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
use crate::outward::{self, Scheme};

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
    /// [`MirrorError::Token`], or [`MirrorError::TokenIsUrl`].
    pub fn new(token: &str) -> Result<Self, MirrorError> {
        if token.contains("://") {
            return Err(MirrorError::TokenIsUrl);
        }
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MirrorError::Token);
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| MirrorError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// The tokens of all mirrors.
#[derive(Clone, Default)]
pub struct MirrorTokens {
    /// Shown to every mirror that no other one is for.
    everywhere: Option<MirrorToken>,
    /// The lines of a file.
    at: Vec<TokenLine>,
}

/// A token for the mirrors at a URL and below it, which ends in `/`.
#[derive(Clone)]
struct TokenLine {
    number: usize,
    url: Url,
    token: MirrorToken,
}

impl MirrorTokens {
    /// One token for all mirrors.
    ///
    /// # Errors
    /// As [`MirrorToken::new`].
    pub fn one(token: &str) -> Result<Self, MirrorError> {
        Ok(Self { everywhere: Some(MirrorToken::new(token)?), at: Vec::new() })
    }

    /// Reads one token, or lines of a URL and a token each; `#` begins a comment line.
    ///
    /// # Errors
    /// [`MirrorError`]; it repeats no token.
    pub fn parse(text: &str) -> Result<Self, MirrorError> {
        let lines: Vec<(usize, Vec<&str>)> = (1..)
            .zip(text.lines())
            .map(|(number, line)| (number, line.split_whitespace().collect::<Vec<_>>()))
            .filter(|(_, words)| words.first().is_some_and(|word| !word.starts_with('#')))
            .collect();
        if let [(_, only)] = lines.as_slice()
            && let [token] = only.as_slice()
        {
            return Self::one(token);
        }
        let mut at: Vec<TokenLine> = Vec::new();
        for (number, words) in lines {
            let wrong = || MirrorError::TokenLine(number);
            let [url, token] = words.as_slice() else { return Err(wrong()) };
            let url = prefix(url).map_err(|_| wrong())?;
            if at.iter().any(|other| other.url == url) {
                return Err(MirrorError::TokenTwice(number));
            }
            at.push(TokenLine { number, url, token: MirrorToken::new(token).map_err(|_| wrong())? });
        }
        if at.is_empty() { Err(MirrorError::Token) } else { Ok(Self { everywhere: None, at }) }
    }

    /// The token of the longest URL that a mirror is at or below.
    fn of(&self, mirror: &Url) -> Option<&MirrorToken> {
        let of_some = self.at.iter().filter(|line| line.is_for(mirror)).max_by_key(|line| line.url.path().len());
        of_some.map(|line| &line.token).or(self.everywhere.as_ref())
    }

    /// The lines that are for none of these mirrors, by their numbers, with their URLs: perhaps one is mistyped.
    ///
    /// # Errors
    /// [`MirrorError::Url`].
    pub fn for_none_of(&self, urls: &[String]) -> Result<Vec<(usize, String)>, MirrorError> {
        let mirrors = urls.iter().map(|url| prefix(url)).collect::<Result<Vec<_>, _>>()?;
        let idle = self.at.iter().filter(|line| !mirrors.iter().any(|mirror| line.is_for(mirror)));
        Ok(idle.map(|line| (line.number, line.url.to_string())).collect())
    }
}

impl TokenLine {
    /// Whether a mirror is at this line's URL or below it.
    fn is_for(&self, mirror: &Url) -> bool {
        self.url.origin() == mirror.origin() && mirror.path().starts_with(self.url.path())
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
    /// It would be shown to a mirror as a token.
    #[error(
        "the mirrors' token is a URL; a file holds one token alone, or a line for each mirror with its URL and its token \
         behind it"
    )]
    TokenIsUrl,
    /// Several tokens are told apart by where their mirrors are.
    #[error(
        "line {0} of the mirrors' tokens is no mirror's URL with its token behind it; a file holds one token alone, or such \
         lines alone"
    )]
    TokenLine(usize),
    /// Nobody knows which of the two is meant.
    #[error("line {0} of the mirrors' tokens is for a URL that a line before it is for")]
    TokenTwice(usize),
    /// Two who would both get to know one token.
    #[error(
        "{0} and {1} are not at one scheme, host and port, and each would get to know the token that is for the other; \
         tokens for each stand in a file for --mirror-token-file, as lines of a URL and a token"
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
    /// It answers so, with the status that refuses or denies: asking again gives the same.
    #[error("status {0}")]
    Refused(u16),
    /// What it says is too long: asking again gives the same.
    #[error("{0}")]
    Settled(String),
    /// It may be there another time.
    #[error("{0}")]
    Passing(String),
}

impl HttpMirror {
    /// The mirrors beneath these URLs. A token for all of them is shown to all of them, so that they must be at one place
    /// then.
    ///
    /// # Errors
    /// [`MirrorError`]; nobody was asked if they are apart.
    pub fn open_all(urls: &[String], tokens: &MirrorTokens) -> Result<Vec<Self>, MirrorError> {
        let prefixes = urls.iter().map(|url| prefix(url)).collect::<Result<Vec<_>, _>>()?;
        let apart = |pair: &[Url]| match pair {
            [one, other] if one.origin() != other.origin() => {
                Some(MirrorError::Apart(one.to_string(), other.to_string()))
            }
            _ => None,
        };
        if tokens.everywhere.is_some()
            && let Some(apart) = prefixes.windows(2).find_map(apart)
        {
            return Err(apart);
        }
        prefixes
            .into_iter()
            .map(|prefix| {
                let token = tokens.of(&prefix).cloned();
                Self::open(prefix, token.as_ref())
            })
            .collect()
    }

    /// A mirror. Its checkpoint tells which log it serves.
    fn open(prefix: Url, token: Option<&MirrorToken>) -> Result<Self, MirrorError> {
        let headers = token.map(|MirrorToken(value)| (AUTHORIZATION, value.clone())).into_iter().collect::<HeaderMap>();
        let client = outward::builder(Scheme::of(&prefix))
            .default_headers(headers)
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            .timeout(ANSWER)
            .build()
            .map_err(|error| MirrorError::Client(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| MirrorError::Client(error.to_string()))?;
        let name = format!("the mirror {}", prefix.as_str().trim_end_matches('/'));
        let mut this = Self { prefix, name, origin: String::new(), client, runtime, silent: Cell::new(0) };
        let told = |problem: String| MirrorError::Checkpoint { url: this.prefix.to_string(), problem };
        let answer = this.ask("checkpoint", WITNESS_ANSWER_BYTES);
        let text = answer.map_err(|error| told(format!("{error}{}", meaning(&error, token.is_some()))))?;
        let checkpoint = SignedCheckpoint::parse(&text).map_err(|error| told(error.to_string()))?;
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
            status => Err(NoAnswer::Refused(status)),
        }
    }
}

/// What it means that a mirror does not answer, and what to do about it.
fn meaning(error: &NoAnswer, with_token: bool) -> &'static str {
    match (error, with_token) {
        (NoAnswer::Refused(401 | 403 | 404), false) => {
            ": it has no log there, or that log is private and shown to nobody without a token. Look at the URL (it ends \
             in /logs/NAME), or name a token that reads the log: --mirror-token-file FILE, or CAIRND_MIRROR_TOKEN in the \
             environment"
        }
        (NoAnswer::Refused(401 | 403 | 404), true) => {
            ": it has no log there, or the token that it was shown (of --mirror-token-file, --mirror-token or \
             CAIRND_MIRROR_TOKEN) is unknown there, revoked, or may not read that log. Look at the URL (it ends in \
             /logs/NAME), or have whoever runs the mirror make a token with the right to read for that log"
        }
        (NoAnswer::Refused(300..=399), _) => ": it names another place, which is not followed; name that one",
        _ => "",
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
