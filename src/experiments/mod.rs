//! Runs, kept and compared.

pub mod comparison;
pub mod runs;
