//! A signer process beside the engine: it signs what extends its own last head, and nothing else, whatever it is asked.

use std::path::PathBuf;

use cairn_tree::note::VerifierKey;
use tokio::sync::watch as stop;

use super::*;
use crate::signer::{Connection, ImportError, KeyType, Serving, Vault, import, listen};

/// A signer in a folder of its own, and a way to end it.
struct Beside {
    folder: tempfile::TempDir,
    running: Option<(tokio::runtime::Runtime, stop::Sender<bool>, tokio::task::JoinHandle<()>)>,
}

impl Beside {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Vault::create(folder.path(), DatabaseId::new([3; 16])).unwrap();
        let mut this = Self { folder, running: None };
        this.start();
        this
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (serving, _) = Serving::new(Vault::open(self.folder.path()).unwrap(), Arc::new(SystemClock), None);
        let (send, stop) = stop::channel(false);
        let _inside = runtime.enter();
        let task = runtime.spawn(listen(&self.socket(), serving, stop).unwrap());
        self.running = Some((runtime, send, task));
    }

    fn end(&mut self) {
        if let Some((runtime, stop, task)) = self.running.take() {
            stop.send(true).unwrap();
            runtime.block_on(task).unwrap();
        }
    }

    fn options(&self, data: &Path) -> EngineOptions {
        EngineOptions { signer: Some(self.socket()), ..options(data) }
    }
}

impl World {
    fn reopen_with(&mut self, signer: &Beside) -> Result<(), OpenError> {
        self.stop();
        let options = signer.options(self.path());
        self.engine = Engine::open(&options, Arc::clone(&self.clock) as _, Arc::new(Unobserved))?;
        for log in self.engine.logs() {
            self.check(&log.info().name.clone());
        }
        Ok(())
    }
}

#[test]
fn a_database_whose_keys_are_at_a_signer_lives_like_any_other() {
    let mut signer_process = Beside::new();
    let mut world = World::new();
    world.reopen_with(&signer_process).unwrap();
    world.create(terms("main"), 1).unwrap();
    // The signer's own key, not the one that was offered.
    let first: VerifierKey = world.engine.log("main").unwrap().vkeys()[0].parse().unwrap();
    assert_ne!(first, *signer("main", 1).verifier_key());
    assert!(!world.path().join("keys").exists());
    world.append("main", &numbered(0..300));
    world.reopen_with(&signer_process).unwrap();
    world.append("main", &numbered(300..310));
    world.runtime.block_on(world.engine.rotate_key("main", signer("main", 2))).unwrap();
    world.runtime.block_on(world.engine.retire_key("main", KeyType::Ed25519)).unwrap();
    assert_ne!(world.engine.log("main").unwrap().vkeys()[0], first.to_string());
    world.append("main", &numbered(310..320));
    // The signer restarts under a running server.
    signer_process.end();
    signer_process.start();
    world.append("main", &numbered(320..330));
    let sealed = world.engine.seal("main", terms("next"), vec![signer("next", 3)]);
    world.runtime.block_on(sealed).unwrap();
    world.append("next", &numbered(0..3));
    world.reopen_with(&signer_process).unwrap();
    world.append("next", &numbered(3..4));
}

/// The signer has head N when the server ends before its high-water has it.
#[test]
fn a_head_that_only_the_signer_knows_of_is_signed_again_or_extended() {
    let signer_process = Beside::new();
    let mut world = World::new();
    world.reopen_with(&signer_process).unwrap();
    world.create(terms("main"), 1).unwrap();
    world.append("main", &numbered(0..100));
    world.stop();
    let before = std::fs::read(world.path().join("high-water")).unwrap();
    world.reopen_with(&signer_process).unwrap();
    world.append("main", &numbered(100..300));
    world.stop();
    // As if the last frames had never been written; the database knows only what was released before its last commit.
    let behind = std::fs::read(world.path().join("high-water")).unwrap();
    std::fs::write(world.path().join("high-water"), &before).unwrap();
    if world.reopen_with(&signer_process).is_err() {
        std::fs::write(world.path().join("high-water"), &behind).unwrap();
        world.reopen_with(&signer_process).unwrap();
    }
    assert_eq!(world.engine.log("main").unwrap().head().size.get(), 300);
    world.append("main", &numbered(300..301));
}

