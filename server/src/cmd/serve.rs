//! `cairnd serve`: from an opened database to a clean stop.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use cairn_listen::{Listener, Observer, SlowHandle, SlowLane, WarningLimit, acceptor, raise_open_files};
use cairnd::admin::{self, Operator, TokenOffice};
use cairnd::auth::{Caller, TokenFile, TokenId, Tokens};
use cairnd::backup;
use cairnd::config::{Config, LogFormat, Logging};
use cairnd::cosigners::{Cosigners, CosignersParts};
use cairnd::engine::{Engine, ScrubOptions, Scrubber, SystemClock, clear_undecided, remove_frozen};
use cairnd::http::{App, AppParts, Captures, Loopback, RecordParts};
use cairnd::limits::Limits;
use cairnd::metrics::{Metrics, Watched};
use cairnd::readers::Readers;
use cairnd::records::capture::{Capture, Room};
use cairnd::records::{Chronicle, Comparison, Own, RecordScrub, Reporter, SecretFile, Settings, States, SystemRandom};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::folder::{Folder, homes};
use super::open_files::OpenFiles;
use super::signals::Signals;
use super::{Data, FAILED, print};

/// How often expired idempotency keys are forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// Threads for blocking work beside reads: hashing of large bodies, compression, checks.
const BLOCKING_THREADS: usize = 32;
/// How long the ready line waits for witnesses to agree that their logs go on.
const PROMPT_WITNESSES: Duration = Duration::from_secs(1);
/// How long answers that tell of a failed database may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long reads that nobody waits for any more may take to end.
const LAST_WORK: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where to listen [default: 127.0.0.1:6962].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A proxy in front ends TLS: listen off loopback without it.
    #[arg(long)]
    behind_tls_proxy: bool,
    /// Serve logs that anyone may append to off loopback; the configuration must say so too.
    #[arg(long)]
    open_append_off_loopback: bool,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut folder = Folder::open(&self.data)?;
        let config = &mut folder.config;
        config.serve.listen = self.listen.unwrap_or(config.serve.listen);
        config.serve.behind_tls_proxy |= self.behind_tls_proxy;
        // Anyone at all could fill such a log: one slip must not be enough.
        config.serve.open_append_off_loopback &= self.open_append_off_loopback;
        let warnings = start_logging(&config.logging)?;
        let _told = warnings.told_at_end();
        refuse_huge_pages();
        refuse_bare(config)?;
        let files = OpenFiles::of(raise_open_files());
        files.cap(&mut config.limits);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if config.serve.threads > 0 {
            builder.worker_threads(config.serve.threads);
        }
        let blocking = config.limits.disk_reads() + config.limits.crowd_reads() + BLOCKING_THREADS;
        builder.max_blocking_threads(blocking);
        let runtime = builder.enable_all().build().context("the runtime can't be started")?;
        let readers = Readers::new(config.limits.bundle_reads()).context("threads for readers can't be begun")?;
        let slow = SlowLane::start(blocking).context("threads for crowds can't be begun")?;
        let threads = Threads { readers: readers.handle().clone(), slow: slow.handle().clone() };
        let code = runtime.block_on(serve(&folder, files.tables(), threads, warnings))?;
        // The store is closed by whichever task lets go of it last, and that has to happen before this process ends: RocksDB
        // aborts when it is closed while its own statics are taken down. Work that nobody waits for must not hold that up.
        readers.end(LAST_WORK);
        slow.end(LAST_WORK);
        runtime.shutdown_timeout(LAST_WORK);
        Ok(code)
    }
}

/// Keeps the kernel from backing memory with huge pages. Every thread that reads has some memory of its own, of which it uses
/// little; in huge pages, a hundred such threads take a gigabyte.
fn refuse_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        warn!(%error, "the kernel may go on using huge pages; the server will take more memory");
    }
}

/// Threads beside those that answer whoever asks for one thing after the other.
struct Threads {
    /// For whole reads.
    readers: Handle,
    /// For crowds.
    slow: SlowHandle,
}

