//! Producers and readers that keep on at a server which comes and goes, and what they saw of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cairn_tests::http::{Broken, Connection, Request, Response};
use cairn_tests::oracle::{Contradiction, Oracle};
use cairn_tests::server::PATIENCE;

/// A log under load.
pub(crate) struct Log {
    pub(crate) name: String,
    /// None for a log that takes appends from anyone.
    pub(crate) token: Option<String>,
    pub(crate) dedup: bool,
    oracle: Mutex<Oracle>,
}

impl Log {
    pub(crate) fn new(oracle: Oracle, token: Option<&str>, dedup: bool) -> Self {
        let name = oracle.name().to_owned();
        Self { name, token: token.map(str::to_owned), dedup, oracle: Mutex::new(oracle) }
    }

    pub(crate) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap()
    }

    /// Learns something; a contradiction ends the test.
    pub(crate) fn learn<T>(&self, learn: impl FnOnce(&mut Oracle) -> Result<T, Contradiction>) -> T {
        let learnt = learn(&mut self.oracle());
        learnt.unwrap_or_else(|contradiction| panic!("{contradiction}"))
    }
}

/// The server's present address, and how many servers there have been.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Up {
    address: Option<SocketAddr>,
    ended: bool,
}

/// What the threads share.
pub(crate) struct Stage {
    pub(crate) logs: Vec<Log>,
    up: Mutex<Up>,
    changed: Condvar,
    acks: Mutex<u64>,
    acked: Condvar,
    in_flight: AtomicU64,
    /// Replies that broke off after they had begun.
    half_way: AtomicU64,
}

impl Stage {
    pub(crate) fn new(logs: Vec<Log>) -> Arc<Self> {
        Arc::new(Self {
            logs,
            up: Mutex::new(Up { address: None, ended: false }),
            changed: Condvar::new(),
            acks: Mutex::new(0),
            acked: Condvar::new(),
            in_flight: AtomicU64::new(0),
            half_way: AtomicU64::new(0),
        })
    }

    /// Tells everyone where the server is, or that it is gone.
    pub(crate) fn set_up(&self, address: Option<SocketAddr>) {
        self.up.lock().unwrap().address = address;
        self.changed.notify_all();
    }

    /// Tells everyone to finish what they have begun, and to end.
    pub(crate) fn end(&self) {
        self.up.lock().unwrap().ended = true;
        self.changed.notify_all();
    }

    /// After an end: there will be more.
    pub(crate) fn begin_again(&self) {
        self.up.lock().unwrap().ended = false;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.up.lock().unwrap().ended
    }

    /// Waits for a server; `None` once the end has come and there is none.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let waiting = |up: &mut Up| up.address.is_none() && !up.ended;
        let (up, timeout) = self.changed.wait_timeout_while(self.up.lock().unwrap(), PATIENCE, waiting).unwrap();
        assert!(!timeout.timed_out(), "there was no server for long");
        up.address
    }

    /// Whether this is still the server's address.
    pub(crate) fn is_up(&self, address: SocketAddr) -> bool {
        self.up.lock().unwrap().address == Some(address)
    }

    /// Waits until the server at this address is given up, or for so long.
    pub(crate) fn wait_while_up(&self, address: SocketAddr, most: Duration) {
        let waiting = |up: &mut Up| up.address == Some(address) && !up.ended;
        let _unused = self.changed.wait_timeout_while(self.up.lock().unwrap(), most, waiting).unwrap();
    }

    pub(crate) fn acks(&self) -> u64 {
        *self.acks.lock().unwrap()
    }

    pub(crate) fn ack(&self) {
        *self.acks.lock().unwrap() += 1;
        self.acked.notify_all();
    }

    /// Waits until so many requests were acknowledged.
    pub(crate) fn wait_for_acks(&self, count: u64) {
        let few = |acks: &mut u64| *acks < count;
        let (_acks, timeout) = self.acked.wait_timeout_while(self.acks.lock().unwrap(), PATIENCE, few).unwrap();
        assert!(!timeout.timed_out(), "nothing was acknowledged for long");
    }

    /// Appends that were sent and not answered.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn half_way(&self) -> u64 {
        self.half_way.load(Ordering::SeqCst)
    }

    /// Sends an append, and counts it while it is on its way.
    pub(crate) fn append(&self, connection: &mut Connection, request: &Request) -> Result<Response, Broken> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let answer = connection.ask(request);
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if matches!(answer, Err(Broken::HalfWay(_))) {
            self.half_way.fetch_add(1, Ordering::SeqCst);
        }
        answer
    }
}

/// A thread whose panic is the test's.
pub(crate) struct Hands(Vec<JoinHandle<()>>);

impl Hands {
    pub(crate) fn start(works: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) -> Self {
        Self(works.into_iter().map(std::thread::spawn).collect())
    }

    /// Panics if one of them has.
    pub(crate) fn assert_alive(&mut self) {
        let ended = self.0.extract_if(.., |hand| hand.is_finished()).collect::<Vec<_>>();
        ended.into_iter().for_each(|hand| hand.join().expect("a producer or reader found what must not be"));
    }

    pub(crate) fn join(self) {
        for hand in self.0 {
            let deadline = Instant::now() + PATIENCE;
            while !hand.is_finished() {
                assert!(Instant::now() < deadline, "a producer or reader does not end");
                std::thread::sleep(Duration::from_millis(1));
            }
            hand.join().expect("a producer or reader found what must not be");
        }
    }
}
