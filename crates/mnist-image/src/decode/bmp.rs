//! BMP, whose run lengths are unpacked here: the decoder makes the pixels that they leave out
//! black, where other programs give them the first colour of the palette.
//!
//! Format: <https://learn.microsoft.com/en-us/windows/win32/gdi/bitmap-compression>.

use std::io::{BufRead, Cursor, Seek};

use image::metadata::Orientation;
use image::{ImageFormat, ImageReader};

use super::{Budget, Decoded, others};
use crate::{Error, Result};

/// Bytes of the file header, and of that of the image up to its size in bytes.
const HEADERS: usize = 14 + 20;

/// Bytes of both headers at least, where there are run lengths.
const FULL_HEADERS: usize = 14 + 40;

/// Decodes a BMP of `length` bytes.
pub(super) fn decode(
    mut reader: impl BufRead + Seek,
    length: u64,
    budget: &Budget,
) -> Result<(Decoded<'_>, Orientation)> {
    let mut headers = [0; HEADERS];
    reader.read_exact(&mut headers).map_err(Error::of_decoder)?;
    reader.rewind()?;
    let Some(packed) = Packed::of(&headers) else {
        return others(ImageReader::with_format(reader, ImageFormat::Bmp), length, budget);
    };
    let pixels = budget.check_size((packed.width as u32, packed.height as u32))?;
    // Rows are padded to 4 bytes.
    let reservation = budget.reserve(length + 4 * pixels)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let bytes = packed.unpack(bytes)?;
    drop(reservation);
    let length = bytes.len() as u64;
    others(ImageReader::with_format(Cursor::new(bytes), ImageFormat::Bmp), length, budget)
}

/// What the headers say of an image in run lengths.
struct Packed {
    width: usize,
    height: usize,
    /// 4 or 8.
    bits: usize,
    start: usize,
}

impl Packed {
    fn of(headers: &[u8; HEADERS]) -> Option<Self> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([headers[at], headers[at + 1], headers[at + 2], headers[at + 3]])
        };
        let bits = match (u32_at(14) >= 40, u32_at(30), headers[28]) {
            (true, 1, 8) => 8,
            (true, 2, 4) => 4,
            _ => return None,
        };
        let height = i32::try_from(u32_at(22)).ok()?; // one from top to bottom has no run lengths
        let width = i32::try_from(u32_at(18)).ok()?;
        Some(Self {
            width: width as usize,
            height: height as usize,
            bits,
            start: u32_at(10) as usize,
        })
    }

    /// The same image with 8 bits for each pixel.
    fn unpack(&self, mut file: Vec<u8>) -> Result<Vec<u8>> {
        if self.start < FULL_HEADERS {
            return Err(Error::of_decoder("its pixels begin within its headers"));
        }
        let stride = self.width.next_multiple_of(4);
        let mut rows = vec![0; stride * self.height];
        let packed = file.get(self.start..).ok_or(Error::EndsEarly)?;
        let mut next = packed.iter().copied();
        let (mut x, mut y) = (0, 0);
        while y < self.height {
            let mut byte = || next.next().ok_or(Error::EndsEarly).map(usize::from);
            let (count, value) = (byte()?, byte()?);
            let (count, values) = match (count, value) {
                (0, 0) => {
                    (x, y) = (0, y + 1);
                    continue;
                }
                (0, 1) => break,
                (0, 2) => {
                    (x, y) = (x + byte()?, y + byte()?);
                    continue;
                }
                (0, count) => {
                    let bytes = (count * self.bits).div_ceil(8).next_multiple_of(2);
                    (count, (0..bytes).map(|_| byte()).collect::<Result<Vec<_>>>()?)
                }
                (count, value) => (count, vec![value]),
            };
            for index in 0..count {
                let color = match self.bits {
                    8 => values[index % values.len()],
                    _ => values[index / 2 % values.len()] >> (4 * (1 - index % 2)) & 15,
                };
                if x < self.width {
                    rows[y * stride + x] = color as u8;
                    x += 1;
                }
            }
        }
        file.truncate(self.start);
        file[28] = 8;
        file[30..34].fill(0);
        file[34..38].fill(0);
        file.extend(rows);
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BMP of 4×3 with a palette of white, black and grey.
    fn bmp(bits: u8, packed: &[u8]) -> Vec<u8> {
        let palette = b"\xff\xff\xff\0\0\0\0\0\x80\x80\x80\0";
        let start = 14 + 40 + palette.len() as u32;
        let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
        for number in [start, 40, 4, 3, 1 | u32::from(bits) << 16, if bits == 8 { 1 } else { 2 }] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [packed.len() as u32, 0, 0, 3, 0] {
            bytes.extend(number.to_le_bytes());
        }
        [&bytes[..], palette, packed].concat()
    }

    #[test]
    fn what_run_lengths_leave_out_has_the_first_colour() {
        let budget = Budget::default();
        let (w, b, g) = (255, 0, 128);
        // From the bottom: one grey, then the end of the line; to the right by two and up by one,
        // two black; the end.
        let runs = [1, 2, 0, 0, 0, 2, 2, 1, 2, 1, 0, 1];
        let literal = [0, 3, 1, 2, 1, 0, 0, 0, 0, 1];
        let nibbles = [0, 3, 0x12, 0x10, 0, 0, 3, 0x21, 0, 1];
        for (bits, packed, expected) in [
            (8, &runs[..], [w, w, b, b, w, w, w, w, g, w, w, w]),
            (8, &literal, [w, w, w, w, w, w, w, w, b, g, b, w]),
            (4, &nibbles, [w, w, w, w, g, b, g, w, b, g, b, w]),
        ] {
            let bytes = bmp(bits, packed);
            let decoded = super::super::from_reader(Cursor::new(bytes), &budget).unwrap();
            assert_eq!(decoded.image.to_luma8().into_raw(), expected, "{packed:?}");
        }
    }

    #[test]
    fn run_lengths_that_end_early_or_begin_in_the_headers_are_refused() {
        let budget = Budget::default();
        let mut within = bmp(8, &[0, 1]);
        within[10] = 20;
        let error = super::super::from_reader(Cursor::new(within), &budget).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)), "{error}");
        for packed in [&[][..], &[4], &[0, 9, 1, 1], &[4, 1, 0, 0]] {
            let bytes = bmp(8, packed);
            let error = super::super::from_reader(Cursor::new(bytes), &budget).unwrap_err();
            assert!(matches!(error, Error::EndsEarly), "{error}");
        }
    }
}