/// The server ends after the signer has signed and before its own mark is durable, and again while it takes that up. The
/// witnesses hold the log back meanwhile, so it starts from the head that it had marked.
#[test]
fn a_server_that_fails_again_while_it_takes_up_what_only_the_signer_knows_starts_all_the_same() {
    let signer_process = Beside::new();
    let mut world = World::new();
    world.reopen_with(&signer_process).unwrap();
    world.create(terms("main"), 1).unwrap();
    world.append("main", &numbered(0..10));
    let policy = super::publishing::policy("w");
    world.runtime.block_on(world.engine.log("main").unwrap().set_policy(Some(policy))).unwrap();
    let options = signer_process.options(world.path());
    let gate = Gate::default();
    let store = world.reopen_behind_with(&gate, &options);
    let log = world.engine.log("main").unwrap();
    world.runtime.block_on(log.let_go()).unwrap();
    gate.shut();
    let first = super::pipeline::commit(&world, &store, 10..20, "first");
    gate.wait_for_write();
    let second = super::pipeline::commit(&world, &store, 20..30, "second");
    gate.open_to_failure();
    drop((log, store));
    for sent in [first, second] {
        assert!(matches!(world.runtime.block_on(sent).unwrap(), Err(AppendError::Stopping(_))));
    }
    for _ in 0..3 {
        let gate = Gate::default();
        let store = world.reopen_behind_with(&gate, &options);
        let log = world.engine.log("main").unwrap();
        assert_eq!(log.head().size.get(), 10);
        gate.shut();
        let going = world.runtime.spawn({
            let log = log.clone();
            async move { log.let_go().await }
        });
        // The signer has signed all of it by now.
        gate.wait_for_write();
        gate.open_to_failure();
        world.runtime.block_on(going).unwrap().unwrap_err();
        drop((log, store));
    }
    world.reopen_with(&signer_process).unwrap();
    world.runtime.block_on(world.engine.log("main").unwrap().let_go()).unwrap();
    world.append("main", &numbered(30..31));
}

#[test]
fn an_older_copy_of_the_database_is_refused_by_the_signer() {
    let signer_process = Beside::new();
    let mut world = World::new();
    world.reopen_with(&signer_process).unwrap();
    world.create(terms("main"), 1).unwrap();
    world.append("main", &numbered(0..100));
    world.stop();
    let old = tempfile::tempdir().unwrap();
    super::refusals::copy(world.path(), old.path());
    world.reopen_with(&signer_process).unwrap();
    world.append("main", &numbered(100..200));
    world.append("main", &numbered(200..201));
    world.stop();
    // Database and high-water together: only witnesses could tell, and the signer.
    let refused = Engine::open(&signer_process.options(old.path()), Arc::new(SystemClock), Arc::new(Unobserved));
    let error = refused.err().unwrap();
    assert!(error.to_string().contains("the log went back"), "{error}");
    world.reopen_with(&signer_process).unwrap();
}

