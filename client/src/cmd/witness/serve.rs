//! `cairn witness serve`: from an opened folder to a clean stop.

use core::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_listen::{Bounds, Listener, SlowLane, acceptor, raise_open_files};
use clap::Args;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};

use super::DirOption;
use super::folder::Folder;
use crate::bounds::{GOSSIP_INTERVAL, GOSSIP_PEERS};
use crate::cmd::duration::Span;
use crate::cmd::failure::Failure;
use crate::cmd::logging::LoggingOptions;
use crate::cmd::options::random;
use crate::cmd::stop::Stop;
use crate::cmd::terminal::Terminal;
use crate::fetch::LogUrl;
use crate::gossip::Peer;
use crate::witness::{Shelf, Site, SystemClock, Witness, keep_listening, listen_for_admin};

/// Files that are not connections: state, logs, sockets of our own.
const OTHER_FILES: u64 = 256;
/// Threads for work that blocks on behalf of crowds; nearly nothing does.
const BLOCKING_THREADS: usize = 32;
/// How long answers that tell of a failed state may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long the state may take to be closed.
const CLOSING: Duration = Duration::from_secs(10);

/// Run the witness.
///
/// Prints one line when it is ready. SIGTERM or Ctrl-C lets it finish what it was asked.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    dir: DirOption,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:6963")]
    listen: SocketAddr,
    /// What stands before the paths, such as /w1.
    #[arg(long, value_name = "PATH", default_value = "", value_parser = prefix)]
    prefix: String,
    /// The certificate chain, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A monitor's or another witness's address, whose heads are compared with ours; may be given several times.
    #[arg(long = "gossip-peer", value_name = "URL")]
    gossip_peers: Vec<String>,
    /// The wait between two looks at a peer.
    #[arg(long, value_name = "TIME", default_value_t = Span(GOSSIP_INTERVAL))]
    gossip_interval: Span,
    /// A proxy in front ends TLS: listen off loopback without it.
    #[arg(long)]
    behind_tls_proxy: bool,
    /// The most open connections.
    #[arg(long, value_name = "N", default_value_t = Bounds::default().connections)]
    connections: usize,
    #[command(flatten)]
    logging: LoggingOptions,
}

/// Nothing, or a path that begins with a slash and does not end in one.
fn prefix(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && !text.ends_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || is_path { Ok(text.to_owned()) } else { Err("write /NAME, without a slash at the end".into()) }
}

impl Serve {
    pub(super) async fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let _told = self.logging.start()?;
        self.refuse_bare()?;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(acceptor(certificate, key).map_err(|error| Failure::Usage(error.to_string()))?)
            }
            _ => None,
        };
        let peers = self.peers()?;
        let Folder { cosigners, store, hold } = Folder::open(&self.dir.folder)?;
        let refused = |what: &'static str| move |error: std::io::Error| Failure::Refused(format!("{what}: {error}"));
        let listener = Listener::bind(self.listen, tls)
            .map_err(|error| Failure::Refused(format!("can't listen on {}: {error}", self.listen)))?;
        let url = format!("{}{}", listener.url().map_err(refused("the listener"))?, self.prefix);
        let (witness, closing) = Witness::start(&self.dir.folder, store, cosigners, Arc::new(SystemClock), peers)
            .map_err(refused("the witness can't be started"))?;
        let witness = Arc::new(witness);
        let (stop, stopping) = watch::channel(false);
        let admin = listen_for_admin(&self.dir.folder, Arc::clone(&witness), stopping.clone())
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let admin = tokio::spawn(admin);
        let bounds = self.bounds();
        let shelf = Arc::new(Shelf::new(Arc::clone(&witness)));
        let listening = self.listening(&witness, &stopping);
        let site = Arc::new(Site::new(Arc::clone(&witness), self.prefix, vec![shelf], bounds.clone()));
        let mut wish = Stop::new()?;
        let figures = Arc::clone(witness.figures());
        let slow = SlowLane::start(BLOCKING_THREADS).map_err(refused("threads for crowds"))?;
        let serving = tokio::spawn(listener.run(site, figures, bounds, slow.handle().clone(), stopping));
        terminal.output.line(format_args!("cairn witness is ready at {url}"))?;
        info!(url, "ready");
        let mut failed = witness.failed();
        let clean = tokio::select! {
            () = wish.wished() => true,
            _ = failed.wait_for(|failed| *failed) => false,
        };
        // Nobody listens only if everything has ended already.
        let _ = stop.send(true);
        if !clean {
            tokio::time::sleep(LAST_WORDS).await;
            return Err(Failure::Refused("the state can't be written any more; what was answered is safe".to_owned()));
        }
        info!("stopping: finishing what was accepted");
        let ended = tokio::select! {
            ended = async { serving.await.and(admin.await) } => ended,
            () = wish.wished() => return Err(Failure::Refused("ended at once".to_owned())),
        };
        ended.map_err(|error| Failure::Refused(format!("the listener failed: {error}")))?;
        // They end with what they are at.
        let _ = timeout(CLOSING, listening.join_all()).await;
        drop(witness);
        let closed = timeout(CLOSING, cairn_listen::spawn_blocking(move || closing.join())).await;
        drop(hold);
        let Ok(closed) = closed else {
            // Some connection is still there. All that was answered is durable; the next start does what is left.
            warn!("stopping although the state is still in use");
            return Ok(());
        };
        match closed {
            Ok(Ok(Ok(()))) => {
                info!("stopped");
                Ok(())
            }
            Ok(Ok(Err(error))) => Err(Failure::Refused(error.to_string())),
            _ => Err(Failure::Refused("the writer failed".to_owned())),
        }
    }

    /// Cosignatures are public, but whoever sits between could keep them from a log unseen.
    fn refuse_bare(&self) -> Result<(), Failure> {
        if self.listen.ip().is_loopback() || self.tls_key.is_some() || self.behind_tls_proxy {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "{} is off loopback and there is no TLS: give --tls-cert and --tls-key, or say --behind-tls-proxy if a proxy in \
             front ends TLS",
            self.listen
        )))
    }

    /// Pulls from all peers until `stop`.
    fn listening(&self, witness: &Arc<Witness>, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut listening = JoinSet::new();
        for number in 0..witness.peers().len() {
            listening.spawn(keep_listening(Arc::clone(witness), number, self.gossip_interval.0, stop.clone()));
        }
        listening
    }

    fn peers(&self) -> Result<Vec<Arc<Peer>>, Failure> {
        if self.gossip_peers.len() > GOSSIP_PEERS {
            return Err(Failure::Usage(format!("--gossip-peer: at most {GOSSIP_PEERS}")));
        }
        let peer = |url: &String| {
            let wrong = |error: &dyn fmt::Display| Failure::Usage(format!("--gossip-peer {url}: {error}"));
            let prefix = LogUrl::parse(url).map_err(|error| wrong(&error))?;
            Peer::new(prefix, seed()?).map(Arc::new).map_err(|error| wrong(&error))
        };
        self.gossip_peers.iter().map(peer).collect()
    }

    fn bounds(&self) -> Bounds {
        let most = usize::try_from(raise_open_files().saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        Bounds { connections: self.connections.clamp(1, most.max(1)), ..Bounds::default() }
    }
}

/// What the waits after failed pulls are drawn from.
fn seed() -> Result<u64, Failure> {
    let [a, b, c, d, e, f, g, h, ..] = random()?;
    Ok(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}
