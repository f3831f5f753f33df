//! `mnist train`: data → weights.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;

use super::args::weights::DEFAULT_WEIGHTS;
use super::console::print_json;
use super::log::Log;
use super::training::{self, TrainingArgs};
use crate::experiments::runs::Run;
use crate::files::atomic;
use crate::network::device;
use crate::output::plot;
use crate::output::text;
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Event, Progress, fit};
use crate::weights;

/// Train the network, save its weights and measure them on the test set
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Optimizer, with Keras's constants
    #[arg(long, value_enum, default_value_t = Config::default().optimizer)]
    optimizer: Optimizer,
    #[command(flatten)]
    training: TrainingArgs,
    /// Where to save the weights (.safetensors, .ot, .h5, .keras or .onnx); a .json of the same name
    /// goes beside
    #[arg(long, value_name = "FILE", default_value = DEFAULT_WEIGHTS, value_parser = weights::file_name)]
    output: PathBuf,
    /// Draw loss and accuracy by epoch into this file, whose extension names the format, .png or .svg
    #[arg(long, value_name = "FILE", value_parser = plot::file_name)]
    plot: Option<PathBuf>,
    /// Write event files for TensorBoard into this folder: loss, accuracy, rate, and mistakes
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Print the record of the training as JSON at the end, progress on standard error
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Trains, saves and evaluates. Ctrl-C and SIGTERM end after the current batch, keep the last
    /// complete epoch's weights and give the exit codes 130 and 143.
    pub fn run(&self) -> Result<ExitCode> {
        let stop = training::stop_on_signal()?;
        weights::check_output(&self.output)?;
        if let Some(path) = &self.plot {
            atomic::prepare(path)?;
        }
        let (device, reason) = self.training.machine.start()?;
        let mut model = self.training.model(self.training.seed, device)?;
        let data = self.training.data()?;
        let config = self.training.config(self.optimizer, None, self.training.seed);
        let configuration = self.training.configuration(&model, &data, config.clone())?;

        let mut log = match &self.log_dir {
            Some(folder) => Some(Log::create(folder, &config)?),
            None => None,
        };

        let mut display = Display::new(config.epochs, self.json);
        // What cannot be shown must not cost the training; it is reported at the end.
        let mut failure =
            display.line(&format!("Device: {} ({reason})", device::name(device))).err();
        let history = fit(&mut model, &data.train, &config, &mut |event| {
            let logged = match (&mut log, &event) {
                (Some(log), Event::Step(progress)) => log.step(progress),
                (Some(log), Event::Epoch(epoch)) => log.epoch(epoch, &config),
                (None, _) => Ok(()),
            };
            if let Err(error) = logged.and(display.show(event)) {
                failure.get_or_insert(error);
            }
            training::flow(&stop)
        })?;
        display.clear();
        if history.epochs.is_empty() {
            display.line("Interrupted before the first epoch was complete; nothing is saved")?;
            return Ok(training::interrupted(&stop));
        }

        let test = training::test(&model, &data.test)?;
        let run = Run::new(configuration, history.epochs, test);
        let mut record = serde_json::to_value(&run)?;
        record["interrupted"] = history.interrupted.into();
        weights::save_with_record(&model, &mut record, &self.output)?;
        if let Some(path) = &self.plot {
            plot::save(&plot::training(&run.history), path)?;
        }
        if let Some(log) = &mut log {
            log.mistakes(&model, &data, &config, run.history.len())?;
        }
        if let Some(error) = failure {
            return Err(error);
        }

        if history.interrupted {
            let epochs = run.history.len();
            display.line(&format!("Interrupted: these are the weights of epoch {epochs}"))?;
        }
        display.line(&format!("Test: {}", text::figures(test.loss, test.accuracy)))?;
        display.line(&format!("Saved: {}", self.output.display()))?;
        if self.json {
            print_json(&mut io::stdout().lock(), &record)?;
        }
        Ok(if history.interrupted { training::interrupted(&stop) } else { ExitCode::SUCCESS })
    }
}

/// A line per epoch, and while it lasts, on a terminal, a bar.
struct Display {
    epochs: usize,
    to_stderr: bool,
    bar: ProgressBar,
    drawn: Instant,
}

impl Display {
    fn new(epochs: usize, to_stderr: bool) -> Display {
        let bar = training::bar("{prefix} {pos:>5}/{len} [{wide_bar}] {msg}");
        Display { epochs, to_stderr, bar, drawn: Instant::now() }
    }

    fn show(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Step(progress) => {
                if !self.bar.is_hidden() {
                    self.step(progress);
                }
                Ok(())
            }
            Event::Epoch(epoch) => {
                self.clear();
                self.line(&format!(
                    "Epoch {}/{} - {:.2}s - {}",
                    epoch.epoch,
                    self.epochs,
                    epoch.seconds,
                    text::epoch(epoch)
                ))
            }
        }
    }

    fn step(&mut self, progress: &Progress) {
        if progress.step == 1 {
            self.bar.set_length(progress.steps as u64);
            self.bar.reset();
            self.bar.set_message("");
            self.bar.set_prefix(format!("Epoch {}/{}", progress.epoch, self.epochs));
        }
        // Reading the figures waits for the device, so ten times a second at most.
        if self.drawn.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.drawn = Instant::now();
        if let Ok((loss, accuracy)) = progress.metrics() {
            let milliseconds = 1e3 * self.bar.elapsed().as_secs_f64() / progress.step as f64;
            self.bar.set_position(progress.step as u64);
            self.bar.set_message(format!(
                "{milliseconds:.1} ms/step - {}",
                text::figures(loss, accuracy)
            ));
        }
    }

    fn clear(&self) {
        if !self.bar.is_hidden() {
            self.bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) -> Result<()> {
        training::line(self.to_stderr, text)
    }
}
