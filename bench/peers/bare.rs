//! What `mnist` is measured against on its own libtorch: a bare tch loop, the matrix products of an
//! epoch and nothing else, and a program that makes one tensor. Takes the options of `mnist train`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tch::nn::{self, Init, LinearConfig, Module, OptimizerConfig};
use tch::{Cuda, Device, Kind, Tensor, no_grad};
use tch_mnist::dataset::{self, Data};
use tch_mnist::network::device::{self, Choice};

tch_mnist::mkl_kernels_by_processor!();

#[derive(Parser)]
struct Args {
    #[arg(value_enum)]
    what: What,
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(long, default_value_t = 512)]
    hidden: i64,
    #[arg(long, value_enum, default_value = "rmsprop")]
    optimizer: Optimizer,
    #[arg(long, default_value_t = 128)]
    batch_size: i64,
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    #[arg(long, default_value_t = 0)]
    seed: i64,
    #[arg(long, default_value = "cpu")]
    device: Choice,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "lowercase")]
enum Optimizer {
    RmsProp,
    Adam,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Trains as a program of a few lines would
    Train,
    /// Computes the matrix products of training
    Floor,
    /// Makes one tensor
    Tensor,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let What::Tensor = args.what {
        println!("{}", Tensor::from(1f32));
        return Ok(());
    }
    let (device, _) = device::select(args.device)?;
    let mut data = dataset::load(args.data.as_deref())?.to_device(device);
    for samples in [&mut data.train, &mut data.test] {
        samples.images = samples.ink();
    }
    match args.what {
        What::Train => train(&args, &data, device),
        _ => no_grad(|| floor(&args, &data, device)),
    }
}

/// Epochs of shuffled batches: forward, loss, backward, step.
fn train(args: &Args, data: &Data, device: Device) -> Result<()> {
    tch::manual_seed(args.seed);
    let vs = nn::VarStore::new(device);
    let layer = |name: &str, inputs: i64, outputs: i64| {
        let limit = (6. / (inputs + outputs) as f64).sqrt(); // Glorot
        let config = LinearConfig {
            ws_init: Init::Uniform { lo: -limit, up: limit },
            bs_init: Some(Init::Const(0.)),
            bias: true,
        };
        nn::linear(vs.root() / name, inputs, outputs, config)
    };
    let (first, second) = (layer("dense_1", 784, args.hidden), layer("dense_2", args.hidden, 10));
    let net = nn::seq().add(first).add_fn(|xs| xs.relu()).add(second);
    let mut optimizer = match args.optimizer {
        Optimizer::RmsProp => {
            nn::RmsProp { alpha: 0.9, eps: 1e-7, ..Default::default() }.build(&vs, 1e-3)?
        }
        Optimizer::Adam => nn::Adam { eps: 1e-7, ..Default::default() }.build(&vs, 1e-3)?,
    };
    let count = data.train.count();
    for _ in 0..args.epochs {
        epoch(device, || {
            let order = Tensor::randperm(count, (Kind::Int64, device));
            for batch in order.split(args.batch_size, 0) {
                let logits = net.forward(&data.train.images.index_select(0, &batch));
                let labels = data.train.labels.index_select(0, &batch);
                optimizer.backward_step(&logits.cross_entropy_for_logits(&labels));
            }
        });
    }
    let logits = no_grad(|| net.forward(&data.test.images));
    let accuracy = logits.accuracy_for_logits(&data.test.labels).double_value(&[]);
    println!("{{\"accuracy\": {accuracy}}}");
    Ok(())
}

/// The five products of every step, of both layers forward and backward (the images need no
/// gradient), into tensors that are there already.
fn floor(args: &Args, data: &Data, device: Device) -> Result<()> {
    let options = (Kind::Float, device);
    let weights_1 = Tensor::rand([args.hidden, 784], options) - 0.5;
    let weights_2 = Tensor::rand([10, args.hidden], options) - 0.5;
    let (gradients_1, gradients_2) = (weights_1.zeros_like(), weights_2.zeros_like());
    let batch = args.batch_size.min(data.train.count());
    let hidden = Tensor::zeros([batch, args.hidden], options);
    let logits = Tensor::zeros([batch, 10], options);
    let backward = hidden.zeros_like();
    for _ in 0..args.epochs {
        epoch(device, || {
            for images in data.train.images.split(batch, 0) {
                let rows = |tensor: &Tensor| tensor.narrow(0, 0, images.size()[0]);
                let (hidden, logits, backward) = (rows(&hidden), rows(&logits), rows(&backward));
                let _ = images.mm_out(&hidden, &weights_1.tr());
                let _ = hidden.mm_out(&logits, &weights_2.tr());
                let _ = logits.tr().mm_out(&gradients_2, &hidden);
                let _ = logits.mm_out(&backward, &weights_2);
                let _ = backward.tr().mm_out(&gradients_1, &images);
            }
        });
    }
    Ok(())
}

/// Prints the seconds that an epoch takes, the device's share of it included.
fn epoch(device: Device, mut work: impl FnMut()) {
    let start = Instant::now();
    work();
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
    println!("{{\"seconds\": {}}}", start.elapsed().as_secs_f64());
}
