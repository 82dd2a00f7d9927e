//! The bare baseline of requests: hyper with nothing behind it, speaking the same paths as Cairn's server.
//!
//! A POST's body is collected and handed through a channel to one thread, which answers an index and keeps nothing; or,
//! where it is to be the floor of any durable server, writes all bodies that wait into a file of full length and syncs it
//! once before it answers. A GET is answered with constant bytes, as many as Cairn's answer has. No routes beyond that,
//! no limits, no time-outs.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The bytes of a full tile.
const TILE: usize = 8_192;
/// More than any number of connections that is measured.
const WAITING: usize = 16_384;

type Answer = Response<Full<Bytes>>;

/// The bytes of the file that bodies are written into, over and over.
const FILE: u64 = 64 << 20;
/// The most bodies that one sync makes durable.
const GROUP: usize = 16_384;

/// What the one thread does with bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// It drops them.
    Dropped,
    /// It syncs them before it answers: one write and one sync for all that wait.
    Synced,
}

/// One body on its way to the thread.
struct Job {
    body: Bytes,
    reply: oneshot::Sender<u64>,
}

/// What GET is answered with.
struct Constants {
    checkpoint: Bytes,
    proof: Bytes,
    tile: Bytes,
}

/// Serves until it is killed. The folder has a `checkpoint` and a `proof` to answer with; both may be absent.
pub(crate) fn serve(folder: &Path, bodies: Bodies) -> anyhow::Result<()> {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_default().into();
    let constants =
        Arc::new(Constants { checkpoint: read("checkpoint"), proof: read("proof"), tile: vec![7; TILE].into() });
    let (jobs, waiting) = sync_channel(WAITING);
    let thread = std::thread::Builder::new().name("indexes".to_owned());
    match bodies {
        Bodies::Dropped => drop(thread.spawn(move || number(&waiting))?),
        Bodies::Synced => {
            let file = filled(&folder.join("bodies"))?;
            // Whoever waits for an answer finds that the thread has ended.
            thread.spawn(move || sync(&waiting, &file))?;
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("ready at http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            let (jobs, constants) = (jobs.clone(), Arc::clone(&constants));
            tokio::spawn(async move { connection(stream, &jobs, &constants).await });
        }
    })
}

/// The one thread: it takes each body and counts.
fn number(waiting: &Receiver<Job>) {
    for (index, job) in waiting.iter().enumerate() {
        drop(job.body);
        // Whoever asked may have gone.
        let _ = job.reply.send(index as u64);
    }
}

/// A file whose length and blocks do not change any more: a sync of it writes its bytes and nothing else.
fn filled(path: &Path) -> std::io::Result<File> {
    let file = File::create(path)?;
    let zeros = vec![0; 1 << 20];
    for start in (0..FILE).step_by(zeros.len()) {
        file.write_all_at(&zeros, start)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// The one thread, when it syncs.
fn sync(waiting: &Receiver<Job>, file: &File) -> std::io::Result<()> {
    let (mut end, mut index) = (0, 0);
    let mut group = Vec::new();
    let mut bytes = Vec::new();
    while let Ok(first) = waiting.recv() {
        group.push(first);
        group.extend(waiting.try_iter().take(GROUP));
        bytes.clear();
        group.iter().for_each(|job: &Job| bytes.extend_from_slice(&job.body));
        if end + bytes.len() as u64 > FILE {
            end = 0;
        }
        file.write_all_at(&bytes, end)?;
        file.sync_data()?;
        end += bytes.len() as u64;
        for job in group.drain(..) {
            // Whoever asked may have gone.
            let _ = job.reply.send(index);
            index += 1;
        }
    }
    Ok(())
}

async fn connection(stream: TcpStream, jobs: &SyncSender<Job>, constants: &Constants) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let service = service_fn(|request| async {
        Ok::<_, Infallible>(answer(request, jobs, constants).await.unwrap_or_else(failed))
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    Ok(served?)
}

async fn answer(request: Request<Incoming>, jobs: &SyncSender<Job>, constants: &Constants) -> anyhow::Result<Answer> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if parts.method == Method::POST {
        let body = body.collect().await?.to_bytes();
        let (reply, index) = oneshot::channel();
        jobs.send(Job { body, reply })?;
        let index = index.await?;
        let text = if path.ends_with("/add") { index.to_string() } else { format!("{{\"first\":{index}}}") };
        return Ok(Response::new(Full::from(text)));
    }
    let resource = path.rsplit('/').next().unwrap_or_default();
    let bytes = match resource {
        "checkpoint" => &constants.checkpoint,
        "inclusion" => &constants.proof,
        _ => &constants.tile,
    };
    Ok(Response::new(Full::new(bytes.clone())))
}

fn failed(error: anyhow::Error) -> Answer {
    let mut answer = Response::new(Full::from(error.to_string()));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
}

/// Writes what [`serve`] answers with.
pub(crate) fn prepare(folder: &Path, checkpoint: &[u8], proof: &[u8]) -> anyhow::Result<()> {
    for (name, bytes) in [("checkpoint", checkpoint), ("proof", proof)] {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
