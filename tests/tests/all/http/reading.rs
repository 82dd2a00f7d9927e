//! Reads: tiles, entries and proofs verify against the head, in every form and coding that is offered.

use std::io::Read as _;
use std::process::{Command, Stdio};

use cairn_tests::http::{Request, Response};
use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, Root};
use cairn_tree::note::VerifierKey;
use cairn_tree::policy::Trust;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::LeafIndex;
use cairn_tree::tile::{Entries, Width};
use cairn_tree::wire::append::ReceiptJson;
use cairn_tree::wire::read::{ConsistencyAnswer, EntriesAnswer, EntryAnswer, InclusionAnswer};

use super::{Running, encoded};

const ENTRIES: &str = "application/vnd.cairn.entries";
const IMMUTABLE: Option<&str> = Some("public, max-age=31536000, immutable");

fn entry(index: u64) -> Vec<u8> {
    format!("entry number {index}, with some words that compress").into_bytes()
}

/// A log with `count` entries.
fn filled(count: u64) -> Running {
    let running = Running::start();
    let entries: Vec<_> = (0..count).map(entry).collect();
    let body = encoded(entries.iter().map(Vec::as_slice));
    let answer = running.ask_with_token(Request::post("/logs/main/entries", body).with("content-type", ENTRIES));
    assert_eq!(answer.status, 200, "{}", answer.text());
    running
}

fn root(running: &Running, head: &[u8]) -> Root {
    let key: VerifierKey = running.data.main.vkey.parse().unwrap();
    SignedCheckpoint::parse(head).unwrap().verify(&[key]).unwrap().tree()
}

fn parsed<T: serde::de::DeserializeOwned>(answer: &Response) -> T {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn tiles_and_bundles_of_every_width_are_cut_from_the_longest() {
    let running = filled(600);
    let leaves: Vec<u8> = (0..600).flat_map(|index| *Hash::leaf(&entry(index)).as_bytes()).collect();
    for (path, from, width) in
        [("000", 0, 256), ("000.p/1", 0, 1), ("001.p/255", 256, 255), ("002.p/88", 512, 88), ("002.p/3", 512, 3)]
    {
        let tile = running.get(&format!("/logs/main/tile/0/{path}"));
        assert_eq!((tile.status, tile.header("cache-control")), (200, IMMUTABLE), "{path}");
        assert_eq!(tile.body, leaves[from * 32..(from + width) * 32], "{path}");
        let bundle = running.get(&format!("/logs/main/tile/entries/{path}"));
        assert_eq!((bundle.status, bundle.header("cache-control")), (200, IMMUTABLE), "{path}");
        let entries = Entries::parse_bundle(&bundle.body, Width::new(width as u64).unwrap()).unwrap();
        for (offset, found) in entries.iter().enumerate() {
            assert_eq!(found, entry((from + offset) as u64), "{path}");
        }
    }
    assert_eq!(running.get("/logs/main/tile/1/000.p/2").body.len(), 64);
}

#[test]
fn bundles_are_compressed_for_those_who_ask() {
    let running = filled(256);
    let plain = running.get("/logs/main/tile/entries/000");
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    for (accepted, coding, tool) in
        [("gzip", "gzip", "gzip"), ("gzip;q=0.5, zstd", "zstd", "zstd"), ("zstd;q=0, gzip", "gzip", "gzip")]
    {
        let request = Request::get("/logs/main/tile/entries/000").with("accept-encoding", accepted);
        let packed = running.ask(request);
        assert_eq!(packed.header("content-encoding"), Some(coding), "{accepted}");
        assert!(packed.body.len() < plain.body.len() / 2, "{accepted}");
        if let Some(unpacked) = unpack(tool, &packed.body) {
            assert_eq!(unpacked, plain.body, "{accepted}");
        }
    }
    let refused = running.ask(Request::get("/logs/main/tile/entries/000").with("accept-encoding", "br, identity"));
    assert_eq!((refused.header("content-encoding"), &refused.body), (None, &plain.body));
}

#[test]
fn a_bundle_that_finds_no_room_to_be_compressed_goes_out_as_it_is() {
    let running = Running::start_with(|data| data.set_limit("compressions", 0));
    let entry = vec![b'x'; 10_000];
    running.add("main", &entry);
    let request = Request::get("/logs/main/tile/entries/000.p/1").with("accept-encoding", "gzip, zstd");
    let bundle = running.ask(request);
    assert_eq!((bundle.status, bundle.header("content-encoding")), (200, None));
    assert_eq!(bundle.body, encoded([entry.as_slice()]));
}

/// What the machine's own tool makes of it; `None` where there is no such tool (gzip is everywhere).
fn unpack(tool: &str, packed: &[u8]) -> Option<Vec<u8>> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, packed).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let child = Command::new(tool).arg("-dc").stdin(file).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        assert_ne!(tool, "gzip");
        return None;
    };
    let mut unpacked = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut unpacked).unwrap();
    assert!(child.wait().unwrap().success());
    Some(unpacked)
}

