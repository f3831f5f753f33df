//! A training run: its configuration, history and result.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::LIBTORCH;
use crate::VERSION;
use crate::dataset::{Data, Samples};
use crate::experiments::variation::Varied;
use crate::network::classifier::MAX_HIDDEN;
use crate::network::kernels::MklKernels;
use crate::network::model::Model;
use crate::network::processor::processor;
use crate::training::evaluation::{Evaluation, evaluate};
use crate::training::{Config, Epoch};

/// The version of the format of a [`Run`] in JSON.
pub(super) const FORMAT: u32 = 1;

/// The most seconds that an epoch may have taken: a year.
const MAX_SECONDS: f64 = 366. * 24. * 3600.;

/// All that determines the result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The folder of the data set, or a name for the one that is built in.
    pub data: String,
    /// What the files there are, see [`crate::dataset::Data::sha256`].
    pub data_sha256: Option<String>,
    /// The weights that it started from, if they were not random.
    pub init: Option<String>,
    /// SHA-256 of that file.
    pub init_sha256: Option<String>,
    /// The teacher's weights, if there was one (knowledge distillation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// SHA-256 of that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_sha256: Option<String>,
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
            "the loss on the test set is {loss}: training has diverged; try a smaller learning \
             rate"
        );
        Ok(Test { loss, accuracy })
    }
}

/// Loss and accuracy on the test set of one of the data sets of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetTest {
    /// Its folder, or a name for the one that is built in.
    pub data: String,
    /// How many samples it has to test on.
    pub samples: i64,
    /// How well the network does on them.
    #[serde(flatten)]
    pub test: Test,
}

impl SetTest {
    /// Measures a network on each part of `data`; there are none where that is one set.
    ///
    /// # Errors
    ///
    /// Those of [`Test::of`].
    pub fn of_parts(model: &Model, data: &Data) -> Result<Vec<SetTest>> {
        let test = |(name, samples): (&str, Samples)| {
            let test = Test::of(model, &samples)?;
            Ok(SetTest { data: name.into(), samples: samples.count(), test })
        };
        data.tests().into_iter().map(test).collect()
    }
}

/// A training run and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The version of this format.
    pub format: u32,
    /// The program and its version.
    pub program: String,
    /// The version of libtorch.
    pub libtorch: String,
    /// The type of processor; runs of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// All that determined it.
    pub configuration: Configuration,
    /// The epochs that were completed.
    pub history: Vec<Epoch>,
    /// How well it does.
    pub test: Test,
    /// How well it does on each part of a mixture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<SetTest>,
}

/// Fails where no network can have this loss and accuracy.
fn check_figures(loss: f64, accuracy: f64) -> Result<()> {
    ensure!((0. ..=f64::from(f32::MAX)).contains(&loss), "invalid loss {loss:?}");
    ensure!((0. ..=1.).contains(&accuracy), "invalid accuracy {accuracy:?}");
    Ok(())
}

impl Configuration {
    /// Checks that epochs can be the first ones of such a run; the error names what cannot.
    pub fn check_epochs(&self, history: &[Epoch]) -> Result<()> {
        for (at, epoch) in history.iter().enumerate() {
            ensure!(
                epoch.epoch == at + 1,
                "epoch {} in the place of epoch {}",
                epoch.epoch,
                at + 1
            );
            check_figures(epoch.loss, epoch.accuracy)?;
            let validated = (epoch.validation_loss, epoch.validation_accuracy);
            match validated {
                (Some(loss), Some(accuracy)) if self.config.validation_split > 0. => {
                    check_figures(loss, accuracy)?;
                }
                (None, None) if self.config.validation_split == 0. => {}
                _ => {
                    bail!("it has validation figures but no validation split, or the reverse")
                }
            }
            ensure!(
                (0. ..=MAX_SECONDS).contains(&epoch.seconds),
                "an epoch took {:?} seconds, more than a year or less than none",
                epoch.seconds
            );
        }
        Ok(())
    }

    /// What distinguishes it from others of its comparison: `adam:0.0003, seed 2`.
    pub fn name(&self) -> String {
        let Config { optimizer, learning_rate, seed, .. } = self.config;
        format!("{}, seed {seed}", optimizer.name_at(learning_rate))
    }

    /// Whose value differs from that of `other`, by name, if one does.
    pub fn difference(&self, other: &Value) -> Result<Option<String>> {
        let own = serde_json::to_value(self)?;
        let (Some(own), Some(other)) = (own.as_object(), other.as_object()) else {
            return Ok(Some("it is no configuration".into()));
        };
        let mut names = own.keys().chain(other.keys());
        let value = |of: &Map<String, Value>, name: &String| of.get(name).cloned();
        let differs = |name: &&String| value(own, name) != value(other, name);
        Ok(names.find(differs).map(|name| {
            let shown = |of| value(of, name).unwrap_or_default();
            format!("{name} is {} there and {} now", shown(other), shown(own))
        }))
    }

