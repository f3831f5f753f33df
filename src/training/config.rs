//! How to train.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::dataset::Part;
use crate::dataset::augment::Augment;
use crate::training::optimizer::Optimizer;
use crate::training::schedule::Schedule;

/// The largest weight of a data set.
pub const MAX_WEIGHT: f64 = 1000.;

/// The number format of the large matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as the weights.
    #[default]
    Float32,
    /// Bfloat16 for the first layer's products and their gradients (mixed precision, Micikevicius
    /// et al. 2017); weights, optimizer and all else stay float32.
    Bf16,
}

/// Which epoch's weights are the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The last one's.
    #[default]
    Last,
    /// Those with the least loss on the validation split.
    Best,
}

/// How to train; the defaults are those of the Keras tutorial's larger model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Number of passes over the training set.
    pub epochs: usize,
    /// How the learning rate changes from step to step.
    pub schedule: Schedule,
    /// How each training image is changed, anew in every epoch.
    pub augment: Vec<Augment>,
    /// Non-digits to show as well, as a share of the training set from 0 to 1; the network is
    /// taught to tell them from digits, see [`crate::dataset::non_digits`].
    #[serde(rename = "outliers")]
    pub non_digits: f64,
    /// Samples per step; the last step of an epoch takes what is left.
    pub batch_size: i64,
    /// Share of the training set that is kept for validation, from 0 to below 1: its last samples,
    /// before anything is shuffled, as in Keras (<https://keras.io/api/models/model_training_apis/>).
    pub validation_split: f64,
    /// The number format of the large matrix products.
    #[serde(default)]
    pub precision: Precision,
    /// Determines the order of the samples in every epoch, augmentation and non-digits.
    pub seed: u64,
    /// The momentum of the optimizer, if not its usual one; only RMSprop and SGD have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// The weight decay, if not the optimizer's usual one: in each step, every weight loses the
    /// learning rate times this share of itself, as with Keras's `weight_decay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Share of the hidden units that each training step leaves out, from 0 to below 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Share of each label that training spreads over all classes, from 0 to below 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Epochs without less loss on the validation split after which training ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<usize>,
    /// Which epoch's weights are the result.
    #[serde(default, skip_serializing_if = "is_last")]
    pub keep: Keep,
    /// The sets that the training set consists of, one after the other, and how often each is
    /// shown; empty if it is one that is shown once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mixture: Vec<Part>,
}

impl Default for Config {
    fn default() -> Config {
        let optimizer = Optimizer::RmsProp;
        Config {
            optimizer,
            learning_rate: optimizer.default_learning_rate(),
            schedule: Schedule::Constant,
            augment: Vec::new(),
            non_digits: 0.,
            epochs: 5,
            batch_size: 128,
            validation_split: 0.,
            precision: Precision::Float32,
            seed: 0,
            momentum: None,
            weight_decay: None,
            dropout: 0.,
            label_smoothing: 0.,
            early_stopping: None,
            keep: Keep::Last,
            mixture: Vec::new(),
        }
    }
}

impl Config {
    /// Fails, naming the value, if one is out of its range.
    pub fn check(&self) -> Result<()> {
        Optimizer::check_learning_rate(self.learning_rate)?;
        ensure!(self.epochs > 0, "the number of epochs must be at least 1");
        ensure!(self.batch_size > 0, "the batch size must be at least 1, not {}", self.batch_size);
        ensure!(
            (0. ..1.).contains(&self.validation_split),
            "the validation split must be from 0 to below 1, not {}",
            self.validation_split
        );
        ensure!(
            (0. ..=1.).contains(&self.non_digits),
            "the share of non-digits must be from 0 to 1, not {}",
            self.non_digits
        );
        let shares = [("dropout", self.dropout), ("label smoothing", self.label_smoothing)];
        for (name, share) in shares {
            let is_share = (0. ..1.).contains(&share);
            ensure!(is_share, "the {name} must be from 0 to below 1, not {share}");
        }
        if let Some(momentum) = self.momentum {
            let name = self.optimizer.name_at(self.optimizer.default_learning_rate());
            ensure!(self.optimizer.has_momentum(), "{name} has no momentum; rmsprop and sgd do");
            let is_share = (0. ..1.).contains(&momentum);
            ensure!(is_share, "the momentum must be from 0 to below 1, not {momentum}");
        }
        let decay = self.weight_decay();
        ensure!(
            decay >= 0. && decay * self.learning_rate < 1.,
            "the weight decay times the learning rate must be from 0 to below 1, not {}",
            decay * self.learning_rate
        );
        for (needs, what) in [
            (self.keep == Keep::Best, "keeping the best epoch"),
            (self.early_stopping.is_some(), "early stopping"),
            (self.schedule == Schedule::Plateau, "the schedule plateau"),
        ] {
            ensure!(!needs || self.validation_split > 0., "{what} needs a validation split");
        }
        for Part { weight, train, test, .. } in &self.mixture {
            ensure!(
                *weight > 0. && *weight <= MAX_WEIGHT,
                "the weight of a data set must be above 0, up to {MAX_WEIGHT}, not {weight}"
            );
            ensure!(*train >= 0 && *test >= 0, "a data set has less than no samples");
        }
        Ok(())
    }

