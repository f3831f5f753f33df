//! What the verbs that train have in common.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tch::Device;

use super::args::machine::MachineArgs;
use super::args::share;
use crate::dataset::augment::Augment;
use crate::dataset::{self, Data, Samples, sha256_hex};
use crate::experiments::runs::{Configuration, Test};
use crate::network::device;
use crate::network::model::{MAX_HIDDEN, Model};
use crate::training::evaluation::{self, Evaluation};
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Precision, Schedule};
use crate::weights;

/// The number of hidden units when neither `--hidden` nor `--init` tells.
const DEFAULT_HIDDEN: i64 = 512;

/// How to train, but for the optimizer.
#[derive(Debug, clap::Args)]
pub struct TrainingArgs {
    /// Folder with a data set in MNIST's layout, raw or .gz [default: the built-in MNIST]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Hidden units [default: 512, or those of --init]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=MAX_HIDDEN))]
    hidden: Option<i64>,
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
    /// Numbers that the large matrix products are computed with
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Determines initial weights and order of samples
    #[arg(long, default_value_t = Config::default().seed, allow_negative_numbers = true)]
    pub seed: u64,
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Go on from these weights instead of random ones
    #[arg(long, value_name = "WEIGHTS")]
    init: Option<PathBuf>,
}

/// A learning rate, from the command line.
pub fn learning_rate(text: &str) -> Result<f64, String> {
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

impl TrainingArgs {
    /// The network to start from.
    pub fn model(&self, seed: u64, device: Device) -> Result<Model> {
        self.precision.kind(device)?; // before anything is written
        let model = match &self.init {
            None => Model::new(self.hidden.unwrap_or(DEFAULT_HIDDEN), seed, device)?,
            Some(path) => {
                let plain = path.is_file() || path.is_dir() || !path.exists();
                ensure!(
                    plain,
                    "--init {} is no plain file, but is read more than once; save it to one first",
                    path.display()
                );
                weights::load(path, device)?
            }
        };
        if let Some(hidden) = self.hidden.filter(|hidden| *hidden != model.hidden()) {
            bail!("--init has {} hidden units, not {hidden}; leave --hidden away", model.hidden());
        }
        Ok(model)
    }

    /// The data set to train and test on.
    pub fn data(&self) -> Result<Data> {
        dataset::load(self.data.as_deref())
    }

    /// How to train with `optimizer`, at `rate` if one is given.
    pub fn config(&self, optimizer: Optimizer, rate: Option<f64>, seed: u64) -> Config {
        let rate = rate.or(self.learning_rate);
        Config {
            optimizer,
            learning_rate: rate.unwrap_or(optimizer.default_learning_rate()),
            schedule: self.schedule,
            augment: self.augment.clone(),
            outliers: self.outliers,
            epochs: self.epochs as usize,
            batch_size: self.batch_size,
            validation_split: self.validation_split,
            precision: self.precision,
            seed,
        }
    }

    /// All that decides what becomes of training `model` on `data` so.
    pub fn configuration(
        &self,
        model: &Model,
        data: &Data,
        config: Config,
    ) -> Result<Configuration> {
        let init_sha256 = match &self.init {
            None => None,
            Some(path) => Some(sha256_hex(
                &fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
            )),
        };
        let name = |path: &PathBuf| path.to_string_lossy().into_owned();
        Ok(Configuration {
            data: self.data.as_ref().map_or("built-in MNIST".into(), name),
            data_sha256: data.sha256.clone(),
            init: self.init.as_ref().map(name),
            init_sha256,
            hidden: model.hidden(),
            config,
            device: device::name(model.device()),
            threads: tch::get_num_threads(),
        })
    }
}

/// Becomes the number of the signal at the first Ctrl-C or SIGTERM; the second one ends the program at
/// once. Nothing is torn down then, while libtorch is still computing on the main thread.
pub fn stop_on_signal() -> Result<Arc<AtomicUsize>> {
    let (stop, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, again.clone())
            .and_then(|_| flag::register(signal, again.clone()))
            .and_then(|_| flag::register_usize(signal, stop.clone(), signal as usize))
            .context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}

/// Whether to go on with a training.
pub fn flow(stop: &AtomicUsize) -> ControlFlow<()> {
    match stop.load(Ordering::Relaxed) {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

/// The exit code of a program that was ended by the signal: 130 after Ctrl-C, 143 after SIGTERM.
pub fn interrupted(stop: &AtomicUsize) -> ExitCode {
    (128 + stop.load(Ordering::Relaxed) as u8).into()
}

/// Loss and accuracy of a trained network on the test set.
pub fn test(model: &Model, samples: &Samples) -> Result<Test> {
    let Evaluation { loss, accuracy, .. } = evaluation::evaluate(model, samples)?;
    ensure!(
        loss.is_finite(),
        "the loss on the test set is {loss}: the training has diverged, nothing is saved; \
         try a smaller --learning-rate"
    );
    Ok(Test { loss, accuracy })
}

/// A progress bar that looks like `template`, hidden where standard error is no terminal.
pub fn bar(template: &str) -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    bar.set_style(style.progress_chars("=>."));
    bar
}

/// Writes a line on the progress of a training; to standard error where JSON goes to output.
pub fn line(to_stderr: bool, text: &str) -> Result<()> {
    match to_stderr {
        true => writeln!(io::stderr(), "{text}")?,
        false => writeln!(io::stdout(), "{text}")?,
    }
    Ok(())
}
