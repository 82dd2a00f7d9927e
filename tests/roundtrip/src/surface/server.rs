//! The server under test: one public log that a known token may append to, one that anybody may, and one that nobody
//! here may see.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cairn_listen::Listener;
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::merkle::{Extension, Growth, Root};
use cairn_tree::note::{KeyName, SignatureType, SignerKey, VerifierKey};
use cairn_tree::size::TreeSize;
use cairn_tree::store::DatabaseId;
use cairnd::auth::{Token, TokenTerms, TokenText, Tokens};
use cairnd::config::Config;
use cairnd::cosigners::{Cosigners, CosignersParts};
use cairnd::engine::{Clock, Engine, EngineOptions, EntryBatch, Log, PoolBounds, Terms};
use cairnd::http::{App, AppParts, RecordParts};
use cairnd::log_name::LogName;
use cairnd::metrics::{Metrics, Watched};
use cairnd::records::capture::{Capture, Room};
use cairnd::records::{Homes, NoRandomness, Own, Random, Reporter, SecretFile, Settings, States};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

/// The one entry of the log that nobody may see.
pub(super) const SECRET_ENTRY: &[u8] = b"only who may read this log ever sees this entry";
/// A fixed time: what is signed depends on the inputs alone.
const NOW_MS: u64 = 1_700_000_000_000;
/// Appends of public logs before the first input, so that there are tiles and bundles to ask for.
const ENTRIES: usize = 600;
/// Heads between two proofs that the log only grew.
const PROVE_EVERY: u64 = 64;

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> u64 {
        NOW_MS
    }
}

/// Bytes that are all different, and the same in each run.
#[derive(Default)]
struct Counted(AtomicU64);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for piece in bytes.chunks_mut(8) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            piece.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}

/// A log that is watched from outside.
struct Watch {
    log: Log,
    keys: Vec<VerifierKey>,
    proven: Mutex<(u64, Root)>,
}

pub(super) struct Server {
    engine: Engine,
    address: SocketAddr,
    watches: Vec<Watch>,
    // Held open as long as the process lives.
    _runtime: Runtime,
    _stop: watch::Sender<bool>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let (stop, stopping) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let engine = runtime.block_on(async { filled(&folder, &metrics).await });
        let guard = runtime.enter();
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).expect("a listener");
        let address = listener.address().expect("an address");
        let app = app(folder.path(), &engine, &metrics, stopping.clone());
        let limits = Config::default().limits.listening();
        let observer = Arc::clone(&metrics.http);
        runtime.spawn(listener.run(Arc::new(app), observer, limits, runtime.handle().clone().into(), stopping));
        drop(guard);
        let watches = ["main", "open"].map(|name| Watch::new(engine.log(name).expect("a log"))).into();
        Self { engine, address, watches, _runtime: runtime, _stop: stop, _folder: folder }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database goes on, and every log's head verifies and extends what it was.
    pub(super) fn check(&self) {
        assert_eq!(self.engine.poisoned(), None);
        self.watches.iter().for_each(Watch::check);
    }
}

impl Watch {
    fn new(log: Log) -> Self {
        let keys = log.vkeys().iter().map(|key| key.parse().expect("a verifier key")).collect();
        let start = Root { size: log.head().size, hash: log.head().root };
        Self { log, keys, proven: Mutex::new((0, start)) }
    }

    fn check(&self) {
        let head = self.log.head();
        let mut proven = self.proven.lock().expect("no check failed before");
        let (seen, old) = &mut *proven;
        assert!(head.size >= old.size, "the log shrank");
        *seen += 1;
        if head.size == old.size {
            assert_eq!(head.root, old.hash, "another root for one size");
            return;
        }
        let signed = SignedCheckpoint::parse(&head.note).expect("a signed note").verify(&self.keys).expect("a head");
        let new = Root { size: signed.size(), hash: signed.root() };
        if seen.is_multiple_of(PROVE_EVERY) && old.size > TreeSize::ZERO {
            let proof = self.log.consistency(&head, Growth { from: old.size, to: new.size }).expect("a proof");
            proof.verify(&Extension { old: *old, new }).expect("the log only grows");
            *old = new;
        }
    }
}

