//! Changed copies of images to train on: as different as the same digits are from other hands.
//!
//! An image is seen through a grid that is shifted, turned, stretched and bent (the affine and
//! elastic distortions of Simard, Steinkraus & Platt 2003, "Best practices for convolutional neural
//! networks applied to visual document analysis"), and its strokes are made thicker or thinner. All
//! of it is a few tensor operations over thousands of images, on whatever device they are.

use serde::{Deserialize, Serialize};

#[cfg(feature = "torch")]
mod augmenter;
#[cfg(feature = "torch")]
pub use augmenter::Augmenter;

/// A way to change an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// Shift, rotation, scale of either axis, and shear.
    Affine,
    /// A smooth displacement of every pixel (Simard 2003).
    Elastic,
    /// Thicker or thinner strokes.
    Stroke,
    /// Some of the images at a low resolution.
    #[serde(rename = "low-resolution")]
    LowResolution,
    /// Digits of other forms than MNIST's, shown beside its own, as `dataset::forms` draws them.
    Forms,
}
