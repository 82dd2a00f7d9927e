//! A C2SP witness (tlog-witness) in the test's own process: real keys, all checks of the specification, and faults when
//! it is told to have some. It remembers what it cosigned for as long as it lives, whatever becomes of the logs.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cairn_tree::checkpoint::{Checkpoint, SignedCheckpoint, Timestamp, VerifiedCheckpoint};
use cairn_tree::cosignature::cosign;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::Extension;
use cairn_tree::note::{KeyName, SignatureType, SignerKey, VerifierKey};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::{AddCheckpoint, Conflict, Cosignatures, MAX_REQUEST_BYTES};

/// What is wrong with a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It closes every connection at once.
    Dead,
    /// It takes requests and answers nothing.
    Hang,
    /// It answers after this time.
    Slow(Duration),
    /// It answers with this status and no body, and checks nothing.
    Status(u16),
    /// It cosigns, and one bit of the signature is another.
    WrongSignature,
    /// It answers with the cosignature of the head before.
    Replay,
    /// It answers with a cosignature of this head that it might have made an hour ago.
    LongAgo,
    /// It answers with the cosignature of this head that it gave last, if it gave one.
    Stuck,
    /// It cosigns a head of another size.
    OtherSize,
    /// It cosigns with a key that nobody knows, under its own name.
    UnknownKey,
    /// It answers with bytes that are no signature lines.
    Garbage,
    /// It answers without end.
    Endless,
    /// It claims to have cosigned this size, and shows nothing.
    Claims(u64),
}

/// A witness on a port of its own. It ends when it is dropped.
pub struct Witness {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

struct State {
    name: String,
    key: SignerKey,
    logs: HashMap<String, Known>,
    fault: Option<Fault>,
    requests: u64,
    /// The last time that it attested: each one is later.
    time: u64,
}

/// A log that it knows.
struct Known {
    key: VerifierKey,
    latest: Option<VerifiedCheckpoint>,
    /// The latest with its cosignature.
    shown: Option<SignedCheckpoint>,
    /// The cosignatures of the latest, and of the last one of another size.
    lines: Option<Cosignatures>,
    before: Option<Cosignatures>,
}

impl Witness {
    /// Serves a witness of this name.
    ///
    /// # Panics
    /// If there is no port, or the name is none.
    #[must_use]
    pub fn serve(name: &str, seed: u8) -> Self {
        Self::serve_with(name, seed, SignatureType::COSIGNATURE_ED25519)
    }

    /// Serves a witness with a key of this type.
    ///
    /// # Panics
    /// As [`Witness::serve`].
    #[must_use]
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn serve_with(name: &str, seed: u8, kind: SignatureType) -> Self {
        let key_name = KeyName::new(format!("{name}.example")).expect("a key's name");
        let key = SignerKey::from_seed(key_name, kind, &[seed; 32]).expect("a key");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("the port's number");
        let (name, logs) = (name.to_owned(), HashMap::new());
        let state = Arc::new(Mutex::new(State { name, key, logs, fault: None, requests: 0, time: 0 }));
        let stop = Arc::new(AtomicBool::new(false));
        let (its_state, its_stop) = (Arc::clone(&state), Arc::clone(&stop));
        std::thread::spawn(move || accept(&listener, &its_state, &its_stop));
        Self { address, state, stop }
    }

    /// Its name in policies.
    #[must_use]
    pub fn name(&self) -> String {
        self.lock().name.clone()
    }

    /// Its public key.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.lock().key.verifier_key().to_string()
    }

    /// Its submission and monitoring prefix.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The line of a policy that names it.
    #[must_use]
    pub fn line(&self) -> String {
        format!("witness {} {} {}\n", self.name(), self.vkey(), self.url())
    }

    /// Knows a log from now on.
    ///
    /// # Panics
    /// If the key is none.
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    pub fn trust(&self, vkey: &str) {
        let key: VerifierKey = vkey.parse().expect("a vkey");
        let known = Known { key: key.clone(), latest: None, shown: None, lines: None, before: None };
        self.lock().logs.insert(key.name().as_str().to_owned(), known);
    }

