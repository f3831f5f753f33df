//! Data sets in MNIST's layout, from a folder or from the program itself, and what is made of them.

pub mod augment;
#[cfg(feature = "torch")]
pub mod builtin;
#[cfg(feature = "torch")]
pub mod forms;
pub mod idx;
#[cfg(feature = "torch")]
pub mod non_digits;
#[cfg(feature = "torch")]
mod samples;
#[cfg(feature = "torch")]
mod strokes;
#[cfg(feature = "torch")]
mod templates;

/// What records call the MNIST that is built in.
pub const BUILT_IN: &str = "built-in MNIST";

#[cfg(feature = "torch")]
pub(crate) use samples::ink;
#[cfg(feature = "torch")]
pub use samples::{Data, Samples, load};