    /// What it has in common with others of its comparison, in which these settings are `varied`.
    pub fn shared(&self, varied: &Varied) -> Result<Map<String, Value>> {
        let Value::Object(mut shared) = serde_json::to_value(self)? else { return Ok(Map::new()) };
        let own = ["optimizer", "learning_rate", "seed", "momentum"].into_iter();
        for key in own.chain(varied.keys()) {
            shared.remove(key);
        }
        Ok(shared)
    }
}

impl Run {
    /// A run of this program.
    pub fn new(configuration: Configuration, history: Vec<Epoch>, test: Test) -> Run {
        let program = format!("tch-mnist {VERSION}");
        let (libtorch, processor, sets) = (LIBTORCH.into(), Some(processor()), Vec::new());
        Run { format: FORMAT, program, libtorch, processor, configuration, history, test, sets }
    }

    /// Checks that every value can come from a completed run; the error names the one that cannot.
    pub fn check(&self) -> Result<()> {
        let Configuration { config, hidden, threads, .. } = &self.configuration;
        config.check()?;
        ensure!(
            (1..=MAX_HIDDEN).contains(hidden),
            "{hidden} hidden units, expected 1 to {MAX_HIDDEN}"
        );
        ensure!(*threads > 0, "{threads} threads, expected at least 1");
        ensure!(
            self.history.len() == config.epochs || config.ends_early(&self.history),
            "{} epochs, expected {}",
            self.history.len(),
            config.epochs
        );
        self.configuration.check_epochs(&self.history)?;
        for SetTest { test, .. } in &self.sets {
            check_figures(test.loss, test.accuracy)?;
        }
        check_figures(self.test.loss, self.test.accuracy)
    }

    /// Why it cannot be compared with runs like `other` of this program, in which these settings
    /// are `varied`, if it cannot.
    pub fn difference(&self, other: &Configuration, varied: &Varied) -> Result<Option<String>> {
        let other = Run::new(other.clone(), Vec::new(), self.test);
        let (mut own, mut others) =
            (self.configuration.shared(varied)?, other.configuration.shared(varied)?);
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::training::optimizer::Optimizer;

    /// A run that could have been.
    pub fn run(optimizer: Optimizer, seed: u64) -> Run {
        let config =
            Config { optimizer, seed, epochs: 2, validation_split: 0.1, ..Config::default() };
        let configuration = Configuration {
            data: "none".into(),
            data_sha256: None,
            init: None,
            init_sha256: None,
            teacher: None,
            teacher_sha256: None,
            hidden: 16,
            config,
            device: "cpu".into(),
            threads: 1,
            mkl_kernels: MklKernels::default(),
        };
        let epoch = |epoch| Epoch {
            epoch,
            loss: 0.5,
            accuracy: 0.9,
            validation_loss: Some(0.6),
            validation_accuracy: Some(0.8),
            learning_rate: None,
            seconds: 1.,
        };
        Run::new(configuration, vec![epoch(1), epoch(2)], Test { loss: 0.1, accuracy: 0.95 })
    }

    #[test]
    fn values_that_no_run_can_have_are_named() {
        run(Optimizer::Adam, 0).check().unwrap();
        let fault = |change: fn(&mut Run)| {
            let mut run = run(Optimizer::Adam, 0);
            change(&mut run);
            run.check().unwrap_err().to_string()
        };
        assert_eq!(fault(|run| run.history.clear()), "0 epochs, expected 2");
        assert_eq!(fault(|run| run.history[1].epoch = 3), "epoch 3 in the place of epoch 2");
        for loss in [1e300, -1., f64::NAN, f64::INFINITY] {
            let mut run = run(Optimizer::Adam, 0);
            run.history[1].loss = loss;
            assert_eq!(run.check().unwrap_err().to_string(), format!("invalid loss {loss:?}"));
        }
        assert!(fault(|run| run.test.accuracy = 1e306).starts_with("invalid accuracy 1e306"));
        assert!(fault(|run| run.test.loss = -1e-3).starts_with("invalid loss -0.001"));
        assert!(
            fault(|run| run.history[0].validation_accuracy = Some(1.1))
                .contains("invalid accuracy 1.1")
        );
        assert!(fault(|run| run.history[0].validation_loss = None).contains("or the reverse"));
        assert!(fault(|run| run.history[0].seconds = 1e300).contains("seconds"));
        assert!(fault(|run| run.configuration.hidden = 0).contains("0 hidden units"));
        assert!(
            fault(|run| run.configuration.config.batch_size = 0).contains("the batch size must be")
        );
    }

    #[test]
    fn runs_of_another_program_or_configuration_differ_by_name() {
        let run = run(Optimizer::Adam, 0);
        let mut other = run.configuration.clone();
        (other.config.seed, other.config.optimizer) = (7, Optimizer::Sgd);
        assert_eq!(run.difference(&other, &Varied::default()).unwrap(), None);
        other.hidden = 17;
        let difference = run.difference(&other, &Varied::default()).unwrap().unwrap();
        assert_eq!(difference, "hidden is 16 there and 17 now");
        let old = Run { libtorch: "1.0".into(), ..run };
        assert!(
            old.difference(&old.configuration, &Varied::default())
                .unwrap()
                .unwrap()
                .starts_with("libtorch is \"1.0")
        );
    }
}
