//! What to compute on. The only place that sets numbers of threads.

use std::thread::available_parallelism;

use anyhow::{Context, Result};

use crate::commands::console::note;
use crate::network::device::Choice;

#[cfg(not(feature = "torch"))]
mod plain;
#[cfg(feature = "torch")]
mod torch;

#[cfg(not(feature = "torch"))]
pub use plain::{Machine, NO_LIBTORCH, within_memory};
#[cfg(feature = "torch")]
pub use torch::{Machine, advised, side_by_side, within_memory};

/// What to compute on.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Where to compute: auto, cpu, cuda, cuda:N or mps
    #[arg(long, default_value_t)]
    device: Choice,
    /// Threads that compute on the CPU [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1024))]
    threads: Option<i32>,
}

impl MachineArgs {
    /// Whether a device other than the CPU is asked for by name.
    pub fn asks_for_accelerator(&self) -> bool {
        matches!(self.device, Choice::Cuda(_) | Choice::Mps)
    }

    /// Says so where more threads are asked for than there are cores.
    fn warn_of_too_many(&self, threads: usize, cores: usize) {
        if self.threads.is_some() && threads > cores {
            note(&format!(
                "warning: {threads} threads on {cores} core(s) wait for each other; use --threads \
                 {cores}"
            ));
        }
    }
}

/// The cores that this process may use.
fn cores() -> Result<usize> {
    Ok(available_parallelism().context("cannot determine the number of cores")?.get())
}
