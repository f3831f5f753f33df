//! The part of a configuration that needs tensors: precision, validation split, optimizer.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

use super::optimizer::Optimizer;
use super::{Config, Precision};
use crate::PIXELS;
use crate::dataset::{Samples, left_by_split};
use crate::network::device;
use crate::network::model::Model;

/// The ε of all optimizers that have one.
pub(super) const EPSILON: f64 = 1e-7;
/// β₁ and β₂ of Adam and AdamW.
pub(super) const ADAM_BETAS: (f64, f64) = (0.9, 0.999);
/// The ρ of RMSprop, libtorch's α.
pub(super) const RMSPROP_RHO: f64 = 0.9;

/// How often each precision is tried, in turn; the shortest time counts.
const TRIALS: usize = 9;
/// Share of float32's time that bf16 takes at most where it is clearly faster; chosen by judgement.
const CLEARLY_FASTER: f64 = 0.9;

/// The time that the products of the first layer take in a step.
fn seconds(kind: Kind, batch: i64, hidden: i64, device: Device) -> f64 {
    let options = (Kind::Float, device);
    let images = Tensor::ones([batch, PIXELS as i64], options).to_kind(kind);
    let weights = Tensor::ones([hidden, PIXELS as i64], options);
    let start = Instant::now();
    let forward = images.matmul(&weights.to_kind(kind).tr()).to_kind(Kind::Float);
    let backward = forward.to_kind(kind).tr().matmul(&images).to_kind(Kind::Float);
    backward.double_value(&[0, 0]); // waits for the device
    start.elapsed().as_secs_f64()
}

impl Precision {
    /// The kind of tensor to multiply in; fails if `device` cannot.
    pub fn kind(self, device: Device) -> Result<Kind> {
        match self {
            Precision::Float32 => Ok(Kind::Float),
            Precision::Bf16 => device::check_bf16(device).map(|()| Kind::BFloat16),
        }
    }

    /// The faster one to train `model` in, `batch` samples a step, where it is; float32 unless bf16
    /// is clearly faster.
    pub fn fastest(model: &Model, batch: i64) -> Precision {
        let (device, hidden) = (model.device(), model.hidden());
        if device::check_bf16(device).is_err() {
            return Precision::Float32;
        }
        let mut best = [f64::INFINITY; 2];
        for _ in 0..TRIALS {
            for (best, kind) in best.iter_mut().zip([Kind::Float, Kind::BFloat16]) {
                *best = best.min(seconds(kind, batch, hidden, device));
            }
        }
        match best[1] < CLEARLY_FASTER * best[0] {
            true => Precision::Bf16,
            false => Precision::Float32,
        }
    }
}

impl Config {
    /// Splits `samples` into those to train on and those to validate with; fails if the split
    /// leaves one of the two without any.
    ///
    /// Of a mixture, each set is split so.
    pub fn split(&self, samples: &Samples) -> Result<(Samples, Samples)> {
        let (training, validation) = match self.mixture[..] {
            [] => samples.split(self.validation_split),
            _ => self.split_mixture(samples)?,
        };
        ensure!(
            training.count() > 0,
            "a validation split of {} leaves none of the {} samples to train on",
            self.validation_split,
            samples.count()
        );
        ensure!(
            self.validation_split == 0. || validation.count() > 0,
            "a validation split of {} takes none of the {} samples",
            self.validation_split,
            samples.count()
        );
        Ok((training, validation))
    }

    fn split_mixture(&self, samples: &Samples) -> Result<(Samples, Samples)> {
        let count: i64 = self.mixture.iter().map(|part| part.train).sum();
        ensure!(
            count == samples.count(),
            "the sets of the mixture have {count} samples, the training set has {}",
            samples.count()
        );
        let mut start = 0;
        let split = self.mixture.iter().map(|part| {
            let own = samples.narrow(start, part.train);
            start += part.train;
            own.split(self.validation_split)
        });
        let (training, validation): (Vec<_>, Vec<_>) = split.unzip();
        let all = |parts: &[Samples]| Samples::cat(&parts.iter().collect::<Vec<_>>());
        Ok((all(&training), all(&validation)))
    }

    /// How many of the `count` samples that are trained on are of one set, set after set, and how
    /// often each is shown in an epoch.
    pub(super) fn shown(&self, count: i64) -> Vec<(i64, f64)> {
        let shown = self
            .mixture
            .iter()
            .map(|part| (left_by_split(part.train, self.validation_split), part.weight));
        if self.mixture.is_empty() { vec![(count, 1.)] } else { shown.collect() }
    }
}

