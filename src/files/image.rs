//! Image files, opened and decoded.

use std::path::Path;

use ::image::ImageFormat::{self, Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
use anyhow::{Context, Result};
use mnist_image::decode::{self, Budget, Decoded, MAX_FILE_BYTES};
use mnist_image::{Digit, normalise};

use super::input;

/// The formats that are read; images in a folder are told by their extensions.
const FORMATS: [ImageFormat; 7] = [Png, Jpeg, Bmp, Gif, WebP, Tiff, Pnm];

/// Whether a file in a folder is taken for an image, by its name. Hidden ones are not: some systems
/// put files of their own beside images, `._1.jpg`.
pub fn is_image(path: &Path) -> bool {
    ImageFormat::from_path(path).is_ok_and(|format| FORMATS.contains(&format)) && !is_hidden(path)
}

/// Whether a name begins with a dot.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
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