    /// The learning rate when `done` epochs are done, of which the last may be a part.
    pub fn learning_rate_at(&self, done: f64) -> f64 {
        self.learning_rate * self.schedule.factor(done / self.epochs as f64)
    }

    /// The momentum of the optimizer.
    pub fn momentum(&self) -> f64 {
        self.momentum.unwrap_or(self.optimizer.default_momentum())
    }

    /// The weight decay.
    pub fn weight_decay(&self) -> f64 {
        self.weight_decay.unwrap_or(self.optimizer.default_weight_decay())
    }

    /// Whether a weight changes even when its gradient is always 0.
    pub fn moves_weights_without_gradient(&self) -> bool {
        self.weight_decay() > 0.
    }

    /// Whether training sees each image as it is, in every epoch.
    pub fn keeps_images(&self) -> bool {
        self.augment.is_empty() && self.non_digits == 0.
    }
}

fn is_zero(value: &f64) -> bool {
    *value == 0.
}

fn is_last(keep: &Keep) -> bool {
    *keep == Keep::Last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        assert!(Config::default().check().is_ok());
        let config = Config::default;
        let part = |weight| Part { data: "a".into(), data_sha256: None, weight, train: 1, test: 1 };
        for (wrong, fault) in [
            (
                Config { learning_rate: 0., ..config() },
                "the learning rate must be above 0, usually well below 1, not 0",
            ),
            (
                Config { learning_rate: f64::NAN, ..config() },
                "the learning rate must be above 0, usually well below 1, not NaN",
            ),
            (Config { epochs: 0, ..config() }, "the number of epochs"),
            (Config { batch_size: 0, ..config() }, "the batch size must be at least 1, not 0"),
            (
                Config { validation_split: 1., ..config() },
                "the validation split must be from 0 to below 1, not 1",
            ),
            (
                Config { non_digits: 1.5, ..config() },
                "the share of non-digits must be from 0 to 1, not 1.5",
            ),
            (
                Config { non_digits: f64::NAN, ..config() },
                "the share of non-digits must be from 0 to 1, not NaN",
            ),
            (Config { dropout: 1., ..config() }, "the dropout must be from 0 to below 1, not 1"),
            (
                Config { optimizer: Optimizer::Adam, momentum: Some(0.5), ..config() },
                "adam has no momentum; rmsprop and sgd do",
            ),
            (
                Config { weight_decay: Some(1000.), ..config() },
                "the weight decay times the learning rate must be from 0 to below 1, not 1",
            ),
            (
                Config { keep: Keep::Best, ..config() },
                "keeping the best epoch needs a validation split",
            ),
            (
                Config { mixture: vec![part(f64::NAN)], ..config() },
                "the weight of a data set must be above 0, up to 1000, not NaN",
            ),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.starts_with(fault), "{error}");
        }
    }

    #[test]
    fn the_learning_rate_follows_the_schedule_over_all_epochs() {
        let config = Config {
            schedule: Schedule::Cosine,
            epochs: 3,
            learning_rate: 2.,
            ..Config::default()
        };
        assert!((config.learning_rate_at(1.) - 1.5).abs() < 1e-12);
        assert!((config.learning_rate_at(1.5) - 1.).abs() < 1e-12);
        assert_eq!(Config { schedule: Schedule::Constant, ..config }.learning_rate_at(2.9), 2.);
    }

    #[test]
    fn records_keep_the_name_that_non_digits_had() {
        let json = serde_json::to_value(Config { non_digits: 0.5, ..Config::default() }).unwrap();
        assert_eq!(json["outliers"], 0.5);
        assert!(json.get("non_digits").is_none());
    }
}
