//! Every status and body of `add-checkpoint` and of the retrieval path, as C2SP tlog-witness has them, in its order.

use cairn_tests::http::Request;
use cairn_tests::lying::Model;
use cairn_tests::own_witness::{empty, growth, request};
use cairn_tree::checkpoint::{Checkpoint, Origin, OriginHash, SignedCheckpoint};
use cairn_tree::cosignature::CosignerKey;
use cairn_tree::hash::Hash;
use cairn_tree::note::{KeyName, SignatureType, SignedNote, SignerKey};
use cairn_tree::size::TreeSize;
use cairn_tree::wire::witness::AddCheckpoint;

use super::{Scene, log};

fn forged(log: &Model, size: u64, root: Hash) -> String {
    let origin = Origin::new(log.vkey().name().as_str()).unwrap();
    log.sign(&Checkpoint::new(origin, TreeSize::new(size).unwrap(), root))
}

/// A head of size zero with a root that no empty tree has, truly signed; our own code refuses to sign it as a head.
fn empty_with_a_root() -> String {
    let key = SignerKey::from_seed(KeyName::new("log.example/one").unwrap(), SignatureType::ED25519, &[1; 32]).unwrap();
    let text = format!("log.example/one\n0\n{}\n", Hash::leaf(b"not nothing").to_base64());
    SignedNote::sign(text, &[&key]).unwrap().encode()
}

fn path(origin: &str) -> String {
    format!("/{}/checkpoint", OriginHash::of(&Origin::new(origin).unwrap()))
}

#[test]
fn every_request_gets_the_status_of_the_first_step_that_it_fails() {
    let scene = Scene::set(40);
    let log = &scene.log;
    // The witness knows the log at size 10.
    assert_eq!(scene.ask(&growth(log, 0, 10)).status, 200);
    let stranger = super::log("log.example/two", 2, 20);
    // Another key under the log's name, and the log's key with another's signature.
    let impostor = super::log("log.example/one", 3, 20);
    let head = log.head(20);
    let broken = growth(log, 10, 20).replace(
        head.rsplit(' ').next().unwrap().get(..20).unwrap(),
        &log.head(20).rsplit(' ').next().unwrap().get(..20).unwrap().replacen(char::is_alphabetic, "Z", 12),
    );
    let wrong_signature = {
        let line = |head: &str| head.lines().last().unwrap().to_owned();
        growth(log, 10, 20).replace(&line(&head), &line(&log.head(21)))
    };
    let forged_20 = forged(log, 20, Hash::leaf(b"another tree"));
    let empty_wrong = empty_with_a_root();
    let proof = || log.consistency(10, 20).unwrap();
    let table: Vec<(&str, String, u16, Option<&str>)> = vec![
        ("nothing", String::new(), 400, None),
        ("no old size", head.clone(), 400, None),
        ("a leading zero", growth(log, 10, 20).replace("old 10", "old 010"), 400, None),
        ("no newline", growth(log, 10, 20).trim_end().to_owned(), 400, None),
        (
            "sixty-four lines of proof",
            growth(log, 10, 20)
                .replace("old 10\n", &format!("old 10\n{}", format!("{}\n", Hash::leaf(b"").to_base64()).repeat(64))),
            400,
            None,
        ),
        ("an unknown origin", growth(&stranger, 0, 20), 404, None),
        ("an unknown origin, with an old size past the new one", request(30, empty(), &stranger.head(20)), 404, None),
        ("a key that is not trusted", growth(&impostor, 0, 20), 403, None),
        ("the trusted key with a wrong signature", wrong_signature, 403, None),
        ("a broken signature line", broken, 403, None),
        ("an old size past the new one", request(21, empty(), &head), 400, None),
        ("an old size that is not the last", growth(log, 9, 20), 409, Some("10\n")),
        ("an old size of zero", growth(log, 0, 20), 409, Some("10\n")),
        ("a smaller head", growth(log, 5, 8), 409, Some("10\n")),
        ("an empty tree with a wrong root, after others", request(0, empty(), &empty_wrong), 409, Some("10\n")),
        ("no proof", request(10, empty(), &head), 422, None),
        ("a proof from another size", request(10, log.consistency(9, 20).unwrap(), &head), 422, None),
        ("a proof to another root", request(10, proof(), &forged_20), 422, None),
        ("a proof where sizes are equal", request(10, proof(), &log.head(10)), 422, None),
    ];
    for (what, body, status, said) in table {
        let answer = scene.ask(&body);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let content_type = if status == 409 { "text/x.tlog.size" } else { "text/plain; charset=utf-8" };
        assert_eq!(answer.header("content-type"), Some(content_type), "{what}");
        said.into_iter().for_each(|said| assert_eq!(answer.text(), said, "{what}"));
    }
    // None of it changed anything.
    let times = scene.data.verify(&head, &scene.ask(&growth(log, 10, 20)));
    assert!(times.iter().all(|time| *time > 1_700_000_000), "{times:?}");
    // The same head again gets a time that is not before the first.
    let again = scene.data.verify(&head, &scene.ask(&request(20, empty(), &head)));
    assert!(again >= times);
    // Another root of the same size ends it: the log has signed two trees, and its keys are trusted no more.
    let ended = scene.ask(&request(20, empty(), &forged_20));
    assert_eq!((ended.status, ended.header("content-type")), (422, Some("text/plain; charset=utf-8")));
    assert_eq!(scene.ask(&request(20, empty(), &head)).status, 403);
}

