//! The network on libtorch: 784 inputs → hidden units with ReLU → 10 logits.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tch::nn::{self, Init, LinearConfig, Module};
use tch::{Device, Kind, Tensor, no_grad};

use super::arrays::{Arrays, NAMES};
use super::classifier::{Classifier, MAX_HIDDEN};
use crate::CLASSES;
use crate::PIXELS;
use mnist_image::Digit;

/// The name of the weights that have a column for each pixel.
pub(super) const DENSE_1: &str = "dense_1.weight";

/// The network and its weights.
#[derive(Debug)]
pub struct Model {
    pub(crate) vs: nn::VarStore,
    /// Images → hidden units.
    hidden_layer: nn::Sequential,
    /// Hidden units → logits.
    output_layer: nn::Linear,
    hidden: i64,
}

impl Model {
    /// A new network with `hidden` hidden units, initialised as Keras's `Dense` layers are:
    /// Glorot-uniform kernels (±√(6 / (inputs + outputs)), Glorot & Bengio 2010) and zero biases.
    ///
    /// The weights depend on `seed` alone, not on the device, nor on what else the process does.
    ///
    /// # Errors
    ///
    /// If there is no room for them, or `hidden` is out of range.
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
        let hidden_layer = nn::seq()
            .add_fn(move |images| {
                // Where these are of the kind already, this does nothing.
                let (ws, bs) =
                    (dense_1.ws.to_kind(kind), dense_1.bs.as_ref().map(|b| b.to_kind(kind)));
                images.to_kind(kind).linear(&ws, bs.as_ref()).to_kind(Kind::Float) // [batch, hidden]
            })
            .add_fn(Tensor::relu);
        let output_layer = nn::linear(&root / "dense_2", hidden, CLASSES as i64, zeros);
        Ok(Model { vs, hidden_layer, output_layer, hidden })
    }

    /// A network with the weights `arrays`.
    pub fn from_arrays(arrays: &Arrays, device: Device) -> Result<Model> {
        let model = Model::zeros(arrays.hidden as i64, device)?;
        let variables = model.variables();
        for (name, shape, values) in arrays.named() {
            let shape: Vec<_> = shape.into_iter().map(|side| side as i64).collect();
            let values = Tensor::from_slice(values).f_view(&shape[..])?;
            no_grad(|| variables[name].shallow_clone().f_copy_(&values))?;
        }
        Ok(model)
    }

    /// The weights.
    pub fn to_arrays(&self) -> Result<Arrays> {
        let variables = self.variables();
        let mut values = <[Vec<f32>; 4]>::default();
        for (values, name) in values.iter_mut().zip(NAMES) {
            let tensor = variables[name].detach().f_to_device(Device::Cpu)?;
            *values = tensor.f_contiguous()?.f_view([-1])?.try_into()?;
        }
        Ok(Arrays { hidden: self.hidden() as usize, values })
    }

    /// The logits `[batch, 10]` of images `[batch, 784]` on the model's device, from 0 to 1.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        self.forward_through(images, |hidden| hidden)
    }

    /// Like [`Self::forward`], but with what `change` makes of the hidden units `[batch, hidden]`.
    pub(crate) fn forward_through(
        &self,
        images: &Tensor,
        change: impl FnOnce(Tensor) -> Tensor,
    ) -> Tensor {
        self.output_layer.forward(&change(self.hidden_layer.forward(images))) // [batch, 10]
    }

    /// The images `[digits, 784]` on the model's device, from 0 to 1.
    fn tensor(&self, digits: &[Digit]) -> Tensor {
        Tensor::from_slice(digits.as_flattened())
            .view([-1, PIXELS as i64])
            .to_device(self.device())
            .to_kind(Kind::Float)
            / 255.
    }

    /// Number of hidden units.
    pub fn hidden(&self) -> i64 {
        self.hidden
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.vs.device()
    }

    /// The weights by name, shared with the network: `dense_1.weight [hidden, 784]` and so on.
    pub fn variables(&self) -> BTreeMap<String, Tensor> {
        self.vs.variables().into_iter().collect()
    }

    /// Whether no weight is infinite or not a number.
    pub(crate) fn is_finite(&self) -> bool {
        let finite = |weights: &Tensor| weights.isfinite().all().int64_value(&[]) == 1;
        self.vs.trainable_variables().iter().all(finite)
    }
}

impl Classifier for Model {
    fn logits(&self, digits: &[Digit]) -> Result<Vec<[f32; CLASSES]>> {
        rows(&no_grad(|| self.forward(&self.tensor(digits))))
    }

    fn logits_of_values(&self, images: &[[f32; PIXELS]]) -> Result<Vec<[f32; CLASSES]>> {
        let images = Tensor::from_slice(images.as_flattened()).view([-1, PIXELS as i64]);
        rows(&no_grad(|| self.forward(&images.to_device(self.device()))))
    }

    fn probabilities(&self, digits: &[Digit]) -> Result<Vec<[f32; CLASSES]>> {
        rows(&no_grad(|| self.forward(&self.tensor(digits)).softmax(-1, Kind::Float)))
    }

    /// In other places and batches, libtorch may add in another order.
    fn is_independent_of_batch(&self) -> bool {
        false
    }
}

/// A tensor `[count, 10]`, row by row.
fn rows(tensor: &Tensor) -> Result<Vec<[f32; CLASSES]>> {
    Ok(Vec::<f32>::try_from(tensor.view([-1]))?.as_chunks().0.to_vec())
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
    fn impossible_numbers_of_hidden_units_are_refused() {
        for hidden in [-1, 0, MAX_HIDDEN + 1] {
            let error = Model::zeros(hidden, Device::Cpu).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{hidden} hidden units are not possible")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_network_is_the_same_after_the_way_through_arrays() {
        let model = Model::new(3, 1, Device::Cpu).unwrap();
        let copy = Model::from_arrays(&model.to_arrays().unwrap(), Device::Cpu).unwrap();
        assert_eq!(copy.variables(), model.variables());
    }
}
