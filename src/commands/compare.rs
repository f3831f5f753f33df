//! `mnist compare`: which optimizer does best, and whether that is more than luck.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rayon::iter::{ParallelBridge, ParallelIterator};
use tch::Device;

use super::console::{note, print_json};
use super::training::{self, TrainingArgs, learning_rate};
use crate::dataset::Data;
use crate::experiments::comparison::compare;
use crate::experiments::runs::{Configuration, Run, Runs};
use crate::files::atomic;
use crate::network::device;
use crate::output::plot;
use crate::output::text;
use crate::training::optimizer::Optimizer;
use crate::training::{Event, Progress, fit};

/// Train with several optimizers from the same weights, in the same order, and compare them
///
/// Each seed gives initial weights and an order of the samples that all optimizers share. On the
/// CPU, runs go side by side, as many as there are cores for, each with one thread unless --threads
/// says otherwise; each gives just what `mnist train` with as many threads does.
#[derive(Debug, clap::Args)]
#[command(mut_arg("threads", |arg| arg.help("Threads that libtorch uses on the CPU for each run [default: 1]")))]
#[command(mut_arg("seed", |arg| arg.help("The first seed; each determines initial weights and order of samples")))]
pub struct Args {
    /// Optimizers, with Keras's constants; an entry may set its learning rate: adam:3e-4
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "adam,rmsprop,adamw,sgd", value_parser = entry)]
    optimizers: Vec<(Optimizer, Option<f64>)>,
    /// Runs of each optimizer, with a seed each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    seeds: u16,
    #[command(flatten)]
    training: TrainingArgs,
    /// Folder for the results: runs.jsonl after every run, then compare.json, .csv and .png
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Go on with the runs in --output-dir
    #[arg(long, requires = "output_dir")]
    resume: bool,
    /// Print the comparison as JSON, progress on standard error
    #[arg(long)]
    json: bool,
}

fn entry(text: &str) -> Result<(Optimizer, Option<f64>), String> {
    let (name, rate) = match text.split_once(':') {
        None => (text, None),
        Some((name, rate)) => (name, Some(learning_rate(rate)?)),
    };
    let optimizer = Optimizer::from_str(name, false)
        .map_err(|_| "choose from adam, adamw, rmsprop and sgd, as in adam,sgd:0.1".to_string())?;
    Ok((optimizer, rate))
}

/// What is there so far.
struct Done {
    file: Option<Runs>,
    runs: Vec<Run>,
    /// What cannot be shown must not cost the training; it is reported at the end.
    failure: Option<anyhow::Error>,
}