/// Another history of the same log, in another database: the second one is refused as soon as it differs.
#[test]
fn two_servers_can_not_fork_a_log_with_one_signer() {
    let signer_process = Beside::new();
    let mut world = World::new();
    world.reopen_with(&signer_process).unwrap();
    world.create(terms("main"), 1).unwrap();
    world.append("main", &numbered(0..10));
    world.stop();
    let fork = tempfile::tempdir().unwrap();
    super::refusals::copy(world.path(), fork.path());
    let engine =
        Engine::open(&signer_process.options(fork.path()), Arc::new(SystemClock), Arc::new(Unobserved)).unwrap();
    world.reopen_with(&signer_process).unwrap();
    world.append("main", &numbered(10..20));
    let log = engine.log("main").unwrap();
    for entries in [vec![b"another".to_vec()], numbered(30..60)] {
        let batch = EntryBatch::from_entries(entries.iter().map(Vec::as_slice)).unwrap();
        let refused = world.runtime.block_on(log.append(batch, None)).unwrap_err();
        assert!(matches!(refused, AppendError::Halted(_)), "{refused:?}");
        assert_eq!(log.head().size.get(), 10);
    }
    drop(log);
    engine.close();
    drop(engine);
    // Nor at its next start, whether the halt came to be durable or not: the head that it had may be shown again.
    match Engine::open(&signer_process.options(fork.path()), Arc::new(SystemClock), Arc::new(Unobserved)) {
        Ok(again) => {
            let log = again.log("main").unwrap();
            assert!(matches!(log.state(), LogState::Halted(_)));
            assert_eq!(log.head().size.get(), 10);
        }
        Err(error) => assert!(error.to_string().contains("the signer refuses"), "{error}"),
    }
    world.append("main", &numbered(20..30));
}

#[test]
fn keys_stand_at_one_place_and_must_be_there() {
    let mut signer_process = Beside::new();
    let mut world = World::with_log("main");
    let two = world.reopen_with(&signer_process).unwrap_err();
    assert!(matches!(two, OpenError::Keys(KeyRingError::AtTwoPlaces { .. })), "{two}");
    std::fs::rename(world.path().join("keys/main.skey"), world.path().join("keys/moved")).unwrap();
    let unknown = world.reopen_with(&signer_process).unwrap_err();
    assert!(unknown.to_string().contains("no keys of"), "{unknown}");
    // Brought in with the head that it signed last, it goes on.
    world.stop();
    signer_process.end();
    let mut vault = Vault::open(signer_process.folder.path()).unwrap();
    let files = options(world.path()).key_files();
    let import = |vault: &mut Vault| import(vault, &files, &bound_keys(&options(world.path())).unwrap());
    // Neither here nor there.
    assert!(matches!(import(&mut vault), Err(ImportError::Key { error: KeyFileError::Missing(_), .. })));
    std::fs::rename(world.path().join("keys/moved"), world.path().join("keys/main.skey")).unwrap();
    files.write(&first_key("other"), &signer("other", 2)).unwrap();
    for removed in [1, 0] {
        let imported = import(&mut vault).unwrap();
        assert_eq!(imported.removed, removed);
        let [left] = imported.left.as_slice() else { panic!("{imported:?}") };
        assert_eq!(left.path, files.private_path(&first_key("other")));
        assert!(left.why.contains("no log of this database"), "{}", left.why);
    }
    drop(vault);
    signer_process.start();
    world.reopen_with(&signer_process).unwrap();
    world.append("main", &numbered(0..3));
}

#[test]
fn a_signer_folder_without_its_state_or_keys_is_refused() {
    let mut signer_process = Beside::new();
    let connection = Connection::new(signer_process.socket());
    let key = connection.new_key("example.com/logs/main", KeyType::Ed25519).unwrap();
    // Not used yet: given again, so that a crash before the log is made leaves nothing over.
    assert_eq!(connection.new_key("example.com/logs/main", KeyType::Ed25519).unwrap(), key);
    signer_process.end();
    let folder = signer_process.folder.path();
    let file = folder.join("high-water");
    let state = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(Vault::open(folder).is_err());
    crate::high_water::HighWater::create(&file, DatabaseId::new([3; 16])).unwrap();
    assert!(matches!(Vault::open(folder), Err(crate::signer::VaultError::Stateless(_))));
    std::fs::write(&file, state).unwrap();
    let vault = Vault::open(folder).unwrap();
    assert!(matches!(Vault::open(folder), Err(crate::signer::VaultError::Locked(_))));
    drop(vault);
    let keys = std::fs::read_dir(folder.join("keys")).unwrap().map(|file| file.unwrap().path());
    keys.filter(|path| path.extension().is_some_and(|end| end == "skey"))
        .for_each(|path| std::fs::remove_file(path).unwrap());
    assert!(matches!(Vault::open(folder), Err(crate::signer::VaultError::Key(_))));
}
