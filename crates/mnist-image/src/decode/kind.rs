//! Which format an image has, by its first bytes.

use std::io::{BufRead, Read, Seek};

use image::ImageFormat;

use crate::{Error, Result};

/// Bytes that are looked at; SVG may begin with comments.
const LOOKED_AT: u64 = 1024;
/// Brands of an ISO media file (ISO/IEC 14496-12) and their names.
const BRANDS: [(&[u8], &str); 9] = [
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"hevc", "HEIC"),
    (b"heim", "HEIC"),
    (b"heis", "HEIC"),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
];
/// First bytes of formats that are not read.
const OTHERS: [(&[u8], &str); 11] = [
    (b"\0\0\x01\0", "ICO"),
    (b"\0\0\x02\0", "CUR"),
    (b"%PDF-", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop's PSD"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
];

/// The format of an image that begins here.
///
/// # Errors
///
/// [`Error::NotSupported`] for what is known but not read, [`Error::UnknownFormat`] for all else.
pub(super) fn of(reader: &mut (impl BufRead + Seek)) -> Result<ImageFormat> {
    let mut start = Vec::new();
    reader.rewind()?;
    reader.take(LOOKED_AT).read_to_end(&mut start)?;
    if start.starts_with(b"II+\0") || start.starts_with(b"MM\0+") {
        return Ok(ImageFormat::Tiff); // BigTIFF
    }
    match image::guess_format(&start) {
        Ok(
            format @ (ImageFormat::Png
            | ImageFormat::Jpeg
            | ImageFormat::Bmp
            | ImageFormat::Gif
            | ImageFormat::WebP
            | ImageFormat::Tiff
            | ImageFormat::Pnm),
        ) => Ok(format),
        _ => {
            Err(not_read(&start)
                .map_or(Error::UnknownFormat, |name| Error::NotSupported(name.into())))
        }
    }
}

fn not_read(start: &[u8]) -> Option<&'static str> {
    if start.get(4..8) == Some(b"ftyp") {
        let brand = start.get(8..12)?;
        return BRANDS.iter().find(|(known, _)| *known == brand).map(|(_, name)| *name);
    }
    if let Some((_, name)) = OTHERS.iter().find(|(first, _)| start.starts_with(first)) {
        return Some(name);
    }
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    (text.starts_with('<') && text.contains("<svg")).then_some("SVG")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn known_formats_that_are_not_read_are_named() {
        for (start, name) in [
            (&b"\0\0\0\x1cftypavif\0\0\0\0"[..], "AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIF"),
            (b"\0\0\x01\0\x01\0\x10\x10", "ICO"),
            (b"%PDF-1.7\n", "PDF"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
            (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg width='9'>", "SVG"),
        ] {
            let error = of(&mut Cursor::new(start)).unwrap_err().to_string();
            assert_eq!(error, format!("{name} is not supported: convert it to PNG or JPEG"));
        }
    }

    #[test]
    fn unknown_formats_are_not_images() {
        for start in [&b""[..], b"\0\0\0\x18ftypisom", b"<html><body>", b"some text", b"PK\x03\x04"]
        {
            let error = of(&mut Cursor::new(start)).unwrap_err();
            assert!(matches!(error, Error::UnknownFormat), "{error}");
        }
    }
}
