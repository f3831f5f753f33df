//! The network, and what it is computed on.

pub mod arrays;
pub mod classifier;
pub mod device;
pub mod evidence;
pub mod kernels;
#[cfg(feature = "torch")]
pub mod model;
pub mod plain;
pub mod processor;
#[cfg(feature = "torch")]
pub mod pruning;
pub mod verifier;
#[cfg(all(feature = "torch", target_os = "linux"))]
pub mod waiting;
