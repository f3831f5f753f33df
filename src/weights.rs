//! Weight files: the only code that reads or writes them.
//!
//! Formats, by extension: `.safetensors` (<https://huggingface.co/docs/safetensors>) and `.ot`, the
//! archive of libtorch's C++ API. Both hold `dense_1.weight [hidden, 784]`, `dense_1.bias [hidden]`,
//! `dense_2.weight [10, hidden]` and `dense_2.bias [10]` in float32; nothing else is needed to
//! predict.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::Crc;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, no_grad};

use crate::data::{hex, sha256_hex};
use crate::model::{MAX_HIDDEN, Model};
use crate::{CLASSES, PIXELS, archive, atomic, input};

/// The released weights.
const RELEASED: &[u8] = include_bytes!("../models/released.safetensors");
/// Weights trained with outliers.
const CUTTER: &[u8] = include_bytes!("../models/cutter.safetensors");

/// The largest file of weights, and a little more.
const MAX_BYTES: u64 = (MAX_HIDDEN as u64 + 1) * (PIXELS + CLASSES + 1) as u64 * 4;
/// Headers of safetensors are far smaller.
const MAX_HEADER: u64 = 1 << 20;
/// Records of a hundred thousand epochs are smaller.
const MAX_RECORD: u64 = 1 << 26;

/// A format of weight files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    /// `.safetensors`
    Safetensors,
    /// `.ot`, the archive of libtorch's C++ API.
    Ot,
}

/// A tensor in a file.
#[derive(Debug)]
pub(crate) struct Stored {
    pub shape: Vec<i64>,
    pub kind: Kind,
    /// Where in the file its values begin, little-endian and in order.
    pub start: u64,
    /// The CRC-32 of its values, where the format has one.
    pub crc: Option<u32>,
}

/// Makes sure that weights and their record can be saved at `path`: the extension is known, the
/// folder can be written to (it is made if missing).
pub fn check_output(path: &Path) -> Result<()> {
    format(path)?;
    atomic::prepare(path)?;
    atomic::prepare(&record_of(path))
}

/// Saves the weights of `model`, atomically, and returns the SHA-256 of the file in hexadecimal. A
/// record that lies beside is not theirs then, and has to be deleted before they can be loaded.
pub fn save(model: &Model, path: &Path) -> Result<String> {
    save_with(model, path, |_| Ok(()))
}

