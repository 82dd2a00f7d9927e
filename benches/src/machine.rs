//! The machine that measures: without it a figure says nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How often the disk is asked.
const SYNCS: u64 = 400;
/// The bytes of one write.
const BLOCK: usize = 4_096;

/// What can bind a measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    /// The processor's model.
    pub(crate) cpu: String,
    /// Cores that this program may use.
    pub(crate) cores: usize,
    /// Bytes of memory.
    pub(crate) memory_gib: f64,
    /// The kernel.
    pub(crate) kernel: String,
    /// A write of 4 KiB into a file of full length, then fdatasync: the median.
    pub(crate) fdatasync_p50_us: f64,
    /// The same: 99 of 100 were faster.
    pub(crate) fdatasync_p99_us: f64,
    /// How many processes wanted a core, averaged over the minute before the run.
    pub(crate) load_before: f64,
}

impl Machine {
    /// Looks at this machine and at the disk that has `folder`.
    ///
    /// # Errors
    /// The disk can't be written.
    pub(crate) fn measure(folder: &Path) -> anyhow::Result<Self> {
        let mut syncs = fdatasyncs(&folder.join("fdatasync"))?;
        syncs.sort_unstable();
        let at = |share: usize| syncs.get(syncs.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        Ok(Self {
            cpu: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib(line_of("/proc/meminfo", "MemTotal")) / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            fdatasync_p50_us: at(50),
            fdatasync_p99_us: at(99),
            load_before: load(),
        })
    }
}

/// How many processes want a core, averaged over a minute.
#[must_use]
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// This process's memory now, in MiB.
#[must_use]
pub(crate) fn resident_mib() -> f64 {
    kib(line_of("/proc/self/status", "VmRSS")) / 1_024.0
}

/// The most memory that a process ever had, in MiB.
pub(crate) fn peak_mib(process: u32) -> f64 {
    kib(line_of(&format!("/proc/{process}/status"), "VmHWM")) / 1_024.0
}

/// The memory that another process has now, in MiB.
pub(crate) fn resident_mib_of(process: u32) -> f64 {
    kib(line_of(&format!("/proc/{process}/status"), "VmRSS")) / 1_024.0
}

fn fdatasyncs(path: &Path) -> std::io::Result<Vec<Duration>> {
    let file = File::create(path)?;
    file.write_all_at(&vec![0; SYNCS as usize * BLOCK], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for number in 0..SYNCS {
        let start = Instant::now();
        file.write_all_at(&[number as u8; BLOCK], number * BLOCK as u64)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    fs::remove_file(path)?;
    Ok(times)
}

/// What stands after the colon in the first line that begins so.
fn line_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kib(line: Option<String>) -> f64 {
    line.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap_or(0.0)
}
