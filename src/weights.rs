//! Weight files: the only code that reads or writes them.
//!
//! Formats, by extension: `.safetensors` (<https://huggingface.co/docs/safetensors>) and `.ot`, the
//! archive of libtorch's C++ API. Both hold `dense_1.weight [hidden, 784]`, `dense_1.bias [hidden]`,
//! `dense_2.weight [10, hidden]` and `dense_2.bias [10]` in float32; nothing else is needed to
//! predict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use crate::data::sha256_hex;
use crate::model::Model;
use crate::{CLASSES, PIXELS, atomic};

/// The released weights.
const RELEASED: &[u8] = include_bytes!("../models/released.safetensors");
/// Weights trained with outliers.
const CUTTER: &[u8] = include_bytes!("../models/cutter.safetensors");

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Safetensors,
    Ot,
}

/// Makes sure that weights and their record can be saved at `path`: the extension is known, the
/// folder can be written to (it is made if missing).
pub fn check_output(path: &Path) -> Result<()> {
    format(path)?;
    atomic::prepare(path)?;
    atomic::prepare(&record_of(path))
}

/// Saves the weights of `model`, atomically, and returns the SHA-256 of the file in hexadecimal.
pub fn save(model: &Model, path: &Path) -> Result<String> {
    format(path)?;
    let mut sha256 = String::new();
    atomic::write(path, |temporary| {
        check(model.variables())?;
        model.vs.save(temporary)?;
        sha256 = sha256_hex(&fs::read(temporary)?);
        Ok(())
    })?;
    Ok(sha256)
}

/// Saves what is to be known of the weights at `path` in a JSON file of the same stem beside it.
pub fn save_record(record: &serde_json::Value, path: &Path) -> Result<()> {
    atomic::write(&record_of(path), |temporary| Ok(fs::write(temporary, format!("{record:#}\n"))?))
}

fn record_of(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// Loads a weight file, whose shapes tell the number of hidden units, onto `device`.
pub fn load(path: &Path, device: Device) -> Result<Model> {
    let load = || {
        // Names, shapes and types first: VarStore::load would broadcast a small tensor over a
        // large one, take over another type, pass over unknown names, and stop half-way.
        fs::File::open(path)?; // for an error in plain words: the others' are not
        let tensors = match format(path)? {
            Format::Safetensors => Tensor::read_safetensors(path),
            Format::Ot => Tensor::load_multi(path),
        };
        let hidden = check(tensors?.into_iter().collect())?;
        let mut model = Model::zeros(hidden, device)?;
        model.vs.load(path)?;
        Ok(model)
    };
    load().map_err(plain).with_context(|| {
        format!(
            "cannot load the weights {}; give a file that `mnist train` has saved",
            path.display()
        )
    })
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
    let load = || {
        let mut file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
        std::io::Write::write_all(&mut file, bytes)?;
        load(file.path(), device)
    };
    load().context("cannot unpack the built-in weights into the temporary folder (TMPDIR)")
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
fn check(tensors: BTreeMap<String, Tensor>) -> Result<i64> {
    let hidden = match tensors.get("dense_1.weight").map(Tensor::size).as_deref() {
        Some(&[hidden, inputs]) if inputs == PIXELS as i64 && hidden > 0 => hidden,
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
    for (name, tensor) in &tensors {
        let Some(shape) = expected.remove(name.as_str()) else {
            bail!("it holds {name:?}, which is no part of this network");
        };
        ensure!(
            tensor.size() == shape,
            "{name} has the shape {:?}, expected {shape:?}",
            tensor.size()
        );
        let kind = tensor.f_kind()?;
        ensure!(kind == Kind::Float, "{name} is of type {kind:?}, expected Float (float32)");
        let finite = tensor.f_isfinite()?.f_all()?.int64_value(&[]) == 1;
        ensure!(finite, "{name} has values that are infinite or not a number");
    }
    if let Some(missing) = expected.keys().next() {
        bail!("there is no {missing} in it");
    }
    Ok(hidden)
}

/// libtorch's errors go on with a C++ stack trace; the first line is what a user can use.
fn plain(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<tch::TchError>() {
        Some(tch::TchError::Torch(message)) => {
            anyhow::anyhow!("libtorch: {}", message.lines().next().unwrap_or_default())
        }
        _ => error,
    }
}
