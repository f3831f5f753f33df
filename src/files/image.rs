//! Image files, opened and decoded.

use std::path::Path;

use ::image::ImageFormat::{self, Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
use anyhow::{Context, Result};
use mnist_image::decode::{self, Budget, Decoded, MAX_FILE_BYTES};
use mnist_image::{Digit, normalise};

use super::input;

/// The formats that are read; images in a folder are told by their extensions.
const FORMATS: [ImageFormat; 7] = [Png, Jpeg, Bmp, Gif, WebP, Tiff, Pnm];

/// Whether the name of a file ends as that of an image of a format that is read.
pub fn has_extension(path: &Path) -> bool {
    ImageFormat::from_path(path).is_ok_and(|format| FORMATS.contains(&format))
}

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
