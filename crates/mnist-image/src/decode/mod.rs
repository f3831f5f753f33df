//! Image files → pixels, upright; what is damaged, cut off or too large is refused.
//!
//! The content tells the format, not the name. Memory is taken only for what was checked, and from
//! a [`Budget`]; a decoder that panics is an error.

mod budget;
mod jpeg;

use std::any::Any;
use std::io::{BufRead, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage, Rgba,
};

pub use budget::{Budget, Reservation};

use crate::{Error, Result};

/// Images of more pixels are refused: decoded, they would take over 400 MB.
pub const MAX_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 50_000_000 };
/// Longer files are refused: they have more bytes than so many pixels in 16-bit RGBA.
pub const MAX_FILE_BYTES: u64 = MAX_PIXELS * 8;
/// What an image takes in memory: its pixels, and once more what is made of them, as in grey or
/// turned upright.
const COPIES: u64 = 2;

/// A decoded image; until it is dropped, its memory is held from the [`Budget`].
#[derive(Debug)]
pub struct Decoded<'b> {
    /// The image, upright.
    pub image: DynamicImage,
    _reservation: Reservation<'b>,
}

/// Decodes an image, upright by its EXIF orientation.
///
/// # Errors
///
/// [`Error`] says why it is refused: it is no image, damaged, not all there, or too large.
pub fn from_reader(reader: impl BufRead + Seek, budget: &Budget) -> Result<Decoded<'_>> {
    catch_unwind(AssertUnwindSafe(|| decode(reader, budget)))
        .unwrap_or_else(|panic| Err(Error::Panicked(message(&*panic).into())))
}

fn decode(mut reader: impl BufRead + Seek, budget: &Budget) -> Result<Decoded<'_>> {
    let bytes = reader.seek(SeekFrom::End(0))?;
    if bytes > MAX_FILE_BYTES {
        return Err(Error::TooManyBytes { bytes, most: MAX_FILE_BYTES });
    }
    reader.rewind()?;
    let reader = ImageReader::new(reader).with_guessed_format()?;
    let (mut decoded, orientation) = match reader.format() {
        Some(ImageFormat::Jpeg) => jpeg::decode(reader.into_inner(), bytes, budget)?,
        Some(_) => other_than_jpeg(reader, budget)?,
        None => return Err(Error::UnknownFormat),
    };
    decoded.image.apply_orientation(orientation);
    Ok(decoded)
}

fn other_than_jpeg<R: BufRead + Seek>(
    mut reader: ImageReader<R>,
    budget: &Budget,
) -> Result<(Decoded<'_>, Orientation)> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_FILE_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(Error::of_decoder)?;
    check_size(decoder.dimensions())?;
    let reservation = budget.reserve(decoder.total_bytes() * COPIES)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(Error::of_decoder)?;
    Ok((Decoded { image, _reservation: reservation }, orientation))
}

/// The number of pixels, if they are not too many.
fn check_size((width, height): (u32, u32)) -> Result<u64> {
    match u64::from(width) * u64::from(height) {
        0 => Err(Error::NoPixels),
        pixels if pixels > MAX_PIXELS => {
            Err(Error::TooManyPixels { width, height, most: MAX_PIXELS })
        }
        pixels => Ok(pixels),
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// The image in grey, with transparent parts white.
pub fn grey(image: &DynamicImage) -> GrayImage {
    match image.color().has_alpha() {
        true => DynamicImage::from(on_white(image)).into_luma8(),
        false => image.to_luma8(),
    }
}

/// The image in colour, with transparent parts white.
pub fn on_white(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let Rgba([r, g, b, alpha]) = *image.get_pixel(x, y);
        let mix = |color: u8| 255. + (f32::from(color) - 255.) * f32::from(alpha) / 255.;
        Rgb([r, g, b].map(|color| mix(color).round() as u8))
    })
}
