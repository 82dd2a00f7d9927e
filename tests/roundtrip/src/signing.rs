//! What logs say about themselves, and what a server and its signer process say to each other. A signer is really asked:
//! whatever it signs, no two heads of one size have different roots, and none goes back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cairn::monitor::Keyring;
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{MemoryTree, Root};
use cairn_tree::note::{KeyName, SignatureType, SignerKey, VerifierKey};
use cairn_tree::size::TreeSize;
use cairn_tree::statement::{KeyChain, SignedStatement, Statement};
use cairn_tree::store::DatabaseId;
use cairn_tree::wire::keys::KeysAnswer;
use cairn_tree::wire::signer::{Ask, HeadAsk, Point, Told};
use cairnd::engine::Clock;
use cairnd::signer::{Serving, Vault};

use crate::kept::log_key;

/// The log that the signer knows, and the logs of the seeds.
const ORIGIN: &str = "log.example/signed";
/// A fixed time: what is signed depends on the inputs alone.
const NOW_MS: u64 = 1_700_000_000_000;
/// The head that the signer has signed before the first input.
const SIGNED: usize = 10;

/// The seeds begin with one more byte: a file that begins as a statement does could not be appended to a log, and this
/// repository's files are.
pub(crate) fn statement(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"=").unwrap_or(bytes);
    let keys: Vec<VerifierKey> = (1..3).filter_map(key).map(|key| key.verifier_key().clone()).collect();
    let Ok(signed) = SignedStatement::parse(bytes) else {
        return core::str::from_utf8(bytes).is_ok_and(|text| {
            Statement::parse_text(text).inspect(|statement| assert_eq!(statement.text(), text)).is_ok()
        });
    };
    assert_eq!(signed.encode().as_bytes(), bytes);
    assert_eq!(Statement::parse_text(&signed.unverified().text()).as_ref(), Ok(signed.unverified()));
    if let Ok((said, signers)) = signed.verify(&keys) {
        assert_eq!(said, signed.unverified());
        assert!(!signers.is_empty() && signers.iter().all(|signer| keys.contains(signer)));
    }
    let mut chain = KeyChain::new(keys.clone());
    if chain.follow_all(core::slice::from_ref(&signed)).is_err() {
        assert_eq!(chain.active(), keys, "a statement that leads nowhere has changed the keys");
    }
    true
}

/// The answer about a log's keys, with the statements in it.
pub(crate) fn keys_answer(bytes: &[u8]) -> bool {
    let Ok(answer) = serde_json::from_slice::<KeysAnswer>(bytes) else { return false };
    assert_eq!(again(&answer).as_ref(), Some(&answer));
    for said in &answer.statements {
        let _accepted = statement(said.statement.as_bytes());
    }
    let Some(given) = log_key() else { return true };
    if let Ok(keys) = Keyring::from(given.clone()).follow(answer.statements.clone()) {
        assert!(given.as_slice().iter().all(|key| keys.all().as_slice().contains(key)));
        assert!(keys.active().iter().all(|key| keys.all().as_slice().contains(key)));
        assert_eq!(keys.follow(answer.statements).as_ref(), Ok(&keys));
    }
    true
}

pub(crate) fn signer(bytes: &[u8]) -> bool {
    if let Ok(told) = serde_json::from_slice::<Told>(bytes) {
        assert_eq!(again(&told), Some(told.clone()));
        return true;
    }
    let ask = serde_json::from_slice::<Ask>(bytes);
    if let Ok(ask) = &ask {
        assert_eq!(again(ask), Some(ask.clone()));
        if let Ask::NewKey { origin, .. } = ask
            && origin != ORIGIN
        {
            // It would be made, and the signer would fill up.
            return true;
        }
    }
    signer_at_work().ask(bytes, ask.as_ref().ok());
    ask.is_ok()
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(said: &T) -> Option<T> {
    serde_json::from_slice(&serde_json::to_vec(said).ok()?).ok()
}

fn key(seed: u8) -> Option<SignerKey> {
    SignerKey::from_seed(KeyName::new(ORIGIN).ok()?, SignatureType::ED25519, &[seed; 32]).ok()
}

/// A signer, and all that it has signed.
struct AtWork {
    serving: Arc<Serving>,
    heads: Mutex<BTreeMap<TreeSize, Hash>>,
    broken: tokio::sync::watch::Receiver<bool>,
    _folder: tempfile::TempDir,
}

impl AtWork {
    fn ask(&self, line: &[u8], ask: Option<&Ask>) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.serving.answer_line(line);
        let told = serde_json::from_slice::<Told>(&answer);
        assert!(told.is_ok(), "{}", String::from_utf8_lossy(&answer));
        assert!(!*self.broken.borrow(), "a question has ended the signer");
        match (told, ask) {
            (Ok(Told::Signed(_)), Some(Ask::Head(head))) => {
                let root = head.head.root();
                assert!(root.is_some(), "a head of no tree is signed");
                if let Some(Root { size, hash }) = root {
                    assert_eq!(*heads.entry(size).or_insert(hash), hash, "two roots of {size}");
                }
            }
            (Ok(Told::Signed(_)), ask) => assert!(matches!(ask, Some(Ask::Statement { .. })), "{ask:?} is signed"),
            (Ok(Told::From(Point { size, .. })), _) => {
                let last = heads.keys().next_back().map(|size| size.get());
                assert_eq!(Some(size), last, "it has forgotten what it signed last");
            }
            _ => {}
        }
    }
}

struct Still;

impl Clock for Still {
    fn now_ms(&self) -> u64 {
        NOW_MS
    }
}

fn tree(size: usize) -> Option<MemoryTree> {
    let mut tree = MemoryTree::new();
    let leaves: Vec<Hash> = (0..size).map(|leaf| Hash::leaf(&leaf.to_be_bytes())).collect();
    tree.extend(&leaves).ok()?;
    Some(tree)
}

#[expect(clippy::expect_used, reason = "without a signer there is nothing to ask")]
fn signer_at_work() -> &'static AtWork {
    static AT_WORK: OnceLock<AtWork> = OnceLock::new();
    AT_WORK.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        Vault::create(folder.path(), DatabaseId::new([3; 16])).expect("a new signer");
        let mut vault = Vault::open(folder.path()).expect("a signer");
        let first = key(1).expect("a key");
        let vkey = first.verifier_key().to_string();
        vault.new_key(first, NOW_MS).expect("room for a key");
        let (serving, broken) = Serving::new(vault, Arc::new(Still), None);
        let root = tree(SIGNED).expect("a tree").root();
        let head = HeadAsk {
            origin: ORIGIN.to_owned(),
            head: Point::from(root),
            time_ms: NOW_MS,
            released: Point::from(root),
            from: 0,
            proof: Vec::new(),
            keys: vec![vkey],
        };
        let line = serde_json::to_vec(&Ask::Head(Box::new(head))).expect("a line");
        let at_work = AtWork { serving, heads: Mutex::default(), broken, _folder: folder };
        at_work.ask(&line, serde_json::from_slice(&line).ok().as_ref());
        assert_eq!(at_work.heads.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
        at_work
    })
}