    /// Forgets every log.
    pub fn forget(&self) {
        self.lock().logs.clear();
    }

    /// Has a fault from now on, or none.
    pub fn fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// How many requests it got.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// The size that it cosigned last for a log.
    #[must_use]
    pub fn confirmed(&self, origin: &str) -> Option<u64> {
        let state = self.lock();
        Some(state.logs.get(origin)?.latest.as_ref()?.size().get())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

/// A policy of these witnesses, of which so many must cosign.
#[must_use]
pub fn policy(witnesses: &[&Witness], quorum: usize) -> String {
    let mut text: String = witnesses.iter().map(|witness| witness.line()).collect();
    if quorum == 0 {
        return text + "quorum none\n";
    }
    let names: Vec<String> = witnesses.iter().map(|witness| witness.name()).collect();
    // Writing to a string succeeds.
    let _ = writeln!(text, "group all-of-them {quorum} {}\nquorum all-of-them", names.join(" "));
    text
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>, stop: &Arc<AtomicBool>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let (state, stop) = (Arc::clone(state), Arc::clone(stop));
        // Ends with its connection; a client that went away is no matter here.
        std::thread::spawn(move || drop(serve(stream, &state, &stop)));
    }
}

/// One connection, request after request.
fn serve(stream: TcpStream, state: &Mutex<State>, stop: &AtomicBool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let Some((path, body)) = request(&mut reader)? else { return Ok(()) };
        let fault = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests += 1;
            state.fault
        };
        match fault {
            _ if stop.load(Ordering::SeqCst) => return Ok(()),
            Some(Fault::Dead) => return Ok(()),
            // The client's patience ends first, and then the connection does.
            Some(Fault::Hang) => drop(reader.read(&mut [0])?),
            Some(Fault::Slow(time)) => std::thread::sleep(time),
            Some(Fault::Endless) => return endless(reader.get_mut()),
            _ => {}
        }
        let (status, body) = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match path.as_str() {
                "/add-checkpoint" => state.add_checkpoint(&body, fault),
                path => state.show(path),
            }
        };
        let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", body.len());
        reader.get_mut().write_all(&[head.into_bytes(), body].concat())?;
    }
}

/// The path and the body of the next request; `None` at the end.
fn request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap_or(0),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length.min(MAX_REQUEST_BYTES + 1)];
    reader.read_exact(&mut body)?;
    Ok(Some((path, body)))
}

fn endless(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 -\r\n\r\n")?;
    loop {
        stream.write_all(&[b'x'; 4_096])?;
    }
}

impl State {
    /// The checks of tlog-witness, add-checkpoint, in its order; then the answer, or what is wrong with it on purpose.
    fn add_checkpoint(&mut self, body: &[u8], fault: Option<Fault>) -> (u16, Vec<u8>) {
        match fault {
            Some(Fault::Status(status)) => return (status, Vec::new()),
            Some(Fault::Claims(size)) => return (409, format!("{size}\n").into_bytes()),
            Some(Fault::Garbage) => return (200, b"\xff no lines\n".to_vec()),
            _ => {}
        }
        let Ok(request) = AddCheckpoint::parse(body) else { return (400, Vec::new()) };
        let Some(known) = self.logs.get_mut(request.checkpoint().unverified().origin().as_str()) else {
            return (404, Vec::new());
        };
        let Ok(checkpoint) = request.checkpoint().verify(core::slice::from_ref(&known.key)) else {
            return (403, Vec::new());
        };
        // Only the log's own signatures may be forwarded.
        if checkpoint.signed().note().signatures().len() != 1 || request.old() > checkpoint.size() {
            return (400, Vec::new());
        }
        let latest = known.latest.as_ref().map(VerifiedCheckpoint::tree);
        let confirmed = latest.map_or(TreeSize::ZERO, |tree| tree.size);
        if request.old() != confirmed {
            return (409, Conflict { size: confirmed }.to_string().into_bytes());
        }
        let extends = match latest {
            None => request.proof().hashes().is_empty(),
            Some(old) if old.size == TreeSize::ZERO => request.proof().hashes().is_empty(),
            Some(old) if old.size == checkpoint.size() => {
                old.hash == checkpoint.root() && request.proof().hashes().is_empty()
            }
            Some(old) => request.proof().verify(&Extension { old, new: checkpoint.tree() }).is_ok(),
        };
        if !extends {
            return (422, Vec::new());
        }
        self.cosign(checkpoint, fault).map_or((500, Vec::new()), |lines| (200, lines.to_string().into_bytes()))
    }

