//! Training.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use crate::CLASSES;
use crate::PIXELS;
use crate::dataset::Samples;
use crate::dataset::augment::{Augment, Augmenter};
use crate::dataset::non_digits::{self, outliers};
use crate::network::device;
use crate::network::model::{Model, random};
use crate::training::evaluation;
use crate::training::optimizer::Optimizer;

/// How the learning rate changes from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Not at all
    Constant,
    /// From the learning rate to 0 along half a cosine (Loshchilov & Hutter 2016, one cycle)
    Cosine,
}

impl Schedule {
    /// The share of the learning rate to take when the share `done`, from 0 to 1, of all steps is done.
    pub fn share(self, done: f64) -> f64 {
        match self {
            Schedule::Constant => 1.,
            Schedule::Cosine => 0.5 * (1. + (std::f64::consts::PI * done).cos()),
        }
    }
}

/// The numbers that the large matrix products are computed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as the weights
    #[default]
    Float32,
    /// Bfloat16 for the first layer's products and their gradients (mixed precision, Micikevicius
    /// et al. 2017); weights, optimizer and all else stay float32
    Bf16,
}

impl Precision {
    /// The kind of tensor to multiply in; fails if `device` cannot.
    pub(crate) fn kind(self, device: Device) -> Result<Kind> {
        match self {
            Precision::Float32 => Ok(Kind::Float),
            Precision::Bf16 => device::check_bf16(device).map(|()| Kind::BFloat16),
        }
    }
}

/// How to train; the defaults are those of the Keras tutorial's larger model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub learning_rate: f64,
    /// How often the training set is gone through.
    pub epochs: usize,
    /// How the learning rate changes from step to step.
    pub schedule: Schedule,
    /// How each training picture is changed, anew in every epoch.
    pub augment: Vec<Augment>,
    /// Pictures that are no digit to show as well, as a share of the training set; the network is
    /// taught to be unsure of them, see [`crate::outlier`].
    pub outliers: f64,
    /// Samples in one step; the last step of an epoch takes what is left.
    pub batch_size: i64,
    /// Share of the training set that is kept for validation, from 0 to below 1: its last samples,
    /// before anything is shuffled, as in Keras (<https://keras.io/api/models/model_training_apis/>).
    pub validation_split: f64,
    /// The numbers that the large matrix products are computed with.
    #[serde(default)]
    pub precision: Precision,
    /// Determines the order of the samples in every epoch.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        let optimizer = Optimizer::RmsProp;
        Config {
            optimizer,
            learning_rate: optimizer.default_learning_rate(),
            schedule: Schedule::Constant,
            augment: Vec::new(),
            outliers: 0.,
            epochs: 5,
            batch_size: 128,
            validation_split: 0.,
            precision: Precision::Float32,
            seed: 0,
        }
    }
}

/// The record of one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: usize,
    /// Mean cross-entropy in nats over the epoch's batches, each before its step.
    pub loss: f64,
    /// Share of the samples that were classified right, likewise.
    pub accuracy: f64,
    /// Loss on the validation split after the epoch, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation split after the epoch, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Time taken in seconds, without validation; the first epoch's has what is done once as well.
    pub seconds: f64,
}

/// What became of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The epochs that were completed.
    pub epochs: Vec<Epoch>,
    /// Whether the observer ended it early; the model then has the last completed epoch's weights.
    pub interrupted: bool,
}

