//! The signer process: a socket that its owner alone may open, and one vault behind it.
//!
//! A connection asks any number of times. What is wrong with one ends that one only; what fails in the vault's own state
//! ends the process, since nobody knows then what was signed.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cairn_listen::LocalListener;
use cairn_tree::checkpoint::Origin;
use cairn_tree::merkle::Growth;
use cairn_tree::note::{KeyName, NoteSignature, SignerKey};
use cairn_tree::wire::signer::{Ask, HeadAsk, LINE_BYTES, Point, Told};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, warn};
use zeroize::Zeroizing;

use super::vault::{Judged, Vault, VaultError};
use super::{HeadToSign, KeyType, SignerError};
use crate::engine::Clock;

/// Connections at a time; a server has one.
const CONNECTIONS: usize = 16;
/// How long an answer may take to leave, and a line that has begun to come in whole.
const LINE_TIME: Duration = Duration::from_secs(10);

/// What the connections share.
pub struct Serving {
    vault: Mutex<Vault>,
    clock: Arc<dyn Clock>,
    /// The user that may ask, beside the process's own and root.
    allowed: Option<u32>,
    broken: watch::Sender<bool>,
}

impl Serving {
    /// Serves this vault; `allowed` is another user that may ask. The receiver turns true when the process must end.
    #[must_use]
    pub fn new(vault: Vault, clock: Arc<dyn Clock>, allowed: Option<u32>) -> (Arc<Self>, watch::Receiver<bool>) {
        let (broken, told) = watch::channel(false);
        (Arc::new(Self { vault: Mutex::new(vault), clock, allowed, broken }), told)
    }

    /// Answers one line as the socket does; neither has its newline.
    #[must_use]
    pub fn answer_line(&self, line: &[u8]) -> Vec<u8> {
        // Strings and numbers always serialize.
        serde_json::to_vec(&self.answer(line)).unwrap_or_default()
    }

    fn answer(&self, line: &[u8]) -> Told {
        let ask: Ask = match serde_json::from_slice(line) {
            Ok(ask) => ask,
            Err(error) => return Told::Refused(format!("the question can't be read: {error}")),
        };
        // A panic while it is held is a bug of ours; the state on disk is whole, and what is asked next is judged by it.
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        let told = match ask {
            Ask::Keys { origin } => match vault.newest_keys_of(&origin) {
                Some(keys) => Ok(Told::Keys(keys.iter().map(ToString::to_string).collect())),
                None => Err(SignerError::Refused(format!("no keys of {origin:?} are here"))),
            },
            Ask::NewKey { origin, kind } => self.new_key(&mut vault, &origin, kind),
            Ask::Head(ask) => sign_head(&mut vault, &ask, self.clock.now_ms()),
            Ask::Statement { text, keys } => vault.sign_statement(&text, &keys).map(|lines| signed(&lines)),
        };
        match told {
            Ok(told) => told,
            Err(SignerError::Refused(reason)) => {
                warn!(reason, "refused to sign");
                Told::Refused(reason)
            }
            Err(SignerError::Failed(reason)) => {
                error!(reason, "the signer failed and must end");
                // Nobody listens only if the process is ending already.
                let _ = self.broken.send(true);
                Told::Failed(reason)
            }
        }
    }

    fn new_key(&self, vault: &mut Vault, origin: &str, kind: KeyType) -> Result<Told, SignerError> {
        let refused = |error: &dyn core::fmt::Display| SignerError::Refused(error.to_string());
        let name = KeyName::new(origin).map_err(|error| refused(&error))?;
        let key = draw_key(name, kind).map_err(SignerError::Failed)?;
        match vault.new_key(key, self.clock.now_ms()) {
            Ok(key) => Ok(Told::Key(key.to_string())),
            Err(VaultError::Conflict(reason)) => Err(SignerError::Refused(reason)),
            Err(error) => Err(SignerError::Failed(error.to_string())),
        }
    }
}

/// A new key from the system's randomness.
pub(crate) fn draw_key(name: KeyName, kind: KeyType) -> Result<SignerKey, String> {
    let mut seed = Zeroizing::new([0; SignerKey::SEED_BYTES]);
    getrandom::fill(seed.as_mut_slice()).map_err(|error| format!("the system gives no randomness: {error}"))?;
    SignerKey::from_seed(name, kind.signature_type(), &seed).map_err(|error| error.to_string())
}

fn sign_head(vault: &mut Vault, ask: &HeadAsk, now_ms: u64) -> Result<Told, SignerError> {
    let malformed = |what: &str| SignerError::Refused(format!("{what} can't be read"));
    let origin = Origin::new(ask.origin.clone()).map_err(|_| malformed("the origin"))?;
    let new = ask.head.root().ok_or_else(|| malformed("the head"))?;
    let old = ask.released.root().ok_or_else(|| malformed("the released head"))?;
    let proof = ask.proof().ok_or_else(|| malformed("the proof"))?;
    let no_more_proofs = |_: Growth| Err(String::new());
    let head = HeadToSign { origin: &origin, old, new, time_ms: ask.time_ms, prove: &no_more_proofs };
    match vault.sign_head(&head, (ask.from, &proof), &ask.keys, now_ms)? {
        Judged::Signed(lines) => Ok(signed(&lines)),
        Judged::From(last) => Ok(Told::From(Point::from(last))),
    }
}

fn signed(lines: &[NoteSignature]) -> Told {
    Told::Signed(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// Listens at `path` until `stop`.
///
/// # Errors
/// If the socket can't be made.
pub fn listen(
    path: &Path,
    serving: Arc<Serving>,
    stop: watch::Receiver<bool>,
) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    // The vault's lock is held: a socket that is there is a dead signer's, unless somebody else's stands in its place.
    let listener = LocalListener::bind(path, CONNECTIONS)?;
    Ok(listener.run(stop, move |stream| {
        let serving = Arc::clone(&serving);
        async move { converse(stream, &serving).await }
    }))
}

async fn converse(mut stream: UnixStream, serving: &Arc<Serving>) -> io::Result<()> {
    let (own, peer) = (rustix::process::geteuid().as_raw(), stream.peer_cred()?.uid());
    if peer != own && peer != 0 && serving.allowed != Some(peer) {
        warn!(peer, "a user asked the signer who may not");
        return write(&mut stream, &Told::Refused(format!("user {peer} may not ask this signer"))).await;
    }
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        // It may be long until the next question begins; then it comes at once.
        if reader.fill_buf().await?.is_empty() {
            return Ok(());
        }
        let mut bounded = (&mut reader).take(LINE_BYTES as u64);
        timeout(LINE_TIME, bounded.read_until(b'\n', &mut line)).await??;
        if line.last() != Some(&b'\n') {
            return write(&mut writer, &Told::Refused("a line is too long, or was cut off".to_owned())).await;
        }
        let serving = Arc::clone(serving);
        let mut told =
            cairn_listen::spawn_blocking(move || serving.answer_line(&line)).await.map_err(io::Error::other)?;
        told.push(b'\n');
        timeout(LINE_TIME, writer.write_all(&told)).await??;
    }
}

async fn write(stream: &mut (impl tokio::io::AsyncWrite + Unpin), told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    timeout(LINE_TIME, stream.write_all(&line)).await?
}
