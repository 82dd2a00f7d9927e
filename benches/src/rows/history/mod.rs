//! Reading records as a client does, from a server of its own over HTTP: the history of one object whose records are
//! dispersed over a large log, and the first page of each filter. The server verifies all that it answers, as for everybody.

mod bare;
mod filled;
pub(in crate::rows) mod http;
mod sown;

use std::time::Duration;

use anyhow::Context as _;
use cairn_tree::wire::v1::{Page, RecordBody};

use crate::Settings;
use crate::programs::{Cores, Server};
use crate::report::{Row, median};
use filled::{Filled, rest};
use http::Client;
use sown::{FILTERS, HISTORY, STREAM, TENANT, value, with_topic};

/// Histories that are read while they are warm.
const HISTORIES: usize = 200;
/// Histories that are read first.
const WARMING: usize = 5;
/// First pages of each filter.
const PAGES: u64 = 100;
/// Fresh processes that are asked for a history.
const COLD: usize = 3;
/// Servers and client share the machine.
const EVERYWHERE: Cores = Cores { server: None, load: None };

/// A history, and all filters.
///
/// # Errors
/// Whatever the server says, or that an answer lacks something.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let filled = Filled::get(settings, &EVERYWHERE)?;
    let gib = filled.gib()?;
    eprintln!("  {} records, {gib:.1} GiB on disk; {}", settings.records, filled.told);
    let mut cold = Vec::new();
    for _ in 0..COLD {
        cold.push(cold_history(&filled)?);
    }
    let server = filled.serve(&EVERYWHERE)?;
    // Before the connection, which would not wait so long.
    rest(&server);
    let mut client = Client::connect(server.origin(), server.token())?;
    let bodies = whole(&mut client)?;
    let mut times = Vec::new();
    let before = server.used();
    for _ in 0..WARMING + HISTORIES {
        times.push(history(&mut client)?.0);
    }
    let cores_ms = (server.used() - before) * 1e3 / times.len() as f64;
    times.drain(..WARMING);
    let bytes = history(&mut client)?.1;
    eprintln!("  warm {}", described(&times));
    let mut rows = filters(settings, &mut client)?;
    drop((client, server));
    let (bare_cold, bare) = bare::read_and_hash(&filled.data, &bodies)?;
    let [p50, p99] = [at(&times, 0.5), at(&times, 0.99)];
    let (bare_p50, all) = (at(&bare, 0.5), bodies.len());
    let records = settings.records;
    let target = "< 20 ms";
    let history = Row {
        name: "history, warm".to_owned(),
        what: format!(
            "ms: {all} reference records of one object dispersed over {records}, all pages, verified by the server, over \
             one connection; bare: their rows read from RocksDB and hashed on all cores"
        ),
        cairn: p50,
        bare: Some(bare_p50),
        ratio: Some(p50 / bare_p50),
        spread: None,
        target: target.to_owned(),
        met: Some(p50 < 20.0),
        notes: vec![
            format!("{}; p99 {p99:.1} ms; {:.1} MB of answers", described(&times), bytes as f64 / 1e6),
            format!("{cores_ms:.1} ms of the server's processor time each"),
            format!("{gib:.1} GiB on disk; {}", filled.told),
        ],
    };
    let first = cold.iter().map(|cold| cold.history.as_secs_f64() * 1e3).collect::<Vec<_>>();
    let begun = cold.iter().map(|cold| cold.begun.as_secs_f64() * 1e3).collect::<Vec<_>>();
    let cold = Row {
        name: "history, cold".to_owned(),
        what: "the same from a fresh process, nothing of the database in memory".to_owned(),
        cairn: median(&first),
        bare: Some(bare_cold.as_secs_f64() * 1e3),
        ratio: None,
        spread: None,
        target: String::new(),
        met: None,
        notes: vec![
            format!("{first:.0?} ms; the disk is virtual, and its host may have what this machine forgot"),
            format!("before that the first search of the process, which loads the index: {:.0} ms", median(&begun)),
            "bare: its files were in memory".to_owned(),
        ],
    };
    rows.splice(0..0, [history, cold]);
    Ok(rows)
}

/// What a fresh process took.
struct Cold {
    /// For its first search.
    begun: Duration,
    history: Duration,
}

fn cold_history(filled: &Filled) -> anyhow::Result<Cold> {
    filled.forget()?;
    let (server, mut client) = served(filled)?;
    let begun = client.get(&format!("/v1/records?tenant={TENANT}&object=none"))?.time;
    filled.forget()?;
    let history = history(&mut client)?.0;
    drop((client, server));
    eprintln!("  cold {history:.1?}, after a first search of {begun:.1?}");
    Ok(Cold { begun, history })
}

fn served(filled: &Filled) -> anyhow::Result<(Server, Client)> {
    let server = filled.serve(&EVERYWHERE)?;
    let client = Client::connect(server.origin(), server.token())?;
    Ok((server, client))
}

/// Reads all pages; how long that took, and their bytes.
fn history(client: &mut Client) -> anyhow::Result<(Duration, usize)> {
    let (mut time, mut bytes, mut next) = (Duration::ZERO, 0, None);
    loop {
        let answered = client.get(&page(next.as_deref()))?;
        time += answered.time;
        bytes += answered.body.len();
        next = next_of(answered.body);
        if next.is_none() {
            return Ok((time, bytes));
        }
    }
}

