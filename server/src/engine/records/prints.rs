//! What a record is found by: the prints of its stream, its id and what it says. The same for a record that is brought, by
//! whoever brings it, and for one that is stored, when postings are made again.
//!
//! A stored record's prints follow from its leaf and its disclosures: what was erased is found no more, but by its id and
//! its stream's; so is one of a later version. Such a record has one more print ([`partial_print`]), which tells that a
//! stream's name may not find all of its records. Not here: what prints are, and where they are kept (`postings`).

use core::ops::Range;
use std::sync::Arc;

use cairn_tree::hash::Hash;
use cairn_tree::merkle::Root;
use cairn_tree::record::disclosure::Disclosures;
use cairn_tree::record::event::Part;
use cairn_tree::record::id::RecordId;
use cairn_tree::record::kind::{RecordKind, Redactions};
use cairn_tree::record::later::Later;
use cairn_tree::record::leaf::{Entry, Leaf};
use cairn_tree::record::open::{Evidence, IntegrityError, Piece, Record, Traced};
use cairn_tree::record::parts::{Actor, Context, Object, Subjects};
use cairn_tree::record::server_part::Place;
use cairn_tree::record::shown::Shown;
use cairn_tree::record::stream::{StreamId, StreamName, Topics};
use cairn_tree::size::LeafIndex;
use cairn_tree::store::Store;

use super::read::{Rows, StoredRecord};
use crate::engine::Log;
use crate::engine::growing::Edge;
use crate::engine::judge::Judge;
use crate::engine::postings::{Facet, Print, PrintSecret};
use crate::engine::stored::{ReadError, Stored, WIDTH};

/// What a record says that it is found by, as far as it is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Says<'a> {
    /// What was done to which object.
    pub object: Option<&'a Object<'a>>,
    /// Who did it.
    pub actor: Option<&'a Actor<'a>>,
    /// The persons that the data is about.
    pub subjects: Option<&'a Subjects<'a>>,
    /// What it belongs to.
    pub context: Option<&'a Context<'a>>,
}

impl Says<'_> {
    /// The prints of all that. The actor is the one who acted, not those on whose behalf.
    #[must_use]
    pub fn prints(&self, secret: &PrintSecret) -> Vec<Print> {
        let mut said = Vec::with_capacity(12);
        if let Some(object) = self.object {
            said.extend([
                (Facet::Tenant, object.tenant.as_str()),
                (Facet::Module, object.module.as_str()),
                (Facet::Entity, object.entity.as_str()),
                (Facet::Object, object.id.as_str()),
                (Facet::Operation, object.operation.as_str()),
            ]);
            said.extend(object.action.as_ref().map(|action| (Facet::Action, action.as_str())));
            said.extend(object.category.as_ref().map(|category| (Facet::Category, category.as_str())));
        }
        said.extend(self.actor.map(|actor| (Facet::Actor, actor.id().as_str())));
        let subjects = self.subjects.map_or(&[][..], |subjects| subjects.names());
        said.extend(subjects.iter().map(|subject| (Facet::Subject, subject.as_str())));
        if let Some(context) = self.context {
            said.extend(context.correlation.as_ref().map(|id| (Facet::Correlation, id.as_str())));
            said.extend(context.transaction.as_ref().map(|id| (Facet::Transaction, id.as_str())));
        }
        said.into_iter().map(|(facet, value)| Print::new(secret, facet, &[value])).collect()
    }
}

/// The print of a stream's name.
#[must_use]
pub fn name_print(secret: &PrintSecret, name: &StreamName<'_>) -> Print {
    let print = |parts: &[&str]| Print::new(secret, Facet::StreamName, parts);
    match name {
        StreamName::Entity { tenant, module, entity, object } => {
            print(&["entity", tenant.as_str(), module.as_str(), entity.as_str(), object.as_str()])
        }
        StreamName::Named { tenant, name } => print(&["named", tenant.as_str(), name.as_str()]),
    }
}

/// The print of a record's id.
#[must_use]
pub fn id_print(secret: &PrintSecret, id: RecordId) -> Print {
    Print::new(secret, Facet::RecordId, &[core::str::from_utf8(&id.to_text()).unwrap_or_default()])
}

/// The print of a stream's id.
#[must_use]
pub fn stream_print(secret: &PrintSecret, id: StreamId) -> Print {
    Print::new(secret, Facet::StreamId, &[core::str::from_utf8(&id.to_text()).unwrap_or_default()])
}

/// The print of all records that are not found by everything that they once said: something of them is not there, or they
/// are of a later version.
#[must_use]
pub(super) fn partial_print(secret: &PrintSecret) -> Print {
    // No stream's id is so short.
    Print::new(secret, Facet::StreamId, &["partial"])
}

/// The text by which a redaction record tells of a stream's name that it erases, and the print that it is found by then.
#[must_use]
pub fn erased_name(secret: &PrintSecret, name: &Print) -> (String, Print) {
    let text = format!("cairn.name:{:032x}", name.get());
    let print = Print::new(secret, Facet::Correlation, &[&text]);
    (text, print)
}

