//! Writes the probabilities that weights give the images of MNIST's test set, `[10000, 10]` in
//! float32, little-endian; `scripts/interop.py` compares them with those of other programs.
//!
//! usage: probabilities WEIGHTS OUT

use anyhow::Context;
use tch::{Device, Kind};
use tch_mnist::dataset;
use tch_mnist::network::model::Model;
use tch_mnist::weights;

fn main() -> anyhow::Result<()> {
    let mut paths = std::env::args().skip(1);
    let (weights, out) = paths.next().zip(paths.next()).context("give WEIGHTS and OUT")?;
    let model = Model::from_arrays(&weights::load(weights.as_ref())?, Device::Cpu)?;
    let images = dataset::load(None)?.test.ink();
    let probabilities = model.forward(&images).softmax(-1, Kind::Float).view([-1]);
    let values = Vec::<f32>::try_from(probabilities)?;
    Ok(std::fs::write(out, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?)
}