#[test]
fn an_entry_comes_as_bytes_as_json_and_as_a_receipt() {
    let running = filled(300);
    let trust = Trust::Log(running.data.main.vkey.parse().unwrap());
    for index in [0, 255, 256, 299] {
        let path = format!("/logs/main/entries/{index}");
        let bytes = running.get(&path);
        assert_eq!((bytes.header("content-type"), &bytes.body), (Some("application/octet-stream"), &entry(index)));
        assert_eq!((bytes.header("cache-control"), bytes.header("vary")), (IMMUTABLE, Some("accept")));
        let answer: EntryAnswer = parsed(&running.ask(Request::get(&path).with("accept", "application/json")));
        assert_eq!((answer.index.get(), &answer.entry.0), (index, &entry(index)));
        let verified = answer.receipt().verify(&entry(index), &trust).unwrap();
        assert_eq!(verified.leaf_hash(), answer.leaf_hash);
        let text = running.ask(Request::get(&path).with("accept", "text/plain"));
        let receipt = Receipt::parse(&text.body).unwrap();
        assert_eq!(receipt.verify(&entry(index), &trust).unwrap().index().get(), index);
        assert!(receipt.verify(&entry(index + 1), &trust).is_err());
    }
}

#[test]
fn ranges_are_half_open_and_may_be_short() {
    let running = filled(600);
    let all: EntriesAnswer = parsed(&running.get("/logs/main/entries"));
    assert_eq!(all.entries.len(), 600);
    let some: EntriesAnswer = parsed(&running.get("/logs/main/entries?start=250&end=260"));
    assert_eq!(some.start.get(), 250);
    let expected: Vec<_> = (250..260).map(entry).collect();
    assert_eq!(some.entries.iter().map(|bytes| bytes.0.clone()).collect::<Vec<_>>(), expected);
    let past: EntriesAnswer = parsed(&running.get("/logs/main/entries?start=599&end=9223372036854775807"));
    assert_eq!(past.entries.len(), 1);
    let none: EntriesAnswer = parsed(&running.get("/logs/main/entries?start=600"));
    assert!(none.entries.is_empty());
    let binary = running.ask(Request::get("/logs/main/entries?start=250&end=260").with("accept", ENTRIES));
    assert_eq!(binary.header("content-type"), Some(ENTRIES));
    assert_eq!(binary.body, encoded(expected.iter().map(Vec::as_slice)));
}

#[test]
fn proofs_verify_for_every_size() {
    let running = filled(20);
    let head = running.get("/logs/main/head");
    let newest = root(&running, &head.body);
    assert_eq!(running.get("/logs/main/checkpoint").body, head.body);
    let mut roots = Vec::new();
    for size in 1..=20_u64 {
        let mut frontier = cairn_tree::merkle::Frontier::new();
        for index in 0..size {
            frontier.push(Hash::leaf(&entry(index)), &mut |_, _| {}).unwrap();
        }
        roots.push(frontier.root());
    }
    assert_eq!(roots.last(), Some(&newest));
    for newer in &roots {
        for index in 0..newer.size.get() {
            let path = format!("/logs/main/proof/inclusion?index={index}&size={}", newer.size);
            let answer: InclusionAnswer = parsed(&running.get(&path));
            answer.proof.verify(LeafIndex::new(index).unwrap(), &Hash::leaf(&entry(index)), newer).unwrap();
            assert_eq!(answer.checkpoint.is_some(), newer.size == newest.size);
        }
        for older in roots.iter().take(newer.size.get() as usize) {
            let path = format!("/logs/main/proof/consistency?from={}&to={}", older.size, newer.size);
            let answer: ConsistencyAnswer = parsed(&running.get(&path));
            answer.proof.verify(&Extension { old: *older, new: *newer }).unwrap();
        }
    }
    let hash = Hash::leaf(&entry(7));
    for text in [hash.to_string(), hash.to_base64().replace('+', "%2B")] {
        let answer: InclusionAnswer = parsed(&running.get(&format!("/logs/main/proof/inclusion?leaf_hash={text}")));
        assert_eq!((answer.index.get(), answer.leaf_hash), (7, hash));
        assert!(answer.receipt().is_some());
    }
}

#[test]
fn heads_are_known_by_their_tag_and_head_requests_have_no_body() {
    let running = filled(3);
    let head = running.get("/logs/main/head");
    assert_eq!(head.header("cache-control"), Some("public, max-age=2"));
    let tag = head.header("etag").unwrap().to_owned();
    let same = running.ask(Request::get("/logs/main/head").with("if-none-match", tag.clone()));
    assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, Some(tag.as_str())));
    running.add("main", b"more");
    let newer = running.ask(Request::get("/logs/main/head").with("if-none-match", tag));
    assert_eq!((newer.status, root(&running, &newer.body).size.get()), (200, 4));
}

#[test]
fn a_single_append_answers_its_receipt() {
    let running = filled(10);
    let trust = Trust::Log(running.data.main.vkey.parse().unwrap());
    let answer = running.ask_with_token(Request::post("/logs/main/entries", "fresh"));
    let receipt: ReceiptJson = parsed(&answer);
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    assert_eq!((receipt.index.get(), receipt.leaf_hash), (10, Hash::leaf(b"fresh")));
    receipt.into_receipt().unwrap().verify(b"fresh", &trust).unwrap();
    let text = running.ask_with_token(Request::post("/logs/main/entries", "again").with("accept", "text/plain"));
    Receipt::parse(&text.body).unwrap().verify(b"again", &trust).unwrap();
}
