//! What to compute on.

use anyhow::Result;
use tch::Device;

use crate::network::device::{self, Choice};

/// What to compute on.
#[derive(Debug, clap::Args)]
pub struct MachineArgs {
    /// Where to compute: auto, cpu, cuda, cuda:N or mps
    #[arg(long, default_value_t)]
    device: Choice,
    /// Threads that libtorch uses on the CPU [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub threads: Option<i32>,
}

impl MachineArgs {
    /// Sets the number of threads and finds the device, with the reason for it.
    pub fn start(&self) -> Result<(Device, String)> {
        if let Some(threads) = self.threads {
            tch::set_num_threads(threads);
        }
        device::select(self.device)
    }
}
