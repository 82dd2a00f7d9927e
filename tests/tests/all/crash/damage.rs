//! Damage to the files of a stopped database: whatever byte it hits, the server refuses to start, halts, or is sound in
//! everything that it serves. It never shows or signs anything that contradicts what it acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::oracle::Oracle;
use cairn_tests::random::Random;
use cairn_tests::server::{Data, Ended, Starting, cairnd};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{Extension, Root};
use cairn_tree::receipt::Receipt;
use cairn_tree::size::TreeSize;
use cairn_tree::tile::{BundleCoord, Entries};
use cairn_tree::wire::read::{ConsistencyAnswer, EntryAnswer};

use crate::scene::{append, copy, entry};

/// No more is tried after so long; on a busy machine that is fewer cases.
const TIME: Duration = Duration::from_secs(35);
const CASES_PER_FILE: usize = 40;
const HANDS: usize = 4;
/// Entries before the last start, which therefore are in tables, and after it, which are in the write-ahead log.
const IN_TABLES: u64 = 300;
const IN_ALL: u64 = 520;

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Flip {
        at: usize,
        bit: u8,
    },
    Cut {
        at: usize,
    },
    /// A sector that reads as zeros.
    Zeros {
        at: usize,
    },
    Remove,
}

#[derive(Debug, Clone)]
struct Case {
    sort: &'static str,
    file: PathBuf,
    damage: Damage,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The server did not start, and said why in one line.
    Refused,
    /// It takes no appends to the log, and what it serves is right.
    Halted,
    /// Some answers are errors; all others are right.
    Errors,
    /// The database failed, and the process ended by itself; until then all answers were right.
    Ended,
    /// Everything is as it was.
    Sound,
}

/// A small stopped database and what it has shown.
struct Victim {
    folder: tempfile::TempDir,
    token: String,
    oracle: Oracle,
}

impl Victim {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        let mut oracle = Oracle::new(&data.main);
        for sizes in [0..IN_TABLES, IN_TABLES..IN_ALL] {
            let server = data.serve();
            for number in sizes {
                append(&server, &data, &mut oracle, &entry(number));
            }
            // What a clean stop may tidy up is to be there too.
            server.kill();
        }
        Self { folder, token: data.token.clone(), oracle }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The files that matter, by sort.
    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let mut files = Vec::new();
        for folder in ["", "db", "keys"] {
            for file in fs::read_dir(self.path().join(folder)).unwrap() {
                let name = Path::new(folder).join(file.unwrap().file_name());
                let sort = match name.to_str().unwrap() {
                    "high-water" => "high-water",
                    "keys/main.skey" => "key",
                    "db/CURRENT" => "current",
                    text if text.ends_with(".log") => "write-ahead log",
                    text if text.ends_with(".sst") => "table",
                    text if text.starts_with("db/MANIFEST") => "manifest",
                    _ => continue,
                };
                files.push((sort, name));
            }
        }
        files.sort();
        files
    }

    fn cases(&self, random: &mut Random) -> Vec<Case> {
        let mut cases = Vec::new();
        for (sort, file) in self.files() {
            let length = fs::read(self.path().join(&file)).unwrap().len();
            // What follows the frames of the high-water is zeros.
            let length = if sort == "high-water" { length.min(128 * 1024) } else { length };
            for number in 0..CASES_PER_FILE.min(2 * length + 1) {
                let at = random.below(length.max(1));
                let damage = match number {
                    0 => Damage::Remove,
                    number if number % 4 == 1 => Damage::Cut { at },
                    number if number % 8 == 2 => Damage::Zeros { at: at / 512 * 512 },
                    _ => Damage::Flip { at, bit: 1 << random.below(8) },
                };
                cases.push((random.number(), Case { sort, file: file.clone(), damage }));
            }
        }
        // Mixed, so that an early end leaves no sort out.
        cases.sort_by_key(|(order, _)| *order);
        cases.into_iter().map(|(_, case)| case).collect()
    }
}

