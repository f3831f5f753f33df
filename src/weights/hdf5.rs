//! HDF5 files from elsewhere, read within bounds.
//!
//! What is read of a file passes through [`Bounded`], which counts it: structures that lead in a
//! circle, share what they hold, or are many, end in an error, whatever the reader makes of them.
//! An array is read only when what its chunks decompress to is in proportion to the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use hdf5_pure::{
    Dataset, Datatype, DatatypeByteOrder, File, FloatingPointLayout, FormatError, Layout, Source,
};

use super::contents::{MAX_COMPRESSION, NO_FLOAT, Number};
use super::format::DAMAGED;

/// The most groups and arrays that a file may have; those of two layers and an optimizer are few.
const MAX_OBJECTS: usize = 1000;
/// The most bytes of the path to a group.
const MAX_PATH: usize = 1000;
/// The most bytes that are read of the structure of a file, or of one array's, and what each
/// reading counts for at least. Models of Keras have some 100 kB; a list of the 65,536 rows of
/// the largest network, each a chunk, has 3 MB.
const MAX_STRUCTURE: u64 = 1 << 23;
const MIN_READING: u64 = 64;
/// The most chunks that an array may be stored in: a row each, of the largest network.
const MAX_CHUNKS: u64 = 1 << 16;
/// The filters that chunks may have passed through: deflate, shuffle, Fletcher's checksum, LZF.
const FILTERS: [u16; 4] = [1, 2, 3, 32000];
/// What float16 is, in HDF5's words.
const FLOAT16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

const RARE: &str = "its chunk index is of an unsupported type; save it again with Keras, \
     or with h5py without libver=\"latest\"";
const TOO_MUCH: &str = "it holds more groups, arrays or chunks than the weights of a network need";

/// A file in memory, of which only a limited number of bytes is read.
struct Bounded {
    bytes: Vec<u8>,
    /// The bytes that may still be read.
    left: Arc<AtomicU64>,
}

impl Source for Bounded {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let cost = MIN_READING.max(buffer.len() as u64);
        let pay = |left: u64| left.checked_sub(cost);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_err() {
            self.left.store(0, Ordering::Relaxed); // what comes after fails as well
            return Err(FormatError::Source(TOO_MUCH.into()));
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(buffer.len()).and_then(|end| self.bytes.get(start..end));
        let available = self.bytes.len();
        buffer.copy_from_slice(found.ok_or(FormatError::UnexpectedEof {
            expected: start.saturating_add(buffer.len()),
            available,
        })?);
        Ok(())
    }

    fn read_metadata_at(&self, offset: u64, length: usize) -> Result<Vec<u8>, FormatError> {
        let bytes = self.read_exact_at(offset, length)?;
        // Messages that objects share may be of any length, and types in them nested as deeply as
        // it takes to overflow the stack. Neither Keras nor h5py writes any.
        if bytes.starts_with(b"SMTB") {
            return Err(FormatError::Source("it shares messages between objects".into()));
        }
        Ok(bytes)
    }
}

/// The length that a file was closed with, as its superblock has it
/// (<https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html>, "Disk Format: Level 0A"); 0
/// where the superblock is one that the reader refuses.
fn claimed_length(bytes: &[u8]) -> u64 {
    let (at, size) = match bytes.get(8) {
        Some(0) => (24 + 2 * 8, 13),
        Some(1) => (28 + 2 * 8, 13),
        Some(2 | 3) => (12 + 2 * 8, 9),
        _ => return 0,
    };
    // Addresses of 8 bytes are all that the reader takes in files of this size.
    let end = bytes.get(at..).and_then(|rest| rest.first_chunk()).filter(|_| bytes[size] == 8);
    end.map_or(0, |end| u64::from_le_bytes(*end))
}

/// Why what is in a group cannot be listed. Of an address that is none, as a link that leads
/// nowhere has, the number says nothing.
fn unlisted(error: hdf5_pure::Error) -> Error {
    match error.to_string().contains("unexpected EOF") {
        true => anyhow!("one of its links leads nowhere, or {DAMAGED}"),
        false => Error::from(error).context(DAMAGED),
    }
}

/// An HDF5 file.
pub struct Reader {
    file: File,
    length: u64,
    left: Arc<AtomicU64>,
}