/// The prints of a stream's topics, which its first record has.
#[must_use]
pub fn topic_prints(secret: &PrintSecret, topics: &Topics<'_>) -> Vec<Print> {
    topics.names().iter().map(|topic| Print::new(secret, Facet::Topic, &[topic.as_str()])).collect()
}

/// The stream that a record belongs in, if what tells it is shown.
#[must_use]
pub fn stream_of(object: &Object<'_>, context: Option<&Context<'_>>) -> StreamName<'static> {
    let named = context.and_then(|context| context.stream.clone());
    let object = object.clone();
    match named {
        Some(name) => StreamName::Named { tenant: object.tenant, name }.into_owned(),
        None => StreamName::of(&object).into_owned(),
    }
}

/// Adds the postings of the stored records in `range`, in the order of their indexes. Gives the first entry that is not what
/// the tree has, if there is one: nothing is found of it any more, and its stream seems to end before it. What looks so is read
/// once more, after `forget`: what is not so a second time never was.
pub(in crate::engine) fn stored_postings(
    tree: &StoredTree<'_>,
    secret: &PrintSecret,
    range: Range<u64>,
    to: &mut Vec<(Print, LeafIndex)>,
    forget: impl Fn(),
) -> Result<Option<Unlike>, ReadError> {
    let (mut reading, mut unlike) = (Reading::new(tree, secret), None);
    let mut from = range.start;
    while from < range.end {
        let (begun, bundle) = (to.len(), from..range.end.min((from / WIDTH + 1) * WIDTH));
        from = bundle.end;
        let first = reading.read(bundle.clone(), unlike.is_none(), to)?;
        let Some(first) = first else { continue };
        forget();
        to.truncate(begun);
        // Neither is what was read beside it believed.
        reading = Reading::new(tree, secret);
        unlike = reading.read(bundle, true, to)?;
        if unlike.is_none() {
            let (log, error) = (tree.stored.log(), first.error);
            tracing::warn!(%log, %error, "what looked damaged is sound when it is read again");
        }
    }
    Ok(unlike)
}

/// An entry that is not what the tree has.
#[derive(Debug)]
pub(in crate::engine) struct Unlike {
    pub(in crate::engine) index: LeafIndex,
    pub(in crate::engine) error: ReadError,
}

/// A log's entries, and the tree that they must be of.
pub(in crate::engine) struct StoredTree<'s> {
    pub(in crate::engine) stored: Stored<'s>,
    pub(in crate::engine) store: &'s dyn Store,
    pub(in crate::engine) root: Root,
    /// The tree's right edge, if it is at hand; else it is read where it is needed.
    pub(in crate::engine) edge: Option<Arc<Edge>>,
}

/// One reading of a log's records.
struct Reading<'s> {
    stored: &'s Stored<'s>,
    secret: &'s PrintSecret,
    rows: Rows<'s>,
    hashes: LeafHashes<'s>,
}

impl<'s> Reading<'s> {
    fn new(tree: &'s StoredTree<'s>, secret: &'s PrintSecret) -> Self {
        let rows = Rows::new(tree.store, tree.stored.log());
        Self { stored: &tree.stored, secret, rows, hashes: LeafHashes { tree, last: None } }
    }

    /// Adds the postings of the records in a range; gives the first entry that is not what the tree has, if that is asked.
    fn read(
        &mut self,
        range: Range<u64>,
        check: bool,
        to: &mut Vec<(Print, LeafIndex)>,
    ) -> Result<Option<Unlike>, ReadError> {
        let Self { stored, secret, rows, hashes } = self;
        let mut unlike = None;
        stored.each_entry(range, |index, entry| {
            if check && unlike.is_none() {
                match hashes.check(index, entry) {
                    Ok(()) => {}
                    Err(error) if error.is_failure() => return Err(error),
                    Err(error) => unlike = Some(Unlike { index, error }),
                }
            }
            let mut kept = || match rows.disclosures(index) {
                Err(error) if error.is_failure() => Err(error),
                // One row that is damaged must not keep all records from being found.
                kept => Ok(kept.unwrap_or_else(|_| Disclosures::none())),
            };
            let prints = match Leaf::classify(entry) {
                Ok(Entry::Record(leaf)) => prints_of(secret, index, entry, &leaf, &kept()?),
                Ok(Entry::Opaque) => match Later::decode(index, entry) {
                    Ok(later) => {
                        vec![id_print(secret, later.id()), stream_print(secret, later.stream()), partial_print(secret)]
                    }
                    Err(_) => return Ok(()),
                },
                Ok(Entry::Raw) | Err(_) => return Ok(()),
            };
            to.extend(prints.into_iter().map(|print| (print, index)));
            Ok(())
        })?;
        Ok(unlike)
    }
}

/// What the tiles have of leaves, the last one at hand; of the unfinished one, what hashes to the tree's root.
struct LeafHashes<'s> {
    tree: &'s StoredTree<'s>,
    /// A tile's number and its hashes.
    last: Option<(u64, Vec<Hash>)>,
}

