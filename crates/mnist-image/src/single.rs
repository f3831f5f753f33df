//! Images of single digits → MNIST's form: the digit that is meant, found as on a page.

use image::GrayImage;

use crate::page::{Group, Page};
use crate::{Digit, Error, Result};

/// The digit that an image of one digit shows.
#[derive(Clone, Debug)]
pub struct Single {
    /// As the network sees it.
    pub digit: Digit,
    /// How many more groups of strokes there are that may be digits: with any, the image is a page.
    pub others: usize,
}

/// Finds the digit that a grey image shows: of several, the one that is largest, near the middle
/// and not cut off by the edge.
///
/// Fails when nothing stands out from the background.
pub fn find(grey: &GrayImage) -> Result<Single> {
    if grey.as_raw().is_empty() {
        return Err(Error::NoPixels);
    }
    let page = Page::new(grey).ok_or(Error::Blank)?;
    let writing = page.writing().ok_or(Error::Blank)?;
    let (width, height) = page.dimensions();
    let score = |group: &Group| {
        let whole = &group.whole;
        let off = |from: u32, to: u32, side: u32| (from + to + 1) as f32 / side as f32 - 1.;
        let aside = off(whole.left, whole.right, width).hypot(off(whole.top, whole.bottom, height));
        whole.weight
            / if whole.is_cut_off((width, height)) { 4. } else { 1. }
            / (1. + 2. * aside.powi(2))
    };
    let main = writing.groups.iter().max_by(|a, b| score(a).total_cmp(&score(b)));
    let digit = main.and_then(|group| page.whole(&writing, group)).ok_or(Error::Blank)?.digit;
    Ok(Single { digit, others: writing.groups.len() - 1 })
}

/// Brings the digit that a grey image shows into MNIST's form.
///
/// Fails when nothing stands out from the background.
///
/// ```
/// use image::{GrayImage, Luma};
///
/// let stroke = GrayImage::from_fn(60, 90, |x, y| {
///     Luma([if (27..33).contains(&x) && (10..80).contains(&y) { 40 } else { 230 }])
/// });
/// let digit = mnist_image::normalise(&stroke)?;
/// assert_eq!(digit[14 * mnist_image::SIDE + 14], 255);
/// # Ok::<(), mnist_image::Error>(())
/// ```
pub fn normalise(grey: &GrayImage) -> Result<Digit> {
    Ok(find(grey)?.digit)
}
