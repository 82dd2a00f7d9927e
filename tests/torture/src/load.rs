//! Clients at work: they append entries and records in several ways, read heads meanwhile, and keep every answer, to be
//! judged when the server is gone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tree::receipt::Receipt;
use cairn_tree::tile::Entries;
use cairn_tree::wire::append::{BatchAnswer, ReceiptJson};
use cairn_tree::wire::{header, media};

use crate::records::{Asked, Ledger, Recorder};
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

/// Entries that are to be appended.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    way: Way,
    key: String,
    entries: Vec<Vec<u8>>,
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// Entries to append.
    Entries(Append),
    /// Records to append.
    Records(Asked),
}

/// Asks for one thing after the other, for each again until it is answered.
#[derive(Debug)]
pub(crate) struct Client {
    log: String,
    token: String,
    maker: Maker,
    pending: Option<Ask>,
}

/// What thinks of something to ask for.
#[derive(Debug)]
enum Maker {
    Entries(Producer),
    Records(Recorder),
}

/// Makes entries.
#[derive(Debug)]
struct Producer {
    number: usize,
    way: Way,
    random: Random,
    sent: u64,
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
    /// What was asked for was done; with the answer's body.
    Done(Ask, Vec<u8>),
    /// Records that were refused, as they might be: none of them is ever there.
    Refused(Asked),
    /// A head.
    Head(Vec<u8>),
    /// A checkpoint.
    Checkpoint(Vec<u8>),
    /// What no server may say.
    Odd(String),
}

impl Client {
    pub(crate) fn new(number: usize, log: &str, token: &str, way: Way, random: Random) -> Self {
        Self::of(log, token, Maker::Entries(Producer { number, way, random, sent: 0 }))
    }

    /// One that brings records to the log that they belong in.
    pub(crate) fn recording(log: &str, token: &str, recorder: Recorder) -> Self {
        Self::of(log, token, Maker::Records(recorder))
    }

    fn of(log: &str, token: &str, maker: Maker) -> Self {
        Self { log: log.to_owned(), token: token.to_owned(), maker, pending: None }
    }

    /// The log that it appends to.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// Whether an append of its was not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Brings something once to a server that nothing is wrong with.
    pub(crate) fn bring(&mut self, connection: &mut Connection) -> Result<Answer, Finding> {
        let ask = self.next();
        let answer = connection.ask(&self.request(&ask)).map_err(|broken| Finding::failed(format!("{broken:?}")))?;
        match (answer.status, ask) {
            (200, ask) => Ok(Answer::Done(ask, answer.body)),
            (_, Ask::Records(asked)) if self.conflict(&asked, &answer) => Ok(Answer::Refused(asked)),
            _ => Err(Finding::failed(answer.text())),
        }
    }

    /// Appends until the connection breaks, or until it is told to stop and has its last answer.
    pub(crate) fn work(&mut self, address: SocketAddr, signals: &Signals) -> Vec<Answer> {
        let mut answers = Vec::new();
        let Ok(mut connection) = Connection::open(address) else { return answers };
        while connection.is_reusable() {
            let stop = signals.stop.load(Ordering::SeqCst);
            let ask = match self.pending.take() {
                Some(ask) => ask,
                None if stop => break,
                None => self.next(),
            };
            signals.in_flight.fetch_add(1, Ordering::SeqCst);
            let answer = connection.ask(&self.request(&ask));
            signals.in_flight.fetch_sub(1, Ordering::SeqCst);
            match (answer, ask) {
                (Ok(answer), ask) if answer.status == 200 => {
                    signals.answered.fetch_add(1, Ordering::SeqCst);
                    answers.push(Answer::Done(ask, answer.body));
                }
                (Ok(answer), Ask::Records(asked)) if self.conflict(&asked, &answer) => {
                    signals.answered.fetch_add(1, Ordering::SeqCst);
                    answers.push(Answer::Refused(asked));
                }
                // Full, stopping, halted, or a read that failed: nothing is known of the append.
                (Ok(answer), ask) if [500, 503, 507].contains(&answer.status) => {
                    self.pending = Some(ask);
                    if stop {
                        break;
                    }
                    std::thread::sleep(PAUSE);
                }
                (Ok(answer), _) => {
                    let words = format!("log {}: an append is answered {}: {}", self.log, answer.status, answer.text());
                    answers.push(Answer::Odd(words));
                    break;
                }
                (Err(_), ask) => {
                    self.pending = Some(ask);
                    break;
                }
            }
        }
        answers
    }

