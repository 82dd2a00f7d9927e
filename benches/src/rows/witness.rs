//! `add-checkpoint` of a running witness, against the disk's own rate of synced writes.
//!
//! Each connection has a log of its own, which grows by one leaf per request: every answer is two cosignatures over a head
//! that was verified, proven and made durable. The disk's rate is that of one thread that writes 4 KiB into a file of full
//! length and syncs its data, again and again; turns are short, since a disk that others use changes from second to second.
//! One client waits for the way there and back as well, which no disk has: so there is a row beside a bare HTTP server that
//! writes and syncs each body, and does nothing else with it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn_tree::checkpoint::{Checkpoint, Origin};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{ConsistencyProof, Frontier, Growth, NodeCoord, ProofPlan};
use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::AddCheckpoint;

use crate::Settings;
use crate::bare_http::Bodies;
use crate::programs::{Server, init_witness};
use crate::report::{Rounds, Row};

/// The bytes of one of the disk's own writes, and how many of them are in its file.
const BLOCK: usize = 4_096;
const BLOCKS: u64 = 4_096;
/// How long one of the two is measured before the other has its turn.
const TURN: Duration = Duration::from_millis(500);
/// Requests of one turn that are made before it begins; a turn that has used them up ends.
const PREPARED: usize = 8_192;

/// The rates with one client and with many.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (clients, least, target) in [(1, 0.8, ">= 0.8"), (64, 1.0, "> 1")] {
        let mut row = beside_the_disk(settings, clients, target)?;
        row.met = Some(row.ratio >= Some(least));
        rows.push(row);
        rows.push(beside_a_server(settings, clients)?);
    }
    Ok(rows)
}

fn beside_the_disk(settings: &Settings, clients: usize, target: &str) -> anyhow::Result<Row> {
    let folder = settings.folder()?;
    let disk = Disk::new(&folder.path().join("disk"))?;
    let bare = "4 KiB written and fdatasync, one thread";
    row(settings, clients, (bare, target), |_| Ok(disk.turn()?))
}

fn beside_a_server(settings: &Settings, clients: usize) -> anyhow::Result<Row> {
    let folder = settings.folder()?;
    let server = Server::bare(folder.path(), Bodies::Synced, &settings.cores())?;
    let mut connections = connect(&server, clients)?;
    let bare = "an HTTP server that writes all bodies that wait, and one fdatasync for them";
    let mut row = row(settings, clients, (bare, ""), |requests| Ok(turn(&mut connections, requests)?.1))?;
    row.name.push_str(", beside a server");
    Ok(row)
}

fn connect(server: &Server, clients: usize) -> anyhow::Result<Vec<Connection>> {
    (0..clients).map(|_| Connection::open(server.origin())).collect()
}

/// The witness in turns with something bare, which may be sent the same requests.
fn row(
    settings: &Settings,
    clients: usize,
    (bare, target): (&str, &str),
    mut bare_turn: impl FnMut(&[Vec<Vec<u8>>]) -> anyhow::Result<Rate>,
) -> anyhow::Result<Row> {
    let folder = settings.folder()?;
    let mut logs: Vec<Log> = (0..clients).map(Log::new).collect::<anyhow::Result<_>>()?;
    let vkeys: Vec<String> = logs.iter().map(|log| log.key.verifier_key().to_string()).collect();
    let home = folder.path().join("witness");
    init_witness(&home, &vkeys)?;
    let witness = Server::witness(&home, &settings.cores())?;
    let mut connections = connect(&witness, clients)?;
    let mut rounds = Rounds::default();
    for round in 0..settings.rounds {
        let (mut ours, mut theirs) = (Rate::default(), Rate::default());
        while theirs.time < settings.time() {
            let prepared: Vec<Vec<Vec<u8>>> =
                logs.iter_mut().map(|log| log.requests(PREPARED / clients)).collect::<anyhow::Result<_>>()?;
            theirs.add(bare_turn(&prepared)?);
            let (asked, rate) = turn(&mut connections, &prepared)?;
            ours.add(rate);
            logs.iter_mut().zip(asked).for_each(|(log, asked)| log.settle(asked));
        }
        eprintln!("  round {round}: {:.0}/s, bare {:.0}/s", ours.per_second(), theirs.per_second());
        rounds.push(ours.per_second(), theirs.per_second());
    }
    let what = format!(
        "add-checkpoint per s, each durable and cosigned twice, {clients} connections, a log each; bare: {bare}"
    );
    let mut row = rounds.row(&format!("witness, {clients} clients"), &what, target);
    row.notes.push(format!("at most {:.0} MiB", witness.peak_mib()));
    Ok(row)
}

/// How many, and how long that took.
#[derive(Clone, Copy, Default)]
struct Rate {
    count: u64,
    time: Duration,
}

