//! Letting the streams of a tenant go on in another log.
//!
//! The last record of each in the old log is a `cairn.continued` record, which names the new log and the id of the stream
//! there; the first in the new log names the head that it continues, which is that record (`docs/record.md`, What is the
//! log's own). The new stream's id is known before it begins, because the salt of its name follows from the old id and the
//! server's secret. So whoever is killed in the middle finds at each stream what is left to do.
//!
//! Not here: what the log has of its own about a tenant, in streams that no producer has: that stays where it is.

use cairn_tree::checkpoint::Origin;
use cairn_tree::record::draft::Content;
use cairn_tree::record::kind::{continued, goes_on};
use cairn_tree::record::open::Record;
use cairn_tree::record::parts::Object;
use cairn_tree::record::reserved::Reserved;
use cairn_tree::record::server_part::Place;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::{Opening, StreamHead, StreamId, StreamName, Topics};
use cairn_tree::record::text::Operation;
use cairn_tree::size::LeafIndex;

use crate::engine::postings::{Facet, Print, PrintSecret};
use crate::engine::records::{StreamTip, name_print};
use crate::engine::{Head, Log};
use crate::records::{Expected, Own, OwnRecord, verified};

/// Records that are looked at, and streams that are linked, at once.
const CHUNK: usize = 256;
/// The operation of the first record of a stream that goes on from another log.
const CONTINUES: &str = "cairn.continues";

/// Links the streams of a tenant.
pub(super) struct Linker<'l> {
    pub(super) own: &'l Own,
    pub(super) from: &'l Log,
    pub(super) to: &'l Log,
    pub(super) tenant: &'l str,
}

/// A stream that is to go on.
struct Stream {
    name: StreamName<'static>,
    topics: Option<Topics<'static>>,
    tip: StreamTip,
    /// Whether its last record says already where it goes on.
    ended: bool,
}

/// Some of the streams of a tenant.
struct Found {
    streams: Vec<Stream>,
    /// Where the next ones begin, if there may be some.
    next: Option<LeafIndex>,
}

/// Whether a log has a stream of a tenant that began at this index or after it, and is not the log's own.
pub(super) async fn holds_streams(log: &Log, tenant: &str, from: LeafIndex) -> Result<bool, String> {
    let (log, tenant) = (log.clone(), tenant.to_owned());
    blocking(move || {
        let mut next = Some(from);
        while let Some(from) = next {
            let found = begun(&log, &tenant, from)?;
            if !found.0.is_empty() {
                return Ok(true);
            }
            next = found.1;
        }
        Ok(false)
    })
    .await
}

