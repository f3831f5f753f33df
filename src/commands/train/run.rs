//! What `mnist train` does.

use std::env;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use image::RgbImage;
use serde_json::Value;

use super::{Args, place};
use crate::commands::console::{note, print_json};
use crate::commands::interrupt;
use crate::commands::progress::Display;
use crate::dataset::{Data, Samples};
use crate::experiments::run::{Run, SetTest, Test};
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
    /// Trains, saves and evaluates. Ctrl-C, SIGTERM and SIGHUP end after the current batch, keep the
    /// last complete epoch's weights and give the exit codes 130, 143 and 129.
    pub fn run(&self) -> Result<ExitCode> {
        let (started, clock) = (SystemTime::now(), Instant::now());
        let stop = interrupt::stop_on_signal()?;
        weights::check_output(&self.output)?;
        if let Some(path) = &self.plot {
            atomic::prepare(path)?;
        }
        let (device, reason) = self.training.machine.start(None)?;
        let mut model = self.training.model("train", self.training.seed, device)?;
        let data = self.training.data()?;
        let config = self.training.config(&model, &data, self.optimizer, None, self.training.seed);
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
        let sets = SetTest::of_parts(&model, &data)?;
        let run = Run { sets, ..Run::new(configuration, history.epochs, test) };
        let mut record = serde_json::to_value(&run)?;
        record["interrupted"] = history.interrupted.into();
        record["started"] = humantime::format_rfc3339_seconds(started).to_string().into();
        record["seconds"] = clock.elapsed().as_secs_f64().into();
        let output = self.save(&model, &mut record, history.interrupted, &data.test)?;
        if let Some(path) = &self.plot {
            plot::save(&plot::training(&run.history), path)?;
        }
        if let Some(log) = &mut log {
            let image = mistakes_of(&model, &data, &config)?;
            log.mistakes(run.history.len(), &image)?;
        }
        let shown = failure.map_or(Ok(()), Err).and_then(|()| {
            report(&display, &run, history.interrupted, &output)?;
            if self.json { print_json(&record) } else { Ok(()) }
        });
        match history.interrupted {
            // A terminal that was closed shows nothing more.
            true => return Ok(interrupt::exit_code(&stop)),
            false => shown?,
        }
        Ok(if output == self.output { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Saves the weights with their record, and returns where: at `--output`, or beside it if that
    /// is to be kept, which is noted.
    fn save(
        &self,
        model: &Model,
        record: &mut Value,
        interrupted: bool,
        test: &Samples,
    ) -> Result<PathBuf> {
        record["command"] = command_line().into();
        let kept = match self.force {
            true => None,
            false => place::why_kept(model, interrupted, &self.output, test)?,
        };
        let output = match kept {
            None => self.output.clone(),
            Some(why) => {
                let there = self.output.display();
                note(&format!("warning: {there} is kept ({why}); --force replaces it"));
                place::beside(&self.output)
            }
        };
        weights::save_model(model, record, &output)?;
        Ok(output)
    }
}

/// Says how training ended, how good the network is and where it lies.
fn report(display: &Display, run: &Run, interrupted: bool, output: &Path) -> Result<()> {
    if interrupted {
        let epochs = run.history.len();
        display.line(&format!("Interrupted: these are the weights of epoch {epochs}"))?;
    }
    for SetTest { data, test, .. } in &run.sets {
        let figures = text::figures(test.loss, test.accuracy);
        display.line(&text::escape(&format!("Test of {data}: {figures}")))?;
    }
    display.line(&format!("Test: {}", text::figures(run.test.loss, run.test.accuracy)))?;
    display.line(&format!("Saved: {}", text::escape(&output.display().to_string())))
}

/// The command line as it was given, but for where the program lies.
fn command_line() -> Vec<String> {
    let arguments = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    iter::once("mnist".into()).chain(arguments).collect()
}

/// What the network gets wrong, of the validation split, else of the test set.
fn mistakes_of(model: &Model, data: &Data, config: &Config) -> Result<RgbImage> {
    let (_, split) = config.split(&data.train)?;
    let (samples, of) = match config.validation_split {
        0. => (&data.test, "test set"),
        _ => (&split, "validation split"),
    };
    plot::to_pixels(&plot::mistakes(&mistakes(model, samples)?, of, plot::MOST))
}
