//! Training and evaluation.

pub mod evaluation;
pub mod fit;
pub mod optimizer;

pub use fit::*;
