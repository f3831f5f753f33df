//! `mnist train`: data → weights.

use std::path::PathBuf;

use super::args::choices::{OPTIMIZERS, name, one_of};
use super::args::training::{ADAPT, TrainingArgs};
use super::args::weights::{ADAPTED_WEIGHTS, DEFAULT_WEIGHTS};
use crate::output::plot;
use crate::training::Config;
use crate::training::optimizer::Optimizer;
use crate::weights;

#[cfg(feature = "torch")]
mod place;
#[cfg(feature = "torch")]
mod resumption;
#[cfg(feature = "torch")]
mod run;

/// Train the network, save its weights and measure them on the test set
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Optimizer, with Keras's constants but for SGD's momentum of 0.9
    #[arg(long, value_parser = one_of(OPTIMIZERS), default_value_if(ADAPT, "true", "adam"), default_value = name(OPTIMIZERS, Config::default().optimizer))]
    optimizer: Optimizer,
    #[command(flatten)]
    training: TrainingArgs,
    /// Learn the answers of this network as well, which may have any number of hidden units
    /// (knowledge distillation): a file of weights, or `released`
    #[arg(long, value_name = "WEIGHTS")]
    teacher: Option<PathBuf>,
    /// Where to save the weights (.safetensors, .ot, .h5, .keras or .onnx); a .json of the same
    /// name is written next to it [with --adapt: models/adapted.safetensors]
    #[arg(long, value_name = "FILE", default_value_if(ADAPT, "true", ADAPTED_WEIGHTS), default_value = DEFAULT_WEIGHTS, value_parser = weights::file_name)]
    output: PathBuf,
    /// Replace what lies at --output even by weights that are worse; by default, good weights are
    /// kept, and those of a run that was interrupted, is at chance level or worse are saved beside
    /// them, as mnist-2.safetensors
    #[arg(long)]
    force: bool,
    /// After every epoch, keep in a file beside --output all that is needed to --resume, until
    /// training is done. To begin anew where there is such a file, delete it
    #[arg(long)]
    checkpoint: bool,
    /// Go on where --checkpoint has left off, with the same options: the result is the same to the
    /// bit as without the interruption
    #[arg(long)]
    resume: bool,
    /// Draw loss and accuracy by epoch into this file, whose extension names the format, .png or
    /// .svg
    #[arg(long, value_name = "FILE", value_parser = plot::file_name)]
    plot: Option<PathBuf>,
    /// Write event files for TensorBoard into this folder: loss, accuracy, rate, and mistakes; a
    /// folder that has some already gets a new one in it for each run, run-2 and so on
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Print the training record as JSON at the end, progress on standard error
    #[arg(long)]
    json: bool,
}
