//! A head by none of the keys that are known: the log may have changed its keys, and then its own statements lead to the
//! new ones. It is an alarm only if they don't.

use super::super::round::{Round, RoundError};
use super::{Event, Follower, Now};
use crate::auditor::AuditError;
use crate::bounds;
use crate::fetch::{FetchError, Freshness, shown};

impl Follower {
    /// Looks for an explanation of heads that no known key has signed; then the round is made once more. `ended` is how it
    /// ended.
    pub(super) async fn explain(
        &mut self,
        ended: Result<Round, RoundError>,
        now: Now,
        events: &mut Vec<Event>,
    ) -> Result<Round, RoundError> {
        let following = tokio::time::timeout(bounds::FOLLOWING_TIME, self.monitor.follow_keys());
        let why = match following.await {
            Ok(Ok(true)) => {
                self.unexplained.fresh();
                let active = self.monitor.keyring().active().to_vec();
                let names: Vec<String> = active.iter().map(ToString::to_string).collect();
                self.note(format!("{} keys: its statements lead to {}", now.wall, names.join(" and ")));
                events.push(Event::Keys { active });
                return self.round(Freshness::PastCaches, now).await;
            }
            Ok(Ok(false)) => "they lead to no other keys".to_owned(),
            Ok(Err(error)) => {
                let is_transient = matches!(&error, AuditError::Fetch(error) if error.is_transient());
                // Whoever never answers that question is accused in the end; whoever is restarted meanwhile is not.
                if is_transient && self.unexplained.stale(now.instant).is_none() {
                    self.is_explaining = true;
                    return Err(error.into());
                }
                error.to_string()
            }
            Err(_) => FetchError::TimedOut {
                url: format!("{}/keys", self.monitor.remote().url()),
                after: bounds::FOLLOWING_TIME,
            }
            .to_string(),
        };
        self.note(format!("{} keys: what the log says about its keys explains nothing: {}", now.wall, shown(&why)));
        ended
    }
}
