//! `mnist train`: data → weights.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{DEFAULT_WEIGHTS, MachineArgs, print_json, share};
use crate::augment::Augment;
use crate::model::{MAX_HIDDEN, Model};
use crate::optimizer::Optimizer;
use crate::train::{Config, Event, Progress, Schedule, fit};
use crate::{LIBTORCH, VERSION, data, device, metrics, report, weights};

/// Exit code of a program that was ended by Ctrl-C.
const INTERRUPTED: u8 = 130;
/// The number of hidden units when neither `--hidden` nor `--init` tells.
const DEFAULT_HIDDEN: i64 = 512;

/// Train the network, save its weights and measure them on the test set
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder with a data set in MNIST's layout, raw or .gz [default: the built-in MNIST]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Hidden units [default: 512, or those of --init]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=MAX_HIDDEN))]
    hidden: Option<i64>,
    /// Optimizer, with Keras's constants
    #[arg(long, value_enum, default_value_t = Config::default().optimizer)]
    optimizer: Optimizer,
    /// Learning rate [default: 0.001; sgd: 0.01]
    #[arg(long, value_name = "RATE", value_parser = learning_rate, allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// How the learning rate changes
    #[arg(long, value_enum, default_value_t = Schedule::Constant)]
    schedule: Schedule,
    /// Change the pictures anew in every epoch, in these ways or, without any named, in all
    #[arg(long, value_enum, value_name = "WAY", num_args = 0.., value_delimiter = ',', default_missing_values = ["affine", "elastic", "stroke"])]
    augment: Vec<Augment>,
    /// Show as well, as a share of the training set, pictures that are no digit, halves and pairs,
    /// and teach the network to be unsure of them: 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = share::<f64>, allow_negative_numbers = true)]
    outliers: f64,
    /// Times to go through the training set
    #[arg(long, value_name = "N", default_value_t = Config::default().epochs as u32, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Samples in a step
    #[arg(long, value_name = "N", default_value_t = Config::default().batch_size, value_parser = clap::value_parser!(i64).range(1..=i64::from(i32::MAX)))]
    batch_size: i64,
    /// Share of the training set, its last part, to keep for validation: 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = Config::default().validation_split, value_parser = validation_split, allow_negative_numbers = true)]
    validation_split: f64,
    /// Determines initial weights and order of samples
    #[arg(long, default_value_t = Config::default().seed, allow_negative_numbers = true)]
    seed: u64,
    #[command(flatten)]
    machine: MachineArgs,
    /// Where to save the weights (.safetensors or .ot); a .json of the same name goes beside
    #[arg(long, value_name = "FILE", default_value = DEFAULT_WEIGHTS, value_parser = weights::file_name)]
    output: PathBuf,
    /// Go on from these weights instead of random ones
    #[arg(long, value_name = "WEIGHTS")]
    init: Option<PathBuf>,
    /// Print the record of the training as JSON at the end, progress on standard error
    #[arg(long)]
    json: bool,
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if Optimizer::takes_learning_rate(rate) => Ok(rate),
        _ => Err("choose a number above 0, usually well below 1".into()),
    }
}

fn validation_split(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0. ..1.).contains(&share) => Ok(share),
        _ => Err("choose a number from 0 to below 1".into()),
    }
}

