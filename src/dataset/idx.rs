//! IDX, the file format of MNIST: a big-endian header, then one byte per pixel or label.
//!
//! Format: <http://yann.lecun.com/exdb/mnist/> (bottom of the page). A file may be gzipped.

use std::fs::File;
use std::io::{BufRead, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;

use crate::CLASSES;
use crate::SIDE;
use crate::files::input;

/// Where the header has the number of images or labels.
const COUNT: Range<usize> = 4..8;
/// More samples than this are refused: all of them are held in memory, in training at 4 bytes a
/// pixel.
pub const MAX_COUNT: usize = 1_000_000;
/// The largest file of this many images, and a little more.
const MAX_DATA_BYTES: u64 = 1_000_000_000;
/// A gzipped file may decompress to this many times its size, and to [`ALWAYS_ALLOWED`] bytes
/// anyway: MNIST's images decompress to 5 times their size, blank ones, made to fill memory, to
/// 1,000 times.
const MAX_COMPRESSION: usize = 50;
/// Bytes that any gzipped file may decompress to: 10,000 images.
const ALWAYS_ALLOWED: usize = 10_000 * SIDE * SIDE;

/// What an IDX file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// 28×28 grey images: magic number 2051, dimensions `[count, 28, 28]`.
    Images,
    /// Labels from 0 to 9: magic number 2049, dimensions `[count]`.
    Labels,
}

/// An IDX file that has passed every check.
#[derive(Debug)]
pub struct Idx {
    /// Number of images or labels.
    pub count: usize,
    /// The whole file, header included, decompressed.
    pub bytes: Vec<u8>,
    /// Bytes of its header.
    header: usize,
}

impl Idx {
    /// The images or labels, one after the other.
    pub fn items(&self) -> &[u8] {
        &self.bytes[self.header..]
    }
}

/// A file of `count` images or labels, which are `items` one after the other.
///
/// # Errors
///
/// If they are more than are read.
pub fn file(content: Content, count: usize, items: Vec<u8>) -> Result<Vec<u8>> {
    ensure!(count <= MAX_COUNT, "{count} {content} are more than the {MAX_COUNT} supported");
    let (magic, header_length, _) = content.layout();
    let side = SIDE as u32;
    let header = [magic, count as u32, side, side];
    let header = header.iter().take(header_length / 4).flat_map(|word| word.to_be_bytes());
    Ok(header.chain(items).collect())
}

impl Content {
    /// The magic number, and the bytes of the header and of each image or label.
    fn layout(self) -> (u32, usize, usize) {
        match self {
            Content::Images => (2051, 16, SIDE * SIDE),
            Content::Labels => (2049, 8, 1),
        }
    }
}

/// A file that has been checked, unpacked, to be read in parts.
#[derive(Debug)]
pub struct IdxParts {
    file: File,
    header: Vec<u8>,
    item: usize,
    /// Number of images or labels.
    pub count: usize,
}

impl IdxParts {
    /// Reads the header of the file `path`.
    pub fn open(path: &Path, content: Content) -> Result<IdxParts> {
        let mut file = File::open(path)?;
        let (_, header_length, item) = content.layout();
        let mut header = vec![0; header_length];
        file.read_exact(&mut header)?;
        let count = u32::from_be_bytes(header[COUNT].try_into()?) as usize;
        Ok(IdxParts { file, header, item, count })
    }

    /// The next of `parts` parts, of which `part` have been read: a file of its own, as large as
    /// the others or larger by one.
    pub fn part(&mut self, part: usize, parts: usize) -> Result<Vec<u8>> {
        let count = self.count * (part + 1) / parts - self.count * part / parts;
        let mut bytes = self.header.clone();
        bytes[COUNT].copy_from_slice(&(count as u32).to_be_bytes());
        let start = bytes.len();
        bytes.resize(start + count * self.item, 0);
        self.file.read_exact(&mut bytes[start..])?;
        Ok(bytes)
    }
}

/// Reads and checks the file `path`: magic number, dimensions, exact length, and the labels' range;
/// and if there is an `expected` one, the number of samples.
pub fn read(path: &Path, content: Content, expected: Option<usize>) -> Result<Idx> {
    input::open_regular(path, MAX_DATA_BYTES)
        .and_then(|file| parse(file, content, expected))
        .with_context(|| format!("cannot read {} as MNIST {content}", path.display()))
}

/// Like [`read`], for a reader that may be gzipped.
pub fn parse(
    mut reader: impl BufRead + Seek,
    content: Content,
    expected: Option<usize>,
) -> Result<Idx> {
    let compressed = reader.seek(SeekFrom::End(0))? as usize;
    reader.rewind()?;
    match reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        true => {
            let most = compressed.saturating_mul(MAX_COMPRESSION).max(ALWAYS_ALLOWED);
            unpacked(MultiGzDecoder::new(reader), content, expected, most)
        }
        false => unpacked(reader, content, expected, usize::MAX),
    }
}

