//! What an observer of training sees, and the history that is left at the end.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor, no_grad};

use crate::CLASSES;

/// The record of one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: usize,
    /// Mean cross-entropy in nats over the epoch's batches, each before its step.
    pub loss: f64,
    /// Share of the samples that were classified correctly, likewise.
    pub accuracy: f64,
    /// Loss on the validation split after the epoch, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation split after the epoch, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// The learning rate, where the epochs before decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Time taken in seconds, without validation; the first epoch's includes what is done once.
    pub seconds: f64,
}

/// The epochs of a training run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The epochs that were completed.
    pub epochs: Vec<Epoch>,
    /// Whether the observer ended it early; the model then has the last completed epoch's weights.
    pub interrupted: bool,
}

/// What an observer of training sees.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step is done.
    Step(&'a Progress),
    /// An epoch is done, validation included.
    Epoch(&'a Epoch),
}

/// How far training is within an epoch.
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
    /// At the beginning of an epoch with the `labels` `[samples]` in its order.
    pub(super) fn new(epoch: usize, labels: Tensor, batch_size: i64) -> Progress {
        let samples = labels.size()[0];
        let steps = labels.numel().div_ceil(batch_size as usize);
        let logits = Tensor::empty([samples, CLASSES as i64], (Kind::Float, labels.device()));
        Progress { epoch, step: 0, steps, batch_size, logits, labels }
    }

    /// Keeps a step's logits. One copy is all that a step pays for its figures.
    pub(super) fn add(&mut self, logits: &Tensor) {
        let mut place = self.logits.narrow(0, self.seen(), logits.size()[0]);
        no_grad(|| place.copy_(logits));
        self.step += 1;
    }

    /// Whether every step of the epoch is done.
    pub(super) fn is_complete(&self) -> bool {
        self.step == self.steps
    }

    /// Epochs done since training began, this one in part.
    pub(super) fn epochs_done(&self) -> f64 {
        (self.epoch - 1) as f64 + self.step as f64 / self.steps as f64
    }

    /// Number of samples used in this epoch so far.
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
                "the loss became {} in epoch {}, step {} of {}: training has diverged; \
                 try a smaller learning rate or a larger batch size",
                losses[at],
                self.epoch,
                at / self.batch_size as usize + 1,
                self.steps
            );
        }
        Ok(losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five samples in batches of two, three of whose logits are known.
    fn progress(third: f32) -> Progress {
        let mut progress = Progress::new(2, Tensor::from_slice(&[0i64, 1, 2, 3, 4]), 2);
        let logits = |rows: [[f32; 10]; 2]| Tensor::from_slice(&rows.concat()).view([2, 10]);
        let mut sure = [0.; 10];
        sure[0] = 9f32.ln(); // of which softmax makes 9 / 18
        progress.add(&logits([sure, [0.; 10]]));
        progress.add(&logits([[third; 10], [0.; 10]]));
        progress
    }

    #[test]
    fn metrics_are_over_the_samples_seen_so_far() {
        let progress = progress(0.);
        assert_eq!((progress.step, progress.steps, progress.seen()), (2, 3, 4));
        assert!((progress.epochs_done() - (1. + 2. / 3.)).abs() < 1e-12 && !progress.is_complete());
        let (loss, accuracy) = progress.metrics().unwrap();
        let first = (2f64.ln() + 10f64.ln()) / 2.;
        assert!((loss - (first + 10f64.ln()) / 2.).abs() < 1e-6, "{loss}");
        assert_eq!(accuracy, 0.25);
        let losses = progress.step_losses().unwrap();
        assert!((f64::from(losses[0]) - first).abs() < 1e-6 && losses.len() == 2, "{losses:?}");
    }

    #[test]
    fn a_loss_that_is_not_finite_is_an_error_that_names_the_step() {
        let error = progress(f32::NAN).metrics().unwrap_err().to_string();
        assert!(error.starts_with("the loss became NaN in epoch 2, step 2 of 3: "), "{error}");
    }
}
