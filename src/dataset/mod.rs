//! Data sets in MNIST's layout, from a folder or from the program itself, as tensors.

pub mod augment;
pub mod idx;
pub mod non_digits;

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, vision};
use tempfile::TempDir;

use crate::dataset::idx::{Content, Idx};
use crate::files::atomic;
use crate::files::input;
use mnist_image::image::Digit;

/// The four files of the layout: name, content, and for the MNIST that is built in, the gzipped
/// bytes and the SHA-256 of the unpacked ones.
const FILES: [(&str, Content, &[u8], &str); 4] = [
    (
        "train-images-idx3-ubyte",
        Content::Images,
        include_bytes!("../../data/train-images-idx3-ubyte.gz"),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    (
        "train-labels-idx1-ubyte",
        Content::Labels,
        include_bytes!("../../data/train-labels-idx1-ubyte.gz"),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    (
        "t10k-images-idx3-ubyte",
        Content::Images,
        include_bytes!("../../data/t10k-images-idx3-ubyte.gz"),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    (
        "t10k-labels-idx1-ubyte",
        Content::Labels,
        include_bytes!("../../data/t10k-labels-idx1-ubyte.gz"),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
];

/// Pictures and what they show.
#[derive(Debug)]
pub struct Samples {
    /// `[count, 784]`, float32, ink from 0 (none) to 1.
    pub images: Tensor,
    /// `[count]`, int64, 0 to 9.
    pub labels: Tensor,
}

/// A data set: what is trained on and what is tested on.
#[derive(Debug)]
pub struct Data {
    /// The training set.
    pub train: Samples,
    /// The test set.
    pub test: Samples,
    /// What the files are, unless they are the MNIST that is built in: SHA-256 over the unpacked
    /// four.
    pub sha256: Option<String>,
}

impl Samples {
    /// Number of samples.
    pub fn count(&self) -> i64 {
        self.labels.size()[0]
    }

    /// The same samples on another device.
    pub fn to_device(&self, device: Device) -> Samples {
        Samples { images: self.images.to_device(device), labels: self.labels.to_device(device) }
    }

    /// The samples from `start` on, `count` of them, without a copy.
    pub fn narrow(&self, start: i64, count: i64) -> Samples {
        Samples {
            images: self.images.narrow(0, start, count),
            labels: self.labels.narrow(0, start, count),
        }
    }

    /// What is left to train on, and the last `share`, kept for validation; rounded as Keras does.
    pub fn split(&self, share: f64) -> (Samples, Samples) {
        let count = (self.count() as f64 * (1. - share)) as i64; // int(count * (1 - split))
        (self.narrow(0, count), self.narrow(count, self.count() - count))
    }

    /// The pictures as bytes.
    pub fn digits(&self) -> Result<Vec<Digit>> {
        let bytes = (&self.images * 255.).round().to_kind(Kind::Uint8).view([-1]);
        Ok(Vec::<u8>::try_from(bytes)?.as_chunks().0.to_vec())
    }
}

impl Data {
    /// The same data on another device; on the same one, it shares the tensors.
    pub fn to_device(&self, device: Device) -> Data {
        Data {
            train: self.train.to_device(device),
            test: self.test.to_device(device),
            sha256: self.sha256.clone(),
        }
    }
}

/// Loads the data set in the folder `dir`, or the MNIST that is built into the program.
///
/// Each file in the folder may be raw or gzipped (`.gz`), and its name may have a dot in place of
/// the second hyphen, as some mirrors have it. Everything is checked before `tch` sees it.
pub fn load(dir: Option<&Path>) -> Result<Data> {
    let Some(dir) = dir else {
        return match cache().map(|dir| unpack(&dir).map(|()| dir)) {
            Some(Ok(dir)) => read(&dir),
            // No cache folder, or none that can be written: unpack anew, for this time only.
            Some(Err(_)) | None => {
                let (dir, _lock) = temporary_folder()?;
                unpack(dir.path())?;
                read(dir.path())
            }
        };
    };

    let mut checked = Vec::new();
    for [images, labels] in FILES.as_chunks().0 {
        // Labels first: of pictures without, none are unpacked.
        let labels = check(dir, labels, None)?;
        checked.push(check(dir, images, Some(labels.1.count))?);
        checked.push(labels);
    }
    let mut sha256 = Sha256::new();
    checked.iter().for_each(|(_, idx, _)| sha256.update(&idx.bytes));
    let sha256 = Some(hex(&sha256.finalize()));
    if checked.iter().all(|(.., ready)| *ready) {
        return Ok(Data { sha256, ..read(dir)? });
    }
    // tch reads raw files of fixed names only.
    let (unpacked, _lock) = temporary_folder()?;
    for (name, idx, _) in checked {
        let path = unpacked.path().join(name);
        fs::write(&path, idx.bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Data { sha256, ..read(unpacked.path())? })
}

/// One of the [`FILES`] in the folder `dir`: its name, what it holds, and whether `tch` can read it there.
fn check(
    dir: &Path,
    &(name, content, ..): &(&'static str, Content, &[u8], &str),
    expected: Option<usize>,
) -> Result<(&'static str, Idx, bool)> {
    let path = find(dir, name)?;
    let idx = idx::read(&path, content, expected)?;
    let ready = !idx.gzipped && path == dir.join(name) && path.is_file(); // and no pipe
    Ok((name, idx, ready))
}

/// The folder that the built-in MNIST is unpacked into, if the system has one for such things.
pub fn cache() -> Option<PathBuf> {
    dirs::cache_dir().map(|dir| dir.join("tch-mnist"))
}

/// The file `name` in `dir`, under one of the names in use for it.
fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    if !dir.is_dir() {
        let what =
            if dir.exists() { "it is a file, not a folder" } else { "there is no such folder" };
        bail!("cannot read data from {}: {what}", dir.display());
    }
    let dotted = name.replacen("-idx", ".idx", 1);
    for name in [name, &dotted] {
        for path in [dir.join(name), dir.join(format!("{name}.gz"))] {
            if path.try_exists().with_context(|| format!("cannot find {}", path.display()))? {
                return Ok(path);
            }
        }
    }
    let dir = dir.display();
    bail!(
        "the data folder {dir} has no file {name} or {name}.gz; it needs all four files of MNIST's layout"
    )
}

/// A folder to unpack into, and a lock that says that this process is alive.
fn temporary_folder() -> Result<(TempDir, Option<File>)> {
    const PREFIX: &str = ".tch-mnist-data-";
    atomic::remove_abandoned(&env::temp_dir(), PREFIX);
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().context(
        "cannot create a temporary folder to unpack data into; set TMPDIR to a folder with 60 MB of space",
    )?;
    let lock = File::open(folder.path()).ok().filter(|file| file.try_lock().is_ok());
    Ok((folder, lock))
}

/// Makes sure that `dir` holds the built-in MNIST, unpacked and unharmed.
///
/// Several processes may do this at once, and any may be killed: a file is replaced as a whole.
fn unpack(dir: &Path) -> Result<()> {
    for (name, _, gzipped, sha256) in FILES {
        let path = dir.join(name);
        if input::read_regular(&path, 100_000_000).is_ok_and(|bytes| sha256_hex(&bytes) == sha256) {
            continue;
        }
        let mut bytes = Vec::new();
        GzDecoder::new(gzipped)
            .read_to_end(&mut bytes)
            .context("cannot unpack the built-in MNIST")?;
        if sha256_hex(&bytes) != sha256 {
            bail!("the built-in {name} is damaged; build the program again from a clean clone");
        }
        atomic::write_bytes(&path, &bytes)?;
    }
    Ok(())
}

/// Reads a folder whose files have been checked.
fn read(dir: &Path) -> Result<Data> {
    let set = vision::mnist::load_dir(dir)
        .with_context(|| format!("cannot load the data in {}", dir.display()))?;
    Ok(Data {
        train: Samples { images: set.train_images, labels: set.train_labels },
        test: Samples { images: set.test_images, labels: set.test_labels },
        sha256: None,
    })
}

/// The SHA-256 of `bytes` in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
