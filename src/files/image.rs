//! Image files, opened and decoded.

use std::path::Path;

use anyhow::{Context, Result};
use mnist_image::decode::{self, Budget, Decoded, MAX_FILE_BYTES};
use mnist_image::{Digit, normalise};

use super::input;

/// Reads the digit in the image file `path`: of any size, dark on light or light on dark.
///
/// # Errors
///
/// If it is not an image, damaged, too large or blank; the error names it.
pub fn read_digit(path: &Path, budget: &Budget) -> Result<Digit> {
    let read = || -> Result<_> { Ok(normalise(&decode::grey(&open(path, budget)?.image))?) };
    read().with_context(|| format!("cannot read the image {}", path.display()))
}

/// Decodes the image file `path`, upright by its EXIF orientation.
///
/// # Errors
///
/// If it is not an image, damaged or too large; the error does not name it.
pub fn open<'b>(path: &Path, budget: &'b Budget) -> Result<Decoded<'b>> {
    Ok(decode::from_reader(input::open(path, MAX_FILE_BYTES)?, budget)?)
}
