//! JPEGs: what the decoder would fill up is noticed before.

use std::io::{BufRead, Seek, SeekFrom};

use anyhow::{Context, Result, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::budget::{BYTES, DECODED};
use super::{DAMAGED, Decoded, ENDS_EARLY, MAX_PIXELS, check_size};

/// The decoder of [`image`] fills up with grey what is missing of a JPEG.
pub(super) fn decode(mut reader: impl BufRead + Seek) -> Result<Decoded> {
    let length = reader.seek(SeekFrom::End(0))?;
    ensure!(length <= 2 * MAX_PIXELS, "it has {length} bytes, more than a JPEG needs");
    let _reserved = BYTES.reserve(length.min(MAX_PIXELS));
    reader.rewind()?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let (end, after) = end_of_jpeg(&bytes).context(ENDS_EARLY)?;
    let after =
        after.context("it keeps its colours apart, which is rare; save it again, as a PNG")?;
    bytes.truncate(end);
    bytes.extend(after);
    // What surrounds the pixels may be odd, but not they.
    let options = |strict: bool| {
        let side = usize::from(u16::MAX);
        let options = DecoderOptions::default().set_strict_mode(strict);
        options.set_max_width(side).set_max_height(side)
    };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes[..]), options(false));
    decoder.decode_headers().context(DAMAGED)?;
    let (width, height) = decoder.dimensions().context("it has no size")?;
    let (width, height) = (width as u32, height as u32);
    let pixels = check_size((width, height))?;
    let reserved = DECODED.reserve(pixels);
    let color = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options(true).jpeg_set_out_colorspace(color));
    let pixels = decoder.decode().context(DAMAGED)?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let picture = match color {
        ColorSpace::Luma => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let picture = picture.context("it has not as many pixels as it says")?;
    Ok((picture, orientation.unwrap_or(Orientation::NoTransforms), reserved))
}

/// Where in a JPEG its last scan ends, and what to put there for the decoder; nothing if
/// something is missing, or the decoder would get the colours wrong.
///
/// The decoder takes the end of the file for that of the last scan, however early it comes. If there
/// is none, or some marker that it does not know comes first, it notices; but it reads ahead by up to
/// 8 bytes.
///
/// Format: <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>, annex B.
fn end_of_jpeg(bytes: &[u8]) -> Option<(usize, Option<&'static [u8]>)> {
    let (mut at, mut end, mut in_scan, mut scans) = (2, 0, false, 0);
    let (mut progressive, mut restarts) = (false, false);
    // The components, and which coefficients of each are there to the last bit.
    let (mut components, mut whole) = (Vec::new(), [0u64; 256]);
    loop {
        // Neither a pixel's FF, nor padding, nor a restart within a scan.
        let is_marker =
            |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 1 | 0xd0..=0xd8 | 0xff);
        at += bytes.get(at..)?.windows(2).position(is_marker)?;
        let marker = bytes[at + 1];
        if in_scan {
            end = at;
        }
        if marker == 0xd9 {
            break;
        }
        in_scan = marker == 0xda;
        let length = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
        let segment = bytes.get(at + 4..at + 2 + length)?;
        match marker {
            0xc0..=0xc2 => {
                progressive = marker == 0xc2;
                components = segment.get(6..)?.iter().step_by(3).copied().collect();
            }
            0xdd => restarts = segment != [0, 0],
            0xda => {
                scans += 1;
                let (ids, band) = segment.get(1..)?.split_last_chunk::<3>()?;
                if let [first @ 0..64, last @ 0..64, bits] = *band
                    && bits % 16 == 0
                    && first <= last
                {
                    let coefficients = u64::MAX << first & u64::MAX >> (63 - last);
                    ids.iter().step_by(2).for_each(|id| whole[usize::from(*id)] |= coefficients);
                }
            }
            _ => {}
        }
        at += 2 + length;
    }
    let after = match (progressive, restarts) {
        (false, _) => (scans == 1).then_some(&[0; 8][..]),
        (true, false) => Some(&b"\0\0\0\0\0\0\0\0\xff\x02\0\x02\xff\xd9"[..]),
        // Where a restart may be due, an unknown marker is none.
        (true, true) => {
            Some(&b"\0\0\0\0\0\0\0\0\xff\xd0\0\0\0\0\0\0\0\0\xff\x02\0\x02\xff\xd9"[..])
        }
    };
    components.iter().all(|id| whole[usize::from(*id)] == u64::MAX).then_some((end, after))
}
