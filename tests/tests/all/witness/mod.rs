//! `cairn witness`, from outside: what it answers, that it forgets nothing, and that nobody can make it contradict itself.

mod answers;
mod compared;
mod durable;
mod floods;
mod forked;
mod operating;
mod power;
mod races;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tests::lying::Model;
use cairn_tests::own_witness::{WitnessData, add_checkpoint};
use cairn_tests::server::Server;

/// A running witness that watches one log.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) data: WitnessData,
    pub(crate) log: Model,
    pub(crate) server: Server,
}

/// A log of so many entries.
pub(crate) fn log(origin: &str, seed: u8, size: u64) -> Model {
    let mut log = Model::new(origin, seed);
    log.grow(size, "entry");
    log
}

impl Scene {
    pub(crate) fn set(size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = WitnessData::init(folder.path().join("witness"));
        let log = log("log.example/one", 1, size);
        data.add(&log);
        let server = data.serve();
        Self { folder, data, log, server }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.server.address()).unwrap()
    }

    pub(crate) fn ask(&self, body: &str) -> Response {
        add_checkpoint(&mut self.connect(), body).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.connect().ask(&Request::get(path)).unwrap()
    }
}
