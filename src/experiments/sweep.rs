//! Several optimizers, each trained with every seed, several at a time.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Error, Result, bail, ensure};
use rayon::ThreadPool;
use rayon::iter::{ParallelBridge, ParallelIterator};
use tch::Device;

use crate::dataset::Data;
use crate::experiments::journal::Journal;
use crate::experiments::records::{self, Record};
use crate::experiments::run::{Configuration, Run, SetTest, Test};
use crate::experiments::variation::{Varied, combinations};
use crate::network::model::Model;
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Event, Progress, Setting, fit};

/// The runs of a comparison: those that are planned, and those that are done.
#[derive(Debug)]
pub struct Sweep {
    contenders: usize,
    /// What tells them apart beside their optimizers.
    varied: Varied,
    plan: Vec<Configuration>,
    done: Vec<Run>,
    journal: Option<Journal>,
}

/// What [`Sweep::gather`] has not found.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The numbers of the runs that are not done.
    pub missing: Vec<usize>,
    /// Why those of them are not used that have a record.
    pub damaged: Vec<Error>,
}

/// An observer of a sweep, called by several threads.
pub trait Observer: Sync {
    /// A step is done in one of the runs; whether to go on.
    fn step(&self, progress: &Progress) -> ControlFlow<()>;
    /// A run is done, the `number`th of all.
    fn run(&self, run: &Run, number: usize);
    /// Whether to begin another run.
    fn flow(&self) -> ControlFlow<()>;
}

impl Sweep {
    /// Plans a run of each optimizer, at its learning rate, and if there is a `grid`, with each
    /// combination of its settings, with each of `seeds`: seed after seed, so that there is
    /// something of each early on. All else is as in `base`.
    ///
    /// # Errors
    ///
    /// If two of them are the same.
    pub fn plan(
        base: &Configuration,
        optimizers: &[(Optimizer, f64)],
        grid: &[Vec<Setting>],
        seeds: impl Iterator<Item = u64>,
    ) -> Result<Sweep> {
        let of = |&(optimizer, learning_rate): &(Optimizer, f64)| Configuration {
            config: Config {
                momentum: base.config.momentum.filter(|_| optimizer.has_momentum()),
                optimizer,
                learning_rate,
                ..base.config.clone()
            },
            ..base.clone()
        };
        let contenders = combinations(optimizers.iter().map(of).collect(), grid);
        let varied = Varied::among(contenders.iter());
        for (at, contender) in contenders.iter().enumerate() {
            contender.config.check()?;
            let name = varied.name(contender);
            ensure!(!contenders[..at].contains(contender), "{name} is listed twice");
        }
        let plan = seeds.flat_map(|seed| {
            contenders.iter().map(move |contender| Configuration {
                config: Config { seed, ..contender.config.clone() },
                ..contender.clone()
            })
        });
        let plan = plan.collect();
        let contenders = contenders.len();
        Ok(Sweep { contenders, varied, plan, done: Vec::new(), journal: None })
    }

    /// What tells the runs apart beside their optimizers.
    pub fn varied(&self) -> &Varied {
        &self.varied
    }

    /// Keeps every run that is done in `journal`, and counts those planned that are `kept` there.
    ///
    /// # Errors
    ///
    /// If any there cannot be compared with those planned.
    pub fn keep(&mut self, journal: Journal, mut kept: Vec<Run>) -> Result<()> {
        let mut tests = HashMap::new();
        for run in &kept {
            if let Some(planned) = self.plan.first()
                && let Some(difference) = run.difference(planned, &self.varied)?
            {
                bail!("{difference}; use the same options as those runs, or name another folder");
            }
            // Who runs it again gets the same.
            let configuration = serde_json::to_string(&run.configuration)?;
            ensure!(
                *tests.entry(configuration).or_insert(run.test) == run.test,
                "the run {} appears twice, with different results; delete the line that is wrong, or \
                 name another folder",
                run.configuration.name()
            );
        }
        // In the file may be more seeds and optimizers, or the same ones twice.
        let planned = self.plan.iter().filter_map(|planned| {
            Some(kept.swap_remove(kept.iter().position(|run| run.configuration == *planned)?))
        });
        self.done = planned.collect();
        self.journal = Some(journal);
        Ok(())
    }

