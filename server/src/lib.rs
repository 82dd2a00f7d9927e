//! To come.

pub mod engine;
pub mod high_water;
