//! Runs of several optimizers → how they compare, and whether that is more than noise.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::experiments::run::Run;
use crate::experiments::statistics::{Spread, correct_by_holm, paired_t_test};
use crate::experiments::variation::Varied;
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Epoch, Schedule};

/// Accuracies for which the comparison says when they are reached.
pub const GOALS: [f64; 2] = [0.97, 0.98];
/// Significance level, the conventional one: a difference with a p below this counts as real.
pub const SIGNIFICANCE: f64 = 0.05;

/// How soon an accuracy is reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// The accuracy: on the validation split if there is one, else in training.
    pub accuracy: f64,
    /// The first epoch at whose end it is reached, over the runs that reach it, if any.
    pub epoch: Option<Spread>,
}

/// The state after an epoch, over the runs of an optimizer: on the validation split if there is
/// one, else in training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean cross-entropy in nats.
    pub loss: Spread,
    /// Share of the samples that are classified correctly.
    pub accuracy: Spread,
}

/// The results of one optimizer over its runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contender {
    /// Its name: `adam`, or `adam:0.0003` where the learning rate is not the default, and the
    /// settings in which others differ, as `adam hidden=128`.
    pub name: String,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Hidden units.
    pub hidden: i64,
    /// Samples per step.
    pub batch_size: i64,
    /// Share of the hidden units that steps leave out.
    pub dropout: f64,
    /// The schedule of the learning rate.
    pub schedule: Schedule,
    /// Whether its mean test accuracy is above every other's by more than noise.
    pub best: bool,
    /// On the test set, after the last epoch.
    pub test_accuracy: Spread,
    /// Likewise.
    pub test_loss: Spread,
    /// The epoch with the least loss on the validation split, if there is one.
    pub best_epoch: Option<Spread>,
    /// Time for an epoch, without validation.
    pub seconds_per_epoch: Spread,
    /// How soon the [`GOALS`] are reached.
    pub goals: Vec<Goal>,
    /// Its course.
    pub curve: Vec<Point>,
}

/// Two optimizers side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Their names, the one with the higher mean test accuracy first.
    pub names: [String; 2],
    /// How much higher it is.
    pub difference: f64,
    /// Two-sided p of the paired t-test over seeds, corrected by Holm's method for all pairs; none
    /// where there is nothing to test.
    pub p: Option<f64>,
}

/// How optimizers compare.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The seeds that each was run with.
    pub seeds: Vec<u64>,
    /// Whether curves and goals are of the validation split, not of training.
    pub validated: bool,
    /// Runs by the type of processor that did them, as far as they say.
    pub processors: BTreeMap<String, usize>,
    /// The optimizers, in the order asked for.
    pub contenders: Vec<Contender>,
    /// All pairs of them.
    pub pairs: Vec<Pair>,
}

/// Compares optimizers, of each of which there are runs with the same seeds in the same order.
pub fn compare(runs: &[Vec<Run>]) -> Result<Comparison> {
    let first = runs.first().context("there is nothing to compare")?;
    let validated = first.iter().all(|run| run.history.iter().all(|e| e.validation_loss.is_some()));
    let varied = Varied::among(runs.iter().flatten().map(|run| &run.configuration));
    let mut contenders = runs
        .iter()
        .map(|runs| contender(runs, validated, &varied))
        .collect::<Option<Vec<Contender>>>()
        .context("there are no runs to compare")?;

    let mut pairs = Vec::new();
    for a in 0..runs.len() {
        for b in a + 1..runs.len() {
            let mean = |at: usize| contenders[at].test_accuracy.mean;
            let (a, b) = if mean(a) < mean(b) { (b, a) } else { (a, b) };
            let accuracies = [a, b]
                .map(|at| -> Vec<f64> { runs[at].iter().map(|run| run.test.accuracy).collect() });
            pairs.push(Pair {
                names: [a, b].map(|at| contenders[at].name.clone()),
                difference: mean(a) - mean(b),
                p: paired_t_test(&accuracies[0], &accuracies[1]),
            });
        }
    }
    correct_by_holm(pairs.iter_mut().filter_map(|pair| pair.p.as_mut()).collect());
    for contender in &mut contenders {
        let mut own = pairs.iter().filter(|pair| pair.names.contains(&contender.name)).peekable();
        contender.best = own.peek().is_some()
            && own.all(|pair| {
                pair.names[0] == contender.name && pair.p.is_some_and(|p| p < SIGNIFICANCE)
            });
    }
    let seeds = first.iter().map(|run| run.configuration.config.seed).collect();
    let mut processors = BTreeMap::new();
    for processor in runs.iter().flatten().filter_map(|run| run.processor.clone()) {
        *processors.entry(processor).or_default() += 1;
    }
    Ok(Comparison { seeds, validated, processors, contenders, pairs })
}

fn contender(runs: &[Run], validated: bool, varied: &Varied) -> Option<Contender> {
    let configuration = &runs.first()?.configuration;
    let Config { optimizer, learning_rate, batch_size, dropout, schedule, .. } =
        configuration.config;
    let over =
        |value: &dyn Fn(&Run) -> f64| Spread::of(&runs.iter().map(value).collect::<Vec<_>>());
    let loss = |epoch: &Epoch| epoch.validation_loss.filter(|_| validated).unwrap_or(epoch.loss);
    let accuracy =
        |epoch: &Epoch| epoch.validation_accuracy.filter(|_| validated).unwrap_or(epoch.accuracy);
    let best_epoch = |run: &Run| {
        let best = run.history.iter().min_by(|a, b| loss(a).total_cmp(&loss(b)));
        best.map_or(0., |epoch| epoch.epoch as f64)
    };
    let reached = |run: &Run, goal: f64| {
        run.history.iter().find(|epoch| accuracy(epoch) >= goal).map(|epoch| epoch.epoch as f64)
    };
    let epochs = runs.iter().map(|run| run.history.len()).min()?;
    Some(Contender {
        name: varied.name(configuration),
        optimizer,
        learning_rate,
        hidden: configuration.hidden,
        batch_size,
        dropout,
        schedule,
        best: false,
        test_accuracy: over(&|run| run.test.accuracy)?,
        test_loss: over(&|run| run.test.loss)?,
        best_epoch: if validated { over(&best_epoch) } else { None },
        seconds_per_epoch: over(&|run| {
            run.history.iter().map(|epoch| epoch.seconds).sum::<f64>() / run.history.len() as f64
        })?,
        goals: GOALS
            .map(|goal| {
                let epochs: Vec<f64> = runs.iter().filter_map(|run| reached(run, goal)).collect();
                Goal { accuracy: goal, epoch: Spread::of(&epochs) }
            })
            .to_vec(),
        curve: (0..epochs)
            .map(|at| {
                Some(Point {
                    epoch: at + 1,
                    loss: over(&|run| loss(&run.history[at]))?,
                    accuracy: over(&|run| accuracy(&run.history[at]))?,
                })
            })
            .collect::<Option<Vec<_>>>()?,
    })
}
