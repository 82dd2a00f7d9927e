//! The operator's side: what `cairnd` makes, says, refuses, and shows of itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, Ended, cairnd};
use serde_json::Value;

use super::{Running, json};

/// How often figures are asked for that must come.
const PATIENCE: usize = 1_000;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A command that failed with one line that says what is wrong.
fn assert_refused(ended: &Ended, saying: &str) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    let one_line =
        ended.stderr.starts_with("cairnd: ") && ended.stderr.ends_with('\n') && ended.stderr.lines().count() == 1;
    assert!(one_line && ended.stderr.contains(saying), "expected {saying:?}: {ended:?}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_files_for_their_owner_alone_and_never_over_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let ended = cairnd(&path, &["init", "--json", "--log", "first", "--origin-prefix", "log.example/logs"]);
    let made: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (made["logs"][0]["name"].as_str(), made["logs"][0]["origin"].as_str()),
        (Some("first"), Some("log.example/logs/first"))
    );
    let vkey = fs::read_to_string(path.join("keys/first.vkey")).unwrap();
    assert_eq!(made["logs"][0]["vkey"].as_str(), Some(vkey.trim_end()));
    for file in ["keys/first.skey", "keys/first.vkey", "tokens.json", "cairnd.toml"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
    let before = fs::read(path.join("keys/first.skey")).unwrap();
    assert_refused(&cairnd(&path, &["init"]), "is there already; a database is never made over another");
    assert_eq!(fs::read(path.join("keys/first.skey")).unwrap(), before);

    let other = folder.path().join("other");
    assert_refused(&cairnd(&other, &["init", "--log", "No"]), "is not a log's name");
    assert!(!other.exists(), "a refused init leaves nothing");
    assert_refused(&cairnd(&other, &["init", "--origin-prefix", "https://x/logs"]), "without a scheme");
    assert_refused(&cairnd(&other, &["serve"]), "make a database with: cairnd init");
    assert_refused(&cairnd(folder.path(), &["log", "list"]), "holds no database");
}

#[test]
fn commands_go_through_the_running_server() {
    let running = Running::start();
    let path = running.data.path();
    assert_eq!(mode(&path.join("admin.sock")), 0o600);
    let made = running.data.create_log("second", &["--dedup", "--private"]);
    assert_eq!(running.add("second", b"x"), 0);
    let logs = lines(&cairnd(path, &["log", "list", "--json"]).stdout);
    assert_eq!(logs.len(), 2);
    let second = &logs[1];
    assert_eq!((second["name"].as_str(), second["vkey"].as_str()), (Some("second"), Some(made.vkey.as_str())));
    assert_eq!((&second["size"], &second["dedup"], &second["private"]), (&1.into(), &true.into(), &true.into()));
    assert_refused(&cairnd(path, &["log", "create", "second"]), "second exists already");
    assert_refused(&cairnd(path, &["log", "create", "Bad"]), "is not a log's name");
    let checked = cairnd(path, &["fsck"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(0), "main: sound, 0 entries\nsecond: sound, 1 entry\n"));
    let locked = running.data.try_serve().map(|_| ()).unwrap_err();
    assert_refused(&locked, "");
    assert_refused(&cairnd(path, &["index", "rebuild"]), "a server has this database open; stop it first");
    assert_eq!(running.server.stop().code, Some(0));
    assert!(!path.join("admin.sock").exists());
    let rebuilt = cairnd(path, &["index", "rebuild"]);
    let told = "main: indexed leaf hashes, 0 entries\nsecond: indexed leaf hashes, 1 entry\n";
    assert_eq!((rebuilt.code, rebuilt.stdout.as_str()), (Some(0), told));
    let one = cairnd(path, &["index", "rebuild", "--log", "second", "--json"]);
    assert_eq!(one.stdout, "{\"log\":\"second\",\"size\":1,\"hash_index\":true,\"records\":false}\n");
    assert_refused(&cairnd(path, &["index", "rebuild", "--log", "third"]), "there is no log named third");
    assert_eq!(lines(&cairnd(path, &["log", "list", "--json"]).stdout), logs);
    assert_eq!(cairnd(path, &["fsck"]).stdout, checked.stdout);
}

#[test]
fn a_socket_of_a_dead_server_is_no_server() {
    let running = Running::start();
    running.server.kill();
    assert!(running.data.path().join("admin.sock").exists());
    assert_eq!(lines(&cairnd(running.data.path(), &["log", "list", "--json"]).stdout).len(), 1);
    assert_eq!(running.data.serve().stop().code, Some(0));
}

