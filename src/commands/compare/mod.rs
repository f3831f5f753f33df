//! `mnist compare`: which optimizer does best, and whether that is more than luck.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::args::choices::{OPTIMIZERS, SCHEDULES, names, value};
use super::args::training::{TrainingArgs, learning_rate, share_below_1};
use crate::network::classifier::MAX_HIDDEN;
use crate::training::Setting;
use crate::training::optimizer::Optimizer;

#[cfg(feature = "torch")]
mod run;

/// Train with several optimizers from the same weights, in the same order, and compare them
///
/// Each seed gives initial weights and an order of the samples that all optimizers share. On the
/// CPU, runs go side by side, as many as there are cores for, each with one thread unless --threads
/// says otherwise; each gives just what `mnist train --keep last` with as many threads does.
#[derive(Debug, clap::Args)]
#[command(mut_arg("threads", |arg| arg.help("Threads that compute on the CPU for each run [default: 1]")))]
#[command(mut_arg("keep", |arg| arg.help("Which epoch's weights are the result [default: last]")))]
#[command(mut_arg("seed", |arg| arg.help("The first seed; each determines initial weights and order of samples")))]
pub struct Args {
    /// Optimizers, with Keras's constants but for SGD's momentum of 0.9; an entry may set its
    /// learning rate: adam:3e-4
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = all(), value_parser = entry)]
    optimizers: Vec<(Optimizer, Option<f64>)>,
    /// Vary a setting as well, each of its values with each optimizer: hidden, batch-size, rate,
    /// dropout or schedule, as in --grid hidden=128,512. Give it several times for every
    /// combination
    #[arg(long, value_name = "SETTING=LIST", value_parser = grid)]
    grid: Vec<Grid>,
    /// Runs of each optimizer, with a seed each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    seeds: u16,
    #[command(flatten)]
    training: TrainingArgs,
    /// Folder for the results: runs.jsonl after every run, then compare.json, .csv and .png
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Resume the runs in --output-dir
    #[arg(long, requires = "output_dir")]
    resume: bool,
    /// Do only run K, from 0, and keep it in --output-dir for --merge; one that is there is not
    /// done again
    #[arg(long, value_name = "K", requires = "output_dir", conflicts_with_all = ["resume", "merge"])]
    run: Option<usize>,
    /// Compare the runs in --output-dir, or print which of them are still to be done
    #[arg(long, requires = "output_dir", conflicts_with = "resume")]
    merge: bool,
    /// Print the comparison as JSON, progress on standard error
    #[arg(long)]
    json: bool,
}

/// Values of a setting.
#[derive(Clone, Debug)]
struct Grid(#[cfg_attr(not(feature = "torch"), allow(dead_code))] Vec<Setting>);

/// `SETTING=LIST`.
fn grid(text: &str) -> Result<Grid, String> {
    let (name, list) = text.split_once('=').ok_or("choose SETTING=LIST, as hidden=128,512")?;
    list.split(',').map(|value| setting(name, value)).collect::<Result<_, _>>().map(Grid)
}

fn setting(name: &str, text: &str) -> Result<Setting, String> {
    let whole = |most: i64| match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("{name} {text}: choose a number from 1 to {most}")),
    };
    match name {
        "hidden" => whole(MAX_HIDDEN).map(Setting::Hidden),
        "batch-size" => whole(i32::MAX.into()).map(Setting::BatchSize),
        "rate" => learning_rate(text).map(Setting::LearningRate),
        "dropout" => share_below_1(text).map(Setting::Dropout),
        "schedule" => value(SCHEDULES, text)
            .map(Setting::Schedule)
            .ok_or_else(|| format!("choose schedules from {}", names(SCHEDULES).join(", "))),
        _ => Err("choose hidden, batch-size, rate, dropout or schedule".into()),
    }
}

/// The names of all optimizers, as a list on the command line.
fn all() -> &'static str {
    static NAMES: LazyLock<String> = LazyLock::new(|| names(OPTIMIZERS).join(","));
    &NAMES
}

fn entry(text: &str) -> Result<(Optimizer, Option<f64>), String> {
    let (name, rate) = match text.split_once(':') {
        None => (text, None),
        Some((name, rate)) => (name, Some(learning_rate(rate)?)),
    };
    let optimizer = value(OPTIMIZERS, name).ok_or_else(|| {
        format!("choose from {}, as in adam,sgd:0.1", names(OPTIMIZERS).join(", "))
    })?;
    Ok((optimizer, rate))
}