impl Damage {
    /// Changes the file; false if that would change nothing.
    fn inflict(self, file: &Path) -> bool {
        let before = fs::read(file).unwrap();
        let mut bytes = before.clone();
        match self {
            Self::Remove => {
                fs::remove_file(file).unwrap();
                return true;
            }
            Self::Cut { at } => bytes.truncate(at),
            Self::Flip { at, bit } => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bit),
            Self::Zeros { at } => bytes.iter_mut().skip(at).take(512).for_each(|byte| *byte = 0),
        }
        fs::write(file, &bytes).unwrap();
        bytes != before
    }
}

#[test]
fn damage_anywhere_is_refused_or_halts_or_does_not_matter() {
    let begun = Instant::now();
    let mut random = Random::for_test("damage");
    let victim = Victim::make();
    let work = Mutex::new(victim.cases(&mut random));
    let outcomes: Mutex<BTreeMap<(&'static str, Outcome), usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                let take = || if begun.elapsed() < TIME { work.lock().unwrap().pop() } else { None };
                while let Some(case) = take() {
                    if let Some(outcome) = attempt(&victim, &case) {
                        *outcomes.lock().unwrap().entry((case.sort, outcome)).or_default() += 1;
                    }
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    println!("damage: {outcomes:?} in {:.1} s", begun.elapsed().as_secs_f64());
    let count = |sort: &str, outcome| outcomes.get(&(sort, outcome)).copied().unwrap_or(0);
    for sort in ["write-ahead log", "manifest", "current", "high-water", "key"] {
        assert!(count(sort, Outcome::Refused) > 0, "no damage to a {sort} was noticed at the start");
    }
    let tables: usize =
        [Outcome::Refused, Outcome::Halted, Outcome::Errors].map(|outcome| count("table", outcome)).iter().sum();
    assert!(tables > 0, "no damage to a table was noticed");
}

/// One start of a damaged copy.
fn attempt(victim: &Victim, case: &Case) -> Option<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    copy(&victim.path(), &data);
    if !case.damage.inflict(&data.join(&case.file)) {
        return None;
    }
    let mut starting = Starting::on(&data, &[]);
    let outcome = match starting.wait() {
        None => refused(&starting.ended(), case),
        Some(address) => serves(address, victim, case),
    };
    if outcome == Outcome::Ended {
        let ended = starting.ended();
        assert!(ended.code == Some(1) && !ended.stderr.contains("panicked"), "{case:?}: {ended:?}");
    }
    starting.kill();
    if matches!(outcome, Outcome::Errors | Outcome::Ended) {
        let ended = cairnd(&data, &["fsck"]);
        assert_eq!(ended.code, Some(1), "{case:?}: it {outcome:?}, and fsck says {ended:?}");
    }
    Some(outcome)
}

/// A refusal is exit code 1 and one line of words.
fn refused(ended: &Ended, case: &Case) -> Outcome {
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains(" INFO ")).collect();
    let plain = lines.last().is_some_and(|line| line.starts_with("cairnd: ") && line.len() > 20);
    let logged = lines.iter().filter(|line| line.contains(" ERROR ") || line.contains(" WARN ")).count();
    assert!(ended.code == Some(1) && plain && lines.len() == 1 + logged, "{case:?}: {ended:?}");
    Outcome::Refused
}

