//! The audit records of the model's log: made as a sequencer makes them, with salts, ids and times that are the same in
//! every run, and answered as an honest server answers.

use std::collections::HashMap;

use cairn_tree::checkpoint::{Origin, SignedCheckpoint, VerifiedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::record::class::Class;
use cairn_tree::record::digest::Digest;
use cairn_tree::record::disclosure::{Disclosures, Salt};
use cairn_tree::record::draft::Content;
use cairn_tree::record::event::EventHead;
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::kind::{Concerned, Redactions, continued, redaction};
use cairn_tree::record::leaf::assemble;
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::server_part::{LaterSeq, Place, Seq, ServerPart};
use cairn_tree::record::stream::{Opening, StreamHead, StreamId, StreamName, Topics};
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::RecordInput;
use cairn_tree::wire::record::native::{NativeInput, parse};
use cairn_tree::wire::v1::{
    Appended, AppendedAnswer, AppendedReceipt, Before, Integrity, RecordAnswer, RecordBody, view,
};

use super::model::Model;

/// The server's time of the log's first entry, in milliseconds; each further one comes a second later.
const TIME: u64 = 1_700_000_000_000;

/// A log's audit records.
#[derive(Clone, Default)]
pub struct Trail {
    pub(super) stored: Vec<Stored>,
    /// The last record of each stream.
    heads: HashMap<StreamName<'static>, (StreamId, Seq, Hash)>,
    /// The reader may see everything up to this class; `None` is everything.
    up_to: Option<Class>,
    erased: Vec<Digest>,
}

/// A record and where it is.
#[derive(Clone)]
pub struct Stored {
    /// Where it is in the log.
    pub index: LeafIndex,
    /// Its stream.
    pub stream: StreamName<'static>,
    /// Its leaf.
    pub leaf: String,
    /// All its disclosures, those of its stream's beginning too.
    pub disclosures: Disclosures,
}

/// What a record is besides what it says.
#[derive(Default)]
struct Told {
    id: Option<RecordId>,
    time: Option<Time>,
    replaces: Option<RecordId>,
    topics: Option<Topics<'static>>,
    continues: Option<StreamHead>,
}

impl Told {
    fn of(input: &RecordInput<'_>) -> Self {
        let topics = input.stream.topics.clone().map(Topics::into_owned);
        Self { id: input.id, time: input.time, replaces: input.replaces, topics, continues: None }
    }
}

/// Reads a record in the native form.
fn read(record: &str) -> RecordInput<'_> {
    let mut inputs = parse(record.as_bytes()).unwrap_or_else(|fault| panic!("{record}: {fault}"));
    let Some(NativeInput::Plain(input)) = inputs.pop() else { panic!("a record that is not signed: {record}") };
    *input
}

impl Stored {
    /// What it says, to whoever may see all of it.
    #[must_use]
    pub fn open(&self, log: &Origin) -> Record {
        let redactions = Redactions::new(log.clone());
        let evidence = Evidence { disclosures: &self.disclosures, withheld: &[], redactions: &redactions };
        Record::open(log, self.index, self.leaf.as_bytes(), evidence).expect("our own record")
    }
}

impl Trail {
    /// From now on answers a reader who may see everything up to a class.
    pub fn show_up_to(&mut self, class: Class) {
        self.up_to = Some(class);
    }

    /// Appends a record in the native form.
    pub fn push(&mut self, model: &mut Model, record: &str) -> LeafIndex {
        let input = read(record);
        let stream = match input.content.context.as_ref().and_then(|context| context.stream.clone()) {
            Some(name) => StreamName::Named { tenant: input.content.object.tenant.clone(), name }.into_owned(),
            None => StreamName::of(&input.content.object).into_owned(),
        };
        self.seal(model, &input.content, Told::of(&input), stream)
    }

    /// Appends a record to a stream that is perhaps not its own, as no honest sequencer does.
    pub fn push_into(&mut self, model: &mut Model, record: &str, stream: StreamName<'static>) -> LeafIndex {
        let input = read(record);
        self.seal(model, &input.content, Told::of(&input), stream)
    }

    /// Appends the first record of a stream that says that it goes on from this head in another log.
    pub fn push_continuing(&mut self, model: &mut Model, record: &str, head: StreamHead) -> LeafIndex {
        let input = read(record);
        let stream = StreamName::of(&input.content.object).into_owned();
        self.seal(model, &input.content, Told { continues: Some(head), ..Told::of(&input) }, stream)
    }

