//! JPEGs, of which the decoder would fill up with grey what is missing.
//!
//! Format: <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>, annex B.

use std::io::{BufRead, ErrorKind, Seek, SeekFrom};

use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Budget, COPIES, Decoded, Samples, assemble, ifd};
use crate::{Error, Result};

/// Decodes a JPEG of `length` bytes. A truncated one is refused.
pub(super) fn decode(
    mut reader: impl BufRead + Seek,
    length: u64,
    budget: &Budget,
) -> Result<(Decoded<'_>, Orientation)> {
    reader.rewind()?;
    let frame = match frame(&mut reader) {
        Err(Error::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(Error::EndsEarly);
        }
        frame => frame?,
    };
    budget.check_size((frame.width, frame.height))?;
    let reservation = budget.reserve(length + frame.memory())?;
    reader.rewind()?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let (end, after) = end_of_last_scan(&bytes).ok_or(Error::EndsEarly)?;
    bytes.truncate(end);
    bytes.extend(after.ok_or(Error::SeparateScans)?);
    // What surrounds the pixels may be odd, but not they.
    let options = |strict: bool| {
        let side = usize::from(u16::MAX);
        let options = DecoderOptions::default().set_strict_mode(strict);
        options.set_max_width(side).set_max_height(side)
    };
    let damaged = |error: zune_jpeg::errors::DecodeErrors| Error::of_decoder(error.to_string());
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes[..]), options(false));
    decoder.decode_headers().map_err(damaged)?;
    // The decoder has to mean the same frame.
    let dimensions = (frame.width as usize, frame.height as usize);
    if decoder.dimensions() != Some(dimensions) {
        return Err(Error::of_decoder("it has several sizes"));
    }
    let color = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options(true).jpeg_set_out_colorspace(color));
    let pixels = decoder.decode().map_err(damaged)?;
    let orientation =
        decoder.exif().map_or(Orientation::NoTransforms, |exif| ifd::orientation(exif));
    let channels = if color == ColorSpace::Luma { 1 } else { 3 };
    let image = assemble(frame.width, frame.height, channels, Samples::Eight(pixels))?;
    Ok((Decoded { image, _reservation: reservation }, orientation))
}

// Markers of segments, by their names in ITU-T T.81, table B.1.
const TEM: u8 = 0x01;
const SOF0: u8 = 0xc0;
const SOF2: u8 = 0xc2;
const RST0: u8 = 0xd0;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;

/// What a JPEG says of its pixels.
#[derive(Debug, PartialEq)]
pub(super) struct Frame {
    pub width: u32,
    pub height: u32,
    components: u8,
    progressive: bool,
}

impl Frame {
    /// Bytes that decoding takes; a progressive frame has all coefficients, of 2 bytes, besides.
    fn memory(&self) -> u64 {
        let samples = u64::from(self.width) * u64::from(self.height) * u64::from(self.components);
        samples * if self.progressive { COPIES + 2 } else { COPIES }
    }
}

/// The only frame header, looked for without taking memory.
pub(super) fn frame(reader: &mut (impl BufRead + Seek)) -> Result<Frame> {
    reader.seek(SeekFrom::Start(2))?;
    let (mut before, mut found) = (0, None);
    let (mut is_jfif, mut is_rgb) = (false, false);
    loop {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        let marker = [std::mem::replace(&mut before, byte[0]), byte[0]];
        if !begins_segment(marker) {
            continue;
        }
        before = 0;
        let mut length = [0; 2];
        reader.read_exact(&mut length)?;
        let mut rest = i64::from(u16::from_be_bytes(length)) - 2;
        match marker[1] {
            SOF0..=SOF2 => {
                let mut header = [0; 6];
                reader.read_exact(&mut header)?;
                rest -= header.len() as i64;
                let [_, h1, h0, w1, w0, components] = header;
                let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
                let (width, height) = (width.into(), height.into());
                let progressive = marker[1] == SOF2;
                if found.replace(Frame { width, height, components, progressive }).is_some() {
                    return Err(Error::of_decoder("it has several frames"));
                }
                if components == 3 && rest >= 9 {
                    let mut components = [0; 9];
                    reader.read_exact(&mut components)?;
                    rest -= components.len() as i64;
                    is_rgb = [0, 3, 6].map(|at| components[at]) == *b"RGB";
                }
            }
            APP0 if rest >= 5 => {
                let mut name = [0; 5];
                reader.read_exact(&mut name)?;
                rest -= name.len() as i64;
                is_jfif |= name == *b"JFIF\0";
            }
            // JFIF's colours are YCbCr whatever their labels: libjpeg follows that, the decoder
            // does not.
            SOS if is_jfif && is_rgb => {
                return Err(Error::NotSupported(
                    "a JFIF file whose colours are labelled RGB".into(),
                ));
            }
            SOS => return found.ok_or_else(|| Error::of_decoder("its kind of frame is unknown")),
            EOI => return Err(Error::EndsEarly),
            _ => {}
        }
        reader.seek_relative(rest.max(0))?;
    }
}

/// Whether these are neither a pixel's FF, nor padding, nor a restart within a scan.
fn begins_segment(marker: [u8; 2]) -> bool {
    marker[0] == 0xff && !matches!(marker[1], 0 | TEM | RST0..=SOI | 0xff)
}