/// What an observer of a training is told.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step is done.
    Step(&'a Progress),
    /// An epoch is done, validation included.
    Epoch(&'a Epoch),
}

/// Where a training stands within an epoch.
#[derive(Debug)]
pub struct Progress {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Steps in an epoch.
    pub steps: usize,
    batch_size: i64,
    logits: Tensor, // [samples, 10], on the device: reading it waits for it
    labels: Tensor, // [samples], in the order of this epoch, as the logits are
}

impl Progress {
    fn new(epoch: usize, labels: Tensor, batch_size: i64) -> Progress {
        let samples = labels.size()[0];
        let steps = labels.numel().div_ceil(batch_size as usize);
        let logits = Tensor::empty([samples, CLASSES as i64], (Kind::Float, labels.device()));
        Progress { epoch, step: 0, steps, batch_size, logits, labels }
    }

    /// Keeps a step's logits. One copy is all that a step pays for its figures.
    fn add(&mut self, logits: &Tensor) {
        let mut place = self.logits.narrow(0, self.seen(), logits.size()[0]);
        no_grad(|| place.copy_(logits));
        self.step += 1;
    }

    /// Samples gone through in this epoch.
    pub fn seen(&self) -> i64 {
        (self.labels.numel() as i64).min(self.step as i64 * self.batch_size)
    }

    /// Mean loss and accuracy of the epoch so far. Waits for the device: do not ask at every step.
    ///
    /// Fails when a loss is not finite, with the step at which that began.
    pub fn metrics(&self) -> Result<(f64, f64)> {
        let seen = self.seen();
        let losses = self.losses()?;
        let (logits, labels) = (self.logits.narrow(0, 0, seen), self.labels.narrow(0, 0, seen));
        let right = logits.argmax(-1, false).eq_tensor(&labels).sum(Kind::Int64).int64_value(&[]);
        let loss: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
        Ok((loss / seen as f64, right as f64 / seen as f64))
    }

    /// The mean loss of each step of the epoch so far. Waits for the device, and fails, likewise.
    pub fn step_losses(&self) -> Result<Vec<f32>> {
        let losses = self.losses()?;
        let steps = losses.chunks(self.batch_size as usize);
        Ok(steps.map(|step| step.iter().sum::<f32>() / step.len() as f32).collect())
    }

    /// The loss of each sample, in the order of the epoch.
    fn losses(&self) -> Result<Vec<f32>> {
        let seen = self.seen();
        let (logits, labels) = (self.logits.narrow(0, 0, seen), self.labels.narrow(0, 0, seen));
        let losses = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::None, -100, 0.);
        let losses = Vec::<f32>::try_from(losses)?;
        if let Some(at) = losses.iter().position(|loss| !loss.is_finite()) {
            bail!(
                "the loss became {} in epoch {}, step {} of {}: the training has diverged; \
                 try a smaller --learning-rate or a larger --batch-size",
                losses[at],
                self.epoch,
                at / self.batch_size as usize + 1,
                self.steps
            );
        }
        Ok(losses)
    }
}

/// Pictures that are augmented at a time, rounded to whole batches: many, so that the tensor
/// operations are large, but not so many that their memory counts.
const CHUNK: i64 = 2048;
/// The first stream of random numbers that augmentation uses, one an epoch.
const AUGMENTATION: u64 = 1 << 32;
/// The first stream of random numbers that outliers use, likewise.
const OUTLIERS: u64 = 1 << 33;

/// What to train on in place of the ink 0. It moves no weight by more than rounding does, but with
/// gradients of exactly 0 RMSprop's averages decay to denormals and zeros, of which square roots and
/// quotients are slow.
const BLANK: f64 = 1e-11;

/// The pixels with ink in any of `images`, and as many others as make the number a multiple of 16,
/// which suits matrix products: int64 indices.
///
/// The weights of the others get no gradient: MNIST's margin is a twelfth of all work.
fn inked(images: &Tensor) -> Result<Tensor> {
    let ink = Vec::<f32>::try_from(images.amax([0i64], false).to_device(Device::Cpu))?;
    let (mut pixels, blank): (Vec<i64>, Vec<i64>) =
        (0..ink.len() as i64).partition(|pixel| ink[*pixel as usize] > 0.);
    let more = pixels.len().max(1).next_multiple_of(16) - pixels.len();
    pixels.extend(blank.iter().take(more));
    pixels.sort_unstable();
    Ok(Tensor::from_slice(&pixels).to_device(images.device()))
}