    /// Counts those planned that were done each by itself in `folder`. When none is missing, the
    /// journal gets them as well.
    ///
    /// # Errors
    ///
    /// Those of [`records::load`], and of the journal.
    pub fn gather(&mut self, folder: &Path) -> Result<Gathered> {
        let (mut found, mut gathered) = (Vec::new(), Gathered::default());
        for (number, planned) in self.plan.iter().enumerate() {
            if self.done.iter().any(|run| run.configuration == *planned) {
                continue;
            }
            match records::load(folder, number, planned)? {
                Record::Whole(run) => found.push(*run),
                Record::Missing => gathered.missing.push(number),
                Record::Damaged(error) => {
                    gathered.missing.push(number);
                    gathered.damaged.push(error);
                }
            }
        }
        if let Some(journal) = self.journal.as_mut().filter(|_| gathered.missing.is_empty()) {
            found.iter().try_for_each(|run| journal.add(run))?;
            records::tidy(folder);
        }
        self.done.extend(found);
        Ok(gathered)
    }

    /// Of those planned, only run `number`.
    ///
    /// # Errors
    ///
    /// If there is no such run.
    pub fn only(mut self, number: usize) -> Result<Sweep> {
        let runs = self.plan.len();
        ensure!(number < runs, "there is no run {number}: there are {runs}, from 0");
        self.plan = vec![self.plan.swap_remove(number)];
        Ok(Sweep { contenders: 1, ..self })
    }

    /// The runs that are planned, done or not.
    pub fn planned(&self) -> &[Configuration] {
        &self.plan
    }

    /// The runs that are done.
    pub fn done(&self) -> &[Run] {
        &self.done
    }

    /// Does the runs that are not done, as many side by side as `pool` has threads, each beginning
    /// with what `model` makes for it. Those that are done stay so when one fails, or when
    /// `observer` ends it.
    pub fn run(
        &mut self,
        data: Data,
        device: Device,
        pool: &ThreadPool,
        model: &(dyn Fn(&Configuration) -> Result<Model> + Sync),
        observer: &dyn Observer,
    ) -> Result<()> {
        let is_done =
            |planned: &&Configuration| self.done.iter().any(|run| run.configuration == **planned);
        let missing: Vec<_> =
            self.plan.iter().filter(|planned| !is_done(planned)).cloned().collect();
        let data = Mutex::new(data); // tensors are not to be seen from two threads
        let results = Mutex::new((&mut self.done, &mut self.journal));
        pool.install(|| {
            missing.into_iter().par_bridge().try_for_each(|configuration| {
                let samples = data.lock().expect("no thread panics").to_device(device);
                let name = configuration.name();
                let run = train(configuration, &samples, model, observer).with_context(|| name)?;
                let Some(run) = run else { return Ok(()) };
                let (done, journal) = &mut *results.lock().expect("no thread panics");
                if let Some(journal) = journal {
                    journal.add(&run)?;
                }
                observer.run(&run, done.len() + 1);
                done.push(run);
                Ok(())
            })
        })
    }

    /// The runs that are done by contender, in the order of the seeds.
    pub fn by_contender(&self) -> Vec<Vec<Run>> {
        let run = |planned: &Configuration| {
            self.done.iter().find(|run| run.configuration == *planned).cloned()
        };
        let of = |at| self.plan.iter().skip(at).step_by(self.contenders).filter_map(run).collect();
        (0..self.contenders).map(of).collect()
    }
}

/// Trains and tests once; none if that was interrupted.
fn train(
    configuration: Configuration,
    data: &Data,
    model: &dyn Fn(&Configuration) -> Result<Model>,
    observer: &dyn Observer,
) -> Result<Option<Run>> {
    if observer.flow().is_break() {
        return Ok(None);
    }
    let mut model = model(&configuration)?;
    let config = &configuration.config;
    let history = fit(&mut model, &data.train, config, &mut |event| match event {
        Event::Step(progress) => observer.step(progress),
        Event::Epoch(_) => observer.flow(),
    })?;
    if history.interrupted && history.epochs.len() < config.epochs {
        return Ok(None);
    }
    let test = Test::of(&model, &data.test)?;
    let sets = SetTest::of_parts(&model, data)?;
    Ok(Some(Run { sets, ..Run::new(configuration, history.epochs, test) }))
}
