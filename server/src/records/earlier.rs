//! The logs that had a tenant's streams before, and the streams of them that others go on from.
//!
//! A log that has ended holds streams that nobody can write to any more. The first record of a stream of the same name in
//! the log that follows names the last one there, so that the two are one history (`docs/record.md`, Streams). Not here:
//! a tenant that goes on in a log of its own while the other lives (`crate::admin`), whose streams are linked at once.

use std::sync::Arc;

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::stream::{StreamHead, StreamName};

use super::report::Reporter;
use super::tenants::Homes;
use crate::engine::postings::{PostingsError, PrintSecret};
use crate::engine::records::name_print;
use crate::engine::{Engine, Log, LogState, ReadError};

/// The logs that have ended and may have streams that go on in another one.
pub struct Earlier<'h> {
    homes: &'h Homes,
    reporter: &'h Reporter,
    log: Log,
    /// The newest first.
    ended: Vec<(Log, PrintSecret)>,
}

impl<'h> Earlier<'h> {
    /// Those of a tenant before the log that its records go to.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn of(
        engine: &Engine,
        (homes, reporter): (&'h Homes, &'h Reporter),
        tenant: &str,
        log: &Log,
    ) -> Result<Self, PostingsError> {
        let mut ended = Vec::new();
        for other in homes.each_of(engine, tenant) {
            if other.info().id == log.info().id || other.successor().is_none() {
                continue;
            }
            let secret = other.print_secret().map_err(PostingsError::from);
            let secret = homes.unless_halted(reporter, &other, secret)?.flatten();
            ended.extend(secret.map(|secret| (other, secret)));
        }
        Ok(Self { homes, reporter, log: log.clone(), ended })
    }

    /// Whether a tenant has such logs before the one that its records go to. Nothing is read.
    #[must_use]
    pub fn has_ended(engine: &Engine, homes: &Homes, tenant: &str, log: &Log) -> bool {
        let has_ended = |other: &Log| other.info().id != log.info().id && other.successor().is_some();
        // Most often none has: the tenant's are not gathered for that.
        engine.logs().iter().any(has_ended) && homes.each_of(engine, tenant).iter().any(has_ended)
    }

    /// What a stream goes on from, should its next record be its first here.
    ///
    /// # Errors
    /// [`PostingsError`].
    pub fn head(&self, name: &StreamName<'_>, prints: &PrintSecret) -> Result<Option<StreamHead>, PostingsError> {
        if self.ended.is_empty() || self.log.stream_head(&name_print(prints, name))?.is_some() {
            return Ok(None);
        }
        for (log, secret) in &self.ended {
            // That nothing is named proves nothing.
            let tip = log.stream_head(&name_print(secret, name));
            let tip = self.homes.unless_halted(self.reporter, log, tip)?.flatten();
            let origin = Origin::new(&*log.info().origin).ok();
            if let (Some(tip), Some(origin)) = (tip, origin) {
                return Ok(Some(StreamHead { log: origin, stream: tip.stream, seq: tip.seq, leaf: tip.leaf }));
            }
        }
        Ok(None)
    }
}

impl Homes {
    /// What was read of an earlier log; nothing of one that can't be read because it is damaged, which is why it ended:
    /// what came after it must go on. One that is not known to be damaged is looked at once more, at once; only if it is, and
    /// is halted therefore, does it say nothing. Nor is it believed to lack anything before that, if entries of it are not
    /// what its tree has. One whose indexes are being built is waited for, and named.
    ///
    /// # Errors
    /// [`PostingsError`]. That the store failed is one whatever the log's state is: the next read may find something.
    pub fn unless_halted<T>(
        &self,
        reporter: &Reporter,
        log: &Log,
        read: Result<T, PostingsError>,
    ) -> Result<Option<T>, PostingsError> {
        let is_halted = |error: &ReadError| {
            let is_halted = matches!(log.state(), LogState::Halted(_));
            !error.is_failure() && (is_halted || reporter.suspect_read(log, error))
        };
        match read {
            Ok(read) => match log.misses_nothing() {
                Err(error) if !is_halted(&error) => Err(error.into()),
                _ => Ok(Some(read)),
            },
            Err(PostingsError::Read(error)) if is_halted(&error) => {
                let (log, is_new) = (&log.info().name, self.note_unreadable(log));
                // Whoever asks for it again adds nothing.
                if is_new {
                    tracing::warn!(%log, %error, "what an earlier log has can't be read");
                } else {
                    tracing::debug!(%log, %error, "what an earlier log has can't be read");
                }
                Ok(None)
            }
            Err(PostingsError::Behind { indexed, size, .. }) => {
                let earlier = Some(Arc::from(&*log.info().origin));
                Err(PostingsError::Behind { indexed, size, earlier })
            }
            Err(error) => Err(error),
        }
    }
}
