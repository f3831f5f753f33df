//! Builds what the tests need: a folder of its own for each, small data sets, images.
#![allow(dead_code)] // each test file uses a part

use std::fs;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::{GrayImage, Luma};
use mnist_image::Digit;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tch_mnist::network::arrays::Arrays;
use tch_mnist::network::plain::Plain;
use tch_mnist::weights;
use tempfile::TempDir;

/// Weights of a network, drawn from `seed`.
pub fn arrays(hidden: usize, seed: u64) -> Arrays {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut values = |count| (0..count).map(|_| rng.random_range(-0.05..0.05)).collect();
    Arrays { hidden, values: [hidden * 784, hidden, 10 * hidden, 10].map(&mut values) }
}

/// The network in a weight file, on libtorch.
#[cfg(feature = "torch")]
pub fn load(path: &Path) -> tch_mnist::network::model::Model {
    let arrays = weights::load(path).unwrap();
    tch_mnist::network::model::Model::from_arrays(&arrays, tch::Device::Cpu).unwrap()
}

/// The released network, in plain Rust.
pub fn released() -> Plain {
    Plain::new(weights::released().unwrap(), NonZero::<usize>::MIN)
}

/// A folder for one test, which is the current and the home folder of the programs it runs.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `mnist`, ready to be run here with `arguments`. All tests share one cache folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mnist"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Like [`Place::command`], for Ctrl-C, which a shell has what it runs in the background ignore,
    /// and SIGHUP, which `nohup` does.
    #[cfg(all(unix, feature = "torch"))]
    pub fn interruptible(&self, arguments: &[&str]) -> Command {
        let inner = self.command(arguments);
        let mut command = Command::new("env");
        command.arg("--default-signal=INT,HUP").arg(inner.get_program()).args(arguments);
        command.current_dir(self.0.path()).stdin(Stdio::null());
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap());
        }
        command
    }

    /// Runs `mnist` and returns its exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        finish(self.command(arguments).output().unwrap())
    }

    /// Writes a small data set in MNIST's layout into the folder `name`: each digit is a bar at a
    /// place of its own, with noise, so that it can be learned.
    pub fn data_set(&self, name: &str, train: usize, test: usize) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        for (part, count, seed) in [("train", train, 1), ("t10k", test, 2)] {
            let (images, labels) = idx(count, seed);
            fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
            fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
        }
        folder
    }
}

pub fn finish(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// IDX files of `count` images and labels.
pub fn idx(count: usize, mut seed: u32) -> (Vec<u8>, Vec<u8>) {
    let header = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    let mut images = header(&[2051, count as u32, 28, 28]);
    let mut labels = header(&[2049, count as u32]);
    for index in 0..count {
        let label = index % 10;
        labels.push(label as u8);
        for row in 0..28 {
            for column in 0..28 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (seed >> 24) as u8 / 4;
                let inside = row / 3 == label && (4..24).contains(&column);
                images.push(if inside { 190 + noise } else { noise });
            }
        }
    }
    (images, labels)
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The first `count` images of MNIST's test set, 28×28, white on black.
pub fn mnist_images(count: usize) -> Vec<GrayImage> {
    let file = fs::File::open(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("data/t10k-images-idx3-ubyte.gz"),
    );
    let mut bytes = vec![0; 16 + count * 784];
    std::io::Read::read_exact(&mut flate2::read::GzDecoder::new(file.unwrap()), &mut bytes)
        .unwrap();
    bytes[16..]
        .chunks(784)
        .map(|digit| GrayImage::from_raw(28, 28, digit.to_vec()).unwrap())
        .collect()
}

/// The same as bytes.
pub fn mnist_digits(count: usize) -> Vec<Digit> {
    mnist_images(count).iter().map(|image| image.as_raw()[..].try_into().unwrap()).collect()
}

/// Their labels.
pub fn mnist_labels(count: usize) -> Vec<usize> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/t10k-labels-idx1-ubyte.gz");
    let mut bytes = vec![0; 8 + count];
    let mut file = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
    std::io::Read::read_exact(&mut file, &mut bytes).unwrap();
    bytes[8..].iter().map(|label| usize::from(*label)).collect()
}

/// An upright stroke, dark on light, that everyone would call a 1.
pub fn one(width: u32, height: u32) -> GrayImage {
    let (middle, half) = (width / 2, (height / 20).max(1));
    GrayImage::from_fn(width, height, |x, y| {
        let inside = x.abs_diff(middle) <= half && y > height / 8 && y < height * 7 / 8;
        Luma([if inside { 30 } else { 225 }])
    })
}
