//! `mnist batch`: many images in shards, on as many machines as there are.

use std::io::{self, BufReader};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::{Result, anyhow};
use clap::Subcommand;
use serde_json::json;

use super::args::choices::{Choice, one_of};
use super::args::share;
use super::args::weights::WeightsArgs;
use super::cli::wrong_usage;
use super::console::{ended, note, print, print_json, print_numbers, saved, warn};
use crate::batch::{self, Batch, Options, Outcome, Runner, Unreachable, Verb};

/// Names of what is done to each image.
const VERBS: &[Choice<Verb>] = &[
    ("read", "Read it as a page, as `mnist read` does", Verb::Read),
    ("predict", "Classify it as a single digit, as `mnist predict` does", Verb::Predict),
];
/// Megabytes of images that take one core about five minutes, by scale/measure.py.
const READ_MB: f64 = 190.;
const PREDICT_MB: f64 = 300.;
const BYTES_PER_MB: f64 = 1e6;
/// Characters of the bar that `status` prints.
const BAR: usize = 40;

/// Read or classify many images, in shards that any number of machines can share
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    Plan(PlanArgs),
    Run(RunArgs),
    Check(CheckArgs),
    Status(StatusArgs),
}

/// List the images and cut the list into shards; no image is read
#[derive(Debug, clap::Args)]
struct PlanArgs {
    /// Folder of the batch, which all machines see; made if it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Folders of images, .tar files of images, .txt files that list images or .tar files one a
    /// line, images; `-` reads such a list from standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// What to do with each image
    #[arg(long, value_parser = one_of(VERBS))]
    verb: Verb,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Megabytes of images in a shard [default: 190 to read, 300 to predict, which take one core
    /// about five minutes]
    #[arg(long, value_name = "MB", value_parser = megabytes)]
    shard_size: Option<f64>,
    /// With --verb read, put `?` for digits with a confidence below this, from 0 to 1 [default: 0]
    #[arg(long, value_name = "P", value_parser = share::<f32>)]
    min_confidence: Option<f32>,
    /// Take everything for digits
    #[arg(long)]
    accept_all: bool,
}

fn megabytes(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|size| *size > 0.).ok_or("it must be more than 0".into())
}

/// Run shards; those that are done are passed over
#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Folder of the batch
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Numbers of shards, from 0 [default: all]
    #[arg(value_name = "SHARD")]
    shards: Vec<usize>,
    /// Threads that read images [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    /// Write a row with the error for a planned image that cannot be found or read any more, in
    /// place of failing its shard
    #[arg(long)]
    allow_missing: bool,
}

/// Check that every image has one row and every part is as it was written; print which shards are
/// to be run
#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Folder of the batch
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Show how many shards are done
#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// Folder of the batch
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the numbers of the shards that have no receipt
    #[arg(long, conflicts_with = "json")]
    missing: bool,
}

impl Args {
    /// Runs the step. The exit code is 1 if a shard that `run` was to run, or any of all for
    /// `check`, is not done.
    pub fn run(&self) -> Result<ExitCode> {
        match &self.step {
            Step::Plan(args) => args.run()?,
            Step::Run(args) => return args.run(),
            Step::Check(args) => return args.run(),
            Step::Status(args) => args.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl PlanArgs {
    fn run(&self) -> Result<()> {
        let usual = match self.verb {
            Verb::Read => READ_MB,
            Verb::Predict if self.min_confidence.is_some() => {
                let message =
                    "--min-confidence is for --verb read; the rows of predict have it all";
                return Err(wrong_usage("batch", message));
            }
            Verb::Predict => PREDICT_MB,
        };
        let (weights, name) = self.weights.better()?;
        note(&format!("Weights: {name}"));
        let bytes = (self.shard_size.unwrap_or(usual) * BYTES_PER_MB) as u64;
        let (accept_all, min_confidence) = (self.accept_all, self.min_confidence.unwrap_or(0.));
        let options = Options { verb: self.verb, accept_all, min_confidence };
        let list = BufReader::new(io::stdin());
        let batch = batch::plan(&self.folder, &self.inputs, list, bytes, options, &weights.arrays)?;
        if batch.missing() > 0 {
            let (missing, images) = (batch.missing(), batch.images());
            note(&format!(
                "warning: {missing} of {images} images cannot be found; their rows will say so"
            ));
        }
        saved(&batch.plan_path());
        print(&format!("{} images in {} shards", batch.images(), batch.shards()))
    }
}

impl RunArgs {
    fn run(&self) -> Result<ExitCode> {
        let batch = Batch::open(&self.folder)?;
        let threads = self.threads.map_or_else(available_parallelism, Ok)?;
        let runner = Runner::new(&batch, threads, self.allow_missing)?;
        let shards = match self.shards.is_empty() {
            true => (0..batch.shards()).collect(),
            false => self.shards.clone(),
        };
        let mut some_failed = false;
        for shard in shards {
            match runner.run(shard) {
                Ok(Outcome::WasDone) => note(&format!("Shard {shard}: done before")),
                Ok(Outcome::Done { inputs, errors, doubt }) => {
                    if let Some(doubt) = doubt {
                        note(&format!("warning: shard {shard} is done again: {doubt:#}"));
                    }
                    note(&format!("Shard {shard}: {inputs} images, {errors} cannot be read"));
                }
                Err(error) => match error.downcast_ref::<Unreachable>() {
                    Some(unreachable) => {
                        warn(&anyhow!(
                            "shard {shard} is not done: {unreachable}; mount its file system here, \
                             or use --allow-missing if it is gone for good"
                        ));
                        some_failed = true;
                    }
                    None => return Err(error),
                },
            }
        }
        ended(Ok(()), some_failed)
    }
}

impl CheckArgs {
    fn run(&self) -> Result<ExitCode> {
        let batch = Batch::open(&self.folder)?;
        let check = batch::check(&batch)?;
        check.wrong.iter().for_each(|(_, error)| warn(error));
        let mut again: Vec<_> = check.wrong.iter().map(|(shard, _)| *shard).collect();
        again.extend(&check.missing);
        again.sort_unstable();
        if again.is_empty() {
            saved(&batch.success_path());
            print_json(&check.totals)?;
            return Ok(ExitCode::SUCCESS);
        }
        note(&format!("{} of {} shards are to be run:", again.len(), batch.shards()));
        print_numbers(&again)?;
        Ok(ExitCode::FAILURE)
    }
}

impl StatusArgs {
    fn run(&self) -> Result<()> {
        let batch = Batch::open(&self.folder)?;
        let missing = batch::missing(&batch)?;
        if self.missing {
            return print_numbers(&missing);
        }
        let shards = batch.shards();
        let done = shards - missing.len();
        if self.json {
            return print_json(&json!({"done": done, "shards": shards}));
        }
        let full = BAR * done / shards;
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR - full));
        print(&format!("{bar} {done} of {shards} shards ({}%)", 100 * done / shards))
    }
}
