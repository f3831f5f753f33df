//! What libtorch reports.

use anyhow::Result;
use tch::utils;

use super::{Cuda, Data, Finding};
use crate::commands::args::machine::advised;
use crate::dataset;
use crate::network::device::{self, Choice};
pub use crate::network::kernels::mkl_kernels as kernels;

/// This build trains.
pub const TRAINS: bool = true;

pub fn cuda() -> Result<Cuda> {
    let devices = device::cuda().map_err(advised)?;
    Ok(Cuda { devices, runtime: utils::version_cudart(), cudnn: utils::version_cudnn() })
}

pub fn device() -> Result<String> {
    Ok(device::name(device::select(Choice::Auto)?.0))
}

pub fn threads() -> Result<usize> {
    Ok(tch::get_num_threads() as usize)
}

pub fn data() -> Result<Data> {
    let data = dataset::load(None)?;
    Ok(Data {
        name: dataset::BUILT_IN,
        train: data.train.count(),
        test: data.test.count(),
        kept: Finding(dataset::builtin::kept().map(|folder| folder.display().to_string())),
    })
}
