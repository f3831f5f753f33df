//! TIFF and BigTIFF: grey, palettes, RGB, CMYK, YCbCr and Lab, in integers of any width and floats.
//!
//! The decoder knows few of these, but reads the samples of any image that it takes for grey. So
//! the kind of colour is overwritten for it, in memory, and the colours are made here.
//!
//! Format: <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>.

mod colors;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Cursor, ErrorKind, Read, Seek, SeekFrom};

use image::metadata::Orientation;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::ifd::{self, Ifd};
use super::{Budget, COPIES, Decoded, MAX_FILE_BYTES, jpeg};
use crate::{Error, Result};
use colors::{Colors, Raw};

/// Strips or tiles of an image: as many as rows of the largest JPEG.
const MAX_CHUNKS: u64 = 1 << 16;
/// Bytes that decoders get at a time, so read ahead, and read again for each strip or tile.
const READ_AHEAD: u64 = 1 << 12;
/// Bytes of JPEG tables, summed up over the strips or tiles that each need them.
const MAX_TABLES: u64 = 1 << 24;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const ROWS_PER_STRIP: u16 = 278;
const JPEG: u64 = 7;
const BLACK_IS_ZERO: u64 = 1;
const PLANES: u64 = 2;

/// Decodes the first image of a TIFF of `length` bytes.
pub(super) fn decode(
    mut reader: impl BufRead + Seek,
    length: u64,
    budget: &Budget,
) -> Result<(Decoded<'_>, Orientation)> {
    let file = budget.reserve(length)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let (color, orientation) = as_grey(&mut bytes)?;

    let metered = Metered { left: 4 * length + READ_AHEAD, inner: Cursor::new(&bytes[..]) };
    let mut decoder = Decoder::new(metered).map_err(refusal)?;
    let (width, height) = decoder.dimensions().map_err(refusal)?;
    let pixels = budget.check_size((width, height))?;
    // Of tags that are there twice, the decoder may have taken the other.
    if !matches!(
        decoder.colortype().map_err(refusal)?,
        ColorType::Gray(_) | ColorType::Multiband { .. }
    ) {
        return Err(Error::of_decoder("it has several kinds of colour"));
    }
    let chunks = check_chunks(&mut decoder, &bytes, budget)?;
    decoder.inner().left = 2 * length + chunks * READ_AHEAD;
    let colors = Colors::of(color, &mut decoder)?;

    let layout = decoder.image_buffer_layout().map_err(refusal)?;
    let raw = layout.complete_len as u64;
    if raw > MAX_FILE_BYTES {
        return Err(Error::TooManyBytes { bytes: raw, most: MAX_FILE_BYTES });
    }
    drop(file); // or two that wait for more would wait for each other
    // The decoder may have all samples twice, as those of a JPEG and in their place.
    let made = pixels * 4 * if colors.bits > 8 { 2 } else { 1 };
    let reservation = budget.reserve(length + 2 * raw + made * COPIES)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_FILE_BYTES as usize;
    limits.intermediate_buffer_size = length as usize;
    let mut decoder = decoder.with_limits(limits);
    let mut raw = DecodingResult::U8(Vec::new());
    decoder.read_image_to_buffer(&mut raw).map_err(refusal)?;
    let image = colors.assemble(width, height, &Raw { samples: raw, layout, bits: colors.bits })?;
    Ok((Decoded { image, _reservation: reservation }, orientation))
}

fn refusal(error: TiffError) -> Error {
    match error {
        TiffError::UnsupportedError(kind) => Error::NotSupported(format!("this TIFF ({kind})")),
        // A piece is longer than the file, which is all that is limited here.
        TiffError::LimitsExceeded => Error::EndsEarly,
        TiffError::IntSizeError => Error::NotSupported("this TIFF (a number is too large)".into()),
        error => Error::of_decoder(error),
    }
}