impl Args {
    /// Trains, saves and evaluates. Ctrl-C ends after the current batch, keeps the last complete
    /// epoch's weights and gives the exit code 130.
    pub fn run(&self) -> Result<ExitCode> {
        let stop = stop_on_interrupt()?;
        weights::check_output(&self.output)?;
        let (device, reason) = self.machine.start()?;
        let mut model = match &self.init {
            None => Model::new(self.hidden.unwrap_or(DEFAULT_HIDDEN), self.seed, device)?,
            Some(path) => weights::load(path, device)?,
        };
        if let Some(hidden) = self.hidden.filter(|hidden| *hidden != model.hidden()) {
            bail!("--init has {} hidden units, not {hidden}; leave --hidden away", model.hidden());
        }
        let data = data::load(self.data.as_deref())?;
        let config = Config {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate.unwrap_or(self.optimizer.default_learning_rate()),
            schedule: self.schedule,
            augment: self.augment.clone(),
            outliers: self.outliers,
            epochs: self.epochs as usize,
            batch_size: self.batch_size,
            validation_split: self.validation_split,
            seed: self.seed,
        };

        let mut display = Display::new(config.epochs, self.json);
        // What cannot be shown must not cost the training; it is reported at the end.
        let mut failure =
            display.line(&format!("Device: {} ({reason})", device::name(device))).err();
        let history = fit(&mut model, &data.train, &config, &mut |event| {
            if let Err(error) = display.show(event) {
                failure.get_or_insert(error);
            }
            match stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        display.clear();
        if history.epochs.is_empty() {
            display.line("Interrupted before the first epoch was complete; nothing is saved")?;
            return Ok(INTERRUPTED.into());
        }

        let test = metrics::evaluate(&model, &data.test)?;
        ensure!(
            test.loss.is_finite(),
            "the loss on the test set is {}: the training has diverged, nothing is saved; \
             try a smaller --learning-rate",
            test.loss
        );
        let sha256 = weights::save(&model, &self.output)?;
        let record = json!({
            "format": 1,
            "program": format!("tch-mnist {VERSION}"),
            "libtorch": LIBTORCH,
            "configuration": {
                "data": self.data.as_ref().map_or("built-in MNIST".into(), |dir| dir.to_string_lossy()),
                "init": self.init.as_ref().map(|path| path.to_string_lossy()),
                "hidden": model.hidden(),
                "optimizer": config.optimizer,
                "learning_rate": config.learning_rate,
                "schedule": config.schedule,
                "augment": config.augment,
                "outliers": config.outliers,
                "epochs": config.epochs,
                "batch_size": config.batch_size,
                "validation_split": config.validation_split,
                "seed": config.seed,
                "device": device::name(device),
                "threads": tch::get_num_threads(),
            },
            "history": history.epochs,
            "interrupted": history.interrupted,
            "test": {"loss": test.loss, "accuracy": test.accuracy},
            "weights": {"file": self.output.file_name().map(|name| name.to_string_lossy()), "sha256": sha256},
        });
        weights::save_record(&record, &self.output)?;
        if let Some(error) = failure {
            return Err(error);
        }

        if history.interrupted {
            display.line(&format!(
                "Interrupted: these are the weights of epoch {}",
                history.epochs.len()
            ))?;
        }
        display.line(&format!("Test: {}", report::figures(test.loss, test.accuracy)))?;
        display.line(&format!("Saved: {}", self.output.display()))?;
        if self.json {
            print_json(&mut io::stdout().lock(), &record)?;
        }
        Ok(if history.interrupted { INTERRUPTED.into() } else { ExitCode::SUCCESS })
    }
}

/// Becomes true at the first Ctrl-C; the second ends the program at once.
#[allow(unsafe_code)]
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            // SAFETY: it only ends the process. Nothing is torn down, unlike by `exit`, while libtorch
            // is still computing on the main thread.
            unsafe { libc::_exit(INTERRUPTED.into()) };
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
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
        let target = match io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{prefix} {pos:>5}/{len} [{wide_bar}] {msg}");
        bar.set_style(style.expect("the template is valid").progress_chars("=>."));
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
                    report::epoch(epoch)
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
                report::figures(loss, accuracy)
            ));
        }
    }

    fn clear(&self) {
        if !self.bar.is_hidden() {
            self.bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) -> Result<()> {
        match self.to_stderr {
            true => writeln!(io::stderr(), "{text}")?,
            false => writeln!(io::stdout(), "{text}")?,
        }
        Ok(())
    }
}
