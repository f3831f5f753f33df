//! What `mnist train` does.

use std::process::ExitCode;

use anyhow::Result;
use image::RgbImage;

use super::Args;
use crate::commands::console::print_json;
use crate::commands::interrupt;
use crate::commands::progress::Display;
use crate::dataset::Data;
use crate::experiments::run::{Run, Test};
use crate::files::atomic;
use crate::network::device;
use crate::network::model::Model;
use crate::output::plot;
use crate::output::tensorboard::TrainingLog;
use crate::output::text;
use crate::training::evaluation::mistakes;
use crate::training::{Config, Event, fit};
use crate::weights;

impl Args {
    /// Trains, saves and evaluates. Ctrl-C and SIGTERM end after the current batch, keep the last
    /// complete epoch's weights and give the exit codes 130 and 143.
    pub fn run(&self) -> Result<ExitCode> {
        let stop = interrupt::stop_on_signal()?;
        weights::check_output(&self.output)?;
        if let Some(path) = &self.plot {
            atomic::prepare(path)?;
        }
        let (device, reason) = self.training.machine.start(None)?;
        let mut model = self.training.model("train", self.training.seed, device)?;
        let data = self.training.data()?;
        let config = self.training.config(&model, self.optimizer, None, self.training.seed);
        let configuration = self.training.configuration(&model, &data, config.clone())?;

        let mut log = match &self.log_dir {
            Some(folder) => Some(TrainingLog::create(folder, config.validation_split > 0.)?),
            None => None,
        };

        let mut display = Display::new(config.epochs, self.json);
        // What cannot be shown must not cost the run; it is reported at the end.
        let mut failure =
            display.line(&format!("Device: {} ({reason})", device::name(device))).err();
        let mut step_losses = Vec::new();
        let history = fit(&mut model, &data.train, &config, &mut |event| {
            let logged = match (&mut log, &event) {
                // The losses of an epoch's steps are computed together, at its last one.
                (Some(_), Event::Step(progress)) if progress.step == progress.steps => {
                    progress.step_losses().map(|losses| step_losses = losses)
                }
                (Some(log), Event::Epoch(epoch)) => {
                    let rate = config.learning_rate_at(epoch.epoch as f64);
                    log.epoch(epoch, rate, &step_losses)
                }
                _ => Ok(()),
            };
            if let Err(error) = logged.and(display.show(event)) {
                failure.get_or_insert(error);
            }
            interrupt::flow(&stop)
        })?;
        display.clear();
        if history.epochs.is_empty() {
            display.line("Interrupted before the first epoch was complete; nothing is saved")?;
            return Ok(interrupt::exit_code(&stop));
        }

        let test = Test::of(&model, &data.test)?;
        let run = Run::new(configuration, history.epochs, test);
        let mut record = serde_json::to_value(&run)?;
        record["interrupted"] = history.interrupted.into();
        weights::save_model(&model, &mut record, &self.output)?;
        if let Some(path) = &self.plot {
            plot::save(&plot::training(&run.history), path)?;
        }
        if let Some(log) = &mut log {
            let image = mistakes_of(&model, &data, &config)?;
            log.mistakes(run.history.len(), &image)?;
        }
        if let Some(error) = failure {
            return Err(error);
        }

        if history.interrupted {
            let epochs = run.history.len();
            display.line(&format!("Interrupted: these are the weights of epoch {epochs}"))?;
        }
        display.line(&format!("Test: {}", text::figures(test.loss, test.accuracy)))?;
        let output = text::escape(&self.output.display().to_string());
        display.line(&format!("Saved: {output}"))?;
        if self.json {
            print_json(&record)?;
        }
        Ok(if history.interrupted { interrupt::exit_code(&stop) } else { ExitCode::SUCCESS })
    }
}

/// What the network gets wrong, of the validation split, else of the test set.
fn mistakes_of(model: &Model, data: &Data, config: &Config) -> Result<RgbImage> {
    let (_, split) = data.train.split(config.validation_split);
    let (samples, of) = match config.validation_split {
        0. => (&data.test, "test set"),
        _ => (&split, "validation split"),
    };
    plot::to_pixels(&plot::mistakes(&mistakes(model, samples)?, of, plot::MOST))
}
