//! What operators do: logs come, go, come back and change keys while the witness runs, and nothing is forgotten.

use std::io::Read as _;

use cairn_tests::http::Connection;
use cairn_tests::lying::Model;
use cairn_tests::own_witness::{WitnessData, add_checkpoint, growth, witness};
use serde_json::Value;

use super::{Scene, log};

fn list(data: &WitnessData) -> Vec<Value> {
    let ended = data.run(&["list-logs", "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn other_key(log: &Model, size: u64) -> Model {
    // The same entries under another key of the same name.
    super::log(log.vkey().name().as_str(), 77, size)
}

#[test]
fn removing_adding_again_and_other_keys_forget_nothing() {
    let scene = Scene::set(30);
    let (data, log) = (&scene.data, &scene.log);
    data.verify(&log.head(20), &scene.ask(&growth(log, 0, 20)));
    // Removed while it is served: unknown at once, and still on record.
    let removed = data.run(&["remove-log", "--origin", "log.example/one"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(scene.ask(&growth(log, 20, 25)).status, 404);
    let listed = list(data);
    assert_eq!((&listed[0]["listed"], &listed[0]["size"]), (&Value::Bool(false), &Value::from(20)));
    let again = data.run(&["remove-log", "--origin", "log.example/one"]);
    assert!(again.code == Some(2) && again.stderr.contains("log.example/one"), "{again:?}");
    // Added again with another key: the old key is not trusted any more, the old head still counts.
    let renewed = other_key(log, 30);
    data.add(&renewed);
    assert_eq!(scene.ask(&growth(log, 20, 25)).status, 403);
    assert_eq!(scene.ask(&growth(&renewed, 0, 25)).text(), "20\n");
    data.verify(&renewed.head(25), &scene.ask(&growth(&renewed, 20, 25)));
    // Both keys; then the first alone again.
    data.add(log);
    data.verify(&log.head(26), &scene.ask(&growth(log, 25, 26)));
    data.verify(&renewed.head(27), &scene.ask(&growth(&renewed, 26, 27)));
    let replaced = data.run(&["add-log", "--replace", "--vkey", &log.vkey().to_string()]);
    assert_eq!(replaced.code, Some(0), "{replaced:?}");
    assert_eq!(scene.ask(&growth(&renewed, 27, 28)).status, 403);
    // The same without a running witness.
    let Scene { data, server, folder: _folder, log } = scene;
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(list(&data)[0]["size"], Value::from(27));
    assert_eq!(data.run(&["remove-log", "--origin", "log.example/one"]).code, Some(0));
    data.add(&log);
    let server = data.serve();
    let mut connection = Connection::open(server.address()).unwrap();
    assert_eq!(add_checkpoint(&mut connection, &growth(&log, 0, 30)).unwrap().text(), "27\n");
    data.verify(&log.head(30), &add_checkpoint(&mut connection, &growth(&log, 27, 30)).unwrap());
}

#[test]
fn mistakes_are_refused_in_words() {
    let scene = Scene::set(1);
    let (data, vkey) = (&scene.data, scene.log.vkey().to_string());
    let refused = |arguments: &[&str], code: i32, reason: &str| {
        let ended = data.run(arguments);
        assert!(ended.code == Some(code) && ended.stderr.contains(reason), "{arguments:?}: {ended:?}");
    };
    refused(&["add-log", "--vkey", "nonsense"], 2, "--vkey nonsense");
    refused(&["add-log", "--vkey", &vkey, "--origin", "log.example/other"], 2, "the origin is log.example/other");
    refused(&["add-log", "--vkey", &vkey, "--origin", "log.example/other"], 2, "named log.example/one");
    let cosigner = data.keys[0].verifier_key().to_string();
    refused(&["add-log", "--vkey", &cosigner], 2, "does not sign for a log");
    refused(&["init", "--name", "witness.example/again"], 2, "already");
    refused(&["serve", "--listen", "127.0.0.1:0"], 2, "another cairn process");
    refused(&["serve", "--listen", "0.0.0.0:0"], 2, "off loopback");
    let absent = scene.folder.path().join("absent");
    let ended = witness(&absent, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("cairn witness init"), "{ended:?}");
    assert!(!absent.exists());
    let ended = witness(&absent, &["init", "--name", "two words"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("--name"), "{ended:?}");
    // The second witness on the folder did no harm to the first.
    data.verify(&scene.log.head(1), &scene.ask(&growth(&scene.log, 0, 1)));
}

#[test]
fn many_logs_are_kept_apart_and_the_folder_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::set(1);
    let logs: Vec<Model> = (0..20).map(|number| log(&format!("log.example/many/{number}"), number + 10, 6)).collect();
    logs.iter().for_each(|log| scene.data.add(log));
    for (size, log) in (1..).zip(&logs) {
        let size = size % 6 + 1;
        scene.data.verify(&log.head(size), &scene.ask(&growth(log, 0, size)));
    }
    let sizes: Vec<u64> = list(&scene.data).iter().filter_map(|log| log["size"].as_u64()).collect();
    assert_eq!(sizes.len(), 20);
    let mode = |name: &str| std::fs::metadata(scene.data.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("keys"), mode("admin.sock")), (0o700, 0o700, 0o600));
    let mut secret = String::new();
    let mut file = std::fs::File::open(scene.data.path().join("keys/ml-dsa-44.skey")).unwrap();
    file.read_to_string(&mut secret).unwrap();
    assert!(secret.starts_with("PRIVATE+KEY+witness.example/w1+"));
    assert_eq!(scene.server.stop().code, Some(0));
}
