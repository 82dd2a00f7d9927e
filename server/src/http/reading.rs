//! What all reading routes share: answers with their caching, and reads of the store that do not hold up other requests.

use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::{Answer, Payload, spawn_blocking_on};
use cairn_tree::wire::media;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderValue, Response};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::problem::Problem;
use super::{App, Ask};
use crate::engine::Log;

/// How long an answer stays true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// For ever: it is fixed by its address.
    Immutable,
    /// Until the next head.
    Head,
}

/// The `Cache-Control` of what nobody may keep: appends' answers, problems, streams, and all that a private log says.
/// One text for all logs, so that the refusal of a private one is that of an absent one.
pub(crate) const NOT_KEPT: HeaderValue = HeaderValue::from_static("private, no-store");

/// The `Cache-Control` of an answer about this log.
fn cache_control(private: bool, lasting: Lasting) -> HeaderValue {
    match (private, lasting) {
        (true, _) => NOT_KEPT,
        (false, Lasting::Immutable) => HeaderValue::from_static("public, max-age=31536000, immutable"),
        (false, Lasting::Head) => HeaderValue::from_static("public, max-age=2"),
    }
}

/// An answer of `log` with this body.
pub(crate) fn answer(log: &Log, lasting: Lasting, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Payload::whole(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, cache_control(log.info().private, lasting));
    answer
}

/// The answer to an append; nobody may keep it.
pub(crate) fn fresh(media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Payload::whole(body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, NOT_KEPT);
    answer
}

/// Marks an answer whose form hangs on a request header.
pub(crate) fn varying(mut answer: Answer, header: &'static str) -> Answer {
    answer.headers_mut().insert(VARY, HeaderValue::from_static(header));
    answer
}

pub(crate) fn json(log: &Log, lasting: Lasting, body: Vec<u8>) -> Answer {
    answer(log, lasting, media::JSON, body)
}

impl App {
    /// Runs a read that may touch the disk where it holds up no other request; so many at once, and no more.
    pub(crate) async fn read<T, E>(&self, read: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        self.read_for(false, read).await
    }

    /// The same for somebody who may ask for much at once: those who do wait for one another alone.
    pub(crate) async fn read_for<T, E>(
        &self,
        is_of_crowd: bool,
        read: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let permits = if is_of_crowd { &self.crowd_reads } else { &self.disk_reads };
        let permit = Arc::clone(permits).acquire_owned().await.map_err(Problem::internal)?;
        run(&Handle::current(), permit, read).await
    }

    /// Makes the answer to a large append: as few at once as reads of whole bundles, but no reader keeps it waiting.
    pub(crate) async fn answer_batch<T, E>(
        &self,
        read: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let permit = Arc::clone(&self.batch_answers).acquire_owned().await.map_err(Problem::internal)?;
        run(&Handle::current(), permit, read).await
    }

    /// Runs a read of whole bundles, of which one takes more memory than thousands of other answers; fewer at once, and on
    /// threads that give way to everything else.
    pub(crate) async fn read_bundles<T, E>(
        &self,
        read: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        let permit = Arc::clone(&self.bundle_reads).acquire_owned().await.map_err(Problem::internal)?;
        let turn = self.cores.turn().await;
        let read = move || {
            let value = read();
            // The next one reads while this one is sent.
            drop(turn);
            value
        };
        run(&self.readers, permit, read).await
    }
}

/// The permit goes with the work, which ends no earlier when its asker is gone, and comes back with the value, so that no
/// more values than permits wait for their askers.
async fn run<T, E>(
    threads: &Handle,
    permit: OwnedSemaphorePermit,
    read: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem>
where
    T: Send + 'static,
    E: Into<Problem> + Send + 'static,
{
    let work = spawn_blocking_on(threads, move || (read(), permit));
    let (value, _permit) = work.await.map_err(Problem::internal)?;
    value.map_err(E::into)
}

impl Ask<'_> {
    /// Runs a read that may touch the disk; see [`App::read`].
    pub(crate) async fn read<T, E>(&self, read: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        self.app.read_for(self.is_of_crowd(), read).await
    }

    /// Runs a read of whole bundles for a large answer, unless there is no room for one; see [`App::read_bundles`].
    pub(crate) async fn read_large<T, E>(
        &self,
        read: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        self.app.answers.admit_large()?;
        let answers = Arc::clone(&self.app.answers);
        // Once more when its turn has come: the room may be gone by then.
        self.app.read_bundles(move || answers.admit_large().and_then(|()| read().map_err(E::into))).await
    }
}
