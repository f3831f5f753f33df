//! Image files → pixels, upright; what is damaged, cut off or too large is refused.
//!
//! The content decides the format, not the name. Memory is taken only for what was checked, and
//! from a [`Budget`]; a decoder that panics is an error.

mod bmp;
mod budget;
mod ifd;
mod jpeg;
mod kind;
mod png;
mod tiff;

use std::any::Any;
use std::io::{BufRead, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb,
    RgbImage, Rgba,
};

pub use budget::{Budget, Reservation};

use crate::{Error, Result};

/// Images of more pixels are refused: decoded, they would take over 400 MB.
pub const MAX_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 50_000_000 };
/// Longer files are refused: they have more bytes than that many pixels in 16-bit RGBA.
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
/// [`Error`] says why it is refused: it is not an image, damaged, not all there, or too large.
pub fn from_reader(reader: impl BufRead + Seek, budget: &Budget) -> Result<Decoded<'_>> {
    catch_unwind(AssertUnwindSafe(|| decode(reader, budget)))
        .unwrap_or_else(|panic| Err(Error::Panicked(message(&*panic).into())))
}

fn decode(mut reader: impl BufRead + Seek, budget: &Budget) -> Result<Decoded<'_>> {
    let bytes = reader.seek(SeekFrom::End(0))?;
    if bytes > MAX_FILE_BYTES {
        return Err(Error::TooManyBytes { bytes, most: MAX_FILE_BYTES });
    }
    let kind = kind::of(&mut reader)?;
    reader.rewind()?;
    let (mut decoded, orientation) = match kind {
        ImageFormat::Jpeg => jpeg::decode(reader, bytes, budget)?,
        ImageFormat::Png => png::decode(reader, budget)?,
        ImageFormat::Tiff => tiff::decode(reader, bytes, budget)?,
        ImageFormat::Bmp => bmp::decode(reader, bytes, budget)?,
        kind => others(ImageReader::with_format(reader, kind), bytes, budget)?,
    };
    decoded.image.apply_orientation(orientation);
    Ok(decoded)
}

/// Decodes what the decoder of [`image`] does right as it is.
fn others<R: BufRead + Seek>(
    mut reader: ImageReader<R>,
    bytes: u64,
    budget: &Budget,
) -> Result<(Decoded<'_>, Orientation)> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_FILE_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(Error::of_decoder)?;
    budget.check_size(decoder.dimensions())?;
    let reservation = budget.reserve(bytes + decoder.total_bytes() * COPIES)?;
    let exif = decoder.exif_metadata().unwrap_or(None);
    let orientation = exif.map_or(Orientation::NoTransforms, |exif| ifd::orientation(&exif));
    let image = DynamicImage::from_decoder(decoder).map_err(Error::of_decoder)?;
    Ok((Decoded { image, _reservation: reservation }, orientation))
}

