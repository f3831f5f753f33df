//! How to train: what `train` and `compare` share.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tch::Device;

use super::choices::{AUGMENTS, PRECISIONS, SCHEDULES, name, one_of};
use super::machine::MachineArgs;
use super::share;
use super::weights::note_doubt;
use crate::commands::cli::wrong_usage;
use crate::dataset::augment::Augment;
use crate::dataset::{self, Data, sha256_hex};
use crate::experiments::run::Configuration;
use crate::network::device;
use crate::network::kernels;
use crate::network::model::{MAX_HIDDEN, Model};
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Precision, Schedule};
use crate::weights::{self, Loaded};

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
    #[arg(long, value_parser = one_of(SCHEDULES), default_value = name(SCHEDULES, Config::default().schedule))]
    schedule: Schedule,
    /// Change the images anew in every epoch, in these ways [if none is named: affine, elastic,
    /// stroke]
    #[arg(long, value_parser = one_of(AUGMENTS), value_name = "WAY", num_args = 0.., value_delimiter = ',', default_missing_values = ["affine", "elastic", "stroke"])]
    augment: Vec<Augment>,
    /// Show non-digits as well, halves and pairs of digits, as a share of the training set from 0 to
    /// 1, and teach the network to be unsure of them
    #[arg(long = "outliers", visible_alias = "non-digits", value_name = "SHARE", default_value_t = 0., value_parser = share::<f64>, allow_negative_numbers = true)]
    non_digits: f64,
    /// Passes over the training set
    #[arg(long, value_name = "N", default_value_t = Config::default().epochs as u32, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Samples in a step
    #[arg(long, value_name = "N", default_value_t = Config::default().batch_size, value_parser = clap::value_parser!(i64).range(1..=i64::from(i32::MAX)))]
    batch_size: i64,
    /// Share of the training set, its last part, to keep for validation: 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = Config::default().validation_split, value_parser = validation_split, allow_negative_numbers = true)]
    validation_split: f64,
    /// Numbers that the large matrix products are computed with
    #[arg(long, value_parser = one_of(PRECISIONS), default_value = name(PRECISIONS, Config::default().precision))]
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
        Ok(rate) if Optimizer::check_learning_rate(rate).is_ok() => Ok(rate),
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
    /// The network that `verb` starts from; notes what is wrong with the record of `--init`.
    pub fn model(&self, verb: &str, seed: u64, device: Device) -> Result<Model> {
        let Loaded { model, doubt, .. } = self.initial(verb, seed, device)?;
        note_doubt(doubt.as_deref());
        Ok(model)
    }

    /// Does as [`Self::model`], but with nothing to be noted: for more of the same.
    pub fn initial(&self, verb: &str, seed: u64, device: Device) -> Result<Loaded> {
        self.precision.kind(device)?; // before anything is written
        let loaded = match &self.init {
            None => Loaded {
                model: Model::new(self.hidden.unwrap_or(DEFAULT_HIDDEN), seed, device)?,
                record: None,
                doubt: None,
            },
            Some(path) => {
                let plain = path.is_file() || path.is_dir() || !path.exists();
                ensure!(
                    plain,
                    "--init {} is no regular file, but is read more than once; save it to a file first",
                    path.display()
                );
                weights::open(path, device)?
            }
        };
        if let Some(hidden) = self.hidden.filter(|hidden| *hidden != loaded.model.hidden()) {
            let own = loaded.model.hidden();
            let message = format!("--init has {own} hidden units, not {hidden}; omit --hidden");
            return Err(wrong_usage(verb, message));
        }
        Ok(loaded)
    }

    /// The data set to train and test on.
    pub fn data(&self) -> Result<Data> {
        dataset::load(self.data.as_deref())
    }

    /// The learning rate of `optimizer`: `own` if it has one, else as told for all.
    pub fn learning_rate(&self, optimizer: Optimizer, own: Option<f64>) -> f64 {
        own.or(self.learning_rate).unwrap_or(optimizer.default_learning_rate())
    }

    /// How to train with `optimizer`, at the rate `own` if it has one.
    pub fn config(&self, optimizer: Optimizer, own: Option<f64>, seed: u64) -> Config {
        Config {
            optimizer,
            learning_rate: self.learning_rate(optimizer, own),
            schedule: self.schedule,
            augment: self.augment.clone(),
            non_digits: self.non_digits,
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
            mkl_kernels: kernels::mkl_kernels(),
        })
    }
}
