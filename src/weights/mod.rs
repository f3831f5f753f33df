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
//! What is known of weights, their record, lies within a `.safetensors`, with the SHA-256 of its
//! values, and beside any file as JSON.
//!
//! Readers and writers know plain [`Arrays`], no tensors; `varstore` alone knows libtorch.

mod archive;
mod contents;
mod format;
mod hdf5;
mod keras;
mod keras_config;
mod onnx;
mod pickle;
mod pytorch;
mod record;
mod safetensors;
#[cfg(feature = "torch")]
mod varstore;

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::files::{atomic, input, sha256_hex};
use crate::network::arrays::{Arrays, LAYERS};
use contents::MAX_WEIGHTS_BYTES;
pub(crate) use contents::bytes_of;
use format::Format;
use record::Beside;

pub use format::file_name;
pub use record::{accuracy_on_mnist, check_unrecorded};
#[cfg(feature = "torch")]
pub(crate) use safetensors::{seal_of, sealed};
#[cfg(feature = "torch")]
pub use varstore::{model, save_model};

/// The released weights.
const RELEASED: &[u8] = include_bytes!("../../models/released.safetensors");
/// Weights trained with non-digits.
const VERIFIER: &[u8] = include_bytes!("../../models/verifier.safetensors");

/// The bytes of stack that reading a file takes at most: of types in HDF5, each nests the next in
/// 8 bytes or more, up to the 64 KiB of a message, and takes some 2 KiB of stack.
const STACK: usize = 1 << 26;

/// How long a save waits for another program that holds the folder: before training, and after it,
/// when more would be lost.
const WAIT_BEFORE: Duration = Duration::from_secs(60);
const WAIT_AFTER: Duration = Duration::from_secs(600);
/// How often files are read again that are replaced while they are read.
const ATTEMPTS: usize = 100;

/// Weights that were loaded, and what is known of them.
#[derive(Debug)]
pub struct Loaded {
    /// The weights.
    pub arrays: Arrays,
    /// The record of its training, from the file itself or from beside it.
    pub record: Option<Value>,
    /// What is wrong with the record beside the file, if anything is; the weights do not need it.
    pub doubt: Option<String>,
    /// The file itself, as it was checked, if it is one that libtorch loads as it is: ours in
    /// float32.
    #[cfg_attr(not(feature = "torch"), expect(dead_code))]
    own_file: Option<Vec<u8>>,
}

impl From<Arrays> for Loaded {
    fn from(arrays: Arrays) -> Loaded {
        Loaded { arrays, record: None, doubt: None, own_file: None }
    }
}

/// Makes sure that weights and their record can be saved at `path`: the extension is known, the
/// folder can be written to (it is made if missing), no other program holds it locked, and what
/// lies in the record's place is one of such weights.
pub fn check_output(path: &Path) -> Result<()> {
    Format::of(path)?;
    let path = &record::target(path);
    atomic::prepare(path)?;
    atomic::prepare(&record::path_of(path))?;
    atomic::lock(path, WAIT_BEFORE)?;
    record::check_place(path)
}

/// Where the record of the weights at `path` lies.
pub fn record_path(path: &Path) -> PathBuf {
    record::path_of(&record::target(path))
}

/// Saves weights, atomically. The extension says the format.
///
/// # Errors
///
/// Those of [`check_output`] and of the file system, and if a record lies beside the file: it would
/// describe other weights.
pub fn save(arrays: &Arrays, path: &Path) -> Result<()> {
    save_as(arrays, path, LAYERS, None)?;
    Ok(())
}

/// Saves weights with what is to be known of them, `record`: within a
/// `.safetensors`, and for people, or for any other format, in a JSON file of the same stem beside
/// it, with the file's name and SHA-256 added.
///
/// Of several processes that save there, one does at a time.
///
/// # Errors
///
/// Those of [`check_output`] and of the file system, and if another file is in the record's place.
pub fn save_with_record(arrays: &Arrays, record: &mut Value, path: &Path) -> Result<()> {
    ensure_kept(save_as(arrays, path, LAYERS, Some(record))?, path)
}

fn ensure_kept(kept: bool, path: &Path) -> Result<()> {
    ensure!(kept, "saved {}, but not its record: another file is in its place", path.display());
    Ok(())
}

