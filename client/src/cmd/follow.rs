//! `cairn follow`: from a log that has ended to the one that continues it.

use core::fmt;

use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use super::options::{Asked, LogOptions, parse_keys};
use super::terminal::{Form, Terminal};
use crate::auditor::{TileReader, continued, newest_head, seal_of};
use crate::fetch::shown;

/// Follow a log that has ended to its successor: the old log's last entry must name the new one, and the new log's first
/// entry must hold the old one's final head.
///
/// Prints the keys to trust for the new log. A log that was halted could not seal itself: then give --successor-key, which
/// somebody told you; the new log's first entry still must hold the last head that the old log signed.
#[derive(Debug, Args)]
pub(super) struct Follow {
    #[command(flatten)]
    log: LogOptions,
    /// The new log's address; without it, the old one's with the new log's name.
    #[arg(long, value_name = "URL")]
    successor_url: Option<String>,
    /// The new log's key, if the old log was halted.
    #[arg(long, value_name = "VKEY")]
    successor_key: Vec<String>,
}

#[derive(Serialize)]
struct Report {
    origin: String,
    size: u64,
    root: String,
    /// `sealed` or `halted`.
    ended: &'static str,
    successor: String,
    successor_url: String,
    successor_keys: Vec<String>,
    successor_size: u64,
}

impl Follow {
    pub(super) async fn run(self, form: Form, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let Asked { remote, trusted, parallel } = self.log.asked()?;
        let (final_head, keys) = newest_head(&remote, &trusted, parallel).await?;
        let mut reader = TileReader::new(std::sync::Arc::clone(&remote), parallel);
        let seal = seal_of(&remote, &mut reader, (final_head.tree(), &keys)).await?;
        let given = parse_keys(&self.successor_key)?;
        let origin = match (&seal, &given) {
            (Some(seal), _) => seal.successor().clone(),
            (None, Some(given)) => given.origin().clone(),
            (None, None) => return Err(Failure::Refused(format!("{} has not ended", trusted.origin()))),
        };
        let url = match &self.successor_url {
            Some(url) => url.clone(),
            None => beside(&self.log.remote.url, origin.as_str())
                .ok_or_else(|| Failure::Usage("give the new log's address with --successor-url".to_owned()))?,
        };
        let new = self.log.remote.remote_at(&url)?;
        let found = continued(&new, (&final_head, &keys, seal.as_ref()), given, parallel).await?;
        terminal.output.print(
            form,
            &Report {
                origin: final_head.origin().to_string(),
                size: final_head.size().get(),
                root: final_head.root().to_base64(),
                ended: if seal.is_some() { "sealed" } else { "halted" },
                successor: origin.to_string(),
                successor_url: url,
                successor_keys: found.keys.as_slice().iter().map(ToString::to_string).collect(),
                successor_size: found.head.size().get(),
            },
        )
    }
}

/// The address of another log of the same server.
fn beside(url: &str, origin: &str) -> Option<String> {
    let (server, _) = url.trim_end_matches('/').rsplit_once('/')?;
    let (_, name) = origin.rsplit_once('/')?;
    Some(format!("{server}/{name}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, ended, successor, successor_size, successor_url, .. } = self;
        let (origin, successor, url) = (shown(origin), shown(successor), shown(successor_url));
        write!(
            f,
            "{ended}: {origin} ended with {size} entries; {successor} continues it at {url} ({successor_size} entries)"
        )?;
        self.successor_keys.iter().try_for_each(|key| write!(f, "\n{}", shown(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_log_is_looked_for_beside_the_old_one() {
        let found = beside("http://127.0.0.1:6962/logs/main/", "log.example/logs/next");
        assert_eq!(found.as_deref(), Some("http://127.0.0.1:6962/logs/next"));
        assert_eq!(beside("http", "x"), None);
    }
}