async fn serve(folder: &Folder, tables: u64, threads: Threads, warnings: WarningLimit) -> anyhow::Result<ExitCode> {
    let config = &folder.config;
    let (stop, stopping) = watch::channel(false);
    let metrics = Arc::new(Metrics { warnings, ..Metrics::default() });
    let (observer, mut poisoned) = Watched::new(Arc::clone(&metrics.engine));
    let token_file = TokenFile::of(&folder.path);
    let tokens = Arc::new(Tokens::new(token_file.load_and_add_sum()?));
    let engine = open_engine(folder, tables, observer)?;
    clear_left(&folder.path)?;
    refuse_open_logs(config, &engine)?;
    let listeners = Listeners::bind(config, &tokens)?;
    let url = listeners.all.url()?;
    let office = TokenOffice::new(token_file, Some(Arc::clone(&tokens)), Arc::new(SystemClock));
    let records = record_parts(folder, &engine)?;
    let chronicle = chronicle(folder, &engine, &records);
    let comparison = comparison(&engine, &records);
    comparison.at_start()?;
    let captures = Arc::new(Captures::default());
    let operator = operator(&engine, (office, &captures), &records, config);
    let admin = admin::listen(&folder.path, Arc::new(operator), &config.limits, stopping.clone())?;
    let admin = tokio::spawn(admin);
    let observer = Arc::clone(&metrics.http);
    let cosigners = start_cosigners(&engine, config, &stopping)?;
    // Ends with this function, however it ends, and lets go of the store then.
    let scrubber = start_scrubber(&engine, config, &records.reporter)?;
    let app = App::new(AppParts {
        engine: engine.clone(),
        cosigners: Arc::clone(&cosigners),
        scrub: scrubber.figures(),
        tokens,
        limits: config.limits.clone(),
        metrics,
        clock: Arc::new(SystemClock),
        logging: config.logging.clone(),
        stop: stopping.clone(),
        random: random()?,
        readers: threads.readers,
        records,
    });
    let signals = Signals::new()?;
    let app = Arc::new(app);
    captures.attach(&app);
    let serving = tokio::spawn(listeners.run(app, observer, (config.limits.clone(), threads.slow), stopping));
    let sweeping = tokio::spawn(sweep(engine.clone()));
    let (told, compared) = (chronicle.run(stop.subscribe()), comparison.run(stop.subscribe()));
    let chronicling = tokio::spawn(async move { tokio::join!(told, compared) });
    // Reads are answered already; whoever waits for the line below is spared refusals of a moment.
    let witnesses = cosigners.let_go(&engine);
    // Witnesses that take longer are waited for by their own logs.
    let _ = tokio::time::timeout(PROMPT_WITNESSES, witnesses).await;
    let catching_up = tokio::spawn(async move { captures.catch_up().await });
    print(&format!("cairnd is ready at {url}"))?;
    info!(url, "ready");
    let clean = signals.first_or(&mut poisoned).await;
    // Nobody listens only if everything has ended already.
    let _ = stop.send(true);
    sweeping.abort();
    catching_up.abort();
    if !clean {
        tokio::time::sleep(LAST_WORDS).await;
        return Ok(ExitCode::from(FAILED));
    }
    info!("stopping: finishing what was accepted");
    serving.await.context("the listener failed")?;
    admin.await.context("the admin socket failed")?;
    chronicling.await.context("the writer of incidents failed")?;
    close(engine, scrubber).await?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn start_cosigners(
    engine: &Engine,
    config: &Config,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<Arc<Cosigners>> {
    Cosigners::start(CosignersParts {
        engine: engine.clone(),
        limits: config.limits.clone(),
        clock: Arc::new(SystemClock),
        random: random()?,
        stop: stopping.clone(),
    })
    .context("witnesses can't be asked")
}

fn record_parts(folder: &Folder, engine: &Engine) -> anyhow::Result<RecordParts> {
    let secret = Arc::new(SecretFile::open(&folder.path, engine, &SystemRandom)?);
    let own = Arc::new(Own::new(Arc::clone(&secret), Arc::new(SystemRandom), Arc::new(SystemClock)));
    let reporter = Reporter::open(&folder.path, engine.incidents(), Arc::new(SystemClock));
    let reporter = Arc::new(reporter.context("incidents can't be read")?);
    let homes = homes(&folder.path, engine)?;
    let settings = Arc::new(Settings::open(&folder.path)?);
    let capture = Arc::new(capture(folder)?);
    Ok(RecordParts {
        randomness: Arc::new(SystemRandom),
        secret,
        own,
        reporter,
        homes,
        settings,
        states: States::default(),
        capture,
    })
}

fn chronicle(folder: &Folder, engine: &Engine, records: &RecordParts) -> Chronicle {
    let (own, homes, told) = (Arc::clone(&records.own), Arc::clone(&records.homes), records.reporter.told());
    Chronicle::new(folder.path.clone(), engine.clone(), own, homes, told)
}

fn comparison(engine: &Engine, records: &RecordParts) -> Comparison {
    let (settings, homes) = (Arc::clone(&records.settings), Arc::clone(&records.homes));
    Comparison { settings, engine: engine.clone(), homes, clock: Arc::new(SystemClock) }
}

fn capture(folder: &Folder) -> anyhow::Result<Capture> {
    let (digit, limits) = (&folder.config.digit, &folder.config.limits);
    let options = digit.options().map_err(anyhow::Error::msg)?;
    let room = Room { messages: limits.quarantine_messages(), bytes: limits.quarantine_bytes() };
    let capture = Capture::open(&folder.path, digit.persister.clone(), options, room)?;
    for warning in capture.persister().iter().flat_map(|persister| persister.warnings()) {
        warn!("{warning}");
    }
    Ok(capture)
}

/// Where requests come in.
struct Listeners {
    /// For all routes.
    all: Listener,
    /// For DIGIT's, if there is to be one, and the token that its requests act as.
    digit: Option<(Listener, TokenId)>,
}

impl Listeners {
    fn bind(config: &Config, tokens: &Tokens) -> anyhow::Result<Self> {
        let tls = match (&config.serve.tls_certificate, &config.serve.tls_key) {
            (Some(certificate), Some(key)) => Some(acceptor(certificate, key)?),
            _ => None,
        };
        let listen = config.serve.listen;
        let all = Listener::bind(listen, tls).with_context(|| format!("can't listen on {listen}"))?;
        let (Some(listen), Some(token)) = (config.digit.listen, config.digit.token) else {
            return Ok(Self { all, digit: None });
        };
        if matches!(tokens.of_id(token), Caller::Unknown) {
            warn!(
                %token, %listen,
                "digit.token names no token, so that digit.listen stays closed; all else is served. Name another token \
                 there (cairnd token list shows them), or remove both settings, and start again"
            );
            return Ok(Self { all, digit: None });
        }
        let digit = Listener::bind(listen, None).with_context(|| format!("can't listen on {listen} (digit.listen)"))?;
        info!(url = digit.url()?, %token, "requests to DIGIT's routes need no credential here");
        Ok(Self { all, digit: Some((digit, token)) })
    }

    /// Serves both until `stop`.
    async fn run(
        self,
        app: Arc<App>,
        observer: Arc<dyn Observer>,
        (limits, slow): (Limits, SlowHandle),
        stop: watch::Receiver<bool>,
    ) {
        let beside = self.digit.map(|(listener, token)| {
            let service = Arc::new(Loopback::new(Arc::clone(&app), token));
            listener.run(service, Arc::clone(&observer), limits.listening(), slow.clone(), stop.clone())
        });
        let beside = async {
            if let Some(beside) = beside {
                beside.await;
            }
        };
        tokio::join!(self.all.run(app, observer, limits.listening(), slow, stop), beside);
    }
}

fn operator(
    engine: &Engine,
    (tokens, captures): (TokenOffice, &Arc<Captures>),
    records: &RecordParts,
    config: &Config,
) -> Operator {
    Operator {
        engine: engine.clone(),
        tokens,
        homes: Arc::clone(&records.homes),
        settings: Arc::clone(&records.settings),
        own: Arc::clone(&records.own),
        origin_prefix: config.logs.origin_prefix.clone(),
        open_append_allowed: open_append_allowed(config),
        captures: Arc::clone(captures),
    }
}

fn open_engine(folder: &Folder, tables: u64, observer: Watched) -> anyhow::Result<Engine> {
    let mut options = folder.engine_options();
    options.settings.open_files = u16::try_from(tables).unwrap_or(u16::MAX);
    Ok(Engine::open(&options, Arc::new(SystemClock), Arc::new(observer))?)
}

/// Removes what a repair left that was killed, and what a backup did, unless one is at work.
fn clear_left(data: &Path) -> anyhow::Result<()> {
    clear_undecided(data).context("what is left of a repair can't be removed")?;
    match backup::hold(data) {
        Ok(_nobody_copies) => {
            backup::remove_links(data)?;
            remove_frozen(data).context("the frozen copy of a backup can't be removed")
        }
        Err(_) => Ok(()),
    }
}

async fn close(engine: Engine, scrubber: Scrubber) -> anyhow::Result<()> {
    let close = move || {
        scrubber.close();
        engine.close();
    };
    cairn_listen::spawn_blocking(close).await.context("the writer failed")
}

fn start_scrubber(engine: &Engine, config: &Config, reporter: &Arc<Reporter>) -> anyhow::Result<Scrubber> {
    let limits = &config.limits;
    let options = ScrubOptions { bytes_per_second: limits.scrub_bytes_per_second(), rest: limits.scrub_rest() };
    let records = Arc::new(RecordScrub::new(Arc::clone(reporter)));
    Scrubber::start(engine, options, Arc::new(SystemClock), records).context("the scrubber can't be started")
}

async fn sweep(engine: Engine) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        engine.sweep();
    }
}

