//! Training and classifying in candle, with the options of `mnist train`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{
    AdamW, Init, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss, ops,
};
use clap::Parser;
use image::imageops::{self, FilterType};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;

#[derive(Parser)]
enum Args {
    Train {
        #[arg(long, default_value = "data")]
        data: PathBuf,
        #[arg(long, value_parser = ["cpu"])]
        device: String,
        #[arg(long, value_parser = ["rmsprop", "adam"])]
        optimizer: String,
        #[arg(long)]
        hidden: usize,
        #[arg(long)]
        batch_size: usize,
        #[arg(long)]
        epochs: usize,
        #[arg(long)]
        seed: u64,
    },
    Classify {
        weights: PathBuf,
        path: PathBuf,
    },
}

struct Network {
    dense_1: Linear,
    dense_2: Linear,
}

impl Network {
    fn new(hidden: usize, vs: VarBuilder) -> candle_core::Result<Network> {
        Ok(Network {
            dense_1: linear(784, hidden, vs.pp("dense_1"))?,
            dense_2: linear(hidden, 10, vs.pp("dense_2"))?,
        })
    }

    fn logits(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.dense_2.forward(&self.dense_1.forward(images)?.relu()?)
    }
}

/// RMSprop, which candle-nn does not have.
struct RmsProp {
    vars: Vec<(Var, Var)>, // each with the running mean of its gradient's squares
    learning_rate: f64,
}

impl Optimizer for RmsProp {
    type Config = f64;

    fn new(vars: Vec<Var>, learning_rate: f64) -> candle_core::Result<RmsProp> {
        let squares = |var: Var| Ok((var.clone(), Var::from_tensor(&var.zeros_like()?)?));
        let vars = vars.into_iter().map(squares).collect::<candle_core::Result<_>>()?;
        Ok(RmsProp { vars, learning_rate })
    }

    fn step(&mut self, gradients: &GradStore) -> candle_core::Result<()> {
        for (var, squares) in &self.vars {
            if let Some(gradient) = gradients.get(var) {
                squares.set(&((squares.as_tensor() * 0.9)? + (gradient.sqr()? * 0.1)?)?)?;
                let step = (gradient / (squares.sqrt()? + 1e-7)?)?;
                var.set(&(var.as_tensor() - (step * self.learning_rate)?)?)?;
            }
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }
}

fn main() -> Result<()> {
    match Args::parse() {
        Args::Train { data, optimizer, hidden, batch_size, epochs, seed, .. } => {
            let vars = VarMap::new();
            let net =
                Network::new(hidden, VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
            for (name, var) in vars.data().lock().expect("no other thread").iter() {
                let limit = (6. / var.dims().iter().sum::<usize>() as f64).sqrt(); // Glorot
                let init = match name.ends_with("weight") {
                    true => Init::Uniform { lo: -limit, up: limit },
                    false => Init::Const(0.),
                };
                var.set(init.var(var.shape(), DType::F32, &Device::Cpu)?.as_tensor())?;
            }
            let run = Run { net, data, batch_size, epochs, seed };
            match optimizer.as_str() {
                "rmsprop" => run.train(RmsProp::new(vars.all_vars(), 1e-3)?),
                _ => {
                    let adam =
                        ParamsAdamW { lr: 1e-3, eps: 1e-7, weight_decay: 0., ..Default::default() };
                    run.train(AdamW::new(vars.all_vars(), adam)?)
                }
            }
        }
        Args::Classify { weights, path } => classify(&weights, &path),
    }
}

struct Run {
    net: Network,
    data: PathBuf,
    batch_size: usize,
    epochs: usize,
    seed: u64,
}

impl Run {
    fn train(&self, mut optimizer: impl Optimizer) -> Result<()> {
        let (images, labels) = load(&self.data, "train")?;
        let (test_images, test_labels) = load(&self.data, "t10k")?;
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut order: Vec<u32> = (0..labels.dim(0)? as u32).collect();
        for _ in 0..self.epochs {
            let start = Instant::now();
            order.shuffle(&mut rng);
            for batch in order.chunks(self.batch_size) {
                let batch = Tensor::new(batch, &Device::Cpu)?;
                let logits = self.net.logits(&images.index_select(&batch, 0)?)?;
                let loss = loss::cross_entropy(&logits, &labels.index_select(&batch, 0)?)?;
                optimizer.backward_step(&loss)?;
            }
            println!("{}", json!({"seconds": start.elapsed().as_secs_f64()}));
        }
        let right = self.net.logits(&test_images)?.argmax(D::Minus1)?.eq(&test_labels)?;
        let accuracy = right.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()?;
        println!("{}", json!({"accuracy": accuracy}));
        Ok(())
    }
}

fn load(folder: &Path, part: &str) -> Result<(Tensor, Tensor)> {
    let read = |kind: &str, header: usize| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(folder.join(format!("{part}-{kind}-ubyte.gz")))?;
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes)?;
        Ok(bytes.split_off(header))
    };
    let (images, labels) = (read("images-idx3", 16)?, read("labels-idx1", 8)?);
    let count = labels.len();
    let images = Tensor::from_vec(images, (count, 784), &Device::Cpu)?.to_dtype(DType::F32)?;
    let labels = Tensor::from_vec(labels, count, &Device::Cpu)?.to_dtype(DType::U32)?;
    Ok(((images / 255.)?, labels))
}

fn classify(weights: &Path, path: &Path) -> Result<()> {
    let weights = candle_core::safetensors::load(weights, &Device::Cpu)?;
    let hidden = weights["dense_1.bias"].dim(0)?;
    let net = Network::new(hidden, VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))?;
    let mut image = image::open(path)?.to_luma8();
    imageops::invert(&mut image);
    let image = imageops::resize(&image, 28, 28, FilterType::Triangle);
    let image = Tensor::from_vec(image.into_raw(), (1, 784), &Device::Cpu)?.to_dtype(DType::F32)?;
    let probabilities = ops::softmax(&net.logits(&(image / 255.)?)?, D::Minus1)?;
    let label = probabilities.argmax(D::Minus1)?.to_vec1::<u32>()?[0];
    println!("{}", json!({"path": path, "label": label}));
    Ok(())
}