/// Trains `model` on `samples`.
///
/// `observer` is told of every step and epoch, and ends the training by [`ControlFlow::Break`].
/// The model gets the weights of every complete epoch, and none of an incomplete one. The same
/// model, samples, configuration, device and number of threads give the same weights to the bit.
///
/// Fails when a loss is not finite, or the precision cannot be had on the device. Weights that are
/// not finite never reach the model.
pub fn fit(
    model: &mut Model,
    samples: &Samples,
    config: &Config,
    observer: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<History> {
    ensure!(config.epochs > 0, "0 epochs are no training; choose 1 or more");
    ensure!(
        config.batch_size > 0,
        "a batch size of {} is not possible; choose 1 or more",
        config.batch_size
    );
    ensure!(
        (0. ..1.).contains(&config.validation_split),
        "a validation split of {} is not possible; choose from 0 to below 1",
        config.validation_split
    );
    ensure!(
        (0. ..=1.).contains(&config.outliers),
        "a share of outliers of {} is not possible; choose from 0 to 1",
        config.outliers
    );
    let device = model.device();
    let kind = config.precision.kind(device)?;
    let (training, validation) = samples.split(config.validation_split);
    let count = training.count();
    ensure!(
        count > 0,
        "a validation split of {} leaves none of the {} samples to train on",
        config.validation_split,
        samples.count()
    );
    ensure!(
        config.validation_split == 0. || count < samples.count(),
        "a validation split of {} takes none of the {} samples",
        config.validation_split,
        samples.count()
    );
    let begin = Instant::now();
    let Samples { mut images, labels } = training.to_device(device);

    // Pictures that stay as they are can be made ready once; others have ink nearly everywhere.
    let fixed = config.augment.is_empty() && config.outliers == 0.;
    let pixels = match fixed && !config.optimizer.decays() {
        true => inked(&images)?,
        false => Tensor::arange(PIXELS as i64, (Kind::Int64, device)),
    };
    if fixed {
        images = images.to_kind(kind).index_select(1, &pixels).clamp_min_(BLANK);
    }
    let trained = model.narrowed(&pixels, kind)?;
    let mut optimizer = config.optimizer.build(&trained, config.learning_rate)?;
    let mut history = History { epochs: Vec::new(), interrupted: false };
    let augmenter = (!config.augment.is_empty()).then(|| Augmenter::new(&config.augment, device));
    let chunk = match augmenter {
        None => config.batch_size,
        Some(_) => config.batch_size * (CHUNK / config.batch_size).max(1),
    };
    for epoch in 1..=config.epochs {
        let start = if epoch == 1 { begin } else { Instant::now() };
        let mut order: Vec<i64> = (0..count).collect();
        // Stream 0 is the initial weights'.
        order.shuffle(&mut random(config.seed, epoch as u64));
        let order = Tensor::from_slice(&order).to_device(device);

        let mut progress = Progress::new(epoch, labels.index_select(0, &order), config.batch_size);
        let mut augmented = random(config.seed, AUGMENTATION + epoch as u64);
        let mut strange = random(config.seed, OUTLIERS + epoch as u64);
        let batches = order.split(chunk, 0).into_iter().flat_map(|indices| {
            let images = images.index_select(0, &indices); // [chunk, pixels]
            match &augmenter {
                None => images,
                Some(augmenter) => augmenter.apply(&images, &mut augmented),
            }
            .split(config.batch_size, 0)
        });
        for (images, labels) in batches.zip(progress.labels.split(config.batch_size, 0)) {
            if config.schedule != Schedule::Constant {
                let done = (epoch - 1) as f64 + progress.step as f64 / progress.steps as f64;
                let share = config.schedule.share(done / config.epochs as f64);
                optimizer.set_lr(config.learning_rate * share);
            }
            let batch = images.size()[0]; // images: [batch, pixels]
            let (logits, loss) = if config.outliers > 0. {
                let others = (batch as f64 * config.outliers).ceil() as i64;
                let (others, valid) = outliers(&images.narrow(0, 0, others), &mut strange);
                let all = trained.logits(&Tensor::cat(&[images, others], 0)); // [batch + others, 10]
                let logits = all.narrow(0, 0, batch);
                let unsure = non_digits::loss(&all.narrow(0, batch, valid.size()[0]), &valid);
                let loss = logits.cross_entropy_for_logits(&labels) + unsure * non_digits::WEIGHT;
                (logits, loss)
            } else {
                let logits = trained.logits(&images); // [batch, 10]
                let loss = logits.cross_entropy_for_logits(&labels);
                (logits, loss)
            };
            optimizer.backward_step(&loss);
            progress.add(&logits);
            if observer(Event::Step(&progress)).is_break() {
                history.interrupted = true;
                break;
            }
        }
        // An epoch whose every step was done is complete, even when ended at its last one.
        if progress.step < progress.steps {
            return Ok(history);
        }

        let (loss, accuracy) = progress.metrics()?;
        let seconds = start.elapsed().as_secs_f64();
        let diverged = || {
            format!(
                "the loss or the weights are no longer finite after epoch {epoch}: the training \
                 has diverged; try a smaller --learning-rate or a larger --batch-size"
            )
        };
        ensure!(trained.is_finite(), diverged());
        model.take(&trained, &pixels);
        let validated = match config.validation_split {
            0. => None,
            _ => Some(evaluation::evaluate(model, &validation).context("cannot validate")?),
        };
        ensure!(validated.as_ref().is_none_or(|v| v.loss.is_finite()), diverged());
        let record = Epoch {
            epoch,
            loss,
            accuracy,
            validation_loss: validated.as_ref().map(|v| v.loss),
            validation_accuracy: validated.as_ref().map(|v| v.accuracy),
            seconds,
        };
        let flow = observer(Event::Epoch(&record));
        history.epochs.push(record);
        history.interrupted |= flow.is_break() && epoch < config.epochs;
        if history.interrupted {
            break;
        }
    }
    Ok(history)
}
