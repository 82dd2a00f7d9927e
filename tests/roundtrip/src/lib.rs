//! What every parser of the tree crate, and of the files that monitors and servers keep, must hold, whatever bytes it gets: it does
//! not panic, and what it accepts is written again byte for byte. Trust policies and JSON, whose white space is free, are
//! written so that they mean the same. What the server's HTTP surface must hold stands in `surface`.
//!
//! Each function here is the body of the fuzz target of the same name in `tests/fuzz`; the test beside this crate runs
//! them without a fuzzer. Each tells whether any parser accepted the bytes.

mod answer;
mod capture;
mod json;
mod kept;
mod proofs;
mod record;
mod signing;
mod small;
mod stored;
mod surface;
mod texts;
mod tree;

/// A body with its name, which is also the name of its fuzz target and of its folder of seeds.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Panics where a parser does not hold what it must; tells whether any parser accepted the bytes.
    pub run: fn(&[u8]) -> bool,
    /// How many changes of each seed a run without a fuzzer tries: fewer where one takes longer.
    pub changes: usize,
}

/// Of what only parses.
const MANY: usize = 3_000;
/// Of what goes through files.
const FILES: usize = 300;
/// Of what goes through a server.
const SOME: usize = 60;

macro_rules! targets {
    ($($(#[doc = $doc:literal])+ $name:ident = $body:path, $changes:ident;)+) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name, changes: $changes }),+];

        $($(#[doc = $doc])+ #[must_use] pub fn $name(bytes: &[u8]) -> bool { $body(bytes) })+
    };
}

targets! {
    /// Hashes, sizes and indexes as text.
    scalars = texts::scalars, MANY;
    /// Verifier keys and signer keys.
    keys = texts::keys, MANY;
    /// Signed notes, and verifying them.
    note = texts::note, MANY;
    /// Checkpoints, and verifying them and their cosignatures.
    checkpoint = texts::checkpoint, MANY;
    /// Trust policies, and applying them.
    policy = texts::policy, MANY;
    /// Receipts, their JSON twins, and verifying them.
    receipt = texts::receipt, MANY;
    /// The bodies of `add-checkpoint`.
    witness = texts::witness, MANY;
    /// The JSON bodies of the HTTP interface.
    json_bodies = json::bodies, MANY;
    /// Evidence files, and judging them.
    evidence = kept::evidence, MANY;
    /// Records of logs in a witness's state.
    witness_record = kept::witness_record, MANY;
    /// A witness's journal.
    witness_journal = kept::witness_journal, MANY;
    /// A commit of an outbox's journal.
    outbox_commit = kept::outbox_commit, MANY;
    /// The files in which monitors and watchers keep what they verified.
    kept = kept::kept, MANY;
    /// The answer about a log's keys, and following them by it.
    keys_answer = signing::keys_answer, MANY;
    /// Inclusion proofs, for any leaf, size and hashes.
    inclusion = proofs::inclusion, MANY;
    /// Consistency proofs, for any sizes and hashes.
    consistency = proofs::consistency, MANY;
    /// Tile paths, and their coordinates.
    tile_path = tree::tile_path, MANY;
    /// Tiles' hashes.
    tile = tree::tile, MANY;
    /// Entry bundles and batches.
    entries = tree::entries, MANY;
    /// Keys of rows.
    store_key = tree::store_key, MANY;
    /// Values of rows.
    stored_row = stored::stored_row, MANY;
    /// High-water files, whole, changed, cut, torn and in another order.
    high_water = stored::high_water, MANY;
    /// The records of RocksDB's logs, whole, changed, cut and torn.
    wal_records = stored::wal_records, FILES;
    /// Manifests of backups.
    backup_manifest = stored::backup_manifest, MANY;
    /// Lines of the incidents.
    incident = stored::incident, MANY;
    /// The files of tokens, tenants and settings.
    small_files = small::small_files, FILES;
    /// Leaves of records, and their events.
    record_leaf = record::leaf, MANY;
    /// Disclosures, and opening records with them.
    record_disclosures = record::disclosures, MANY;
    /// JSON as records keep it.
    record_json = record::json, MANY;
    /// The forms that records come in, sealed and opened again.
    record_input = record::input, MANY;
    /// What is answered about records, and verifying it.
    record_answer = answer::answers, MANY;
    /// Configurations of DIGIT's persister, what they are made of, and what messages become by them.
    capture = capture::capture, MANY;
    /// Names of streams.
    stream_name = record::stream_name, MANY;
    /// What logs say about themselves, and following them by it.
    statement = signing::statement, MANY;
    /// What a server and its signer say, and a signer that is asked.
    signer = signing::signer, SOME;
    /// Whole connections to the server.
    surface = surface::surface, SOME;
}

/// The bytes as text, for parsers of text: what is not UTF-8 never reaches them.
fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}
