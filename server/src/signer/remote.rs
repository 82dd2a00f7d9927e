//! The server's end of the socket: asking the signer process, and asking again when it went away.
//!
//! Every question may be asked twice: the signer answers the same. So a lost connection is made anew and the question
//! put again, until [`PATIENCE`] has passed; a signer that restarts meanwhile is no more than a delay. A signature is
//! verified before it is used: what goes out under a log's name is never taken on trust.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cairn_tree::checkpoint::{Checkpoint, SignedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Growth, Root};
use cairn_tree::note::{NoteSignature, SignatureType, SignedNote, VerifierKey};
use cairn_tree::size::TreeSize;
use cairn_tree::statement::Statement;
use cairn_tree::wire::signer::{Ask, HeadAsk, LINE_BYTES, Point, Told};

use super::{HeadSigner, HeadToSign, KeyType, SignerError};

/// How long a signer may be away before that is a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// The wait between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How often a signer may ask for a proof from another size; nobody else makes it sign in between.
const PROOFS: usize = 3;

/// A connection to a signer process, made when it is first needed.
pub struct Connection {
    path: PathBuf,
    stream: Mutex<Option<BufReader<UnixStream>>>,
}

/// One log's keys at a signer process.
pub struct RemoteSigner {
    connection: Arc<Connection>,
    keys: Vec<VerifierKey>,
    /// What the signer is known to have signed last.
    last: Mutex<Option<TreeSize>>,
}

impl Connection {
    /// The signer that listens at `path`; nothing is asked yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, stream: Mutex::new(None) }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys that the signer has of a log.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn keys(&self, origin: &str) -> Result<Vec<VerifierKey>, SignerError> {
        match self.ask(&Ask::Keys { origin: origin.to_owned() })? {
            Told::Keys(keys) => keys.iter().map(|key| parse_key(key)).collect(),
            other => Err(unexpected(other)),
        }
    }

    /// Lets the signer make a key.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn new_key(&self, origin: &str, kind: KeyType) -> Result<VerifierKey, SignerError> {
        match self.ask(&Ask::NewKey { origin: origin.to_owned(), kind })? {
            Told::Key(key) => parse_key(&key),
            other => Err(unexpected(other)),
        }
    }

    /// Asks until there is an answer or the patience is over.
    fn ask(&self, ask: &Ask) -> Result<Told, SignerError> {
        let mut line = serde_json::to_vec(ask).map_err(|error| SignerError::Failed(error.to_string()))?;
        line.push(b'\n');
        let deadline = Instant::now() + PATIENCE;
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.exchange(&mut stream, &line) {
                Ok(Told::Refused(reason)) => return Err(SignerError::Refused(reason)),
                Ok(Told::Failed(reason)) => return Err(SignerError::Failed(reason)),
                Ok(told) => return Ok(told),
                Err(error) => {
                    *stream = None;
                    if Instant::now() >= deadline {
                        return Err(SignerError::Failed(format!("{}: {error}", self.path.display())));
                    }
                    sleep(PAUSE);
                }
            }
        }
    }

    fn exchange(&self, stream: &mut Option<BufReader<UnixStream>>, line: &[u8]) -> io::Result<Told> {
        let stream = match stream {
            Some(stream) => stream,
            None => {
                let connected = cairn_listen::connect(&self.path)?;
                connected.set_read_timeout(Some(ANSWER_TIME))?;
                connected.set_write_timeout(Some(ANSWER_TIME))?;
                stream.insert(BufReader::new(connected))
            }
        };
        stream.get_mut().write_all(line)?;
        let mut answer = Vec::new();
        stream.take(LINE_BYTES as u64).read_until(b'\n', &mut answer)?;
        if answer.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_slice(&answer).map_err(io::Error::other)
    }
}

impl RemoteSigner {
    /// Signs with these keys of the log, which the signer must have.
    #[must_use]
    pub fn new(connection: Arc<Connection>, keys: Vec<VerifierKey>) -> Self {
        Self { connection, keys, last: Mutex::new(None) }
    }

