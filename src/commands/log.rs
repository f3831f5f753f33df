//! `mnist train --log-dir`: the course of a training for TensorBoard, laid out and named as Keras's
//! callback does (<https://keras.io/api/callbacks/tensorboard/>).

use std::path::Path;

use anyhow::Result;

use crate::dataset::{Data, Samples};
use crate::network::model::Model;
use crate::output::plot;
use crate::output::tensorboard::Events;
use crate::training::evaluation;
use crate::training::{Config, Epoch, Progress};

/// Two runs for TensorBoard, whose curves of the same name it puts into one chart.
pub struct Log {
    train: Events,
    validation: Option<Events>,
    losses: Vec<f32>,
}

impl Log {
    /// Begins event files in the folders `train` and, if there is a split, `validation`.
    pub fn create(folder: &Path, config: &Config) -> Result<Log> {
        Ok(Log {
            train: Events::create(&folder.join("train"))?,
            validation: match config.validation_split {
                0. => None,
                _ => Some(Events::create(&folder.join("validation"))?),
            },
            losses: Vec::new(),
        })
    }

    /// Keeps the losses of an epoch's steps, when it is at its last one: they are computed together.
    pub fn step(&mut self, progress: &Progress) -> Result<()> {
        if progress.step == progress.steps {
            self.losses = progress.step_losses()?;
        }
        Ok(())
    }

    /// Writes down an epoch.
    pub fn epoch(&mut self, epoch: &Epoch, config: &Config) -> Result<()> {
        let steps = self.losses.len();
        for (at, loss) in self.losses.drain(..).enumerate() {
            let step = (epoch.epoch - 1) * steps + at;
            self.train.scalars(step, &[("batch_loss", loss.into())])?;
        }
        let share = config.schedule.share(epoch.epoch as f64 / config.epochs as f64);
        self.train.scalars(
            epoch.epoch,
            &[
                ("epoch_loss", epoch.loss),
                ("epoch_accuracy", epoch.accuracy),
                ("epoch_learning_rate", config.learning_rate * share),
            ],
        )?;
        let validated = epoch.validation_loss.zip(epoch.validation_accuracy);
        if let (Some(events), Some((loss, accuracy))) = (&mut self.validation, validated) {
            let scalars = [("epoch_loss", loss), ("epoch_accuracy", accuracy)];
            events.scalars(epoch.epoch, &scalars)?;
        }
        Ok(())
    }

    /// Shows what the network gets wrong at the end: of the validation split, else of the test set.
    pub fn mistakes(
        &mut self,
        model: &Model,
        data: &Data,
        config: &Config,
        epochs: usize,
    ) -> Result<()> {
        let (_, split) = data.train.split(config.validation_split);
        let (events, samples, of): (_, &Samples, _) = match &mut self.validation {
            Some(events) => (events, &split, "validation split"),
            None => (&mut self.train, &data.test, "test set"),
        };
        let picture = plot::mistakes(&evaluation::mistakes(model, samples)?, of);
        events.picture(epochs, "mistakes", &plot::to_pixels(&picture)?)
    }
}