/// Makes sure that weights whose layers have these names can be saved at `path`: only a
/// `.safetensors` keeps names, and two that differ.
pub fn check_layers(path: &Path, layers: [&str; 2]) -> Result<()> {
    ensure!(
        layers == LAYERS || Format::of(path)? == Format::Safetensors,
        "only layers in a .safetensors file can be named, not those of {}",
        path.display()
    );
    ensure!(!layers.contains(&""), "a layer's name is empty");
    ensure!(layers[0] != layers[1], "both layers have the name {:?}", layers[0]);
    Ok(())
}

/// Like [`save`] or [`save_with_record`], but names the layers in a `.safetensors` file so: with
/// `["0", "2"]` it is the `state_dict` of PyTorch's
/// `nn.Sequential(nn.Linear(…), nn.ReLU(), nn.Linear(…))`.
///
/// Returns whether the record, if there is one, was saved: another file may be in its place.
///
/// # Errors
///
/// Those of [`check_layers`], [`check_output`] and the file system.
pub fn save_as(
    arrays: &Arrays,
    path: &Path,
    layers: [&str; 2],
    record: Option<&mut Value>,
) -> Result<bool> {
    save_file(arrays, &|_| safetensors::write(arrays, layers), path, layers, record)
}

/// How a `.safetensors` is made, not sealed yet; a path that can be written to is given.
type Plain<'a> = &'a dyn Fn(&Path) -> Result<Vec<u8>>;

fn save_file(
    arrays: &Arrays,
    plain: Plain,
    path: &Path,
    layers: [&str; 2],
    record: Option<&mut Value>,
) -> Result<bool> {
    check_layers(path, layers)?;
    let format = Format::of(path)?;
    let path = &*record::target(path);
    // What carries its record within is whole whoever else saves there.
    let lock = match atomic::lock(path, WAIT_AFTER) {
        Err(_) if format == Format::Safetensors => None,
        lock => Some(lock?),
    };
    let sealed = record.as_ref().map(|record| record::without_times(record));
    let write = |before: &mut dyn FnMut(&str) -> Result<()>| {
        write(arrays, plain, path, format, sealed.as_ref(), before)
    };
    match record {
        None => write(&mut |_| record::check_unrecorded(path)).map(|()| false),
        Some(record) if lock.is_some() && record::check_place(path).is_ok() => {
            write_with_copy(record, path, write).map(|()| true)
        }
        Some(_) => write(&mut |_| Ok(())).map(|()| format == Format::Safetensors),
    }
}