/// Where in a JPEG its last scan ends, and what to put there for the decoder; nothing if
/// something is missing, or the decoder would get the colours wrong.
///
/// The decoder takes the end of the file for that of the last scan, however early it comes. If
/// there is none, or some marker that it does not know comes first, it notices; but it reads ahead
/// by up to 8 bytes.
fn end_of_last_scan(bytes: &[u8]) -> Option<(usize, Option<&'static [u8]>)> {
    let (mut at, mut end, mut in_scan, mut scans) = (2, 0, false, 0);
    let (mut progressive, mut restarts) = (false, false);
    // The components, and which coefficients of each are there to the last bit.
    let (mut components, mut whole) = (Vec::new(), [0u64; 256]);
    loop {
        at += bytes.get(at..)?.windows(2).position(|pair| begins_segment([pair[0], pair[1]]))?;
        let marker = bytes[at + 1];
        if in_scan {
            end = at;
        }
        if marker == EOI {
            break;
        }
        in_scan = marker == SOS;
        let length = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
        let segment = bytes.get(at + 4..at + 2 + length)?;
        match marker {
            SOF0..=SOF2 => {
                progressive = marker == SOF2;
                components = segment.get(6..)?.iter().step_by(3).copied().collect();
            }
            DRI => restarts = segment != [0, 0],
            SOS => {
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
        // Where a restart may be due, an unknown marker is not one.
        (true, true) => {
            Some(&b"\0\0\0\0\0\0\0\0\xff\xd0\0\0\0\0\0\0\0\0\xff\x02\0\x02\xff\xd9"[..])
        }
    };
    components.iter().all(|id| whole[usize::from(*id)] == u64::MAX).then_some((end, after))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;
    use std::path::Path;

    use image::{GrayImage, ImageFormat, Luma};

    use super::*;

    fn read(bytes: &[u8]) -> Result<image::DynamicImage> {
        super::super::from_reader(Cursor::new(bytes), &Budget::default())
            .map(|decoded| decoded.image)
    }

    fn error(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    fn valid() -> Vec<u8> {
        let ramp = GrayImage::from_fn(200, 300, |x, y| Luma([(x * y % 251) as u8]));
        let mut bytes = Cursor::new(Vec::new());
        ramp.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    fn seed(name: &str) -> Vec<u8> {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/image");
        fs::read(seeds.join(name).with_extension("jpeg")).unwrap()
    }

    #[test]
    fn a_truncated_one_is_refused() {
        let bytes = valid();
        for share in [0, 1, 30, 60, 90, 99] {
            let cut = &bytes[..bytes.len() * share / 100 + 4];
            assert!(error(cut).contains("it is truncated"), "{share}%");
            // The same, closed by a program that makes the best of it.
            let closed = [cut, b"\xff\xd9"].concat();
            assert!(share == 99 || read(&closed).is_err(), "{share}%");
        }
        assert!(error(&bytes[..bytes.len() - 2]).contains("it is truncated"));
    }

    #[test]
    fn what_surrounds_the_pixels_may_be_odd() {
        let bytes = valid();
        let image = read(&bytes).unwrap();
        // Cameras put more images after the first.
        assert_eq!(read(&[&bytes[..], &bytes[..500]].concat()).unwrap(), image);
        let commented = [&bytes[..bytes.len() - 2], b"\xff\xfe\0\x08hello!\xff\xd9"].concat();
        assert_eq!(read(&commented).unwrap(), image);
    }

    #[test]
    fn separate_scans_are_refused_where_the_decoder_mixes_up_colours() {
        assert!(error(&seed("apart")).contains("it keeps its colours in separate scans"));
    }

    #[test]
    fn progressive_ones_and_those_with_restarts_are_read_whole_or_refused() {
        for name in
            ["l_prog", "rgb_prog", "cmyk_prog", "rgb_prog_rst", "l_rst", "rgb_rst", "rgb_444"]
        {
            let bytes = seed(name);
            assert!(read(&bytes).is_ok(), "{name}");
            for missing in (24..300).step_by(9) {
                let closed = [&bytes[..bytes.len() - missing], b"\xff\xd9"].concat();
                assert!(read(&closed).is_err(), "{name} without its last {missing} bytes");
            }
        }
    }

    #[test]
    fn colours_that_programs_disagree_on_are_refused() {
        let mut bytes = seed("rgb_444");
        assert!(read(&bytes).is_ok() && bytes.windows(5).any(|name| name == b"JFIF\0"));
        // The frame's components, and those of its scan.
        let frame = bytes.windows(2).position(|marker| marker == b"\xff\xc0").unwrap();
        let scan = bytes.windows(2).position(|marker| marker == b"\xff\xda").unwrap();
        for (at, name) in b"RGB".iter().enumerate() {
            bytes[frame + 10 + 3 * at] = *name;
            bytes[scan + 5 + 2 * at] = *name;
        }
        assert!(error(&bytes).contains("are labelled RGB is not supported"), "{}", error(&bytes));
    }

    #[test]
    fn the_frame_is_found_behind_other_segments() {
        let frame_of = |bytes: &[u8]| frame(&mut Cursor::new(bytes));
        let found = frame_of(&valid()).unwrap();
        let expected = Frame { width: 200, height: 300, components: 1, progressive: false };
        assert_eq!(found, expected);
        assert!(frame_of(&seed("rgb_prog")).unwrap().progressive);
        let header = b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0";
        let twice = [&b"\xff\xd8"[..], header, header, b"\xff\xda\0\x02"].concat();
        assert!(matches!(frame_of(&twice), Err(Error::Damaged(_))));
        assert!(matches!(frame_of(b"\xff\xd8\xff\xda\0\x02"), Err(Error::Damaged(_))));
        assert!(matches!(frame_of(b"\xff\xd8\xff\xd9\0\x02"), Err(Error::EndsEarly)));
    }
}
