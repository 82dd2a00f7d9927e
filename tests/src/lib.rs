//! What the tests share: the programs as they are run, what is seen of a log from outside, and adversaries. The tests
//! themselves stand in `tests/`.

pub mod command;
pub mod folder;
pub mod http;
pub mod lying;
pub mod monitor;
pub mod oracle;
pub mod own_witness;
pub mod preload;
pub mod process;
pub mod random;
pub mod server;
pub mod signer;
pub mod witness;
