//! What a build without libtorch has.

use std::thread::available_parallelism;

use anyhow::{Result, bail};

use super::{Cuda, Data};
use crate::network::kernels::MklKernels;

/// This build does not train.
pub const TRAINS: bool = false;

pub fn cuda() -> Result<Cuda> {
    bail!("this build does not include libtorch")
}

pub fn device() -> Result<String> {
    Ok("cpu".into())
}

pub fn threads() -> Result<usize> {
    Ok(available_parallelism()?.get())
}

/// There is no MKL.
pub fn kernels() -> MklKernels {
    MklKernels::Default
}

pub fn data() -> Result<Data> {
    bail!("only the full program includes MNIST")
}
