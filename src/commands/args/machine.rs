//! What to compute on. The only place that sets numbers of threads.

use anyhow::{Context, Error, Result, anyhow};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tch::Device;

use crate::network::device::{self, Choice, CudaNotInstalled, Reason};

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
    /// Whether a device other than the CPU is asked for by name.
    pub fn asks_for_accelerator(&self) -> bool {
        matches!(self.device, Choice::Cuda(_) | Choice::Mps)
    }

    /// Finds the device, with the reason for it, and sets the number of libtorch's threads: as told,
    /// else on the CPU `default` if there is one, else one per core.
    pub fn start(&self, default: Option<i32>) -> Result<(Device, String)> {
        let (device, reason) = device::select(self.device).map_err(advised)?;
        let default = default.filter(|_| device == Device::Cpu);
        if let Some(threads) = self.threads.or(default) {
            tch::set_num_threads(threads);
        }
        let reason = match reason {
            Reason::NoCuda(cause) => format!("no CUDA: {}", advised(cause)),
            reason => reason.to_string(),
        };
        Ok((device, reason))
    }
}

/// Threads for trainings side by side, as many as the cores of the CPU are enough for, in each of
/// which libtorch has as many threads as in this one. One on any other device.
pub fn side_by_side(device: Device) -> Result<ThreadPool> {
    let threads = tch::get_num_threads();
    let count = match device {
        Device::Cpu => std::thread::available_parallelism()?.get() / threads as usize,
        _ => 1,
    };
    ThreadPoolBuilder::new()
        .num_threads(count.max(1))
        .start_handler(move |_| tch::set_num_threads(threads)) // each has a number of its own
        .build()
        .context("cannot start the threads that train side by side")
}

/// An error with the command that mends its cause, where there is one.
pub fn advised(error: Error) -> Error {
    match error.is::<CudaNotInstalled>() {
        true => anyhow!("{error:#}; install them with `make libtorch CUDA=1`"),
        false => error,
    }
}
