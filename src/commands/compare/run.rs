//! What `mnist compare` does.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Error, Result, ensure};
use indicatif::ProgressBar;
use tch::Device;

use super::Args;
use crate::commands::args::machine;
use crate::commands::cli::wrong_usage;
use crate::commands::console::{bar, note, print, print_json, print_text};
use crate::commands::interrupt;
use crate::commands::progress::line;
use crate::dataset::Data;
use crate::experiments::comparison::compare;
use crate::experiments::journal::Journal;
use crate::experiments::run::Run;
use crate::experiments::sweep::{Observer, Sweep};
use crate::files::atomic;
use crate::network::device;
use crate::output::plot;
use crate::output::text;
use crate::training::Progress;
use crate::training::optimizer::Optimizer;

impl Args {
    /// Trains every optimizer with every seed. Ctrl-C and SIGTERM end the runs in progress, keep
    /// the others and give the exit codes 130 and 143.
    pub fn run(&self) -> Result<ExitCode> {
        let stop = interrupt::stop_on_signal()?;
        let (device, reason) = self.training.machine.start(Some(1))?;
        let data = self.training.data()?;
        let mut sweep = self.sweep(&data, device)?;
        let (planned, done) = (sweep.planned().len(), sweep.done().len());
        let mut text = format!("Device: {} ({reason})", device::name(device));
        if done > 0 {
            text += &format!("\nAlready finished: {done} of {planned} runs");
        }
        let failure = line(self.json, &text).err();

        let display = Display::new(self.json, &sweep, &stop, failure);
        let model = |seed| Ok(self.training.initial("compare", seed, device)?.0);
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
        self.finish(&sweep)?;
        failure.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    /// All runs that are asked for, those among them that are in the output folder done.
    fn sweep(&self, data: &Data, device: Device) -> Result<Sweep> {
        let first = self.training.seed;
        let optimizers: Vec<(Optimizer, f64)> = self
            .optimizers
            .iter()
            .map(|&(optimizer, rate)| (optimizer, self.training.learning_rate(optimizer, rate)))
            .collect();
        let (optimizer, rate) = optimizers[0];
        let model = self.training.model("compare", first, device)?;
        let config = self.training.config(&model, data, optimizer, Some(rate), first);
        let base = self.training.configuration(&model, data, config)?;
        let seeds = (0..self.seeds).map(|seed| first.wrapping_add(seed.into()));
        let mut sweep = Sweep::plan(&base, &optimizers, seeds)
            .map_err(|error| wrong_usage("compare", error))?;
        if let Some(folder) = &self.output_dir {
            let path = folder.join("runs.jsonl");
            let (journal, kept) = Journal::open(&path)?;
            ensure!(
                self.resume || kept.is_empty(),
                "{} already has runs; use --resume to continue them, or name another folder",
                path.display()
            );
            sweep
                .keep(journal, kept)
                .with_context(|| format!("cannot resume {}", path.display()))?;
        }
        Ok(sweep)
    }

    /// Compares, writes the results and shows them.
    fn finish(&self, sweep: &Sweep) -> Result<()> {
        let runs = sweep.by_optimizer();
        let comparison = compare(&runs)?;
        let mut record = serde_json::to_value(&comparison)?;
        record["format"] = 1.into();
        record["program"] = runs[0][0].program.clone().into();
        record["libtorch"] = runs[0][0].libtorch.clone().into();
        record["configuration"] = sweep.planned()[0].shared()?.into();
        if let Some(folder) = &self.output_dir {
            let text = |name: &str, text: String| atomic::write_bytes(&folder.join(name), &text);
            text("compare.json", format!("{record:#}\n"))?;
            text("compare.csv", text::comparison_csv(&comparison))?;
            plot::save(&plot::comparison(&comparison), &folder.join("compare.png"))?;
        }
        if self.json {
            return print_json(&record);
        }
        print_text(&format!("\n{}", text::comparison(&comparison)))?;
        if let Some(folder) = &self.output_dir {
            print(&format!("Saved: {}", folder.join("compare.{json,csv,png}").display()))?;
        }
        Ok(())
    }
}

/// A line per run, and while they last, on a terminal, a bar.
struct Display<'a> {
    to_stderr: bool,
    stop: &'a AtomicUsize,
    bar: ProgressBar,
    planned: usize,
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
        Display { to_stderr, stop, bar, planned, epochs_to_do, failure: failure.into() }
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
        let text = format!("Run {number}/{planned} - {}", text::run(run));
        let shown = self.bar.suspend(|| line(self.to_stderr, &text));
        let mut failure = self.failure.lock().expect("no thread panics");
        *failure = failure.take().or(shown.err());
    }

    fn flow(&self) -> ControlFlow<()> {
        interrupt::flow(self.stop)
    }
}
