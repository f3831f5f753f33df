//! Images and pages of handwritten digits → 28×28 digits as MNIST has them.

pub mod decode;
mod error;
pub mod image;
pub mod sheet;

pub use error::{Error, Result};

/// Width and height of a digit in pixels.
pub const SIDE: usize = 28;
/// Number of pixels of a digit.
pub const PIXELS: usize = SIDE * SIDE;
