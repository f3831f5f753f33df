//! What a training step sees: batches in the order of the epoch, augmented, with non-digits.

use anyhow::Result;
use rand::seq::SliceRandom;
use tch::{Device, Kind, Tensor};

use crate::PIXELS;
use crate::dataset::augment::{Augment, Augmenter};
use crate::dataset::forms::forms;
use crate::dataset::non_digits::{self, NonDigits};
use crate::dataset::{Samples, ink};
use crate::network::model::{Model, random};
use crate::network::pruning;
use crate::training::distillation::Teacher;
use crate::training::regularisation::Regularisation;
use crate::training::{Config, none};

/// Images to augment at a time, rounded to whole batches: more do not fit into a processor's cache.
const AUGMENTED_AT_ONCE: i64 = 512;
/// Images to make ready for training at a time; bounds memory.
const PREPARED_AT_ONCE: i64 = 512;
// Streams of random numbers, one for each purpose and epoch; stream 0 is the initial weights'.
/// The first stream of augmentation.
const AUGMENTATION: u64 = 1 << 32;
/// The first stream of non-digits.
const NON_DIGITS: u64 = 1 << 33;
/// The first stream of other forms of digits.
const FORMS: u64 = 3 << 32;
/// The first stream of the choice of samples from a mixture.
const MIXTURE: u64 = 1 << 34;

/// What to train on in place of the ink 0, which is from 0 to 1. It moves no weight by more than
/// rounding does, but with gradients of exactly 0 RMSprop's averages decay to denormals and zeros,
/// whose square roots and quotients are slow.
const LEAST_INK: f64 = 1e-11;

/// The training set, ready to be gone through again and again.
#[derive(Debug)]
pub struct Batches<'a> {
    config: &'a Config,
    /// Images `[count, inputs]`.
    samples: Samples,
    /// The pixels `[inputs]` that training sees, int64 indices.
    inputs: Tensor,
    augmenter: Option<Augmenter>,
    non_digits: Option<NonDigits>,
}

/// What one step sees.
#[derive(Debug)]
pub struct Batch {
    /// `[batch + forms, inputs]`: samples, then digits of other forms, if any.
    images: Tensor,
    /// `[batch + forms]`.
    labels: Tensor,
    /// How many of them are samples.
    samples: i64,
    /// Non-digits `[others, 784]`, and for each, `[others]`, 1 if it counts, else 0.
    non_digits: Option<(Tensor, Tensor)>,
}

