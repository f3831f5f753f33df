//! `mnist evaluate`: how good weights are.

use std::path::PathBuf;

use super::args::inference::InferenceArgs;

#[cfg(feature = "torch")]
mod run;

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
