//! Weight files: the only code that reads or writes them.
//!
//! Ours hold `dense_1.weight [hidden, 784]`, `dense_1.bias [hidden]`, `dense_2.weight [10, hidden]`
//! and `dense_2.bias [10]` in float32, as `.safetensors`
//! (<https://huggingface.co/docs/safetensors>) or `.ot`, the archive of libtorch's C++ API; nothing
//! else is needed to predict. Keras's `.h5` and `.keras` are read and written, PyTorch's `.pt` is
//! read, ONNX is written.
//!
//! A file is read as what its content says that it is, since people rename such files (`.pth`,
//! `.bin`, `.hdf5`) and their first bytes tell them apart without doubt; it is written as its
//! extension says. What is read is not trusted: names and shapes are checked before values are
//! taken into memory, and a pickle is read, not executed.

mod keras;
mod onnx;
mod torch;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, no_grad};
use zip::ZipArchive;

use crate::CLASSES;
use crate::PIXELS;
use crate::dataset::sha256_hex;
use crate::files::atomic;
use crate::files::input;
use crate::network::model::{MAX_HIDDEN, Model};

/// The released weights.
const RELEASED: &[u8] = include_bytes!("../../models/released.safetensors");
/// Weights trained with outliers.
const CUTTER: &[u8] = include_bytes!("../../models/cutter.safetensors");

/// The names of the two layers in our files.
pub const LAYERS: [&str; 2] = ["dense_1", "dense_2"];
/// The names of their arrays: each layer's kernel, then its bias.
const ARRAYS: [&str; 4] = ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"];

/// The most bytes that are taken into memory at once: the largest network's weights in float64.
const MAX_BYTES: u64 = 8 * (PIXELS + CLASSES + 2) as u64 * MAX_HIDDEN as u64;
/// The most bytes of a header of safetensors, and of an archive's small files.
const MAX_HEADER: u64 = 1 << 20;
/// The most bytes of a record; those of a hundred thousand epochs are smaller.
const MAX_RECORD: u64 = 1 << 26;

/// How many times smaller a file may be than what is in it. Weights hardly shrink when they are
/// packed: what unpacks to far more is made to fill memory.
const MAX_PACKING: u64 = 16;

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Safetensors,
    Ot,
    H5,
    Keras,
    Onnx,
}

/// What a file holds, as `LAYER.weight [outputs, inputs]` and `LAYER.bias [outputs]`.
struct Contents {
    shapes: BTreeMap<String, Vec<i64>>,
    read: Read,
}

/// Takes the values of an array into memory.
type Read = Box<dyn FnMut(&str) -> Result<Tensor>>;

/// A zip archive of `length` bytes.
struct Archive {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    length: u64,
}

/// What a record says of the weights beside it.
#[derive(Deserialize)]
struct Record {
    weights: Weights,
}

#[derive(Deserialize)]
struct Weights {
    file: String,
    sha256: String,
    /// The SHA-256 of the weights that were there before.
    #[serde(default)]
    replaced: Option<String>,
}

/// Makes sure that weights and their record can be saved at `path`: the extension is known, the
/// folder can be written to (it is made if missing), and what lies in the record's place is one of
/// such weights.
pub fn check_output(path: &Path) -> Result<()> {
    format(path)?;
    atomic::prepare(path)?;
    let record = record_of(path);
    atomic::prepare(&record)?;
    ensure!(
        !record.exists() || recorded(path).is_some(),
        "cannot save {}: its record would replace {}, which is something else; name another file",
        path.display(),
        record.display()
    );
    Ok(())
}

/// Saves the weights of `model`, atomically. The extension says the format.
///
/// No record of a training must lie beside it: these weights would not be its.
pub fn save(model: &Model, path: &Path) -> Result<()> {
    save_as(model, path, LAYERS)
}

/// Does as [`save`], but names the layers in a `.safetensors` file so: with `["0", "2"]` it is the
/// `state_dict` of PyTorch's `nn.Sequential(nn.Linear(…), nn.ReLU(), nn.Linear(…))`.
pub fn save_as(model: &Model, path: &Path, layers: [&str; 2]) -> Result<()> {
    let _lock = atomic::lock(path)?;
    write(model, path, layers, |_| check_unrecorded(path))
}

/// Saves the weights of `model`, and beside them, in a JSON file of the same stem, what is to be known
/// of them: `record`, with the file's name and SHA-256 added.
///
/// Of several processes that save there, one does at a time. The record comes first and, until the
/// weights are there, names what they replace as well: whenever the program is ended, the two belong
/// together.
pub fn save_with_record(model: &Model, record: &mut Value, path: &Path) -> Result<()> {
    let _lock = atomic::lock(path)?;
    let old = if path.is_file() { input::read(path, MAX_BYTES).ok() } else { None };
    let replaced = old.map(|bytes| sha256_hex(&bytes));
    let mut save = |weights| {
        record["weights"] = weights;
        atomic::write_bytes(&record_of(path), format!("{record:#}\n"))
    };
    let mut saved = json!({"file": name_of(path)});
    write(model, path, LAYERS, |sha256| {
        saved["sha256"] = sha256.into();
        let mut saving = saved.clone();
        saving["replaced"] = replaced.into();
        save(saving)
    })?;
    save(saved)
}

