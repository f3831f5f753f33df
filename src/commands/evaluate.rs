//! `mnist evaluate`: how good weights are.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use serde_json::json;

use super::args::inference::InferenceArgs;
use super::console::{print_json, print_text};
use crate::dataset;
use crate::output::text;
use crate::training::evaluation;

/// Measure weights on a test set: loss, accuracy, precision and recall per digit, confusion matrix
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    inference: InferenceArgs,
    /// Folder with a data set in MNIST's layout, raw or .gz [default: the built-in MNIST]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints the measurements.
    pub fn run(&self) -> Result<ExitCode> {
        let (model, name) = self.inference.start(None)?;
        let test = dataset::load(self.data.as_deref())?.test;
        let evaluation = evaluation::evaluate(&model, &test)?;
        let loss = evaluation.loss;
        ensure!(loss.is_finite(), "the loss of {name} is {loss}: its weights are too large");
        if self.json {
            let value = json!({
                "weights": name,
                "samples": test.count(),
                "loss": evaluation.loss,
                "accuracy": evaluation.accuracy,
                "classes": evaluation.classes(),
                "confusion": evaluation.confusion,
            });
            print_json(&value)?;
        } else {
            print_text(&text::evaluation(&evaluation))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