    fn cosign(&mut self, checkpoint: VerifiedCheckpoint, fault: Option<Fault>) -> Option<Cosignatures> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        self.time = now.max(self.time + 1);
        let time = Timestamp::new(self.time).ok()?;
        let line = cosign(&checkpoint, &self.key, time).ok()?;
        let known = self.logs.get_mut(checkpoint.origin().as_str())?;
        let honest = Cosignatures::new(vec![line.clone()]).ok()?;
        if fault == Some(Fault::Stuck) && known.latest.as_ref().is_some_and(|latest| latest.size() == checkpoint.size())
        {
            return known.lines.clone();
        }
        let lines = known.lines.replace(honest.clone());
        if known.latest.as_ref().is_none_or(|latest| latest.size() != checkpoint.size()) {
            known.before = lines;
        }
        let before = known.before.clone();
        known.shown = Some(checkpoint.signed().clone().with_signature(line).ok()?);
        known.latest = Some(checkpoint.clone());
        match fault {
            Some(Fault::WrongSignature) => flipped(&honest),
            Some(Fault::Replay) => before,
            Some(Fault::LongAgo) => {
                let then = Timestamp::new(self.time.checked_sub(3_600)?).ok()?;
                Cosignatures::new(vec![cosign(&checkpoint, &self.key, then).ok()?]).ok()
            }
            Some(Fault::OtherSize) => {
                let size = TreeSize::new(checkpoint.size().get() + 1).ok()?;
                let other = Checkpoint::new(checkpoint.origin().clone(), size, Hash::leaf(b"another root"));
                Cosignatures::new(vec![cosign_unverified(&other, &self.key, time)?]).ok()
            }
            Some(Fault::UnknownKey) => {
                let name = self.key.verifier_key().name().clone();
                let key = SignerKey::from_seed(name, SignatureType::COSIGNATURE_ED25519, &[0xee; 32]).ok()?;
                Cosignatures::new(vec![cosign(&checkpoint, &key, time).ok()?]).ok()
            }
            _ => Some(honest),
        }
    }

    /// `<origin hash>/checkpoint`: what it cosigned last.
    fn show(&self, path: &str) -> (u16, Vec<u8>) {
        let shown = self.logs.iter().find(|(origin, _)| path == format!("/{}/checkpoint", origin_hash(origin)));
        let shown = shown.filter(|_| !matches!(self.fault, Some(Fault::Claims(_))));
        match shown.and_then(|(_, known)| known.shown.as_ref()) {
            Some(checkpoint) => (200, checkpoint.encode().into_bytes()),
            None => (404, Vec::new()),
        }
    }
}

/// The lines with one bit of the last signature flipped.
fn flipped(lines: &Cosignatures) -> Option<Cosignatures> {
    let text = lines.to_string();
    let at = text.len() - 10;
    let other = if text.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    Cosignatures::parse(format!("{}{other}{}", text.get(..at)?, text.get(at + 1..)?).as_bytes()).ok()
}

/// A cosignature of a head that no log has signed, by way of a log of this key's own making.
fn cosign_unverified(head: &Checkpoint, key: &SignerKey, time: Timestamp) -> Option<cairn_tree::note::NoteSignature> {
    let name = KeyName::new(head.origin().as_str()).ok()?;
    let log = SignerKey::from_seed(name, SignatureType::ED25519, &[0xdd; 32]).ok()?;
    let verified = head.sign(&log).ok()?.verify(&[log.verifier_key().clone()]).ok()?;
    cosign(&verified, key, time).ok()
}

/// The SHA-256 hash of an origin, in hexadecimal digits (tlog-witness, "Monitor Retrieval Mechanism").
#[must_use]
pub fn origin_hash(origin: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(origin).iter().map(|byte| format!("{byte:02x}")).collect()
}
