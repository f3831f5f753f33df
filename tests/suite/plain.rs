//! The network in plain Rust against the one on libtorch.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use crate::common::mnist_digits;
use mnist_image::decode::{self, Budget};
use tch::Device;
use tch_mnist::network::arrays::Arrays;
use tch_mnist::network::classifier::Classifier;
use tch_mnist::network::model::Model;
use tch_mnist::network::plain::Plain;
use tch_mnist::reading;
use tch_mnist::reading::stream::classify;
use tch_mnist::weights;

/// The largest difference of logits, each as a share of the largest logit of its image or of 1,
/// whichever is more: float32 adds 784 products in another order.
const TOLERANCE: f32 = 1e-5;

fn both(arrays: &Arrays) -> (Plain, Model) {
    let plain = Plain::new(arrays.clone(), NonZero::new(2).unwrap());
    (plain, Model::from_arrays(arrays, Device::Cpu).unwrap())
}

/// Weight files of every program, format and precision that is read, and our own in every format
/// that is written.
fn files(written: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files =
        vec![root.join("models/released.safetensors"), root.join("models/verifier.safetensors")];
    for entry in fs::read_dir(root.join("tests/fixtures/interop")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".json") && !name.ends_with(".py") && weights::load(&path).is_ok() {
            files.push(path);
        }
    }
    let released = weights::released().unwrap();
    for extension in ["ot", "h5", "keras", "safetensors"] {
        let path = written.join(format!("a.{extension}"));
        weights::save(&released, &path).unwrap();
        files.push(path);
    }
    files
}

#[test]
fn logits_are_those_of_libtorch_for_every_weight_file() {
    let folder = tempfile::tempdir().unwrap();
    let digits = mnist_digits(10_000);
    let files = files(folder.path());
    assert!(files.len() >= 15, "{files:?}");
    let mut largest = 0f32;
    for path in files {
        let (plain, model) = both(&weights::load(&path).unwrap());
        let ours = plain.logits(&digits).unwrap();
        let theirs = digits.chunks(1000).flat_map(|part| model.logits(part).unwrap());
        for (ours, theirs) in ours.iter().zip(theirs) {
            let scale = theirs.iter().fold(1f32, |most, logit| most.max(logit.abs()));
            for (a, b) in ours.iter().zip(theirs) {
                largest = largest.max((a - b).abs() / scale);
            }
        }
        assert!(largest <= TOLERANCE, "{}: {largest}", path.display());
    }
    println!("largest difference of a logit: {largest}");
}

#[test]
fn every_sheet_is_read_as_by_libtorch() {
    let sheets = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sheets");
    let (plain, model) = both(&weights::released().unwrap());
    let (plain_verifier, verifier) = both(&weights::verifier().unwrap());
    let mut count = 0;
    for entry in fs::read_dir(sheets).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        let image = tch_mnist::files::image::open(&path, &Budget::default()).unwrap().image;
        let grey = decode::grey(&image);
        let seen = |lines: Vec<Vec<reading::ReadDigit>>| {
            let digit = |digit: &reading::ReadDigit| (digit.bounds, digit.answer.prediction.label);
            lines.iter().map(|line| line.iter().map(digit).collect()).collect::<Vec<Vec<_>>>()
        };
        let ours = seen(reading::read(&plain, &plain_verifier, &grey).unwrap());
        let theirs = seen(reading::read(&model, &verifier, &grey).unwrap());
        assert_eq!(ours, theirs, "{}", path.display());
        count += 1;
    }
    assert!(count >= 30, "{count}");
}

/// The archive that libtorch's own code loads, and the `.safetensors` that it writes.
#[test]
fn libtorch_reads_what_is_written_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let arrays = weights::released().unwrap();
    let expected = Model::from_arrays(&arrays, Device::Cpu).unwrap().variables();
    for name in ["a.ot", "a.safetensors"] {
        let path = folder.path().join(name);
        weights::save(&arrays, &path).unwrap();
        let mut vs = tch::nn::VarStore::new(Device::Cpu);
        for (layer, inputs, outputs) in [("dense_1", 784, 512), ("dense_2", 512, 10)] {
            tch::nn::linear(vs.root() / layer, inputs, outputs, Default::default());
        }
        vs.load(&path).unwrap();
        assert_eq!(
            vs.variables().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            expected
        );
    }
}

/// libtorch adds in another order in another place of a batch.
#[test]
fn predictions_do_not_depend_on_what_else_was_ready() {
    let model = Model::new(64, 0, Device::Cpu).unwrap();
    let digit = |at: usize| std::array::from_fn(|pixel| (pixel * (at + 3) % 251) as u8);
    let digits: Vec<_> = (300..400).map(|at| (at, digit(at))).collect();
    let together = classify(&model, &model, &digits).unwrap();
    for (digit, expected) in digits.iter().zip(&together) {
        assert_eq!(&classify(&model, &model, &[*digit]).unwrap()[0], expected);
    }
}
