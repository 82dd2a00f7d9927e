//! What the tests share: adversaries and ways to run the programs. The tests themselves stand in `tests/`.

pub mod command;
pub mod lying;