impl Args {
    /// Trains every optimizer with every seed. Ctrl-C and SIGTERM end the runs in progress, keep
    /// the others and give the exit codes 130 and 143.
    pub fn run(&self) -> Result<ExitCode> {
        let stop = training::stop_on_signal()?;
        let (device, reason) = self.training.machine.start()?;
        if device == Device::Cpu && self.training.machine.threads.is_none() {
            tch::set_num_threads(1);
        }
        let data = self.training.data()?;
        let plan = self.plan(&data, device)?;
        let mut done = self.open(&plan)?;
        let mut text = format!("Device: {} ({reason})", device::name(device));
        if !done.runs.is_empty() {
            text += &format!("\nDone before: {} of {} runs", done.runs.len(), plan.len());
        }
        done.failure = training::line(self.json, &text).err();

        let done = self.train(&plan, done, data, device, &stop)?;
        let kept = done.runs.len();
        if kept < plan.len() {
            note(&match &self.output_dir {
                Some(folder) => format!(
                    "Interrupted: {kept} of {} runs are kept in {}; --resume goes on with them",
                    plan.len(),
                    folder.display()
                ),
                None => "Interrupted: without --output-dir, nothing is kept".into(),
            });
            return Ok(training::interrupted(&stop));
        }
        self.finish(&plan, &done.runs)?;
        done.failure.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    /// All runs, seed after seed, so that there is something of each optimizer early on.
    fn plan(&self, data: &Data, device: Device) -> Result<Vec<Configuration>> {
        let first = self.training.seed;
        let config = |&(optimizer, rate), seed| self.training.config(optimizer, rate, seed);
        let model = self.training.model(first, device)?;
        let base = self.training.configuration(&model, data, config(&self.optimizers[0], first))?;
        let seeds = (0..self.seeds).map(|seed| first.wrapping_add(seed.into()));
        let configs =
            seeds.flat_map(|seed| self.optimizers.iter().map(move |entry| config(entry, seed)));
        let plan: Vec<_> = configs.map(|config| Configuration { config, ..base.clone() }).collect();
        for (at, planned) in plan.iter().take(self.optimizers.len()).enumerate() {
            ensure!(
                !plan[..at].contains(planned),
                "--optimizers has the same twice: {}",
                planned.name()
            );
        }
        Ok(plan)
    }

    /// Opens the file of runs, with those of the plan that are in it.
    fn open(&self, plan: &[Configuration]) -> Result<Done> {
        let Some(folder) = &self.output_dir else {
            return Ok(Done { file: None, runs: Vec::new(), failure: None });
        };
        let path = folder.join("runs.jsonl");
        let (file, mut runs) = Runs::open(&path)?;
        if !runs.is_empty() {
            let path = path.display();
            ensure!(
                self.resume,
                "{path} has runs already; --resume goes on with them, or name another folder"
            );
            for run in &runs {
                if let Some(difference) = run.difference(&plan[0])? {
                    bail!(
                        "cannot go on with {path}: {difference}; give the options of the runs \
                         there, or name another folder"
                    );
                }
            }
        }
        // In the file may be more seeds and optimizers, or the same ones twice.
        let planned = plan.iter().filter_map(|planned| {
            Some(runs.swap_remove(runs.iter().position(|run| run.configuration == *planned)?))
        });
        let runs = planned.collect();
        Ok(Done { file: Some(file), runs, failure: None })
    }

    /// Does the runs of the plan that are not done.
    fn train(
        &self,
        plan: &[Configuration],
        done: Done,
        data: Data,
        device: Device,
        stop: &AtomicUsize,
    ) -> Result<Done> {
        let is_done =
            |planned: &Configuration| done.runs.iter().any(|run| run.configuration == *planned);
        let missing: Vec<_> = plan.iter().filter(|planned| !is_done(planned)).collect();
        let bar = training::bar("{msg} [{wide_bar}] {percent}%, {eta} left");
        let epochs = missing.len() * plan[0].config.epochs;
        bar.set_length(epochs as u64); // until a training tells the steps of an epoch
        bar.set_message(format!("{} of {} runs done", done.runs.len(), plan.len()));
        let threads = tch::get_num_threads();
        let side_by_side = match device {
            Device::Cpu => available_parallelism()?.get() / threads as usize,
            _ => 1,
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(side_by_side.max(1))
            .start_handler(move |_| tch::set_num_threads(threads)) // each has a number of its own
            .build()?;
        let data = Mutex::new(data); // tensors are not to be seen from two threads
        let done = Mutex::new(done);
        let result: Result<()> = pool.install(|| {
            missing.into_iter().par_bridge().try_for_each(|configuration| {
                let samples = data.lock().expect("no thread panics").to_device(device);
                let run = self.train_one(configuration, &samples, stop, &|progress| {
                    bar.set_length((epochs * progress.steps) as u64);
                    bar.inc(1);
                });
                let Some(run) = run.with_context(|| configuration.name())? else { return Ok(()) };
                let done = &mut *done.lock().expect("no thread panics");
                if let Some(file) = &mut done.file {
                    file.add(&run)?;
                }
                let text = format!("{}/{} - {}", done.runs.len() + 1, plan.len(), text::run(&run));
                done.runs.push(run);
                bar.set_message(format!("{} of {} runs done", done.runs.len(), plan.len()));
                let line = || training::line(self.json, &format!("Run {text}"));
                let shown = bar.suspend(line);
                done.failure = done.failure.take().or(shown.err());
                Ok(())
            })
        });
        bar.finish_and_clear();
        match &self.output_dir {
            Some(folder) => result
                .with_context(|| format!("the finished runs are kept in {}", folder.display()))?,
            None => result?,
        }
        Ok(done.into_inner().expect("no thread panics"))
    }

    /// Trains and tests once; none if that was interrupted.
    fn train_one(
        &self,
        configuration: &Configuration,
        data: &Data,
        stop: &AtomicUsize,
        step: &dyn Fn(&Progress),
    ) -> Result<Option<Run>> {
        if training::flow(stop).is_break() {
            return Ok(None);
        }
        let config = &configuration.config;
        let device = data.train.images.device();
        let mut model = self.training.model(config.seed, device)?;
        let history = fit(&mut model, &data.train, config, &mut |event| {
            if let Event::Step(progress) = event {
                step(progress);
            }
            training::flow(stop)
        })?;
        if history.epochs.len() < config.epochs {
            return Ok(None);
        }
        let test = training::test(&model, &data.test)?;
        Ok(Some(Run::new(configuration.clone(), history.epochs, test)))
    }

    /// Compares, writes the results and shows them.
    fn finish(&self, plan: &[Configuration], runs: &[Run]) -> Result<()> {
        let run = |planned: &Configuration| {
            runs.iter().find(|run| run.configuration == *planned).cloned()
        };
        let of = |at| plan.iter().skip(at).step_by(self.optimizers.len()).filter_map(run).collect();
        let runs: Vec<Vec<Run>> = (0..self.optimizers.len()).map(of).collect();
        let comparison = compare(&runs)?;
        let mut record = serde_json::to_value(&comparison)?;
        record["format"] = 1.into();
        record["program"] = runs[0][0].program.clone().into();
        record["libtorch"] = runs[0][0].libtorch.clone().into();
        record["configuration"] = plan[0].shared()?.into();
        if let Some(folder) = &self.output_dir {
            let text = |name: &str, text: String| atomic::write_bytes(&folder.join(name), &text);
            text("compare.json", format!("{record:#}\n"))?;
            text("compare.csv", text::comparison_csv(&comparison))?;
            plot::save(&plot::comparison(&comparison), &folder.join("compare.png"))?;
        }
        let mut out = io::stdout().lock();
        if self.json {
            return print_json(&mut out, &record);
        }
        write!(out, "\n{}", text::comparison(&comparison))?;
        if let Some(folder) = &self.output_dir {
            writeln!(out, "Saved: {}", folder.join("compare.{json,csv,png}").display())?;
        }
        Ok(())
    }
}
