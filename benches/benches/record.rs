//! How fast records are read, sealed, put into leaves, and opened again, on one core.
//!
//! What was measured stands in `README.md`.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use cairn::load::ReferenceRecords;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::{Disclosures, Salt};
use cairn_tree::record::draft::Sealed;
use cairn_tree::record::event::EventHead;
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::leaf::{Leaf, assemble};
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::server_part::{LaterSeq, Place, Seq, ServerPart};
use cairn_tree::record::stream::{Opening, StreamName};
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::RecordInput;
use cairn_tree::wire::record::native::{NativeInput, parse};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn input(body: &str) -> RecordInput<'_> {
    match parse(body.as_bytes()).unwrap().pop() {
        Some(NativeInput::Plain(input)) => *input,
        other => panic!("{other:?}"),
    }
}

/// Salts that are all different; random ones cost their source what it costs.
fn salts() -> impl FnMut() -> Salt {
    let mut number = 0_u128;
    move || {
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Salt::new(number.to_be_bytes())
    }
}

fn head() -> EventHead {
    let time = Time::from_millis(1_795_330_229_123).unwrap();
    let log = Origin::new("log.example/logs/licences").unwrap();
    EventHead { log, id: RecordId::v7(time, [7; 10]), replaces: None, time, key: None, after: None }
}

fn server(name: &StreamName<'_>) -> ServerPart {
    let opening = Opening::new(name, None, None, salts()).unwrap();
    let seq = LaterSeq::after(Seq::new(41).unwrap()).unwrap();
    let place = Place::After { seq, prev: Hash::leaf(b"before") };
    ServerPart { stream: opening.id(), place, time: head().time, by: Pseudonym::new([9; 16]) }
}

fn sealed(input: &RecordInput<'_>) -> Sealed {
    input.content.seal(head(), salts()).unwrap()
}

fn record(c: &mut Criterion) {
    let body = ReferenceRecords::new().record(17);
    let input = input(&body);
    let sealed = sealed(&input);
    let server = server(&StreamName::of(&input.content.object));
    let leaf = assemble(sealed.text(), &server, None).unwrap();
    println!(
        "the reference record: {} bytes of JSON, {} disclosures of {} bytes in all, a leaf of {} bytes",
        body.len(),
        sealed.disclosures().len(),
        sealed.disclosures().as_str().len(),
        leaf.len()
    );
    let mut group = c.benchmark_group("the reference record");
    group.throughput(Throughput::Elements(1));
    group.bench_function("read from JSON", |b| b.iter(|| parse(black_box(body.as_bytes())).unwrap()));
    group.bench_function("sealed", |b| {
        let mut salt = salts();
        let head = head();
        b.iter(|| black_box(&input).content.seal(head.clone(), &mut salt).unwrap());
    });
    group.bench_function("put into its leaf, and hashed", |b| {
        b.iter(|| Hash::leaf(&assemble(black_box(sealed.text()), black_box(&server), None).unwrap()));
    });
    group.bench_function("built: read, sealed, put into its leaf, and hashed", |b| {
        let mut salt = salts();
        let head = head();
        b.iter(|| {
            let inputs = parse(black_box(body.as_bytes())).unwrap();
            let Some(NativeInput::Plain(input)) = inputs.into_iter().next() else { panic!() };
            let sealed = input.content.seal(head.clone(), &mut salt).unwrap();
            Hash::leaf(&assemble(sealed.text(), &server, None).unwrap())
        });
    });
    group.bench_function("its leaf decoded", |b| b.iter(|| Leaf::decode(black_box(&leaf)).unwrap()));
    group.bench_function("opened: its disclosures hashed, matched and read", |b| {
        let log = head().log;
        let redactions = Redactions::new(log.clone());
        let index = LeafIndex::ZERO;
        b.iter(|| {
            let disclosures = Disclosures::parse(black_box(sealed.disclosures().as_str())).unwrap();
            let evidence = Evidence { disclosures: &disclosures, withheld: &[], redactions: &redactions };
            Record::open(&log, index, &leaf, evidence).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