    /// Appends the last record of a stream that goes on in another log, under this id.
    pub fn push_continued(&mut self, model: &mut Model, stream: &StreamName<'static>, log: &Origin, id: StreamId) {
        let (object, context, values) = continued(stream, log, id).expect("a name");
        let values = Some(values);
        let content = Content { object, actor: None, subjects: None, context, values, attributes: None };
        self.seal(model, &content, Told::default(), stream.clone());
    }

    /// The id that a stream gets if its first record is the next entry.
    #[must_use]
    pub fn id_of(model: &Model, stream: &StreamName<'_>) -> StreamId {
        Opening::new(stream, None, None, salts(2 * model.size() + 1)).expect("a stream's beginning").id()
    }

    /// The last record of a stream.
    #[must_use]
    pub fn head(&self, model: &Model, stream: &StreamName<'static>) -> StreamHead {
        let (stream, seq, leaf) = *self.heads.get(stream).expect("a stream");
        StreamHead { log: model.origin().clone(), stream, seq, leaf }
    }

    /// Erases the fields of a class of a record, and puts that on record.
    pub fn redact(&mut self, model: &mut Model, index: LeafIndex, class: Class) -> LeafIndex {
        let record = self.at(index).open(model.origin());
        let of_class = record.traced().iter().filter(|traced| traced.piece.class() == Some(class));
        let digests: Vec<Digest> = of_class.map(|traced| traced.digest).collect();
        let tenant = self.at(index).stream.tenant().clone();
        let concerned = Concerned { id: record.leaf().event().head().id, index };
        let (object, values) = redaction(tenant, concerned, &digests).expect("something to erase");
        self.erased.extend(digests);
        let content =
            Content { object, actor: None, subjects: None, context: None, values: Some(values), attributes: None };
        let stream = StreamName::of(&content.object).into_owned();
        self.seal(model, &content, Told::default(), stream)
    }

    /// A record by its place in the log.
    #[must_use]
    pub fn at(&self, index: LeafIndex) -> &Stored {
        self.stored.iter().find(|stored| stored.index == index).expect("a record at this index")
    }

    fn seal(&mut self, model: &mut Model, content: &Content<'_>, told: Told, stream: StreamName<'static>) -> LeafIndex {
        let number = model.size();
        let now = Time::from_millis(TIME + 1_000 * number).expect("a time");
        let mut random = [0; 10];
        random[2..].copy_from_slice(&number.to_be_bytes());
        let id = told.id.unwrap_or_else(|| RecordId::v7(now, random));
        let (log, time) = (model.origin().clone(), told.time.unwrap_or(now));
        let head = EventHead { log, id, replaces: told.replaces, time, key: None, after: None };
        let sealed = content.seal(head, salts(2 * number)).expect("a record");
        let mut texts = sealed.disclosures().as_str().to_owned();
        let (stream_id, place) = match self.heads.get(&stream) {
            None => {
                let continues = told.continues.as_ref();
                let opening = Opening::new(&stream, told.topics.as_ref(), continues, salts(2 * number + 1));
                let opening = opening.expect("a stream's beginning");
                texts.push_str(opening.disclosures().as_str());
                (opening.id(), opening.place())
            }
            Some((id, seq, prev)) => {
                (*id, Place::After { seq: LaterSeq::after(*seq).expect("another number"), prev: *prev })
            }
        };
        let server = ServerPart { stream: stream_id, place, time: now, by: Pseudonym::new([7; 16]) };
        let leaf = assemble(sealed.text(), &server, None).expect("a leaf");
        self.heads.insert(stream.clone(), (stream_id, place.seq(), Hash::leaf(&leaf)));
        let index = model.push(&leaf);
        let leaf = String::from_utf8(leaf).expect("a leaf is text");
        let disclosures = Disclosures::parse(&texts).expect("our own disclosures");
        self.stored.push(Stored { index, stream, leaf, disclosures });
        index
    }

