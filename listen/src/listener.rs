//! The accept loop: how many connections there may be, how each is driven, and how all of them end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::bounds::Bounds;
use crate::connections::{Connections, Membership, stopped};
use crate::lane::{Lanes, OfCrowd, Spread};
use crate::pulse::Verdict;
use crate::service::{Observer, Service};
use crate::share::{Share, Shares};
use crate::slow::SlowHandle;
use crate::tls::ALPN_HTTP2;
use crate::wire::{Paces, Wire};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: u32 = 4_096;
/// Bytes of an answer that the kernel takes before it can send them: what is on its way to a reader and not acknowledged
/// comes on top, so that it slows nobody down. Otherwise each reader who takes nothing is copied megabytes that nobody wants,
/// out of sight of our own bounds.
const UNSENT: u32 = 256 << 10;
/// How long to wait when the system gives out no more sockets; some connection will end.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection that was told to give way may take; meanwhile nobody else is accepted.
const GIVING_WAY: Duration = Duration::from_millis(100);
/// How often connections are looked for that give way. With how many do at once, it bounds how many strangers come and go
/// in a second when all places are taken; those that are being served would notice more of them.
const LOOK: Duration = Duration::from_millis(16);
/// How long a newcomer waits in our hands, when as many are being refused as may be, before places are looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a refused connection has for its one request.
const REFUSED_TIME: Duration = Duration::from_secs(5);

/// A bound socket, with or without TLS.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Binds `address`; port 0 chooses a free one.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for the kernel to forget the last run's connections.
        socket.set_reuseaddr(true)?;
        // Connections have it from the socket that accepts them.
        if let Err(error) = SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT) {
            warn!(%error, "readers who take nothing of their answers may keep much of them in the kernel");
        }
        socket.bind(address)?;
        Ok(Self { tcp: socket.listen(BACKLOG)?, tls })
    }

    /// Where it listens, as a URL.
    ///
    /// # Errors
    /// What the system says.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.tcp.local_addr()?))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Accepts until `stop`, then lets the connections finish what they were asked, within the limit. Those that ask for much
    /// at once, or for nothing, are driven on `slow`.
    pub async fn run<S: Service>(
        self,
        service: Arc<S>,
        observer: Arc<dyn Observer>,
        bounds: Bounds,
        slow: SlowHandle,
        mut stop: watch::Receiver<bool>,
    ) {
        let server = Arc::new(Server::new(service, observer, (bounds, self.tls), Lanes::beside_current(slow)));
        let connections = Arc::clone(&server.connections);
        let (told, watched) = (stop.clone(), Arc::clone(&server.service));
        let watch = tokio::spawn(async move { connections.watch(&*watched, told).await });
        let mut crowd = Crowd { next: Instant::now(), gives_way: false };
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stop) => break,
                accepted = self.tcp.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => server.admit(stream, peer, &mut crowd, &mut stop).await,
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.tcp);
        let all = timeout(server.bounds.shutdown_time, server.all_closed());
        if all.await.is_err() {
            warn!(connections = server.connections.count(), "stopping although some connections are still open");
        }
        watch.abort();
    }
}

struct Server<S> {
    service: Arc<S>,
    observer: Arc<dyn Observer>,
    bounds: Bounds,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
    open: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    paces: Paces,
    shares: Arc<Shares>,
    lanes: Lanes,
    most: u32,
}

/// When all places are taken: when connections are looked for again that give way, and whether there were any the last time.
struct Crowd {
    next: Instant,
    gives_way: bool,
}

/// Whether a connection is served or told to come again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admission {
    Served,
    Refused,
}

/// A connection that was accepted.
struct Accepted {
    peer: SocketAddr,
    admission: Admission,
    member: Membership,
    share: Arc<Share>,
}

