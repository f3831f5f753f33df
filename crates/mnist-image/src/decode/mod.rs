//! Image files → pixels, upright; what is damaged, cut off or too large is refused.

mod budget;
mod jpeg;

use std::io::{BufRead, Seek};

use anyhow::{Context, Result, bail, ensure};
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage, Rgba,
};

use budget::DECODED;
pub use budget::Reserved;

const ENDS_EARLY: &str = "it ends early; get the whole of it again";
const DAMAGED: &str =
    "it is damaged, or of a rare kind; get it again, or save it in another format";

/// Pictures of more pixels are refused: decoded, they would take over 400 MB.
pub const MAX_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 50_000_000 };
/// So many pixels in 16-bit RGBA: files, and what decoders take, may not be larger.
pub const MAX_BYTES: u64 = MAX_PIXELS * 8;

/// Decodes a picture, upright by its EXIF orientation. One that is not all there is refused.
pub fn from_reader(reader: impl BufRead + Seek) -> Result<DynamicImage> {
    Ok(from_reader_reserved(reader)?.0)
}

pub fn from_reader_reserved(reader: impl BufRead + Seek) -> Result<(DynamicImage, Reserved)> {
    let reader = ImageReader::new(reader).with_guessed_format()?;
    let (mut picture, orientation, reserved) = match reader.format() {
        Some(ImageFormat::Jpeg) => jpeg::decode(reader.into_inner())?,
        Some(_) => other_than_jpeg(reader)?,
        None => bail!("it is no PNG, JPEG, BMP, GIF, WebP, TIFF or PNM picture"),
    };
    picture.apply_orientation(orientation);
    Ok((picture, reserved))
}

type Decoded = (DynamicImage, Orientation, Reserved);

fn other_than_jpeg<R: BufRead + Seek>(mut reader: ImageReader<R>) -> Result<Decoded> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().context(DAMAGED)?;
    let pixels = check_size(decoder.dimensions())?;
    let reserved = DECODED.reserve(pixels);
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).context(DAMAGED)?, orientation, reserved))
}

/// The number of pixels, if they are not too many.
fn check_size((width, height): (u32, u32)) -> Result<u64> {
    let pixels = u64::from(width) * u64::from(height);
    ensure!(
        pixels <= MAX_PIXELS,
        "it has {width}×{height} pixels, more than the {MAX_PIXELS} supported; make it smaller"
    );
    ensure!(pixels > 0, "it has no pixels");
    Ok(pixels)
}

/// The picture in grey, with transparent parts white.
pub fn grey(picture: &DynamicImage) -> GrayImage {
    match picture.color().has_alpha() {
        true => DynamicImage::from(on_white(picture)).into_luma8(),
        false => picture.to_luma8(),
    }
}

/// The picture in colour, with transparent parts white.
pub fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let picture = picture.to_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let Rgba([r, g, b, alpha]) = *picture.get_pixel(x, y);
        let mix = |color: u8| 255. + (f32::from(color) - 255.) * f32::from(alpha) / 255.;
        Rgb([r, g, b].map(|color| mix(color).round() as u8))
    })
}