impl LeafHashes<'_> {
    fn check(&mut self, index: LeafIndex, entry: &[u8]) -> Result<(), ReadError> {
        let (number, place) = (index.get() / WIDTH, (index.get() % WIDTH) as usize);
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            self.last = Some((number, self.tile(number)?));
        }
        let expected = self.last.as_ref().and_then(|(_, hashes)| hashes.get(place));
        if expected == Some(&Hash::leaf(entry)) {
            return Ok(());
        }
        let problem = format!("the entry {index} is not what the tree has");
        Err(self.tree.stored.damaged("bundle", number, problem))
    }

    fn tile(&self, number: u64) -> Result<Vec<Hash>, ReadError> {
        let StoredTree { stored, root, edge, .. } = self.tree;
        if (number + 1) * WIDTH <= root.size.get() {
            return stored.tile(0, number);
        }
        let judge = Judge::new(*stored, (root.size, root.hash), edge.clone());
        match (judge.edge_error(), judge.edge_hashes(0)) {
            (Some(error), _) => Err(error.clone()),
            (None, hashes) => Ok(hashes.unwrap_or_default().to_vec()),
        }
    }
}

impl Log {
    /// The tenant that the record at an index says it is of, if it does so still; nothing is verified.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tenant_at(&self, index: LeafIndex) -> Result<Option<String>, ReadError> {
        let Some(stored) = self.stored_record(&self.head(), index)? else { return Ok(None) };
        let Ok(Entry::Record(leaf)) = Leaf::classify(&stored.leaf) else { return Ok(None) };
        let record = open_shown(index, &stored.leaf, &leaf, &stored.disclosures).ok();
        let object = record.as_ref().and_then(|record| record.content().object.disclosed());
        Ok(object.map(|object| object.tenant.as_str().to_owned()))
    }
}

impl StoredRecord {
    /// What kind of record its object says that it is, if that is there still; all else of it may be gone or damaged.
    #[must_use]
    pub fn kind(&self) -> Option<RecordKind> {
        let Ok(Entry::Record(leaf)) = Leaf::classify(&self.leaf) else { return None };
        let record = open_shown(self.index, &self.leaf, &leaf, &self.disclosures).ok()?;
        record.content().object.disclosed().map(RecordKind::of)
    }
}

/// What a stored record is found by.
fn prints_of(secret: &PrintSecret, index: LeafIndex, entry: &[u8], leaf: &Leaf, kept: &Disclosures) -> Vec<Print> {
    let (head, server) = (leaf.event().head(), leaf.server());
    let mut prints = vec![id_print(secret, head.id), stream_print(secret, server.stream)];
    // One that does not say what it should is found by nothing else.
    let Ok(record) = open_shown(index, entry, leaf, kept) else {
        prints.push(partial_print(secret));
        return prints;
    };
    let content = record.content();
    let looked_at = |piece: Piece| !matches!(piece, Piece::Part(Part::Values | Part::Attributes));
    let lacks = |traced: &Traced| looked_at(traced.piece) && traced.became.disclosed().is_none();
    prints.extend(record.traced().iter().any(lacks).then(|| partial_print(secret)));
    let object = content.object.disclosed();
    let part = |context: Option<&Option<Context<'static>>>| context.and_then(Option::as_ref).cloned();
    let context = part(content.context.disclosed());
    let name = match (record.stream().and_then(Shown::disclosed), object, &content.context) {
        (Some(name), ..) => Some(name.clone()),
        (None, Some(object), Shown::Disclosed(_)) => Some(stream_of(object, context.as_ref())),
        _ => None,
    };
    prints.extend(name.map(|name| name_print(secret, &name)));
    let actor = content.actor.disclosed().and_then(Option::as_ref);
    let subjects = content.subjects.disclosed().and_then(Option::as_ref);
    prints.extend(Says { object, actor, subjects, context: context.as_ref() }.prints(secret));
    let topics = record.opening().and_then(|opening| opening.topics.disclosed()?.as_ref());
    prints.extend(topics.map(|topics| topic_prints(secret, topics)).into_iter().flatten());
    prints
}

/// Opens a record as far as it is needed here and kept: all else is taken for withheld.
pub(super) fn open_shown(
    index: LeafIndex,
    entry: &[u8],
    leaf: &Leaf,
    kept: &Disclosures,
) -> Result<Record, IntegrityError> {
    let event = leaf.event();
    let mut wanted = [Part::Object, Part::Actor, Part::Subjects, Part::Context].map(|part| event.digest(part)).to_vec();
    if let Place::First { topics, continues } = leaf.server().place {
        wanted.extend([leaf.server().stream.digest(), topics, continues]);
    }
    let disclosures = kept.filtered(|digest| wanted.contains(digest));
    let mut withheld = wanted;
    withheld.retain(|digest| disclosures.iter().all(|(other, _)| other != *digest));
    withheld.extend([Part::Values, Part::Attributes].map(|part| event.digest(part)));
    let log = &event.head().log;
    let redactions = Redactions::new(log.clone());
    Record::open(
        log,
        index,
        entry,
        Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &redactions },
    )
}
