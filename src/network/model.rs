//! The network: 784 inputs → hidden units with ReLU → 10 logits.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tch::nn::{self, Init, LinearConfig, Module};
use tch::{Device, Kind, Tensor, no_grad};

use crate::CLASSES;
use crate::PIXELS;
use mnist_image::Digit;

/// The most hidden units that are supported; the weights then take 208 MB.
pub const MAX_HIDDEN: i64 = 1 << 16;

/// The name of the weights that have a column for each pixel.
pub(super) const DENSE_1: &str = "dense_1.weight";

/// Images to classify at a time, which bounds the memory that the hidden layer takes: 262 MB with
/// [`MAX_HIDDEN`] units.
pub(crate) const CLASSIFIED_AT_ONCE: usize = 1000;

/// The network and its weights.
#[derive(Debug)]
pub struct Model {
    pub(crate) vs: nn::VarStore,
    net: nn::Sequential,
    hidden: i64,
}

/// A line of the summary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Name, as in the weight file.
    pub name: &'static str,
    /// Kind of layer, in Keras's words.
    pub kind: &'static str,
    /// Number of outputs for each sample.
    pub outputs: i64,
    /// Number of trainable values.
    pub parameters: i64,
}

/// What the network makes of one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The most probable digit.
    pub label: usize,
    /// Its probability, from 0 to 1.
    pub confidence: f32,
    /// The probabilities of the digits 0 to 9, from the softmax of the logits.
    pub probabilities: [f32; CLASSES],
}

impl Model {
    /// A new network with `hidden` hidden units, initialised as Keras's `Dense` layers are:
    /// Glorot-uniform kernels (±√(6 / (inputs + outputs)), Glorot & Bengio 2010) and zero biases.
    ///
    /// The weights depend on `seed` alone, not on the device, nor on what else the process does.
    pub fn new(hidden: i64, seed: u64, device: Device) -> Result<Model> {
        let model = Model::zeros(hidden, device)?;
        let mut rng = random(seed, 0);
        for mut kernel in model.vs.trainable_variables() {
            if let [outputs, inputs] = kernel.size()[..] {
                let limit = (6.0 / (inputs + outputs) as f64).sqrt() as f32;
                let values: Vec<f32> =
                    (0..inputs * outputs).map(|_| rng.random_range(-limit..limit)).collect();
                let values = Tensor::from_slice(&values).view([outputs, inputs]);
                no_grad(|| kernel.f_copy_(&values)).context("cannot initialise the network")?;
            }
        }
        Ok(model)
    }

    /// A network whose weights are all zero, to be filled.
    pub(crate) fn zeros(hidden: i64, device: Device) -> Result<Model> {
        Model::build(PIXELS as i64, hidden, Kind::Float, device)
    }

    /// A network of zero weights with `inputs` inputs, whose first layer multiplies in `kind`.
    pub(super) fn build(inputs: i64, hidden: i64, kind: Kind, device: Device) -> Result<Model> {
        ensure!(
            (1..=MAX_HIDDEN).contains(&hidden),
            "{hidden} hidden units are not possible; choose from 1 to {MAX_HIDDEN}"
        );
        let vs = nn::VarStore::new(device);
        let root = vs.root();
        let zeros = LinearConfig {
            ws_init: Init::Const(0.),
            bs_init: Some(Init::Const(0.)),
            ..LinearConfig::default()
        };
        let dense_1 = nn::linear(&root / "dense_1", inputs, hidden, zeros);
        let net = nn::seq()
            .add_fn(move |images| {
                // Where these are of the kind already, this does nothing.
                let (ws, bs) =
                    (dense_1.ws.to_kind(kind), dense_1.bs.as_ref().map(|b| b.to_kind(kind)));
                images.to_kind(kind).linear(&ws, bs.as_ref()).to_kind(Kind::Float) // [batch, hidden]
            })
            .add_fn(Tensor::relu)
            .add(nn::linear(&root / "dense_2", hidden, CLASSES as i64, zeros)); // [batch, 10]
        Ok(Model { vs, net, hidden })
    }

    /// The logits `[batch, 10]` of images `[batch, 784]` on the model's device.
    pub fn logits(&self, images: &Tensor) -> Tensor {
        self.net.forward(images)
    }