async fn filled(folder: &tempfile::TempDir, metrics: &Arc<Metrics>) -> Engine {
    let options = EngineOptions {
        data: folder.path().to_owned(),
        high_water: None,
        pool: PoolBounds { requests: 1_000, bytes: 64 << 20 },
        idempotency_ms: 3_600_000,
        disk_reserve: 0,
        signer: None,
        settings: cairn_rocks::Settings::default(),
    };
    Engine::create(&options, DatabaseId::new([7; 16])).expect("a database");
    let (observer, _) = Watched::new(Arc::clone(&metrics.engine));
    let engine = Engine::open(&options, Arc::new(Still), Arc::new(observer)).expect("an open database");
    for (seed, name) in (0..).zip(["main", "open", "hidden"]) {
        let (private, open_append) = (name == "hidden", name == "open");
        let origin = format!("localhost/logs/{name}");
        let terms = Terms {
            name: LogName::new(name).expect("a name"),
            origin: origin.clone(),
            private,
            open_append,
            dedup: false,
            hash_index: true,
        };
        let key = KeyName::new(origin).expect("a key name");
        let key = SignerKey::from_seed(key, SignatureType::ED25519, &[seed; 32]).expect("a key");
        engine.create_log(terms, vec![key]).await.expect("a new log");
        let entries = (0..ENTRIES).map(|number| format!("{name} {number}").into_bytes());
        let entries: Vec<Vec<u8>> = if private { vec![SECRET_ENTRY.to_vec()] } else { entries.collect() };
        let batch = EntryBatch::from_entries(entries.iter().map(Vec::as_slice)).expect("a batch");
        engine.log(name).expect("the log").append(batch, None).await.expect("an append");
    }
    engine
}

fn app(folder: &Path, engine: &Engine, metrics: &Arc<Metrics>, stop: watch::Receiver<bool>) -> App {
    let limits = Config::default().limits;
    let parts = CosignersParts {
        engine: engine.clone(),
        limits: limits.clone(),
        clock: Arc::new(Still),
        random: 7,
        stop: stop.clone(),
    };
    // The token of the seeds.
    let text = TokenText::from_random([7; TokenText::RANDOM_BYTES]);
    let rights = "append,read,disclose:secret".parse().expect("rights");
    let (logs, tenants) = ("main".parse().expect("a selector"), "*".parse().expect("tenants"));
    let producer_keys = Vec::new();
    let randomness = Arc::new(Counted::default());
    let secret = Arc::new(SecretFile::open(folder, engine, &*randomness).expect("a secret"));
    let own = Arc::new(Own::new(Arc::clone(&secret), randomness.clone(), Arc::new(Still)));
    let reporter = Reporter::open(folder, engine.incidents(), Arc::new(Still)).expect("incidents");
    let homes = Arc::new(Homes::open(folder).expect("the tenants' logs"));
    let options = Config::default().digit.options().expect("the defaults");
    let room = Room { messages: 100, bytes: 1 << 20 };
    let capture = Arc::new(Capture::open(folder, Vec::new(), options, room).expect("an empty quarantine"));
    let settings = Arc::new(Settings::open(folder).expect("the settings"));
    let records = RecordParts {
        randomness,
        secret,
        own,
        reporter: Arc::new(reporter),
        homes,
        settings,
        states: States::default(),
        capture,
    };
    let token = Token::new(&text, TokenTerms { name: "fuzz".into(), rights, logs, tenants, producer_keys }, NOW_MS);
    App::new(AppParts {
        engine: engine.clone(),
        cosigners: Cosigners::start(parts).expect("an HTTP client"),
        scrub: Arc::default(),
        tokens: Arc::new(Tokens::new(vec![token])),
        limits,
        metrics: Arc::clone(metrics),
        clock: Arc::new(Still),
        logging: Config::default().logging,
        stop,
        random: 7,
        readers: Handle::current(),
        records,
    })
}
