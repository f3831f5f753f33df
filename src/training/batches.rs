//! What a training step sees: batches in the order of the epoch, augmented, with non-digits.

use anyhow::Result;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use tch::{Kind, Tensor};

use crate::PIXELS;
use crate::dataset::Samples;
use crate::dataset::augment::Augmenter;
use crate::dataset::non_digits;
use crate::network::model::{Model, random};
use crate::network::pruning;
use crate::training::Config;

/// Images to augment at a time, rounded to whole batches: enough for large tensor operations, few
/// enough that their memory does not count.
const AUGMENTED_AT_ONCE: i64 = 2048;
// Streams of random numbers, one for each purpose and epoch; stream 0 is the initial weights'.
/// The first stream of augmentation.
const AUGMENTATION: u64 = 1 << 32;
/// The first stream of non-digits.
const NON_DIGITS: u64 = 1 << 33;

/// What to train on in place of the ink 0, which is from 0 to 1. It moves no weight by more than
/// rounding does, but with gradients of exactly 0 RMSprop's averages decay to denormals and zeros,
/// whose square roots and quotients are slow.
const LEAST_INK: f64 = 1e-11;

/// The training set, ready to be gone through again and again.
#[derive(Debug)]
pub struct Batches<'a> {
    config: &'a Config,
    /// `[count, inputs]`.
    images: Tensor,
    /// `[count]`.
    labels: Tensor,
    /// The pixels `[inputs]` that training sees, int64 indices.
    inputs: Tensor,
    augmenter: Option<Augmenter>,
}

/// What one step sees.
#[derive(Debug)]
pub struct Batch {
    /// `[batch, inputs]`.
    images: Tensor,
    /// `[batch]`.
    labels: Tensor,
    /// Non-digits `[others, 784]`, and for each, `[others]`, 1 if it counts, else 0.
    non_digits: Option<(Tensor, Tensor)>,
}

