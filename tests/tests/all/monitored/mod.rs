//! `cairn monitor` as its operator runs it: a process of its own that tells people, is killed and goes on, has no room on
//! its disk, hears peers that mean no good, and follows a real log through its life.

mod filing;
mod notices;
mod peers;
mod real;
mod resuming;

use std::path::PathBuf;

use cairn_tests::lying::LyingLog;
use cairn_tests::monitor::Monitor;

/// A log that lies when it is told to, and its monitor's folder.
struct Scene {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(size: u64) -> Self {
        Self { log: LyingLog::of_size(size), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a monitor with this at the top of its configuration.
    fn monitor(&self, top: &str) -> Monitor {
        let text = format!(
            "state = \"state\"\ninterval = \"20ms\"\nstale_after = \"0s\"\n{top}\n\
             [[log]]\nname = \"log\"\nurl = \"{}\"\nkeys = [\"{}\"]\n",
            self.log.url(),
            self.log.vkey(),
        );
        let config = self.path("monitor.toml");
        std::fs::write(&config, text).unwrap();
        Monitor::start(&["--config", config.to_str().unwrap()])
    }

    fn grow(&self, to: u64) {
        self.log.change(|model| model.grow(to, "entry"));
    }
}

/// The figure of an alarm that goes on.
fn alarm(name: &str) -> String {
    format!("cairn_monitor_alarm{{log=\"log\",alarm=\"{name}\"}}")
}

const VERIFIED: &str = "cairn_monitor_verified_entries{log=\"log\"}";
