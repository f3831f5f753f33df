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
    /// The sets that the training set consists of, one after the other, and how often each is shown;
    /// empty if it is one that is shown once.
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

    /// Whether training sees each image as it is, in every epoch.
    pub fn keeps_images(&self) -> bool {
        self.augment.is_empty() && self.non_digits == 0.
    }
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