    fn next(&mut self) -> Ask {
        match &mut self.maker {
            Maker::Entries(producer) => Ask::Entries(producer.next()),
            Maker::Records(recorder) => Ask::Records(recorder.next()),
        }
    }

    /// Whether an answer says that a stream is not where the records expected it, and they may have been wrong.
    fn conflict(&mut self, asked: &Asked, answer: &Response) -> bool {
        match &mut self.maker {
            Maker::Records(recorder) => answer.status == 409 && recorder.conflict(asked, &answer.body),
            Maker::Entries(_) => false,
        }
    }

    fn request(&self, ask: &Ask) -> Request {
        let request = match ask {
            Ask::Entries(append) => append.request(&self.log),
            Ask::Records(asked) => asked.request(),
        };
        request.with("authorization", format!("Bearer {}", self.token))
    }
}

impl Producer {
    fn next(&mut self) -> Append {
        self.sent += 1;
        let count = if self.way == Way::Batch { 1 + self.random.below(BATCH) } else { 1 };
        let entries = (0..count).map(|position| {
            let mut entry = format!("client {} entry {} {position} ", self.number, self.sent).into_bytes();
            let length = entry.len() + self.random.below(200);
            entry.resize(length, b'.');
            entry
        });
        Append { way: self.way, entries: entries.collect(), key: format!("client-{}-{}", self.number, self.sent) }
    }
}

impl Append {
    fn request(&self, log: &str) -> Request {
        let target = format!("/logs/{log}/entries");
        let body = || self.entries.first().cloned().unwrap_or_default();
        let request = match self.way {
            Way::Json => Request::post(target, body()),
            Way::Proof => Request::post(target, body()).with("accept", "text/plain"),
            Way::Batch => {
                let mut bytes = Vec::new();
                for entry in &self.entries {
                    // They are far shorter than an entry may be.
                    let _ = Entries::encode(entry, &mut bytes);
                }
                Request::post(format!("{target}?receipts=1"), bytes).with("content-type", media::ENTRIES)
            }
        };
        request.with(header::IDEMPOTENCY_KEY, self.key.clone())
    }

    /// The receipts in an answer, not verified yet.
    fn receipts(&self, body: &[u8]) -> Result<Vec<Receipt>, String> {
        Ok(match self.way {
            Way::Json => {
                let json: ReceiptJson = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                vec![json.into_receipt().map_err(|error| error.to_string())?]
            }
            Way::Proof => vec![Receipt::parse(body).map_err(|error| error.to_string())?],
            Way::Batch => {
                let batch: BatchAnswer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                batch.receipts().collect()
            }
        })
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
                    let is_head = resource == "head";
                    let body = answer.body;
                    seen.push((log.clone(), if is_head { Answer::Head(body) } else { Answer::Checkpoint(body) }));
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
    seen
}

/// What a judged answer acknowledges.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Acknowledged {
    /// Entries, the records among them.
    pub(crate) entries: u64,
    pub(crate) records: u64,
}

/// Verifies an answer about a log, and tells what it acknowledges.
pub(crate) fn judge(oracle: &mut Oracle, ledger: Option<&mut Ledger>, answer: Answer) -> Result<Acknowledged, Finding> {
    let log = oracle.name().to_owned();
    let bad = |words: String| Finding { sort: Sort::BadBytes, words: format!("log {log}: {words}") };
    match (answer, ledger) {
        (Answer::Head(text) | Answer::Checkpoint(text), _) => {
            oracle.see_head(&text)?;
            Ok(Acknowledged::default())
        }
        (Answer::Odd(words), _) => Err(Finding::failed(words)),
        (Answer::Done(Ask::Entries(append), body), _) => {
            let receipts = append.receipts(&body).map_err(bad)?;
            if receipts.len() != append.entries.len() {
                return Err(bad(format!("{} receipts for {} entries", receipts.len(), append.entries.len())));
            }
            for (entry, receipt) in append.entries.iter().zip(&receipts) {
                oracle.see_receipt(entry, receipt)?;
            }
            Ok(Acknowledged { entries: receipts.len() as u64, records: 0 })
        }
        (Answer::Done(Ask::Records(asked), body), Some(ledger)) => {
            let records = ledger.acknowledged(&asked, &body, oracle)?;
            Ok(Acknowledged { entries: records, records })
        }
        (Answer::Refused(asked), Some(ledger)) => {
            ledger.refused(&asked);
            Ok(Acknowledged::default())
        }
        (_, None) => Err(Finding::failed("the harness: records in a log that has none")),
    }
}