#[test]
fn an_empty_log_is_cosigned_and_its_wrong_root_is_not() {
    let scene = Scene::set(5);
    let log = &scene.log;
    let wrong = forged(log, 0, Hash::EMPTY_TREE).replace(&Hash::EMPTY_TREE.to_base64(), &Hash::leaf(b"").to_base64());
    assert_eq!(scene.ask(&request(0, empty(), &wrong)).status, 403, "the signature is not of this text");
    assert_eq!(
        scene.ask(&request(0, log.consistency(2, 5).unwrap(), &log.head(5))).status,
        422,
        "a proof from nothing"
    );
    assert_eq!(scene.ask(&request(0, empty(), &empty_with_a_root())).status, 422);
    let nothing = forged(log, 0, Hash::EMPTY_TREE);
    scene.data.verify(&nothing, &scene.ask(&request(0, empty(), &nothing)));
    scene.data.verify(&nothing, &scene.ask(&request(0, empty(), &nothing)));
    scene.data.verify(&log.head(5), &scene.ask(&growth(log, 0, 5)));
    assert_eq!(scene.ask(&request(0, empty(), &nothing)).text(), "5\n");
}

/// The times that the witness attests for a head.
fn times(keys: &[CosignerKey], checkpoint: &SignedCheckpoint) -> Vec<u64> {
    keys.iter().map(|key| key.verify(checkpoint).unwrap().unwrap().seconds()).collect()
}

#[test]
fn the_newest_head_is_served_with_what_was_returned_and_nothing_else() {
    let scene = Scene::set(30);
    let log = &scene.log;
    let path = path("log.example/one");
    assert_eq!(scene.get(&path).status, 404, "never cosigned");
    // A line by somebody else travels with the head; it is not passed on.
    let other = super::log("log.example/else", 9, 1).head(1);
    let foreign = format!("{}{}\n", growth(log, 0, 12), other.lines().last().unwrap());
    AddCheckpoint::parse(foreign.as_bytes()).unwrap();
    let returned = scene.ask(&foreign);
    scene.data.verify(&log.head(12), &returned);
    let served = scene.get(&path);
    assert_eq!(served.text(), format!("{}{}", log.head(12), returned.text()));
    assert_eq!(served.header("cache-control"), Some("public, max-age=5"));
    let checkpoint = SignedCheckpoint::parse(&served.body).unwrap();
    assert_eq!(checkpoint.verify(&[log.vkey().clone()]).unwrap().size().get(), 12);
    let cosigned = |key: &CosignerKey| key.verify(&checkpoint).unwrap().is_some();
    assert!(scene.data.keys.len() == 2 && scene.data.keys.iter().all(cosigned));
    // Gossip shows the same head with the log's signature alone.
    let rumour = scene.get(&format!("/{}", cairn::gossip::path(&Origin::new("log.example/one").unwrap())));
    assert_eq!((rumour.status, rumour.text()), (200, log.head(12)));
    // What was refused is not served.
    assert_eq!(scene.ask(&request(12, empty(), &log.head(20))).status, 422);
    assert_eq!(scene.get(&path), served);
    // After a restart it is the same head, attested for the same time. ML-DSA-44 signatures are made with randomness, so
    // that line is another one; the Ed25519 line is not.
    let before = times(&scene.data.keys, &checkpoint);
    let Scene { data, server, folder, log, .. } = scene;
    assert_eq!(server.stop().code, Some(0));
    let scene = Scene { server: data.serve(), data, folder, log };
    let again = SignedCheckpoint::parse(&scene.get(&path).body).unwrap();
    assert_eq!((again.unverified(), times(&scene.data.keys, &again)), (checkpoint.unverified(), before));
    assert_eq!(again.note().signatures()[..2], checkpoint.note().signatures()[..2]);
    for wrong in ["/", "/checkpoint", &path.to_uppercase(), &format!("{path}/"), "/..%2fcheckpoint"] {
        assert_eq!(scene.get(wrong).status, 404, "{wrong}");
    }
}

