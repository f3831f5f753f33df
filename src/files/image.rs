//! Image files, opened and decoded.

use std::path::Path;

use ::image::DynamicImage;
use anyhow::{Context, Result};
use mnist_image::decode::{self, MAX_BYTES};
use mnist_image::image::{Digit, normalise};

use super::input;

/// Reads the digit in the image file `path`: of any size, dark on light or light on dark.
pub fn read_digit(path: &Path) -> Result<Digit> {
    let read = || {
        let (picture, _reserved) = decode::from_reader_reserved(input::open(path, MAX_BYTES)?)?;
        Ok(normalise(&decode::grey(&picture))?)
    };
    input::contained(read).with_context(|| format!("cannot read the image {}", path.display()))
}

/// Decodes the image file `path`, upright by its EXIF orientation.
pub fn open(path: &Path) -> Result<DynamicImage> {
    input::contained(|| decode::from_reader(input::open(path, MAX_BYTES)?))
}
