//! Images and pages of handwritten digits → 28×28 digits as MNIST has them.
//!
//! [`decode`] makes pixels of files. [`normalise`] brings the digit that an image shows into
//! MNIST's form; [`page::find`] finds the digits on a page of them. Both see ink, background and
//! strokes by the same rules, so that they agree about an image of one digit.

mod blur;
mod component;
pub mod decode;
mod error;
mod ink;
mod mnist_form;
pub mod page;
mod resize;
pub mod single;

pub use error::{Error, Result};
pub use single::normalise;

/// Width and height of a digit in pixels.
pub const SIDE: usize = 28;
/// Number of pixels of a digit.
pub const PIXELS: usize = SIDE * SIDE;

/// A digit as the network sees it: rows of 28 pixels, 0 for paper to 255 for full ink.
pub type Digit = [u8; PIXELS];

/// Grey levels, each as likely as any other and the same every time, to compare with other code.
#[cfg(test)]
fn noise(width: u32, height: u32) -> image::GrayImage {
    let mut state = 1u32;
    image::GrayImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Luma([(state >> 24) as u8])
    })
}