/// The samples of an image, row by row.
enum Samples {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

/// The image of samples of grey or colour, with or without alpha, by the number of channels.
fn assemble(width: u32, height: u32, channels: usize, samples: Samples) -> Result<DynamicImage> {
    use DynamicImage::{
        ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8,
        ImageRgba16,
    };
    use Samples::{Eight, Sixteen};
    match (channels, samples) {
        (1, Eight(all)) => ImageBuffer::from_raw(width, height, all).map(ImageLuma8),
        (2, Eight(all)) => ImageBuffer::from_raw(width, height, all).map(ImageLumaA8),
        (3, Eight(all)) => ImageBuffer::from_raw(width, height, all).map(ImageRgb8),
        (4, Eight(all)) => ImageBuffer::from_raw(width, height, all).map(ImageRgba8),
        (1, Sixteen(all)) => ImageBuffer::from_raw(width, height, all).map(ImageLuma16),
        (2, Sixteen(all)) => ImageBuffer::from_raw(width, height, all).map(ImageLumaA16),
        (3, Sixteen(all)) => ImageBuffer::from_raw(width, height, all).map(ImageRgb16),
        (4, Sixteen(all)) => ImageBuffer::from_raw(width, height, all).map(ImageRgba16),
        _ => None,
    }
    .ok_or_else(|| Error::of_decoder("it has fewer pixels than it claims"))
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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    fn error(bytes: &[u8]) -> Error {
        from_reader(Cursor::new(bytes), &Budget::default()).unwrap_err()
    }

    #[test]
    fn too_many_pixels_are_refused_before_they_are_decoded() {
        let le = |side: u16| side.to_le_bytes();
        let side = 20_000u32.to_be_bytes();
        let ihdr = [&b"\0\0\0\x0dIHDR"[..], &side, &side, b"\x01\0\0\0\0\xcb\x0b\x7b\x94"].concat();
        let png = [&b"\x89PNG\r\n\x1a\n"[..], &ihdr, b"\0\0\0\0IDAT\x35\xaf\x06\x1e"].concat();
        let screen = [&b"GIF89a"[..], &le(20_000), &le(20_000), b"\x80\0\0\0\0\0\xff\xff\xff"];
        let frame = [&b",\0\0\0\0"[..], &le(20_000), &le(20_000), b"\0\x02\x01\0\0;"].concat();
        let entry = |(tag, value): (u16, u32)| {
            [&tag.to_le_bytes()[..], b"\x04\0\x01\0\0\0", &value.to_le_bytes()].concat()
        };
        let tags =
            [(256, 20_000), (257, 20_000), (258, 1), (262, 1), (273, 8), (278, 20_000), (279, 8)];
        let entries: Vec<u8> = tags.into_iter().flat_map(entry).collect();
        // 65,500 × 65,500 in grey: start of the frame, and of the scan.
        let jpeg = b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xdc\xff\xdc\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9";
        let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xfe\xbf\xff\x0f\0\0\0\0\0\0\0\0\0";
        let sides = 60_000u32.to_le_bytes().repeat(2);
        let bmp = [&b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &sides].concat();
        for (name, bytes) in [
            ("PNG", png),
            ("GIF", [&screen.concat()[..], &frame].concat()),
            ("TIFF", [&b"II*\0\x08\0\0\0\x07\0"[..], &entries, &[0; 4]].concat()),
            ("JPEG", jpeg.to_vec()),
            ("WebP", webp.to_vec()),
            ("PNM", b"P4\n20000 20000\n".to_vec()),
            ("BMP", [&bmp[..], b"\x01\0\x18\0", &[0; 24]].concat()),
            ("BMP, packed", [&bmp[..], b"\x01\0\x08\0\x01", &[0; 23]].concat()),
        ] {
            let error = error(&bytes);
            assert!(matches!(error, Error::TooManyPixels { .. }), "{name}: {error:?}");
        }
    }

    #[test]
    fn files_that_are_too_long_are_refused_before_they_are_read() {
        /// Of that length, and not to be read.
        struct Long;
        impl Read for Long {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                unreachable!()
            }
        }
        impl Seek for Long {
            fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
                Ok(MAX_FILE_BYTES + 1)
            }
        }
        let long = std::io::BufReader::new(Long);
        let error = from_reader(long, &Budget::default()).unwrap_err();
        assert!(matches!(error, Error::TooManyBytes { .. }), "{error}");
    }

    #[test]
    fn a_panic_becomes_an_error() {
        /// Panics as a decoder may.
        struct Panics;
        impl Read for Panics {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                panic!("at byte {}", 7)
            }
        }
        impl Seek for Panics {
            fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
                Ok(0)
            }
        }
        let error = from_reader(std::io::BufReader::new(Panics), &Budget::default()).unwrap_err();
        assert!(matches!(&error, Error::Panicked(message) if message == "at byte 7"), "{error:?}");
        assert!(error.to_string().ends_with("; convert it to PNG"), "{error}");
    }

    #[test]
    fn transparent_parts_are_white() {
        let image = DynamicImage::from(
            image::RgbaImage::from_raw(3, 1, vec![0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 51]).unwrap(),
        );
        assert_eq!(grey(&image).into_raw(), [255, 0, 204]);
        assert_eq!(on_white(&image).into_raw(), [255, 255, 255, 0, 0, 0, 204, 204, 204]);
    }
}