impl<'a> Batches<'a> {
    /// Prepares `samples`, which are on the device to train on; products are computed in `kind`.
    pub fn new(samples: Samples, config: &'a Config, kind: Kind) -> Result<Batches<'a>> {
        let Samples { mut images, labels } = samples;
        let device = images.device();
        // Images that stay as they are can be made ready once; others have ink nearly everywhere.
        let inputs = match config.keeps_images() && !config.optimizer.decays() {
            true => pruning::inputs_with_ink(&images)?,
            false => Tensor::arange(PIXELS as i64, (Kind::Int64, device)),
        };
        if config.keeps_images() {
            images = images.to_kind(kind).index_select(1, &inputs).clamp_min_(LEAST_INK);
        }
        let augmenter =
            (!config.augment.is_empty()).then(|| Augmenter::new(&config.augment, device));
        Ok(Batches { config, images, labels, inputs, augmenter })
    }

    /// The pixels `[inputs]` that training sees, int64 indices.
    pub fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    /// The labels `[count]` in the order of an epoch, and its batches.
    pub fn epoch(&self, epoch: usize) -> (Tensor, impl Iterator<Item = Batch>) {
        let (seed, epoch) = (self.config.seed, epoch as u64);
        let mut order: Vec<i64> = (0..self.labels.size()[0]).collect();
        order.shuffle(&mut random(seed, epoch));
        let order = Tensor::from_slice(&order).to_device(self.labels.device());
        let labels = self.labels.index_select(0, &order);

        let mut augmentation = random(seed, AUGMENTATION + epoch);
        let mut non_digits = random(seed, NON_DIGITS + epoch);
        let batch_size = self.config.batch_size;
        let at_once = match self.augmenter {
            None => batch_size,
            Some(_) => batch_size * (AUGMENTED_AT_ONCE / batch_size).max(1),
        };
        let images = order.split(at_once, 0).into_iter().flat_map(move |indices| {
            let images = self.images.index_select(0, &indices); // [at_once, inputs]
            match &self.augmenter {
                None => images,
                Some(augmenter) => augmenter.apply(&images, &mut augmentation),
            }
            .split(batch_size, 0)
        });
        let batches = images.zip(labels.split(batch_size, 0)).map(move |(images, labels)| {
            let non_digits = self.non_digits(&images, &mut non_digits);
            Batch { images, labels, non_digits }
        });
        (labels, batches)
    }

    /// Non-digits made of the first of `images`, if training is to see any.
    fn non_digits(&self, images: &Tensor, rng: &mut ChaCha8Rng) -> Option<(Tensor, Tensor)> {
        let share = self.config.non_digits;
        (share > 0.).then(|| {
            let count = (images.size()[0] as f64 * share).ceil() as i64;
            non_digits::generate(&images.narrow(0, 0, count), rng)
        })
    }
}

impl Batch {
    /// The logits `[batch, 10]` of the digits, and the loss to minimise.
    pub fn forward(&self, model: &Model) -> (Tensor, Tensor) {
        let Some((non_digits, valid)) = &self.non_digits else {
            let logits = model.logits(&self.images);
            let loss = logits.cross_entropy_for_logits(&self.labels);
            return (logits, loss);
        };
        let all = model.logits(&Tensor::cat(&[&self.images, non_digits], 0)); // [batch + others, 10]
        let count = self.images.size()[0];
        let logits = all.narrow(0, 0, count);
        let unsure = non_digits::loss(&all.narrow(0, count, valid.size()[0]), valid);
        let loss = logits.cross_entropy_for_logits(&self.labels) + unsure * non_digits::WEIGHT;
        (logits, loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::augment::Augment;
    use tch::Device;

    /// Images whose first pixel tells which they are.
    fn samples(count: i64) -> Samples {
        let labels = Tensor::arange(count, (Kind::Int64, Device::Cpu));
        let images = Tensor::zeros([count, PIXELS as i64], (Kind::Float, Device::Cpu));
        images.narrow(1, 0, 1).copy_(&(labels.view([-1, 1]) / count));
        Samples { images, labels }
    }

    fn sizes(config: &Config) -> Vec<(i64, i64)> {
        let batches = Batches::new(samples(10), config, Kind::Float).unwrap();
        let size = |batch: Batch| {
            let others = batch.non_digits.map_or(0, |(images, _)| images.size()[0]);
            (batch.images.size()[0], others)
        };
        batches.epoch(1).1.map(size).collect()
    }

    #[test]
    fn an_epoch_has_every_sample_once_in_an_order_of_its_own() {
        let config = Config { batch_size: 4, ..Config::default() };
        let batches = Batches::new(samples(10), &config, Kind::Float).unwrap();
        let order = |epoch| {
            let (labels, batches) = batches.epoch(epoch);
            let all: Vec<Batch> = batches.collect();
            let column =
                |of: fn(&Batch) -> Tensor| Tensor::cat(&all.iter().map(of).collect::<Vec<_>>(), 0);
            assert_eq!(column(|batch| batch.labels.shallow_clone()), labels);
            let first = column(|batch| batch.images.select(1, 0)) * 10.;
            assert_eq!(first.round().to_kind(Kind::Int64), labels);
            Vec::<i64>::try_from(labels).unwrap()
        };
        let (first, second) = (order(1), order(2));
        assert_eq!(first, order(1));
        assert_ne!(first, second);
        for mut order in [first, second] {
            order.sort_unstable();
            assert_eq!(order, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn batches_are_of_the_size_asked_for_with_the_share_of_non_digits_rounded_up() {
        let config = Config { batch_size: 4, ..Config::default() };
        assert_eq!(sizes(&config), [(4, 0), (4, 0), (2, 0)]);
        let augmented = Config { augment: vec![Augment::Affine], non_digits: 0.3, ..config };
        assert_eq!(sizes(&augmented), [(4, 2), (4, 2), (2, 1)]);
    }

    #[test]
    fn only_images_that_stay_as_they_are_lose_inputs() {
        let inputs = |config: &Config| {
            let batches = Batches::new(samples(10), config, Kind::Float).unwrap();
            batches.inputs().size()[0]
        };
        let config = Config::default();
        assert_eq!(inputs(&config), 16);
        assert_eq!(inputs(&Config { non_digits: 0.1, ..config.clone() }), 784);
        assert_eq!(inputs(&Config { augment: vec![Augment::Stroke], ..config.clone() }), 784);
        let optimizer = crate::training::optimizer::Optimizer::AdamW; // its decay moves all weights
        assert_eq!(inputs(&Config { optimizer, ..config }), 784);
    }
}
