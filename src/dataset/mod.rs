//! Data sets: the program's own, those in MNIST's layout, and folders of images; and what is made
//! of them.

pub mod augment;
#[cfg(feature = "torch")]
pub mod builtin;
pub mod export;
pub mod folders;
#[cfg(feature = "torch")]
pub mod forms;
pub mod idx;
pub mod layout;
#[cfg(feature = "torch")]
mod mixture;
#[cfg(feature = "torch")]
pub mod non_digits;
#[cfg(feature = "torch")]
mod samples;
#[cfg(feature = "torch")]
mod strokes;
#[cfg(feature = "torch")]
mod templates;

use mnist_image::Digit;
use serde::{Deserialize, Serialize};

/// What records call the MNIST that is built in.
pub const BUILT_IN: &str = "built-in MNIST";

#[cfg(feature = "torch")]
pub use mixture::{mix, name};
#[cfg(feature = "torch")]
pub use samples::{Data, Samples, load};
#[cfg(feature = "torch")]
pub(crate) use samples::{ink, left_by_split};

/// A digit and what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The digit, in MNIST's form.
    pub digit: Digit,
    /// From 0 to 9.
    pub label: u8,
}

/// What to train on and what to test on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The training set.
    pub train: Vec<Labelled>,
    /// The test set.
    pub test: Vec<Labelled>,
}

/// One of the sets that are mixed in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its folder, or a name for the one that is built in.
    pub data: String,
    /// What its files are, see [`Data::sha256`](samples::Data::sha256).
    pub data_sha256: Option<String>,
    /// How often each of its training samples is shown in an epoch: 2.5 is twice, and half of them
    /// once more.
    pub weight: f64,
    /// Number of samples to train on.
    pub train: i64,
    /// Number of samples to test on.
    pub test: i64,
}
