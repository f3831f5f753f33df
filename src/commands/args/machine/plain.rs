//! The machine of a build without libtorch: the CPU.

use std::num::NonZero;

use anyhow::{Result, bail};

use super::{MachineArgs, cores};
use crate::network::classifier::Classifier;
use crate::network::device::Choice;
use crate::network::plain::Plain;
use crate::weights::Loaded;

/// What is missing, and what to do about it.
pub const NO_LIBTORCH: &str = "this build does not include libtorch, which training and evaluation need; build the full \
    program with `make libtorch` and `cargo install --locked --path .`, see docs/install.md";

/// What networks are computed on.
#[derive(Debug)]
pub struct Machine {
    threads: NonZero<usize>,
    /// Why it is used.
    pub reason: String,
}

impl Machine {
    /// The usual name of the device.
    pub fn name(&self) -> String {
        "cpu".into()
    }

    /// The network with these weights.
    pub fn classifier(&self, weights: impl Into<Loaded>) -> Result<Box<dyn Classifier>> {
        Ok(Box::new(Plain::new(weights.into().arrays, self.threads)))
    }
}

impl MachineArgs {
    /// Finds the device, with the reason for it, and the number of threads: as given, else
    /// `default` if there is one, else one per core.
    pub fn machine(&self, default: Option<i32>) -> Result<Machine> {
        let reason = match self.device {
            Choice::Cpu => "as asked".to_string(),
            Choice::Auto => "no CUDA: this build does not include libtorch".into(),
            device @ (Choice::Cuda(_) | Choice::Mps) => {
                bail!("cannot use {device}: {NO_LIBTORCH}")
            }
        };
        let cores = cores()?;
        let threads = self.threads.or(default).and_then(|threads| usize::try_from(threads).ok());
        let threads = NonZero::new(threads.unwrap_or(cores)).unwrap_or(NonZero::<usize>::MIN);
        self.warn_of_too_many(threads.get(), cores);
        Ok(Machine { threads, reason })
    }
}

/// Does `work`. Rust itself ends the program where there is no memory.
pub fn within_memory<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    work()
}