/// Saves the weights of `model`, and beside them, in a JSON file of the same stem, what is to be known
/// of them: `record`, with the file's name and SHA-256 added.
///
/// Of several processes that save there, one does at a time. The record comes first and names as well
/// what is replaced, so that whenever the program is ended, the two belong together.
pub fn save_with_record(model: &Model, record: &mut Value, path: &Path) -> Result<()> {
    let _lock = atomic::lock(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    let old = if path.is_file() { fs::read(path).ok() } else { None };
    let replaced = old.map(|bytes| sha256_hex(&bytes));
    save_with(model, path, |sha256| {
        record["weights"] = json!({"file": name, "sha256": sha256, "replaced": replaced});
        let text = format!("{record:#}\n");
        atomic::write(&record_of(path), |temporary| Ok(fs::write(temporary, text)?))
    })?;
    Ok(())
}

/// Saves `model`; `before` gets the SHA-256 just before the file is in its place.
fn save_with(
    model: &Model,
    path: &Path,
    before: impl FnOnce(&str) -> Result<()>,
) -> Result<String> {
    let format = format(path)?;
    ensure!(model.is_finite(), "there are weights that are infinite or not a number");
    let mut sha256 = String::new();
    atomic::write(path, |temporary| {
        match format {
            Format::Safetensors => model.vs.save(temporary)?,
            // Sorted, so that the same weights give the same file, and by way of memory: where
            // libtorch cannot write, it ends the program.
            Format::Ot => {
                let tensors: Vec<_> = model.variables().into_iter().collect();
                let mut bytes = Vec::new();
                Tensor::save_multi_to_stream(&tensors, &mut bytes)?;
                fs::write(temporary, bytes)?;
            }
        }
        sha256 = sha256_hex(&fs::read(temporary)?);
        before(&sha256)
    })?;
    Ok(sha256)
}

fn record_of(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// Makes sure that a record beside the weights, if there is one, is theirs.
fn check_record(path: &Path, file: &mut impl BufRead) -> Result<()> {
    #[derive(Deserialize)]
    struct Record {
        weights: Weights,
    }
    #[derive(Deserialize)]
    struct Weights {
        file: String,
        sha256: String,
        #[serde(default)]
        replaced: Option<String>,
    }
    let record = record_of(path);
    let Ok(text) = input::open(&record, MAX_RECORD) else { return Ok(()) };
    // Any other JSON may lie there.
    let Ok(Record { weights }) = serde_json::from_reader(text) else { return Ok(()) };
    if path.file_name() != Some(weights.file.as_ref()) {
        return Ok(());
    }
    let mut sha256 = Sha256::new();
    while let bytes @ [_, ..] = file.fill_buf()? {
        sha256.update(bytes);
        let length = bytes.len();
        file.consume(length);
    }
    let sha256 = hex(&sha256.finalize());
    ensure!(
        sha256 == weights.sha256 || Some(sha256) == weights.replaced,
        "its SHA-256 is not the one in its record {}: either is damaged or of another training; \
         restore them, or delete the record to use the weights as they are",
        record.display()
    );
    Ok(())
}

/// Loads a weight file, whose shapes tell the number of hidden units, onto `device`.
pub fn load(path: &Path, device: Device) -> Result<Model> {
    let load = || {
        let mut file = input::open(path, MAX_BYTES)?;
        let format = format(path)?;
        check_record(path, &mut file)?;
        read(file, format, device)
    };
    load().with_context(|| {
        format!(
            "cannot load the weights {}; give a file that `mnist train` has saved",
            path.display()
        )
    })
}

/// Reads weights onto `device`. Names, shapes and types are checked before any value is read.
pub fn read(mut file: impl BufRead + Seek, format: Format, device: Device) -> Result<Model> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let entries = match format {
        Format::Safetensors => safetensors(&mut file, length)?,
        Format::Ot => archive::entries(&mut file)?,
    };
    let mut stored = BTreeMap::new();
    for (name, entry) in entries {
        ensure!(stored.insert(name, entry).is_none(), "it holds a tensor twice");
    }
    let hidden = check(&stored)?;
    let end = |entry: &Stored| entry.start.checked_add(entry.length());
    let inside = |entry: &Stored| end(entry).is_some_and(|end| end <= length);
    ensure!(stored.values().all(inside), "it ends before its values do");
    let model = Model::zeros(hidden, device)?;
    for (name, mut variable) in model.variables() {
        let Stored { shape, kind, start, crc } = &stored[&name];
        let mut bytes = vec![0; stored[&name].length() as usize];
        file.seek(SeekFrom::Start(*start))?;
        file.read_exact(&mut bytes)?;
        if let Some(expected) = crc {
            let mut crc = Crc::new();
            crc.update(&bytes);
            ensure!(crc.sum() == *expected, "the values of {name} are damaged: their CRC is wrong");
        }
        let values = Tensor::f_from_data_size(&bytes, shape, *kind)?;
        let finite = values.f_isfinite()?.f_all()?.int64_value(&[]) == 1;
        ensure!(finite, "{name} has values that are infinite or not a number");
        no_grad(|| variable.f_copy_(&values))?;
    }
    Ok(model)
}

impl Stored {
    /// In bytes, once its shape has been checked.
    fn length(&self) -> u64 {
        self.shape.iter().product::<i64>() as u64 * self.kind.elt_size_in_bytes() as u64
    }
}

/// The tensors in a safetensors file of that length: they must fill it, without gaps.
fn safetensors(file: &mut impl Read, length: u64) -> Result<Vec<(String, Stored)>> {
    const SHORT: &str = "it ends within its header, or is no safetensors file";
    let mut size = [0; 8];
    file.read_exact(&mut size).context(SHORT)?;
    let size = u64::from_le_bytes(size);
    ensure!(
        size <= MAX_HEADER,
        "its header is said to have {size} bytes, more than the {MAX_HEADER} supported: it is damaged, \
         or no safetensors file"
    );
    let mut header = Vec::new();
    file.take(size).read_to_end(&mut header)?;
    ensure!(header.len() as u64 == size, SHORT);
    let metadata: Metadata = serde_json::from_slice(&header).context("its header is damaged")?;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut at = 0;
    let mut entries = Vec::new();
    for (name, info) in tensors {
        let kind = Kind::try_from(info.dtype)?;
        let count = info.shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
        let bytes = count.and_then(|count| count.checked_mul(kind.elt_size_in_bytes()));
        let (start, end) = info.data_offsets;
        ensure!(
            start == at && bytes.and_then(|bytes| start.checked_add(bytes)) == Some(end),
            "{name} is said to be at the bytes {start} to {end}, which does not fit its shape or the others"
        );
        let shape = info.shape.iter().map(|side| *side as i64).collect();
        entries.push((name, Stored { shape, kind, start: 8 + size + start as u64, crc: None }));
        at = end;
    }
    let expected = 8 + size + at as u64;
    ensure!(length == expected, "it has {length} bytes, expected {expected}");
    Ok(entries)
}

/// The released weights, which are built into the program.
pub fn released(device: Device) -> Result<Model> {
    built_in(RELEASED, device)
}

/// Weights that are built in as well, and unsure of what is not one whole digit; they tell where
/// digits that touch are to be cut apart.
pub fn cutter(device: Device) -> Result<Model> {
    built_in(CUTTER, device)
}

fn built_in(bytes: &[u8], device: Device) -> Result<Model> {
    read(Cursor::new(bytes), Format::Safetensors, device)
        .context("cannot load the built-in weights")
}

/// The path that `name` stands for, if weights can be saved under such a name.
pub fn file_name(name: &str) -> Result<PathBuf> {
    format(name.as_ref())?;
    Ok(name.into())
}

fn format(path: &Path) -> Result<Format> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => Ok(Format::Safetensors),
        Some("ot") => Ok(Format::Ot),
        _ => {
            bail!("the name of the weight file {} must end in .safetensors or .ot", path.display())
        }
    }
}

