//! The verbs of the program, and the options that they share.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use tch::Device;

use crate::network::device::{self, Choice};
use crate::network::model::Model;
use crate::weights;

pub mod cli;
pub mod compare;
pub mod convert;
pub mod doctor;
pub mod evaluate;
mod log;
pub mod predict;
pub mod read;
pub mod show;
pub mod summary;
pub mod train;
mod training;

/// Where `mnist train` saves, and the other verbs look first.
pub const DEFAULT_WEIGHTS: &str = "models/mnist.safetensors";

/// What to compute on.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Where to compute: auto, cpu, cuda, cuda:N or mps
    #[arg(long, default_value_t)]
    device: Choice,
    /// Threads that libtorch uses on the CPU [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1024))]
    threads: Option<i32>,
}

impl MachineArgs {
    /// Sets the number of threads and finds the device, with the reason for it.
    fn start(&self) -> Result<(Device, String)> {
        if let Some(threads) = self.threads {
            tch::set_num_threads(threads);
        }
        device::select(self.device)
    }
}

/// Which weights to use.
#[derive(Debug, clap::Args)]
pub struct WeightsArgs {
    /// Weight file: .safetensors, .ot, Keras's .h5 or .keras, PyTorch's .pt [default:
    /// models/mnist.safetensors in the current folder if it is there, else the released weights
    /// that are built in]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl WeightsArgs {
    /// Loads the weights, with a name for them.
    fn load(&self, device: Device) -> Result<(Model, String)> {
        let default = Path::new(DEFAULT_WEIGHTS);
        match &self.weights {
            Some(path) => Ok((weights::load(path, device)?, path.display().to_string())),
            None if default.exists() => {
                Ok((weights::load(default, device)?, DEFAULT_WEIGHTS.into()))
            }
            None => Ok((weights::released(device)?, "the released weights".into())),
        }
    }
}

/// Loads the weights onto the device, and says which they are and why it is that one. Returns the
/// weights' name as well.
fn start(machine: &MachineArgs, weights: &WeightsArgs) -> Result<(Model, String)> {
    let (device, reason) = machine.start()?;
    let (model, name) = weights.load(device)?;
    note(&format!("Weights: {name}\nDevice: {} ({reason})", device::name(device)));
    Ok((model, name))
}

/// Parses a share of a whole, or a probability.
fn share<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(share) if (T::from(0)..=T::from(1)).contains(&share) => Ok(share),
        _ => Err("choose a number from 0 to 1".into()),
    }
}

/// Says something beside the results: to standard error, so that those can be piped.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a value as one line of JSON.
fn print_json(out: &mut impl Write, value: &impl serde::Serialize) -> Result<()> {
    // By way of a string: the error of a closed pipe must stay an io::Error.
    Ok(writeln!(out, "{}", serde_json::to_string(value)?)?)
}
