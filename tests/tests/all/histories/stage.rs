//! The stage of generated histories: one listener for all of them, on the clients' own thread, and the clients' ways to it.
//!
//! Each client asks under a path of its own, so that the world knows whom it answers.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn::fetch::{LogUrl, Remote, Settings};
use cairn::gossip::Peer;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::world::{Asked, Client, World};

/// The names under which peers are asked.
pub(super) const PEERS: [&str; 4] = ["monitor-a", "monitor-b", "witness", "noise"];
/// No answer of this stage is slow; a machine may be.
const PATIENCE: Duration = Duration::from_secs(60);

/// One world after the other, and how it is reached.
pub(super) struct Stage {
    world: Arc<Mutex<Option<World>>>,
    remotes: [Arc<Remote>; 3],
    peers: [Arc<Peer>; 4],
}

impl Client {
    const ALL: [Self; 3] = [Self::MonitorA, Self::MonitorB, Self::Auditor];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MonitorA => "monitor-a",
            Self::MonitorB => "monitor-b",
            Self::Auditor => "auditor",
        }
    }
}

impl Stage {
    /// Opens the stage, within the runtime in which the clients run.
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(None));
        tokio::spawn(accept(listener, Arc::clone(&world)));
        let remotes = Client::ALL.map(|client| {
            let settings = Settings { token: None, timeout: PATIENCE, seed: 0 };
            Arc::new(Remote::new(url(address, "log", client.name()), settings).unwrap())
        });
        let peers = PEERS.map(|name| Arc::new(Peer::new(url(address, "peer", name), 0).unwrap()));
        Self { world, remotes, peers }
    }

    /// Sets the next world up; the one before it is gone.
    pub(super) fn set(&self, world: World) {
        *self.lock() = Some(world);
    }

    /// Looks at the world, or changes it.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(self.lock().as_mut().unwrap())
    }

    pub(super) fn remote(&self, client: Client) -> &Arc<Remote> {
        &self.remotes[client as usize]
    }

    pub(super) fn peer(&self, name: &str) -> Arc<Peer> {
        let place = PEERS.iter().position(|known| *known == name).unwrap();
        Arc::clone(&self.peers[place])
    }

    fn lock(&self) -> MutexGuard<'_, Option<World>> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn url(address: SocketAddr, kind: &str, name: &str) -> LogUrl {
    LogUrl::parse(&format!("http://{address}/{kind}/{name}")).unwrap()
}

async fn accept(listener: TcpListener, world: Arc<Mutex<Option<World>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let world = Arc::clone(&world);
        let service = service_fn(move |request| {
            let answer = answer(&world, &request);
            async move { answer }
        });
        tokio::spawn(async move {
            // A client that has had enough hangs up.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(world: &Mutex<Option<World>>, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
    let mut parts = request.uri().path().splitn(4, '/').skip(1);
    let (kind, name, path) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let past_caches = request.headers().get("cache-control").is_some_and(|value| value == "no-cache");
    let asked = Asked { path, query: request.uri().query().unwrap_or_default(), past_caches };
    let client = Client::ALL.into_iter().find(|client| client.name() == name);
    let (status, body) = match (world.as_mut(), kind, client) {
        (Some(world), Some("log"), Some(client)) => world.answer(client, &asked),
        (Some(world), Some("peer"), _) => world.peer(name, path),
        _ => (404, Bytes::new()),
    };
    let response = Response::builder().status(status).header("content-type", "application/octet-stream");
    // Whoever is told to come back much later does not wait, by the wall's clock, for this stage.
    Ok(response.header("retry-after", "3600").body(Full::new(body)).unwrap())
}
