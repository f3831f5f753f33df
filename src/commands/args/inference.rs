//! Which weights to apply, and on what.

use anyhow::Result;

use super::machine::MachineArgs;
use super::weights::WeightsArgs;
use crate::commands::console::note;
use crate::network::device;
use crate::network::model::Model;

/// Which weights to apply, and on what.
#[derive(Debug, clap::Args)]
pub struct InferenceArgs {
    #[command(flatten)]
    weights: WeightsArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// Say which device is used, and why
    #[arg(long, short)]
    verbose: bool,
}

impl InferenceArgs {
    /// Loads the weights onto the device and notes which they are; the device is noted as well where it
    /// is of interest. Returns the weights' name, too. Without `--threads`, libtorch has `threads` on
    /// the CPU, or one per core.
    pub fn start(&self, threads: Option<i32>) -> Result<(Model, String)> {
        let (device, reason) = self.machine.start(threads)?;
        let (model, name) = self.weights.load(device)?;
        note(&format!("Weights: {name}"));
        if self.verbose || self.machine.asks_for_accelerator() {
            note(&format!("Device: {} ({reason})", device::name(device)));
        }
        Ok((model, name))
    }
}
