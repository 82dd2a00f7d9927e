//! Opening a large database, in a process of its own so that its memory is only that.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairnd::engine::{Engine, SystemClock, Unobserved};
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::engine::{Appender, HashIndex, Until, many, options};
use crate::machine::resident_mib;
use crate::payload::Payload;
use crate::report::{Row, median};

/// How long a database is kept open after its opening, to see what its threads take.
const LINGER: Duration = Duration::from_secs(2);

/// What one opening took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Opened {
    seconds: f64,
    entries: u64,
    before_mib: f64,
    after_mib: f64,
    later_mib: f64,
}

/// Opens the database in `folder`, in this process.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn open(folder: &Path) -> anyhow::Result<Opened> {
    let before_mib = resident_mib();
    let start = Instant::now();
    let engine = Engine::open(&options(folder), Arc::new(SystemClock), Arc::new(Unobserved))?;
    let seconds = start.elapsed().as_secs_f64();
    let after_mib = resident_mib();
    std::thread::sleep(LINGER);
    let entries = engine.logs().iter().map(|log| log.head().size.get()).sum();
    let later_mib = resident_mib();
    engine.close();
    Ok(Opened { seconds, entries, before_mib, after_mib, later_mib })
}

/// Makes a large and a small database and opens each several times.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn measure(settings: &Settings) -> anyhow::Result<Row> {
    let payload = Arc::new(Payload::new(u64::from(std::process::id())));
    let mut sizes = Vec::new();
    for entries in [10_000, settings.large] {
        let folder = settings.folder()?;
        eprintln!("  filling a log with {entries} entries");
        let appender = Appender::create(folder.path(), HashIndex::With)?;
        let appended = appender.append(&payload, Until::Size(entries))?;
        eprintln!("  filled at {:.0} entries/s; {}", appended.rate(), appender.commits().describe(appended.elapsed));
        drop(appender);
        let opened: Vec<Opened> =
            (0..settings.rounds.max(3)).map(|_| in_own_process(folder.path())).collect::<Result<_, _>>()?;
        sizes.push((entries, opened));
    }
    let [(few, small), (_, large)] = sizes.as_slice() else { anyhow::bail!("two sizes were measured") };
    let of = |opened: &[Opened], part: fn(&Opened) -> f64| median(&opened.iter().map(part).collect::<Vec<_>>());
    let mib = |opened: &[Opened]| {
        format!(
            "{:.0} MiB before, {:.0} MiB when open, {:.0} MiB two seconds later",
            of(opened, |one| one.before_mib),
            of(opened, |one| one.after_mib),
            of(opened, |one| one.later_mib),
        )
    };
    let (seconds, first) = (of(large, |one| one.seconds), large.first().context("one opening")?);
    let notes = vec![
        format!(
            "the first opening after the fill: {:.2} s (the others find an emptied write-ahead log)",
            first.seconds
        ),
        format!("with {} entries: {}", first.entries, mib(large)),
        format!("with {few} entries: {:.2} s; {}", of(small, |one| one.seconds), mib(small)),
    ];
    let most = large.iter().map(|one| one.seconds).fold(0.0, f64::max);
    Ok(Row {
        name: "opening".to_owned(),
        what: format!("seconds to open a database with {} entries", first.entries),
        cairn: seconds,
        bare: None,
        ratio: None,
        spread: None,
        target: "< 2 s, memory flat".to_owned(),
        met: Some(most < 2.0),
        notes,
    })
}

/// Opens a database of many logs, each with as many unfinished tiles as its size can have.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn measure_many(settings: &Settings) -> anyhow::Result<Row> {
    let folder = settings.folder()?;
    eprintln!("  filling {} logs with {} entries each", settings.logs, many::ENTRIES);
    many::fill(folder.path(), settings.logs)?;
    let opened: Vec<Opened> =
        (0..settings.rounds.max(3)).map(|_| in_own_process(folder.path())).collect::<Result<_, _>>()?;
    let of = |part: fn(&Opened) -> f64| median(&opened.iter().map(part).collect::<Vec<_>>());
    let first = opened.first().context("one opening")?;
    Ok(Row {
        name: "opening many".to_owned(),
        what: format!("seconds to open a database with {} logs of {} entries", settings.logs, many::ENTRIES),
        cairn: of(|one| one.seconds),
        bare: None,
        ratio: None,
        spread: None,
        target: "(for information)".to_owned(),
        met: None,
        notes: vec![
            format!("the first opening after the fill: {:.2} s", first.seconds),
            format!("{:.0} MiB before, {:.0} MiB when open", of(|one| one.before_mib), of(|one| one.after_mib)),
        ],
    })
}

fn in_own_process(folder: &Path) -> anyhow::Result<Opened> {
    let mut child = Command::new(std::env::current_exe()?).arg("open").arg(folder).stdout(Stdio::piped()).spawn()?;
    let mut text = String::new();
    child.stdout.take().context("its output")?.read_to_string(&mut text)?;
    anyhow::ensure!(child.wait()?.success(), "opening failed");
    let opened: Opened = serde_json::from_str(&text)?;
    eprintln!("  {opened:?}");
    Ok(opened)
}
