//! Clients at work: they append in several ways, read heads meanwhile, and keep every answer, to be judged when the
//! server is gone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tree::receipt::Receipt;
use cairn_tree::tile::Entries;
use cairn_tree::wire::append::{BatchAnswer, ReceiptJson};
use cairn_tree::wire::{header, media};

use crate::tally::{Finding, Sort};

/// The pause after an answer that says no, and of a reader between two heads.
const PAUSE: Duration = Duration::from_micros(500);
/// Most entries in a batch.
const BATCH: usize = 12;

/// How a client appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// One entry, for its receipt as JSON.
    Json,
    /// One entry, for its receipt as text.
    Proof,
    /// A batch, for a receipt of each.
    Batch,
}

/// An append that is under way, or was when the server went.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    key: String,
    pub(crate) entries: Vec<Vec<u8>>,
}

/// Appends one after the other, each again with its key until it is answered.
#[derive(Debug)]
pub(crate) struct Client {
    number: usize,
    log: String,
    token: String,
    way: Way,
    random: Random,
    sent: u64,
    pending: Option<Append>,
}

/// What everybody at work looks at.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// No new appends are begun.
    pub(crate) stop: AtomicBool,
    /// Appends that were answered.
    pub(crate) answered: AtomicU64,
    /// Appends that are on their way.
    pub(crate) in_flight: AtomicU64,
}

/// What was answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An append, with its answer's body.
    Appended(Way, Append, Vec<u8>),
    /// A head or checkpoint.
    Head(Vec<u8>),
    /// What no server may say.
    Odd(String),
}

impl Client {
    pub(crate) fn new(number: usize, log: &str, token: &str, way: Way, random: Random) -> Self {
        let (log, token) = (log.to_owned(), token.to_owned());
        Self { number, log, token, way, random, sent: 0, pending: None }
    }

    /// The log that it appends to.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Whether an append of its was not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Appends until the connection breaks, or until it is told to stop and has its last answer.
    pub(crate) fn work(&mut self, address: SocketAddr, signals: &Signals) -> Vec<Answer> {
        let mut answers = Vec::new();
        let Ok(mut connection) = Connection::open(address) else { return answers };
        while connection.is_reusable() {
            let stop = signals.stop.load(Ordering::SeqCst);
            let append = match self.pending.take() {
                Some(append) => append,
                None if stop => break,
                None => self.next(),
            };
            signals.in_flight.fetch_add(1, Ordering::SeqCst);
            let answer = connection.ask(&self.request(&append));
            signals.in_flight.fetch_sub(1, Ordering::SeqCst);
            match answer {
                Ok(answer) if answer.status == 200 => {
                    signals.answered.fetch_add(1, Ordering::SeqCst);
                    answers.push(Answer::Appended(self.way, append, answer.body));
                }
                // Full, stopping, halted, or a read that failed: nothing is known of the append.
                Ok(answer) if [500, 503, 507].contains(&answer.status) => {
                    self.pending = Some(append);
                    if stop {
                        break;
                    }
                    std::thread::sleep(PAUSE);
                }
                Ok(answer) => {
                    let words = format!("log {}: an append is answered {}: {}", self.log, answer.status, answer.text());
                    answers.push(Answer::Odd(words));
                    break;
                }
                Err(_) => {
                    self.pending = Some(append);
                    break;
                }
            }
        }
        answers
    }

    fn next(&mut self) -> Append {
        self.sent += 1;
        let count = if self.way == Way::Batch { 1 + self.random.below(BATCH) } else { 1 };
        let entries = (0..count).map(|position| {
            let mut entry = format!("client {} entry {} {position} ", self.number, self.sent).into_bytes();
            let length = entry.len() + self.random.below(200);
            entry.resize(length, b'.');
            entry
        });
        Append { entries: entries.collect(), key: format!("client-{}-{}", self.number, self.sent) }
    }

    fn request(&self, append: &Append) -> Request {
        let target = format!("/logs/{}/entries", self.log);
        let body = || append.entries.first().cloned().unwrap_or_default();
        let request = match self.way {
            Way::Json => Request::post(target, body()),
            Way::Proof => Request::post(target, body()).with("accept", "text/plain"),
            Way::Batch => {
                let mut bytes = Vec::new();
                for entry in &append.entries {
                    // They are far shorter than an entry may be.
                    let _ = Entries::encode(entry, &mut bytes);
                }
                Request::post(format!("{target}?receipts=1"), bytes).with("content-type", media::ENTRIES)
            }
        };
        request
            .with("authorization", format!("Bearer {}", self.token))
            .with(header::IDEMPOTENCY_KEY, append.key.clone())
    }
}

/// Reads heads until the connection breaks or all stop.
pub(crate) fn watch(address: SocketAddr, logs: &[String], signals: &Signals) -> Vec<(String, Answer)> {
    let mut seen: Vec<(String, Answer)> = Vec::new();
    let Ok(mut connection) = Connection::open(address) else { return seen };
    while connection.is_reusable() && !signals.stop.load(Ordering::SeqCst) {
        for log in logs {
            for resource in ["head", "checkpoint"] {
                let Ok(answer) = connection.ask(&Request::get(format!("/logs/{log}/{resource}"))) else { return seen };
                if answer.status == 200 {
                    seen.push((log.clone(), Answer::Head(answer.body)));
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
    seen
}

/// Verifies an answer, and gives the number of entries that it acknowledges.
pub(crate) fn judge(oracle: &mut Oracle, answer: Answer) -> Result<u64, Finding> {
    let log = oracle.name().to_owned();
    let bad = |words: String| Finding { sort: Sort::BadBytes, words: format!("log {log}: {words}") };
    match answer {
        Answer::Head(text) => {
            oracle.see_head(&text)?;
            Ok(0)
        }
        Answer::Odd(words) => Err(Finding::failed(words)),
        Answer::Appended(way, append, body) => {
            let receipts: Vec<Receipt> = match way {
                Way::Json => {
                    let json: ReceiptJson = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
                    vec![json.into_receipt().map_err(|error| bad(error.to_string()))?]
                }
                Way::Proof => vec![Receipt::parse(&body).map_err(|error| bad(error.to_string()))?],
                Way::Batch => {
                    let batch: BatchAnswer = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
                    batch.receipts().collect()
                }
            };
            if receipts.len() != append.entries.len() {
                return Err(bad(format!("{} receipts for {} entries", receipts.len(), append.entries.len())));
            }
            for (entry, receipt) in append.entries.iter().zip(&receipts) {
                oracle.see_receipt(entry, receipt)?;
            }
            Ok(receipts.len() as u64)
        }
    }
}
