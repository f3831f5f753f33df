//! `make bench`: how fast pictures are read, and changed to train on.
//!
//! 10,000 PNG files of 64×64 by `mnist predict -`, less the time that one file takes; a sheet of 12
//! megapixels by `mnist read`, start-up included; augmentation on its own.

mod common;

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use image::GrayImage;
use image::imageops::{self, FilterType};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tch::{Device, Tensor};
use tch_mnist::augment::{Augment, Augmenter};
use tch_mnist::data;

use common::median;

const ROUNDS: usize = 5;

fn main() -> Result<()> {
    let data = data::load(None)?;
    let folder = tempfile::tempdir()?;
    let mut paths = String::new();
    for (index, digit) in data.test.digits()?.iter().enumerate() {
        let ink =
            GrayImage::from_fn(28, 28, |x, y| image::Luma([255 - digit[(y * 28 + x) as usize]]));
        let path = folder.path().join(format!("{index:05}.png"));
        imageops::resize(&ink, 64, 64, FilterType::CatmullRom).save(&path)?;
        paths += &format!("{}\n", path.display());
    }
    let (one, all) = (folder.path().join("one.txt"), folder.path().join("all.txt"));
    fs::write(&all, &paths)?;
    fs::write(&one, paths.lines().next().unwrap_or_default())?;
    let sheet = folder.path().join("sheet.jpg");
    let photograph = image::open("tests/sheets/light_0.jpg")?;
    photograph.resize_exact(4000, 3000, FilterType::CatmullRom).save(&sheet)?;

    let predict = |list| -> Result<f64> {
        seconds(Command::new(mnist()).args(["predict", "-"]).stdin(File::open(list)?))
    };
    let (mut start, mut predicted, mut read) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        start.push(predict(&one)?);
        predicted.push(predict(&all)?);
        read.push(seconds(Command::new(mnist()).arg("read").arg(&sheet))?);
    }
    let (start, predicted) = (median(start), median(predicted));
    println!(
        "predict: 10000 files in {predicted:.2} s, one in {start:.2} s: {:.0} images/s after start-up",
        9999. / (predicted - start)
    );
    println!("read: a sheet of 4000×3000 in {:.2} s in all", median(read));

    let ways = [Augment::Affine, Augment::Elastic, Augment::Stroke];
    let augmenter = Augmenter::new(&ways, Device::Cpu);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut augmented = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let changed: Vec<Tensor> = data
            .train
            .images
            .split(2048, 0)
            .iter()
            .map(|images| augmenter.apply(images, &mut rng))
            .collect();
        augmented.push(begin.elapsed().as_secs_f64());
        drop(changed);
    }
    println!("--augment: {:.0} images/s", data.train.count() as f64 / median(augmented));
    Ok(())
}

fn mnist() -> &'static str {
    env!("CARGO_BIN_EXE_mnist")
}

fn seconds(command: &mut Command) -> Result<f64> {
    let begin = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} failed");
    Ok(begin.elapsed().as_secs_f64())
}
