//! Audit records as producers and auditors meet them over HTTP.

mod audited;
mod capture;
mod client;
mod continuing;
mod digit;
mod erased;
mod following;
mod found;
mod indexes;
mod integrity;
mod journey;
mod keyless;
mod keys;
mod long;
mod once;
mod own;
mod parts;
mod reads;
mod reads_hindered;
mod refusals;
mod repaired;
mod reports;
mod retries;
mod rights;
mod rotated;
mod scrubbed;
mod sealed;
mod settings;
mod signed;
mod strict;
mod tenants;
mod turns;
mod unfound;
mod unlike;

use std::sync::Arc;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, Server, cairnd};
use cairnd::engine::{Engine, EngineOptions, Log, PoolBounds, SystemClock, Unobserved};
use cairnd::records::{Own, SecretFile, SystemRandom};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server with a log `main`, and its folder.
struct Running {
    data: Data,
    server: Server,
    _folder: TempDir,
}

impl Running {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same, with something done to the folder first.
    fn start_with(work: impl FnOnce(&Data)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        work(&data);
        let server = data.serve();
        Self { data, server, _folder: folder }
    }

    /// The same folder with a server that was started anew.
    fn restarted(self) -> Self {
        self.restarted_after(|_| {})
    }

    /// The same folder with a server that was started anew after one that was killed, and after something was waited for.
    fn killed_before(self, wait: impl FnOnce()) -> Self {
        let Self { data, server, _folder } = self;
        server.kill();
        wait();
        let server = data.serve();
        Self { data, server, _folder }
    }

    /// The same, with something done to the folder in between.
    fn restarted_after(self, work: impl FnOnce(&Data)) -> Self {
        let Self { data, server, _folder } = self;
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        work(&data);
        let server = data.serve();
        Self { data, server, _folder }
    }

    fn ask(&self, request: Request) -> Response {
        Connection::open(self.server.address()).unwrap().ask(&request).unwrap()
    }

    fn ask_with(&self, token: &str, request: Request) -> Response {
        self.ask(request.with("authorization", format!("Bearer {token}")))
    }

    /// Brings records with the token of `init`.
    fn bring(&self, body: &Value) -> Response {
        self.ask_with(&self.data.token, post(body))
    }

    /// The same, which must succeed.
    fn brought(&self, body: &Value) -> Value {
        let answer = self.bring(body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        json_of(&answer)
    }

    /// Reads as the auditor of `init`.
    fn read(&self, target: &str) -> Response {
        self.ask_with(&self.data.auditor, Request::get(target))
    }

    /// The same, which must succeed.
    fn shown(&self, target: &str) -> Value {
        let answer = self.read(target);
        assert_eq!(answer.status, 200, "{}", answer.text());
        json_of(&answer)
    }

    fn new_token(&self, arguments: &[&str]) -> String {
        let ended = cairnd(self.data.path(), &[&["token", "create"], arguments].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        ended.stdout.trim().to_owned()
    }

    fn size(&self) -> u64 {
        let head = self.ask(Request::get("/logs/main/head")).text();
        head.lines().nth(1).unwrap().parse().unwrap()
    }
}

/// Has the server write into its log `main`, while nobody serves it.
fn written<T>(data: &Data, write: impl AsyncFnOnce(&Own, &Log) -> T) -> T {
    let options = EngineOptions {
        data: data.path().to_owned(),
        high_water: None,
        pool: PoolBounds { requests: 100, bytes: 1 << 20 },
        idempotency_ms: 1,
        disk_reserve: 0,
        signer: None,
        settings: cairn_rocks::Settings::default(),
    };
    let engine = Engine::open(&options, Arc::new(SystemClock), Arc::new(Unobserved)).unwrap();
    let log = engine.log("main").unwrap();
    let secret = Arc::new(SecretFile::open(data.path(), &engine, &SystemRandom).unwrap());
    let own = Own::new(secret, Arc::new(SystemRandom), Arc::new(SystemClock));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(write(&own, &log));
    engine.close();
    done
}

fn post(body: &Value) -> Request {
    Request::post("/v1/records", body.to_string()).with("content-type", "application/json")
}

fn json_of(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {}", answer.text()))
}

/// An answer without what differs from request to request.
fn telling(answer: &Response) -> (u16, Vec<(String, String)>, String) {
    let varying = ["date", "x-request-id"];
    let headers = answer.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned().collect();
    (answer.status, headers, answer.text())
}

/// A record of a tenant about an object, with a value of each class.
fn record(tenant: &str, object: &str, operation: &str) -> Value {
    json!({
        "object": {"tenant": tenant, "module": "tl", "entity": "license", "id": object, "operation": operation},
        "actor": {"id": "8a1f", "type": "user"},
        "subjects": ["person:4711"],
        "values": {"whole": {"new": {"status": "APPLIED", "fee": 1200, "owner": "Ada", "iban": "DE02"}}},
        "classification": {"values": {"/status": "public", "/owner": "restricted", "/iban": "secret"}},
    })
}