/// Makes an image of any kind of colour one of grey with further samples. Returns the kind, and how
/// it is to be turned.
fn as_grey(bytes: &mut [u8]) -> Result<(u64, Orientation)> {
    let damaged = || Error::of_decoder("its directory is damaged");
    let ifd = Ifd::first(bytes).ok_or_else(damaged)?;
    let orientation = ifd::orientation(bytes);
    let color = ifd.value(PHOTOMETRIC).ok_or_else(damaged)?;
    let mut changes = Vec::new();
    let mut change = |tag, value| {
        if let Some((at, width)) = ifd.place(tag) {
            changes.push((at, ifd.encoded(value, width)));
        }
    };
    change(PHOTOMETRIC, BLACK_IS_ZERO);
    // "All rows in one strip" may be any number, but not for the decoder of faxes.
    if let Some(height) = ifd.value(HEIGHT)
        && ifd.value(ROWS_PER_STRIP).is_some_and(|rows| rows > height)
    {
        change(ROWS_PER_STRIP, height);
    }
    if ifd.value(WIDTH).is_none() {
        return Err(damaged());
    }
    for (at, value) in changes {
        bytes[at..at + value.len()].copy_from_slice(&value);
    }
    Ok((color, orientation))
}

/// The number of strips or tiles, if they take neither too much time nor memory.
fn check_chunks(
    decoder: &mut Decoder<impl Read + Seek>,
    bytes: &[u8],
    budget: &Budget,
) -> Result<u64> {
    let planar = decoder.find_tag_unsigned(Tag::PlanarConfiguration).map_err(refusal)?;
    if planar == Some(PLANES) && decoder.get_chunk_type() == ChunkType::Tile {
        return Err(Error::NotSupported("a TIFF with planar tiles".into()));
    }
    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    budget.check_size((chunk_width, chunk_height))?;
    let list = |decoder: &mut Decoder<_>, strips, tiles| {
        let tag =
            if decoder.find_tag(strips).is_ok_and(|tag| tag.is_some()) { strips } else { tiles };
        Ok::<Vec<u64>, Error>(
            decoder.find_tag_unsigned_vec(tag).map_err(refusal)?.unwrap_or_default(),
        )
    };
    let offsets = list(decoder, Tag::StripOffsets, Tag::TileOffsets)?;
    let chunks = offsets.len() as u64;
    if chunks > MAX_CHUNKS {
        return Err(Error::NotSupported(format!("a TIFF with {chunks} strips or tiles")));
    }
    if decoder.find_tag_unsigned(Tag::Unknown(COMPRESSION)).map_err(refusal)? != Some(JPEG) {
        return Ok(chunks);
    }
    let tables = decoder.find_tag(Tag::JPEGTables).map_err(refusal)?;
    let tables = tables.map_or(0, |tables| tables.into_u8_vec().map_or(0, |all| all.len() as u64));
    if tables * chunks > MAX_TABLES {
        return Err(Error::NotSupported("a TIFF with too many JPEG tables".into()));
    }
    // The decoder takes whatever size the JPEG in a chunk has.
    let lengths = list(decoder, Tag::StripByteCounts, Tag::TileByteCounts)?;
    let up = |side: u32| u64::from(side) + 16;
    for (&offset, &length) in offsets.iter().zip(&lengths) {
        let end = offset.saturating_add(length).min(bytes.len() as u64) as usize;
        let chunk = bytes.get(offset as usize..end).ok_or(Error::EndsEarly)?;
        let frame = jpeg::frame(&mut Cursor::new(chunk)).map_err(|error| match error {
            Error::Io(_) => Error::EndsEarly,
            error => error,
        })?;
        if u64::from(frame.width) * u64::from(frame.height) > up(chunk_width) * up(chunk_height) {
            return Err(Error::of_decoder("it holds a JPEG that is larger than its place"));
        }
    }
    Ok(chunks)
}

/// Reads a limited number of bytes: strips can all be the same long one.
struct Metered<'a> {
    inner: Cursor<&'a [u8]>,
    left: u64,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(READ_AHEAD as usize);
        let read = self.inner.read(&mut buffer[..most])?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "its strips or tiles overlap"))?;
        Ok(read)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
