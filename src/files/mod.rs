//! Files: opening those from elsewhere safely, writing ours whole, telling them apart.

pub mod atomic;
pub mod cache;
mod hash;
pub mod image;
pub mod input;
pub mod paths;
#[cfg(feature = "torch")]
pub mod private;

pub use hash::{hex, sha256_hex, sha256_of};
