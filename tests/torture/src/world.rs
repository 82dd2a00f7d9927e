//! A database with clients, which is broken again and again, and what it owes to those who saw it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cairn_tests::oracle::{Content, Oracle};
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, LogKey, PATIENCE, Starting, cairnd};

use crate::load::{Answer, Client, Signals, Way, judge, watch};
use crate::tally::{Finding, Sort, Tally};

/// How often a world looks whether something has come about that nobody tells it of.
const LOOK: Duration = Duration::from_micros(300);

/// One database and everything that was ever seen of it.
pub(crate) struct World {
    /// None once it is to be kept.
    folder: Option<tempfile::TempDir>,
    pub(crate) data: Data,
    pub(crate) oracles: Vec<Oracle>,
    clients: Vec<Client>,
    pub(crate) random: Random,
}

/// A server that is ready.
pub(crate) struct Up {
    pub(crate) process: Starting,
    pub(crate) address: SocketAddr,
}

impl World {
    /// Makes a database with two logs, `main` and one whose heads carry a time, below `folder`.
    pub(crate) fn new(folder: &Path, mut random: Random) -> Result<Self, Finding> {
        let folder = tempfile::Builder::new().prefix("torture-").tempdir_in(folder)?;
        let data = Data::init(folder.path().join("data"));
        let timed = data.create_log("timed", &["--ml-dsa"]);
        let clients = [("main", Way::Json), ("main", Way::Batch), ("timed", Way::Proof)].into_iter().enumerate();
        let clients = clients.map(|(number, (log, way))| Client::new(number, log, &data.token, way, random.fork()));
        let clients = clients.collect();
        let oracles = [&data.main, &timed].into_iter().map(|key: &LogKey| Oracle::new(key)).collect();
        Ok(Self { folder: Some(folder), data, oracles, clients, random })
    }

    /// The folder around the database.
    pub(crate) fn folder(&self) -> &Path {
        self.data.path().parent().unwrap_or(Path::new("."))
    }

    /// Leaves everything where it is, for whoever wants to know what happened.
    pub(crate) fn keep(&mut self) -> Option<PathBuf> {
        self.folder.take().map(tempfile::TempDir::keep)
    }

    /// Starts the server with these variables in its environment.
    pub(crate) fn start(&self, environment: &[(&'static str, PathBuf)]) -> Starting {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_path())).collect();
        Starting::on(self.data.path(), &environment)
    }

    /// Starts the server, which must get ready, and checks everything.
    pub(crate) fn up(&mut self) -> Result<Up, Finding> {
        let starting = self.start(&[]);
        let up = ready(starting)?.map_err(|ended| Finding::failed(format!("it does not start any more: {ended:?}")))?;
        self.check(up.address)?;
        Ok(up)
    }

    /// Reads all logs as any client may, and compares them with all that was ever seen.
    pub(crate) fn check(&mut self, address: SocketAddr) -> Result<Vec<Content>, Finding> {
        let random = &mut self.random;
        self.oracles.iter_mut().map(|oracle| Ok(oracle.check(address, random)?)).collect()
    }

    /// Lets all clients work at a server until `end` returns, and then until the server is gone or they have their last
    /// answers. What they were answered is judged.
    pub(crate) fn work(
        &mut self,
        address: SocketAddr,
        tally: &mut Tally,
        end: impl FnOnce(&Signals, &mut Random) -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        let signals = Signals::default();
        let logs: Vec<String> = self.oracles.iter().map(|oracle| oracle.name().to_owned()).collect();
        let (clients, random) = (&mut self.clients, &mut self.random);
        let (answers, ended) = std::thread::scope(|scope| {
            let works: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    let signals = &signals;
                    scope.spawn(move || {
                        let answers = client.work(address, signals);
                        let log = client.log().to_owned();
                        answers.into_iter().map(|answer| (log.clone(), answer)).collect::<Vec<(String, Answer)>>()
                    })
                })
                .collect();
            let watching = scope.spawn(|| watch(address, &logs, &signals));
            let ended = end(&signals, random);
            signals.stop.store(true, Ordering::SeqCst);
            let joined = works.into_iter().chain([watching]).map(std::thread::ScopedJoinHandle::join);
            (joined.collect::<Result<Vec<_>, _>>(), ended)
        });
        let answers = answers.map_err(|_| Finding::failed("the harness: a client panicked"))?;
        for (log, answer) in answers.into_iter().flatten() {
            if let Some(oracle) = self.oracles.iter_mut().find(|oracle| oracle.name() == log) {
                tally.acked += judge(oracle, answer)?;
            }
        }
        ended
    }

    /// The end of a world: everybody gets the answer to what they asked last, everything that was acknowledged is there
    /// (`exactly` once, unless that can't be asked for), and the database is sound from inside.
    pub(crate) fn finish(&mut self, tally: &mut Tally, exactly: bool) -> Result<(), Finding> {
        let mut up = self.up()?;
        self.work(up.address, tally, |_, _| Ok(()))?;
        if self.clients.iter().any(Client::is_waiting) {
            return Err(Finding::failed("a sound server does not answer an append"));
        }
        for content in self.check(up.address)? {
            let mut places: HashMap<&[u8], usize> = HashMap::new();
            for entry in &content.entries {
                *places.entry(entry).or_default() += 1;
            }
            if let Some((entry, count)) = places.into_iter().find(|(_, count)| exactly && *count > 1) {
                let words = format!("{count} times in a log: {}", String::from_utf8_lossy(entry));
                return Err(Finding { sort: Sort::Contradiction, words });
            }
        }
        up.process.kill();
        sound(self.data.path())
    }
}

/// The database is sound from inside.
pub(crate) fn sound(data: &Path) -> Result<(), Finding> {
    let ended = cairnd(data, &["fsck"]);
    if ended.code == Some(0) { Ok(()) } else { Err(Finding::failed(format!("fsck: {ended:?}"))) }
}

/// Waits until a server is ready, or has ended by itself.
pub(crate) fn ready(mut process: Starting) -> Result<Result<Up, Ended>, Finding> {
    match process.wait() {
        Some(address) => Ok(Ok(Up { process, address })),
        None => Ok(Err(process.ended())),
    }
}

/// A server that ends by itself does so with exit code 1 and no panic.
pub(crate) fn ended_well(ended: &Ended) -> Result<(), Finding> {
    if ended.code == Some(1) && !ended.stderr.contains("panicked") {
        Ok(())
    } else {
        Err(Finding::failed(format!("it ended otherwise than it should: {ended:?}")))
    }
}

/// Waits until something has come about; false if it does not for long.
pub(crate) fn wait_until(mut done: impl FnMut() -> Result<bool, Finding>, most: Duration) -> Result<bool, Finding> {
    let deadline = Instant::now() + most.min(PATIENCE);
    while !done()? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}

/// Waits for so many answers to appends; an end of the server shows in that there are none.
pub(crate) fn wait_for_answers(signals: &Signals, count: u64, most: Duration) -> Result<bool, Finding> {
    let target = signals.answered.load(Ordering::SeqCst) + count;
    wait_until(|| Ok(signals.answered.load(Ordering::SeqCst) >= target), most)
}
