//! What to train with, and on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tch::Device;

use super::{ADAPT_LEARNING_RATE, ADAPT_MNIST, ADAPT_SHOWN, TrainingArgs};
use crate::commands::args::choices::AskedPrecision;
use crate::commands::args::weights::{RELEASED, is_released, note_doubt};
use crate::commands::cli::wrong_usage;
use crate::commands::console::note;
use crate::dataset::Data;
use crate::experiments::run::Configuration;
use crate::files::sha256_hex;
use crate::network::device;
use crate::network::kernels;
use crate::network::model::Model;
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Keep, Precision};
use crate::weights;

/// The number of hidden units when neither `--hidden` nor `--init` gives it.
const DEFAULT_HIDDEN: i64 = 512;

impl TrainingArgs {
    /// The network that `command` starts from; notes what is wrong with the record of `--init`.
    pub fn model(&self, command: &str, seed: u64, device: Device) -> Result<Model> {
        let (model, doubt) = self.initial(command, seed, self.hidden, device)?;
        note_doubt(doubt.as_deref());
        Ok(model)
    }

    /// Like [`Self::model`], but with so many hidden units, and returns what is to be noted: for
    /// further runs.
    pub fn initial(
        &self,
        command: &str,
        seed: u64,
        hidden: Option<i64>,
        device: Device,
    ) -> Result<(Model, Option<String>)> {
        if let Some(precision) = self.precision {
            precision.kind(device)?; // before anything is written
        }
        let (model, doubt) = match self.init() {
            None => (Model::new(hidden.unwrap_or(DEFAULT_HIDDEN), seed, device)?, None),
            Some(path) => network_at("--init", path, device)?,
        };
        if let Some(hidden) = hidden.filter(|hidden| *hidden != model.hidden()) {
            let own = model.hidden();
            let message = format!("--init has {own} hidden units, not {hidden}; omit --hidden");
            return Err(wrong_usage(command, message));
        }
        Ok((model, doubt))
    }

    /// The weights to start from, if they are not random.
    pub fn init(&self) -> Option<&Path> {
        self.init.as_deref().or(self.adapt.then_some(Path::new(RELEASED)))
    }

    /// The data set to train and test on.
    pub fn data(&self) -> Result<Data> {
        let data = match self.adapt {
            false => self.data.load()?,
            true => self.data.load_to_adapt(ADAPT_SHOWN, ADAPT_MNIST)?,
        };
        ensure!(data.train.count() > 0, "there are no images to train on; lower --test-split");
        Ok(data)
    }

    /// The learning rate of `optimizer`: `own` if it has one, else the one given for all.
    pub fn learning_rate(&self, optimizer: Optimizer, own: Option<f64>) -> f64 {
        let usual = match self.adapt {
            false => optimizer.default_learning_rate(),
            true => ADAPT_LEARNING_RATE,
        };
        own.or(self.learning_rate).unwrap_or(usual)
    }

    /// How to train `model` on `data` with `optimizer`, at the rate `own` if it has one, and in
    /// `precision`, or the fastest. Notes where --early-stopping has no effect.
    pub fn config(
        &self,
        model: &Model,
        data: &Data,
        optimizer: Optimizer,
        own: Option<f64>,
        precision: AskedPrecision,
    ) -> Config {
        if let Some(patience) = self.early_stopping.filter(|most| most + 1 >= self.epochs) {
            let epochs = self.epochs;
            note(&format!(
                "warning: --early-stopping {patience} cannot end a training of {epochs} epochs; \
                 use a smaller number, or more --epochs"
            ));
        }
        let fastest = || Precision::fastest(model, self.batch_size);
        Config {
            optimizer,
            learning_rate: self.learning_rate(optimizer, own),
            schedule: self.schedule,
            augment: self.augment.clone(),
            non_digits: self.non_digits,
            epochs: self.epochs as usize,
            batch_size: self.batch_size,
            validation_split: self.validation_split,
            precision: precision.unwrap_or_else(fastest),
            seed: self.seed,
            momentum: self.momentum.filter(|_| optimizer.has_momentum()),
            weight_decay: self.weight_decay,
            dropout: self.dropout,
            label_smoothing: self.label_smoothing,
            early_stopping: self.early_stopping.map(|patience| patience as usize),
            keep: self.keep.unwrap_or(match self.validation_split {
                0. => Keep::Last,
                _ => Keep::Best,
            }),
            mixture: data.parts.clone(),
        }
    }

    /// All that determines the result of training `model` on `data` this way.
    pub fn configuration(
        &self,
        model: &Model,
        data: &Data,
        config: Config,
    ) -> Result<Configuration> {
        let init = self.init().map(name_and_sha256).transpose()?;
        let (init, init_sha256) = init.unzip();
        Ok(Configuration {
            data: self.data.name(data),
            data_sha256: data.sha256.clone(),
            init,
            init_sha256,
            teacher: None,
            teacher_sha256: None,
            hidden: model.hidden(),
            config,
            device: device::name(model.device()),
            threads: tch::get_num_threads(),
            mkl_kernels: kernels::mkl_kernels(),
        })
    }
}

/// The network that `option` names by `path`, and what is to be noted of its record.
pub fn network_at(option: &str, path: &Path, device: Device) -> Result<(Model, Option<String>)> {
    let loaded = if is_released(path) {
        weights::open_released()?
    } else {
        ensure!(
            path.is_file() || path.is_dir() || !path.exists(),
            "{option} {} is not a regular file, but is read more than once; save it to a file first",
            path.display()
        );
        weights::open(path)?
    };
    Ok((weights::model(&loaded, device)?, loaded.doubt))
}

/// What a record says of weights that a training used.
pub fn name_and_sha256(path: &Path) -> Result<(String, String)> {
    let sha256 = match is_released(path) {
        true => weights::released_sha256(),
        false => {
            sha256_hex(&fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
    };
    Ok((path.to_string_lossy().into_owned(), sha256))
}
