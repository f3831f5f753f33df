//! The network, and what it is computed on.

pub mod device;
pub mod kernels;
pub mod model;
pub mod pruning;