    fn vkeys(&self) -> Vec<String> {
        self.keys.iter().map(ToString::to_string).collect()
    }
}

impl HeadSigner for RemoteSigner {
    fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    fn sign_head(&self, head: &HeadToSign<'_>) -> Result<Vec<NoteSignature>, SignerError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = last.unwrap_or(head.old.size);
        for _ in 0..PROOFS {
            let growth = Growth { from, to: head.new.size };
            let needed = from > TreeSize::ZERO && from < head.new.size;
            let proof =
                if needed { (head.prove)(growth).map_err(SignerError::Failed)?.hashes().to_vec() } else { Vec::new() };
            let ask = HeadAsk {
                origin: head.origin.to_string(),
                head: Point::from(head.new),
                time_ms: head.time_ms,
                released: Point::from(head.old),
                from: from.get(),
                proof: proof.iter().map(Hash::to_base64).collect(),
                keys: self.vkeys(),
            };
            match self.connection.ask(&Ask::Head(Box::new(ask)))? {
                Told::Signed(lines) => {
                    let lines = verified(&lines, head, &self.keys)?;
                    *last = Some(head.new.size);
                    return Ok(lines);
                }
                Told::From(point) => from = point.root().map(|root: Root| root.size).unwrap_or(from),
                other => return Err(unexpected(other)),
            }
        }
        Err(SignerError::Failed("it asks for one proof after the other; does another server use it?".to_owned()))
    }

    fn sign_statement(&self, statement: &Statement) -> Result<Vec<NoteSignature>, SignerError> {
        let text = statement.text();
        let keys: Vec<_> = self.keys.iter().filter(|key| key.kind() == SignatureType::ED25519).cloned().collect();
        let vkeys = keys.iter().map(ToString::to_string).collect();
        let Told::Signed(lines) = self.connection.ask(&Ask::Statement { text: text.clone(), keys: vkeys })? else {
            return Err(SignerError::Failed("it answers something else".to_owned()));
        };
        let lines = parse_lines(&lines)?;
        let wrong = |error: &dyn core::fmt::Display| SignerError::Failed(format!("its signatures are wrong: {error}"));
        let note = SignedNote::new(text, lines.clone()).map_err(|error| wrong(&error))?;
        let signers = note.verify(&keys).map_err(|error| wrong(&error))?.signers().len();
        if signers == keys.len() { Ok(lines) } else { Err(wrong(&"one is missing")) }
    }
}

/// The lines, if they are one good signature by each key.
fn verified(lines: &str, head: &HeadToSign<'_>, keys: &[VerifierKey]) -> Result<Vec<NoteSignature>, SignerError> {
    let lines = parse_lines(lines)?;
    let wrong = |error: &dyn core::fmt::Display| SignerError::Failed(format!("its signatures are wrong: {error}"));
    let text = Checkpoint::new(head.origin.clone(), head.new.size, head.new.hash).text();
    let note = SignedNote::new(text, lines.clone()).map_err(|error| wrong(&error))?;
    let signed = SignedCheckpoint::parse(note.encode().as_bytes()).map_err(|error| wrong(&error))?;
    let verified = signed.verify(keys).map_err(|error| wrong(&error))?;
    if verified.keys().len() == keys.len() { Ok(lines) } else { Err(wrong(&"one is missing")) }
}

fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, SignerError> {
    NoteSignature::parse_lines(lines).map_err(|error| SignerError::Failed(format!("its answer can't be read: {error}")))
}

fn parse_key(text: &str) -> Result<VerifierKey, SignerError> {
    text.parse().map_err(|error| SignerError::Failed(format!("its answer can't be read: {error}")))
}

fn unexpected(told: Told) -> SignerError {
    match told {
        Told::Refused(reason) => SignerError::Refused(reason),
        Told::Failed(reason) => SignerError::Failed(reason),
        _ => SignerError::Failed("it answers something else; is it of another version?".to_owned()),
    }
}