#[test]
fn what_is_wrong_with_the_configuration_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let file = data.path().join("cairnd.toml");
    let good = fs::read_to_string(&file).unwrap();
    let table = [
        ("[serve]\nlissten = \"127.0.0.1:1\"\n", "cairnd.toml, line 2: unknown field `lissten`"),
        ("[serve]\nlisten = 7\n", "cairnd.toml, line 2: "),
        ("[limits]\nentry_bytes = 65536\n", "limits.entry_bytes is 65536; it must be between 1 and 65535"),
        ("[serve]\ntls_key = \"k\"\n", "serve.tls_certificate and serve.tls_key go together"),
        ("[serve]\ntls_key = \"k\"\ntls_certificate = \"c\"\n", "/data/c: "),
        ("[logging]\nfilter = \"a=b=c\"\n", "logging.filter"),
        ("\u{0}", "cairnd.toml, line 1: "),
    ];
    for (text, saying) in table {
        fs::write(&file, text).unwrap();
        assert_refused(&data.try_serve().map(|_| ()).unwrap_err(), saying);
    }
    fs::write(&file, good).unwrap();
    drop(data.serve());
}

#[test]
fn secrets_that_others_can_read_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    for file in ["tokens.json", "keys/main.skey"] {
        let path = data.path().join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_refused(&data.try_serve().map(|_| ()).unwrap_err(), "chmod 600");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    drop(data.serve());
}

/// A pipe that nobody writes to, a folder, or far more than was ever written, in the place of a file that the start reads:
/// each is refused by its name, and nothing is waited for.
#[test]
fn what_is_no_file_or_too_long_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    drop(data.serve());
    let kept = folder.path().join("kept");
    // What each is refused for that is far too long; the last two have no such bound.
    let files = [
        ("tokens.json", Some("longer than")),
        ("tenants.json", Some("longer than")),
        ("settings.json", Some("longer than")),
        ("keys/main.skey", Some("holds no key")),
        ("records.secret", Some("damaged")),
        ("high-water", None),
        ("incidents.jsonl", None),
    ];
    for (name, words) in files {
        let path = data.path().join(name);
        let was_there = path.exists();
        if was_there {
            fs::rename(&path, &kept).unwrap();
        }
        let refused = || {
            let ended = data.try_serve().map(drop).unwrap_err();
            assert_refused(&ended, name);
            ended.stderr
        };
        assert!(Command::new("mkfifo").arg("--mode=600").arg(&path).status().unwrap().success());
        assert!(refused().contains("no regular file"), "{name}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let _ = refused();
        fs::remove_dir(&path).unwrap();
        if let Some(words) = words {
            let huge = fs::File::create(&path).unwrap();
            huge.set_len(1 << 40).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let said = refused();
            assert!(said.contains(words), "{name}: {said}");
            fs::remove_file(&path).unwrap();
        }
        if was_there {
            fs::rename(&kept, &path).unwrap();
        }
    }
    drop(data.serve());
}

#[test]
fn nothing_is_served_bare_off_loopback_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let serve = ["serve", "--listen", "0.0.0.0:0"];
    assert_refused(&cairnd(data.path(), &serve), "off loopback and there is no TLS");
    let _open = data.create_log("open", &["--open-append"]);
    let proxied = [&serve[..], &["--behind-tls-proxy"]].concat();
    assert_refused(&cairnd(data.path(), &proxied), "say it twice");
    let once = [&proxied[..], &["--open-append-off-loopback"]].concat();
    assert_refused(&cairnd(data.path(), &once), "say it twice");
}

#[test]
fn figures_health_and_documents_are_served() {
    let running = Running::start();
    running.add("main", b"x");
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = running.get(path);
        assert_eq!((answer.status, answer.text()), (200, text.to_owned()), "{path}");
    }
    // A commit is counted right after it was answered.
    let counted = |answer: &Response| answer.text().contains("cairn_appends_total 1");
    let figures =
        (0..PATIENCE).map(|_| running.get("/metrics")).find(counted).unwrap_or_else(|| running.get("/metrics"));
    assert_eq!(figures.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let figures = figures.text();
    let expected = [
        "cairn_http_requests_total{route=\"/logs/{log}/add\",status=\"200\"} 1",
        "cairn_appends_total 1",
        "cairn_commit_entries_bucket{le=\"1.0\"} 1",
        "cairn_commit_seconds_count 1",
        "cairn_commit_store_seconds_count 1",
        "cairn_commit_high_water_seconds_count 1",
        "cairn_queue_requests 0.0",
        "cairn_log_size{log=\"main\"} 1.0",
        "cairn_log_head_age_seconds{log=\"main\"}",
        "cairn_poisoned 0.0",
        "le=\"+Inf\"",
        "cairn_store_block_cache_bytes",
        "cairn_cache_bytes{cache=\"tiles\"}",
        "cairn_cache_capacity_bytes{cache=\"bundles\"} 67108864.0",
        "cairn_cache_bytes{cache=\"newest_records\"} 0.0",
        "cairn_cache_capacity_bytes{cache=\"newest_records\"} 5",
        "cairn_cache_bytes{cache=\"newest_leaves\"}",
        "cairn_cache_bytes{cache=\"newest_postings\"} 0.0",
        "cairn_cache_capacity_bytes{cache=\"posting_filters\"} 134217728.0",
        "cairn_cache_capacity_bytes{cache=\"states\"} 67108864.0",
        "# EOF",
    ];
    for line in expected {
        assert!(figures.contains(line), "{line} is not in\n{figures}");
    }
    let document = json(&running.get("/openapi.json"));
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/logs/{log}/entries"]["post"].is_object());
    for (path, operations) in
        document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/logs"))
    {
        for (method, operation) in operations.as_object().unwrap() {
            let responses = &operation["responses"];
            let busy = if responses["503"].is_object() { &responses["503"] } else { &responses["5XX"] };
            let reference = &busy["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(reference, "#/components/schemas/ProblemDocument", "{method} {path}: {responses}");
        }
    }
    for path in ["/", "/docs"] {
        let page = running.get(path);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.text().contains("/logs/{log}/proof/inclusion") && !page.text().contains("<script"));
    }
}