    /// What an honest server of this model answers about a record while its head has `shown` entries.
    #[must_use]
    pub fn body(&self, model: &Model, shown: u64, index: LeafIndex) -> RecordBody {
        let stored = self.at(index);
        let record = stored.open(model.origin());
        let hidden = |class: Option<Class>| self.up_to.is_some_and(|up_to| class > Some(up_to));
        let is_withheld = |digest: &Digest| {
            !self.erased.contains(digest)
                && record.traced().iter().any(|one| one.digest == *digest && hidden(one.piece.class()))
        };
        let own = || stored.disclosures.iter().map(|(digest, _)| digest);
        let seq = record.leaf().server().place.seq();
        let before = self.stored.iter().rfind(|other| other.stream == stored.stream && other.index < index);
        let before = before.filter(|_| seq != Seq::FIRST).map(|before| Before {
            index: before.index,
            leaf: before.leaf.clone(),
            proof: model.inclusion(before.index, shown),
        });
        let withheld: Vec<Digest> = own().filter(is_withheld).collect();
        let disclosures = stored.disclosures.filtered(|digest| !is_withheld(digest) && !self.erased.contains(digest));
        let hash = Hash::leaf(stored.leaf.as_bytes());
        let integrity = Integrity::new(&verified(model, shown), index, hash, model.inclusion(index, shown));
        RecordBody {
            leaf: stored.leaf.clone(),
            disclosures,
            withheld,
            integrity,
            before,
            view: Some(view(&self.as_seen(model, index))),
        }
    }

    /// A record as the reader sees it.
    pub(super) fn as_seen(&self, model: &Model, index: LeafIndex) -> Record {
        let stored = self.at(index);
        let record = stored.open(model.origin());
        let mut redactions = Redactions::new(model.origin().clone());
        for other in self.redactions() {
            redactions.take_up(&other.open(model.origin())).expect("our own redaction record");
        }
        let hidden = |class: Option<Class>| self.up_to.is_some_and(|up_to| class > Some(up_to));
        let is_hidden =
            |digest: &Digest| record.traced().iter().any(|one| one.digest == *digest && hidden(one.piece.class()));
        let gone = |digest: &Digest| self.erased.contains(digest);
        let withheld: Vec<Digest> = stored.disclosures.iter().map(|(digest, _)| digest).collect();
        let withheld: Vec<Digest> = withheld.into_iter().filter(|one| is_hidden(one) && !gone(one)).collect();
        let disclosures = stored.disclosures.filtered(|digest| !is_hidden(digest) && !gone(digest));
        let evidence = Evidence { disclosures: &disclosures, withheld: &withheld, redactions: &redactions };
        Record::open(model.origin(), index, stored.leaf.as_bytes(), evidence).expect("a record as it is answered")
    }

    /// The redaction records.
    pub(super) fn redactions(&self) -> impl Iterator<Item = &Stored> {
        let is_one = |stored: &&Stored| matches!(&stored.stream, StreamName::Entity { module, entity, .. } if module.as_str() == "cairn" && entity.as_str() == "redaction");
        self.stored.iter().filter(is_one)
    }

    /// The answer about one record.
    pub(super) fn one(&self, model: &Model, shown: u64, id: &str) -> Option<RecordAnswer> {
        let is_it = |stored: &&Stored| {
            stored.index.get() < shown && stored.open(model.origin()).leaf().event().head().id.to_string() == id
        };
        let index = self.stored.iter().find(is_it)?.index;
        Some(RecordAnswer {
            record: self.body(model, shown, index),
            redactions: self.redactions().map(|stored| self.body(model, shown, stored.index)).collect(),
            checkpoint: signed(model, shown),
        })
    }

    /// Appends the records of a request, and answers it.
    pub(super) fn append(&mut self, model: &mut Model, body: &[u8]) -> AppendedAnswer {
        let index = self.push(model, &String::from_utf8_lossy(body));
        self.appended(model, index)
    }

    /// The answer to a request whose record is in the log.
    pub(super) fn appended(&self, model: &Model, index: LeafIndex) -> AppendedAnswer {
        let stored = self.at(index);
        let record = stored.open(model.origin());
        let server = record.leaf().server();
        let proof = model.inclusion(index, model.size()).expect("a proof");
        let appended = Appended {
            id: record.leaf().event().head().id,
            index,
            leaf_hash: record.hash(),
            stream: server.stream,
            seq: server.place.seq(),
            prev: server.place.prev(),
            time: server.time,
            replayed: false,
            receipt: Some(AppendedReceipt { leaf: stored.leaf.clone(), proof }),
        };
        AppendedAnswer { records: vec![appended], checkpoint: signed(model, model.size()), replayed: false }
    }
}

/// Salts that are all different.
fn salts(from: u64) -> impl FnMut() -> Salt {
    let mut number = from << 16;
    move || {
        number += 1;
        let mut bytes = [0x5a; Salt::LEN];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Salt::new(bytes)
    }
}

pub(super) fn signed(model: &Model, size: u64) -> SignedCheckpoint {
    SignedCheckpoint::parse(model.head(size).as_bytes()).expect("our own checkpoint")
}

fn verified(model: &Model, size: u64) -> VerifiedCheckpoint {
    signed(model, size).verify(&[model.vkey().clone()]).expect("our own signature")
}
