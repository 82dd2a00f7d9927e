//! Streams of records for tests: written in our own form, sealed, chained as a sequencer would, and opened.

#![allow(dead_code, reason = "not every test that shares this uses all of it")]

use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::{Disclosures, Salt};
use cairn_tree::record::event::EventHead;
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::leaf::assemble;
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::server_part::{LaterSeq, Place, Seq, ServerPart};
use cairn_tree::record::stream::{Opening, StreamId, StreamName};
use cairn_tree::record::text::Name;
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::RecordInput;
use cairn_tree::wire::record::native::{NativeInput, parse};

/// Salts that are all different.
pub(crate) fn salts(from: u64) -> impl FnMut() -> Salt {
    let mut number = from << 32;
    move || {
        number += 1;
        let mut bytes = [0x5a; Salt::LEN];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Salt::new(bytes)
    }
}

/// The id of the record with this number in its stream.
pub(crate) fn id(number: u64) -> RecordId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    RecordId::v7(Time::from_millis(1_700_000_000_000).unwrap(), random)
}

/// A record in a log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) index: LeafIndex,
    pub(crate) leaf: Vec<u8>,
    pub(crate) disclosures: Disclosures,
}

impl Entry {
    pub(crate) fn open(&self) -> Record {
        let redactions = Redactions::new(log());
        let evidence = Evidence { disclosures: &self.disclosures, withheld: &[], redactions: &redactions };
        Record::open(&log(), self.index, &self.leaf, evidence).unwrap()
    }
}

/// A stream in the making.
#[derive(Debug)]
pub(crate) struct Writer {
    log: Origin,
    stream: Option<StreamId>,
    pub(crate) entries: Vec<Entry>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { log: log(), stream: None, entries: Vec::new() }
    }

    /// Appends a record in our own form; without an id and a time it gets those of its number.
    pub(crate) fn append(&mut self, record: &str) -> &Entry {
        let mut inputs = parse(record.as_bytes()).unwrap_or_else(|fault| panic!("{record}: {fault}"));
        let Some(NativeInput::Plain(input)) = inputs.pop() else { panic!("{record}") };
        self.append_input(*input)
    }

    /// The same of what no producer may bring.
    pub(crate) fn append_input(&mut self, input: RecordInput<'_>) -> &Entry {
        let RecordInput { id: given, time, replaces, content, .. } = input;
        let number = self.entries.len() as u64;
        let time = time.unwrap_or_else(|| server_time(number));
        let head = EventHead {
            log: self.log.clone(),
            id: given.unwrap_or_else(|| id(number)),
            replaces,
            time,
            key: None,
            after: None,
        };
        let sealed = content.seal(head, salts(2 * number)).unwrap();
        let named = content.context.and_then(|context| context.stream);
        let name = match named {
            Some(name) => StreamName::Named { tenant: content.object.tenant.clone(), name },
            None => StreamName::of(&content.object),
        };
        let mut texts = sealed.disclosures().as_str().to_owned();
        let place = match self.entries.last() {
            None => {
                let opening = Opening::new(&name, None, None, salts(1)).unwrap();
                texts.push_str(opening.disclosures().as_str());
                self.stream = Some(opening.id());
                opening.place()
            }
            Some(last) => Place::After {
                seq: LaterSeq::after(Seq::new(number - 1).unwrap()).unwrap(),
                prev: Hash::leaf(&last.leaf),
            },
        };
        let by = Pseudonym::new([7; 16]);
        let server = ServerPart { stream: self.stream.unwrap(), place, time: server_time(number), by };
        let leaf = assemble(sealed.text(), &server, None).unwrap();
        let disclosures = Disclosures::parse(&texts).unwrap();
        // Every third entry of the log.
        self.entries.push(Entry { index: LeafIndex::new(3 * number).unwrap(), leaf, disclosures });
        self.entries.last().unwrap()
    }
}

/// What a disclosure holds, found by its digest.
pub(crate) fn text_of(disclosures: &Disclosures, digest: cairn_tree::record::digest::Digest) -> String {
    use base64::Engine as _;
    let (_, text) = disclosures.iter().find(|(other, _)| *other == digest).unwrap();
    String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// The log of the records.
pub(crate) fn log() -> Origin {
    Origin::new("log.example/logs/test").unwrap()
}

/// The server's time of the record with this number: a second for each.
pub(crate) fn server_time(number: u64) -> Time {
    Time::from_millis(1_700_000_000_000 + 1_000 * number).unwrap()
}

pub(crate) fn name(text: &str) -> Name<'static> {
    Name::new(text.to_owned()).unwrap()
}