impl Reader {
    /// Opens what a file holds.
    pub fn open(bytes: Vec<u8>) -> Result<Reader> {
        let length = bytes.len() as u64;
        let claimed = claimed_length(&bytes);
        ensure!(
            length >= claimed,
            "it has {length} of its {claimed} bytes; download or copy it again"
        );
        let left = Arc::new(AtomicU64::new(MAX_STRUCTURE));
        let source = Bounded { bytes, left: left.clone() };
        Ok(Reader { file: File::from_source(source).context(DAMAGED)?, length, left })
    }

    /// The text of the attribute `name` of the file itself, if it has one.
    pub fn attribute(&self, name: &str) -> Result<Option<String>> {
        let root = self.file.root();
        if !root.attr_datatypes()?.contains_key(name) {
            return Ok(None);
        }
        let attributes = root.attrs()?;
        // What cannot be read is left out there.
        ensure!(self.left.load(Ordering::Relaxed) > 0, TOO_MUCH);
        let text = attributes.get(name).and_then(|value| value.as_str());
        Ok(Some(text.with_context(|| format!("its {name} is not text"))?.into()))
    }

    /// The arrays of floating-point numbers, each with the path of its group, that ends with `/`,
    /// and its name; without those in the groups at the paths `skipped`.
    pub fn arrays(&self, skipped: &[&str]) -> Result<Vec<(String, String, Dataset)>> {
        let mut arrays = Vec::new();
        let mut groups = vec![(String::new(), self.file.root())];
        let mut objects = 0;
        while let Some((path, group)) = groups.pop() {
            if skipped.contains(&&path[..]) {
                continue;
            }
            for (name, dataset) in group.iter_datasets().map_err(unlisted)? {
                // Integers are a dropout's seeds, not weights.
                if matches!(dataset.datatype()?, Datatype::FloatingPoint { .. }) {
                    arrays.push((path.clone(), name, dataset));
                }
                objects += 1;
            }
            for (name, child) in group.iter_groups().map_err(unlisted)? {
                groups.push((format!("{path}{name}/"), child));
                objects += 1;
            }
            // Groups may be in a circle.
            ensure!(objects <= MAX_OBJECTS && path.len() <= MAX_PATH, TOO_MUCH);
        }
        Ok(arrays)
    }

    /// The values of an array, row by row.
    pub fn values(&self, dataset: &Dataset) -> Result<Vec<f32>> {
        self.left.store(MAX_STRUCTURE, Ordering::Relaxed);
        let most = self.check_size(dataset)?;
        // Chunks that do not compress may be a little longer than what is in them.
        self.left.fetch_add(2 * most, Ordering::Relaxed);
        match dataset.datatype()? {
            Datatype::FloatingPoint { size: 2, byte_order, layout } if layout == FLOAT16 => {
                let mut bytes = dataset.read_raw()?;
                if byte_order == DatatypeByteOrder::BigEndian {
                    bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
                }
                Ok(Number::F16.decode(&bytes))
            }
            Datatype::FloatingPoint { size: 4 | 8, .. } => Ok(dataset.read_f32()?),
            _ => bail!("its floating-point type is not supported: {NO_FLOAT}"),
        }
    }

    /// Makes sure that an array takes memory in proportion to the file, and its chunks are few;
    /// returns the bytes that they decompress to.
    fn check_size(&self, dataset: &Dataset) -> Result<u64> {
        let product =
            |sides: &[u64]| sides.iter().try_fold(1, |all: u64, side| all.checked_mul(*side));
        let shape = dataset.shape()?;
        let mut count = product(&shape);
        if let Layout::Chunked { chunk_shape, .. } = dataset.layout().context(RARE)? {
            ensure!(
                chunk_shape.len() == shape.len() && !chunk_shape.contains(&0),
                "its chunks do not have as many dimensions as the array"
            );
            let grid: Vec<_> =
                shape.iter().zip(&chunk_shape).map(|(side, chunk)| side.div_ceil(*chunk)).collect();
            let chunks = product(&grid).filter(|chunks| *chunks <= MAX_CHUNKS).context(TOO_MUCH)?;
            ensure!(dataset.filters().iter().all(|f| FILTERS.contains(f)), "its filter is unknown");
            count = product(&chunk_shape).and_then(|size| size.checked_mul(chunks));
            let listed = dataset.chunks();
            ensure!(self.left.load(Ordering::Relaxed) > 0, TOO_MUCH);
            ensure!(listed.context(RARE)?.len() as u64 <= chunks, TOO_MUCH);
        }
        let bytes = count.and_then(|count| count.checked_mul(dataset.element_size().ok()?));
        let most = MAX_COMPRESSION * self.length;
        let bytes = bytes.filter(|bytes| *bytes <= most);
        bytes.with_context(|| {
            format!("it decompresses to more than {MAX_COMPRESSION} times the file's size")
        })
    }
}

