//! Which head an append is answered under (`wait`): one that the log signed, or one that its witnesses cosigned.

use std::sync::Arc;

use cairn_listen::{Answer, stopped};
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::append::Wait;
use http::StatusCode;

use super::Ask;
use crate::engine::{Head, Log};

/// The head that an answer is about.
pub(crate) struct Settled {
    /// It covers everything that was appended.
    pub(crate) under: Arc<Head>,
    /// The caller waits for witnesses, and they are late.
    late: bool,
}

/// Waits as the caller wants to; `last` is the last entry that was appended, and `head` covers it. Entries that a checkpoint covers already, such as those of a retry, are answered under
/// it, so that their receipts carry its cosignatures.
pub(crate) async fn settle(ask: &Ask<'_>, log: &Log, last: LeafIndex, head: &Arc<Head>, wait: Wait) -> Settled {
    let head = || Arc::clone(head);
    if log.policy().is_none() {
        return Settled { under: head(), late: false };
    }
    if let Some(checkpoint) = log.checkpoint().filter(|checkpoint| checkpoint.size.contains(last)) {
        return Settled { under: checkpoint, late: false };
    }
    if wait == Wait::Integrated {
        return Settled { under: head(), late: false };
    }
    let mut stop = ask.app.stop.clone();
    tokio::select! {
        checkpoint = log.witnessed(last) => Settled { under: checkpoint, late: false },
        () = tokio::time::sleep(ask.app.limits.witnessed_wait()) => Settled { under: head(), late: true },
        () = stopped(&mut stop) => Settled { under: head(), late: true },
    }
}

impl Settled {
    /// The answer, with the status that says whether the witnesses were late.
    pub(crate) fn answer(&self, mut answer: Answer) -> Answer {
        if self.late {
            *answer.status_mut() = StatusCode::ACCEPTED;
        }
        answer
    }
}