impl<S: Service> Server<S> {
    fn new(
        service: Arc<S>,
        observer: Arc<dyn Observer>,
        (bounds, tls): (Bounds, Option<TlsAcceptor>),
        lanes: Lanes,
    ) -> Self {
        let most = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
        Self {
            service,
            observer,
            tls,
            connections: Arc::default(),
            open: Arc::new(Semaphore::new(most as usize)),
            refused: Arc::new(Semaphore::new(bounds.refused_connections)),
            paces: Paces::new(Instant::now()),
            shares: Shares::of_machine(),
            lanes,
            most,
            bounds,
        }
    }

    /// Finds a place for a new connection. Over the limit one that asks for nothing gives way, else the new one gets the
    /// refusal; while even those are too many, the next ones wait in the kernel.
    async fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        crowd: &mut Crowd,
        stop: &mut watch::Receiver<bool>,
    ) {
        let (permit, admission) = loop {
            if let Some(permit) = self.place(crowd).await {
                break (permit, Admission::Served);
            }
            tokio::select! {
                () = stopped(stop) => return,
                permit = Arc::clone(&self.refused).acquire_owned() => match permit {
                    Ok(permit) => break (permit, Admission::Refused),
                    Err(_) => return,
                },
                () = sleep(LOOK_AGAIN) => {}
            }
        };
        if admission == Admission::Refused {
            self.observer.refused();
        }
        self.spawn(stream, peer, permit, admission);
    }

    async fn place(&self, crowd: &mut Crowd) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() {
            return Some(permit);
        }
        if Instant::now() < crowd.next {
            if !crowd.gives_way {
                return None;
            }
            if let Ok(permit) = timeout_at(crowd.next, Arc::clone(&self.open).acquire_owned()).await {
                return permit.ok();
            }
        }
        crowd.gives_way = self.connections.make_room();
        crowd.next = Instant::now() + LOOK;
        if !crowd.gives_way {
            return None;
        }
        // Those that were told to go need a moment to do so.
        timeout(GIVING_WAY, Arc::clone(&self.open).acquire_owned()).await.ok()?.ok()
    }

    fn spawn(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        admission: Admission,
    ) {
        let (server, share, member) = (Arc::clone(self), self.shares.begin(), self.connections.join(&self.bounds));
        let (shared, pulse) = (Arc::clone(&share), Arc::clone(&member.line.pulse));
        let work = async move {
            let counted = Counted::new(&server.observer);
            let accepted = Accepted { peer, admission, member, share };
            match admission {
                Admission::Served => server.connect(stream, &accepted).await,
                Admission::Refused => {
                    let _ = timeout(REFUSED_TIME, server.connect(stream, &accepted)).await;
                }
            }
            drop((permit, counted));
        };
        self.lanes.begin((shared, pulse), work);
    }

    async fn connect(&self, stream: TcpStream, accepted: &Accepted) {
        let Accepted { peer, member, .. } = accepted;
        // Answers are written whole; waiting for more to send only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "a connection ended before it began");
            return;
        }
        let pulse = Arc::clone(&member.line.pulse);
        let wire = Wire::new(stream, pulse, self.bounds.body.drain_bytes, &self.paces);
        let Some(tls) = &self.tls else {
            return self.drive(wire, accepted).await;
        };
        let handshake = tokio::select! {
            handshake = tls.accept(wire) => handshake,
            _ = member.line.told(Verdict::Leave) => return,
        };
        match handshake {
            Ok(stream) => {
                if stream.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2) {
                    member.line.pulse.is_http2();
                }
                self.drive(stream, accepted).await;
            }
            Err(error) => debug!(%peer, %error, "a TLS handshake failed"),
        }
    }

    async fn drive<I>(&self, io: I, accepted: &Accepted)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Accepted { peer, admission, member, share } = accepted;
        let (service, pulse) = (&self.service, &member.line.pulse);
        let answerer = service_fn(|mut request| {
            let (busy, mut place) = (pulse.begin(), share.begin());
            let (service, peer, answered) = (Arc::clone(service), *peer, *admission == Admission::Served);
            if share.is_of_crowd() {
                request.extensions_mut().insert(OfCrowd);
            }
            async move {
                let answer = if answered {
                    let mut answer = Later::new(move || service.answer(peer, request));
                    poll_fn(|cx| place.poll(cx, |cx| answer.poll(cx))).await
                } else {
                    service.refusal(&request)
                };
                place.answered();
                if answer.status().is_client_error() || answer.status().is_server_error() {
                    busy.pulse().refused();
                }
                Ok::<_, Infallible>(answer.map(|payload| payload.hold(busy)))
            }
        });
        let tasks = Spread { lanes: self.lanes.clone(), share: Arc::clone(share) };
        let builder = builder(&self.bounds, tasks);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), answerer));
        let mut last = Verdict::Leave;
        loop {
            tokio::select! {
                biased;
                end = connection.as_mut() => {
                    if let Err(error) = end {
                        debug!(%peer, %error, "a connection ended badly");
                    }
                    return;
                }
                verdict = member.line.told(last) => {
                    last = verdict;
                    if verdict == Verdict::Cut {
                        self.observer.cut();
                        debug!(%peer, "a connection did nothing for too long");
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn all_closed(&self) {
        let _ = self.open.acquire_many(self.most).await;
    }
}

/// A future that is made when it is polled first: a request that waits for its turn has the memory that it came with.
struct Later<B, F> {
    begin: Option<B>,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future, B: FnOnce() -> F> Later<B, F> {
    fn new(begin: B) -> Self {
        Self { begin: Some(begin), future: None }
    }

    /// Not to be polled once it is ready.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(begin) = self.begin.take() {
            self.future = Some(Box::pin(begin()));
        }
        self.future.as_mut().map_or(Poll::Pending, |future| future.as_mut().poll(cx))
    }
}

/// An open connection, counted until it is dropped.
struct Counted(Arc<dyn Observer>);

impl Counted {
    fn new(observer: &Arc<dyn Observer>) -> Self {
        observer.opened();
        Self(Arc::clone(observer))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// hyper's settings. The header timeout is the watchdog's, which also sees idle connections and stalled writes.
fn builder(bounds: &Bounds, tasks: Spread) -> auto::Builder<Spread> {
    let mut builder = auto::Builder::new(tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(bounds.header_bytes)
        .max_headers(bounds.header_fields);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.h2_streams)
        .max_pending_accept_reset_streams(bounds.h2_resets)
        .max_local_error_reset_streams(bounds.h2_resets)
        .max_header_list_size(u32::try_from(bounds.header_bytes).unwrap_or(u32::MAX))
        .initial_connection_window_size(bounds.h2_window_bytes)
        .initial_stream_window_size(bounds.h2_window_bytes)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(bounds.idle_time)
        .keep_alive_timeout(bounds.header_time);
    builder
}

/// Bytes of an answer that one HTTP/2 stream may hold in memory before its peer reads them.
const SEND_BUFFER: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_later_has_little_memory_and_is_begun_by_the_first_poll() {
        let begun = std::cell::Cell::new(0);
        let mut later = Later::new(|| {
            begun.set(begun.get() + 1);
            async {
                let much = [1_u8; 8 << 10];
                tokio::task::yield_now().await;
                much.len()
            }
        });
        assert!(size_of_val(&later) <= 4 * size_of::<usize>() && begun.get() == 0);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!((later.poll(&mut cx), begun.get()), (Poll::Pending, 1));
        assert_eq!((later.poll(&mut cx), begun.get()), (Poll::Ready(8 << 10), 1));
    }

    #[tokio::test]
    async fn the_kernel_takes_little_of_what_nobody_reads() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let _peer = TcpStream::connect(listener.address().unwrap()).await.unwrap();
        let (stream, _) = listener.tcp.accept().await.unwrap();
        let (piece, mut taken) = (vec![7; 64 << 10], 0);
        // Until nothing more was taken for a while: the first bytes are on their way to the peer meanwhile.
        while timeout(Duration::from_millis(200), stream.writable()).await.is_ok() {
            taken += stream.try_write(&piece).unwrap_or(0);
        }
        assert!((1..1 << 20).contains(&taken), "{taken}");
    }
}
