//! A database of many logs, to be opened.

use std::path::Path;
use std::sync::Arc;

use cairn_tree::note::{KeyName, SignatureType, SignerKey};
use cairn_tree::store::DatabaseId;
use cairnd::engine::{Engine, EntryBatch, SystemClock, Terms, Unobserved};
use cairnd::log_name::LogName;
use tokio::runtime::Runtime;

use super::options;

/// Entries of each log: with one more, its right edge would be two full tiles; so it is as long as it gets.
pub(crate) const ENTRIES: u64 = 65_535;
/// Entries of one batch.
const BATCH: u64 = 8_192;
/// Logs that are filled at a time.
const AT_A_TIME: usize = 16;

/// Makes so many logs of short entries in an empty folder.
///
/// # Errors
/// Whatever the engine says.
pub(crate) fn fill(folder: &Path, logs: usize) -> anyhow::Result<()> {
    Engine::create(&options(folder), DatabaseId::new([7; 16]))?;
    let engine = Engine::open(&options(folder), Arc::new(SystemClock), Arc::new(Unobserved))?;
    let runtime = Runtime::new()?;
    for logs in (0..logs).collect::<Vec<_>>().chunks(AT_A_TIME) {
        let tasks: Vec<_> = logs.iter().map(|number| runtime.spawn(fill_one(engine.clone(), *number))).collect();
        tasks.into_iter().try_for_each(|task| runtime.block_on(task)?)?;
    }
    engine.close();
    Ok(())
}

async fn fill_one(engine: Engine, number: usize) -> anyhow::Result<()> {
    let name = LogName::new(format!("log{number}"))?;
    let origin = format!("example.com/logs/{name}");
    let mut seed = [1; 32];
    seed.iter_mut().zip(number.to_be_bytes()).for_each(|(to, byte)| *to = byte);
    let signer = SignerKey::from_seed(KeyName::new(origin.clone())?, SignatureType::ED25519, &seed)?;
    let (private, open_append, dedup, hash_index) = (false, false, false, false);
    let terms = Terms { name: name.clone(), origin, private, open_append, dedup, hash_index };
    engine.create_log(terms, vec![signer]).await?;
    let Some(log) = engine.log(&name) else { anyhow::bail!("log {name} is not there") };
    let mut next = 0;
    while next < ENTRIES {
        let end = (next + BATCH).min(ENTRIES);
        let entries: Vec<[u8; 8]> = (next..end).map(u64::to_be_bytes).collect();
        log.append(EntryBatch::from_entries(entries.iter().map(<[u8; 8]>::as_slice))?, None).await?;
        next = end;
    }
    Ok(())
}