/// Checks that `tensors` are the weights of a network of ours and returns its number of hidden units.
fn check(tensors: &BTreeMap<String, Stored>) -> Result<i64> {
    let hidden = match tensors.get("dense_1.weight").map(|tensor| &tensor.shape[..]) {
        Some(&[hidden, inputs])
            if inputs == PIXELS as i64 && (1..=MAX_HIDDEN).contains(&hidden) =>
        {
            hidden
        }
        Some(shape) => bail!("dense_1.weight has the shape {shape:?}, expected [hidden, {PIXELS}]"),
        None => {
            let names: Vec<_> = tensors.keys().take(8).collect();
            bail!("there is no dense_1.weight in it; the first names in it are {names:?}")
        }
    };
    let classes = CLASSES as i64;
    let mut expected = BTreeMap::from([
        ("dense_1.weight", vec![hidden, PIXELS as i64]),
        ("dense_1.bias", vec![hidden]),
        ("dense_2.weight", vec![classes, hidden]),
        ("dense_2.bias", vec![classes]),
    ]);
    for (name, Stored { shape: found, kind, .. }) in tensors {
        let Some(shape) = expected.remove(name.as_str()) else {
            bail!("it holds {name:?}, which is no part of this network");
        };
        ensure!(*found == shape, "{name} has the shape {found:?}, expected {shape:?}");
        ensure!(*kind == Kind::Float, "{name} is of type {kind:?}, expected Float (float32)");
    }
    if let Some(missing) = expected.keys().next() {
        bail!("there is no {missing} in it");
    }
    Ok(hidden)
}
