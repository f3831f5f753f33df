//! `mnist convert`: weights from one format to another.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::args::weights::open;
use super::cli::wrong_usage;
use super::console::{note, print};
use crate::files::atomic;
use crate::weights::{self, Loaded};

/// Convert weights from and to Keras's and PyTorch's formats, and to ONNX
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Weight file, in any format that `--weights` takes elsewhere, or `released`
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Where to save, in the format that the extension names: .safetensors, .ot, .h5 or .keras
    /// (Keras) or .onnx
    #[arg(value_name = "OUT", value_parser = weights::file_name)]
    output: PathBuf,
    /// Names of the two layers in a .safetensors: 0,2 are those of PyTorch's
    /// nn.Sequential(Linear, ReLU, Linear)
    #[arg(long, value_name = "FIRST,SECOND", default_value = "dense_1,dense_2", value_parser = names)]
    names: [String; 2],
}

fn names(text: &str) -> Result<[String; 2], String> {
    match text.split(',').collect::<Vec<_>>()[..] {
        [first, second] => Ok([first.into(), second.into()]),
        _ => Err("expected two names separated by a comma".into()),
    }
}

impl Args {
    /// Reads, checks and writes.
    pub fn run(&self) -> Result<ExitCode> {
        let layers = self.names.each_ref().map(String::as_str);
        weights::check_layers(&self.output, layers)
            .map_err(|error| wrong_usage("convert", error))?;
        atomic::prepare_from(&self.output, &self.input)?;
        let Loaded { arrays, mut record, .. } = open(&self.input)?;
        let kept = weights::save_as(&arrays, &self.output, layers, record.as_mut())?;
        if record.is_some() && !kept {
            note("warning: the training record is not kept: another file is in its place");
        }
        print(&format!("Saved: {}", self.output.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
