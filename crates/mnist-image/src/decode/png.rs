//! PNG, of which texts and colour profiles are skipped: decompressed, they can be of any size.

use std::io::{BufRead, Seek};

use image::metadata::Orientation;
use png::{BitDepth, ColorType, DecodeOptions, DecodingError, Limits, Transformations};

use super::{Budget, COPIES, Decoded, Samples, assemble, ifd};
use crate::{Error, Result};

/// Bytes of what is kept besides the pixels: the palette and EXIF, which has 64 KB in a JPEG.
const MAX_METADATA: usize = 4_000_000;

/// Decodes the image, of an animation the first.
pub(super) fn decode(
    reader: impl BufRead + Seek,
    budget: &Budget,
) -> Result<(Decoded<'_>, Orientation)> {
    let damaged = |error: DecodingError| Error::of_decoder(error);
    let mut options = DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_adler32(cfg!(fuzzing)); // few mutated ones would pass
    let mut decoder = png::Decoder::new_with_options(reader, options);
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = header.size();
    let pixels = budget.check_size((width, height))?;
    // Palettes become colours, and all but those with alpha may have a transparent colour.
    let channels = if header.color_type == ColorType::Grayscale { 2 } else { 4 };
    let bytes = pixels * channels * if header.bit_depth == BitDepth::Sixteen { 2 } else { 1 };
    let reservation = budget.reserve(bytes * COPIES + MAX_METADATA as u64)?;
    decoder.set_limits(Limits { bytes: MAX_METADATA + bytes as usize });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged)?;
    // The decoder does not check it, and panics.
    let is_whole = |palette: &[u8]| palette.len().is_multiple_of(3);
    if !reader.info().palette.as_deref().is_none_or(is_whole) {
        return Err(Error::of_decoder("its palette ends within a colour"));
    }
    let size = reader.output_buffer_size().ok_or(Error::EndsEarly)?;
    let mut samples = vec![0; size];
    let (color, depth) = reader.output_color_type();
    reader.next_frame(&mut samples).map_err(damaged)?;
    if reader.info().exif_metadata.is_none() {
        let _ = reader.finish(); // it may follow the pixels, which are all that has to be there
    }
    let exif = reader.info().exif_metadata.as_deref();
    let orientation = exif.map_or(Orientation::NoTransforms, ifd::orientation);
    let samples = match depth {
        BitDepth::Sixteen => Samples::Sixteen(
            samples.as_chunks().0.iter().map(|&sample| u16::from_be_bytes(sample)).collect(),
        ),
        _ => Samples::Eight(samples),
    };
    let image = assemble(width, height, color.samples(), samples)?;
    Ok((Decoded { image, _reservation: reservation }, orientation))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use png::chunk::ChunkType;

    use super::*;

    /// A PNG of 2×1 with these chunks before and after its pixels.
    fn png(before: &[(&[u8; 4], &[u8])], after: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        for (kind, data) in before {
            writer.write_chunk(ChunkType(**kind), data).unwrap();
        }
        writer.write_image_data(&[10, 200]).unwrap();
        for (kind, data) in after {
            writer.write_chunk(ChunkType(**kind), data).unwrap();
        }
        drop(writer);
        bytes
    }

    fn read(bytes: Vec<u8>) -> Result<image::DynamicImage> {
        super::super::from_reader(Cursor::new(bytes), &Budget::default())
            .map(|decoded| decoded.image)
    }

    #[test]
    fn exif_turns_it_before_and_after_the_pixels() {
        let exif: &[u8] = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let upright = read(png(&[], &[])).unwrap();
        assert_eq!((upright.width(), upright.height()), (2, 1));
        for (before, after) in [(&[(b"eXIf", exif)][..], &[][..]), (&[], &[(b"eXIf", exif)])] {
            let turned = read(png(before, after)).unwrap();
            assert_eq!(turned.to_luma8().into_raw(), [10, 200]);
            assert_eq!((turned.width(), turned.height()), (1, 2));
        }
    }

    #[test]
    fn texts_and_profiles_are_skipped_whatever_is_in_them() {
        let long = vec![b'a'; 2 * MAX_METADATA];
        for kind in [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"prIv"] {
            assert!(read(png(&[(kind, &long)], &[(kind, &long)])).is_ok());
        }
    }

    #[test]
    fn exif_of_any_size_is_not_kept() {
        let long = vec![b'a'; 2 * MAX_METADATA];
        assert!(read(png(&[(b"eXIf", &long)], &[])).is_err());
        assert!(read(png(&[], &[(b"eXIf", &long)])).is_ok(), "the pixels are there");
    }

    #[test]
    fn a_palette_that_ends_within_a_colour_is_refused() {
        let with = |palette: &'static [u8]| {
            let mut bytes = Vec::new();
            let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
            encoder.set_color(ColorType::Indexed);
            encoder.set_palette(palette);
            encoder.write_header().unwrap().write_image_data(&[0, 0]).unwrap();
            read(bytes)
        };
        assert!(with(&[9; 6]).is_ok());
        for palette in [&[9; 1][..], &[9; 4]] {
            let error = with(palette).unwrap_err();
            assert!(matches!(error, Error::Damaged(_)), "{error}");
        }
    }

    #[test]
    fn pixels_with_another_checksum_are_refused() {
        let bytes = png(&[], &[]);
        let name = bytes.windows(4).position(|name| name == b"IDAT").unwrap();
        let length = u32::from_be_bytes(*bytes[..name].last_chunk().unwrap()) as usize;
        let pixels = &bytes[name + 4..][..length];
        let with = |pixels: &[u8]| {
            let mut bytes = Vec::new();
            let mut writer = png::Encoder::new(&mut bytes, 2, 1).write_header().unwrap();
            writer.write_chunk(ChunkType(*b"IDAT"), pixels).unwrap();
            drop(writer);
            read(bytes)
        };
        assert!(with(pixels).is_ok());
        let mut other = pixels.to_vec();
        *other.last_mut().unwrap() ^= 1; // Adler-32 ends them
        assert!(matches!(with(&other).unwrap_err(), Error::Damaged(_)));
    }

    #[test]
    fn one_that_ends_within_its_pixels_is_refused() {
        let bytes = png(&[], &[]);
        for end in 8..bytes.len() - 12 {
            let error = read(bytes[..end].to_vec()).unwrap_err();
            assert!(matches!(error, Error::EndsEarly), "{end}: {error}");
        }
    }
}
