//! What records cost whose log continues many others: whoever brings one with an id or a key is looked for in all of them. One
//! connection, one request after another, as the default log is sealed and continued again and again.

use std::path::Path;

use serde_json::{Value, json};

use super::history::http::Client;
use crate::Settings;
use crate::programs::{Server, Tokens, command, init_with_reader};
use crate::report::{Row, median};

/// Requests of a kind, of which the middle one counts.
const REQUESTS: u64 = 301;

/// What requests took at the median, in milliseconds.
struct Taken {
    plain: f64,
    with_id: f64,
    with_key: f64,
    absent: f64,
}

/// The median append behind one sealed log, ten of them and so on up to [`Settings::logs`], beside one behind none.
///
/// # Errors
/// Whatever the server says.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let data = settings.folder()?;
    let Tokens { producer, reader } = init_with_reader(data.path())?;
    let server = Server::cairn(data.path(), producer.clone(), &settings.cores())?;
    let mut callers = Callers { origin: server.origin().to_owned(), producer, reader, next: 0 };
    let alone = callers.taken()?;
    let mut logs = Logs { data: data.path(), newest: "main".to_owned(), sealed: 0 };
    let mut rows = Vec::new();
    let mut most = 1;
    while most <= settings.logs {
        while logs.sealed < most {
            callers.fill()?;
            logs.seal()?;
        }
        let taken = callers.taken()?;
        eprintln!("  {most} sealed logs: {:.2} ms with an id", taken.with_id);
        rows.push(row(most, &alone, &taken));
        most *= 10;
    }
    Ok(rows)
}

fn row(sealed: usize, alone: &Taken, taken: &Taken) -> Row {
    let note =
        |what: &str, part: fn(&Taken) -> f64| format!("{what}: {:.2} ms, {:.2} ms alone", part(taken), part(alone));
    Row {
        name: format!("records behind {sealed} sealed logs"),
        what: "ms of an append of a record with an id, median, one connection; bare: in a log that continues none"
            .to_owned(),
        cairn: taken.with_id,
        bare: Some(alone.with_id),
        ratio: Some(taken.with_id / alone.with_id),
        spread: None,
        target: "(for information)".to_owned(),
        met: None,
        notes: vec![
            note("without an id", |taken| taken.plain),
            note("with a key", |taken| taken.with_key),
            note("`GET /v1/records/{id}` of an id that no record has", |taken| taken.absent),
        ],
    }
}

/// A row of logs, of which each but the newest is sealed and has a record.
struct Logs<'d> {
    data: &'d Path,
    newest: String,
    sealed: usize,
}

impl Logs<'_> {
    fn seal(&mut self) -> anyhow::Result<()> {
        self.sealed += 1;
        let next = format!("log{}", self.sealed);
        command("cairnd", &["log", "seal", &self.newest, "--successor", &next, "--data"], self.data)?;
        self.newest = next;
        Ok(())
    }
}

/// Those who ask, each kind of request on a connection of its own: one that waits long is closed.
struct Callers {
    origin: String,
    producer: String,
    reader: String,
    /// The number of the next record.
    next: u64,
}

/// One request with a number of its own; how long it took, in milliseconds.
type Ask = fn(&mut Client, u64) -> anyhow::Result<f64>;

impl Callers {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Brings a record that is not measured.
    fn fill(&mut self) -> anyhow::Result<()> {
        let mut client = Client::connect(&self.origin, &self.producer)?;
        append(&mut client, &with_id(self.number()), "").map(drop)
    }

    fn of(&mut self, token: &str, ask: Ask) -> anyhow::Result<f64> {
        let mut client = Client::connect(&self.origin, token)?;
        let times = (0..REQUESTS).map(|_| ask(&mut client, self.number()));
        Ok(median(&times.collect::<anyhow::Result<Vec<f64>>>()?))
    }

    fn taken(&mut self) -> anyhow::Result<Taken> {
        let (producer, reader) = (self.producer.clone(), self.reader.clone());
        let keyed = |client: &mut Client, number: u64| {
            append(client, &record(number), &format!("idempotency-key: k{number}\r\n"))
        };
        Ok(Taken {
            plain: self.of(&producer, |client, number| append(client, &record(number), ""))?,
            with_id: self.of(&producer, |client, number| append(client, &with_id(number), ""))?,
            with_key: self.of(&producer, keyed)?,
            absent: self.of(&reader, absent)?,
        })
    }
}

fn append(client: &mut Client, record: &Value, headers: &str) -> anyhow::Result<f64> {
    let body = record.to_string();
    let answered = client.post_with("/v1/records", ("application/json", headers), body.as_bytes())?;
    let words = || String::from_utf8_lossy(answered.body).into_owned();
    anyhow::ensure!(answered.status == 200, "{} {}", answered.status, words());
    Ok(answered.time.as_secs_f64() * 1e3)
}

fn absent(client: &mut Client, number: u64) -> anyhow::Result<f64> {
    let answered = client.get_any(&format!("/v1/records/{}", id((1 << 44) + number)))?;
    anyhow::ensure!(answered.status == 404, "{}", answered.status);
    Ok(answered.time.as_secs_f64() * 1e3)
}

fn id(number: u64) -> String {
    format!("01939f5a-7c00-7a3b-8c4d-{number:012x}")
}

/// The first record of an object.
fn record(number: u64) -> Value {
    json!({
        "object": {"tenant": "pb", "module": "tl", "entity": "license", "id": number.to_string(), "operation": "create"},
        "actor": {"id": "8a1f", "type": "user"},
        "values": {"whole": {"new": {"status": "APPLIED", "fee": 1200}}},
    })
}

fn with_id(number: u64) -> Value {
    let mut record = record(number);
    if let Some(members) = record.as_object_mut() {
        members.insert("id".to_owned(), json!(id(number)));
    }
    record
}