/// Everything that is served is right, or is an error of the server's.
fn serves(address: SocketAddr, victim: &Victim, case: &Case) -> Outcome {
    let mut oracle = victim.oracle.clone();
    let mut ask = Asker { address, errors: 0, is_gone: false, case };
    for resource in ["head", "checkpoint"] {
        if let Some(answer) = ask.ask(Request::get(format!("/logs/main/{resource}"))) {
            let head = oracle.see_head(&answer.body).unwrap_or_else(|wrong| panic!("{case:?}: {wrong}"));
            assert!(head.size.get() >= IN_ALL, "{case:?}: what was acknowledged is gone: size {}", head.size);
        }
    }
    let size = TreeSize::new(IN_ALL).unwrap();
    for bundle in (0..).map_while(|number| BundleCoord::in_tree(number, size)) {
        let expected: Vec<Vec<u8>> = (bundle.start()..bundle.end()).map(entry).collect();
        if let Some(answer) = ask.ask(Request::get(format!("/logs/main/{bundle}"))) {
            let found = Entries::parse_bundle(&answer.body, bundle.width()).unwrap();
            assert!(found.iter().eq(expected.iter().map(Vec::as_slice)), "{case:?}: {bundle}");
        }
        if let Some(answer) = ask.ask(Request::get(format!("/logs/main/{}", bundle.tile()))) {
            let leaves: Vec<u8> = expected.iter().flat_map(|entry| *Hash::leaf(entry).as_bytes()).collect();
            assert!(answer.body == leaves, "{case:?}: {}", bundle.tile());
        }
    }
    for number in [0, 255, 256, IN_TABLES - 1, IN_TABLES, IN_ALL - 1] {
        let request = Request::get(format!("/logs/main/entries/{number}")).with("accept", "application/json");
        if let Some(answer) = ask.ask(request) {
            let answer: EntryAnswer = serde_json::from_slice(&answer.body).unwrap();
            let seen = oracle.see_receipt(&entry(number), &answer.receipt());
            seen.unwrap_or_else(|wrong| panic!("{case:?}: {wrong}"));
        }
    }
    let appended = appends(&mut ask, victim, &mut oracle);
    ask.consistency(&oracle);
    match appended {
        _ if ask.is_gone => Outcome::Ended,
        Some(false) => Outcome::Halted,
        _ if ask.errors > 0 => Outcome::Errors,
        _ => Outcome::Sound,
    }
}

/// Whether the log takes another entry, in a head that extends all others; `None` if there is an error.
fn appends(ask: &mut Asker<'_>, victim: &Victim, oracle: &mut Oracle) -> Option<bool> {
    let request = Request::post("/logs/main/entries", entry(IN_ALL))
        .with("authorization", format!("Bearer {}", victim.token))
        .with("accept", "text/plain");
    let answer = ask.ask_any(&request)?;
    match answer.status {
        200 => {
            let receipt = Receipt::parse(&answer.body).unwrap();
            let seen = oracle.see_receipt(&entry(IN_ALL), &receipt);
            seen.unwrap_or_else(|wrong| panic!("{:?}: {wrong}", ask.case));
            Some(true)
        }
        503 => Some(false),
        500 => {
            ask.errors += 1;
            None
        }
        other => panic!("{:?}: an append is answered {other}: {}", ask.case, answer.text()),
    }
}

struct Asker<'a> {
    address: SocketAddr,
    errors: usize,
    /// Whether the server has ended.
    is_gone: bool,
    case: &'a Case,
}

impl Asker<'_> {
    /// The answer, unless it is an error of the server's.
    fn ask(&mut self, request: Request) -> Option<Response> {
        let answer = self.ask_any(&request)?;
        match answer.status {
            200 => Some(answer),
            500 | 503 => {
                self.errors += 1;
                None
            }
            other => panic!("{:?}: {} is answered {other}: {}", self.case, request.target, answer.text()),
        }
    }

    /// The answer, unless the server has ended.
    fn ask_any(&mut self, request: &Request) -> Option<Response> {
        let answer = Connection::open(self.address).ok().and_then(|mut connection| connection.ask(request).ok());
        self.is_gone |= answer.is_none();
        answer
    }

    /// The newest head extends some that were seen.
    fn consistency(&mut self, oracle: &Oracle) {
        let roots: Vec<Root> = oracle.roots().collect();
        let Some(newest) = roots.last().copied() else { return };
        for old in roots.iter().filter(|root| [1, 200, 256, 300, IN_ALL].contains(&root.size.get())) {
            let target = format!("/logs/main/proof/consistency?from={}&to={}", old.size, newest.size);
            if let Some(answer) = self.ask(Request::get(target)) {
                let answer: ConsistencyAnswer = serde_json::from_slice(&answer.body).unwrap();
                let verified = answer.proof.verify(&Extension { old: *old, new: newest });
                assert!(verified.is_ok(), "{:?}: {old:?} to {newest:?}: {verified:?}", self.case);
            }
        }
    }
}
