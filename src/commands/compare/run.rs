//! What `mnist compare` does.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Error, Result, ensure};
use indicatif::ProgressBar;
use tch::Device;

use super::{Args, Grid};
use crate::commands::args::choices::{OPTIMIZERS, name};
use crate::commands::args::machine;
use crate::commands::cli::wrong_usage;
use crate::commands::console::{bar, note, print_json, print_numbers, print_text, saved};
use crate::commands::interrupt;
use crate::commands::origin::Origin;
use crate::commands::progress::{self, line};
use crate::dataset::Data;
use crate::experiments::comparison::compare;
use crate::experiments::journal::Journal;
use crate::experiments::records::{self, Record};
use crate::experiments::run::{Configuration, Run};
use crate::experiments::sweep::{Gathered, Observer, Sweep};
use crate::experiments::variation::Varied;
use crate::files::atomic;
use crate::network::device;
use crate::network::model::Model;
use crate::output::plot;
use crate::output::text;
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Progress};

/// What keeps the runs, in the folder of the results.
const RUNS: &str = "runs.jsonl";
const JSON: &str = "compare.json";
const CSV: &str = "compare.csv";
const PNG: &str = "compare.png";

impl Args {
    /// Trains every optimizer with every seed. Ctrl-C, SIGTERM and SIGHUP end the runs in progress,
    /// keep the others and give the exit codes 130, 143 and 129.
    pub fn run(&self) -> Result<ExitCode> {
        let origin = Origin::now();
        let stop = interrupt::stop_on_signal()?;
        let (device, reason) = self.training.machine.start(Some(1))?;
        let data = self.training.data()?;
        let mut sweep = self.plan(&data, device)?;
        if let (Some(folder), Some(number)) = (&self.output_dir, self.run) {
            return self.run_one(folder, number, sweep, data, device, &stop);
        }
        self.keep(&mut sweep)?;
        if let (Some(folder), true) = (&self.output_dir, self.merge) {
            return self.merge(folder, sweep, &origin);
        }
        let (planned, done) = (sweep.planned().len(), sweep.done().len());
        let mut text = format!("Device: {} ({reason})", device::name(device));
        if done > 0 {
            text += &format!("\nAlready finished: {done} of {planned} runs");
        }
        let failure = line(self.json, &text).err();

        let display = Display::new(self.json, &sweep, &stop, failure);
        let model = |of: &Configuration| self.initial(of, device);
        let trained = sweep.run(data, device, &machine::side_by_side(device)?, &model, &display);
        let failure = display.finish();
        match &self.output_dir {
            Some(folder) => trained
                .with_context(|| format!("the finished runs are kept in {}", folder.display()))?,
            None => trained?,
        }
        let kept = sweep.done().len();
        if kept < planned {
            note(&match &self.output_dir {
                Some(folder) => format!(
                    "Interrupted: {kept} of {planned} runs are kept in {}; use --resume to \
                     continue",
                    folder.display()
                ),
                None => "Interrupted: without --output-dir, nothing is kept".into(),
            });
            return Ok(interrupt::exit_code(&stop));
        }
        self.finish(&sweep, &origin)?;
        failure.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    /// Does one run and keeps it by itself, unless it is there.
    fn run_one(
        &self,
        folder: &Path,
        number: usize,
        sweep: Sweep,
        data: Data,
        device: Device,
        stop: &AtomicUsize,
    ) -> Result<ExitCode> {
        let origin = Origin::now();
        let mut sweep = sweep.only(number).map_err(|error| wrong_usage("compare", error))?;
        match records::load(folder, number, &sweep.planned()[0])? {
            Record::Missing => {}
            Record::Damaged(error) => note(&format!("warning: {error:#}; it is done again")),
            Record::Whole(_) => {
                note(&format!("Run {number}: done before"));
                return Ok(ExitCode::SUCCESS);
            }
        }
        atomic::refuse_link(&records::path(folder, number))?;
        atomic::prepare(&records::path(folder, number))?;
        let display = Display::new(true, &sweep, stop, None);
        let model = |of: &Configuration| self.initial(of, device);
        sweep.run(data, device, &machine::side_by_side(device)?, &model, &display)?;
        let failure = display.finish();
        let Some(run) = sweep.done().first() else {
            note("Interrupted: a run that is not complete is not kept");
            return Ok(interrupt::exit_code(stop));
        };
        let mut record = serde_json::to_value(run)?;
        origin.add_to(&mut record);
        records::save(folder, number, &record)?;
        saved(&records::path(folder, number));
        failure.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    /// Compares what was done run by run; the exit code is 1 if any is missing.
    fn merge(&self, folder: &Path, mut sweep: Sweep, origin: &Origin) -> Result<ExitCode> {
        let Gathered { missing, damaged } = sweep.gather(folder)?;
        damaged.iter().for_each(|error| note(&format!("warning: {error:#}")));
        if missing.is_empty() {
            self.finish(&sweep, origin)?;
            return Ok(ExitCode::SUCCESS);
        }
        note(&format!("{} of {} runs are to be done:", missing.len(), sweep.planned().len()));
        print_numbers(&missing)?;
        Ok(ExitCode::FAILURE)
    }

    /// The network that a run starts from.
    fn initial(&self, of: &Configuration, device: Device) -> Result<Model> {
        let (seed, hidden) = (of.config.seed, Some(of.hidden));
        Ok(self.training.initial("compare", seed, hidden, device)?.0)
    }

    /// All runs that are asked for.
    fn plan(&self, data: &Data, device: Device) -> Result<Sweep> {
        let is_part = self.run.is_some() || self.merge || self.resume;
        if is_part && self.training.precision.is_none() {
            let message = "each start would choose its precision by a measurement of its own; name one with --precision";
            return Err(wrong_usage("compare", message));
        }
        let first = self.training.seed;
        let optimizers: Vec<(Optimizer, f64)> = self
            .optimizers
            .iter()
            .map(|&(optimizer, rate)| (optimizer, self.training.learning_rate(optimizer, rate)))
            .collect();
        self.check_momentum(&optimizers)?;
        let (optimizer, rate) = optimizers[0];
        let model = self.training.model("compare", first, device)?;
        let precision = self.training.precision;
        let config = self.training.config(&model, data, optimizer, Some(rate), precision);
        // Curves and figures are those of whole runs, unless it is asked for.
        let config = Config { keep: self.training.keep.unwrap_or_default(), ..config };
        let base = self.training.configuration(&model, data, config)?;
        let seeds = (0..self.seeds).map(|seed| first.wrapping_add(seed.into()));
        let grid: Vec<_> = self.grid.iter().map(|Grid(settings)| settings.clone()).collect();
        let sweep = Sweep::plan(&base, &optimizers, &grid, seeds)
            .map_err(|error| wrong_usage("compare", error))?;
        if self.training.init().is_some()
            && let Some(other) = sweep.planned().iter().find(|of| of.hidden != base.hidden)
        {
            let (own, other) = (base.hidden, other.hidden);
            let message = format!("--init has {own} hidden units, not {other}; omit hidden");
            return Err(wrong_usage("compare", message));
        }
        Ok(sweep)
    }

    /// Notes which optimizers --momentum is not for, if it is for any.
    fn check_momentum(&self, optimizers: &[(Optimizer, f64)]) -> Result<()> {
        let without = optimizers.iter().filter(|(optimizer, _)| !optimizer.has_momentum());
        let without: Vec<_> = without.map(|(of, _)| name(OPTIMIZERS, *of)).collect();
        if self.training.momentum.is_none() || without.is_empty() {
            return Ok(());
        }
        let message = format!("{} without momentum; rmsprop and sgd have one", without.join(", "));
        if without.len() == optimizers.len() {
            return Err(wrong_usage("compare", message));
        }
        note(&format!("warning: {message}"));
        Ok(())
    }

    /// Counts those that the output folder has as done, and keeps the others there.
    fn keep(&self, sweep: &mut Sweep) -> Result<()> {
        if let Some(folder) = &self.output_dir {
            let path = folder.join(RUNS);
            // Before the work, and all of them: it would be lost at the last.
            for name in [RUNS, JSON, CSV, PNG] {
                atomic::refuse_link(&folder.join(name))?;
            }
            let (journal, kept) = Journal::open(&path)?;
            ensure!(
                self.resume || self.merge || kept.is_empty(),
                "{} already has runs; use --resume to continue them, or name another folder",
                path.display()
            );
            sweep
                .keep(journal, kept)
                .with_context(|| format!("cannot resume {}", path.display()))?;
        }
        Ok(())
    }

    /// Compares, writes the results and shows them.
    fn finish(&self, sweep: &Sweep, origin: &Origin) -> Result<()> {
        let runs = sweep.by_contender();
        let comparison = compare(&runs)?;
        let mut record = serde_json::to_value(&comparison)?;
        record["format"] = 1.into();
        record["program"] = runs[0][0].program.clone().into();
        record["libtorch"] = runs[0][0].libtorch.clone().into();
        record["configuration"] = sweep.planned()[0].shared(sweep.varied())?.into();
        origin.add_to(&mut record);
        if let Some(folder) = &self.output_dir {
            let text = |name: &str, text: String| atomic::write_bytes(&folder.join(name), &text);
            text(JSON, format!("{record:#}\n"))?;
            text(CSV, text::comparison_csv(&comparison))?;
            plot::save(&plot::comparison(&comparison), &folder.join(PNG))?;
            progress::saved(self.json, &folder.join(RUNS))?;
        }
        if !self.json {
            print_text(&format!("\n{}", text::comparison(&comparison)))?;
        }
        if let Some(folder) = &self.output_dir {
            progress::saved(self.json, &folder.join("compare.{json,csv,png}"))?;
        }
        if self.json { print_json(&record) } else { Ok(()) }
    }
}

/// A line per run, and while they last, on a terminal, a bar.
struct Display<'a> {
    to_stderr: bool,
    stop: &'a AtomicUsize,
    bar: ProgressBar,
    planned: usize,
    varied: Varied,
    epochs_to_do: usize,
    /// What cannot be shown must not cost the runs; it is reported at the end.
    failure: Mutex<Option<Error>>,
}

impl Display<'_> {
    fn new<'a>(
        to_stderr: bool,
        sweep: &Sweep,
        stop: &'a AtomicUsize,
        failure: Option<Error>,
    ) -> Display<'a> {
        let (planned, done) = (sweep.planned().len(), sweep.done().len());
        let epochs_to_do = (planned - done) * sweep.planned()[0].config.epochs;
        let bar = bar("{msg} [{wide_bar}] {percent}%, {eta} left");
        bar.set_length(epochs_to_do as u64); // until a run reports the steps of an epoch
        bar.set_message(format!("{done} of {planned} runs done"));
        let (varied, failure) = (sweep.varied().clone(), failure.into());
        Display { to_stderr, stop, bar, planned, varied, epochs_to_do, failure }
    }

    fn finish(self) -> Option<Error> {
        self.bar.finish_and_clear();
        self.failure.into_inner().expect("no thread panics")
    }
}

impl Observer for Display<'_> {
    fn step(&self, progress: &Progress) -> ControlFlow<()> {
        self.bar.set_length((self.epochs_to_do * progress.steps) as u64);
        self.bar.inc(1);
        interrupt::flow(self.stop)
    }

    fn run(&self, run: &Run, number: usize) {
        let planned = self.planned;
        self.bar.set_message(format!("{number} of {planned} runs done"));
        let text = format!("Run {number}/{planned} - {}", text::run(run, &self.varied));
        let shown = self.bar.suspend(|| line(self.to_stderr, &text));
        let mut failure = self.failure.lock().expect("no thread panics");
        *failure = failure.take().or(shown.err());
    }

    fn flow(&self) -> ControlFlow<()> {
        interrupt::flow(self.stop)
    }
}
