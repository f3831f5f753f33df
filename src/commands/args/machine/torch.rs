//! libtorch's devices, threads and memory.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Error, Result, anyhow};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tch::{Device, Kind, Tensor};

use super::{MachineArgs, cores};
use crate::network::classifier::Classifier;
use crate::network::device::{self, CudaNotInstalled, Reason};
use crate::network::model::Model;
use crate::weights::{self, Loaded};

/// Elements that libtorch gives each thread at least (`at::internal::GRAIN_SIZE`).
const GRAIN: usize = 32768;

/// Bytes of the stack of a thread of OpenMP's, as most systems have them (`ulimit -s`).
const STACK: usize = 8 << 20;

/// What networks are computed on.
#[derive(Debug)]
pub struct Machine {
    device: Device,
    /// Why it is used.
    pub reason: String,
}

impl Machine {
    /// The usual name of the device.
    pub fn name(&self) -> String {
        device::name(self.device)
    }

    /// The network with these weights, to be applied.
    pub fn classifier(&self, weights: impl Into<Loaded>) -> Result<Box<dyn Classifier>> {
        Ok(Box::new(self.model(&weights.into())?))
    }

    /// The network with these weights.
    pub fn model(&self, loaded: &Loaded) -> Result<Model> {
        weights::model(loaded, self.device)
    }
}

impl MachineArgs {
    /// Like [`MachineArgs::start`], for networks that are only applied.
    pub fn machine(&self, default: Option<i32>) -> Result<Machine> {
        let (device, reason) = self.start(default)?;
        Ok(Machine { device, reason })
    }

    /// Finds the device, with the reason for it, and sets the number of libtorch's threads: as
    /// given, else on the CPU `default` if there is one, else one per core.
    pub fn start(&self, default: Option<i32>) -> Result<(Device, String)> {
        let (device, reason) = device::select(self.device).map_err(advised)?;
        let default = default.filter(|_| device == Device::Cpu);
        if let Some(threads) = self.threads.or(default) {
            tch::set_num_threads(threads);
        }
        let (threads, cores) = (tch::get_num_threads() as usize, cores()?);
        self.warn_of_too_many(threads, cores);
        start_threads(threads)?;
        let reason = match reason {
            Reason::NoCuda(cause) => format!("no CUDA: {}", advised(cause)),
            reason => reason.to_string(),
        };
        Ok((device, reason))
    }
}

/// Starts libtorch's threads, of which this one is the first, so that it need not later, when
/// memory may have become scarce.
fn start_threads(count: usize) -> Result<()> {
    can_start(count)?;
    if count > 1 {
        let _ = Tensor::ones([(count * GRAIN) as i64], (Kind::Uint8, Device::Cpu));
    }
    Ok(())
}

/// Fails if no more than `count` threads can be started, by doing so: libtorch would end the
/// program where it cannot.
fn can_start(count: usize) -> Result<()> {
    let gate = Mutex::new(());
    let closed = gate.lock();
    let started = thread::scope(|scope| {
        let result = (1..count).try_for_each(|_| {
            let wait = || drop(gate.lock());
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, wait).map(drop)
        });
        drop(closed); // lets those that were started end
        result
    });
    started.with_context(|| {
        format!(
            "cannot start {count} threads; use fewer --threads, or raise the limits on processes \
             and memory (ulimit -u, ulimit -v)"
        )
    })
}

/// Threads for training runs side by side, as many as the cores of the CPU are enough for, in each
/// of which libtorch has as many threads as in this one. One on any other device.
pub fn side_by_side(device: Device) -> Result<ThreadPool> {
    let threads = tch::get_num_threads();
    let count = match device {
        Device::Cpu => (cores()? / threads as usize).max(1),
        _ => 1,
    };
    can_start(count * threads as usize)?;
    ThreadPoolBuilder::new()
        .num_threads(count)
        .start_handler(move |_| tch::set_num_threads(threads)) // each has a number of its own
        .build()
        .context("cannot start the threads that train side by side")
}

/// Does `work`. Where libtorch gets no memory, of which tch makes a panic, this is an error.
pub fn within_memory<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map_or("", String::as_str);
        let needed = text
            .split_once("you tried to allocate ")
            .and_then(|(_, rest)| rest.split_once(" bytes"))
            .and_then(|(bytes, _)| bytes.parse::<u64>().ok());
        let cause = match needed {
            Some(bytes) => {
                format!("libtorch could not allocate another {} MB", bytes.div_ceil(1_000_000))
            }
            None if text.contains("bad_alloc") => "libtorch could not allocate more".into(),
            None if text.contains("out of memory") => "the device is out of memory".into(),
            None => resume_unwind(panic),
        };
        Err(anyhow!(
            "not enough memory: {cause}; end other programs, raise the limit (ulimit -v), or use \
             a smaller network or data set"
        ))
    })
}

/// An error with the command that fixes its cause, where there is one.
pub fn advised(error: Error) -> Error {
    match error.is::<CudaNotInstalled>() {
        true => anyhow!("{error:#}; install them with `make libtorch CUDA=1`"),
        false => error,
    }
}
