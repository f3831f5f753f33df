//! `mnist evaluate`: how good weights are.

use std::path::PathBuf;

use super::args::data::DataArgs;
use super::args::inference::InferenceArgs;
use crate::output::plot;

#[cfg(feature = "torch")]
mod run;

/// Measure weights on a test set: loss, accuracy, precision and recall per digit, confusion matrix,
/// and how well confidence fits accuracy
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    inference: InferenceArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Draw the reliability diagram, accuracy by confidence, into this file: .png or .svg
    #[arg(long, value_name = "OUT.png", value_parser = plot::file_name)]
    plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}
