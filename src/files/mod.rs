//! Files: opening those from elsewhere safely, writing ours whole.

pub mod atomic;
pub mod image;
pub mod input;
pub mod paths;