/// Writes weights; `before` gets the file's SHA-256 in hexadecimal just before it is in its place.
fn write(
    model: &Model,
    path: &Path,
    layers: [&str; 2],
    before: impl FnOnce(&str) -> Result<()>,
) -> Result<()> {
    let format = format(path)?;
    ensure!(
        layers == LAYERS || format == Format::Safetensors,
        "only layers in a .safetensors file can be named, not those of {}",
        path.display()
    );
    ensure!(layers[0] != layers[1], "both layers have the name {:?}", layers[0]);
    atomic::write(path, |temporary| {
        ensure!(model.is_finite(), "the weights have values that are infinite or not a number");
        let arrays = variables(model).map(|array| array.detach().to_device(Device::Cpu));
        let named = || {
            let names = layers.iter().flat_map(|l| [format!("{l}.weight"), format!("{l}.bias")]);
            names.zip(&arrays).collect::<Vec<_>>()
        };
        match format {
            Format::Safetensors => Tensor::write_safetensors(&named(), temporary)?,
            Format::Ot => {
                // By way of memory: where libtorch cannot write, it ends the program.
                let mut bytes = Vec::new();
                Tensor::save_multi_to_stream(&named(), &mut bytes)?;
                fs::write(temporary, bytes)?;
            }
            Format::H5 => keras::write_h5(&arrays, temporary)?,
            Format::Keras => keras::write_keras(&arrays, temporary)?,
            Format::Onnx => onnx::write(&arrays, temporary)?,
        }
        before(&sha256_hex(&fs::read(temporary)?))
    })
}

/// The weights, shared with the network, in the order of [`ARRAYS`].
fn variables(model: &Model) -> [Tensor; 4] {
    let variables = model.variables();
    ARRAYS.map(|name| variables[name].shallow_clone())
}

fn record_of(path: &Path) -> PathBuf {
    path.with_extension("json")
}

fn name_of(path: &Path) -> Option<Cow<'_, str>> {
    path.file_name().map(OsStr::to_string_lossy)
}

/// What the record beside the weights at `path` says of them. Any other file may lie there.
fn recorded(path: &Path) -> Option<Weights> {
    let text = input::read(&record_of(path), MAX_RECORD).ok()?;
    let Record { weights } = serde_json::from_slice(&text).ok()?;
    (name_of(path)? == weights.file).then_some(weights)
}

/// Makes sure that no record lies beside the weights to be written at `path`.
pub fn check_unrecorded(path: &Path) -> Result<()> {
    ensure!(
        recorded(path).is_none(),
        "{} is the record of other weights named {}; name another file, or delete the record",
        record_of(path).display(),
        path.display()
    );
    Ok(())
}

/// Loads a weight file, whose shapes tell the number of hidden units, onto `device`.
///
/// Any two layers that fit one after the other are taken, whatever their names.
pub fn load(path: &Path, device: Device) -> Result<Model> {
    let load = || {
        ensure!(path.extension().is_none_or(|e| e != "onnx"), "ONNX is written, not read");
        let bytes = input::read(path, MAX_BYTES)?;
        if let Some(Weights { sha256, replaced, .. }) = recorded(path) {
            let own = sha256_hex(&bytes);
            ensure!(
                own == sha256 || Some(own) == replaced,
                "its SHA-256 is not the one in its record {}: one of them is damaged, or of another \
                 training; restore it, or delete the record to use the weights as they are",
                record_of(path).display()
            );
        }
        read(bytes, device)
    };
    load().with_context(|| format!("cannot load the weights {}", path.display()))
}

/// Does as [`load`] with what a file holds.
pub fn read(bytes: Vec<u8>, device: Device) -> Result<Model> {
    let length = bytes.len() as u64;
    let read = || {
        let Contents { shapes, mut read } = open(bytes)?;
        let names = check(&shapes)?;
        let hidden = shapes[names[0]][0];
        ensure!(
            hidden as u64 <= MAX_PACKING * length / PIXELS as u64,
            "it claims {hidden} hidden units in {length} bytes"
        );
        let model = Model::zeros(hidden, device)?;
        for (mut variable, name) in variables(&model).into_iter().zip(names) {
            let tensor = read(name).with_context(|| format!("cannot read {name:?}"))?;
            let tensor = tensor.f_to_kind(Kind::Float)?;
            let finite = tensor.f_isfinite()?.f_all()?.int64_value(&[]) == 1;
            ensure!(finite, "{name:?} has values that are infinite or not a number");
            no_grad(|| variable.f_copy_(&tensor))?;
        }
        Ok(model)
    };
    input::contained(read)
}

