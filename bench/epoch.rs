//! `make bench`: an epoch of `fit` beside the same work written as a bare tch loop.
//!
//! Epochs of the two alternate, since a machine's speed drifts by more than they differ; what counts
//! is the median of the ratios of neighbours.

mod common;

use std::ops::ControlFlow;
use std::time::Instant;

use tch::nn::{self, Module, OptimizerConfig};
use tch::{Device, Kind, Tensor};
use tch_mnist::data::{self, Data};
use tch_mnist::model::Model;
use tch_mnist::optimizer::Optimizer;
use tch_mnist::train::{Config, Event, fit};

use common::median;

const ROUNDS: usize = 5;
const EPOCHS: usize = 5;

fn main() -> anyhow::Result<()> {
    let data = data::load(None)?;
    println!("{} threads, {ROUNDS} rounds of {EPOCHS} epochs each", tch::get_num_threads());
    for (hidden, optimizer, batch_size) in
        [(512, Optimizer::RmsProp, 128), (128, Optimizer::Adam, 32)]
    {
        let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..ROUNDS as u64 {
            let mut bare_epoch = bare_loop(&data, hidden, optimizer, batch_size);
            let mut model = Model::new(hidden, seed, Device::Cpu)?;
            let config =
                Config { optimizer, batch_size, epochs: EPOCHS, seed, ..Config::default() };
            fit(&mut model, &data.train, &config, &mut |event| {
                if let Event::Epoch(epoch) = event {
                    ours.push(epoch.seconds);
                    bare.push(bare_epoch());
                    ratios.push(ours[ours.len() - 1] / bare[bare.len() - 1]);
                }
                ControlFlow::Continue(())
            })?;
        }
        let worst = ratios.iter().copied().fold(0., f64::max);
        println!(
            "{hidden} hidden, {optimizer:?}, batch {batch_size}: fit {:.3} s/epoch, \
             bare tch loop {:.3} s/epoch, median ratio {:.3}, worst {worst:.3}",
            median(ours),
            median(bare),
            median(ratios)
        );
    }
    Ok(())
}

/// An epoch of shuffled batches, forward, loss, backward, step, and its seconds.
fn bare_loop(
    data: &Data,
    hidden: i64,
    optimizer: Optimizer,
    batch_size: i64,
) -> impl FnMut() -> f64 {
    let vs = nn::VarStore::new(Device::Cpu);
    let net = nn::seq()
        .add(nn::linear(vs.root() / "dense_1", 784, hidden, Default::default()))
        .add_fn(|xs| xs.relu())
        .add(nn::linear(vs.root() / "dense_2", hidden, 10, Default::default()));
    let mut steps = match optimizer {
        Optimizer::RmsProp => {
            nn::RmsProp { alpha: 0.9, eps: 1e-7, ..Default::default() }.build(&vs, 1e-3)
        }
        _ => nn::Adam { eps: 1e-7, ..Default::default() }.build(&vs, 1e-3),
    }
    .expect("the constants are valid");
    move || {
        let start = Instant::now();
        let order = Tensor::randperm(data.train.count(), (Kind::Int64, Device::Cpu));
        for batch in order.split(batch_size, 0) {
            let logits = net.forward(&data.train.images.index_select(0, &batch));
            let loss = logits.cross_entropy_for_logits(&data.train.labels.index_select(0, &batch));
            steps.backward_step(&loss);
        }
        start.elapsed().as_secs_f64()
    }
}