#[test]
fn methods_bodies_and_paths_are_bounded() {
    let scene = Scene::set(2);
    let ask = |request: Request| scene.connect().ask(&request).unwrap();
    let wrong = ask(Request::get("/add-checkpoint"));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let wrong = ask(Request::post("/healthz", ""));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(ask(Request::post("/add-checkpoint", vec![b'x'; 1 << 20])).status, 413);
    assert_eq!(ask(Request::post("/add-checkpoint", "old 0\n").with("content-encoding", "gzip")).status, 415);
    assert_eq!(ask(Request::post("/add-checkpoint", vec![0xff; 100])).status, 400);
    assert_eq!(scene.get("/healthz").text(), "ok\n");
    scene.data.verify(&scene.log.head(2), &scene.ask(&growth(&scene.log, 0, 2)));
    let figures = scene.get("/metrics").text();
    for line in [
        "cairn_witness_add_checkpoint_total{status=\"200\"} 1",
        "cairn_witness_add_checkpoint_total{status=\"400\"} 1",
        "cairn_witness_log_size{origin=\"log.example/one\"} 2.0",
        "cairn_witness_commit_seconds_count 1",
        "cairn_witness_logs 1.0",
        "cairn_witness_waiting 0",
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
    assert!(figures.ends_with("# EOF\n") && figures.matches("# EOF").count() == 1);
}

#[test]
fn the_examples_of_the_specification_are_understood() {
    let scene = Scene::set(1);
    let body = include_str!("../../../vectors/notes/c2sp-add-checkpoint.body");
    // The example's log is unknown; with a key under its name, its signatures are by keys that nobody knows.
    assert_eq!(scene.ask(body).status, 404);
    let named = log("example.com/behind-the-sofa", 4, 1);
    scene.data.add(&named);
    assert_eq!(scene.ask(body).status, 403);
}

#[test]
fn a_log_that_signs_two_trees_of_one_size_leaves_evidence() {
    let scene = Scene::set(20);
    let log = &scene.log;
    scene.data.verify(&log.head(10), &scene.ask(&growth(log, 0, 10)));
    let fork = |name: &str| forged(log, 10, Hash::leaf(name.as_bytes()));
    // Although more is wrong with the request: the two signatures stand.
    assert_eq!(scene.ask(&request(11, empty(), &fork("a"))).status, 400);
    // From then on nothing is cosigned for it, and no more evidence is wanted.
    for body in [request(10, empty(), &fork("a")), request(0, empty(), &fork("b")), growth(log, 10, 11)] {
        assert_eq!(scene.ask(&body).status, 403);
    }
    let folder = scene.data.path().join("evidence");
    let files = || std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let begun = std::time::Instant::now();
    // Evidence is written beside the answers, and some of it is left to the next time.
    while files().is_empty() {
        assert!(begun.elapsed() < cairn_tests::server::PATIENCE, "no evidence was written");
    }
    // The file may still be on its way to its name.
    let vkey = log.vkey().to_string();
    let judged = |file: &std::path::Path| {
        let judged = cairn_tests::command::cairn(["evidence", "verify", file.to_str().unwrap(), "--key", &vkey]);
        judged.code == 0
    };
    while !files().iter().all(|file| judged(file)) {
        assert!(begun.elapsed() < cairn_tests::server::PATIENCE, "evidence that is none");
    }
    assert!(scene.get("/metrics").text().contains("cairn_witness_contradictions_total 1"));
}
