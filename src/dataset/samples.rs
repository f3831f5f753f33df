//! Data sets in MNIST's layout, from a folder or from the program itself, as tensors.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor, vision};

use super::builtin;
use super::idx::IdxParts;
use super::layout::{self, FILES, check};
use super::{Labelled, Part, Split};
use crate::PIXELS;
use crate::files::cache::Cache;
use crate::files::hex;
use crate::files::private::PrivateFolder;
use mnist_image::Digit;

/// Samples that `tch` loads at a time, at most: 3 MB of float32. Of larger parts, the C library
/// keeps the memory.
const PART: usize = 1000;

/// Images and the digits that they show.
#[derive(Debug)]
pub struct Samples {
    /// `[count, 784]`: uint8, ink from 0 (none) to 255, or float32, from 0 to 1.
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
    /// What the files are, unless they are the MNIST that is built in, or several sets: SHA-256
    /// over the unpacked four.
    pub sha256: Option<String>,
    /// The sets that it is mixed of, in their order; empty where it is one.
    pub parts: Vec<Part>,
}

impl Samples {
    /// Number of samples.
    pub fn count(&self) -> i64 {
        self.labels.size()[0]
    }

    /// Room for `count` samples, to be written to.
    fn unfilled(count: i64) -> Samples {
        let tensor = |size: &[i64], kind| Tensor::empty(size, (kind, Device::Cpu));
        Samples {
            images: tensor(&[count, PIXELS as i64], Kind::Uint8),
            labels: tensor(&[count], Kind::Int64),
        }
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

    /// What is left to train on, and the last `share`, kept for validation.
    pub fn split(&self, share: f64) -> (Samples, Samples) {
        let count = left_by_split(self.count(), share);
        (self.narrow(0, count), self.narrow(count, self.count() - count))
    }

    /// These samples, one after the other; at least one of the parts has to be there.
    pub fn cat(parts: &[&Samples]) -> Samples {
        let column = |column: fn(&Samples) -> &Tensor| {
            Tensor::cat(&parts.iter().map(|part| column(part)).collect::<Vec<_>>(), 0)
        };
        Samples { images: column(|of| &of.images), labels: column(|of| &of.labels) }
    }

    /// The images in float32, ink from 0 to 1: four times the size of bytes.
    pub fn ink(&self) -> Tensor {
        ink(&self.images)
    }

    /// The images as bytes.
    pub fn digits(&self) -> Result<Vec<Digit>> {
        let bytes = bytes(&self.images).view([-1]);
        Ok(Vec::<u8>::try_from(bytes)?.as_chunks().0.to_vec())
    }
}

impl From<&[Labelled]> for Samples {
    fn from(samples: &[Labelled]) -> Samples {
        let images: Vec<u8> = samples.iter().flat_map(|sample| sample.digit).collect();
        let labels: Vec<i64> = samples.iter().map(|sample| sample.label.into()).collect();
        Samples {
            images: Tensor::from_slice(&images).view([-1, PIXELS as i64]),
            labels: Tensor::from_slice(&labels),
        }
    }
}

impl From<&Split> for Data {
    fn from(split: &Split) -> Data {
        let mut sha256 = Sha256::new();
        for part in [&split.train, &split.test] {
            sha256.update(part.len().to_be_bytes());
            for Labelled { digit, label } in part {
                sha256.update(digit);
                sha256.update([*label]);
            }
        }
        Data {
            train: split.train[..].into(),
            test: split.test[..].into(),
            sha256: Some(hex(&sha256.finalize())),
            parts: Vec::new(),
        }
    }
}

impl Data {
    /// The same data on another device; on the same one, it shares the tensors.
    pub fn to_device(&self, device: Device) -> Data {
        Data {
            train: self.train.to_device(device),
            test: self.test.to_device(device),
            sha256: self.sha256.clone(),
            parts: self.parts.clone(),
        }
    }
}

/// How many of `count` samples are left when the last `share` is taken; rounded as Keras does.
pub(crate) fn left_by_split(count: i64, share: f64) -> i64 {
    (count as f64 * (1. - share)) as i64 // int(count * (1 - split))
}

/// Images of any kind that [`Samples`] have, in float32, ink from 0 to 1.
pub(crate) fn ink(images: &Tensor) -> Tensor {
    match images.kind() {
        Kind::Uint8 => images.to_kind(Kind::Float) / 255.,
        _ => images.shallow_clone(),
    }
}

/// The same in bytes.
fn bytes(images: &Tensor) -> Tensor {
    match images.kind() {
        Kind::Uint8 => images.shallow_clone(),
        _ => (images * 255.).round().to_kind(Kind::Uint8),
    }
}

/// Loads the data set in the folder `dir`, or the MNIST that is built into the program.
///
/// Each file in the folder may be raw or gzipped (`.gz`), and may have a name that mirrors or
/// EMNIST give it. Everything is checked before `tch` sees it, and what
/// `tch` sees is a private copy of what was checked.
///
/// # Errors
///
/// If a file is missing, damaged, too large, or of another layout, or the temporary folder cannot
/// be written to.
pub fn load(dir: Option<&Path>) -> Result<Data> {
    let Some(dir) = dir else {
        return match builtin::kept() {
            Ok(dir) => read(&dir),
            // No cache folder, or none to be trusted or written to: unpack anew, this time only.
            Err(_) => {
                let private = PrivateFolder::new()?;
                builtin::unpack(&Cache::open(private.path())?)?;
                read(private.path())
            }
        };
    };
    ensure!(
        !dir.exists() || dir.is_dir(),
        "cannot read data from {}: it is a file, not a folder; name the folder with the four files of MNIST's layout",
        dir.display()
    );
    ensure!(dir.is_dir(), "cannot read data from {}: there is no such folder", dir.display());
    fs::read_dir(dir).with_context(|| format!("cannot read data from {}", dir.display()))?;
    ensure!(
        layout::is_layout(dir),
        "cannot read data from {}: it has neither the four files of MNIST's layout nor folders of \
         images named 0 to 9",
        dir.display()
    );
    let private = PrivateFolder::new()?;
    let mut sha256 = Sha256::new();
    for [images, labels] in FILES.as_chunks().0 {
        // Labels first: images without a label each are not even unpacked.
        let checked = check(dir, labels, None)?;
        for (file, idx) in [(images, check(dir, images, Some(checked.count))?), (labels, checked)] {
            sha256.update(&idx.bytes);
            private.write(file.0, &idx.bytes)?;
        }
    }
    let sha256 = Some(hex(&sha256.finalize()));
    Ok(Data { sha256, ..read(private.path())? })
}

/// Reads a folder whose files have been checked: into bytes, part by part, since `tch` makes
/// float32 of all that it is given.
fn read(dir: &Path) -> Result<Data> {
    match PrivateFolder::new() {
        Ok(folder) => in_parts(dir, &folder),
        Err(_) => load_part(dir), // takes more memory
    }
    .with_context(|| format!("cannot load the data in {}", dir.display()))
}

/// Copies the files in `dir` to `folder`, part by part, and reads each.
fn in_parts(dir: &Path, folder: &PrivateFolder) -> Result<Data> {
    let files = FILES.map(|(name, content)| Ok((name, IdxParts::open(&dir.join(name), content)?)));
    let mut files = files.into_iter().collect::<Result<Vec<_>>>()?;
    let [train, test] = [0, 2].map(|at| Samples::unfilled(files[at].1.count as i64));
    let all = Data { train, test, sha256: None, parts: Vec::new() };
    let parts = all.train.count().max(all.test.count()) as usize / PART + 1;
    let mut done = [0, 0];
    for part in 0..parts {
        for (name, file) in &mut files {
            folder.write(name, &file.part(part, parts)?)?;
        }
        let loaded = load_part(folder.path())?;
        let pairs = [(&all.train, loaded.train), (&all.test, loaded.test)];
        for ((all, part), done) in pairs.into_iter().zip(&mut done) {
            let mut place = all.narrow(*done, part.count());
            place.images.copy_(&part.images);
            place.labels.copy_(&part.labels);
            *done += part.count();
        }
    }
    Ok(all)
}

/// Loads the files in `dir` with `tch`.
fn load_part(dir: &Path) -> Result<Data> {
    let set = vision::mnist::load_dir(dir)?;
    Ok(Data {
        train: Samples { images: bytes(&set.train_images), labels: set.train_labels },
        test: Samples { images: bytes(&set.test_images), labels: set.test_labels },
        sha256: None,
        parts: Vec::new(),
    })
}