/// Reads decompressed IDX bytes; never more of them than the header, once checked, calls for, which
/// may be `most`.
fn unpacked(
    mut reader: impl Read,
    content: Content,
    expected: Option<usize>,
    most: usize,
) -> Result<Idx> {
    let (magic, header_length, item) = content.layout();
    let mut bytes = vec![0; header_length];
    reader.read_exact(&mut bytes).context("the file ends within its header")?;
    let header: Vec<u32> =
        bytes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
    ensure!(header[0] == magic, "its magic number is {}, expected {magic}", header[0]);
    if content == Content::Images {
        ensure!(
            header[2..] == [SIDE as u32; 2],
            "its images are {}×{}, expected {SIDE}×{SIDE}",
            header[2],
            header[3]
        );
    }
    let count = header[1] as usize;
    ensure!(count > 0, "it is empty");
    ensure!(count <= MAX_COUNT, "it claims {count} {content}, more than the {MAX_COUNT} supported");
    if let Some(expected) = expected.filter(|expected| *expected != count) {
        bail!(
            "it has {count} {content}, but its set has {expected} labels; take both files from one set"
        );
    }

    let length = count * item;
    ensure!(
        length <= most,
        "it claims {length} bytes, more than {MAX_COMPRESSION} times its compressed size; gunzip it first \
         if you trust it"
    );
    let read = reader.take(length as u64 + 1).read_to_end(&mut bytes);
    let read = read.context("it is damaged; download or copy it again")?;
    if read < length {
        bail!("it ends after {read} of the {length} bytes that its header declares");
    }
    ensure!(read == length, "it continues after the {length} bytes that its header declares");
    if content == Content::Labels {
        let labels = &bytes[header_length..];
        if let Some(at) = labels.iter().position(|&label| label as usize >= CLASSES) {
            bail!("label {at} is {}, expected 0 to {}", labels[at], CLASSES - 1);
        }
    }
    Ok(Idx { count, bytes, header: header_length })
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Content::Images => "images",
            Content::Labels => "labels",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// Gzips a header and this many blank images.
    fn blank(count: u32) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&file(&[2051, count, 28, 28], &[])).unwrap();
        (0..count).for_each(|_| encoder.write_all(&[0; 784]).unwrap());
        encoder.finish().unwrap()
    }

    #[test]
    fn a_compression_ratio_far_above_that_of_images_is_refused() {
        let parse = |bytes| parse(Cursor::new(bytes), Content::Images, None);
        assert_eq!(parse(blank(10_000)).unwrap().count, 10_000);
        let error = format!("{:#}", parse(blank(10_001)).unwrap_err());
        assert!(error.starts_with("it claims 7840784 bytes, more than 50 times"), "{error}");
    }

    fn file(header: &[u32], items: &[u8]) -> Vec<u8> {
        let header = header.iter().flat_map(|word| word.to_be_bytes());
        header.chain(items.iter().copied()).collect()
    }

    #[test]
    fn what_the_header_declares_is_read_and_nothing_else() {
        let images = file(&[2051, 2, 28, 28], &[7; 2 * 784]);
        let parse = |bytes: &[u8], content, expected| parse(Cursor::new(bytes), content, expected);
        let idx = parse(&images, Content::Images, Some(2)).unwrap();
        assert_eq!((idx.count, idx.bytes), (2, images.clone()));
        let labels = file(&[2049, 3], &[0, 9, 5]);
        assert_eq!(parse(&labels, Content::Labels, None).unwrap().count, 3);

        let fault = |bytes: &[u8], content, expected| {
            format!("{:#}", parse(bytes, content, expected).unwrap_err())
        };
        let images_fault = |bytes: &[u8]| fault(bytes, Content::Images, None);
        assert!(images_fault(&images[..9]).starts_with("the file ends within its header"));
        assert!(images_fault(&labels).contains("ends within its header"));
        let zeros = [0; 1000];
        assert!(images_fault(&file(&[2049, 1, 28, 28], &zeros)).contains("magic number is 2049"));
        assert!(images_fault(&file(&[2051, 1, 27, 28], &zeros)).contains("are 27×28"));
        assert!(images_fault(&file(&[2051, 0, 28, 28], &[])).contains("it is empty"));
        assert!(images_fault(&file(&[2051, 1 << 20, 28, 28], &[])).contains("claims 1048576"));
        assert!(images_fault(&images[..1000]).contains("after 984 of the 1568 bytes"));
        assert!(images_fault(&file(&[2051, 1, 28, 28], &zeros)).contains("continues after"));
        assert!(fault(&images, Content::Images, Some(3)).contains("its set has 3 labels"));
        let ten = file(&[2049, 2], &[1, 10]);
        assert!(fault(&ten, Content::Labels, None).contains("label 1 is 10, expected 0 to 9"));
    }
}