pub(super) fn start_logging(logging: &Logging) -> anyhow::Result<WarningLimit> {
    let directives = std::env::var("CAIRND_LOG").unwrap_or_else(|_| logging.filter.clone());
    let filter = EnvFilter::try_new(&directives).with_context(|| format!("logging.filter {directives:?}"))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let warnings = WarningLimit::of_process().context("a thread for the log can't be begun")?;
    let started = match logging.format {
        LogFormat::Text => subscriber.with_ansi(false).finish().with(warnings.clone()).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).finish().with(warnings.clone()).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging can't be started: {error}"))?;
    Ok(warnings)
}

/// Tokens and private entries must not cross a network in the clear.
fn refuse_bare(config: &Config) -> anyhow::Result<()> {
    let serve = &config.serve;
    if serve.listen.ip().is_loopback() || serve.tls_key.is_some() || serve.behind_tls_proxy {
        return Ok(());
    }
    bail!(
        "{} is off loopback and there is no TLS: set serve.tls_certificate and serve.tls_key in the configuration, or say \
         --behind-tls-proxy if a proxy in front ends TLS",
        serve.listen
    );
}

/// Behind a proxy on the same machine, loopback is not the boundary any more.
fn open_append_allowed(config: &Config) -> bool {
    let local = config.serve.listen.ip().is_loopback() && !config.serve.behind_tls_proxy;
    local || config.serve.open_append_off_loopback
}

fn refuse_open_logs(config: &Config, engine: &Engine) -> anyhow::Result<()> {
    if open_append_allowed(config) {
        return Ok(());
    }
    match engine.logs().iter().find(|log| log.info().open_append) {
        None => Ok(()),
        Some(log) => bail!(
            "log {} takes appends from anyone and {} is off loopback; if that is meant, say it twice: \
             serve.open_append_off_loopback in the configuration and --open-append-off-loopback here",
            log.info().name,
            config.serve.listen
        ),
    }
}

fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    Ok(u64::from_le_bytes(bytes))
}