/// What a file holds.
fn open(bytes: Vec<u8>) -> Result<Contents> {
    if bytes.starts_with(b"\x89HDF\r\n\x1a\n") {
        return keras::read_h5(hdf5_pure::File::from_bytes(bytes).context(DAMAGED)?);
    }
    if bytes.starts_with(b"PK") {
        let length = bytes.len() as u64;
        let archive =
            Archive { zip: ZipArchive::new(Cursor::new(bytes)).context(DAMAGED)?, length };
        return match archive.zip.index_for_name("config.json") {
            Some(_) => keras::read_keras(archive),
            None => torch::read(archive),
        };
    }
    // The length of a header in JSON goes before it.
    let Some((length, [b'{', ..])) = bytes.split_first_chunk() else {
        bail!(
            "it is none of .safetensors, .ot, Keras's .h5 and .keras, and PyTorch's .pt as written by \
             torch.save(model.state_dict(), …) of PyTorch 1.6 or later"
        )
    };
    let length = u64::from_le_bytes(*length);
    ensure!(length <= MAX_HEADER, "its header claims {length} bytes, more than there can be");
    let shape = |shape: &[usize]| shape.iter().map(|side| *side as i64).collect::<Vec<_>>();
    let (_, header) = SafeTensors::read_metadata(&bytes).context(DAMAGED)?;
    Ok(Contents {
        shapes: header.tensors().into_iter().map(|(name, t)| (name, shape(&t.shape))).collect(),
        read: Box::new(move |name| {
            let tensors = SafeTensors::deserialize(&bytes)?;
            let tensor = tensors.tensor(name)?;
            let kind = match tensor.dtype() {
                Dtype::F32 => Kind::Float,
                Dtype::F64 => Kind::Double,
                Dtype::F16 => Kind::Half,
                Dtype::BF16 => Kind::BFloat16,
                other => bail!("it is of type {other:?}, {NO_FLOAT}"),
            };
            Ok(Tensor::f_from_data_size(tensor.data(), &shape(tensor.shape()), kind)?)
        }),
    })
}

const DAMAGED: &str = "it is damaged; get the whole of it again";
const NO_FLOAT: &str = "expected float32, or float64, float16 or bfloat16";

/// The bytes of an entry of an archive, `limit` of them at most.
fn entry(archive: &mut Archive, name: &str, limit: u64) -> Result<Vec<u8>> {
    let limit = limit.min(MAX_PACKING * archive.length + MAX_HEADER);
    let entry = archive.zip.by_name(name).with_context(|| format!("in its {name:?}"))?;
    let size = entry.size();
    ensure!(size <= limit, "its {name:?} claims {size} bytes, more than the {limit} supported");
    let mut bytes = Vec::new();
    // Only where it ends, its checksum is looked at.
    entry.take(size + 1).read_to_end(&mut bytes).with_context(|| format!("in its {name:?}"))?;
    ensure!(bytes.len() as u64 == size, "its {name:?} ends early");
    Ok(bytes)
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
    read(bytes.to_vec(), device).context("cannot load the built-in weights")
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
        Some("h5") => Ok(Format::H5),
        Some("keras") => Ok(Format::Keras),
        Some("onnx") => Ok(Format::Onnx),
        _ => bail!(
            "the name of the weight file {} must end in .safetensors, .ot, .h5, .keras or .onnx; \
             for PyTorch, .safetensors",
            path.display()
        ),
    }
}

/// Checks that arrays of these shapes are the weights of a network of ours, and returns the names
/// of the first layer's kernel and bias, then the second's.
fn check(shapes: &BTreeMap<String, Vec<i64>>) -> Result<[&str; 4]> {
    let found = || {
        let list: Vec<_> =
            shapes.iter().take(8).map(|(name, shape)| format!("{name:?} {shape:?}")).collect();
        let more = if shapes.len() > 8 { ", …" } else { "" };
        format!(
            "two dense layers are needed, {PIXELS} → hidden → {CLASSES}, each with a weight [outputs, inputs] and a bias [outputs]; found are: {}{more}",
            list.join(", ")
        )
    };
    let kernels: Vec<_> = shapes.iter().filter(|(name, _)| name.ends_with(".weight")).collect();
    let &[a, b] = &kernels[..] else { bail!(found()) };
    // The shapes leave no choice of which layer is the first.
    let fits = |first: &[i64], second: &[i64]| match (first, second) {
        (&[hidden, inputs], &[outputs, also]) => {
            inputs == PIXELS as i64 && outputs == CLASSES as i64 && hidden == also
        }
        _ => false,
    };
    let layers = match (fits(a.1, b.1), fits(b.1, a.1)) {
        (true, _) => [a, b],
        (_, true) => [b, a],
        _ => bail!(found()),
    };
    let mut names = Vec::new();
    for (name, shape) in layers {
        let bias = format!("{}bias", name.strip_suffix("weight").unwrap_or_default());
        match shapes.get_key_value(&bias) {
            Some((bias, found)) if found[..] == shape[..1] => names.extend([&name[..], bias]),
            _ => bail!(found()),
        }
    }
    ensure!(shapes.len() == names.len(), found());
    Ok([names[0], names[1], names[2], names[3]])
}
