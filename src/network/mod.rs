//! The network, and what it is computed on.

pub mod device;
pub mod model;
pub mod pruning;
