//! Which weights to apply, and on what.

use anyhow::Result;

use super::machine::{Machine, MachineArgs};
use super::weights::WeightsArgs;
use crate::commands::console::note;
use crate::network::classifier::Classifier;
use crate::weights::Loaded;

/// Which weights to apply, and on what.
#[derive(Debug, clap::Args)]
pub struct InferenceArgs {
    #[command(flatten)]
    pub weights: WeightsArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// Say which device is used, and why
    #[arg(long, short)]
    verbose: bool,
}

impl InferenceArgs {
    /// The network to apply, and what it is computed on; without `--threads`, by `threads` on the
    /// CPU, or one per core. Without `--weights`, the better of the two that there are.
    pub fn start(&self, threads: Option<i32>) -> Result<(Box<dyn Classifier>, Machine)> {
        let (machine, weights, _) = self.prepare(threads, WeightsArgs::better)?;
        Ok((machine.classifier(weights)?, machine))
    }

    /// Loads the weights and notes which they are; the device is noted as well where it is of
    /// interest. Returns the weights' name, too.
    pub fn load(&self, threads: Option<i32>) -> Result<(Machine, Loaded, String)> {
        self.prepare(threads, WeightsArgs::load)
    }

    fn prepare(
        &self,
        threads: Option<i32>,
        load: impl Fn(&WeightsArgs) -> Result<(Loaded, String)>,
    ) -> Result<(Machine, Loaded, String)> {
        let machine = self.machine.machine(threads)?;
        let (weights, name) = load(&self.weights)?;
        note(&format!("Weights: {name}"));
        if self.verbose || self.machine.asks_for_accelerator() {
            note(&format!("Device: {} ({})", machine.name(), machine.reason));
        }
        Ok((machine, weights, name))
    }
}