#[test]
fn a_disk_below_its_reserve_takes_no_appends_and_serves_reads() {
    let running = Running::start_with(|data| data.set_limit("disk_reserve_bytes", 1 << 50));
    let answer = running.ask_with_token(Request::post("/logs/main/add", "x"));
    assert_eq!((answer.status, json(&answer)["type"].as_str()), (507, Some("urn:cairn:problem:disk-reserve")));
    assert!(answer.header("retry-after").is_some());
    let ready = running.get("/readyz");
    assert_eq!((ready.status, json(&ready)["type"].as_str()), (503, Some("urn:cairn:problem:disk-reserve")));
    assert_eq!(running.get("/healthz").status, 200);
    assert_eq!(running.get("/logs/main/head").status, 200);
}

#[test]
fn a_data_folder_with_a_long_path_has_an_admin_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("d".repeat(120)).join("e".repeat(120)));
    let server = data.serve();
    assert_eq!(data.create_log("more", &[]).name, "more");
    let head = Connection::open(server.address()).unwrap().ask(&Request::get("/logs/more/head")).unwrap();
    assert_eq!(head.status, 200);
}

/// More warnings of one kind than the log gets: they are counted at once, and told of at the latest when the server stops.
#[test]
fn warnings_that_are_left_out_are_counted_and_told_of_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    data.set_limit("disk_reserve_bytes", 1 << 50);
    let server = data.serve();
    let mut connection = Connection::open(server.address()).unwrap();
    let request =
        Request::post("/logs/main/add", b"no room".as_slice()).with("authorization", format!("Bearer {}", data.token));
    const ALL: u64 = 1_500;
    for _ in 0..ALL {
        assert_eq!(connection.ask(&request).unwrap().status, 507);
    }
    let metrics = Connection::open(server.address()).unwrap().ask(&Request::get("/metrics")).unwrap();
    let dropped = metrics.figure("cairn_warnings_dropped_total{place=\"cairnd::http\"}").unwrap();
    let stderr = {
        let stopped = server.stop();
        assert_eq!(stopped.code, Some(0), "{stopped:?}");
        stopped.stderr
    };
    let written = stderr.lines().filter(|line| line.contains("/logs/main/add")).count() as u64;
    assert!((1_000..1_200).contains(&written), "{written}");
    assert_eq!((dropped, written), ((ALL - written) as f64, ALL - dropped as u64));
    let told: Vec<&str> = stderr.lines().filter(|line| line.contains("too many warnings of one kind")).collect();
    assert!(matches!(told[..], [line] if line.contains(&format!("lines={dropped}"))), "{told:?}");
}

/// Our log is never erased: a path that names nothing may be somebody's name, misspelt or sent where it does not belong.
#[test]
fn of_a_path_that_is_none_of_ours_the_log_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = Data::init(folder.path().join("data"));
    let file = data.path().join("cairnd.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# access = \"errors\""));
    fs::write(&file, text.replace("# access = \"errors\"", "access = \"all\"")).unwrap();
    let server = data.serve();
    let mut connection = Connection::open(server.address()).unwrap();
    for path in [
        "/v1/stream/entity/pb/tl/person/Ada-4711",
        "/v1/records/x/y/Ada-4711",
        "/v1/streams/entity/pb/Ada-4711",
        "/logs/main/entries/Ada-4711",
        "/logs/main/tile/Ada-4711",
        "/logs/Ada-4711",
        "/Ada-4711",
    ] {
        assert!([400, 404].contains(&connection.ask(&Request::get(path)).unwrap().status), "{path}");
    }
    assert_eq!(connection.ask(&Request::get("/logs/main/head")).unwrap().status, 200);
    let ended = server.stop();
    assert_eq!(
        ended.stderr.matches("path=unknown").count() + ended.stderr.matches("path=\"unknown\"").count(),
        5,
        "{ended:?}"
    );
    assert!(ended.stderr.contains("/logs/main/head") && !ended.stderr.contains("Ada"), "{ended:?}");
}