impl Optimizer {
    /// The optimizer over all weights of `model`.
    pub fn build(self, model: &Model, learning_rate: f64) -> Result<nn::Optimizer> {
        let (momentum, decay) = (self.default_momentum(), self.default_weight_decay());
        self.build_with(model, learning_rate, momentum, decay)
    }

    /// Like [`Self::build`], with this momentum, where it has one, and if it is AdamW, this decay.
    pub(super) fn build_with(
        self,
        model: &Model,
        learning_rate: f64,
        momentum: f64,
        decay: f64,
    ) -> Result<nn::Optimizer> {
        Optimizer::check_learning_rate(learning_rate)?;
        let (eps, (beta1, beta2)) = (EPSILON, ADAM_BETAS);
        let vs = &model.vs;
        match self {
            Optimizer::Adam => {
                nn::Adam { beta1, beta2, eps, ..Default::default() }.build(vs, learning_rate)
            }
            Optimizer::AdamW => {
                let adamw = nn::AdamW { beta1, beta2, eps, wd: decay, ..Default::default() };
                adamw.build(vs, learning_rate)
            }
            Optimizer::RmsProp => {
                let alpha = RMSPROP_RHO;
                let rmsprop = nn::RmsProp { alpha, eps, momentum, ..Default::default() };
                rmsprop.build(vs, learning_rate)
            }
            Optimizer::Sgd => nn::Sgd { momentum, ..Default::default() }.build(vs, learning_rate),
        }
        .context("cannot create the optimizer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::optimizer::MAX_LEARNING_RATE;
    use tch::no_grad;

    fn samples(count: i64) -> Samples {
        let options = |kind| (kind, Device::Cpu);
        Samples {
            images: Tensor::zeros([count, 784], options(Kind::Float)),
            labels: Tensor::arange(count, options(Kind::Int64)),
        }
    }

    #[test]
    fn the_fastest_precision_is_one_that_the_device_has() {
        let model = Model::new(8, 0, Device::Cpu).unwrap();
        let fastest = Precision::fastest(&model, 16);
        assert!(fastest.kind(Device::Cpu).is_ok());
        if Precision::Bf16.kind(Device::Cpu).is_err() {
            assert_eq!(fastest, Precision::Float32);
        }
    }

    #[test]
    fn the_split_takes_the_last_samples_and_leaves_neither_part_empty() {
        let split = |share| Config { validation_split: share, ..Config::default() };
        let (training, validation) = split(0.25).split(&samples(10)).unwrap();
        assert_eq!(training.labels, Tensor::arange(7, (Kind::Int64, Device::Cpu)));
        assert_eq!(validation.labels, Tensor::from_slice(&[7i64, 8, 9]));
        assert_eq!(split(0.).split(&samples(1)).unwrap().1.count(), 0);
        let error = |share, count| split(share).split(&samples(count)).unwrap_err().to_string();
        assert!(error(0.9, 1).contains("leaves none of the 1 samples"));
        assert!(error(1e-17, 1).contains("takes none of the 1 samples"));
    }

    #[test]
    fn the_largest_and_the_smallest_learning_rate_are_errors_at_worst() {
        for optimizer in Optimizer::ALL {
            for rate in [1e-45, MAX_LEARNING_RATE] {
                let model = Model::new(4, 0, Device::Cpu).unwrap();
                let mut steps = optimizer.build(&model, rate).unwrap();
                for _ in 0..3 {
                    let images = tch::Tensor::ones([2, 784], (tch::Kind::Float, Device::Cpu));
                    steps.backward_step(&model.forward(&images).square().mean(tch::Kind::Float));
                }
            }
        }
    }

    #[test]
    fn optimizers_say_whether_they_move_weights_without_gradient() {
        for optimizer in Optimizer::ALL {
            let model = Model::new(4, 0, Device::Cpu).unwrap();
            let before = model.variables()["dense_1.weight"].copy();
            let mut steps = optimizer.build(&model, 0.1).unwrap();
            let zero: tch::Tensor =
                model.vs.trainable_variables().iter().map(|weights| (weights * 0.).sum(None)).sum();
            steps.backward_step(&zero);
            let after = &model.variables()["dense_1.weight"];
            let moved = no_grad(|| (after - before).abs().max().double_value(&[]));
            assert_eq!(
                moved > 0.,
                Config { optimizer, ..Config::default() }.moves_weights_without_gradient(),
                "{optimizer:?} {moved}"
            );
        }
    }
}
