//! Training runs: recorded, kept, repeated with several optimizers, and compared.

pub mod comparison;
pub mod journal;
pub mod records;
pub mod run;
pub mod statistics;
pub mod sweep;
pub mod variation;
