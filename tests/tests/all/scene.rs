//! What several rooms need to set a scene: a server with some entries, copies of its folder.

use std::path::Path;

use cairn_tests::http::{Connection, Request};
use cairn_tests::oracle::Oracle;
use cairn_tests::server::{Data, Server};
use cairn_tree::receipt::Receipt;

/// The entry of this number in every scene; lengths differ, and some contents compress.
pub(crate) fn entry(number: u64) -> Vec<u8> {
    let mut entry = format!("entry {number} ").into_bytes();
    entry.extend((0..number % 61).map(|position| (position * number) as u8));
    entry
}

/// Appends one entry and verifies its receipt.
pub(crate) fn append(server: &Server, data: &Data, oracle: &mut Oracle, entry: &[u8]) {
    let request = Request::post(format!("/logs/{}/entries", oracle.name()), entry)
        .with("authorization", format!("Bearer {}", data.token))
        .with("accept", "text/plain");
    let answer = Connection::open(server.address()).unwrap().ask(&request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let receipt = Receipt::parse(&answer.body).unwrap();
    oracle.see_receipt(entry, &receipt).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Copies a folder, as [`cairn_tests::folder::copy`] does.
pub(crate) fn copy(from: &Path, to: &Path) {
    cairn_tests::folder::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
}

/// The folder of this repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