#[cfg(test)]
mod tests {
    use hdf5_pure::{AttrValue, DatasetBuilder, FileBuilder};

    use super::*;
    use crate::weights::STACK;

    fn reader(build: impl FnOnce(&mut FileBuilder)) -> Reader {
        let mut file = FileBuilder::new();
        build(&mut file);
        Reader::open(file.finish().unwrap()).unwrap()
    }

    /// The values of the only array of a file.
    fn values(build: impl FnOnce(&mut DatasetBuilder)) -> Result<Vec<f32>> {
        let file = reader(|file| build(file.create_dataset("a")));
        let arrays = file.arrays(&[])?;
        file.values(&arrays[0].2)
    }

    fn float16(byte_order: DatatypeByteOrder) -> Datatype {
        Datatype::FloatingPoint { size: 2, byte_order, layout: FLOAT16 }
    }

    #[test]
    fn numbers_of_every_precision_and_layout_are_read() {
        let expected: Vec<f32> = (0..12).map(|value| value as f32 / 2.).collect();
        let doubles: Vec<f64> = expected.iter().copied().map(f64::from).collect();
        let halves = |bytes: fn(half::f16) -> [u8; 2]| -> Vec<u8> {
            expected.iter().flat_map(|value| bytes(half::f16::from_f32(*value))).collect()
        };
        type Build<'a> = Box<dyn FnOnce(&mut DatasetBuilder) + 'a>;
        let all: Vec<Build<'_>> = vec![
            Box::new(|a| _ = a.with_f32_data(&expected).with_shape(&[3, 4])),
            Box::new(|a| _ = a.with_f64_data(&doubles).with_shape(&[3, 4])),
            Box::new(|a| {
                a.with_f32_data(&expected).with_shape(&[3, 4]).with_chunks(&[2, 3]);
                a.with_shuffle().with_deflate(6).with_fletcher32();
            }),
            Box::new(|a| {
                let order = DatatypeByteOrder::LittleEndian;
                a.with_raw_data(float16(order), halves(half::f16::to_le_bytes), 12);
            }),
            Box::new(|a| {
                let order = DatatypeByteOrder::BigEndian;
                a.with_raw_data(float16(order), halves(half::f16::to_be_bytes), 12);
            }),
        ];
        for (at, build) in all.into_iter().enumerate() {
            assert_eq!(values(build).unwrap(), expected, "{at}");
        }
    }

    #[test]
    fn too_many_chunks_and_chunks_that_decompress_to_far_more_are_refused() {
        // Of a single number each.
        let error = values(|a| {
            a.with_f32_data(&[0.5; 300 * 300]).with_shape(&[300, 300]).with_chunks(&[1, 1]);
        });
        assert!(error.unwrap_err().to_string().contains("more groups, arrays or chunks"));
        // Each far larger than the array, and of zeros.
        let error = values(|a| {
            a.with_f32_data(&[0.; 1000])
                .with_shape(&[1000])
                .with_chunks(&[1 << 20])
                .with_deflate(9);
        });
        assert!(error.unwrap_err().to_string().contains("16 times the file's size"));
    }

    #[test]
    fn chunks_that_are_shared_in_a_circle_or_only_claimed_are_bounded() {
        const TREE: &[u8] = b"TREE\x01"; // the B-tree of chunks: a header of 24 bytes, then pairs
        const PAIR: usize = 40; // of a key and the 8 bytes of an address
        let whole = include_bytes!("../../tests/fixtures/chunked.h5");
        let at = whole.windows(TREE.len()).position(|window| window == TREE).unwrap();
        let address = |bytes: &mut [u8], chunk: usize, address: u64| {
            let end = at + 24 + PAIR * (chunk + 1);
            bytes[end - 8..end].copy_from_slice(&address.to_le_bytes());
        };
        let values = |bytes: &[u8]| {
            let reader = Reader::open(bytes.to_vec())?;
            let (_, _, dataset) = reader.arrays(&[])?.remove(0);
            reader.values(&dataset)
        };
        let expected: Vec<_> = (0..24).map(|value| value as f32).collect();
        assert_eq!(values(whole).unwrap(), expected);

        let mut shared = *whole;
        let end = at + 24 + PAIR;
        let first = u64::from_le_bytes(shared[end - 8..end].try_into().unwrap());
        (1..6).for_each(|chunk| address(&mut shared, chunk, first));
        let pair = |row: f32| [row, row + 1.].repeat(3);
        let twice = [pair(0.), pair(6.)].concat().repeat(2);
        assert_eq!(values(&shared).unwrap(), twice);

        let mut circle = *whole;
        circle[at + 5] = 1; // a node of nodes, each of which is itself
        (0..6).for_each(|chunk| address(&mut circle, chunk, at as u64));
        assert!(values(&circle).is_err());

        // Ten million chunks of a number each.
        let mut claimed = *whole;
        let sides = |sides: [u64; 2]| sides.map(u64::to_le_bytes).concat();
        for at in 0..claimed.len() - 16 {
            if claimed[at..at + 16] == sides([4, 6]) {
                claimed[at..at + 16].copy_from_slice(&sides([3200, 3200]));
            }
            if claimed[at..at + 8] == [2, 0, 0, 0, 2, 0, 0, 0] {
                claimed[at..at + 8].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
            }
        }
        let error = values(&claimed).unwrap_err().to_string();
        assert!(error.contains("more groups, arrays or chunks"), "{error}");
    }

    #[test]
    fn one_that_is_shorter_than_it_says_is_refused() {
        let mut file = FileBuilder::new();
        file.create_dataset("a").with_f32_data(&[1.; 100]);
        let ours = file.finish().unwrap();
        let fixtures =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop");
        let keras =
            ["keras2.h5", "keras3.h5"].map(|name| std::fs::read(fixtures.join(name)).unwrap());
        for whole in [vec![ours], keras.to_vec()].concat() {
            assert_eq!(claimed_length(&whole), whole.len() as u64);
            for missing in [1, 100, whole.len() / 2] {
                let error = Reader::open(whole[..whole.len() - missing].to_vec()).err().unwrap();
                assert!(error.to_string().ends_with("bytes; download or copy it again"), "{error}");
            }
            // What other programs have put after it is not its own.
            assert!(Reader::open([&whole[..], b"more"].concat()).is_ok());
        }
    }

    #[test]
    fn what_is_read_is_counted_however_often() {
        let bytes = vec![7; 1000];
        let left = Arc::new(AtomicU64::new(2500));
        let file = Bounded { bytes, left: left.clone() };
        assert!(file.read_exact_at(500, 501).is_err()); // beyond its end, for which nothing is paid
        for _ in 0..2 {
            assert_eq!(file.read_exact_at(0, 1000).unwrap(), [7; 1000]);
        }
        assert_eq!(file.read_exact_at(0, 1).unwrap(), [7]); // counts as 64
        assert_eq!(left.load(Ordering::Relaxed), 436);
        assert!(file.read_exact_at(0, 500).is_err());
        assert!(file.read_exact_at(0, 1).is_err());
    }

    #[test]
    fn attributes_are_text_within_the_bounds_or_are_refused() {
        let text = |value: AttrValue| {
            let file = reader(|file| {
                file.set_attr("model_config", value);
            });
            file.attribute("model_config").map_err(|error| error.to_string())
        };
        assert_eq!(text(AttrValue::VarLenString("{}".into())), Ok(Some("{}".into())));
        assert_eq!(text(AttrValue::I64(5)), Err("its model_config is not text".into()));
        let long = AttrValue::VarLenString("a".repeat(MAX_STRUCTURE as usize));
        assert_eq!(text(long), Err(TOO_MUCH.into()));
        assert_eq!(reader(|_| {}).attribute("model_config").unwrap(), None);
    }

    #[test]
    fn types_may_be_nested_as_deeply_as_a_message_allows() {
        let test = || {
            let mut deep = float16(DatatypeByteOrder::LittleEndian);
            for _ in 0..4900 {
                deep = Datatype::Array { base_type: Box::new(deep), dimensions: vec![1] };
            }
            let file =
                reader(|file| _ = file.create_dataset("a").with_raw_data(deep, vec![0; 2], 1));
            assert!(file.arrays(&[]).unwrap().is_empty());
        };
        std::thread::Builder::new().stack_size(STACK).spawn(test).unwrap().join().unwrap();
    }
}
