//! The devices that libtorch finds, and how CUDA gets loaded.

use std::fmt;

use anyhow::{Context, Error, Result, bail, ensure};
use tch::{Cuda, Device, Kind, Tensor, utils};

use super::Choice;

/// Why a device was selected.
#[derive(Debug)]
pub enum Reason {
    /// It was asked for.
    Asked,
    /// It is the first of this many CUDA devices.
    FirstOf(usize),
    /// There is no CUDA, because of this.
    NoCuda(Error),
}

/// libtorch's CUDA libraries are not there, or those that they need.
#[derive(Debug)]
pub struct CudaNotInstalled(String);

/// Finds the device of `choice`, with the reason for it.
///
/// # Errors
///
/// If a device that is asked for by name cannot be had; the error names the cause.
pub fn select(choice: Choice) -> Result<(Device, Reason)> {
    match choice {
        Choice::Cpu => Ok((Device::Cpu, Reason::Asked)),
        Choice::Auto => Ok(match cuda() {
            Ok(count) => (Device::Cuda(0), Reason::FirstOf(count)),
            Err(cause) => (Device::Cpu, Reason::NoCuda(cause)),
        }),
        Choice::Cuda(index) => {
            let count = cuda().context("cannot use CUDA")?;
            ensure!(
                index < count,
                "cuda:{index} does not exist; available: {}",
                (0..count).map(|at| format!("cuda:{at}")).collect::<Vec<_>>().join(", ")
            );
            Ok((Device::Cuda(index), Reason::Asked))
        }
        Choice::Mps => {
            ensure!(
                utils::has_mps(),
                "cannot use MPS: it needs macOS on Apple silicon and a libtorch with MPS"
            );
            Ok((Device::Mps, Reason::Asked))
        }
    }
}

/// Fails if `device` has no matrix products of bfloat16, or is a processor that only emulates them.
pub(crate) fn check_bf16(device: Device) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    let processor = std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(target_arch = "aarch64")]
    let processor = std::arch::is_aarch64_feature_detected!("bf16");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let processor = false;
    ensure!(
        processor || device != Device::Cpu,
        "this processor has no bfloat16 products (AVX512-BF16, or bf16 on Arm); train in float32"
    );
    let ones = || Tensor::f_ones([16, 16], (Kind::BFloat16, device));
    let product = || ones()?.f_matmul(&ones()?)?.f_to_device(Device::Cpu);
    product()
        .map(drop)
        .with_context(|| format!("{} has no bfloat16 products; train in float32", name(device)))
}

/// Loads CUDA if it is there, and returns the number of its devices, never 0.
pub fn cuda() -> Result<usize> {
    load_global(DRIVER).with_context(|| format!("no NVIDIA driver found ({DRIVER})"))?;
    load_cuda()?;
    let count = Cuda::device_count();
    ensure!(count > 0, "the NVIDIA driver finds no usable card; see what nvidia-smi says");
    Ok(count as usize)
}

#[cfg(not(windows))]
const DRIVER: &str = "libcuda.so.1";
#[cfg(windows)]
const DRIVER: &str = "nvcuda.dll";
#[cfg(not(windows))]
const LIBTORCH_CUDA: &str = "libtorch_cuda.so";
#[cfg(windows)]
const LIBTORCH_CUDA: &str = "torch_cuda.dll";

/// Loads libtorch's CUDA half.
///
/// Nothing in the program refers to that library, so the linker leaves it out, and libtorch would
/// say that there is no CUDA. Linking it by force would make every start load its thirteen
/// libraries. Loading it before the first question about CUDA is enough.
pub fn load_cuda() -> Result<()> {
    let Err(cause) = load_global(LIBTORCH_CUDA) else { return Ok(()) };
    let cause = format!("{cause:#}");
    // The loader names the library that it did not find: this one, or one that it needs.
    if cause.contains(&format!("{LIBTORCH_CUDA}: cannot open")) {
        bail!("this libtorch was built without CUDA ({cause}); build with one that has it");
    }
    Err(CudaNotInstalled(cause).into())
}

/// Loads a library for good, its symbols visible to all.
#[allow(unsafe_code)]
fn load_global(name: &str) -> Result<()> {
    // SAFETY: the initialisers of the driver and of libtorch's own library are run; both are made
    // to be loaded in this way at any time. Neither is ever unloaded.
    #[cfg(unix)]
    let library = unsafe {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL)
    }?;
    #[cfg(not(unix))]
    let library = unsafe { libloading::Library::new(name) }?;
    std::mem::forget(library);
    Ok(())
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Asked => f.write_str("as asked"),
            Reason::FirstOf(count) => write!(f, "first of {count} CUDA device(s)"),
            Reason::NoCuda(cause) => write!(f, "no CUDA: {cause}"),
        }
    }
}

impl fmt::Display for CudaNotInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libtorch's CUDA libraries are not installed ({})", self.0)
    }
}

impl std::error::Error for CudaNotInstalled {}

/// The usual name of a device: `cpu`, `cuda:0`, `mps`.
pub fn name(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".into(),
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Mps => "mps".into(),
        Device::Vulkan => "vulkan".into(),
    }
}
