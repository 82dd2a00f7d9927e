//! To come.

pub mod high_water;