impl<'a> Batches<'a> {
    /// Prepares `samples`, which are on the device to train on; products are computed in `kind`.
    pub fn new(mut samples: Samples, config: &'a Config, kind: Kind) -> Result<Batches<'a>> {
        let device = samples.images.device();
        // Images that stay as they are can be made ready once; others have ink nearly everywhere.
        let inputs = match config.keeps_images() && !config.moves_weights_without_gradient() {
            true => pruning::inputs_with_ink(&samples.images)?,
            false => Tensor::arange(PIXELS as i64, (Kind::Int64, device)),
        };
        if config.keeps_images() {
            let ready = |images: &Tensor| {
                ink(images).to_kind(kind).index_select(1, &inputs).clamp_min(LEAST_INK)
            };
            let size = [samples.count(), inputs.size()[0]];
            let all = Tensor::empty(size, (kind, device));
            // In parts, so that there is never another copy of all.
            for (part, mut place) in
                samples.images.split(PREPARED_AT_ONCE, 0).iter().zip(all.split(PREPARED_AT_ONCE, 0))
            {
                place.copy_(&ready(part));
            }
            samples.images = all;
        }
        let changes = config.augment.iter().any(|way| *way != Augment::Forms);
        let augmenter = changes.then(|| Augmenter::new(&config.augment, device));
        let non_digits = match config.non_digits > 0. {
            true => Some(NonDigits::new(device)?),
            false => None,
        };
        Ok(Batches { config, samples, inputs, augmenter, non_digits })
    }

    /// The pixels `[inputs]` that training sees, int64 indices.
    pub fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    /// Number of steps in an epoch.
    pub(super) fn steps(&self) -> usize {
        self.order(1).len().div_ceil(self.config.batch_size as usize)
    }

    fn device(&self) -> Device {
        self.inputs.device()
    }

    /// The labels `[count]` in the order of an epoch, and its batches.
    pub fn epoch(&self, epoch: usize) -> (Tensor, impl Iterator<Item = Batch>) {
        let (seed, epoch) = (self.config.seed, epoch as u64);
        let order = self.order(epoch);
        let count = order.len() as i64;
        let order = Tensor::from_slice(&order).to_device(self.device());
        let labels = self.samples.labels.index_select(0, &order);

        let batch_size = self.config.batch_size;
        let steps = (count as usize).div_ceil(batch_size as usize) as i64;
        let added = self.forms(epoch);
        let added = dealt(&added.images, steps).into_iter().zip(dealt(&added.labels, steps));
        let mut rng = random(seed, NON_DIGITS + epoch);
        let share = self.config.non_digits;
        let drawn = match &self.non_digits {
            Some(non_digits) => {
                dealt(&non_digits.draw((count as f64 * share) as i64, &mut rng), steps)
            }
            None => Vec::new(),
        };
        let mut drawn = drawn.into_iter();

        let batches = self.augmented(order, epoch).zip(labels.split(batch_size, 0)).zip(added);
        let batches = batches.map(move |((images, labels), (more, more_labels))| {
            let own = Samples { images, labels };
            let samples = own.count();
            let non_digits = self.non_digits.as_ref().zip(drawn.next()).map(|(make, drawn)| {
                let from = (samples as f64 * share).ceil() as i64;
                let (made, valid) = make.of_digits(&own.narrow(0, from), &mut rng);
                let counted = drawn.new_ones([drawn.size()[0]], (Kind::Float, self.device()));
                (Tensor::cat(&[made, drawn], 0), Tensor::cat(&[valid, counted], 0))
            });
            let Samples { images, labels } = own;
            if more_labels.size()[0] == 0 {
                return Batch { images, labels, samples, non_digits };
            }
            let images = Tensor::cat(&[images, more], 0);
            let labels = Tensor::cat(&[labels, more_labels], 0);
            Batch { images, labels, samples, non_digits }
        });
        (labels, batches)
    }

    /// Which samples an epoch shows, in its order.
    fn order(&self, epoch: u64) -> Vec<i64> {
        let seed = self.config.seed;
        let mut rng = random(seed, MIXTURE + epoch);
        let (mut order, mut start) = (Vec::new(), 0);
        for (count, weight) in self.config.shown(self.samples.count()) {
            let own = start..start + count;
            start = own.end;
            for _ in 0..weight as usize {
                order.extend(own.clone());
            }
            let mut own: Vec<i64> = own.collect();
            let more = (weight.fract() * count as f64).ceil() as usize;
            order.extend(&*own.partial_shuffle(&mut rng, more).0);
        }
        order.shuffle(&mut random(seed, epoch));
        order
    }

    /// The images of an epoch in its `order`, as training sees them, batch by batch.
    fn augmented(&self, order: Tensor, epoch: u64) -> impl Iterator<Item = Tensor> {
        let mut rng = random(self.config.seed, AUGMENTATION + epoch);
        let batch_size = self.config.batch_size;
        let at_once = match self.augmenter {
            None => batch_size,
            Some(_) => batch_size * (AUGMENTED_AT_ONCE / batch_size).max(1),
        };
        order.split(at_once, 0).into_iter().flat_map(move |indices| {
            let images = ink(&self.samples.images.index_select(0, &indices)); // [at_once, inputs]
            match &self.augmenter {
                None => images,
                Some(augmenter) => augmenter.apply(&images, &mut rng),
            }
            .split(batch_size, 0)
        })
    }

    /// Digits of other forms for an epoch, augmented as the samples are; none unless asked for.
    fn forms(&self, epoch: u64) -> Samples {
        if !self.config.augment.contains(&Augment::Forms) {
            return self.samples.narrow(0, 0);
        }
        let mut rng = random(self.config.seed, FORMS + epoch);
        let Samples { images, labels } = forms(&self.samples, &mut rng);
        let Some(augmenter) = &self.augmenter else { return Samples { images, labels } };
        let changed: Vec<Tensor> = images
            .split(AUGMENTED_AT_ONCE, 0)
            .iter()
            .map(|images| augmenter.apply(images, &mut rng))
            .collect();
        Samples { images: Tensor::cat(&changed, 0), labels }
    }
}

/// What each of `steps` steps gets of `all`, in parts as even as can be.
fn dealt(all: &Tensor, steps: i64) -> Vec<Tensor> {
    let count = all.size()[0];
    let sizes: Vec<i64> =
        (0..steps).map(|step| count * (step + 1) / steps - count * step / steps).collect();
    all.split_with_sizes(&sizes, 0)
}

impl Batch {
    /// The logits `[batch, 10]` of the samples, and the loss to minimise. A teacher is asked about
    /// digits alone.
    pub(super) fn forward(
        &self,
        model: &Model,
        teacher: Option<&Teacher>,
        by: &mut Regularisation,
    ) -> (Tensor, Tensor) {
        let taught = |logits: &Tensor, loss: Tensor| match teacher {
            Some(teacher) => teacher.loss(&self.images, logits, &loss),
            None => loss,
        };
        let Some((non_digits, counted)) = &self.non_digits else {
            let logits = by.logits(model, &self.images);
            let loss = taught(&logits, by.loss(&logits, &self.labels));
            return (logits.narrow(0, 0, self.samples), loss);
        };
        let all = by.logits(model, &Tensor::cat(&[&self.images, non_digits], 0));
        let digits = all.narrow(0, 0, self.labels.size()[0]); // [batch + forms, 10]
        let others = all.narrow(0, self.labels.size()[0], counted.size()[0]); // [others, 10]
        let loss = taught(&digits, by.loss(&none::with_none(&digits), &self.labels))
            + none::loss(&others, counted) * non_digits::WEIGHT;
        (digits.narrow(0, 0, self.samples), loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Part;

    /// Images whose first pixel identifies them.
    fn samples(count: i64) -> Samples {
        let labels = Tensor::arange(count, (Kind::Int64, Device::Cpu));
        let images = Tensor::zeros([count, PIXELS as i64], (Kind::Float, Device::Cpu));
        images.narrow(1, 0, 1).copy_(&(labels.view([-1, 1]) / count));
        Samples { images, labels }
    }

    fn sizes(config: &Config) -> Vec<(i64, i64)> {
        let batches = Batches::new(samples(100), config, Kind::Float).unwrap();
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
    fn sets_of_a_mixture_are_shown_as_often_as_they_weigh() {
        let part =
            |weight, train| Part { data: "a".into(), data_sha256: None, weight, train, test: 0 };
        let mixture = vec![part(2.5, 4), part(0.5, 6)];
        let config = Config { mixture, validation_split: 0.5, ..Config::default() };
        let (training, validation) = config.split(&samples(10)).unwrap();
        assert_eq!(training.labels, Tensor::from_slice(&[0i64, 1, 4, 5, 6]));
        assert_eq!(validation.labels, Tensor::from_slice(&[2i64, 3, 7, 8, 9]));
        assert!(config.split(&samples(9)).is_err());
        let batches = Batches::new(training, &config, Kind::Float).unwrap();
        let shown = |epoch| {
            let mut labels = Vec::<i64>::try_from(batches.epoch(epoch).0).unwrap();
            labels.sort_unstable();
            labels
        };
        for epoch in 1..9 {
            let labels = shown(epoch);
            let often = |of| labels.iter().filter(|label| **label == of).count();
            assert!(often(0) >= 2 && often(1) >= 2 && often(0) + often(1) == 5, "{labels:?}");
            assert!((4..7).all(|of| often(of) <= 1) && labels.len() == 7, "{labels:?}");
        }
        assert!((2..9).any(|epoch| shown(epoch) != shown(1)));
    }

    #[test]
    fn batches_are_of_the_size_asked_for_and_share_forms_and_non_digits_evenly() {
        let config = Config { batch_size: 40, ..Config::default() };
        assert_eq!(sizes(&config), [(40, 0), (40, 0), (20, 0)]);
        let augmented =
            Config { augment: vec![Augment::Affine], non_digits: 0.5, ..config.clone() };
        assert_eq!(sizes(&augmented), [(40, 18), (40, 19), (20, 13)]);
        let forms = Config { augment: vec![Augment::Forms], ..config };
        let sizes = sizes(&forms);
        let more: Vec<i64> = sizes.iter().zip([40, 40, 20]).map(|((own, _), n)| own - n).collect();
        assert!(more.iter().max().unwrap() - more.iter().min().unwrap() <= 1 && more[0] > 0);
    }

    #[test]
    fn figures_of_an_epoch_are_of_its_samples_alone() {
        let augment = vec![Augment::Forms];
        let config = Config { batch_size: 40, augment, non_digits: 0.5, ..Config::default() };
        let samples = Samples { labels: samples(100).labels.remainder(10), ..samples(100) };
        let batches = Batches::new(samples, &config, Kind::Float).unwrap();
        let model = Model::new(8, 0, Device::Cpu).unwrap();
        let (labels, all) = batches.epoch(1);
        let mut by = Regularisation::of(&config, 1);
        let logits: Vec<Tensor> = all.map(|batch| batch.forward(&model, None, &mut by).0).collect();
        assert_eq!(Tensor::cat(&logits, 0).size(), [labels.size()[0], 10]);
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
