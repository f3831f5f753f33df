//! The first image file directory of TIFF, which is also what EXIF is made of.
//!
//! Format: <https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf>, section 2; BigTIFF:
//! <https://www.awaresystems.be/imaging/tiff/bigtiff.html>.

use image::metadata::Orientation;

/// The tag of what is to be done so that the image is upright.
const ORIENTATION: u16 = 0x112;

/// The entries of the first directory.
pub(super) struct Ifd<'a> {
    bytes: &'a [u8],
    little_endian: bool,
    /// Whether counts and offsets have 8 bytes.
    big: bool,
    /// Where the first entry is, and how many there are.
    start: usize,
    count: u64,
}

impl<'a> Ifd<'a> {
    /// Finds the directory.
    pub fn first(bytes: &'a [u8]) -> Option<Self> {
        let (little_endian, big) = match bytes.get(..4)? {
            b"II*\0" => (true, false),
            b"MM\0*" => (false, false),
            b"II+\0" => (true, true),
            b"MM\0+" => (false, true),
            _ => return None,
        };
        let mut ifd = Self { bytes, little_endian, big, start: 0, count: 0 };
        let at = match big {
            true => ifd.number(8, 8)?,
            false => ifd.number(4, 4)?,
        };
        let at = usize::try_from(at).ok()?;
        let width = if big { 8 } else { 2 };
        ifd.count = ifd.number(at, width)?;
        ifd.start = at.checked_add(width)?;
        Some(ifd)
    }

    /// The value of `tag` if it is one unsigned number.
    pub fn value(&self, tag: u16) -> Option<u64> {
        let (at, width) = self.place(tag)?;
        self.number(at, width)
    }

    /// Where the value of `tag` is, and how many bytes it has, if it is one unsigned number.
    pub fn place(&self, tag: u16) -> Option<(usize, usize)> {
        let (size, count_width) = if self.big { (20, 8) } else { (12, 4) };
        let mut at = self.start;
        for _ in 0..self.count {
            if self.number(at, 2)? == u64::from(tag) {
                let width = match self.number(at + 2, 2)? {
                    1 => 1,
                    3 => 2,
                    4 => 4,
                    16 if self.big => 8,
                    _ => return None,
                };
                let one = self.number(at + 4, count_width)? == 1;
                return one.then_some((at + 4 + count_width, width));
            }
            at += size;
        }
        None
    }

    /// The bytes of a number as this file has them.
    pub fn encoded(&self, number: u64, width: usize) -> Vec<u8> {
        match self.little_endian {
            true => number.to_le_bytes()[..width].to_vec(),
            false => number.to_be_bytes()[8 - width..].to_vec(),
        }
    }

    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let join = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.little_endian {
            true => bytes.iter().rev().fold(0, join),
            false => bytes.iter().fold(0, join),
        })
    }
}

/// How EXIF says that the image is to be turned.
pub(super) fn orientation(exif: &[u8]) -> Orientation {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Ifd::first(exif)
        .and_then(|ifd| u8::try_from(ifd.value(ORIENTATION)?).ok())
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientation_may_be_of_any_width_and_byte_order() {
        for exif in [
            &b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"[..],
            b"II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x06\0\0\0",
            b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0",
            b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06",
            b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x01\0\0\0\x01\x06\0\0\0",
        ] {
            assert_eq!(orientation(exif), Orientation::Rotate90, "{exif:?}");
        }
    }

    #[test]
    fn an_invalid_orientation_turns_nothing() {
        let valid = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        for end in 0..18 {
            assert_eq!(orientation(&valid[..end]), Orientation::NoTransforms, "{end} bytes");
        }
        for (at, byte) in [(18, 9), (12, 5), (14, 2), (4, 255), (7, 255)] {
            let mut other = *valid;
            other[at] = byte;
            assert_eq!(orientation(&other), Orientation::NoTransforms, "{byte} at {at}");
        }
    }
}