impl Rate {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.time += other.time;
    }

    fn per_second(self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

/// Every connection sends its requests one after another until the turn is over; returns how many each has sent.
fn turn(connections: &mut [Connection], prepared: &[Vec<Vec<u8>>]) -> anyhow::Result<(Vec<usize>, Rate)> {
    let start = Barrier::new(connections.len() + 1);
    let (asked, time) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let hands: Vec<_> = connections
            .iter_mut()
            .zip(prepared)
            .map(|(connection, requests)| {
                let start = &start;
                scope.spawn(move || -> anyhow::Result<usize> {
                    start.wait();
                    let begun = Instant::now();
                    for (number, request) in requests.iter().enumerate() {
                        if begun.elapsed() >= TURN {
                            return Ok(number);
                        }
                        connection.ask(request)?;
                    }
                    Ok(requests.len())
                })
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        let join = |hand: std::thread::ScopedJoinHandle<'_, anyhow::Result<usize>>| {
            hand.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
        };
        let asked: Vec<usize> = hands.into_iter().map(join).collect::<anyhow::Result<_>>()?;
        Ok((asked, begun.elapsed()))
    })?;
    let count = asked.iter().map(|count| *count as u64).sum();
    Ok((asked, Rate { count, time }))
}

/// A file that is written in place.
struct Disk(File);

impl Disk {
    fn new(path: &Path) -> std::io::Result<Self> {
        let file = File::create(path)?;
        file.write_all_at(&vec![0; BLOCK * BLOCKS as usize], 0)?;
        file.sync_all()?;
        Ok(Self(file))
    }

    fn turn(&self) -> std::io::Result<Rate> {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < TURN {
            self.0.write_all_at(&[count as u8; BLOCK], count % BLOCKS * BLOCK as u64)?;
            self.0.sync_data()?;
            count += 1;
        }
        Ok(Rate { count, time: begun.elapsed() })
    }
}

/// A log that grows by one leaf per request.
struct Log {
    key: SignerKey,
    frontier: Frontier,
    nodes: HashMap<NodeCoord, Hash>,
    /// The size that the witness knows.
    cosigned: u64,
    size: u64,
}

impl Log {
    fn new(number: usize) -> anyhow::Result<Self> {
        let mut seed = [7; SignerKey::SEED_BYTES];
        seed.iter_mut().zip((number as u64).to_be_bytes()).for_each(|(to, from)| *to = from);
        let name = KeyName::new(format!("log.bench/{number}"))?;
        let key = SignerKey::from_seed(name, SignatureType::ED25519, &seed)?;
        Ok(Self { key, frontier: Frontier::new(), nodes: HashMap::new(), cosigned: 0, size: 0 })
    }

    /// The next requests, each with its header.
    fn requests(&mut self, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        (self.cosigned..).take(count).map(|old| self.request(old)).collect()
    }

    fn request(&mut self, old: u64) -> anyhow::Result<Vec<u8>> {
        while self.size <= old {
            let nodes = &mut self.nodes;
            self.frontier.push(Hash::leaf(&self.size.to_be_bytes()), &mut |node, hash| _ = nodes.insert(node, hash))?;
            self.size += 1;
        }
        let (from, to) = (TreeSize::new(old)?, TreeSize::new(old + 1)?);
        let root = cairn_tree::merkle::RootPlan::tree(to);
        let root = root.fold(&self.hashes(root.nodes())?)?;
        let proof = if old == 0 {
            Vec::new()
        } else {
            let plan = ProofPlan::consistency(Growth { from, to })?;
            plan.fold(&self.hashes(plan.nodes())?)?
        };
        let head = Checkpoint::new(Origin::from(self.key.name()), to, root).sign(&self.key)?;
        let body = AddCheckpoint::new(from, ConsistencyProof::from_hashes(proof)?, head)?.to_string();
        let length = body.len();
        Ok(format!("POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes())
    }

    fn hashes(&self, nodes: &[NodeCoord]) -> anyhow::Result<Vec<Hash>> {
        nodes.iter().map(|node| self.nodes.get(node).copied().context("a node of the tree")).collect()
    }

    fn settle(&mut self, asked: usize) {
        self.cosigned += asked as u64;
    }
}

/// A kept connection.
struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(origin: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(origin.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a request and reads all of its answer, which must be a 200.
    fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(request)?;
        let (mut length, mut status) = (0, String::new());
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line)?;
            let line = self.line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                None => status = line.to_owned(),
                Some(_) => {}
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        anyhow::ensure!(status.starts_with("HTTP/1.1 200"), "{status}: {}", String::from_utf8_lossy(&self.body));
        Ok(())
    }
}