    /// Classifies images, any number of them in bounded memory.
    pub fn predict(&self, digits: &[Digit]) -> Result<Vec<Prediction>> {
        let mut predictions = Vec::with_capacity(digits.len());
        for batch in digits.chunks(CLASSIFIED_AT_ONCE) {
            let images = Tensor::from_slice(batch.as_flattened())
                .view([-1, PIXELS as i64])
                .to_device(self.device())
                .to_kind(Kind::Float)
                / 255.;
            let probabilities = no_grad(|| self.logits(&images).softmax(-1, Kind::Float));
            let probabilities = Vec::<f32>::try_from(probabilities.view([-1]))?;
            ensure!(
                probabilities.iter().all(|probability| probability.is_finite()),
                "the network's outputs are no numbers: its weights are too large to compute with"
            );
            predictions.extend(probabilities.as_chunks().0.iter().map(|p| Prediction::new(*p)));
        }
        Ok(predictions)
    }

    /// Number of hidden units.
    pub fn hidden(&self) -> i64 {
        self.hidden
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.vs.device()
    }

    /// The layers from input to output.
    pub fn layers(&self) -> [Layer; 2] {
        let parameters = |name| {
            let variables = self.variables();
            ["weight", "bias"]
                .map(|v| variables[&format!("{name}.{v}")].numel() as i64)
                .iter()
                .sum()
        };
        [("dense_1", self.hidden), ("dense_2", CLASSES as i64)].map(|(name, outputs)| Layer {
            name,
            kind: "Dense",
            outputs,
            parameters: parameters(name),
        })
    }

    /// The weights by name, shared with the network: `dense_1.weight [hidden, 784]` and so on.
    pub fn variables(&self) -> BTreeMap<String, Tensor> {
        self.vs.variables().into_iter().collect()
    }

    /// The weights of the first layer by hidden unit, one for each pixel.
    pub fn filters(&self) -> Result<Vec<[f32; PIXELS]>> {
        let weights = &self.variables()[DENSE_1]; // [hidden, 784]
        Ok(Vec::<f32>::try_from(weights.to_device(Device::Cpu).view([-1]))?.as_chunks().0.to_vec())
    }

    /// Whether no weight is infinite or not a number.
    pub(crate) fn is_finite(&self) -> bool {
        let finite = |weights: &Tensor| weights.isfinite().all().int64_value(&[]) == 1;
        self.vs.trainable_variables().iter().all(finite)
    }
}

impl Prediction {
    fn new(probabilities: [f32; CLASSES]) -> Prediction {
        let label = (0..CLASSES)
            .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]))
            .expect("there are ten classes");
        Prediction { label, confidence: probabilities[label], probabilities }
    }

    /// The `k` most probable digits with their probabilities, best first.
    pub fn top(&self, k: usize) -> Vec<(usize, f32)> {
        let mut digits: Vec<_> = self.probabilities.iter().copied().enumerate().collect();
        digits.sort_by(|a, b| b.1.total_cmp(&a.1));
        digits.truncate(k);
        digits
    }
}

/// A stream of random numbers of its own, so that results depend neither on the device, nor on
/// other threads, as they would with libtorch's one generator.
pub(crate) fn random(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_weights_are_glorot_uniform_and_follow_the_seed() {
        let variables = |seed| Model::new(512, seed, Device::Cpu).unwrap().variables();
        let kernel = |seed| variables(seed)[DENSE_1].copy();
        let limit = (6.0f64 / (784. + 512.)).sqrt();
        let ours = kernel(0);
        assert!(ours.abs().max().double_value(&[]) <= limit);
        // The standard deviation of a uniform distribution of that width, over 401,408 draws.
        let deviation = ours.std(true).double_value(&[]);
        assert!((deviation / (limit / 3f64.sqrt()) - 1.).abs() < 0.01, "{deviation}");
        assert!(ours.mean(Kind::Double).double_value(&[]).abs() < 1e-3);
        assert_eq!(ours, kernel(0));
        assert_ne!(ours, kernel(1));
        let bias = variables(0)["dense_1.bias"].copy();
        assert_eq!(bias, bias.zeros_like());
    }

    #[test]
    fn the_most_probable_digits_come_first() {
        let mut probabilities = [0.01; CLASSES];
        (probabilities[7], probabilities[1]) = (0.8, 0.12);
        let prediction = Prediction::new(probabilities);
        assert_eq!((prediction.label, prediction.confidence), (7, 0.8));
        assert_eq!(prediction.top(2), [(7, 0.8), (1, 0.12)]);
        assert_eq!(prediction.top(20).len(), CLASSES);
    }

    #[test]
    fn impossible_numbers_of_hidden_units_are_refused() {
        for hidden in [-1, 0, MAX_HIDDEN + 1] {
            let error = Model::zeros(hidden, Device::Cpu).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{hidden} hidden units are not possible")),
                "{error}"
            );
        }
    }
}
