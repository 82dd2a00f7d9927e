//! The server as its callers meet it over HTTP, and as its operator meets it on the command line.

mod appending;
mod connections;
mod described;
mod events;
mod operating;
mod reading;
mod refusals;
mod rights;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::server::{Data, Server};
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

    fn start_with(prepare: impl FnOnce(&Data)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::init(folder.path().join("data"));
        prepare(&data);
        let server = data.serve();
        Self { data, server, _folder: folder }
    }

    fn ask(&self, request: Request) -> Response {
        Connection::open(self.server.address()).unwrap().ask(&request).unwrap()
    }

    /// Asks with the token of `init`.
    fn ask_with_token(&self, request: Request) -> Response {
        self.ask(request.with("authorization", format!("Bearer {}", self.data.token)))
    }

    fn get(&self, target: &str) -> Response {
        self.ask(Request::get(target))
    }

    /// Appends one entry and tells its index.
    fn add(&self, log: &str, entry: &[u8]) -> u64 {
        let answer = self.ask_with_token(Request::post(format!("/logs/{log}/add"), entry));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().parse().unwrap()
    }
}

fn json(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("no JSON: {}", response.text()))
}

/// Entries in C2SP length-prefixed encoding.
fn encoded<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        cairn_tree::tile::Entries::encode(entry, &mut bytes).unwrap();
    }
    bytes
}