/// Writes weights by way of `write`, and the copy of their record beside them.
///
/// The copy comes first and, until the weights are there, names what they replace as well: whenever
/// the program is ended, the two belong together.
fn write_with_copy(
    record: &mut Value,
    path: &Path,
    write: impl FnOnce(&mut dyn FnMut(&str) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let old = if path.is_file() { input::read(path, MAX_WEIGHTS_BYTES).ok() } else { None };
    let replaced = old.map(|bytes| sha256_hex(&bytes));
    let mut save = |weights| {
        record["weights"] = weights;
        atomic::write_bytes(&record::path_of(path), format!("{record:#}\n"))
    };
    let mut saved = json!({"file": record::name_of(path)});
    write(&mut |sha256| {
        saved["sha256"] = sha256.into();
        let mut saving = saved.clone();
        saving["replaced"] = replaced.clone().into();
        save(saving)
    })?;
    save(saved)
}

/// Writes weights; `before` gets the file's SHA-256 in hexadecimal just before it is in its place.
fn write(
    arrays: &Arrays,
    plain: Plain,
    path: &Path,
    format: Format,
    record: Option<&Value>,
    before: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    atomic::write(path, |temporary| {
        arrays.check_values()?;
        let bytes = match format {
            Format::Safetensors => safetensors::sealed(&plain(temporary)?, record)?,
            Format::Ot => pytorch::write_ot(arrays)?,
            Format::H5 => keras::h5(arrays)?,
            Format::Keras => keras::keras(arrays)?,
            Format::Onnx => onnx::encode(arrays),
        };
        fs::write(temporary, &bytes)?;
        before(&sha256_hex(&bytes))
    })
}

/// Loads a weight file, whose shapes give the number of hidden units.
///
/// Any two layers that fit one after the other are taken, whatever their names.
///
/// # Errors
///
/// Those of [`open()`].
pub fn load(path: &Path) -> Result<Arrays> {
    Ok(open(path)?.arrays)
}

/// Like [`load`], but also returns what is known of the weights.
///
/// # Errors
///
/// If the file is of no format that is read, is damaged, holds other layers, or is not the one that
/// its record describes.
pub fn open(path: &Path) -> Result<Loaded> {
    let open = || {
        ensure!(path.extension().is_none_or(|e| e != "onnx"), "ONNX is written, not read");
        let (bytes, beside) = read_with_record(path)?;
        let seal = if safetensors::is(&bytes) { safetensors::seal_of(&bytes)? } else { None };
        let (record, doubt) = match (seal.map(|seal| seal.record), beside) {
            (Some(record), Beside::Record(_) | Beside::Nothing) => (record, None),
            (Some(record), Beside::Mismatch(place)) => {
                (record, Some((place, "it is the record of other weights")))
            }
            (Some(record), Beside::Doubtful(place, why)) => (record, Some((place, why))),
            (None, Beside::Nothing) => (None, None),
            (None, Beside::Record(record)) => (record, None),
            (None, Beside::Doubtful(place, why)) => (None, Some((place, why))),
            (None, Beside::Mismatch(place)) => bail!(
                "its SHA-256 is not the one in its record {}: one of them is damaged, or of \
                 another run; restore it, or delete the record to use the weights as they are",
                place.display()
            ),
        };
        let doubt = doubt.map(|(place, why)| format!("{} is not used: {why}", place.display()));
        let own_file = safetensors::is_own(&bytes).then(|| bytes.clone());
        Ok(Loaded { arrays: read(bytes)?, record, doubt, own_file })
    };
    open().with_context(|| format!("cannot load the weights {}", path.display()))
}

/// What the file `path` holds, and what lies beside it. Where the two do not fit, they may have
/// been replaced between one reading and the next.
fn read_with_record(path: &Path) -> Result<(Vec<u8>, Beside)> {
    let mut bytes = input::read(path, MAX_WEIGHTS_BYTES)?;
    for _ in 0..ATTEMPTS {
        let beside = record::beside(path, &sha256_hex(&bytes));
        if !matches!(beside, Beside::Mismatch(_)) {
            return Ok((bytes, beside));
        }
        let again = input::read(path, MAX_WEIGHTS_BYTES)?;
        if again == bytes {
            return Ok((bytes, beside));
        }
        bytes = again;
    }
    bail!("it keeps being replaced; wait until no other program is saving to it")
}

/// Like [`load`], from the bytes of a file.
pub fn read(bytes: Vec<u8>) -> Result<Arrays> {
    if safetensors::is(&bytes) {
        return parse(bytes);
    }
    // The types of HDF5 may be nested, and are followed to their end.
    let reader = thread::Builder::new().stack_size(STACK).spawn(|| parse(bytes));
    let arrays = reader.context("cannot start a thread to read them")?.join();
    arrays.unwrap_or_else(|panic| resume_unwind(panic))
}

fn parse(bytes: Vec<u8>) -> Result<Arrays> {
    let length = bytes.len() as u64;
    input::contained(|| format::open(bytes)?.take(length))
}

/// The released weights, which are built into the program.
pub fn released() -> Result<Arrays> {
    built_in(RELEASED)
}

/// Like [`released`], with their record.
///
/// # Errors
///
/// Those of [`released`].
pub fn open_released() -> Result<Loaded> {
    let record = safetensors::unchecked_seal_of(RELEASED)?.and_then(|seal| seal.record);
    Ok(Loaded { record, ..released()?.into() })
}

/// The SHA-256 of the file that the released weights are.
pub fn released_sha256() -> String {
    sha256_hex(RELEASED)
}

/// Weights that are built in as well, of a network that was trained with non-digits, for
/// [`verify`](crate::network::verifier::verify).
pub fn verifier() -> Result<Arrays> {
    built_in(VERIFIER)
}

fn built_in(bytes: &'static [u8]) -> Result<Arrays> {
    let arrays = safetensors::read_unchecked(bytes)?.take(bytes.len() as u64);
    arrays.context("cannot load the built-in weights")
}
