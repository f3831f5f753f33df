//! `mnist evaluate`: how good weights are.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use serde_json::json;

use super::args::machine::MachineArgs;
use super::args::weights::WeightsArgs;
use super::console::print_json;
use crate::dataset;
use crate::output::text;
use crate::training::evaluation;

/// Measure weights on a test set: loss, accuracy, precision and recall by digit, confusion
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Folder with a data set in MNIST's layout, raw or .gz [default: the built-in MNIST]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints the measurements.
    pub fn run(&self) -> Result<ExitCode> {
        let (model, name) = self.weights.start(&self.machine, None)?;
        let test = dataset::load(self.data.as_deref())?.test;
        let evaluation = evaluation::evaluate(&model, &test)?;
        let loss = evaluation.loss;
        ensure!(loss.is_finite(), "the loss of {name} is {loss}: its weights are too large");
        let mut out = io::stdout().lock();
        if self.json {
            let value = json!({
                "weights": name,
                "samples": test.count(),
                "loss": evaluation.loss,
                "accuracy": evaluation.accuracy,
                "classes": evaluation.classes(),
                "confusion": evaluation.confusion,
            });
            print_json(&mut out, &value)?;
        } else {
            write!(out, "{}", text::evaluation(&evaluation))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