impl Linker<'_> {
    /// Links all that are not linked yet; how many there were.
    pub(super) async fn link(&self) -> Result<u64, String> {
        let (mut next, mut linked) = (Some(LeafIndex::ZERO), 0);
        while let Some(from) = next {
            let found = self.find(from).await?;
            linked += found.streams.len() as u64;
            if !found.streams.is_empty() {
                self.end(found.streams).await?;
            }
            next = found.next;
        }
        Ok(linked)
    }

    /// The streams that began from an index on, and are not linked.
    async fn find(&self, from: LeafIndex) -> Result<Found, String> {
        let (old, new, tenant) = (self.from.clone(), self.to.clone(), self.tenant.to_owned());
        blocking(move || {
            let (records, next) = begun(&old, &tenant, from)?;
            let head = old.head();
            let secret = old.print_secret().map_err(words)?.ok_or("a log with records has no secret for its prints")?;
            let there = new.print_secret().map_err(words)?;
            let mut streams = Vec::new();
            for (name, record) in records {
                let has_begun = |secret: &PrintSecret| new.stream_head(&name_print(secret, &name)).map_err(words);
                if there.as_ref().map(has_begun).transpose()?.flatten().is_some() {
                    continue;
                }
                let tip = old.stream_head(&name_print(&secret, &name)).map_err(words)?;
                let tip = tip.ok_or_else(|| format!("the stream of the record at {} is not found", record.index()))?;
                let last = opened(&old, &head, tip.index)?;
                let ended = match goes_on(&last) {
                    None => false,
                    Some((log, _)) if log.as_str() == new.info().origin => true,
                    Some((log, _)) => {
                        return Err(format!("the stream of the record at {} goes on in {log}", tip.index));
                    }
                };
                let topics = record.opening().and_then(|opening| opening.topics.disclosed().cloned().flatten());
                streams.push(Stream { name, topics, tip, ended });
            }
            Ok(Found { streams, next })
        })
        .await
    }

    /// Ends streams in the old log and begins them in the new one.
    async fn end(&self, streams: Vec<Stream>) -> Result<(), String> {
        let to = Origin::new(&*self.to.info().origin).map_err(words)?;
        let mut ends = Vec::new();
        for stream in streams.iter().filter(|stream| !stream.ended) {
            let (object, context, values) =
                continued(&stream.name, &to, self.id_of(&stream.name, stream.tip.stream)?).map_err(words)?;
            let (actor, subjects, attributes) = (None, None, None);
            let content = Content { object, actor, subjects, context, values: Some(values), attributes };
            let expected = Expected { seq: Some(Some(stream.tip.seq)), prev: Some(Some(stream.tip.leaf)) };
            ends.push(OwnRecord::new(content).expecting(expected));
        }
        let ended =
            if ends.is_empty() { Vec::new() } else { self.own.write_all(self.from, ends).await.map_err(words)? };
        let mut ended = ended.into_iter();
        let log = Origin::new(&*self.from.info().origin).map_err(words)?;
        let mut begins = Vec::new();
        for Stream { name, topics, tip, ended: was } in streams {
            let (seq, leaf) = match was {
                true => (tip.seq, tip.leaf),
                false => ended.next().map(|end| (end.seq, end.leaf)).ok_or("a record was not written")?,
            };
            let head = StreamHead { log: log.clone(), stream: tip.stream, seq, leaf };
            let (object, context, _) = continued(&name, &to, tip.stream).map_err(words)?;
            let object = Object { operation: Operation::new(CONTINUES).map_err(words)?, ..object };
            let (actor, subjects, values, attributes) = (None, None, None, None);
            let begin = OwnRecord::new(Content { object, actor, subjects, context, values, attributes });
            let begin = begin.continuing(head).with_name_salt(self.own.name_salt(self.to, tip.stream));
            let begin = begin.expecting(Expected { seq: Some(None), prev: Some(None) });
            begins.push(topics.map_or(begin.clone(), |topics| begin.with_topics(topics)));
        }
        self.own.write_all(self.to, begins).await.map_err(words)?;
        Ok(())
    }

    /// The id that a stream has in the new log.
    fn id_of(&self, name: &StreamName<'_>, old: StreamId) -> Result<StreamId, String> {
        // Only the name's salt matters for it.
        let salt = self.own.name_salt(self.to, old);
        Opening::new(name, None, None, || salt).map(|opening| opening.id()).map_err(words)
    }
}

type Begun = (Vec<(StreamName<'static>, Record)>, Option<LeafIndex>);

/// The first records of a tenant's streams among the next of its records from an index on, and where the others begin. What
/// has no name that is shown can't be linked, and nobody can bring records to it either.
fn begun(log: &Log, tenant: &str, from: LeafIndex) -> Result<Begun, String> {
    let Some(secret) = log.print_secret().map_err(words)? else { return Ok((Vec::new(), None)) };
    let head = log.head();
    let print = Print::new(&secret, Facet::Tenant, &[tenant]);
    let mut found = log.oldest_records(print, from, CHUNK).map_err(words)?;
    let full = found.len() == CHUNK;
    found.retain(|index| head.size.contains(*index));
    let next = found.last().filter(|_| full).and_then(|last| LeafIndex::new(last.get().saturating_add(1)).ok());
    let mut streams = Vec::new();
    for index in found {
        let entry = log.entry(&head, index).map_err(words)?;
        let leaf = entry.and_then(|entry| cairn_tree::record::leaf::Leaf::decode(&entry).ok());
        if !leaf.is_some_and(|leaf| matches!(leaf.server().place, Place::First { .. })) {
            continue;
        }
        let record = opened(log, &head, index)?;
        let name = record.stream().and_then(Shown::disclosed).cloned();
        let name = name.filter(|name| name.tenant().as_str() == tenant && Reserved::of_stream(name).is_none());
        streams.extend(name.map(|name| (name, record)));
    }
    Ok((streams, next))
}

fn opened(log: &Log, head: &Head, index: LeafIndex) -> Result<Record, String> {
    let stored = log.stored_record(head, index).map_err(words)?;
    let stored = stored.ok_or_else(|| format!("the record at {index} is past the head"))?;
    Ok(verified(log, head, stored).map_err(words)?.into_record())
}

fn words(error: impl core::fmt::Display) -> String {
    error.to_string()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    cairn_listen::spawn_blocking(work).await.map_err(words)?
}