/// All records of the history, each of which must be one.
fn whole(client: &mut Client) -> anyhow::Result<Vec<RecordBody>> {
    let (mut records, mut next) = (Vec::new(), None);
    loop {
        let answered = client.get(&page(next.as_deref()))?;
        let page = Page::parse(answered.body)?;
        anyhow::ensure!(next_of(answered.body) == page.next.as_ref().map(ToString::to_string), "another cursor");
        for listed in &page.records {
            records.push(listed.record().context("a record that can't be verified")?.clone());
        }
        next = page.next.map(|next| next.to_string());
        if next.is_none() {
            anyhow::ensure!(records.len() as u64 == HISTORY, "{} records", records.len());
            return Ok(records);
        }
    }
}

fn page(next: Option<&str>) -> String {
    let cursor = next.map_or_else(String::new, |next| format!("&cursor={next}"));
    format!("{STREAM}?limit=500{cursor}")
}

/// The cursor of a page, which is its last member.
fn next_of(body: &[u8]) -> Option<String> {
    let text = body.strip_suffix(b"\"}")?;
    let start = text.iter().rposition(|byte| *byte == b'"')?;
    let name = text.get(..start)?;
    if !name.ends_with(b"\"next\":") {
        return None;
    }
    Some(String::from_utf8_lossy(text.get(start + 1..)?).into_owned())
}

/// The first page of each filter, of values all over the log, and of some filters together.
fn filters(settings: &Settings, client: &mut Client) -> anyhow::Result<Vec<Row>> {
    let names: Vec<&str> = FILTERS.iter().map(|(name, ..)| *name).collect();
    let mut asked: Vec<Vec<&str>> = names.iter().map(|name| vec![*name]).collect();
    asked.push(Vec::new());
    asked.extend([
        vec!["module", "operation", "actor"],
        vec!["actor", "subject"],
        vec!["category", "entity", "action"],
    ]);
    let mut rows: Vec<Row> = asked.iter().map(|names| filter(settings, client, names)).collect::<Result<_, _>>()?;
    rows.push(until(settings, client)?);
    Ok(rows)
}

fn filter(settings: &Settings, client: &mut Client, names: &[&str]) -> anyhow::Result<Row> {
    let path = |turn: u64| {
        let number = turn * (settings.records / PAGES).max(1) + 5 * turn + 3;
        let number = if names.contains(&"topic") { with_topic(number) } else { number };
        let values = names.iter().map(|name| format!("&{name}={}", value(name, number)));
        format!("/v1/records?tenant={TENANT}{}", values.collect::<String>())
    };
    let name = if names.is_empty() { "tenant alone".to_owned() } else { names.join(" and ") };
    pages(client, &name, path)
}

/// What is newer than all that is wanted has to be passed over.
fn until(settings: &Settings, client: &mut Client) -> anyhow::Result<Row> {
    let path = format!("{STREAM}?limit=500");
    let body = client.get(&path)?.body;
    // The server's time of records here and there in the log.
    let times: Vec<String> = String::from_utf8_lossy(body)
        .split("\"server_time\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next().map(str::to_owned))
        .collect();
    anyhow::ensure!(!times.is_empty() && settings.records > 0, "no times");
    let path = |turn: u64| {
        let time = times.get(turn as usize % times.len()).cloned().unwrap_or_default();
        format!("/v1/records?tenant={TENANT}&module={}&until={time}", value("module", turn))
    };
    pages(client, "module, until a time", path)
}

fn pages(client: &mut Client, name: &str, path: impl Fn(u64) -> String) -> anyhow::Result<Row> {
    let (mut times, mut found, mut most) = ([Vec::new(), Vec::new()], 0, 0);
    // The first time many blocks come from disk, or from the kernel's memory.
    for times in &mut times {
        for turn in 0..PAGES {
            let answered = client.get(&path(turn))?;
            times.push(answered.time);
            let records = answered.body.windows(8).filter(|word| *word == b"\"leaf\":\"").count();
            (found, most) = (found + records, most.max(answered.body.len()));
        }
    }
    let [first, again] = times;
    let (worst, worst_first) = (at(&again, 1.0), at(&first, 1.0));
    let each = found as f64 / (2 * PAGES) as f64;
    eprintln!("  first page by {name}: {each:.1} records; {}; the first time {}", described(&again), described(&first));
    Ok(Row {
        name: format!("first page by {name}"),
        what: format!(
            "ms: the worst of {PAGES} pages of up to 50 records, of other values each, verified; asked before"
        ),
        cairn: worst,
        bare: None,
        ratio: None,
        spread: None,
        target: "< 50 ms".to_owned(),
        met: Some(worst.max(worst_first) < 50.0),
        notes: vec![
            format!("{each:.1} records, at most {} KB; {}", most / 1_000, described(&again)),
            format!("the first time: {}", described(&first)),
        ],
    })
}

/// The time in ms below which this share of them is.
fn at(times: &[Duration], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

fn described(times: &[Duration]) -> String {
    let [least, p50, p99, most] = [0.0, 0.5, 0.99, 1.0].map(|share| at(times, share));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ({least:.1} - {most:.1})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_of_a_page_is_found_at_its_end() {
        assert_eq!(next_of(br#"{"records":[],"complete_to":3,"next":"500"}"#), Some("500".to_owned()));
        assert_eq!(next_of(br#"{"records":[],"complete_to":3}"#), None);
        assert_eq!(next_of(br#"{"next":"1","last":"2"}"#), None);
    }
}
