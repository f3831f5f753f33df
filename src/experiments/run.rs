//! What is to be known of a run of training.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::LIBTORCH;
use crate::VERSION;
use crate::dataset::Samples;
use crate::network::kernels::MklKernels;
use crate::network::model::Model;
use crate::training::evaluation::{Evaluation, evaluate};
use crate::training::{Config, Epoch};

/// The version of the format of a [`Run`] in JSON.
pub(super) const FORMAT: u32 = 1;

/// All that decides what becomes of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The folder of the data set, or a name for the one that is built in.
    pub data: String,
    /// What the files there are, see [`crate::dataset::Data::sha256`].
    pub data_sha256: Option<String>,
    /// The weights that it went on from, if they were not random.
    pub init: Option<String>,
    /// SHA-256 of that file.
    pub init_sha256: Option<String>,
    /// Hidden units.
    pub hidden: i64,
    /// How it was trained.
    #[serde(flatten)]
    pub config: Config,
    /// Where: `cpu`, `cuda:0`.
    pub device: String,
    /// Threads that libtorch had for it.
    pub threads: i32,
    /// How MKL chose its kernels.
    #[serde(default)]
    pub mkl_kernels: MklKernels,
}

/// Loss and accuracy on the test set, after the last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of the samples that are classified correctly.
    pub accuracy: f64,
}

impl Test {
    /// Measures a trained network; fails where it has diverged.
    pub fn of(model: &Model, samples: &Samples) -> Result<Test> {
        let Evaluation { loss, accuracy, .. } = evaluate(model, samples)?;
        ensure!(
            loss.is_finite(),
            "the loss on the test set is {loss}: the training has diverged; try a smaller learning \
             rate"
        );
        Ok(Test { loss, accuracy })
    }
}

/// A run of training and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The version of this format.
    pub format: u32,
    /// The program and its version.
    pub program: String,
    /// The version of libtorch.
    pub libtorch: String,
    /// All that decided it.
    pub configuration: Configuration,
    /// The epochs that were completed.
    pub history: Vec<Epoch>,
    /// How well it does.
    pub test: Test,
}

impl Configuration {
    /// What tells it from others of its comparison: `adam:0.0003, seed 2`.
    pub fn name(&self) -> String {
        let Config { optimizer, learning_rate, seed, .. } = self.config;
        format!("{}, seed {seed}", optimizer.name_at(learning_rate))
    }

    /// What it has in common with others of its comparison.
    pub fn shared(&self) -> Result<Map<String, Value>> {
        let Value::Object(mut shared) = serde_json::to_value(self)? else { return Ok(Map::new()) };
        shared.retain(|key, _| !["optimizer", "learning_rate", "seed"].contains(&key.as_str()));
        Ok(shared)
    }
}

impl Run {
    /// A run of this program.
    pub fn new(configuration: Configuration, history: Vec<Epoch>, test: Test) -> Run {
        let program = format!("tch-mnist {VERSION}");
        Run { format: FORMAT, program, libtorch: LIBTORCH.into(), configuration, history, test }
    }

    /// Why it cannot be compared with runs like `other` of this program, if it cannot.
    pub fn difference(&self, other: &Configuration) -> Result<Option<String>> {
        let other = Run::new(other.clone(), Vec::new(), self.test);
        let (mut own, mut others) = (self.configuration.shared()?, other.configuration.shared()?);
        own.insert("program".into(), self.program.clone().into());
        others.insert("program".into(), other.program.into());
        own.insert("libtorch".into(), self.libtorch.clone().into());
        others.insert("libtorch".into(), other.libtorch.into());
        let difference = own.iter().find(|(key, value)| others.get(*key) != Some(value));
        Ok(difference.map(|(key, value)| {
            format!("{key} is {value} there and {} now", others.get(key).unwrap_or(&Value::Null))
        }))
    }
}
