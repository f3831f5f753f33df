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
//!
//! Readers and writers know plain [`Arrays`], no tensors; `varstore` alone knows libtorch.

mod archive;
mod arrays;
mod format;
mod hdf5;
mod keras;
mod keras_config;
mod onnx;
mod pickle;
mod record;
mod safetensors;
mod torch;
mod varstore;

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tch::Device;

use crate::dataset::sha256_hex;
use crate::files::{atomic, input};
use crate::network::model::Model;
use arrays::MAX_BYTES;
use format::Format;

pub use arrays::{Arrays, LAYERS};
pub use format::file_name;
pub use record::check_unrecorded;

/// The released weights.
const RELEASED: &[u8] = include_bytes!("../../models/released.safetensors");
/// Weights trained with non-digits.
const CUTTER: &[u8] = include_bytes!("../../models/cutter.safetensors");

/// The bytes of stack that reading a file takes at most: of types in HDF5, each nests the next in
/// 8 bytes or more, up to the 64 KiB of a message, and takes some 2 KiB of stack.
const STACK: usize = 1 << 26;

/// Makes sure that weights and their record can be saved at `path`: the extension is known, the
/// folder can be written to (it is made if missing), and what lies in the record's place is one of
/// such weights.
pub fn check_output(path: &Path) -> Result<()> {
    Format::of(path)?;
    atomic::prepare(path)?;
    atomic::prepare(&record::path_of(path))?;
    record::check_place(path)
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
    write(model, path, layers, |_| record::check_unrecorded(path))
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
        atomic::write_bytes(&record::path_of(path), format!("{record:#}\n"))
    };
    let mut saved = json!({"file": record::name_of(path)});
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
    let format = Format::of(path)?;
    ensure!(
        layers == LAYERS || format == Format::Safetensors,
        "only layers in a .safetensors file can be named, not those of {}",
        path.display()
    );
    ensure!(layers[0] != layers[1], "both layers have the name {:?}", layers[0]);
    atomic::write(path, |temporary| {
        let arrays = varstore::to_arrays(model)?;
        arrays.check_finite()?;
        match format {
            Format::Safetensors if layers == LAYERS => varstore::write_own_file(model, temporary)?,
            Format::Safetensors => fs::write(temporary, safetensors::write(&arrays, layers)?)?,
            Format::Ot => varstore::write_ot(model, temporary)?,
            Format::H5 => fs::write(temporary, keras::h5(&arrays)?)?,
            Format::Keras => fs::write(temporary, keras::keras(&arrays)?)?,
            Format::Onnx => fs::write(temporary, onnx::encode(&arrays))?,
        }
        before(&sha256_hex(&fs::read(temporary)?))
    })
}

/// Loads a weight file, whose shapes tell the number of hidden units, onto `device`.
///
/// Any two layers that fit one after the other are taken, whatever their names.
pub fn load(path: &Path, device: Device) -> Result<Model> {
    let load = || {
        ensure!(path.extension().is_none_or(|e| e != "onnx"), "ONNX is written, not read");
        let bytes = input::read(path, MAX_BYTES)?;
        record::check(path, &bytes)?;
        read(bytes, device)
    };
    load().with_context(|| format!("cannot load the weights {}", path.display()))
}

/// Does as [`load`] with what a file holds.
pub fn read(bytes: Vec<u8>, device: Device) -> Result<Model> {
    if safetensors::is_own(&bytes) {
        let arrays = parse(bytes.clone())?;
        return varstore::from_own_file(&bytes, &arrays, device);
    }
    // The types of HDF5 may be nested, and are followed to their end.
    let reader = thread::Builder::new().stack_size(STACK).spawn(|| parse(bytes));
    let arrays = reader.context("cannot start a thread to read them")?.join();
    varstore::from_arrays(&arrays.unwrap_or_else(|panic| resume_unwind(panic))?, device)
}

fn parse(bytes: Vec<u8>) -> Result<Arrays> {
    let length = bytes.len() as u64;
    input::contained(|| format::open(bytes)?.take(length))
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
    let arrays = safetensors::read(bytes.to_vec())?.take(bytes.len() as u64);
    arrays
        .and_then(|arrays| varstore::from_arrays(&arrays, device))
        .context("cannot load the built-in weights")
}
