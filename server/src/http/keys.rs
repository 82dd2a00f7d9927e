//! `GET keys`: a log's keys, and the entries that say how they changed.

use cairn_listen::Answer;
use cairn_tree::size::TreeSize;
use cairn_tree::statement::KeyChange;
use cairn_tree::wire::keys::{KeyAnswer, KeysAnswer, StatementAnswer};

use super::Ask;

use super::problem::Problem;
use super::reading::{Lasting, json};
use crate::engine::{KeyEntry, KeyStatus, Log};

/// The log's keys.
#[utoipa::path(
    get, path = "/logs/{log}/keys", tag = "Heads", params(("log" = String, Path, description = "The log's name")),
    responses(
        (status = 200, description = "The log's keys with the statements that changed them, each an entry signed by the keys before it; and the logs before and after it", body = crate::http::docs::KeysAnswer),
        (status = 404, description = "No such log", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn keys(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let reading = log.clone();
    let predecessor = log.predecessor().and_then(|name| ask.app.engine.log(&name)).map(|log| log.info().origin.clone());
    let body = ask.read(move || answer(&reading, predecessor)).await?;
    Ok(json(&log, Lasting::Head, body))
}

fn answer(log: &Log, predecessor: Option<String>) -> Result<Vec<u8>, Problem> {
    let head = log.head();
    let statements = log.key_statements(&head)?.into_iter().map(|(index, entry)| {
        let statement = String::from_utf8(entry.to_vec()).map_err(Problem::internal)?;
        Ok(StatementAnswer { index, statement })
    });
    let answer = KeysAnswer {
        origin: log.info().origin.clone(),
        keys: log.keys().into_iter().map(key).collect::<Result<_, _>>()?,
        statements: statements.collect::<Result<_, Problem>>()?,
        predecessor,
        successor: log.successor().map(|log| log.origin),
    };
    serde_json::to_vec(&answer).map_err(Problem::internal)
}

fn key(entry: KeyEntry) -> Result<KeyAnswer, Problem> {
    let status = match entry.status {
        KeyStatus::Active => KeyChange::Active,
        KeyStatus::Retired => KeyChange::Retired,
    };
    Ok(KeyAnswer { vkey: entry.vkey, status, first_size: TreeSize::new(entry.first_size).map_err(Problem::internal)? })
}
